"""Which data a text uses, and renaming a step everywhere."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from workflows.expressions.language import check, evaluate
from workflows.expressions.names import Scope
from workflows.expressions.paths import Path, is_valid_label, nearest, normal, parse_path
from workflows.expressions.references import (
    expression_path,
    expression_references,
    references,
    rename_label,
    rename_label_in_expression,
    rename_label_in_value,
    value_references,
)
from workflows.expressions.template import render

labels = (
    st.text(min_size=1, max_size=12)
    .map(str.strip)
    .filter(is_valid_label)
    .filter(lambda t: normal(t) != "plan")
)


def test_a_template_says_what_it_uses_and_where() -> None:
    found = references('{{steps.A b.x}} {{vars.v}} {{input.q.r | default: "d"}} {{broken')
    assert [(r.step, r.variable, r.input_field, r.guarded) for r in found] == [
        ("A b", None, None, False), (None, "v", None, False), (None, None, "q", True),
    ]  # fmt: skip
    assert (found[1].start, found[1].end) == (16, 26)


def test_an_expression_says_what_it_uses_and_what_may_be_missing() -> None:
    text = "has(steps.A b.x) && default(vars.v, input.fallback) == 1 && steps.R & D.y > 2 && xs.map(x, x.z)"
    found = expression_references(text, ["A b", "R & D"])
    assert [(str(r.path), r.guarded) for r in found] == [
        ("steps.A b.x", True), ("vars.v", True), ("input.fallback", False), ("steps.R & D.y", False), ("xs", False),
    ]  # fmt: skip
    assert text[found[3].start : found[3].end] == "steps.R & D.y"
    assert expression_references("1 +") == ()


def test_all_texts_of_settings_are_searched() -> None:
    assert [
        str(r.path) for r in value_references({"a": ["{{item}}"], "b": {"c": "x {{vars.y}}"}, "d": 3})
    ] == ["item", "vars.y"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ steps.old name.x }}", "{{ steps.New.x }}"),
        ("{{steps.Old Name}} and {{steps.Old Names}}", "{{steps.New}} and {{steps.Old Names}}"),
        (
            '{{steps["Old Name"].x | default: "steps.Old Name"}}',
            '{{steps["New"].x | default: "steps.Old Name"}}',
        ),
        ("steps.Old Name {{input.Old Name}}", "steps.Old Name {{input.Old Name}}"),
        ("{{steps.'Old.x}}", "{{steps.'Old.x}}"),
    ],
)
def test_renaming_changes_only_references_to_that_step(text: str, expected: str) -> None:
    assert rename_label(text, "Old Name", "New") == expected
    assert rename_label_in_value([{"k": text}], "Old Name", "New") == [{"k": expected}]


@pytest.mark.parametrize(
    ("text", "new", "expected"),
    [
        ("steps.Old.x > 1 && steps.Older.y", "New one", "steps.New one.x > 1 && steps.Older.y"),
        ("steps.old.x == 'steps.Old.x'", "New", "steps.New.x == 'steps.Old.x'"),
        ("steps['Old'].x + input.steps.Old", "N", 'steps["N"].x + input.steps.Old'),
        ("size(steps.Old.items)", "A > B", 'size(steps["A > B"].items)'),
        ("steps.Old.x > ", "New", "steps.New.x > "),
        ("steps.Old.x > 'open", "New", "steps.New.x > 'open"),
    ],
)
def test_renaming_in_an_expression(text: str, new: str, expected: str) -> None:
    assert rename_label_in_expression(text, "Old", new) == expected


def test_a_label_that_begins_with_a_quote_is_renamed() -> None:
    assert rename_label("{{steps.'n roll.x}}", "'n roll", "Rock") == "{{steps.Rock.x}}"


@given(labels, labels)
def test_after_a_renaming_the_same_data_is_found(old: str, new: str) -> None:
    assume(normal(old) != normal(new))
    scope = Scope(steps={new: {"content": "value", "n": 2}})
    assert render(rename_label(f"{{{{steps.{old}.content}}}}", old, new), scope) == "value"
    expression = rename_label_in_expression(f"steps.{old}.n + 1 == 3", old, new, [old])
    assert check(expression, [new]) == []
    assert evaluate(expression, scope) is True
    assert [r.step for r in expression_references(expression, [new])] == [new]


@given(labels, st.lists(st.text(min_size=1, max_size=8) | st.integers(0, 99), max_size=4))
def test_a_path_that_is_written_reads_the_same(label: str, parts: list[str | int]) -> None:
    path = Path("steps", (label, *parts))
    assert parse_path(str(path)) == path
    found = expression_references(expression_path(path))
    if not any(isinstance(part, str) and not part.isprintable() for part in parts):
        assert [r.path for r in found] == [path]


def test_a_mistyped_name_finds_its_neighbour() -> None:
    assert nearest("Idea Analysi", ["Research", "Idea Analysis"]) == "Idea Analysis"
    assert nearest("zzz", ["Research"]) is None
