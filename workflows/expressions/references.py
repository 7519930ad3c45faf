"""Which data a text uses, and how to keep it right when a step gets another name (W7)."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from workflows.expressions.errors import ExpressionError
from workflows.expressions.functions import FUNCTIONS
from workflows.expressions.names import MISSING
from workflows.expressions.paths import Path, nearest, normal
from workflows.expressions.syntax import Call, Node, Select, children, parse_expression
from workflows.expressions.syntax import Reference as Leaf
from workflows.expressions.template import scan
from workflows.expressions.tokens import Kind, Token, tokenize
from workflows.lib.jsontypes import JSONValue as Json

__all__ = [
    "Reference",
    "expression_references",
    "nearest",
    "references",
    "rename_label",
    "rename_label_in_expression",
    "rename_label_in_value",
    "value_references",
]

_MAY_BE_MISSING = frozenset({"has", "default", "coalesce", "is_empty"})


@dataclass(frozen=True, slots=True)
class Reference:
    """One use of data: `start` and `end` are offsets in the text (a template's braces included).

    `guarded` means that a missing value is provided for: by a default, or by asking first.
    """

    path: Path
    start: int
    end: int
    guarded: bool = False

    @property
    def step(self) -> str | None:
        """The label of the step that is used, as written."""
        return self.path.label

    @property
    def variable(self) -> str | None:
        """The name of the variable that is used: `vars.NAME`."""
        return self.path.name if self.path.root == "vars" else None

    @property
    def input_field(self) -> str | None:
        """The field of the run's input that is used: `input.NAME`."""
        return self.path.name if self.path.root == "input" else None


def references(text: str) -> tuple[Reference, ...]:
    """The references of a template, in order; those that cannot be read are left out."""
    return tuple(
        Reference(part.path, part.start, part.end, part.default is not MISSING)
        for part in scan(text).references
    )


def value_references(value: Json) -> tuple[Reference, ...]:
    """The references in all texts of a JSON value; offsets are within each text."""
    return tuple(reference for text in _texts(value) for reference in references(text))


def _texts(value: Json, depth: int = 0) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif depth < 100 and isinstance(value, Mapping):
        for entry in value.values():
            yield from _texts(entry, depth + 1)
    elif depth < 100 and isinstance(value, list | tuple):
        for entry in value:
            yield from _texts(entry, depth + 1)


def expression_references(text: str, labels: Iterable[str] | None = None) -> tuple[Reference, ...]:
    """The references of an expression, in order; none when it cannot be read (`check` says why)."""
    try:
        tree = parse_expression(text, labels)
    except ExpressionError:
        return ()
    found = _leaves(tree, guarded=False)
    return tuple(sorted(found, key=lambda reference: reference.start))


def _leaves(node: Node, *, guarded: bool) -> Iterator[Reference]:
    if isinstance(node, Leaf):
        yield Reference(node.path, node.start, node.end, guarded)
        return
    for place, child in enumerate(children(node)):
        asks = (
            isinstance(node, Call)
            and node.name in FUNCTIONS
            and FUNCTIONS[node.name].name in _MAY_BE_MISSING
            and (place == 0 or place < len(node.arguments) - 1)
        )
        yield from _leaves(child, guarded=asks or (guarded and isinstance(node, Select)))


def rename_label(text: str, old: str, new: str) -> str:
    """A template with every reference to one step's label changed to its new label; the rest stays as it is."""
    pieces: list[str] = []
    at = 0
    for part in scan(text).references:
        label = part.path.label
        if label is None or normal(label) != normal(old):
            continue
        start, end = (part.path_start + offset for offset in part.path.spans[1])
        # A label may begin with a single quote; only one in brackets is quoted.
        quoted = text[:start].rstrip().endswith("[")
        pieces += [text[at:start], json.dumps(new, ensure_ascii=False) if quoted else new]
        at = end
    return "".join((*pieces, text[at:])) if pieces else text


def rename_label_in_value(value: Json, old: str, new: str) -> Json:
    """A JSON value with `rename_label` done in every text of it."""
    if isinstance(value, str):
        return rename_label(value, old, new)
    if isinstance(value, list | tuple):
        return [rename_label_in_value(entry, old, new) for entry in value]
    if isinstance(value, Mapping):
        return {key: rename_label_in_value(entry, old, new) for key, entry in value.items()}
    return value


def rename_label_in_expression(text: str, old: str, new: str, labels: Iterable[str] = ()) -> str:
    """An expression with every reference to one step's label changed; works on unfinished expressions too.

    `labels` are the labels that exist, for those that hold signs; the old one is always known.
    """
    try:
        tokens = tokenize(text, {*labels, old})
    except ExpressionError:
        return _rename_by_pattern(text, old, new)
    pieces: list[str] = []
    at = 0
    for place, token in enumerate(tokens):
        if token.kind is Kind.LABEL and normal(str(token.value)) == normal(old):
            written = _dotted(new)
            start = token.start if written == new else tokens[place - 1].start
        elif _is_bracketed_label(tokens, place) and normal(str(token.value)) == normal(old):
            written, start = json.dumps(new, ensure_ascii=False), token.start
        else:
            continue
        pieces += [text[at:start], written]
        at = token.end
    return "".join((*pieces, text[at:])) if pieces else text


def _dotted(label: str) -> str:
    """How a label follows `steps`: plain when its words can be told from signs, else in brackets."""
    try:
        tokens = tokenize(f"steps.{label}.x")
    except ExpressionError:
        tokens = []
    if len(tokens) == 6 and tokens[2].kind is Kind.LABEL and tokens[2].value == label:
        return label
    return f"[{json.dumps(label, ensure_ascii=False)}]"


def _is_bracketed_label(tokens: list[Token], place: int) -> bool:
    return (
        tokens[place].kind is Kind.TEXT
        and place >= 2
        and tokens[place - 1].is_sign("[")
        and tokens[place - 2].kind is Kind.NAME
        and tokens[place - 2].value == "steps"
        and not (place >= 3 and tokens[place - 3].is_sign("."))
    )


def _rename_by_pattern(text: str, old: str, new: str) -> str:
    """For expressions that cannot be cut into tokens yet: what plainly is a reference is renamed."""
    written = _dotted(new)
    plain = re.compile(rf"(?<![\w.])steps\s*\.\s*{re.escape(old.strip())}(?!\w)", re.IGNORECASE)
    text = plain.sub(lambda _: f"steps.{new}" if written == new else f"steps{written}", text)
    quoted = re.compile(rf"(?<![\w.])steps\s*\[\s*([\"']){re.escape(old.strip())}\1\s*\]", re.IGNORECASE)
    return quoted.sub(lambda _: f"steps[{json.dumps(new, ensure_ascii=False)}]", text)


def expression_path(path: Path) -> str:
    """A path as it is written in an expression; whatever is not a plain name goes into brackets."""
    written = path.root
    for place, part in enumerate(path.parts):
        if isinstance(part, int):
            written += f"[{part}]"
        elif path.root == "steps" and place == 0:
            form = _dotted(part)
            written += f".{form}" if form == part else form
        elif re.fullmatch(r"[^\W\d]\w*", part):
            written += f".{part}"
        else:
            written += f"[{json.dumps(part, ensure_ascii=False)}]"
    return written
