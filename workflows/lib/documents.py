"""YAML and JSON texts that people write and read: safe to read whoever wrote them, and always the same text for the same data."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import yaml

from workflows.lib.errors import Invalid, Problem, TooLarge
from workflows.lib.jsontypes import JSONValue
from workflows.lib.limits import Limit

MAX_DEPTH: Final = 80
DOCUMENT_BYTES: Final = Limit(8_000_000, "bytes", "A document is at most {value} bytes of text.")

_Place = tuple[str | int, ...]
# libyaml reads the same texts ten times faster; without it the one in Python serves.
_Safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Safe):  # type: ignore[misc]
    """YAML without its traps: as in YAML 1.2, `no`, `12:30` and `2026-11-20` are texts, and nothing but data is made."""


_TAG: Final = "tag:yaml.org,2002:"
# What is no text though it stands there without quotes: (kind, pattern, first characters).
_SCALARS: Final = (
    ("null", re.compile(r"~|null|Null|NULL|"), ["~", "n", "N", ""]),
    ("bool", re.compile(r"true|True|TRUE|false|False|FALSE"), list("tTfF")),
    ("int", re.compile(r"[-+]?(?:0|[1-9][0-9]*)"), list("-+0123456789")),
    (
        "float",
        re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"),
        list("-+.0123456789"),
    ),
    ("merge", re.compile(r"<<"), ["<"]),
)
_Loader.yaml_implicit_resolvers = {}
for _kind, _pattern, _first in _SCALARS:
    _Loader.add_implicit_resolver(_TAG + _kind, re.compile(rf"(?:{_pattern.pattern})$"), _first)


@dataclass(frozen=True, slots=True)
class Document:
    """What a text says, and where: `line_of` gives the line of a path such as `workflows[0].nodes[2].config`."""

    data: JSONValue
    lines: Mapping[str, int]

    def line_of(self, path: str | None) -> int | None:
        """The line (from 1) of this place, else of the nearest one around it; None when nothing is known."""
        at = path or ""
        while at:
            if at in self.lines:
                return self.lines[at]
            at = at[: max(at.rfind("."), at.rfind("["), 0)]
        return self.lines.get("")

    def placed(self, problems: Iterable[Problem]) -> tuple[Problem, ...]:
        """The problems with their lines: `line 12, workflows[0].nodes[2].config`."""
        return tuple(
            replace(problem, path=f"line {line}, {problem.path}" if problem.path else f"line {line}")
            if (line := self.line_of(problem.path)) is not None
            else problem
            for problem in problems
        )


def read_document(text: str, limit: Limit = DOCUMENT_BYTES) -> Document:
    """The value of a YAML or JSON text, with the line of each part.

    Invalid with line and column for what is neither, for a key that is there twice, for anchors and aliases (a few of
    them unfold to gigabytes), for NaN, NUL, and too deep nesting; TooLarge past the limit.
    """
    if len(text) > limit.value or len(text.encode("utf-8", "surrogatepass")) > limit.value:
        raise TooLarge(
            limit.says(), problems=(Problem("too_large", limit.says(), field="document", path=None),)
        )
    text = text.removeprefix("\ufeff")
    if not text.isascii() and any("\ud800" <= sign <= "\udfff" for sign in text):
        raise refusal("The text holds half of a surrogate pair. Send it as valid Unicode.")
    if text.lstrip()[:1] in ("{", "["):
        try:
            # JSON that is sound is read as JSON: YAML reads some of its escapes otherwise.
            return Document(_checked(json.loads(text, object_pairs_hook=_once)), _lines_of_json(text))
        except (ValueError, RecursionError):
            pass  # YAML says where it breaks.
    try:
        if any(
            isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None)
            for event in yaml.parse(text, Loader=_Loader)
        ):
            raise refusal("Anchors and aliases (& and *) are not read here. Write the text out.")
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            lines: dict[str, int] = {}
            data = None if node is None else _built(loader, node, "", lines, 0)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark is not None else None
        raise refusal(f"This is neither YAML nor JSON: {error.problem or error.context}.", place) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise refusal(f"This is neither YAML nor JSON: {str(error) or 'it is nested too deep'}.") from error
    return Document(_checked(data), lines)


def refusal(message: str, place: str | None = None) -> Invalid:
    """Invalid with this one problem; the place stands in the message too, for whoever shows nothing else."""
    said = f"{message} ({place})" if place else message
    return Invalid(said, code="bad_document", problems=(Problem("bad_document", message, path=place),))


def _built(loader: Any, node: Any, path: str, lines: dict[str, int], depth: int) -> JSONValue:
    lines[path] = node.start_mark.line + 1
    kind = {yaml.MappingNode: "map", yaml.SequenceNode: "seq"}.get(type(node))
    if kind is not None and node.tag != _TAG + kind:
        raise refusal(f"The tag {node.tag} is not read here.", f"line {lines[path]}")
    if depth > MAX_DEPTH:
        raise refusal(f"It is nested more than {MAX_DEPTH} levels deep.", f"line {lines[path]}")
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            place = f"line {key_node.start_mark.line + 1}, column {key_node.start_mark.column + 1}"
            if key_node.tag.endswith(":merge"):
                raise refusal("Merge keys (<<) are not read here. Write the text out.", place)
            key = loader.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise refusal(f"The key {key!r} is not a text. Put it into quotes.", place)
            if key in found:
                raise refusal(f"The key “{key}” is there twice.", place)
            found[key] = _built(loader, value_node, f"{path}.{key}" if path else key, lines, depth + 1)
        return found
    if isinstance(node, yaml.SequenceNode):
        return [
            _built(loader, entry, f"{path}[{index}]", lines, depth + 1)
            for index, entry in enumerate(node.value)
        ]
    value: JSONValue = loader.construct_object(node, deep=True)
    if not (value is None or isinstance(value, str | bool | int | float)):
        raise refusal("This kind of value is not read here.", f"line {lines[path]}")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found


def _lines_of_json(text: str) -> dict[str, int]:
    """Lines of JSON's parts, by reading it as YAML (of which it is nearly a part); empty where that fails."""
    lines: dict[str, int] = {}
    try:
        if (node := yaml.compose(text, Loader=_Loader)) is not None:
            _lines(node, "", lines)
    except (yaml.YAMLError, RecursionError):
        return {}
    return lines


