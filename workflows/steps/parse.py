"""Reads a text that has a shape (JSON, CSV, a Markdown list, lines) as data that later steps can use."""

from __future__ import annotations

import csv
import io
import re
from typing import Final

from django import forms

from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.steps.asking import found_json
from workflows.steps.base import Completed, ExecutionKind, Group, Outcome, StepContext, StepError, StepType
from workflows.steps.fields import BoolField, ChoiceField, TemplateField, filled
from workflows.steps.registry import register
from workflows.steps.values import PREVIOUS, check_output, needed_text, plural

MAX_ITEMS: Final = 100_000
_FORMATS: Final = (
    ("json", "JSON"),
    ("csv", "CSV, a table with commas"),
    ("markdown_list", "A Markdown list"),
    ("lines", "Lines"),
)
_SEPARATORS: Final = (
    ("auto", "Found by itself"),
    ("comma", "Comma"),
    ("semicolon", "Semicolon"),
    ("tab", "Tab"),
    ("pipe", "Vertical bar"),
)
_SIGNS: Final = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
# A list entry: indent, bullet or number, then its text; a box of a task list is no text.
_ENTRY = re.compile(r"^(?P<indent>[ \t]*)(?:[-*+•]|\d{1,9}[.)])[ \t]+(?:\[[ xX]\][ \t]+)?(?P<text>\S.*)$")
_FENCE = re.compile(r"^[ \t]*(```+|~~~+)")


@register
class ParseStep(StepType):
    """Reads JSON, CSV, a Markdown list or lines, and gives them on as data."""

    name, label, icon, group = "parse", "Parse", "list-checks", Group.DO
    tagline = "JSON, CSV or a list"
    aliases = ("parse_json", "parse_csv", "parser")

    class ConfigForm(forms.Form):
        text = TemplateField(label="Text", section="Text", rows=2, initial=PREVIOUS, required=True)
        format = ChoiceField(
            label="Read as",
            choices=_FORMATS,
            help_text="JSON may stand in a code fence or between words. A Markdown list may be bulleted or numbered.",
            section="Shape",
            other_names=("type",),
        )
        separator = ChoiceField(
            label="Columns end with",
            choices=_SEPARATORS,
            section="Shape",
            shown_when=("format", ("csv",)),
            more=True,
        )
        header = BoolField(
            label="The first row names the columns",
            help_text="Each row is then an object with these names; else a list.",
            section="Shape",
            initial=True,
            shown_when=("format", ("csv",)),
        )

    def kind(self, config: JSONObject) -> ExecutionKind:
        return ExecutionKind.CPU

    def summary(self, config: JSONObject) -> str:
        return f"Reads {dict(_FORMATS).get(config.get('format', 'json'), 'a text')}"

    def output_fields(self, config: JSONObject) -> tuple[tuple[str, str], ...]:
        kind = "any" if config.get("format", "json") == "json" else "array"
        return (("content", kind), ("items", "array"), ("count", "number"))

    def execute(self, context: StepContext) -> Outcome:
        """The data as `content`; where it is a list also as `items`, with their `count`. Raises StepError."""
        setting = filled(self.ConfigForm, context.config)
        text = needed_text(context, setting["text"], field="text", label="Text")
        if setting["format"] == "csv":
            value: JSONValue = rows_of(text, separator=setting["separator"], header=setting["header"])
        elif setting["format"] == "markdown_list":
            value = entries_of(text)
        elif setting["format"] == "lines":
            value = [line.strip() for line in text.splitlines() if line.strip()]
        else:
            value = self._json(text)
        output: JSONObject = {"content": value}
        notes = ""
        if isinstance(value, list):
            if not value:
                raise StepError(
                    "The text holds no entries.",
                    code="empty_list",
                    field="text",
                    fix="Look at what the step before gives, or choose another shape.",
                    detail=text[:500],
                )
            if len(value) > MAX_ITEMS:
                raise StepError(
                    f"The text holds more than {MAX_ITEMS:,} entries.", code="too_many", field="text"
                )
            output |= {"items": value, "count": len(value)}
            notes = plural(len(value), "entry", "entries")
        return Completed(check_output(output), notes=notes)

    def _json(self, text: str) -> JSONValue:
        value, found = found_json(text)
        if not found:
            raise StepError(
                "The text is no JSON.",
                code="invalid_json",
                field="text",
                fix="Look at what the step before gives, or choose another shape.",
                detail=text[:500],
            )
        return value


