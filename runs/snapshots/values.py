"""Values of a run for people: a result with its parts, and JSON as text."""

from __future__ import annotations

import json
from typing import Any

from runs.models import Blob, Run
from runs.snapshots import words
from runs.snapshots.shapes import Output
from workflows.lib.jsontypes import JSONValue


def output_view(value: JSONValue) -> Output:
    """A result for people: Markdown where it is text, one part per label where several steps ended, else JSON."""
    text = words.text_of(value)
    if text is not None:
        return Output((("", text, as_json(value)),), text, is_text=True)
    if isinstance(value, dict) and len(value) > 1 and all(isinstance(part, dict) for part in value.values()):
        parts = tuple((str(label), words.text_of(part), as_json(part)) for label, part in value.items())
        if any(part[1] is not None for part in parts):
            whole = "\n\n".join(
                f"## {label}\n\n{body if body is not None else data}" for label, body, data in parts
            )
            return Output(parts, whole, is_text=True)
    return Output((("", None, as_json(value)),), as_json(value), is_text=False)


def unpacked(value: JSONValue, run: Run) -> JSONValue:
    """The value itself where the row only points to it (`{"$blob": id}`)."""
    if isinstance(value, dict) and set(value) == {"$blob"}:
        blob = Blob.objects.filter(pk=value["$blob"], run=run, tenant_id=run.tenant_id).first()
        return blob.value if blob is not None else {}
    return value


def as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)