def _lines(node: Any, path: str, lines: dict[str, int]) -> None:
    lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key_node, value_node in node.value:
            _lines(value_node, f"{path}.{key_node.value}" if path else str(key_node.value), lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, entry in enumerate(node.value):
            _lines(entry, f"{path}[{index}]", lines)


def _checked(data: JSONValue) -> JSONValue:
    """Refuse what JSON cannot hold or no database keeps."""
    todo: list[tuple[JSONValue, int]] = [(data, 0)]
    while todo:
        value, depth = todo.pop()
        if depth > MAX_DEPTH:
            raise refusal(f"It is nested more than {MAX_DEPTH} levels deep.")
        if isinstance(value, float) and not math.isfinite(value):
            raise refusal(f"{value} is not a number that can be kept.")
        if isinstance(value, str) and "\x00" in value:
            raise refusal("The text holds a NUL character. Remove it.")
        if isinstance(value, dict):
            todo.extend((entry, depth + 1) for entry in value.values())
            todo.extend((key, depth + 1) for key in value)
        elif isinstance(value, list):
            todo.extend((entry, depth + 1) for entry in value)
    return data


# --- Writing ----------------------------------------------------------------------------------------------------------


class Line(dict[str, Any]):
    """An object that is written on one line in YAML: a path, a place."""


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, as people write them."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        # Lists stand in from what they belong to: an outline that eyes can follow.
        super().increase_indent(flow, False)


class _PlainDumper(_Dumper):
    """The same without blocks, for the rare text that a block would not give back."""


def _block(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


def _quoted(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')


def _line(dumper: yaml.SafeDumper, data: Line) -> yaml.MappingNode:
    return dumper.represent_mapping("tag:yaml.org,2002:map", data, flow_style=True)


for _kind, _pattern, _first in _SCALARS:
    # Texts that a reader of either YAML takes for something else are put into quotes.
    _Dumper.add_implicit_resolver(_TAG + _kind, re.compile(rf"(?:{_pattern.pattern})$"), _first)
    _PlainDumper.add_implicit_resolver(_TAG + _kind, re.compile(rf"(?:{_pattern.pattern})$"), _first)
_Dumper.add_representer(str, _block)
_PlainDumper.add_representer(str, _quoted)
_Dumper.add_representer(Line, _line)
_PlainDumper.add_representer(Line, _line)


def write_yaml(data: JSONValue) -> str:
    """The data as YAML: reading it gives the data again, and the same data gives the same text."""
    for dumper in (_Dumper, _PlainDumper):
        text: str = yaml.dump(
            data, Dumper=dumper, sort_keys=False, allow_unicode=True, width=110, default_flow_style=False
        )
        try:
            if read_document(text, _ANY_LENGTH).data == data:
                return text
        except Invalid:
            continue
    return write_json(data)  # of which YAML is nearly a superset: always readable here


def write_json(data: JSONValue) -> str:
    """The data as JSON with two spaces; the same data gives the same text."""
    return json.dumps(data, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


_ANY_LENGTH: Final = Limit(10**12, "bytes", "")
