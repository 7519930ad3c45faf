"""Data for reading: the fields of an object as names and values, lists as lists, what is deep as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from workflows.lib.jsontypes import JSONValue

_MOST_FIELDS: Final = 40
_MOST_ENTRIES: Final = 50
_CHARS: Final = 4_000
# Beyond this not every whole number can be told from its neighbour.
_EXACT: Final = 2**53


@dataclass(frozen=True, slots=True)
class FieldShown:
    """One field. `kind` is text, number, list (`entries`), or json."""

    name: str
    kind: str
    text: str = ""
    entries: tuple[str, ...] = ()
    # How many entries are not shown.
    more: int = 0


def fields_shown(value: JSONValue) -> tuple[FieldShown, ...]:
    """The fields of an object; none for anything else, and for an object with more fields than a person reads."""
    if not isinstance(value, Mapping) or not 0 < len(value) <= _MOST_FIELDS:
        return ()
    return tuple(_field(str(name), one) for name, one in value.items())


def _field(name: str, value: JSONValue) -> FieldShown:
    if value is None or isinstance(value, bool):
        return FieldShown(name, "number", {None: "nothing", True: "yes", False: "no"}[value])
    if isinstance(value, int | float):
        whole = isinstance(value, float) and value.is_integer() and abs(value) < _EXACT
        return FieldShown(name, "number", str(int(value) if whole else value))
    if isinstance(value, str):
        return FieldShown(name, "text", _cut(value) or "empty")
    if isinstance(value, list) and value and not any(isinstance(one, dict | list) for one in value):
        entries = tuple(
            _cut(one if isinstance(one, str) else json.dumps(one)) for one in value[:_MOST_ENTRIES]
        )
        return FieldShown(name, "list", "", entries, len(value) - len(entries))
    return FieldShown(name, "json", _cut(json.dumps(value, ensure_ascii=False, indent=2)))


def _cut(text: str) -> str:
    return text if len(text) <= _CHARS else f"{text[:_CHARS]} …"
