"""Budgets: told at four fifths, then a run waits for a person, stops with its reason, or goes on, as the policy says."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.urls import reverse

from runs.engine.statuses import RunStatus
from runs.models import Event, Review, Run
from runs.services.control_run import cancel_run, pause_run, resume_run, retry_run
from runs.services.decide_review import decide_review
from runs.services.doctor import examine
from tests.runs.support import definition_of, driven, event_types, node, started, statuses
from tests.support.factories import World, client_of
from tests.support.fake_openai import FakeOpenAI, Reply
from workflows.lib.errors import Conflict, NotAllowed
from workflows.tenancy.models import AuditEntry, Tenant

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


def question(run: Run) -> Review:
    return Review.objects.get(run=run, kind="budget", status="open")


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
    assert waits["kind"] == "budget"
    assert waits["sentence"].endswith("to allow more: $1.50 of $1.00 for this run are spent.")
    assert told(run) == [("run", "paused")]
    asked = question(run)
    assert asked.title == "$1.50 of $1.00 for this run: allow $0.50 more?"
    assert asked.step_run is None
    # It goes on by the decision alone.
    with pytest.raises(Conflict, match="waits for a decision"):
        resume_run(run=run, actor=world.bob)
    decide_review(review=asked, actor=world.bob, decision="approve", comment="Go on.")
    driven(run)
    # $1.50 were spent and $0.50 allowed on top: one more answer, then it asks again.
    assert run.status == RunStatus.PAUSED
    assert run.budget_extra == 1
    assert server.count() == 3
    assert "$2.25 of $2.00" in run.waiting_for[0]["sentence"]
    entry = AuditEntry.objects.get(action="decided", object_id=str(asked.pk))
    assert entry.after is not None
    assert Decimal(entry.after["allowed_usd"]) == Decimal("0.5")
    decide_review(review=question(run), actor=world.bob, decision="approve")
    driven(run)
    assert run.status == RunStatus.COMPLETED, run.error
    assert server.count() == 4
    assert told(run)[:4] == [("run", "paused"), ("run", "raised")] * 2
    events = event_types(run)
    assert (events.count("paused"), events.count("review_requested")) == (2, 2)
    assert events.count("resumed") == 2


def test_who_says_no_to_more_ends_the_run_and_a_retry_asks_again(world: World, server: FakeOpenAI) -> None:
    run = driven(started(world.bob, chain(3, budget_usd=1)))
    asked = question(run)
    with pytest.raises(NotAllowed, match="This review is for owner, admin, editor"):
        decide_review(review=asked, actor=world.rita, decision="approve")
    decide_review(review=asked, actor=world.bob, decision="reject", comment="Too dear.")
    driven(run)
    assert (run.status, run.error["code"]) == (RunStatus.FAILED, "budget")
    assert run.error["message"].startswith("The budget is spent: $1.50 of $1.00 for this run, and ")
    assert run.error["message"].endswith("did not allow more.")
    retry_run(run=run, actor=world.bob)
    driven(run)
    assert run.status == RunStatus.PAUSED
    assert server.count() == 2
    decide_review(review=question(run), actor=world.bob, decision="approve")
    assert driven(run).status == RunStatus.COMPLETED, run.error


def test_a_cancelled_run_no_longer_asks(world: World) -> None:
    run = driven(started(world.bob, chain(3, budget_usd=1)))
    asked = question(run)
    cancel_run(run=run, actor=world.bob)
    assert driven(run).status == RunStatus.CANCELLED
    asked.refresh_from_db()
    assert asked.status == "cancelled"
    assert list(examine()) == []


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
    assert question(run).title == "$1.50 of $1.00 for this month: allow $1.00 more?"
    # The workspace's money: who steers runs may not allow it.
    with pytest.raises(NotAllowed, match="for owner, admin"):
        decide_review(review=question(run), actor=world.bob, decision="approve")
    decide_review(review=question(run), actor=world.alice, decision="approve")
    assert driven(run).status == RunStatus.COMPLETED, run.error
    assert run.month_extra == Decimal("1.5")


def test_the_question_is_in_the_inbox_on_the_runs_page_and_in_the_api(world: World) -> None:
    run = driven(started(world.bob, chain(3, budget_usd=1)))
    title = "$1.50 of $1.00 for this run: allow $0.50 more?"
    bob = client_of(world.bob)
    page = bob.get(reverse("runs:detail", args=[run.pk])).content.decode()
    assert title in page
    assert "Allow $0.50 more" in page
    assert reverse("runs:resume", args=[run.pk]) not in page
    assert "Waiting for review" in page
    assert title in bob.get(reverse("reviews:index")).content.decode()
    [shown] = bob.get("/api/reviews").json()["items"]
    assert (shown["kind"], shown["node_id"], shown["may_decide"]) == ("budget", None, True)
    refused = bob.post(f"/api/workflow-executions/{run.pk}/resume")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "at_gate")
    answer = bob.post(reverse("reviews:decide", args=[shown["id"]]), {"decision": "approve", "back": "run"})
    assert answer.status_code == 302
    assert driven(run).budget_extra == 1
    assert "Approved by Bob" in bob.get(reverse("reviews:detail", args=[shown["id"]])).content.decode()


def test_a_persons_pause_outlives_the_budgets_question(world: World, server: FakeOpenAI) -> None:
    """Who allows more says nothing about the pause of somebody else, and the other way round."""
    run = driven(started(world.bob, chain(3, budget_usd=1)))
    assert [entry["kind"] for entry in run.waiting_for] == ["budget"]
    pause_run(run=run, actor=world.alice)
    driven(run)
    assert [entry["kind"] for entry in run.waiting_for] == ["budget", "pause"]
    assert "Alice" in run.waiting_for[1]["sentence"]
    decide_review(review=Review.objects.get(run=run), actor=world.bob, decision="approve")
    made = len(server.requests)
    driven(run)
    assert (run.status, run.intent, len(server.requests)) == ("paused", "pause", made)
    assert [entry["kind"] for entry in run.waiting_for] == ["pause"]
    resume_run(run=run, actor=world.alice)
    assert driven(run).status == "completed" or run.waiting_for[0]["kind"] == "budget"


def test_a_pause_beside_the_budget_can_be_taken_back(world: World, server: FakeOpenAI) -> None:
    run = driven(started(world.bob, chain(3, budget_usd=1)))
    pause_run(run=run, actor=world.alice)
    resume_run(run=run, actor=world.bob)
    driven(run)
    assert [entry["kind"] for entry in run.waiting_for] == ["budget"]
    with pytest.raises(Conflict, match="waits for a decision"):
        resume_run(run=run, actor=world.bob)
    made = len(server.requests)
    decide_review(review=Review.objects.get(run=run), actor=world.bob, decision="approve")
    driven(run)
    assert len(server.requests) > made
    event_types(run)
