"""The keeper: rings what is due and free, once, in a fair order; recovers, prunes, and outlives outages."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from django.contrib.sessions.models import Session
from django.db import OperationalError
from django.db.models.functions import Now
from django.utils import timezone
from rq import Queue
from rq.serializers import JSONSerializer

from config.paths import BASE_DIR
from runs import queue
from runs.engine.statuses import RunStatus
from runs.management.commands import run_keeper
from runs.management.commands.run_keeper import Duty, keep
from runs.models import IdempotencyKey, Run
from runs.services.recover_runs import prune_stale, recover_runs
from runs.services.ring_runs import ring_due_runs
from tests.support import factories
from tests.support.jobs import OwnRedis, command, eventually, said, stop
from tests.support.stack import stack_environment
from workflows.models import WorkflowVersion
from workflows.tenancy.models import Tenant

_numbers = count(1)


def ago(seconds: float) -> datetime:
    return timezone.now() - timedelta(seconds=seconds)


def run_of(tenant: Tenant, **fields: Any) -> Run:
    workflow = factories.workflow(tenant)
    version = WorkflowVersion.objects.create(
        workflow=workflow, tenant=tenant, document="{}", content_hash="0"
    )
    return Run.objects.create(
        tenant=tenant,
        workflow=workflow,
        version=version,
        **{"number": next(_numbers), "wake_at": ago(5), **fields},
    )


def driven(tenant: Tenant, **fields: Any) -> Run:
    """A run with a live lease."""
    return run_of(tenant, lease_token="somebody", lease_until=ago(-30), wake_at=ago(-30), **fields)


@pytest.fixture
def rung(monkeypatch: pytest.MonkeyPatch) -> list[UUID]:
    """The runs that were rung, in order."""
    runs: list[UUID] = []
    monkeypatch.setattr(queue, "ring_again", runs.append)
    return runs


@pytest.fixture
def here(db: None) -> Tenant:
    return factories.tenant()


def test_a_due_run_is_rung_and_gets_time_to_be_taken(here: Tenant, rung: list[UUID]) -> None:
    run = run_of(here)
    before = timezone.now()
    assert ring_due_runs() == 1
    assert rung == [run.id]
    run.refresh_from_db()
    assert run.wake_at is not None
    assert before + timedelta(seconds=9) < run.wake_at < timezone.now() + timedelta(seconds=11)
    assert ring_due_runs() == 0


def test_a_run_that_is_not_due_or_waits_for_nothing_is_left_alone(here: Tenant, rung: list[UUID]) -> None:
    run_of(here, wake_at=ago(-60))
    run_of(here, wake_at=None)
    assert ring_due_runs() == 0
    assert rung == []


def test_a_run_under_a_live_lease_is_left_to_its_driver(here: Tenant, rung: list[UUID]) -> None:
    run_of(here, lease_token="somebody", lease_until=ago(-20))
    assert ring_due_runs() == 0


def test_a_run_whose_driver_died_is_rung(here: Tenant, rung: list[UUID]) -> None:
    run = run_of(here, lease_token="somebody", lease_until=ago(1))
    assert ring_due_runs() == 1
    assert rung == [run.id]


def test_a_wake_up_by_the_databases_own_clock_is_heard(here: Tenant, rung: list[UUID]) -> None:
    run = run_of(here, wake_at=None)
    Run.objects.filter(id=run.id).update(wake_at=Now())
    assert ring_due_runs() == 1


def test_a_run_is_taken_by_one_of_two_keepers(
    here: Tenant, rung: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = {run_of(here).id for _ in range(4)}
    counts: list[int] = []

    def ring(run_id: UUID) -> None:
        rung.append(run_id)
        if len(rung) == 1:
            # The other keeper comes in between the first one's look and its takings.
            counts.append(ring_due_runs())

    monkeypatch.setattr(queue, "ring_again", ring)
    counts.append(ring_due_runs())
    assert sorted(rung) == sorted(runs)
    assert counts == [3, 1]


def test_tenants_take_turns_however_long_the_line_of_one_is(here: Tenant, rung: list[UUID]) -> None:
    there = factories.tenant()
    line = [run_of(here, wake_at=ago(100 - number)) for number in range(5)]
    late = run_of(there, wake_at=ago(1))
    assert ring_due_runs(limit=2) == 2
    assert rung == [line[0].id, late.id]


def test_a_tenant_with_many_driven_runs_stands_behind_one_with_none(here: Tenant, rung: list[UUID]) -> None:
    there = factories.tenant()
    for _ in range(3):
        driven(here)
    waiting = run_of(here, wake_at=ago(100))
    others = [run_of(there, wake_at=ago(10 - number)) for number in range(3)]
    assert ring_due_runs() == 4
    assert rung == [*(run.id for run in others), waiting.id]


def test_looking_costs_two_queries_and_each_ring_one(
    here: Tenant, rung: list[UUID], django_assert_num_queries: Any
) -> None:
    driven(here)
    with django_assert_num_queries(2):
        ring_due_runs()
    for _ in range(5):
        run_of(here)
    with django_assert_num_queries(2 + 5):
        ring_due_runs()


def test_a_run_at_work_that_nothing_would_wake_is_woken(here: Tenant, rung: list[UUID]) -> None:
    lost = run_of(here, status=RunStatus.RUNNING, wake_at=None)
    orphan = run_of(here, status=RunStatus.PENDING, wake_at=None, lease_token="dead", lease_until=ago(5))
    assert recover_runs() == 2
    assert ring_due_runs() == 2
    assert sorted(rung) == sorted([lost.id, orphan.id])


@pytest.mark.parametrize(
    "status", [RunStatus.PAUSED, RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED]
)
def test_a_run_that_waits_for_a_person_or_is_over_is_not_woken(here: Tenant, status: RunStatus) -> None:
    run_of(here, status=status, wake_at=None)
    assert recover_runs() == 0


def test_a_driven_run_is_not_woken(here: Tenant) -> None:
    run_of(here, status=RunStatus.RUNNING, wake_at=None, lease_token="alive", lease_until=ago(-20))
    assert recover_runs() == 0


def test_idempotency_keys_end_after_a_day_and_sessions_when_they_expire(
    here: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runs.services.recover_runs.BATCH", 2)
    run = run_of(here)
    for number, hours in enumerate((30, 26, 25, 23)):
        IdempotencyKey.objects.create(
            tenant=here, workflow=run.workflow, key=f"{number}", run=run, created_at=ago(hours * 3_600)
        )
    for number, seconds in enumerate((60, 50, 40, -60)):
        Session.objects.create(session_key=f"{number}", session_data="", expire_date=ago(seconds))
    assert prune_stale() == 6
    assert list(IdempotencyKey.objects.values_list("key", flat=True)) == ["3"]
    assert list(Session.objects.values_list("session_key", flat=True)) == ["3"]


class Stop:
    """Stops after so many rests, and remembers how long they were meant to be."""

    def __init__(self, after: int) -> None:
        self.after = after
        self.rests: list[float] = []

    @property
    def is_set(self) -> bool:
        return len(self.rests) > self.after

    def wait(self, seconds: float) -> bool:
        self.rests.append(seconds)
        return self.is_set


@pytest.fixture
def no_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connections of the test process stay as they are."""
    monkeypatch.setattr(run_keeper, "close_old_connections", lambda: None)
    monkeypatch.setattr(run_keeper, "connections", SimpleNamespace(close_all=lambda: None))


