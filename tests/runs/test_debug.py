"""Breakpoints, single steps, and what people change in a run that is held: the driver obeys, and says who did what."""

from __future__ import annotations

from typing import Any

import pytest

from runs.models import Event, Run, StepRun
from runs.services.control_run import pause_run, resume_run
from runs.services.debug_run import edit_input, edit_output, edit_variable, set_breakpoints, step_run
from tests.runs.support import definition_of, driven, event_types, node, rows, started, statuses
from tests.runs.test_drive_items import each, items, text
from tests.support.factories import World
from workflows.lib.errors import Conflict, Invalid

pytestmark = pytest.mark.django_db

ABC = [text("a", "A"), text("b", "B of {{ previous }}"), text("c", "C of {{ previous }}")]


def at(run: Run) -> str:
    assert len(run.waiting_for) == 1, run.waiting_for
    return str(run.waiting_for[0]["sentence"])


def said(run: Run, key: str) -> Any:
    return (rows(run)[key].output or {}).get("content")


def test_a_breakpoint_holds_the_run_once_and_continue_passes_it(world: World) -> None:
    run = driven(started(world.bob, definition_of(ABC, "a>b>c"), breakpoints=["b", "c"]))
    assert (run.status, run.intent) == ("paused", "pause")
    assert at(run) == "Stopped before “B”, at a breakpoint; continue or step."
    assert (run.waiting_for[0]["kind"], run.waiting_for[0]["step_key"]) == ("breakpoint", "b")
    assert statuses(run) == {"a": "completed"}
    paused = Event.objects.get(run=run, type="paused")
    assert paused.data["reason"] == "breakpoint"
    assert driven(run).status == "paused", "a ring changes nothing"
    set_breakpoints(run=run, actor=world.bob, steps=["b"])
    assert driven(run).status == "paused"
    resume_run(run=run, actor=world.bob)
    assert driven(run).status == "completed"
    assert said(run, "c") == "C of B of A"
    event_types(run)


def test_one_step_at_a_time(world: World) -> None:
    run = started(world.bob, definition_of(ABC, "a>b>c"))
    pause_run(run=run, actor=world.bob)
    assert statuses(driven(run)) == {}
    for reached in ({"a"}, {"a", "b"}):
        step_run(run=run, actor=world.bob)
        driven(run)
        assert (set(statuses(run)), set(statuses(run).values())) == (reached, {"completed"})
        assert run.status == "paused"
        assert "Stopped after one step" in at(run)
    step_run(run=run, actor=world.bob)
    assert driven(run).status == "completed"
    event_types(run)
    with pytest.raises(Conflict, match="completed"):
        step_run(run=run, actor=world.bob)


def test_of_several_branches_a_step_starts_one(world: World) -> None:
    run = started(world.bob, definition_of([text("a", "A"), text("b", "B"), text("c", "C")], "a>c"))
    step_run(run=run, actor=world.bob)
    driven(run)
    assert len(statuses(run)) == 1
    step_run(run=run, actor=world.bob)
    assert len(statuses(driven(run))) == 2
    resume_run(run=run, actor=world.bob)
    assert driven(run).status == "completed"


def test_breakpoints_inside_a_container_stop_each_item(world: World) -> None:
    nodes = [each(concurrency=1), text("one", "{{ item }}!", parent="f")]
    run = driven(started(world.bob, definition_of(nodes), {"xs": ["p", "q"]}, breakpoints=["one"]))
    for _ in range(2):
        assert (run.status, run.waiting_for[0]["kind"]) == ("paused", "breakpoint")
        resume_run(run=run, actor=world.bob)
        driven(run)
    assert run.status == "completed", run.error
    assert [item.result["content"] for item in items(run)] == ["p!", "q!"]


def test_a_changed_variable_is_seen_by_later_steps_and_later_steps_win(world: World) -> None:
    nodes = [
        node("set", "set_variable", config={"name": "mood", "value": "calm"}),
        text("b", "{{ vars.mood }}"),
        node("again", "set_variable", config={"name": "mood", "value": "loud"}),
        text("c", "{{ vars.mood }}"),
    ]
    definition = definition_of(
        nodes, "set>b>again>c", variables=[{"name": "mood", "type": "string", "kind": "context"}]
    )
    run = driven(started(world.bob, definition, breakpoints=["b"]))
    edit_variable(run=run, actor=world.bob, name="mood", value="wild")
    driven(run)
    told = Event.objects.filter(run=run, type="variable_set").order_by("-seq")[0].data
    assert (told["value"], told["by"]) == ("wild", world.bob.label)
    with pytest.raises(Invalid, match="no context variable"):
        edit_variable(run=run, actor=world.bob, name="nope", value="x")
    resume_run(run=run, actor=world.bob)
    driven(run)
    assert (said(run, "b"), said(run, "c")) == ("wild", "loud")
    with pytest.raises(Conflict, match="completed"):
        edit_variable(run=run, actor=world.bob, name="mood", value="late")


def test_another_input_for_the_step_before_which_it_stopped(world: World) -> None:
    run = driven(started(world.bob, definition_of(ABC, "a>b>c"), breakpoints=["b"]))
    with pytest.raises(Conflict, match="begun already"):
        edit_input(run=run, actor=world.bob, step="a", value="x")
    edit_input(run=run, actor=world.bob, step="b", value="mine")
    driven(run)
    edited = Event.objects.get(run=run, type="edited")
    assert (edited.data["what"], edited.data["by"], edited.step_key) == ("input", world.bob.label, "b")
    resume_run(run=run, actor=world.bob)
    driven(run)
    assert (said(run, "b"), said(run, "c")) == ("B of mine", "C of B of mine")
    assert rows(run)["b"].given == {"value": {"content": "mine"}}


def test_another_output_keeps_both_and_reruns_only_when_asked(world: World) -> None:
    run = driven(started(world.bob, definition_of(ABC, "a>b>c"), breakpoints=["c"]))
    edit_output(run=run, actor=world.bob, step="a", value="other A")
    driven(run)
    kept = StepRun.objects.filter(run=run, step_key="a").order_by("round")
    assert [(row.output or {})["content"] for row in kept] == ["A", "other A"]
    assert said(run, "b") == "B of A", "what ran already is left as it is"
    edit_output(run=run, actor=world.bob, step="a", value="third A", rerun=True)
    driven(run)
    assert run.status == "paused"
    resume_run(run=run, actor=world.bob)
    driven(run)
    assert said(run, "c") == "C of B of third A"
    event_types(run)


def test_only_a_held_run_may_be_changed(world: World) -> None:
    run = started(world.bob, definition_of(ABC, "a>b>c"))
    with pytest.raises(Conflict, match="Pause it first"):
        edit_output(run=run, actor=world.bob, step="a", value="x")
    with pytest.raises(Invalid):
        set_breakpoints(run=run, actor=world.bob, steps=["zz"])
    with pytest.raises(Invalid):
        started(world.bob, definition_of(ABC, "a>b>c"), breakpoints=["zz"])
