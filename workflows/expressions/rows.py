"""Conditions as rows of field, operator and value, and the expressions that say the same."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from workflows.expressions.errors import ExpressionError, PathError, Position
from workflows.expressions.functions import FUNCTIONS
from workflows.expressions.names import plain_number
from workflows.expressions.paths import Path, parse_path
from workflows.expressions.references import expression_path
from workflows.expressions.syntax import (
    Call,
    Chain,
    Constant,
    ListOf,
    Node,
    Reference,
    Unary,
    parse_expression,
)
from workflows.lib.jsontypes import JSONValue as Json

Match = Literal["all", "any"]


class Operator(StrEnum):
    """What a row asks; the values are stored and travel over the API."""

    EQUALS = "equals"
    NOT_EQUALS = "not_equals"
    CONTAINS = "contains"
    NOT_CONTAINS = "not_contains"
    STARTS_WITH = "starts_with"
    ENDS_WITH = "ends_with"
    GREATER = "greater"
    GREATER_OR_EQUAL = "greater_or_equal"
    LESS = "less"
    LESS_OR_EQUAL = "less_or_equal"
    IS_EMPTY = "is_empty"
    IS_NOT_EMPTY = "is_not_empty"
    IS_ONE_OF = "is_one_of"
    IS_NOT_ONE_OF = "is_not_one_of"
    MATCHES = "matches"

    @property
    def label(self) -> str:
        """The operator in words, for the form."""
        return _LABELS[self]

    @property
    def takes_value(self) -> bool:
        """Whether the row needs a value beside it."""
        return self not in (Operator.IS_EMPTY, Operator.IS_NOT_EMPTY)


_LABELS: Final = {
    Operator.EQUALS: "equals",
    Operator.NOT_EQUALS: "does not equal",
    Operator.CONTAINS: "contains",
    Operator.NOT_CONTAINS: "does not contain",
    Operator.STARTS_WITH: "starts with",
    Operator.ENDS_WITH: "ends with",
    Operator.GREATER: "is greater than",
    Operator.GREATER_OR_EQUAL: "is at least",
    Operator.LESS: "is less than",
    Operator.LESS_OR_EQUAL: "is at most",
    Operator.IS_EMPTY: "is empty",
    Operator.IS_NOT_EMPTY: "is not empty",
    Operator.IS_ONE_OF: "is one of",
    Operator.IS_NOT_ONE_OF: "is not one of",
    Operator.MATCHES: "matches the pattern",
}
_SIGNS: Final = {
    Operator.EQUALS: "==",
    Operator.NOT_EQUALS: "!=",
    Operator.GREATER: ">",
    Operator.GREATER_OR_EQUAL: ">=",
    Operator.LESS: "<",
    Operator.LESS_OR_EQUAL: "<=",
}
_BY_SIGN: Final = {sign: operator for operator, sign in _SIGNS.items()}
_ASKS: Final = (
    Operator.CONTAINS,
    Operator.STARTS_WITH,
    Operator.ENDS_WITH,
    Operator.MATCHES,
    Operator.IS_EMPTY,
)
_OPPOSITE: Final = {
    Operator.CONTAINS: Operator.NOT_CONTAINS,
    Operator.IS_EMPTY: Operator.IS_NOT_EMPTY,
    Operator.IS_ONE_OF: Operator.IS_NOT_ONE_OF,
}


@dataclass(frozen=True, slots=True)
class Row:
    """`field` is a reference path such as `steps.Idea Analysis.score`, `value` a JSON value (a list for is_one_of)."""

    field: str
    operator: Operator
    value: Json = None


def rows_to_expression(rows: Iterable[Row], match: Match = "all") -> str:
    """The expression that holds when all rows hold, or any. No rows give `true`.

    Raises ExpressionError when a field is no reference or a value does not fit its operator.
    """
    written = [_row(row) for row in rows]
    return (" && " if match == "all" else " || ").join(written) or "true"


def _row(row: Row) -> str:
    field = expression_path(_path(row.field))
    operator = Operator(row.operator)
    if operator in _SIGNS:
        return f"{field} {_SIGNS[operator]} {_literal(row.value)}"
    if operator in (Operator.IS_ONE_OF, Operator.IS_NOT_ONE_OF):
        values = row.value if isinstance(row.value, list | tuple) else _pieces(row.value)
        text = f"{field} in [{', '.join(_literal(value) for value in values)}]"
        return text if operator is Operator.IS_ONE_OF else f"!({text})"
    if operator in (Operator.IS_EMPTY, Operator.IS_NOT_EMPTY):
        return f"{'!' if operator is Operator.IS_NOT_EMPTY else ''}is_empty({field})"
    name = Operator.CONTAINS.value if operator is Operator.NOT_CONTAINS else operator.value
    text = f"{name}({field}, {_literal(row.value)})"
    return f"!{text}" if operator is Operator.NOT_CONTAINS else text


def _pieces(value: Json) -> list[Json]:
    if isinstance(value, str):
        return [piece.strip() for piece in value.split(",") if piece.strip()]
    return [] if value is None else [value]


def _path(field: str) -> Path:
    written = re.sub(r"^\s*\{\{|\}\}\s*$", "", field)
    try:
        return parse_path(written.strip())
    except PathError as error:
        raise ExpressionError(
            "bad_reference", error.message.rstrip("."), Position.of(written, error.offset), "Choose a field."
        ) from None


def _literal(value: Json) -> str:
    if isinstance(value, dict | list | tuple):
        raise ExpressionError(
            "bad_value",
            "A row compares with a text, a number, true or false",
            Position(0, 1, 1),
            "Use the formula.",
        )
    return json.dumps(plain_number(value), ensure_ascii=False, allow_nan=False)


def expression_to_rows(
    text: str, labels: Iterable[str] | None = None
) -> tuple[tuple[Row, ...], Match] | None:
    """The rows that say the same as an expression, and how they are joined; None when rows cannot say it."""
    try:
        tree = parse_expression(text, labels)
    except ExpressionError:
        return None
    if isinstance(tree, Constant) and tree.value is True:
        return (), "all"
    parts: Sequence[Node] = (tree,)
    match: Match = "all"
    if isinstance(tree, Chain) and tree.signs[0] in ("&&", "||"):
        parts, match = tree.operands, "all" if tree.signs[0] == "&&" else "any"
    rows = [_read(part) for part in parts]
    found = tuple(row for row in rows if row is not None)
    return (found, match) if len(found) == len(rows) else None


def _read(node: Node) -> Row | None:
    if isinstance(node, Unary) and node.sign == "!":
        row = _read(node.operand)
        opposite = _OPPOSITE.get(row.operator) if row else None
        return Row(row.field, opposite, row.value) if row and opposite else None
    if isinstance(node, Chain) and len(node.operands) == 2 and isinstance(node.operands[0], Reference):
        field, other, sign = str(node.operands[0].path), node.operands[1], node.signs[0]
        if sign in _BY_SIGN and isinstance(other, Constant):
            return Row(field, _BY_SIGN[sign], other.value)
        if sign == "in" and isinstance(other, ListOf):
            values = [entry.value for entry in other.entries if isinstance(entry, Constant)]
            return Row(field, Operator.IS_ONE_OF, values) if len(values) == len(other.entries) else None
        return None
    if isinstance(node, Call) and node.arguments and isinstance(node.arguments[0], Reference):
        name = FUNCTIONS[node.name].name if node.name in FUNCTIONS else ""
        operator = next((asked for asked in _ASKS if asked.value == name), None)
        if operator is None:
            return None
        field, rest = str(node.arguments[0].path), node.arguments[1:]
        if not rest:
            return Row(field, operator) if operator is Operator.IS_EMPTY else None
        if len(rest) == 1 and isinstance(rest[0], Constant) and operator is not Operator.IS_EMPTY:
            return Row(field, operator, rest[0].value)
    return None
