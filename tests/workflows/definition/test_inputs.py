"""The run's input against the input variables."""

from typing import Any

import pytest

from tests.workflows.definition.support import codes, definition, variable
from workflows.definition.inputs import check_context, check_input, input_schema

WHOLE = definition(
    "a",
    variable("topic", required=True, description="What it is about"),
    variable("size", "number", default=3),
    variable("deep", "boolean"),
    variable("tags", "array"),
    variable("about", "object"),
    variable("notes", "array", kind="context"),
)


def test_the_schema_says_types_defaults_and_what_is_required():
    assert input_schema(WHOLE) == {
        "type": "object",
        "properties": {
            "topic": {"type": "string", "description": "What it is about", "minLength": 1},
            "size": {"type": "number", "default": 3},
            "deep": {"type": "boolean"},
            "tags": {"type": "array"},
            "about": {"type": "object"},
        },
        "additionalProperties": False,
        "required": ["topic"],
    }
    assert input_schema(definition("a"))["additionalProperties"] is True


def test_defaults_are_filled_in_and_other_keys_are_kept_where_that_is_allowed():
    checked = check_input(WHOLE, {"topic": "wells", "more": [1]}, strict=False)
    assert checked.values == {"topic": "wells", "more": [1], "size": 3}
    assert checked.problems == ()


def test_a_name_that_no_variable_declares_is_an_error_that_lists_the_known_ones():
    (problem,) = check_input(WHOLE, {"topic": "wells", "topics": 1}).problems
    assert (problem.code, problem.field, problem.path) == ("unknown_input", "topics", "input_data.topics")
    assert problem.message == "The workflow has no input “topics”."
    assert problem.fix == "Did you mean “topic”? Its inputs are: about, deep, size, tags, topic."
    assert check_input(definition("a", variable("v", kind="context")), {"any": 1}).problems == ()


def test_empty_text_is_no_required_text():
    (problem,) = check_input(WHOLE, {"topic": ""}).problems
    assert (problem.code, problem.field) == ("missing_input", "topic")
    assert problem.message == "The input “topic” is empty."
    assert check_input(definition("a", variable("topic")), {"topic": ""}).problems == ()


def test_a_default_is_not_shared_between_runs():
    whole = definition("a", variable("tags", "array", default=[]))
    check_input(whole, {}).values["tags"].append("x")
    assert check_input(whole, {}).values == {"tags": []}


def test_what_is_sent_is_not_changed():
    sent = {"topic": "wells"}
    check_input(WHOLE, sent)
    assert sent == {"topic": "wells"}


@pytest.mark.parametrize("data", [None, {}, {"topic": None}])
def test_a_missing_required_value_names_the_field_and_the_fix(data: Any):
    (problem,) = check_input(WHOLE, data).problems
    assert (problem.code, problem.field, problem.path) == ("missing_input", "topic", "input_data.topic")
    assert problem.message == "The input “topic” is missing."
    assert problem.fix == 'Send text, such as "some text".'


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("topic", 3, "must be text, not a number"),
        ("size", "3", "must be a number, not text"),
        ("size", True, "must be a number, not true or false"),
        ("deep", 1, "must be true or false, not a number"),
        ("tags", "a,b", "must be a list, not text"),
        ("about", [], "must be an object, not a list"),
    ],
)
def test_a_wrong_type_names_what_came_and_what_is_wanted(name: str, value: Any, said: str):
    (problem,) = check_input(WHOLE, {"topic": "t", name: value}).problems
    assert problem.code == "bad_input"
    assert said in problem.message


@pytest.mark.parametrize("data", ["text", [1], 3])
def test_an_input_that_is_no_object_is_an_error(data: Any):
    assert codes(check_input(WHOLE, data).problems) == ["bad_input"]


def test_a_context_variable_that_does_not_exist_is_an_error():
    assert codes(check_context(WHOLE, {"notes": []}).problems) == []
    assert codes(check_context(WHOLE, {"note": []}).problems) == ["unknown_variable"]
