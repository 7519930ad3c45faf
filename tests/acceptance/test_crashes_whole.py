"""Real processes that are killed, frozen and cut off in the middle of runs: every run ends by itself, nothing is done twice.

Worker and keeper run as in production, on the database of the tests (SQLite file or PostgreSQL) with a Redis of their
own and a model server that answers slowly. `STEPWELL_CRASH_SEED` repeats the random moments of a failing run.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from django.db.models import Sum

from runs.engine.statuses import RunStatus
from runs.models import Attempt, Event, Run, StepRun
from runs.services.doctor import examine
from tests.runs.support import definition_of, event_types, node, started
from tests.support.fake_openai import FakeOpenAI, Reply
from tests.support.jobs import eventually
from tests.support.site import LEASE_SECONDS, Site
from workflows.definition.graph import Definition

pytestmark = [pytest.mark.crash, pytest.mark.django_db(transaction=True)]

PATIENCE_SECONDS = 120.0
# Until a worker has started on a busy machine and reached a step.
START_SECONDS = 30.0
FACTS = "The well is old. Its water is cold and clear. People of the village drink it every day."


def ask(key: str, **fields: Any) -> dict[str, Any]:
    config = {"prompt": f"Write about {key}: {{{{ previous }}}}", "model": "openai:fake-small"}
    return node(key, "llm", config=config, **fields)


def whole() -> Definition:
    """Text steps, a short delay, and three model steps of which two run side by side."""
    nodes = [
        node("clean", "clean_text", config={"text": "{{ input.text }}"}),
        ask("first"),
        node("rest", "delay", config={"duration": "1 second"}),
        ask("left"),
        ask("right"),
        node("meet", "merge", config={"mode": "text"}),
        ask("last"),
    ]
    return definition_of(nodes, "clean>first>rest>left>meet>last", "rest>right>meet")


CALLS = ("first", "left", "right", "last")


def slow(model: FakeOpenAI, seconds: float = 0.9) -> None:
    """Every model step streams ten words over so many seconds."""
    for key in CALLS:
        reply = Reply(pieces=["water "] * 10, delay_s=seconds / 10)
        model.when(f"Write about {key}:", reply, always=True)


def calls(model: FakeOpenAI) -> dict[str, int]:
    return {key: model.count(f"Write about {key}:") for key in CALLS}


def in_step(run: Run, key: str) -> None:
    """Wait until this step's try is open and its text streams."""
    eventually(
        lambda: Attempt.objects.filter(run=run, step_run__step_key=key, status="open").exists(),
        START_SECONDS,
    )


def finished(run: Run) -> set[str]:
    """Steps that have completed by now: whatever happens next, nobody may be asked for them again."""
    return set(StepRun.objects.filter(run=run, status="completed").values_list("step_key", flat=True))


def check(site: Site, run: Run, *, before_crash: set[str] | None = None) -> None:
    """The run ends by itself; steps completed before the crash were called once, others at most once more (None: no
    crash, so nothing twice); rows, events and costs agree.
    """
    eventually(lambda: Run.objects.get(pk=run.pk).is_over, PATIENCE_SECONDS)
    run.refresh_from_db()
    assert run.status == RunStatus.COMPLETED, run.error
    for key, count in calls(site.model).items():
        most = 1 if before_crash is None or key in before_crash else 2
        assert 1 <= count <= most, f"{key} was called {count} times, at most {most} were right"
    event_types(run)
    rows = StepRun.objects.filter(run=run)
    assert set(rows.values_list("status", flat=True)) == {"completed"}
    assert not rows.filter(output=None).exists()
    ended = Event.objects.filter(run=run, type="completed").values_list("step_key", flat=True)
    assert len(ended) == len(set(ended)) == 7, "a step completed twice"
    assert rows.aggregate(sum=Sum("input_tokens"))["sum"] == run.input_tokens
    assert Attempt.objects.filter(run=run).aggregate(sum=Sum("input_tokens"))["sum"] == run.input_tokens
    assert rows.aggregate(sum=Sum("cost"))["sum"] == run.cost
    assert not Attempt.objects.filter(run=run, status="open").exists()
    assert list(examine()) == []


