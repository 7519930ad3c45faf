"""Faults around a driver: refused and late transitions, results twice or too late, values no database keeps, our own bugs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import DataError, OperationalError, connection
from django.db.models import Sum
from django.utils import timezone

from runs.engine.statuses import RunStatus
from runs.models import Attempt, Event, Mail, Review, Run, StepRun
from runs.services import drive_run, execute_step
from runs.services.control_run import pause_run, resume_run, retry_run
from runs.services.decide_review import decide_review
from runs.services.execute_step import Result, Work, start
from runs.services.fence import Fence
from runs.services.loaded_run import LoadedRun
from runs.services.transition import Transition
from tests.runs.support import definition_of, driven, event_types, node, rows, started, statuses
from tests.support.factories import World
from tests.support.jobs import eventually
from workflows.providers.base import ChatAnswer, ChatRequest, Price, Usage

pytestmark = pytest.mark.django_db(transaction=True)

Chat = Callable[..., Any]


def ask(key: str, prompt: str = "", **fields: Any) -> dict[str, Any]:
    config = {"prompt": prompt or f"Tell of {key}.", "model": "openai:fake-small"}
    return node(key, "llm", config=config, **fields)


def answer(text: str) -> ChatAnswer:
    price = Price(amount=Decimal("0.01"), known=True)
    return ChatAnswer(text=text, provider="openai", model="fake-small", usage=Usage(3, 4), price=price)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A model that answers at once; the prompts that it got."""
    prompts: list[str] = []

    async def chat(request: ChatRequest, *, on_delta: Any, **_: Any) -> ChatAnswer:
        prompts.append(request.messages[-1].content)
        on_delta("An answer.")
        return answer("An answer.")

    monkeypatch.setattr(execute_step, "chat", chat)
    return prompts


def beside(act: Callable[[], None]) -> threading.Thread:
    """Do this in another thread with a database connection of its own."""

    def run() -> None:
        try:
            act()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def check_costs(run: Run) -> None:
    """What the run, its steps and its attempts say of money is the same."""
    run.refresh_from_db()
    for table in (StepRun, Attempt):
        spent = table.objects.filter(run=run).aggregate(cost=Sum("cost"), tokens=Sum("input_tokens"))
        assert spent["cost"] == run.cost, table
        assert spent["tokens"] == run.input_tokens, table


def test_a_resume_that_is_heard_with_a_result_starts_what_was_held_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = {"one": threading.Event(), "two": threading.Event()}

    async def chat(request: ChatRequest, **_: Any) -> ChatAnswer:
        which = "one" if "one" in request.messages[-1].content else "two"
        await asyncio.to_thread(go[which].wait, 30)
        return answer(which)

    monkeypatch.setattr(execute_step, "chat", chat)
    # The driver hears nothing between the turns, only what its own fence tells it.
    monkeypatch.setattr(drive_run, "TICK_S", 30.0)
    run = started(world.bob, definition_of([ask("one"), ask("two"), node("after")], "one>after"), {"x": 1})

    def people() -> None:
        eventually(lambda: Attempt.objects.filter(run=run).count() == 2)
        pause_run(run=Run.objects.get(pk=run.pk), actor=world.bob)
        drive_run.poke(run.pk)
        eventually(lambda: drive_run._drivers[run.pk].state.intent == "pause")
        go["one"].set()
        eventually(lambda: StepRun.objects.filter(run=run, step_key="one", status="completed").exists())
        resume_run(run=Run.objects.get(pk=run.pk), actor=world.bob)
        go["two"].set()

    thread = beside(people)
    driven(run)
    thread.join()
    assert run.status == RunStatus.COMPLETED, (run.status, run.error)
    assert statuses(run)["after"] == "completed"


