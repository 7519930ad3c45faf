"""Declared inputs and outputs of a step against the values of a run."""

from typing import Any

import pytest

from workflows.definition.declared import declared_inputs, input_problem, output_problem
from workflows.definition.graph import FieldDecl, StepDef


def step(*, inputs: tuple[FieldDecl, ...] = (), outputs: tuple[FieldDecl, ...] = ()) -> StepDef:
    return StepDef("w", "llm", "Write", inputs=inputs, outputs=outputs)


TOPIC = FieldDecl("topic", "string", required=True)


def test_an_input_is_taken_from_the_first_place_that_has_it():
    one = step(inputs=(TOPIC, FieldDecl("size")))
    assert declared_inputs(one, {"topic": None}, {"topic": "a", "size": 1}, {"topic": "b"}) == {
        "topic": "a",
        "size": 1,
    }
    assert declared_inputs(one, "text", ["list"], None) == {}


def test_a_required_input_that_is_missing_names_step_field_and_fix():
    problem = input_problem(step(inputs=(TOPIC,)), {})
    assert problem is not None
    assert problem.message == "“Write” needs the input “topic” (text), and nothing brings it."
    assert (problem.code, problem.step, problem.field) == ("declared_input", "Write", "topic")
    assert problem.fix is not None
    assert "Name a path" in problem.fix


@pytest.mark.parametrize(
    ("type", "good", "bad"),
    [
        ("string", "text", 3),
        ("number", 3.5, True),
        ("boolean", False, "no"),
        ("object", {"a": 1}, [1]),
        ("array", [], {"a": 1}),
    ],
)
def test_types_are_those_of_json(type: str, good: Any, bad: Any):
    one = step(inputs=(FieldDecl("x", type),), outputs=(FieldDecl("x", type),))
    assert input_problem(one, {"x": good}) is None
    assert output_problem(one, {"x": good}) is None
    wrong_input, wrong_output = input_problem(one, {"x": bad}), output_problem(one, {"x": bad})
    assert wrong_input is not None
    assert wrong_output is not None
    assert wrong_input.message.startswith("“Write” declares the input “x” as ")
    assert wrong_output.message.startswith("“Write” declares the output “x” as ")


def test_an_output_object_counts_as_its_content_and_anything_as_any():
    one = step(inputs=(TOPIC, FieldDecl("more", "any", required=True)))
    assert input_problem(one, {"topic": {"content": "text"}, "more": 0}) is None
    assert input_problem(one, {"topic": {"content": 3}, "more": 0}) is not None


def test_what_is_optional_may_be_missing_but_not_wrong():
    one = step(outputs=(FieldDecl("score", "number"),))
    assert output_problem(one, {"content": "x"}) is None
    assert output_problem(one, {"score": None}) is None
    assert output_problem(one, {"score": "high"}) is not None


def test_a_missing_output_says_what_was_given():
    problem = output_problem(step(outputs=(FieldDecl("score", "number", required=True),)), {"content": "x"})
    assert problem is not None
    assert "“score” (a number), and did not give it: it gave “content”" in problem.message
