"""Runs whose steps call a model: streamed text, usage and cost, retries as timers, stops, lost workers."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from runs.engine.statuses import RunStatus
from runs.models import Attempt, Event, Run, StepRun
from runs.services import drive_run
from runs.services.control_run import cancel_run
from tests.runs.support import definition_of, driven, event_types, node, rows, started
from tests.support.factories import World

pytestmark = pytest.mark.django_db(transaction=True)


def ask(key: str, prompt: str = "Write about {{ input.topic }}.", **fields: Any) -> dict[str, Any]:
    config = {"prompt": prompt, "model": "demo:writer", **fields.pop("config", {})}
    return node(key, "llm", config=config, **fields)


def test_a_model_step_streams_and_keeps_what_was_sent_and_what_it_cost(world: World) -> None:
    run = driven(
        started(
            world.bob,
            definition_of([ask("a"), ask("b", "Improve: {{ previous }}")], "a>b"),
            {"topic": "wells"},
        )
    )
    assert run.status == RunStatus.COMPLETED, run.error
    row = rows(run)["a"]
    attempt = Attempt.objects.get(step_run=row)
    assert (attempt.status, attempt.number, attempt.provider) == ("succeeded", 1, "demo")
    assert attempt.calls[0]["messages"][-1]["content"] == "Write about wells."
    assert attempt.calls[0]["text"] == row.output["content"] == attempt.text
    assert row.tokens > 0
    assert run.tokens == sum(row.tokens for row in rows(run).values())
    assert (
        row.output["content"]
        in Attempt.objects.get(step_run=rows(run)["b"]).calls[0]["messages"][-1]["content"]
    )
    event_types(run)


def test_branches_ask_models_at_the_same_time(world: World) -> None:
    nodes = [node("s"), *(ask(f"m{i}") for i in range(4)), node("end", "merge", config={"mode": "text"})]
    paths = [f"s>m{i}>end" for i in range(4)]
    run = driven(started(world.bob, definition_of(nodes, *paths), {"topic": "wells"}))
    assert run.status == RunStatus.COMPLETED, run.error
    asked = [row for key, row in rows(run).items() if key.startswith("m")]
    assert max(row.started_at for row in asked) < min(row.completed_at for row in asked)


def test_cancel_stops_a_model_in_the_middle(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPWELL_DEMO_PAUSE_MS", "300")
    run = started(world.bob, definition_of([ask("a", config={"model": "demo:writer"})]), {"topic": "wells"})

    def cancel() -> None:
        while not Attempt.objects.filter(run=run).exists():
            time.sleep(0.01)
        cancel_run(run=Run.objects.get(pk=run.pk), actor=world.bob)
        drive_run.poke(run.pk)
        connection.close()

    other = threading.Thread(target=cancel)
    other.start()
    driven(run)
    other.join()
    assert run.status in (RunStatus.CANCELLED, RunStatus.COMPLETED)
    if run.status == RunStatus.CANCELLED:
        assert Attempt.objects.get(run=run).status == "cancelled"


def test_a_warm_stop_hands_the_run_back_without_blame(world: World) -> None:
    run = started(world.bob, definition_of([ask("a"), node("b")], "a>b"), {"topic": "wells"})

    def stop() -> None:
        while not Attempt.objects.filter(run=run).exists():
            time.sleep(0.01)
        drive_run.stop_all(0.0)
        connection.close()

    other = threading.Thread(target=stop)
    other.start()
    drive_run.drive(run.pk)
    other.join()
    drive_run._stopping.clear()
    run.refresh_from_db()
    assert run.lease_token == ""
    if run.status != RunStatus.COMPLETED:
        assert run.wake_at is not None
        assert run.wake_at <= timezone.now()
        assert StepRun.objects.get(run=run, step_key="a").crashes == 0
    assert driven(run).status == RunStatus.COMPLETED


def test_a_wait_over_two_seconds_is_a_timer_that_gives_the_worker_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = [ask("a", retry_policy={"max_attempts": 3, "delay_ms": 60_000, "jitter": 0})]
    run = started(world.bob, definition_of(nodes), {"topic": "wells"})
    from workflows.providers.chat import chat as real
    from workflows.providers.errors import ProviderError

    async def busy(*args: Any, **kwargs: Any) -> Any:
        raise ProviderError("The model is busy.", code="rate_limited", retryable=True)

    monkeypatch.setattr("runs.services.execute_step.chat", busy)
    driven(run)
    assert run.status == RunStatus.RUNNING
    assert run.lease_token == ""
    assert "try 2 of 3" in run.waiting_for[0]["sentence"]
    assert Event.objects.get(run=run, type="retry").data["of"] == 3
    monkeypatch.setattr("runs.services.execute_step.chat", real)
    StepRun.objects.filter(run=run).update(due_at=timezone.now() - timedelta(seconds=1))
    driven(run)
    assert run.status == RunStatus.COMPLETED, run.error
    assert list(Attempt.objects.filter(run=run).order_by("number").values_list("number", "status")) == [
        (1, "failed"),
        (2, "succeeded"),
    ]


def test_a_step_that_may_take_twenty_minutes_lets_its_model_write_for_as_long(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workflows.providers.chat import chat as real

    limits: list[float] = []

    async def noted(request: Any, **more: Any) -> Any:
        limits.append(request.total_timeout_s)
        return await real(request, **more)

    monkeypatch.setattr("runs.services.execute_step.chat", noted)
    nodes = [ask("a"), ask("b", timeout_s=1_200), ask("c", timeout_s=30)]
    driven(started(world.bob, definition_of(nodes, "a>b>c"), {"topic": "wells"}))
    # A little is kept, so that the call's own limit speaks before the step's does.
    assert [round(limit / 10) for limit in limits] == [28, 114, 3]
