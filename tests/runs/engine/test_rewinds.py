"""What is set back, stopped, or stands in another version: tables on small graphs."""

from __future__ import annotations

from typing import Any

import pytest

from runs.engine.compare import changed_steps, why_changed
from runs.engine.graph import Graph
from runs.engine.items import ItemRules, Items, ItemState, ItemStatus
from runs.engine.planner import rewind, rewind_items, rewind_to, stop_items
from runs.engine.scopes import Place
from runs.engine.state import RunState, StepState
from runs.engine.statuses import StepStatus, Wait
from tests.runs.engine.test_planner import done, graph_of, running
from workflows.definition.graph import ErrorChoice, ErrorPolicy, JoinKind, JoinRule

F = Place("f")


def names(rounds: tuple[StepState, ...]) -> list[str]:
    """`key[scope] round` of fresh steps."""
    assert all(fresh.status is StepStatus.PENDING and fresh.row is None for fresh in rounds)
    return [f"{fresh.key}{f'@{fresh.scope}' if fresh.scope else ''} {fresh.round}" for fresh in rounds]


def at_a_gate(key: str, **fields: Any) -> StepState:
    return StepState(key, status=StepStatus.WAITING, wait=Wait.REVIEW, row=key, **fields)


@pytest.mark.parametrize(
    ("to", "itself", "wanted"),
    [
        ("a", True, ["a 1", "b 1", "side 1", "g 1"]),
        ("b", True, ["b 1", "g 1"]),
        ("b", False, ["g 1"]),
        ("side", True, ["side 1", "g 1"]),
        ("g", True, ["g 1"]),
        ("g", False, []),
    ],
)
def test_a_rewind_takes_a_step_and_what_has_begun_after_it(to: str, itself: bool, wanted: list[str]) -> None:
    graph = graph_of("a>b b>g a>side side>g g>late")
    state = RunState(steps=[done("a"), done("b"), running("side"), at_a_gate("g")])
    assert names(rewind_to(graph, state, Place(to), itself=itself).rounds) == wanted


def test_what_is_pending_already_gets_no_further_round() -> None:
    state = RunState(steps=[done("a", round=2), StepState("b", round=3, row="b")])
    assert names(rewind_to(graph_of("a>b"), state, Place("a")).rounds) == ["a 3"]


def container(*statuses: ItemStatus, **rules: Any) -> tuple[Graph, RunState]:
    """A fan-out with the chain x>y inside. Completed items are through, failed ones failed in y, running ones are in x."""
    graph = graph_of("s>f f>end x>y", f={"type": "fan_out"}, x={"parent": "f"}, y={"parent": "f"})
    steps = [
        done("s"),
        StepState("f", status=StepStatus.RUNNING, wait=Wait.ITEMS, attempt=1, row="f"),
    ]
    for index, status in enumerate(statuses):
        scope = f"f[{index}]"
        if status is ItemStatus.COMPLETED:
            steps += [done("x", scope=scope), done("y", scope=scope)]
        elif status is ItemStatus.FAILED:
            steps += [
                done("x", scope=scope),
                StepState("y", scope=scope, status=StepStatus.FAILED, attempt=1, row="y"),
            ]
        elif status is ItemStatus.RUNNING:
            steps.append(running("x", scope=scope))
    state = RunState(steps=steps)
    items = [ItemState(index, status) for index, status in enumerate(statuses)]
    state.put_items(Items.of(F, ItemRules(concurrency=9, **rules), items))
    return graph, state


DONE, BAD, WORKS, NEXT, OUT = (
    ItemStatus.COMPLETED,
    ItemStatus.FAILED,
    ItemStatus.RUNNING,
    ItemStatus.PENDING,
    ItemStatus.CANCELLED,
)


def test_rewinding_a_container_takes_its_bodies_along() -> None:
    graph, state = container(DONE, WORKS)
    back = rewind_to(graph, state, F)
    assert names(back.rounds) == ["f 1", "x@f[0] 1", "y@f[0] 1", "x@f[1] 1"]
    assert names(rewind(graph, state, "f").rounds) == names(back.rounds)
    assert names(rewind_to(graph, state, Place("x", "f[0]")).rounds) == ["x@f[0] 1", "y@f[0] 1"]


@pytest.mark.parametrize(
    ("indexes", "anew", "items", "rounds"),
    [
        ({0, 1, 2, 3, 4}, False, [1, 4], ["y@f[1] 1"]),
        ({0, 1, 2, 3}, True, [0, 1], ["x@f[0] 1", "y@f[0] 1", "x@f[1] 1", "y@f[1] 1"]),
        ({0}, False, [], []),
        ({2, 3}, True, [], []),
        (set(), True, [], []),
    ],
)
def test_items_that_are_over_begin_again(
    indexes: set[int], anew: bool, items: list[int], rounds: list[str]
) -> None:
    graph, state = container(DONE, BAD, WORKS, NEXT, OUT)
    back = rewind_items(graph, state, F, frozenset(indexes), anew=anew)
    assert [item.index for item in back.items] == items
    assert names(back.rounds) == rounds
    assert (back.reopened, back.superseded) == ((), ())


@pytest.mark.parametrize(
    ("only", "wanted"),
    [
        (None, ["CancelStep x f[2]", "EndItem 2", "EndItem 3"]),
        ({2}, ["CancelStep x f[2]", "EndItem 2"]),
        ({3}, ["EndItem 3"]),
        ({0, 1}, []),
    ],
)
def test_stopping_ends_what_is_open_and_keeps_what_is_done(only: set[int] | None, wanted: list[str]) -> None:
    graph, state = container(DONE, BAD, WORKS, NEXT)
    commands = stop_items(graph, state, F, None if only is None else frozenset(only))
    said = []
    for command in commands:
        place = getattr(command, "place", None)
        what = f"{place.key} {place.scope}" if place is not None else command.item.index
        said.append(f"{type(command).__name__} {what}")
        assert place is not None or command.cancelled
    assert said == wanted


OLD = "a>b b>c"


@pytest.mark.parametrize(
    ("paths", "steps", "changed"),
    [
        (OLD, {}, set()),
        (OLD, {"b": {"description": "Other words", "timeout_s": 5, "note": "x"}}, set()),
        (OLD, {"b": {"config": {"prompt": "new"}}}, {"b"}),
        (OLD, {"b": {"type": "transform"}}, {"b"}),
        (OLD, {"b": {"on_error": ErrorPolicy(ErrorChoice.CONTINUE, "x")}}, {"b"}),
        (OLD, {"c": {"join": JoinRule(rule=JoinKind.ANY)}}, {"c"}),
        ("a>b b>c c>d", {}, {"d"}),
        ("a>c b>c", {}, {"b", "c"}),
    ],
)
def test_what_has_to_be_done_again_in_another_version(
    paths: str, steps: dict[str, dict[str, Any]], changed: set[str]
) -> None:
    old, new = graph_of(OLD), graph_of(paths, **steps)
    assert changed_steps(old, new) == changed
    for key in ("a", "b", "c"):
        assert (why_changed(old, new, key) is not None) == (key in changed)


def test_a_step_that_is_off_gone_or_moved_is_named() -> None:
    old = graph_of("a>b", f={"type": "fan_out"})
    assert why_changed(old, graph_of("a"), "b") == "“B” is not there any more."
    assert why_changed(old, graph_of("a>b", b={"enabled": False}), "b") == "“B” was switched off."
    inside = graph_of("a>f x", f={"type": "fan_out"}, x={"parent": "f"})
    assert why_changed(inside, graph_of("a>f x", f={"type": "fan_out"}), "x") == (
        "“X” was moved into or out of a container."
    )