def test_a_late_driver_keeps_its_work_when_nobody_took_the_lease(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    run = started(world.bob, definition_of([ask("a"), node("b")], "a>b"), {"x": 1})

    def wait_for_the_lease() -> None:
        try:
            eventually(lambda: Run.objects.get(pk=run.pk).lease_until > timezone.now())
        finally:
            connection.close()

    async def chat(request: ChatRequest, *, on_delta: Any, **_: Any) -> ChatAnswer:
        calls.append("call")
        await asyncio.to_thread(expire, run)
        on_delta("Some text that the next tick wants to save.")
        await asyncio.to_thread(wait_for_the_lease)
        return answer("done")

    monkeypatch.setattr(execute_step, "chat", chat)
    monkeypatch.setattr(drive_run, "TICK_S", 0.05)
    driven(run)
    assert run.status == RunStatus.COMPLETED, (run.status, run.error)
    assert calls == ["call"]
    event_types(run)


def expire(run: Run) -> None:
    try:
        Run.objects.filter(pk=run.pk).update(lease_until=timezone.now() - timedelta(seconds=5))
    finally:
        connection.close()


@pytest.mark.parametrize("text", ["zero \x00 byte", "half \ud800 character"])
def test_an_answer_that_no_database_keeps_fails_its_step_and_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    run = started(world.bob, definition_of([ask("a")]), {"x": 1})

    async def chat(request: ChatRequest, *, on_delta: Any, **_: Any) -> ChatAnswer:
        on_delta(text)
        await asyncio.sleep(0.2)
        return answer(text)

    monkeypatch.setattr(execute_step, "chat", chat)
    monkeypatch.setattr(drive_run, "TICK_S", 0.05)
    driven(run)
    assert run.status == RunStatus.FAILED
    assert run.error["step"] == "A"
    assert "NUL" in run.error["message"]
    attempt = Attempt.objects.get(run=run)
    assert attempt.calls[0]["text"].startswith(text[:4])
    check_costs(run)


def test_a_decision_whose_path_condition_cannot_be_told_fails_its_gate(world: World) -> None:
    path = {
        "id": "p",
        "source_node_id": "g",
        "source_output": "approved",
        "target_node_id": "b",
        "condition": "input.n > 3",
    }
    nodes = [node("g", "review", config={"title": "Is it good?"}), node("b")]
    run = driven(started(world.bob, definition_of(nodes, edges=[path]), {"m": 1}))
    decide_review(review=Review.objects.get(run=run), actor=world.rita, decision="approve")
    driven(run)
    assert (run.status, run.error["code"]) == (RunStatus.FAILED, "path_condition")
    assert not Mail.objects.filter(run=run, read_at=None).exists()
    assert rows(run)["g"].output is None


def test_a_result_that_is_delivered_twice_counts_once(
    world: World, model: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def twice(work: Work, deliver: Callable[[Result], None]) -> None:
        def both(result: Result) -> None:
            deliver(result)
            deliver(result)

        start(work, both)

    monkeypatch.setattr(drive_run, "start", twice)
    run = driven(started(world.bob, definition_of([ask("a"), ask("b")], "a>b"), {"x": 1}))
    assert run.status == RunStatus.COMPLETED, run.error
    assert run.cost == Decimal("0.02")
    assert list(Attempt.objects.filter(run=run).values_list("status", flat=True)) == ["succeeded"] * 2
    assert event_types(run).count("completed") == 2
    check_costs(run)


def test_a_result_of_an_older_try_is_dropped_and_its_cost_kept(
    world: World, model: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The try was given up (the step was sent back to be made again) while its answer was on its way."""
    held: list[tuple[Callable[[Result], None], Result]] = []
    run = started(world.bob, definition_of([ask("a")]), {"x": 1})

    def send_back() -> None:
        retry_run(run=Run.objects.get(pk=run.pk), actor=world.bob, from_step="a")
        drive_run.poke(run.pk)

    def late(work: Work, deliver: Callable[[Result], None]) -> None:
        def keep(result: Result) -> None:
            if held:
                first_deliver, first = held[0]
                first_deliver(first)
                deliver(result)
                return
            held.append((deliver, result))
            beside(send_back)

        start(work, keep)

    monkeypatch.setattr(drive_run, "start", late)
    driven(run)
    assert run.status == RunStatus.COMPLETED, run.error
    assert rows(run)["a"].round == 1
    assert list(StepRun.objects.filter(run=run).order_by("round").values_list("status", "cost")) == [
        ("cancelled", Decimal("0.01")),
        ("completed", Decimal("0.01")),
    ]
    assert run.cost == Decimal("0.02")
    check_costs(run)


def test_a_value_that_the_database_refuses_harms_only_its_own_step(
    world: World, model: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two results in one batch, the database refuses one; on its way again the other meets a late lease."""
    waiting: list[Callable[[], None]] = []
    refused: list[str] = []
    nodes = [ask("bad"), ask("good"), node("after")]
    run = started(world.bob, definition_of(nodes, "good>after"), {"x": 1})

    def together(work: Work, deliver: Callable[[Result], None]) -> None:
        def keep(result: Result) -> None:
            waiting.append(lambda: deliver(result))
            if len(waiting) == 2:
                for go in waiting:
                    go()

        start(work, keep)

    real = Fence._write_once

    def write(self: Fence, t: Transition, *, starts: bool) -> None:
        outputs = {pk for pk, values in t.step_updates if values.get("output")}
        keys = {
            StepRun.objects.get(pk=pk).step_key for pk in outputs if StepRun.objects.filter(pk=pk).exists()
        }
        if "bad" in keys:
            refused.append("bad")
            raise DataError("invalid byte sequence")
        if keys == {"good"} and "late" not in refused:
            refused.append("late")
            Run.objects.filter(pk=run.pk).update(lease_until=timezone.now() - timedelta(seconds=5))
        real(self, t, starts=starts)

    monkeypatch.setattr(drive_run, "start", together)
    monkeypatch.setattr(Fence, "_write_once", write)
    driven(run)
    assert "bad" in refused
    assert run.status == RunStatus.FAILED
    assert run.error["step"] == "Bad"
    assert run.error["code"] == "bad_output"
    assert rows(run)["good"].status == "completed"
    assert run.cost == Decimal("0.02")
    check_costs(run)
    assert len(model) == 2


def test_a_retry_that_was_acknowledged_before_the_end_is_honoured(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = started(world.bob, definition_of([node("a"), node("b")], "a>b"), {"x": 1})
    real = execute_step.run_inline
    asked: list[bool] = []

    def ask_for_more(work: Work) -> Result:
        if work.step.key == "b" and not asked:
            asked.append(True)
            retry_run(run=Run.objects.get(pk=run.pk), actor=world.bob, from_step="a")
        return real(work)

    monkeypatch.setattr(drive_run, "run_inline", ask_for_more)
    driven(run)
    assert run.status == RunStatus.COMPLETED
    assert {key: row.round for key, row in rows(run).items()} == {"a": 1, "b": 1}
    assert not Mail.objects.filter(run=run, read_at=None).exists()


def test_our_own_fault_hands_the_run_back_with_a_sentence(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = started(world.bob, definition_of([node("a")]), {"x": 1})
    with monkeypatch.context() as broken:
        broken.setattr(drive_run, "plan", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            drive_run.drive(run.pk)
    run.refresh_from_db()
    assert run.lease_token == ""
    assert run.waiting_for[0]["kind"] == "fault"
    assert run.wake_at > timezone.now()
    driven(run)
    assert (run.status, run.waiting_for) == (RunStatus.COMPLETED, [])


def test_a_database_that_is_away_for_a_moment_costs_no_second_call(
    world: World, model: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = LoadedRun.output_of
    failures = iter([True, True])

    def output_of(self: LoadedRun, place: Any) -> Any:
        if place.key == "a" and next(failures, False):
            raise OperationalError("the database system is shutting down")
        return real(self, place)

    monkeypatch.setattr(LoadedRun, "output_of", output_of)
    run = driven(started(world.bob, definition_of([ask("a"), ask("b")], "a>b"), {"x": 1}))
    assert run.status == RunStatus.COMPLETED, run.error
    assert len(model) == 2
    assert Event.objects.filter(run=run, type="completed").count() == 2
    check_costs(run)
