"""Names for JSON data, so that signatures say what they carry."""

from typing import Any, TypeAlias

JSONValue: TypeAlias = Any
JSONObject: TypeAlias = dict[str, Any]
