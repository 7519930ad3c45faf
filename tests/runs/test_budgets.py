"""Budgets: told at four fifths, then a run waits for a person, stops with its reason, or goes on, as the policy says."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from runs.engine.statuses import RunStatus
from runs.models import Event, Run
from runs.services.control_run import resume_run, retry_run
from tests.runs.support import definition_of, driven, event_types, node, started, statuses
from tests.support.factories import World
from tests.support.fake_openai import FakeOpenAI, Reply
from workflows.tenancy.models import Tenant

pytestmark = pytest.mark.django_db(transaction=True)

# Tokens of one answer; at gpt-4o-mini's price that is 15 cents for what is sent and 60 for what comes.
MILLION = (1_000_000, 1_000_000)
EACH = Decimal("0.75")


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as fake:
        monkeypatch.setenv("OPENAI_BASE_URL", fake.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
        fake.default = lambda request: Reply(text="An answer.", usage=MILLION)
        yield fake


def chain(count: int, **settings: Any) -> Any:
    keys = [f"a{number}" for number in range(count)]
    nodes = [node(key, "llm", config={"prompt": "Write.", "model": "openai:gpt-4o-mini"}) for key in keys]
    return definition_of(nodes, ">".join(keys), settings=settings)


def told(run: Run) -> list[tuple[str, str]]:
    events = Event.objects.filter(run=run, type="budget").order_by("seq")
    return [(event.data["scope"], event.data["what"]) for event in events]


def test_a_run_within_its_budget_hears_nothing_of_it(world: World) -> None:
    run = driven(started(world.bob, chain(2, budget_usd=10)))
    assert run.status == RunStatus.COMPLETED, run.error
    assert run.cost == 2 * EACH
    assert told(run) == []


def test_a_spent_budget_pauses_the_run_and_continuing_allows_a_stated_sum(
    world: World, server: FakeOpenAI
) -> None:
    run = driven(started(world.bob, chain(4, budget_usd=1, budget_policy="pause")))
    assert run.status == RunStatus.PAUSED
    assert run.cost == 2 * EACH
    [waits] = run.waiting_for
    assert waits["kind"] == "pause"
    assert "$1.50 of $1.00 for this run are spent. Continuing allows $0.50 more" in waits["sentence"]
    assert told(run) == [("run", "paused")]
    resume_run(run=run, actor=world.bob)
    driven(run)
    # $1.50 were spent and $0.50 allowed on top: one more answer, then it asks again.
    assert run.status == RunStatus.PAUSED
    assert server.count() == 3
    assert "$2.25 of $2.00" in run.waiting_for[0]["sentence"]
    resume_run(run=run, actor=world.bob)
    driven(run)
    assert run.status == RunStatus.COMPLETED, run.error
    assert server.count() == 4
    assert event_types(run).count("paused") == 2


def test_a_run_that_may_not_go_on_fails_with_that_reason_and_a_retry_allows_more(
    world: World, server: FakeOpenAI
) -> None:
    run = driven(started(world.bob, chain(3, budget_usd=1, budget_policy="stop")))
    assert run.status == RunStatus.FAILED
    assert run.error["code"] == "budget"
    assert run.error["message"] == "The budget is spent: $1.50 of $1.00 for this run."
    assert "retry: that allows $0.50 more" in run.error["fix"]
    assert told(run) == [("run", "stopped")]
    retry_run(run=run, actor=world.bob)
    driven(run)
    assert run.status == RunStatus.COMPLETED, run.error
    assert server.count() == 3


def test_a_warning_is_given_once_at_four_fifths_and_once_at_the_whole(world: World) -> None:
    run = driven(started(world.bob, chain(6, budget_usd=1.8, budget_policy="warn")))
    assert run.status == RunStatus.COMPLETED, run.error
    assert run.cost == 6 * EACH
    assert told(run) == [("run", "nearly_spent"), ("run", "spent")]


def test_the_last_step_may_pass_the_budget_since_nothing_follows(world: World) -> None:
    run = driven(started(world.bob, chain(1, budget_usd=0.5, budget_policy="stop")))
    assert run.status == RunStatus.COMPLETED, run.error


def test_steps_that_cost_nothing_go_on(world: World) -> None:
    nodes = [
        node("a", "llm", config={"prompt": "Write.", "model": "openai:gpt-4o-mini"}),
        node("b"),
    ]
    settings = {"budget_usd": 0.5, "budget_policy": "stop"}
    run = driven(started(world.bob, definition_of(nodes, "a>b", settings=settings)))
    assert run.status == RunStatus.COMPLETED, run.error


@pytest.mark.parametrize(
    ("policy", "status"), [("pause", "paused"), ("stop", "failed"), ("warn", "completed")]
)
def test_the_month_of_the_tenant_holds_for_all_its_runs(world: World, policy: str, status: str) -> None:
    Tenant.objects.filter(pk=world.tenant.pk).update(monthly_budget_usd=1, budget_policy=policy)
    first = driven(started(world.bob, chain(2)))
    assert first.status == RunStatus.COMPLETED, first.error
    second = driven(started(world.bob, chain(1)))
    assert second.status == status
    assert told(second) == [("month", {"pause": "paused", "stop": "stopped", "warn": "spent"}[policy])]
    theirs = driven(started(world.charlie, chain(1)))
    assert theirs.status == RunStatus.COMPLETED, theirs.error


def test_a_run_that_the_month_has_paused_goes_on_when_a_person_allows_it(world: World) -> None:
    Tenant.objects.filter(pk=world.tenant.pk).update(monthly_budget_usd=1, budget_policy="pause")
    driven(started(world.bob, chain(2)))
    run = driven(started(world.bob, chain(1)))
    assert run.status == RunStatus.PAUSED
    assert statuses(run) == {}
    assert (
        "$1.50 of $1.00 for this month are spent. Continuing allows $1.00 more"
        in run.waiting_for[0]["sentence"]
    )
    resume_run(run=run, actor=world.bob)
    assert driven(run).status == RunStatus.COMPLETED, run.error
