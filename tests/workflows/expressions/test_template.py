"""Templates: what is filled in, what is refused, and that inserted values are never read again."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.expressions.errors import TemplateError
from workflows.expressions.names import Scope, as_text
from workflows.expressions.template import TemplateReference, parse, problems, render, render_value

SCOPE = Scope(
    input={"name": "Ana", "n": 3.0, "half": 0.5, "none": None, "list": [1, {"b": 2, "a": "é"}], "first name": "A M", "yes": True},
    inputs={"left": "L"},
    steps={
        "Idea Analysis": {"content": "the idea", "items": [{"name": "one"}], "digest": "short"},
        "R & D-2": {"content": "lab"}, "Plain": {"value": 1}, "Nothing": {"content": None}, "Café": {"content": "ok"},
    },
    vars={"tone": "dry"}, item={"content": "one item", "id": 7}, index=0, previous={"content": "before", "x": 1},
    run={"id": "r1"}, trigger={"type": "manual", "data": {"a": 1}}, project={"notes": "N"}, parameters={"style": "short"},
    skipped={"Other branch": "its branch was not taken"}, labels=frozenset({"Later"}),
)  # fmt: skip

RENDERED: list[tuple[str, str]] = [
    ("no references", "no references"), ("", ""), ("Hi {{input.name}}!", "Hi Ana!"), ("{{ input.name }}{{input.name}}", "AnaAna"),
    ("{{steps.Idea Analysis.content}}", "the idea"), ("{{steps.Idea Analysis}}", "the idea"), ("{{ steps.idea ANALYSIS }}", "the idea"),
    ("{{steps.Idea Analysis.items[0].name}}", "one"), ("{{steps.Idea Analysis.digest}}", "short"), ("{{steps.R & D-2}}", "lab"),
    ("{{steps.Cafe\u0301.content}}", "ok"), ('{{steps["R & D-2"].content}}', "lab"), ("{{steps.Plain}}", '{"value": 1}'),
    ("{{input.n}} {{input.half}} {{input.yes}}", "3 0.5 true"), ("{{input.list}}", '[1, {"a": "é", "b": 2}]'), ("{{input.list[1].a}}", "é"),
    ("{{input.first name}}", "A M"), ("{{item}} {{item.id}} {{index}}", "one item 7 0"), ("{{previous}}/{{previous.x}}", "before/1"),
    ("{{vars.tone}} {{inputs.left}} {{run.id}} {{trigger.type}} {{trigger.data.a}} {{project.notes}} {{style}}", "dry L r1 manual 1 N short"),
    ('{{input.gone | default: "none"}}', "none"), ("{{input.gone|default:3}}", "3"), ("{{ input.gone | default: 'it' }}", "it"),
    ('{{input.gone | default: ""}}|', "|"), ("{{input.gone | default: null}}|", "|"), ("{{input.gone | default: [1]}}", "[1]"),
    ('{{input.none | default: "was null"}}', "was null"), ('{{input.name | default: "x"}}', "Ana"), ('{{steps.Other branch | default: "off"}}', "off"),
    ('{{input.gone | default: "a }} b | c {{ d"}}', "a }} b | c {{ d"), ('{"a":{"b":{{input.n}}}}', '{"a":{"b":3}}'), ("} }} {", "} }} {"),
    ('{{loop.index | default: "no loop"}}', "no loop"), ("{{\n input.name \n}}", "Ana"),
]  # fmt: skip

# Text, code, column of the error, and a part of its message.
REFUSED: list[tuple[str, str, int, str]] = [
    ("Hi {{input.nmae}}", "missing_field", 4, "“input.name”"), ("{{steps.Idea Analysi}}", "unknown_step", 1, "“Idea Analysis”"), ("{{inptu.x}}", "unknown_name", 1, "“input”"),
    ("{{loop.index}}", "not_available", 1, "loop"), ("{{steps.Other branch}}", "step_skipped", 1, "not taken"), ("{{steps.Later.x}}", "step_not_run", 1, "not run yet"), ("{{steps}}", "unknown_step", 1, "which step"),
    ("{{input.list[5]}}", "out_of_range", 1, "2 items"), ("{{input.name.x}}", "not_an_object", 1, "is text"), ("{{input.name[0]}}", "not_a_list", 1, "not a list"), ("{{input.list.name}}", "not_an_object", 1, "[0].name"),
    ("{{input.none}}", "null_value", 1, "default"), ("{{steps.Nothing}}", "null_value", 1, "default"), ("a {{input.name", "unclosed", 3, "never closed"), ("{{}}", "bad_reference", 3, "no name"), ("{{ 3 }}", "bad_reference", 4, "name"),
    ("{{input.name | upper}}", "bad_default", 15, "default"), ("{{input.name | default: x}}", "bad_default", 15, "quotes"), ("{{input..a}}", "bad_reference", 9, "missing"), ("{{input.a + 1 }}", "missing_field", 1, "a + 1"),
    ("{{input.name()}}", "missing_field", 1, "input"), ("{{{input.name}}}", "bad_reference", 3, "{input"), ("{{input[a]}}", "bad_reference", 8, "brackets"), ("x\ny {{nope}}", "unknown_name", 3, "nope"),
    ("{{input.__class__}}", "missing_field", 1, "__class__"), ("{{steps.Plain.value.real}}", "not_an_object", 1, "a number"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), RENDERED)
def test_a_template_is_filled_in(text: str, expected: str) -> None:
    assert render(text, SCOPE) == expected


@pytest.mark.parametrize(("text", "code", "column", "part"), REFUSED)
def test_what_cannot_be_resolved_is_named_with_its_place(
    text: str, code: str, column: int, part: str
) -> None:
    with pytest.raises(TemplateError) as raised:
        render(text, SCOPE)
    error = raised.value
    assert (error.code, error.position.column) == (code, column), str(error)
    assert part in error.message


def test_all_errors_of_a_text_are_told_in_order() -> None:
    found = problems("{{input.nmae}} {{ 3 }} {{input.name}} {{steps.Later}}\n{{open", SCOPE)
    assert [error.code for error in found] == ["missing_field", "bad_reference", "step_not_run", "unclosed"]
    assert [error.position.line for error in found] == [1, 1, 1, 2]
    assert found[0].suggestion == "input.name"
    assert [error.code for error in problems("{{input.nmae}} {{ 3 }}")] == ["bad_reference"]


def test_a_value_that_looks_like_a_template_is_inserted_as_it_is() -> None:
    scope = Scope(input={"evil": "{{input.secret}}", "secret": "s"}, vars={"also": {"k": "{{input.secret}}"}})
    assert render("<{{input.evil}}>", scope) == "<{{input.secret}}>"
    assert render_value({"a": "{{input.evil}}", "b": ["{{vars.also}}"]}, scope) == {
        "a": "{{input.secret}}",
        "b": [{"k": "{{input.secret}}"}],
    }


def test_a_text_that_is_exactly_one_reference_keeps_the_type() -> None:
    config = {"n": "{{input.n}}", "l": " {{input.list}} ", "t": "n={{input.n}}", "none": "{{input.none}}",
              "d": "{{input.none | default: 4}}", "k{{x}}": 1, "yes": True, "o": "{{previous}}"}  # fmt: skip
    assert render_value(config, SCOPE) == {
        "n": 3.0, "l": [1, {"b": 2, "a": "é"}], "t": "n=3", "none": None, "d": 4, "k{{x}}": 1, "yes": True,
        "o": {"content": "before", "x": 1},
    }  # fmt: skip


def test_a_json_body_is_built_as_json_whatever_the_value_holds() -> None:
    scope = Scope(input={"q": '", "admin": true, "x": "'})
    body = json.loads(json.dumps(render_value({"name": "Hi {{input.q}}"}, scope)))
    assert body == {"name": 'Hi ", "admin": true, "x": "'}


def test_the_result_has_a_limit_that_says_where_it_was_passed() -> None:
    scope = Scope(input={"big": "x" * 600})
    with pytest.raises(TemplateError) as raised:
        render("{{input.big}}{{input.big}}", scope, limit=1_000)
    assert (raised.value.code, raised.value.position.column) == ("too_large", 14)
    with pytest.raises(TemplateError):
        render_value(["a{{input.big}}", "b{{input.big}}"], scope, limit=1_000)
    with pytest.raises(TemplateError):
        render("{{input.big}}" * 5_000, scope)


def test_settings_nested_without_end_are_refused() -> None:
    value: Any = "{{input.n}}"
    for _ in range(100):
        value = [value]
    with pytest.raises(TemplateError) as raised:
        render_value(value, SCOPE)
    assert raised.value.code == "too_deep"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
pieces = st.sampled_from(
    [
        "{{",
        "}}",
        "{",
        "}",
        "input",
        ".name",
        "[0]",
        "|",
        " default: ",
        '"',
        "'",
        "\\",
        "steps.",
        " ",
        "\n",
        "é",
        "x",
    ]
)


@given(st.text().filter(lambda text: "{{" not in text))
def test_a_text_without_references_stays_as_it_is(text: str) -> None:
    assert render(text, Scope()) == text


@given(st.lists(pieces, max_size=30).map("".join) | st.text())
def test_any_text_is_filled_in_or_refused_in_our_words(text: str) -> None:
    try:
        render(text, SCOPE)
    except TemplateError as error:
        found = [error.position.offset]
    else:
        found = []
    told = [error.position.offset for error in problems(text, SCOPE)]
    assert bool(found) == bool(told)
    assert all(0 <= offset <= len(text) for offset in found + told)


@given(st.text(), json_values)
def test_a_value_stands_in_the_text_exactly_as_it_is(before: str, value: Any) -> None:
    before = before.replace("{", "(")
    scope = Scope(input={"v": value})
    if value is None or (isinstance(value, dict) and "content" in value):
        return
    assert render(f"{before}{{{{input.v}}}}!", scope) == f"{before}{as_text(value)}!"
    assert render_value("{{input.v}}", scope) == value


@given(st.lists(pieces, max_size=30).map("".join))
def test_the_parts_of_a_template_are_its_text(text: str) -> None:
    try:
        template = parse(text)
    except TemplateError:
        return
    rebuilt = "".join(
        text[part.start : part.end] if isinstance(part, TemplateReference) else part.text
        for part in template.parts
    )
    assert rebuilt == text