@pytest.fixture
def begin(world: Any, model: FakeOpenAI) -> Callable[[], Run]:
    def start() -> Run:
        slow(model)
        return started(world.bob, whole(), {"text": FACTS})

    return start


def test_a_worker_killed_in_the_middle_of_steps(
    site: Site, begin: Callable[[], Run], moment: random.Random
) -> None:
    worker = site.worker()
    site.keeper()
    run = begin()
    in_step(run, "right")
    time.sleep(moment.uniform(0, 0.6))
    before = finished(run)
    worker.kill()
    worker.wait()
    site.worker()
    check(site, run, before_crash=before)
    assert "first" in before


def test_worker_and_keeper_killed_and_redis_emptied(
    site: Site, begin: Callable[[], Run], moment: random.Random
) -> None:
    worker, keeper = site.worker(), site.keeper()
    run = begin()
    in_step(run, "first")
    site.redis.client().flushall()
    time.sleep(moment.uniform(0, 0.6))
    before = finished(run)
    for process in (worker, keeper):
        process.kill()
        process.wait()
    site.redis.client().flushall()
    site.keeper()
    site.worker()
    check(site, run, before_crash=before)


def test_redis_killed_and_back_costs_nothing(
    site: Site, begin: Callable[[], Run], moment: random.Random
) -> None:
    site.worker()
    site.keeper()
    run = begin()
    in_step(run, "first")
    time.sleep(moment.uniform(0, 0.5))
    site.redis.kill()
    time.sleep(moment.uniform(0.2, 1.5))
    site.redis.start()
    check(site, run)


def test_a_frozen_worker_writes_nothing_when_it_wakes(
    site: Site, begin: Callable[[], Run], moment: random.Random
) -> None:
    # One thread: idle ones would take doorbells with them into the ice, for as long as a bell stands (30 s).
    frozen = site.worker(threads=1)
    site.keeper()
    run = begin()
    in_step(run, "first")
    time.sleep(moment.uniform(0, 0.3))
    before = finished(run)
    frozen.send_signal(signal.SIGSTOP)
    token = Run.objects.get(pk=run.pk).lease_token
    site.worker()
    eventually(lambda: Run.objects.get(pk=run.pk).lease_token not in ("", token), PATIENCE_SECONDS)
    frozen.send_signal(signal.SIGCONT)
    check(site, run, before_crash=before)
    interrupted = Attempt.objects.filter(run=run, status="interrupted")
    assert [(a.counted, a.input_tokens) for a in interrupted] == [(False, 0)]
    eventually(lambda: "lease_lost" in site.said())


def test_two_keepers_two_workers_and_a_doorbell_that_rings_too_often(
    site: Site, begin: Callable[[], Run]
) -> None:
    for _ in range(2):
        site.worker()
        site.keeper()
    run = begin()
    in_step(run, "first")
    for _ in range(5):
        site.queue().enqueue_call("runs.jobs.drive", args=(str(run.pk),), timeout=-1, result_ttl=0)
    check(site, run)


def test_a_database_that_somebody_locks_for_some_seconds(site: Site, begin: Callable[[], Run]) -> None:
    site.worker()
    site.keeper()
    run = begin()
    in_step(run, "first")
    before = finished(run)
    with transaction.atomic():
        # For longer than the lease lives: SQLite's one write lock (IMMEDIATE), on PostgreSQL the lock of the run's row.
        Run.objects.select_for_update().get(pk=run.pk)
        time.sleep(LEASE_SECONDS + 1.5)
    # Its driver and another one may both want the run now; whoever gets it, one try at most is made again.
    check(site, run, before_crash=before)
