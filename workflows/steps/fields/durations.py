"""Lengths of time in words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Final

from workflows.lib.jsontypes import JSONValue
from workflows.steps.fields.base import ConfigField, Rewrite

_UNITS: Final[Mapping[str, float]] = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3_600),
    **dict.fromkeys(("d", "day", "days"), 86_400),
    **dict.fromkeys(("w", "week", "weeks"), 604_800),
}
_PART = re.compile(r"\s*(?:,|and\s)?\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*")
MAX_DURATION: Final = timedelta(days=3_650)


def parse_duration(text: str) -> timedelta:
    """The length of time in “2 days”, “1 h 30 min”, “90” (seconds). Raises ValueError with a sentence."""
    text = text.strip()
    total, at = 0.0, 0
    while at < len(text):
        found = _PART.match(text, at)
        unit = (found.group(2).lower() or "s") if found else ""
        if not found or unit not in _UNITS:
            raise ValueError(f"“{text}” is no length of time.")
        total += float(found.group(1)) * _UNITS[unit]
        at = found.end()
        if total > MAX_DURATION.total_seconds():
            raise ValueError("A length of time is at most ten years.")
    if not text:
        raise ValueError("The length of time is missing.")
    return timedelta(seconds=total)


class DurationField(ConfigField):
    """A length of time in words: “2 days”, “1 h 30 min”, or a number of seconds."""

    kind = "duration"

    def read(self, raw: Any) -> JSONValue:
        if isinstance(raw, int | float) and not isinstance(raw, bool):
            return f"{raw:g} seconds"
        return str(super().read(raw)).strip()

    def faults(self, value: JSONValue) -> Iterator[tuple[str, str, str | None]]:
        yield from super().faults(value)
        if value and "{{" not in value:
            try:
                parse_duration(value)
            except ValueError as error:
                yield "bad_duration", str(error), "Write a number and a unit, for example: 2 days."

    def templates(self, value: JSONValue) -> Iterator[tuple[str, str]]:
        if value and "{{" in value:
            yield "", value

    def rewritten(self, value: JSONValue, template: Rewrite, expression: Rewrite) -> JSONValue:
        return template(value) if value and "{{" in value else value
