"""Every repair is one press that takes its problem away, and nothing else with it."""

from dataclasses import replace
from typing import Any

import pytest

from tests.workflows.definition.support import CATALOG, definition, edge, step, variable
from workflows.definition.edits import OperationRefused
from workflows.definition.graph import Definition, EdgeDef, ErrorChoice, ErrorPolicy, JoinKind, JoinRule
from workflows.definition.repairs import repair, repairs_of
from workflows.definition.validation import validate
from workflows.lib.errors import Problem


def uses(key: str, text: str, **fields: Any) -> Any:
    return step(key, config={"prompt": text}, **fields)


def with_edge(graph: Definition, edge: EdgeDef) -> Definition:
    return replace(graph, edges=(*graph.edges, edge))


CASES: dict[str, tuple[Definition, str, str, str]] = {
    "a branch that may be skipped": (
        definition(
            step("q", "condition", config={"condition": "true"}),
            uses("a", "one"),
            uses("b", "two"),
            uses("c", "x {{ steps.A.content }} y"),
            edge("q:true>a"),
            edge("q:false>b"),
            "a>c",
            "b>c",
        ),
        "may_be_skipped",
        "default",
        "Use nothing when it was skipped",
    ),
    "a step that is off": (
        definition(uses("a", "one", enabled=False), uses("b", "{{steps.A.content}}"), "a>b"),
        "uses_off_step",
        "turn_on",
        "Turn on “A”",
    ),
    "a step that runs later": (
        definition(uses("a", "{{steps.B.content}}"), uses("b", "two"), "a>b"),
        "not_before",
        "move",
        "Move it below “B”",
    ),
    "a step beside": (
        definition(uses("a", "one"), uses("b", "{{steps.A.content}}"), uses("c", "three"), "c>b"),
        "not_before",
        "connect",
        "Draw a path from “A”",
    ),
    "a variable that is not there": (
        definition(uses("a", "{{vars.tone}}")),
        "unknown_variable",
        "add_variable",
        "Add the variable “tone”",
    ),
    "an input that is not declared": (
        definition(uses("a", "{{input.colour}}"), variable("topic")),
        "unknown_input",
        "add_variable",
        "Add the input “colour”",
    ),
    "a step that nothing leads to": (
        definition(step("s", "start"), uses("a", "one"), uses("b", "two"), "s>a"),
        "unreachable",
        "connect",
        "Draw a path from “A”",
    ),
    "a loop with nothing inside": (
        definition(uses("a", "one"), step("l", "loop"), "a>l"),
        "empty_container",
        "remove",
        "Remove “L”",
    ),
    "a loop whose steps are all off": (
        definition(uses("a", "one"), step("l", "loop"), uses("i", "two", parent="l", enabled=False), "a>l"),
        "empty_container",
        "turn_on",
        "Turn on “I”",
    ),
    "a way out that is not there": (
        with_edge(definition(uses("a", "one"), uses("b", "two"), "a>b"), EdgeDef("x", "a", "b", "elsewhere")),
        "unknown_port",
        "remove_path",
        "Remove the path to “B”",
    ),
    "a count that is never reached": (
        definition(
            uses("a", "one"), uses("b", "two", join=JoinRule(JoinKind.COUNT, 3)), uses("c", "x"), "a>b", "c>b"
        ),
        "join_count",
        "join_count",
        "Wait for 2",
    ),
    "a failure that goes on with nothing": (
        definition(uses("a", "one", on_error=ErrorPolicy(ErrorChoice.CONTINUE))),
        "missing_default",
        "fail",
        "Let the run fail instead",
    ),
}


def first(graph: Definition, code: str) -> Problem:
    return next(problem for problem in validate(graph, CATALOG) if problem.code == code)


@pytest.mark.parametrize("name", CASES)
def test_a_repair_takes_its_problem_away_and_brings_no_other(name: str):
    graph, code, kind, label = CASES[name]
    problem = first(graph, code)
    assert (kind, label) in [(found.kind, found.label) for found in repairs_of(problem, graph, CATALOG)]
    mended = repair(problem, kind, graph, CATALOG).definition
    before = {(one.code, one.step_key, one.field) for one in validate(graph, CATALOG)}
    after = {(one.code, one.step_key, one.field) for one in validate(mended, CATALOG)}
    assert (code, problem.step_key, problem.field) not in after
    assert after <= before


def test_a_repair_that_is_not_offered_is_refused():
    graph, code, *_ = CASES["a step that is off"]
    with pytest.raises(OperationRefused, match="one press"):
        repair(first(graph, code), "remove", graph, CATALOG)


def test_a_problem_that_nothing_simple_mends_has_no_button():
    graph = definition(step("a", config={}))
    assert repairs_of(first(graph, "required"), graph, CATALOG) == ()
