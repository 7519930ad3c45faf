"""JSON Schema for step types: whether a schema is one, and what of a value does not fit it. Offline and bounded."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import jsonschema_rs

from workflows.lib.jsontypes import JSONObject, JSONValue


def schema_fault(schema: JSONObject) -> str | None:
    """Why this is no JSON Schema, as a sentence with the place; None when it is one."""
    try:
        _validator(json.dumps(schema, sort_keys=True))
    except jsonschema_rs.ValidationError as error:
        place = _place(error.instance_path)
        return f"{error.message.rstrip('.')}{f' (at {place})' if place else ''}."
    except (jsonschema_rs.ReferencingError, ValueError, TypeError, RecursionError) as error:
        return f"{str(error).splitlines()[0].rstrip('.')}."
    return None


def value_faults(value: JSONValue, schema: JSONObject, *, most: int = 5) -> tuple[str, ...]:
    """What of the value does not fit, as sentences with the place; empty when it fits. ValueError on a bad schema."""
    validator = _validator(json.dumps(schema, sort_keys=True))
    found: list[str] = []
    for error in validator.iter_errors(value):
        place = _place(error.instance_path)
        found.append(f"{place}: {error.message}" if place else error.message)
        if len(found) >= most:
            break
    return tuple(found)


@lru_cache(maxsize=256)
def _validator(text: str) -> Any:
    return jsonschema_rs.validator_for(
        json.loads(text),
        # Schemas come from authors: nothing is fetched for them, and no pattern may run away.
        offline=True,
        pattern_options=jsonschema_rs.RegexOptions(),
    )


def _place(path: list[str | int]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
