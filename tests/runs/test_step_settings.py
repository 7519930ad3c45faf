"""Settings of a step that hold while it runs: its time limit in a thread, what it declares, its pinned output."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from runs.models import Attempt, Event, Run, StepRun
from runs.services import execute_step
from tests.runs.support import definition_of, driven, event_types, node, rows, started
from tests.support.factories import World
from workflows.lib.errors import Invalid
from workflows.steps.base import Completed, StepContext
from workflows.steps.clean_text import CleanTextStep
from workflows.steps.transform import TransformStep

pytestmark = pytest.mark.django_db


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """`clean_text` and `transform` that go on until the event is set."""
    go_on = threading.Event()

    def execute(self: object, context: StepContext) -> Completed:
        go_on.wait(20)
        return Completed({"content": "late"})

    monkeypatch.setattr(CleanTextStep, "execute", execute)
    monkeypatch.setattr(TransformStep, "execute", execute)
    yield go_on
    go_on.set()


def error_of(run: Run, key: str) -> dict[str, Any]:
    error: dict[str, Any] | None = rows(run)[key].error
    assert error is not None
    return error


# --- the time limit --------------------------------------------------------------------------------


@pytest.mark.parametrize("type", ["clean_text", "transform"])
@pytest.mark.django_db(transaction=True)
def test_a_step_that_works_in_a_thread_is_given_up_after_its_time(
    world: World, stuck: threading.Event, type: str
) -> None:
    began = time.monotonic()
    run = driven(started(world.bob, definition_of([node("a", type, timeout_s=0.2)]), {"text": "x"}))
    assert time.monotonic() - began < 5
    assert run.status == "failed"
    error = error_of(run, "a")
    assert (error["code"], error["retryable"], error["step"]) == ("timeout", True, "A")
    assert error["message"] == "The step took longer than 0.2 s, its time limit."
    assert [row.status for row in Attempt.objects.filter(run=run)] == ["failed"]
    stuck.set()
    time.sleep(0.1)
    assert StepRun.objects.get(run=run).output is None, "what came late is dropped"


@pytest.mark.django_db(transaction=True)
def test_threads_that_are_left_behind_hold_nobody_up(world: World, stuck: threading.Event) -> None:
    late = [node(f"s{n}", "clean_text", timeout_s=0.3, on_error={"policy": "continue"}) for n in range(6)]
    run = driven(started(world.bob, definition_of(late), {"text": "x"}))
    assert run.status == "completed", run.error
    assert {error_of(run, f"s{n}")["code"] for n in range(6)} == {"timeout"}
    stuck.set()
    fine = driven(started(world.bob, definition_of([node("a", "clean_text", timeout_s=5)]), {"text": "x"}))
    assert fine.output == {"content": "late"}


def test_a_step_that_works_at_once_and_was_too_slow_has_failed_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(self: object, context: StepContext) -> Completed:
        time.sleep(0.05)
        return Completed({"content": "late"})

    monkeypatch.setattr(TransformStep, "execute", slow)
    monkeypatch.setattr(TransformStep, "default_timeout", timedelta(seconds=0.01))
    run = driven(started(world.bob, definition_of([node("a")]), {"text": "x"}))
    assert error_of(run, "a")["code"] == "timeout"
    assert rows(run)["a"].output is None


# --- declared inputs and outputs -------------------------------------------------------------------


def needs(type: str = "string") -> list[dict[str, Any]]:
    return [{"name": "topic", "type": type, "required": True}]


def test_a_declared_input_that_nothing_brings_fails_the_step_before_it_runs(world: World) -> None:
    definition = definition_of([node("a", inputs=needs()), node("b")], "a>b")
    run = driven(started(world.bob, definition, {"text": "x"}))
    assert run.status == "failed"
    error = error_of(run, "a")
    assert (error["code"], error["step"], error["field"]) == ("declared_input", "A", "topic")
    assert error["message"] == "“A” needs the input “topic” (text), and nothing brings it."
    assert error["fix"].startswith("Name a path to this step “topic”")
    assert "b" not in rows(run)


def test_a_declared_input_comes_from_a_path_the_step_before_or_the_run_and_texts_may_name_it(
    world: World,
) -> None:
    template = {"mode": "template", "template": "about {{ inputs.topic }}"}
    first = node("a", inputs=needs(), config=template)
    second = node("b", inputs=needs(), config=template)
    definition = definition_of(
        [first, second],
        edges=[{"id": "e", "source_node_id": "a", "target_node_id": "b", "target_input": "topic"}],
    )
    run = driven(started(world.bob, definition, {"topic": "wells"}))
    assert run.output == {"content": "about about wells"}, run.error


def test_a_declared_input_of_another_type_is_told_with_what_came(world: World) -> None:
    run = driven(started(world.bob, definition_of([node("a", inputs=needs("number"))]), {"topic": "x"}))
    assert error_of(run, "a")["message"] == "“A” declares the input “topic” as a number, and text came."


@pytest.mark.parametrize("type", ["transform", "clean_text"])
@pytest.mark.django_db(transaction=True)
def test_a_declared_output_that_is_not_given_fails_the_step(world: World, type: str) -> None:
    outputs = [{"name": "score", "type": "number", "required": True}]
    definition = definition_of([node("a", type, outputs=outputs), node("b")], "a>b")
    run = driven(started(world.bob, definition, {"text": "x"}))
    assert run.status == "failed"
    error = error_of(run, "a")
    assert (error["code"], error["step"], error["field"]) == ("declared_output", "A", "score")
    assert "“A” declares the output “score” (a number), and did not give it" in error["message"]
    assert error["fix"]
    row = rows(run)["a"]
    assert (row.status, row.output) == ("failed", None)


def test_a_declared_output_that_is_given_is_no_news(world: World) -> None:
    outputs = [{"name": "content", "type": "string", "required": True}]
    run = driven(started(world.bob, definition_of([node("a", outputs=outputs)]), {"text": "x"}))
    assert run.status == "completed", run.error


# --- pinned outputs --------------------------------------------------------------------------------


def pinned_definition() -> Any:
    """A model that cannot be called, then a text made of what it would have said."""
    model = node(
        "a", "llm", config={"prompt": "Say", "model": "openai:gpt-4o"}, pinned={"content": "pinned words"}
    )
    return definition_of([model, node("b")], "a>b")


def test_a_test_run_takes_the_pinned_output_and_calls_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*args: object, **more: object) -> None:
        raise AssertionError("a model was called")

    monkeypatch.setattr(execute_step, "chat", never)
    run = driven(started(world.bob, pinned_definition(), {"text": "x"}, test=True))
    assert run.output == {"content": "b after pinned words"}, run.error
    row = rows(run)["a"]
    assert row.pinned
    assert (row.notes, row.output) == ("Pinned output, not run", {"content": "pinned words"})
    assert row.cost == 0
    assert not rows(run)["b"].pinned
    assert not Attempt.objects.filter(run=run).exists()
    told = {event.step_key: event.data for event in Event.objects.filter(run=run, type="completed")}
    assert told["a"]["pinned"] is True
    assert "pinned" not in told["b"]
    assert event_types(run)[-2:] == ["run_completed", "done"]


@pytest.mark.parametrize("type", ["review", "delay", "filter", "fan_out"])
def test_every_kind_of_step_can_be_pinned(world: World, type: str) -> None:
    config = {
        "review": {"title": "Good?"},
        "delay": {"seconds": 3600},
        "filter": {"condition": {"expression": "false"}},
        "fan_out": {"items": "{{ input.list }}", "prompt": "Say {{ item }}"},
    }[type]
    nodes = [node("a", type, config=config, pinned={"content": "as pinned"}), node("b")]
    port = {"review": "a:approved>b"}.get(type, "a>b")
    run = driven(started(world.bob, definition_of(nodes, port), {"list": [1, 2]}, test=True))
    assert run.output == {"content": "b after as pinned"}, run.error
    assert rows(run)["a"].pinned


def test_a_live_run_does_not_know_pinned_outputs(world: World) -> None:
    definition = definition_of([node("a", pinned={"content": "pinned"})])
    assert driven(started(world.bob, definition, {"text": "x"})).output != {"content": "pinned"}
    run = started(world.bob, definition, {"text": "x"}, test=True)
    Run.objects.filter(pk=run.pk).update(kind=Run.Kind.STEP, from_step="a")
    assert driven(run).output != {"content": "pinned"}, "the step that is tested is run"


# --- the run's input -------------------------------------------------------------------------------


def test_a_run_refuses_empty_required_text_and_names_that_nobody_declares(world: World) -> None:
    definition = definition_of([node("a")], variables=[{"name": "topic", "type": "string", "required": True}])
    with pytest.raises(Invalid) as refused:
        started(world.bob, definition, {"topic": "", "topics": "x"})
    assert [(p.code, p.field) for p in refused.value.problems] == [
        ("missing_input", "topic"),
        ("unknown_input", "topics"),
    ]
    assert (
        started(world.bob, definition, {"topic": "x", "more": 1}, trigger_type="webhook").input["more"] == 1
    )
