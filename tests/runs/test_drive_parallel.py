"""Parallel branches on a real database: all at once, each with its own input, meeting where the join says."""

from __future__ import annotations

from typing import Any

import pytest

from runs.engine.statuses import RunStatus
from runs.models import Run
from tests.runs.support import definition_of, driven, event_types, node, rows, started, statuses
from tests.support.factories import World
from workflows.definition.schema import parse_definition
from workflows.definition.validation import validate
from workflows.steps.catalog import CATALOG

pytestmark = pytest.mark.django_db


def text(key: str, template: str, **fields: Any) -> dict[str, Any]:
    return node(key, config={"mode": "template", "template": template}, **fields)


def parallel(key: str = "p", *, branches: list[Any] | None = None, **fields: Any) -> dict[str, Any]:
    return node(key, "parallel", config={"branches": branches or ["one", "two", "three"]}, **fields)


def content(run: Run, key: str) -> Any:
    return (rows(run)[key].output or {})["content"]


def test_every_branch_starts_with_what_arrived(world: World) -> None:
    nodes = [
        text("a", "{{ input.x }}"),
        parallel(),
        *(text(f"b{n}", f"{{{{ previous }}}} by {n}") for n in (1, 2, 3)),
        node("m", "merge", config={"mode": "list"}),
    ]
    paths = ("a>p:one>b1>m", "p:two>b2>m", "p:three>b3>m")
    run = driven(started(world.bob, definition_of(nodes, *paths), {"x": "hello"}))
    assert run.status == RunStatus.COMPLETED, run.error
    assert run.output["items"] == ["hello by 1", "hello by 2", "hello by 3"]
    assert rows(run)["p"].port == "*"
    assert rows(run)["p"].output == {"content": "hello"}, "the input passes through"
    assert rows(run)["p"].notes == "3 branches at the same time"
    event_types(run)


def test_a_branch_gets_its_own_input_and_its_first_step_sees_it_as_previous(world: World) -> None:
    branches = [
        {"name": "Idea", "input": "{{ input.idea }}"},
        {"name": "Both", "input": "{{ input }}"},
        "Rest",
    ]
    nodes = [
        text("a", "before"),
        parallel(branches=branches),
        text("idea", "{{ previous }}"),
        text("both", "{{ previous.idea }} for {{ previous.who }}"),
        text("rest", "{{ previous }}"),
        text("later", "{{ steps.P.branches.Idea }} / {{ steps.P }}"),
    ]
    paths = ("a>p:Idea>idea>later", "p:Both>both>later", "p:Rest>rest>later")
    run = driven(
        started(world.bob, definition_of(nodes, *paths), {"idea": "Lend tools", "who": "neighbours"})
    )
    assert run.status == RunStatus.COMPLETED, run.error
    assert content(run, "idea") == "Lend tools"
    assert content(run, "both") == "Lend tools for neighbours"
    assert content(run, "rest") == "before"
    assert content(run, "later") == "Lend tools / before"


def test_branches_that_meet_at_once_are_told_apart_by_their_names(world: World) -> None:
    branches = [{"name": "Left", "input": "L"}, {"name": "Right", "input": "R"}]
    nodes = [
        parallel(branches=branches),
        text("m", "{{ previous.Left.content }}+{{ previous.Right.content }}"),
    ]
    paths = [
        {"id": f"e{side}", "source_node_id": "p", "target_node_id": "m", "source_output": side}
        for side in ("Left", "Right")
    ]
    run = driven(started(world.bob, definition_of(nodes, edges=paths), {"x": "hello"}))
    assert run.status == RunStatus.COMPLETED, run.error
    assert content(run, "m") == "L+R"


def test_the_joining_step_says_how_many_it_waits_for(world: World) -> None:
    nodes = [
        parallel(),
        text("b1", "quick"),
        node("b2", "review", config={"title": "Good?"}),
        node("b3", "review", config={"title": "Good?"}),
        text("m", "{{ previous }}", join={"rule": "any"}),
    ]
    paths = ("p:one>b1>m", "p:two>b2:approved>m", "p:three>b3:approved>m")
    run = driven(started(world.bob, definition_of(nodes, *paths), {"x": "hello"}))
    assert run.status == RunStatus.COMPLETED, run.error
    assert (content(run, "m"), statuses(run)["b2"], statuses(run)["b3"]) == (
        "quick",
        "cancelled",
        "cancelled",
    )