def rows_of(text: str, *, separator: str, header: bool) -> list[JSONValue]:
    """The rows of a CSV text: objects by the names of the first row, or lists. Raises StepError."""
    text = text.removeprefix("\ufeff").strip("\r\n")
    sign = _SIGNS.get(separator) or _separator_in(text)
    try:
        rows = [
            row for row in csv.reader(io.StringIO(text), delimiter=sign) if any(cell.strip() for cell in row)
        ]
    except csv.Error as error:
        raise StepError(f"The text is no CSV: {error}.", code="bad_csv", field="text") from error
    if not header or not rows:
        return [list(row) for row in rows]
    names = _names(rows[0])
    found: list[JSONValue] = []
    for number, row in enumerate(rows[1:], start=2):
        if len(row) > len(names):
            raise StepError(
                f"Row {number} has {plural(len(row), 'cell')}, and there are {plural(len(names), 'column')}.",
                code="bad_csv",
                field="separator",
                fix="Choose what the columns end with, or put cells that hold it in quotes.",
            )
        found.append(dict(zip(names, [*row, *[""] * (len(names) - len(row))], strict=True)))
    return found


def _separator_in(text: str) -> str:
    """The sign that splits the first rows most evenly; a comma where nothing does."""
    lines = text.splitlines()[:20]

    def evenness(sign: str) -> tuple[bool, int]:
        counts = [len(row) for row in csv.reader(lines, delimiter=sign) if row]
        return (len(set(counts)) == 1, min(counts, default=1))

    try:
        best = max(_SIGNS.values(), key=lambda sign: (evenness(sign)[1] > 1, *evenness(sign)))
    except csv.Error:
        return ","
    return best if evenness(best)[1] > 1 else ","


def _names(row: list[str]) -> list[str]:
    """Names of columns: nameless ones are counted, doubled ones get a number."""
    names: list[str] = []
    for place, cell in enumerate(row, start=1):
        name = base = cell.strip() or f"column_{place}"
        count = 1
        while name in names:
            count += 1
            name = f"{base}_{count}"
        names.append(name)
    return names


def entries_of(text: str) -> list[JSONValue]:
    """The entries of the lists in a Markdown text, outermost level; what is indented below stays with its entry."""
    entries: list[list[str]] = []
    outer: int | None = None
    fence = ""
    for line in text.expandtabs(4).splitlines():
        if fence:
            if entries:
                entries[-1].append(line)
            if line.strip().startswith(fence):
                fence = ""
            continue
        opened = _FENCE.match(line)
        matched = None if opened else _ENTRY.match(line)
        indent = len(line) - len(line.lstrip())
        if opened:
            fence = opened.group(1)
            if entries:
                entries[-1].append(line)
        elif matched and (outer is None or indent < outer + 2):
            outer = indent if outer is None else min(outer, indent)
            entries.append([matched.group("text")])
        elif entries and line.strip() and (indent > (outer or 0) or entries[-1][-1].strip()):
            # Deeper lines, and lines that simply go on, belong to the entry; a paragraph after a blank line does not.
            entries[-1].append(line)
        elif entries and not line.strip():
            entries[-1].append("")
        elif entries and indent <= (outer or 0):
            outer = None
            entries[-1].append("")
    return [_joined(lines) for lines in entries]


def _joined(lines: list[str]) -> str:
    first, rest = lines[0].strip(), lines[1:]
    depths = [len(line) - len(line.lstrip()) for line in rest if line.strip()]
    least = min(depths, default=0)
    return "\n".join([first, *(line[least:].rstrip() for line in rest)]).strip()
