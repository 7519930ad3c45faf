"""Lists of items for loops and fan-outs: a list as it is, or a text taken apart by JSON, headings, lists or lines."""

from __future__ import annotations

import json
import re
from typing import Final

from workflows.expressions.names import as_text
from workflows.lib.jsontypes import JSONValue
from workflows.steps.base import NewItem

SPLITS: Final = (
    ("auto", "By what it looks like"),
    ("json", "JSON"),
    ("headings", "Headings"),
    ("numbered", "Numbered list"),
    ("bulleted", "Bulleted list"),
    ("lines", "Lines"),
)
_HEADING = re.compile(r"^(#{1,6})\s+(.+?)\s*#*$")
_NUMBERED = re.compile(r"^\s{0,3}(?:\*\*)?(\d{1,4})[.)]\s+(.*)$")
_BULLET = re.compile(r"^\s{0,3}[-*+•]\s+(.*)$")
_FENCE = re.compile(r"^\s*```(?:json)?\s*\n(.*?)\n\s*```", re.DOTALL)


def items_of(value: JSONValue, split: str = "auto") -> list[NewItem]:
    """The items of a list, of an object's `items`, or of a text. What has no parts is one item; nothing is none."""
    if isinstance(value, dict):
        if isinstance(value.get("items"), list):
            return [NewItem(item) for item in value["items"]]
        if "content" in value:
            return items_of(value["content"], split)
        return [NewItem({"key": key, "value": part}, str(key)) for key, part in value.items()]
    if isinstance(value, list):
        return [NewItem(item) for item in value]
    if value is None:
        return []
    return _split(value if isinstance(value, str) else as_text(value), split)


# What a list or a title puts before its words; "2024 in numbers" keeps its year.
_MARK = re.compile(r"^\s*(?:#{1,6}|[-*•]|\d+[.)])\s+")


def heading_of(value: JSONValue) -> str:
    """The heading of an item that has none: its heading, title, name or description, else its first line (07 §2)."""
    if isinstance(value, dict):
        for name in ("heading", "title", "name", "description"):
            found = value.get(name)
            if isinstance(found, str) and found.strip():
                return found
    try:
        text = as_text(value)
    except ValueError:
        return ""
    return next((_MARK.sub("", line).strip() for line in text.splitlines() if line.strip()), "")


def _split(text: str, split: str) -> list[NewItem]:
    if not text.strip():
        return []
    ways = {
        "json": _json,
        "headings": _headings,
        "numbered": _numbered,
        "bulleted": _bulleted,
        "lines": _lines,
    }
    if split != "auto":
        return ways[split](text)
    for name in ("json", "headings", "numbered", "bulleted"):
        found = ways[name](text)
        if len(found) > 1 or (name == "json" and found):
            return found
    return _lines(text) if "\n" in text.strip() else [NewItem(text.strip())]


def _json(text: str) -> list[NewItem]:
    fenced = _FENCE.search(text)
    try:
        value = json.loads(fenced.group(1) if fenced else text)
    except ValueError:
        return []
    if isinstance(value, dict):
        lists = [part for part in value.values() if isinstance(part, list)]
        value = lists[0] if len(lists) == 1 else [value]
    return [NewItem(item) for item in value] if isinstance(value, list) else []


def _headings(text: str) -> list[NewItem]:
    """One item per heading of the highest level that occurs more than once, with all that stands below it."""
    lines = text.splitlines()
    levels = [len(match.group(1)) for line in lines if (match := _HEADING.match(line))]
    repeated = sorted({level for level in levels if levels.count(level) > 1}) or sorted(set(levels))
    if not repeated:
        return []
    parts: list[tuple[str, list[str]]] = []
    for line in lines:
        match = _HEADING.match(line)
        if match and len(match.group(1)) == repeated[0]:
            parts.append((match.group(2), [line]))
        elif parts and not (match and len(match.group(1)) < repeated[0]):
            parts[-1][1].append(line)
    return [NewItem("\n".join(body).strip(), heading) for heading, body in parts]


def _numbered(text: str) -> list[NewItem]:
    return _marked(text, _NUMBERED, 2)


def _bulleted(text: str) -> list[NewItem]:
    return _marked(text, _BULLET, 1)


def _marked(text: str, mark: re.Pattern[str], group: int) -> list[NewItem]:
    """One item per marked line, with the lines below it that are indented or follow without a gap."""
    parts: list[list[str]] = []
    for line in text.splitlines():
        match = mark.match(line)
        if match:
            parts.append([match.group(group)])
        elif parts and (line.startswith((" ", "\t")) or line.strip()):
            parts[-1].append(line.strip())
    found = ["\n".join(part).strip() for part in parts]
    return [NewItem(part, _title(part)) for part in found if part]


def _title(text: str) -> str:
    first = text.splitlines()[0]
    bold = re.match(r"\*\*(.+?)\*\*", first)
    return (bold.group(1) if bold else first).strip(" :*")


def _lines(text: str) -> list[NewItem]:
    return [NewItem(line.strip()) for line in text.splitlines() if line.strip()]
