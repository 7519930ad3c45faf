"""Conditions of step types: rows or an expression, asked of the data, and said in words."""

from __future__ import annotations

from workflows.expressions.errors import ExpressionError
from workflows.expressions.language import evaluate_bool
from workflows.expressions.names import Scope
from workflows.expressions.rows import Operator, Row, rows_to_expression
from workflows.lib.jsontypes import JSONObject
from workflows.steps.words import spoken_expression


def expression_of(condition: JSONObject) -> str:
    """The expression that a condition stands for. Raises ExpressionError; an empty condition gives ""."""
    rows = condition.get("rows") or ()
    if not rows:
        return str(condition.get("expression") or "")
    return rows_to_expression(
        [_row(row) for row in rows], "any" if condition.get("match") == "any" else "all"
    )


def expression_of_row(row: JSONObject) -> str:
    """One row as an expression; "" when it cannot be said (`row_fault` says why)."""
    try:
        return rows_to_expression([_row(row)])
    except (ExpressionError, ValueError):
        return ""


def row_fault(row: JSONObject) -> str | None:
    """What is wrong with a row, as a sentence."""
    if not row.get("field"):
        return "the field is missing."
    if row.get("operator") not in {operator.value for operator in Operator}:
        return f"there is no operator “{row.get('operator')}”."
    try:
        rows_to_expression([_row(row)])
    except ExpressionError as error:
        return f"{error.message.rstrip('.')}."
    except ValueError as error:
        return f"{error}."
    return None


def holds(condition: JSONObject, scope: Scope) -> bool:
    """Whether the condition holds for the data. Raises ExpressionError."""
    return evaluate_bool(expression_of(condition), scope)


def in_words(condition: JSONObject) -> str:
    """The condition as people say it; "" when it says nothing."""
    rows = condition.get("rows") or ()
    if rows:
        joined = " or " if condition.get("match") == "any" else " and "
        return joined.join(_row_in_words(row) for row in rows)
    return spoken_expression(str(condition.get("expression") or ""))


def _row(row: JSONObject) -> Row:
    return Row(row["field"], Operator(row["operator"]), row.get("value"))


def _row_in_words(row: JSONObject) -> str:
    try:
        operator = Operator(row["operator"])
    except ValueError:
        return str(row["field"])
    value = row.get("value")
    shown = (
        ", ".join(map(str, value))
        if isinstance(value, list)
        else f"“{value}”"
        if isinstance(value, str)
        else value
    )
    return f"{spoken_expression(str(row['field']))} {operator.label}" + (
        f" {shown}" if operator.takes_value else ""
    )
