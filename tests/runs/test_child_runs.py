"""Workflows that run workflows: output up, failure up, pause and cancel down, and an end to calling oneself."""

from __future__ import annotations

from typing import Any

import pytest

from runs.engine.statuses import RunStatus
from runs.models import Review, Run, StepRun
from runs.services.control_run import cancel_run, pause_run, resume_run, retry_run
from runs.services.decide_review import decide_review
from tests.runs.support import definition_of, driven, event_types, node, rows, started, version_of
from tests.support.factories import World
from workflows.definition.graph import Definition
from workflows.models import Workflow

pytestmark = pytest.mark.django_db


def other(world: World, definition: Definition, name: str = "Other") -> Workflow:
    workflow = version_of(world.bob, definition).workflow
    Workflow.objects.filter(pk=workflow.pk).update(name=name)
    return workflow


def calls(key: str = "s", workflow: str = "Other", **config: Any) -> dict[str, Any]:
    return node(key, "subworkflow", config={"workflow": workflow, **config})


def child_of(run: Run) -> Run:
    return Run.objects.get(parent=run)


def gate() -> Definition:
    return definition_of([node("g", "review", config={"title": "Good?"})])


def test_the_output_of_the_other_run_is_the_output_of_the_step(world: World) -> None:
    other(
        world, definition_of([node("x", config={"mode": "template", "template": "hello {{ input.name }}"})])
    )
    definition = definition_of([calls(input={"name": "{{ input.who }}"}), node("after")], "s>after")
    run = driven(started(world.bob, definition, {"who": "Ana"}))
    assert run.status == RunStatus.RUNNING
    assert "waits for the run" in run.waiting_for[0]["sentence"]
    child = driven(child_of(run))
    assert (child.status, child.depth, child.trigger_type) == (RunStatus.COMPLETED, 1, "run")
    driven(run)
    assert run.status == RunStatus.COMPLETED, run.error
    assert run.output == {"content": "after after hello Ana"}
    assert rows(run)["s"].output["run"]["number"] == child.number
    event_types(run)


def test_a_failed_child_fails_its_step_and_says_why(world: World) -> None:
    other(world, definition_of([node("x", config={"mode": "expression", "expression": "input.missing + 1"})]))
    run = driven(started(world.bob, definition_of([calls()]), {"a": 1}))
    driven(child_of(run))
    driven(run)
    assert run.status == RunStatus.FAILED
    assert run.error["code"] == "child_failed"
    assert "missing" in run.error["message"]


def test_a_retry_starts_a_new_child(world: World) -> None:
    workflow = other(
        world, definition_of([node("x", config={"mode": "expression", "expression": "input.n + 1"})])
    )
    run = driven(started(world.bob, definition_of([calls()]), {"m": 1}))
    driven(child_of(run))
    driven(run)
    Run.objects.filter(pk=run.pk).update(input={"n": 1})
    run.refresh_from_db()
    driven(retry_run(run=run, actor=world.bob))
    child = Run.objects.filter(parent=run).order_by("-number")[0]
    driven(child)
    assert driven(run).status == RunStatus.COMPLETED
    assert Run.objects.filter(workflow=workflow).count() == 2


def test_a_child_is_started_once_per_round(world: World) -> None:
    other(world, gate())
    run = driven(started(world.bob, definition_of([calls()]), {"a": 1}))
    step = StepRun.objects.get(run=run)
    StepRun.objects.filter(pk=step.pk).update(status="running", wait="")
    driven(run)
    assert Run.objects.filter(parent=run).count() == 1


def test_pause_continue_and_cancel_go_down(world: World) -> None:
    other(world, definition_of([node("g", "review", config={"title": "Good?"}), node("b")], "g>b"))
    run = driven(started(world.bob, definition_of([calls()]), {"a": 1}))
    child = driven(child_of(run))
    assert child.status == RunStatus.PAUSED
    pause_run(run=run, actor=world.bob)
    driven(run)
    child.refresh_from_db()
    assert child.intent == "pause"
    resume_run(run=run, actor=world.bob)
    child.refresh_from_db()
    assert child.intent == ""
    cancel_run(run=run, actor=world.bob)
    driven(run)
    driven(child)
    assert (run.status, child.status) == (RunStatus.CANCELLED, RunStatus.CANCELLED)
    assert Review.objects.get(run=child).status == Review.Status.CANCELLED


def test_a_parent_waits_while_a_person_decides_below(world: World) -> None:
    other(world, gate())
    run = driven(started(world.bob, definition_of([calls(), node("after")], "s>after"), {"a": 1}))
    child = driven(child_of(run))
    driven(run)
    assert (run.status, child.status) == (RunStatus.RUNNING, RunStatus.PAUSED)
    decide_review(review=Review.objects.get(run=child), actor=world.rita, decision="approve")
    driven(child)
    assert driven(run).status == RunStatus.COMPLETED


def test_a_workflow_that_starts_itself_stops_at_the_depth_limit(world: World) -> None:
    other(world, definition_of([calls(workflow="Mirror")]), name="Mirror")
    run = driven(started(world.bob, definition_of([calls(workflow="Mirror")]), {"a": 1}))
    for _ in range(20):
        newest = Run.objects.order_by("-depth")[0]
        if driven(newest).status == RunStatus.FAILED:
            break
    deepest = Run.objects.order_by("-depth")[0]
    assert deepest.depth == 7
    assert deepest.error["code"] == "too_deep"
    for level in Run.objects.order_by("-depth"):
        driven(level)
    run.refresh_from_db()
    assert run.status == RunStatus.FAILED


def test_what_cannot_be_started_names_the_workflow(world: World) -> None:
    run = driven(started(world.bob, definition_of([calls(workflow="Nope")]), {"a": 1}))
    assert run.status == RunStatus.FAILED
    assert "“Nope”" in run.error["message"]
    stranger = version_of(world.charlie, gate()).workflow
    run = driven(started(world.bob, definition_of([calls(workflow=str(stranger.pk))]), {"a": 1}))
    assert run.status == RunStatus.FAILED


def test_a_failure_starts_the_workflow_for_failures_once_each_time(world: World) -> None:
    other(
        world,
        definition_of([node("x", config={"mode": "template", "template": "{{ input.error.message }}"})]),
        "Alarm",
    )
    broken = node("b", config={"mode": "expression", "expression": "input.missing + 1"})
    definition = definition_of([broken], settings={"error_workflow": "Alarm"})
    run = driven(started(world.bob, definition, {"a": 1}))
    assert run.status == RunStatus.FAILED
    alarm = driven(child_of(run))
    assert (alarm.status, alarm.trigger_type) == (RunStatus.COMPLETED, "failure")
    assert "missing" in alarm.output["content"]
    driven(retry_run(run=run, actor=world.bob))
    assert Run.objects.filter(parent=run).count() == 2


def test_a_workflow_for_failures_that_is_not_there_is_said(world: World) -> None:
    broken = node("b", config={"mode": "expression", "expression": "input.missing + 1"})
    run = driven(started(world.bob, definition_of([broken], settings={"error_workflow": "Nope"}), {"a": 1}))
    assert run.status == RunStatus.FAILED
    assert any("Nope" in event.data.get("message", "") for event in run.events.filter(type="error"))
