"""Rows of field, operator and value, and the expressions that say the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.expressions.errors import ExpressionError
from workflows.expressions.language import evaluate_bool
from workflows.expressions.names import Scope
from workflows.expressions.rows import Operator, Row, expression_to_rows, rows_to_expression

SCOPE = Scope(
    input={"n": 5, "s": "Hello", "list": ["a", "b"], "blank": " "},
    steps={"Idea Analysis": {"score": 8}, "A > B": {"ok": True}},
)

ROWS: list[tuple[Row, str, bool]] = [
    (Row("input.n", Operator.EQUALS, 5), "input.n == 5", True),
    (Row("input.n", Operator.NOT_EQUALS, 5), "input.n != 5", False),
    (Row("input.n", Operator.GREATER, 4.5), "input.n > 4.5", True),
    (Row("input.n", Operator.GREATER_OR_EQUAL, 5), "input.n >= 5", True),
    (Row("input.n", Operator.LESS, 5), "input.n < 5", False),
    (Row("input.n", Operator.LESS_OR_EQUAL, 5.0), "input.n <= 5", True),
    (Row("input.s", Operator.CONTAINS, 'l"'), 'contains(input.s, "l\\"")', False),
    (Row("input.s", Operator.NOT_CONTAINS, "x"), '!contains(input.s, "x")', True),
    (Row("input.list", Operator.CONTAINS, "a"), 'contains(input.list, "a")', True),
    (Row("input.s", Operator.STARTS_WITH, "He"), 'starts_with(input.s, "He")', True),
    (Row("input.s", Operator.ENDS_WITH, "x"), 'ends_with(input.s, "x")', False),
    (Row("input.blank", Operator.IS_EMPTY), "is_empty(input.blank)", True),
    (Row("input.gone", Operator.IS_NOT_EMPTY), "!is_empty(input.gone)", False),
    (Row("input.s", Operator.IS_ONE_OF, ["Hello", 3]), 'input.s in ["Hello", 3]', True),
    (Row("input.s", Operator.IS_NOT_ONE_OF, ["x"]), '!(input.s in ["x"])', True),
    (Row("input.s", Operator.MATCHES, "^H.+o$"), 'matches(input.s, "^H.+o$")', True),
    (Row("steps.Idea Analysis.score", Operator.GREATER, 7), "steps.Idea Analysis.score > 7", True),
    (Row("steps.A > B.ok", Operator.EQUALS, True), 'steps["A > B"].ok == true', True),
]


@pytest.mark.parametrize(("row", "text", "holds"), ROWS, ids=[text for _, text, _ in ROWS])
def test_a_row_is_an_expression_and_the_way_back(row: Row, text: str, holds: bool) -> None:
    assert rows_to_expression([row]) == text
    assert evaluate_bool(text, SCOPE) is holds
    assert expression_to_rows(text) == ((row,), "all")


def test_rows_are_joined_by_all_or_any() -> None:
    rows = (Row("input.n", Operator.GREATER, 1), Row("input.s", Operator.EQUALS, "x"))
    assert rows_to_expression(rows, "any") == 'input.n > 1 || input.s == "x"'
    assert expression_to_rows('input.n > 1 || input.s == "x"') == (rows, "any")
    assert expression_to_rows('input.n > 1 && input.s == "x"') == (rows, "all")
    assert rows_to_expression([]) == "true"
    assert expression_to_rows("true") == ((), "all")


def test_a_field_may_be_given_with_braces_and_a_list_as_text() -> None:
    assert rows_to_expression([Row("{{ input.s }}", Operator.IS_ONE_OF, "a, b")]) == 'input.s in ["a", "b"]'


def test_what_rows_cannot_say_stays_a_formula() -> None:
    for text in (
        "input.n > 1 && (input.s == 'x' || input.n < 9)",
        "input.n + 1 > 2",
        "1 < input.n",
        "input.n >",
        "size(input.s)",
    ):
        assert expression_to_rows(text) is None


def test_a_field_that_is_no_reference_is_refused() -> None:
    for row in (
        Row("3 + 4", Operator.EQUALS, 1),
        Row("", Operator.IS_EMPTY),
        Row("input.n", Operator.EQUALS, {"a": 1}),
    ):
        with pytest.raises(ExpressionError):
            rows_to_expression([row])


def test_every_operator_has_words() -> None:
    assert all(operator.label for operator in Operator)
    assert [operator for operator in Operator if not operator.takes_value] == [
        Operator.IS_EMPTY,
        Operator.IS_NOT_EMPTY,
    ]


@given(st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=50))
def test_any_text_may_be_compared_with(value: str) -> None:
    text = rows_to_expression([Row("input.v", Operator.EQUALS, value)])
    assert evaluate_bool(text, Scope(input={"v": value})) is True
    assert expression_to_rows(text) == ((Row("input.v", Operator.EQUALS, value),), "all")
