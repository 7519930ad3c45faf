"""The one resolver of `{{ … }}`: reads a text once, fills in values as data, and never reads them again."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from workflows.expressions.errors import PathError, Position, TemplateError, UnresolvedReference
from workflows.expressions.names import MISSING, Missing, Scope, as_text
from workflows.expressions.paths import Path, parse_path, resolve
from workflows.lib.jsontypes import JSONValue as Json
from workflows.lib.limits import TEMPLATE_OUTPUT_CHARS

MAX_REFERENCES: Final = 2_000
MAX_DEPTH: Final = 60
_MAX_REFERENCE_CHARS: Final = 4_000
_CACHED_CHARS: Final = 20_000

_DEFAULT = re.compile(r"\s*default\s*:\s*(.*)", re.DOTALL)
_QUOTES: Final[Mapping[str, str]] = {"“": "”", "„": "“", "‘": "’"}


@dataclass(frozen=True, slots=True)
class Literal:
    """Text that stays as it is; `start` is its offset in the template."""

    text: str
    start: int


@dataclass(frozen=True, slots=True)
class TemplateReference:
    """One `{{ … }}`: `start` and `end` enclose the braces, `path_start` is where the path's text begins.

    `default` is the value of `| default: …`, or MISSING when there is none.
    """

    path: Path
    text: str
    start: int
    end: int
    path_start: int
    default: Json | Missing = MISSING


@dataclass(frozen=True, slots=True)
class Template:
    """A template that was read: its parts in order, and what is wrong with it."""

    text: str
    parts: tuple[Literal | TemplateReference, ...]
    errors: tuple[TemplateError, ...] = ()

    @property
    def references(self) -> tuple[TemplateReference, ...]:
        """The references that could be read, in order."""
        return tuple(part for part in self.parts if isinstance(part, TemplateReference))


def has_references(text: str) -> bool:
    """Whether a text holds anything to fill in."""
    return "{{" in text


def parse(text: str) -> Template:
    """Read a template. Raises the first TemplateError; `scan` gives all of them."""
    template = scan(text)
    if template.errors:
        raise template.errors[0]
    return template


def scan(text: str) -> Template:
    """Read a template without raising: faults are in `errors`, what could be read is in `parts`."""
    return _cached_scan(text) if len(text) <= _CACHED_CHARS else _scan(text)


def _scan(text: str) -> Template:
    parts: list[Literal | TemplateReference] = []
    errors: list[TemplateError] = []
    at = count = 0
    while (opened := text.find("{{", at)) >= 0:
        if opened > at:
            parts.append(Literal(text[at:opened], at))
        count += 1
        closed = _closing(text, opened + 2)
        if closed is None or count > MAX_REFERENCES:
            if closed is None:
                code, message = "unclosed", "“{{” is never closed: end the reference with “}}”."
            else:
                code, message = "too_many", f"A text holds at most {MAX_REFERENCES:,} references."
            errors.append(TemplateError(code, message, Position.of(text, opened)))
            at = len(text)
            break
        try:
            parts.append(_read_reference(text, opened, closed))
        except TemplateError as error:
            errors.append(error)
        at = closed + 2
    if at < len(text):
        parts.append(Literal(text[at:], at))
    return Template(text, tuple(parts), tuple(errors))


_cached_scan = lru_cache(maxsize=2_048)(_scan)


def _closing(text: str, at: int) -> int | None:
    """Where the `}}` of a reference stands; braces inside double quotes do not close it."""
    quoted = False
    for place in range(at, min(len(text), at + _MAX_REFERENCE_CHARS)):
        sign = text[place]
        if quoted and sign == "\\":
            continue
        if sign == '"' and not (quoted and _is_escaped(text, place)):
            quoted = not quoted
        elif not quoted and sign == "}" and text.startswith("}}", place):
            return place
    # An odd quote must not swallow the rest of the text: the first braces close it, and the quote is the error.
    found = text.find("}}", at)
    return found if found >= 0 else None


def _is_escaped(text: str, place: int) -> bool:
    slashes = 0
    while text[place - 1 - slashes] == "\\":
        slashes += 1
    return slashes % 2 == 1


def _read_reference(text: str, opened: int, closed: int) -> TemplateReference:
    inside = text[opened + 2 : closed]
    written, bar, rest = _split_at_bar(inside)
    try:
        path = parse_path(written)
    except PathError as error:
        place = Position.of(text, opened + 2 + error.offset)
        raise TemplateError("bad_reference", error.message, place, written.strip()[:200]) from None
    default: Json | Missing = MISSING
    if bar:
        place = Position.of(text, opened + 2 + len(written) + 1)
        default = _read_default(rest, place, str(path))
    return TemplateReference(path, written.strip(), opened, closed + 2, opened + 2, default)


def _split_at_bar(inside: str) -> tuple[str, str, str]:
    quoted = False
    for place, sign in enumerate(inside):
        if sign == '"' and not (quoted and _is_escaped(inside, place)):
            quoted = not quoted
        elif sign == "|" and not quoted:
            return inside[:place], "|", inside[place + 1 :]
    return inside, "", ""


def _read_default(rest: str, place: Position, path: str) -> Json:
    found = _DEFAULT.fullmatch(rest)
    if not found:
        message = 'After “|” only a default may stand: {{ name | default: "text" }}.'
        raise TemplateError("bad_default", message, place, path)
    written = found.group(1).strip()
    if len(written) >= 2 and (written[0] == written[-1] == "'" or _QUOTES.get(written[0]) == written[-1]):
        return written[1:-1]
    try:
        return json.loads(written, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        message = f'The default {written[:60]} cannot be read: put text in quotes, as in default: "text".'
        raise TemplateError(
            "bad_default", message if written else "The default is missing.", place, path
        ) from None


def _no_constant(name: str) -> Json:
    raise ValueError(name)


class _Room:
    """What is left of the limit on the text that one call may make."""

    def __init__(self, limit: int) -> None:
        self.left = limit
        self.limit = limit

    def take(self, count: int, template: Template, at: int, path: str = "") -> None:
        self.left -= count
        if self.left < 0:
            message = TEMPLATE_OUTPUT_CHARS.message.format(value=f"{self.limit:,}")
            raise TemplateError("too_large", message, Position.of(template.text, at), path)


def render(text: str, scope: Scope, *, limit: int = TEMPLATE_OUTPUT_CHARS.value) -> str:
    """The text with every reference filled in. Raises TemplateError; never leaves braces or silence behind.

    `limit` is the most characters the result may have.
    """
    if "{{" not in text and len(text) <= limit:
        return text
    return _fill(parse(text), scope, _Room(limit))


def render_value(value: Json, scope: Scope, *, limit: int = TEMPLATE_OUTPUT_CHARS.value) -> Json:
    """A JSON value with the texts in it filled in; keys stay as they are.

    A text that is exactly one reference becomes the value itself, with its type; others become text.
    Raises TemplateError; `limit` holds for all inserted characters together.
    """
    return _render_value(value, scope, _Room(limit), 0)


def _render_value(value: Json, scope: Scope, room: _Room, depth: int) -> Json:
    if depth > MAX_DEPTH:
        message = f"Settings may be nested {MAX_DEPTH} levels deep at most."
        raise TemplateError("too_deep", message, Position(0, 1, 1))
    if isinstance(value, str):
        if "{{" not in value:
            return value
        template = parse(value)
        if (only := _only_reference(template)) is not None:
            return _value_of(only, template, scope)
        return _fill(template, scope, room)
    if isinstance(value, list | tuple):
        return [_render_value(entry, scope, room, depth + 1) for entry in value]
    if isinstance(value, Mapping):
        return {key: _render_value(entry, scope, room, depth + 1) for key, entry in value.items()}
    return value


def _only_reference(template: Template) -> TemplateReference | None:
    """The reference, when there is nothing else but blank space around it."""
    found = template.references
    if len(found) != 1:
        return None
    rest = (part for part in template.parts if isinstance(part, Literal))
    return None if any(part.text.strip() for part in rest) else found[0]


def _fill(template: Template, scope: Scope, room: _Room) -> str:
    pieces: list[str] = []
    for part in template.parts:
        if isinstance(part, Literal):
            room.take(len(part.text), template, part.start)
            pieces.append(part.text)
        else:
            piece = _text_of(part, template, scope)
            room.take(len(piece), template, part.start, part.text)
            pieces.append(piece)
    return "".join(pieces)


def _value_of(part: TemplateReference, template: Template, scope: Scope) -> Json:
    """The value with its type; an explicit null is a value here, but a default replaces it."""
    try:
        value = resolve(part.path, scope)
    except UnresolvedReference as error:
        if part.default is not MISSING:
            return part.default
        place = Position.of(template.text, part.start)
        raise TemplateError(error.code, error.message, place, part.text, error.suggestion) from None
    return part.default if value is None and part.default is not MISSING else value


def _text_of(part: TemplateReference, template: Template, scope: Scope) -> str:
    value = _value_of(part, template, scope)
    place = Position.of(template.text, part.start)
    if _is_null(value):
        if part.default is MISSING:
            # Null in a sentence is a fault that nobody would see: the same rule as in expressions.
            message = (
                f'{part.text} is empty (null). Write {{{{ {part.text} | default: "…" }}}} if that may be.'
            )
            raise TemplateError("null_value", message, place, part.text)
        return "" if part.default is None else as_text(part.default)
    try:
        return as_text(value)
    except ValueError:
        message = f"{part.text} holds a value that cannot be written as text."
        raise TemplateError("bad_value", message, place, part.text) from None


def _is_null(value: Json) -> bool:
    return value is None or (isinstance(value, Mapping) and "content" in value and value["content"] is None)


def problems(text: str, scope: Scope | None = None) -> tuple[TemplateError, ...]:
    """Everything that is wrong with a template, in order; with a scope also what does not resolve in it."""
    template = scan(text)
    found = list(template.errors)
    if scope is not None:
        for part in template.references:
            try:
                _text_of(part, template, scope)
            except TemplateError as error:
                found.append(error)
    return tuple(sorted(found, key=lambda error: error.position.offset))