def test_the_path_for_failures_is_not_one_of_the_branches(world: World) -> None:
    nodes = [
        parallel(
            branches=[{"name": "one", "input": "{{ input.missing }}"}, "two"], on_error={"policy": "route"}
        ),
        text("b1", "one"),
        text("b2", "two"),
        text("saved", "went wrong"),
    ]
    paths = ("p:one>b1", "p:two>b2", "p:error>saved")
    run = driven(started(world.bob, definition_of(nodes, *paths), {"x": "hello"}))
    assert run.status == RunStatus.COMPLETED, run.error
    assert {key: statuses(run)[key] for key in ("b1", "b2", "saved")} == {
        "b1": "skipped",
        "b2": "skipped",
        "saved": "completed",
    }
    run = driven(started(world.bob, definition_of(nodes, *paths), {"x": "hello", "missing": "there"}))
    assert run.status == RunStatus.COMPLETED, run.error
    assert statuses(run)["saved"] == "skipped"


def test_conditions_hold_on_the_paths_of_all_branches(world: World) -> None:
    nodes = [parallel(), text("b1", "one"), text("b2", "two")]
    paths = [
        {"id": "e1", "source_node_id": "p", "target_node_id": "b1", "source_output": "one", "condition": "input.n > 1"},
        {"id": "e2", "source_node_id": "p", "target_node_id": "b2", "source_output": "two", "condition": "input.n > 5"},
    ]  # fmt: skip
    run = driven(started(world.bob, definition_of(nodes, edges=paths), {"n": 3}))
    assert run.status == RunStatus.COMPLETED, run.error
    assert (statuses(run)["b1"], statuses(run)["b2"]) == ("completed", "skipped")


def test_a_parallel_inside_a_parallel_keeps_the_inputs_apart(world: World) -> None:
    nodes = [
        parallel("p", branches=[{"name": "a", "input": "outer"}, "b"]),
        parallel("q", branches=["a", {"name": "c", "input": "inner"}]),
        text("qa", "{{ previous }}"),
        text("qc", "{{ previous }}"),
    ]
    run = driven(started(world.bob, definition_of(nodes, "p:b>q:a>qa", "q:c>qc"), {"x": "hello"}))
    assert run.status == RunStatus.COMPLETED, run.error
    assert (content(run, "qa"), content(run, "qc")) == ("hello", "inner")


def test_the_apis_words_make_the_same_branches(world: World) -> None:
    document = {
        "nodes": [
            {
                "id": "p", "type": "parallel", "name": "P",
                "config": {
                    "branches": [{"name": "x", "target_node_id": "a"}, {"target_node_id": "b"}],
                    "wait_for": "any",
                },
            },
            text("a", "A"),
            text("b", "B"),
            text("m", "{{ previous }}"),
        ],
        "edges": [
            {"id": "e1", "source_node_id": "a", "target_node_id": "m"},
            {"id": "e2", "source_node_id": "b", "target_node_id": "m"},
        ],
    }  # fmt: skip
    definition = parse_definition(document, CATALOG)
    assert [problem.message for problem in validate(definition, CATALOG)] == []
    assert {edge.port for edge in definition.outgoing("p")} == {"x", "branch_2"}
    run = driven(started(world.bob, definition, {"x": "hello"}))
    assert run.status == RunStatus.COMPLETED, run.error


def test_validation_knows_the_branches_and_that_all_of_them_run() -> None:
    nodes = [
        parallel(branches=["one", "two"]),
        text("b1", "1"),
        text("b2", "2"),
        text("m", "{{ steps.B1 }} {{ steps.B2 }}"),
    ]
    whole = definition_of(nodes, "p:one>b1>m", "p:two>b2>m")
    assert [problem.message for problem in validate(whole, CATALOG)] == []
    lost = definition_of(nodes, "p:one>b1>m", "p:other>b2>m")
    assert any("other" in problem.message for problem in validate(lost, CATALOG))


def test_with_a_path_for_failures_the_branches_still_know_the_step_before_them() -> None:
    nodes = [
        parallel(branches=["one", "two"], on_error={"policy": "route"}),
        text("b1", "{{ steps.P }}"),
        text("b2", "2"),
        text("m", "{{ steps.B1 }} {{ steps.B2 }}"),
        text("saved", "{{ steps.P }}"),
    ]
    definition = definition_of(nodes, "p:one>b1>m", "p:two>b2>m", "p:error>saved")
    assert {problem.step for problem in validate(definition, CATALOG)} == {"Saved"}