def test_a_duty_that_fails_is_tried_again_later_each_time_and_then_as_before(no_connections: None) -> None:
    outcomes = iter([OperationalError("away"), OperationalError("away"), 0, 0])
    done: list[object] = []

    def duty() -> int:
        outcome = next(outcomes)
        done.append(outcome)
        if isinstance(outcome, Exception):
            raise outcome
        return 0

    stop_after = Stop(4)
    keep([Duty("ring_due_runs", duty, every_s=0.0)], stop_after, rest_s=1.0)  # type: ignore[arg-type]
    assert len(done) == 4
    assert stop_after.rests == [0.0, 2.0, 4.0, 1.0, 1.0]


def test_while_more_is_due_the_keeper_does_not_rest(no_connections: None) -> None:
    counts = iter([200, 200, 3])
    stop_after = Stop(3)
    keep([Duty("ring_due_runs", lambda: next(counts), every_s=0.0)], stop_after, rest_s=1.0)  # type: ignore[arg-type]
    assert stop_after.rests == [0.0, 0.0, 0.0, 1.0]


def manage(data_dir: Path, *arguments: str) -> None:
    subprocess.run(
        [sys.executable, str(BASE_DIR / "manage.py"), *arguments],
        env=stack_environment(data_dir, 0),
        check=True,
        capture_output=True,
    )


DUE_RUN = """
from django.utils import timezone
from runs.models import Run
from workflows.models import Workflow, WorkflowVersion
from workflows.tenancy.models import Tenant
tenant = Tenant.objects.create(slug="here", name="Here")
workflow = Workflow.objects.create(tenant=tenant, name="One")
version = WorkflowVersion.objects.create(workflow=workflow, tenant=tenant, document="{}", content_hash="0")
Run.objects.create(tenant=tenant, workflow=workflow, version=version, number=1, wake_at=timezone.now())
"""


@pytest.mark.crash
def test_a_keeper_outlives_a_missing_database_and_a_missing_redis_and_ends_well(tmp_path: Path) -> None:
    redis = OwnRedis(tmp_path)
    with command(tmp_path, "run_keeper", "--every", "0.1") as keeper:
        eventually(lambda: "keeper_duty_failed" in said(tmp_path))
        manage(tmp_path, "migrate")
        manage(tmp_path, "shell", "-c", DUE_RUN)
        eventually(lambda: "doorbell_not_rung" in said(tmp_path))
        redis.start()
        with closing(sqlite3.connect(tmp_path / "stepwell.sqlite3", timeout=20)) as database, database:
            # It was rung in vain and has its ten seconds now; these may pass.
            database.execute("UPDATE runs_run SET wake_at = '2026-01-01 00:00:00'")
        try:
            line = Queue("runs", connection=redis.client(), serializer=JSONSerializer)
            job = eventually(lambda: line.jobs)[0]
            assert job.func_name == "runs.jobs.drive"
            assert stop(keeper) == 0
        finally:
            redis.kill()
    assert "keeper_stopped" in said(tmp_path)
