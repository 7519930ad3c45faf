"""Runs whose model cannot answer: the step goes on over its chain, and the run says who answered, why, and at what cost."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from runs.engine.statuses import RunStatus
from runs.models import Attempt, Event, Run, StepRun
from runs.snapshots import run_snapshot
from tests.runs.support import definition_of, driven, event_types, node, rows, started
from tests.support.factories import World
from tests.support.fake_openai import FakeOpenAI, Reply
from workflows.services.provider_accounts import create_account, set_account_active
from workflows.tenancy.models import Tenant

pytestmark = pytest.mark.django_db(transaction=True)

OPENAI_CREDIT = {"error": {"message": "You exceeded your current quota.", "type": "insufficient_quota"}}


@pytest.fixture
def primary(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-primary")
        yield server


@pytest.fixture
def second(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as server:
        monkeypatch.setenv("GOOGLE_BASE_URL", server.url)
        monkeypatch.setenv("GOOGLE_API_KEY", "g-second")
        yield server


def ask(**fields: Any) -> dict[str, Any]:
    config = {"prompt": "Write about wells.", "model": "openai:gpt-4o-mini", **fields.pop("config", {})}
    return node("a", "llm", config=config, **fields)


def once(**fields: Any) -> dict[str, Any]:
    return ask(retry_policy={"max_attempts": 1}, **fields)


FALLBACK = ["google:gemini-2.5-flash"]


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Reply(status=429, body={"error": {"code": "rate_limit_exceeded"}}), "rate_limited"),
        (Reply(status=529, body={"error": {"type": "overloaded_error"}}), "overloaded"),
        (Reply(status=429, body=OPENAI_CREDIT), "quota"),
        (Reply(status=402, body={"error": {"type": "billing_error"}}), "quota"),
        (Reply(text="Half of an answer", cut_after=2), "cut_stream"),
    ],
)
def test_the_run_completes_over_the_chain_and_the_hop_is_recorded(
    world: World, primary: FakeOpenAI, second: FakeOpenAI, reply: Reply, code: str
) -> None:
    primary.script(reply)
    second.script(Reply(text="A whole answer."))
    run = driven(started(world.bob, definition_of([once(config={"fallback": FALLBACK})])))
    assert run.status == RunStatus.COMPLETED, run.error
    assert run.output == {"content": "A whole answer."}
    attempt = Attempt.objects.get(run=run)
    failed, answered = attempt.calls
    assert failed["error"]["code"] == code
    assert failed["fallback_to"] == "google:gemini-2.5-flash"
    assert answered["model"] == "google:gemini-2.5-flash"
    assert Decimal(answered["cost"]) > 0
    event = Event.objects.get(run=run, type="fallback")
    assert event.step_key == "a"
    assert (event.data["from"], event.data["to"]) == ("openai:gpt-4o-mini", "google:gemini-2.5-flash")
    assert event.data["code"] == code
    assert event.data["reason"]
    spent = sum((Decimal(call.get("cost", "0")) for call in attempt.calls), Decimal(0))
    assert run.cost == attempt.cost == rows(run)["a"].cost == spent
    assert (Decimal(event.data["cost"]) > 0) == (code == "cut_stream")
    assert rows(run)["a"].provider == "google"
    headline, rest = run_snapshot(run).row("a").story
    assert headline.startswith("OpenAI ")
    assert rest == "Then Google answered."
    types = event_types(run)
    assert types.index("fallback") < types.index("completed")


def test_a_hang_ends_at_its_share_of_the_steps_time(
    world: World, primary: FakeOpenAI, second: FakeOpenAI
) -> None:
    import threading

    held = threading.Event()
    primary.script(Reply(text="Too late", wait=held))
    try:
        run = driven(started(world.bob, definition_of([once(timeout_s=3, config={"fallback": FALLBACK})])))
    finally:
        held.set()
    assert run.status == RunStatus.COMPLETED, run.error
    assert Event.objects.get(run=run, type="fallback").data["code"] == "timeout"


def test_what_may_pass_is_retried_first_and_goes_on_at_the_last_try(
    world: World, primary: FakeOpenAI, second: FakeOpenAI
) -> None:
    primary.script(*[Reply(status=503) for _ in range(2)])
    policy = {"max_attempts": 2, "delay_ms": 60_000, "jitter": 0}
    run = driven(started(world.bob, definition_of([ask(retry_policy=policy, config={"fallback": FALLBACK})])))
    assert run.status == RunStatus.RUNNING
    assert second.count() == 0
    StepRun.objects.filter(run=run).update(due_at=timezone.now() - timedelta(seconds=1))
    driven(run)
    assert run.status == RunStatus.COMPLETED, run.error
    assert (primary.count(), second.count()) == (2, 1)


def test_the_steps_chain_goes_before_the_workflows_and_that_before_the_tenants(
    world: World, primary: FakeOpenAI, second: FakeOpenAI
) -> None:
    Tenant.objects.filter(pk=world.tenant.pk).update(fallback=["google:of-the-tenant"])
    for settings, config, expected in (
        ({}, {}, "of-the-tenant"),
        ({"fallback": ["google:of-the-workflow"]}, {}, "of-the-workflow"),
        ({"fallback": ["google:of-the-workflow"]}, {"fallback": ["google:of-the-step"]}, "of-the-step"),
    ):
        primary.script(Reply(status=402))
        run = driven(started(world.bob, definition_of([once(config=config)], settings=settings)))
        assert run.status == RunStatus.COMPLETED, run.error
        assert second.requests[-1].body["model"] == expected


def test_the_model_chosen_for_a_run_goes_first(world: World, primary: FakeOpenAI, second: FakeOpenAI) -> None:
    run = started(world.bob, definition_of([once(config={"fallback": ["openai:other"]})]))
    Run.objects.filter(pk=run.pk).update(model_override="google:chosen")
    driven(run)
    assert run.status == RunStatus.COMPLETED, run.error
    assert (primary.count(), second.count()) == (0, 1)


def test_a_step_fails_with_the_first_models_error_when_nobody_answers(
    world: World, primary: FakeOpenAI, second: FakeOpenAI
) -> None:
    primary.script(Reply(status=429, body=OPENAI_CREDIT))
    second.script(Reply(status=401))
    run = driven(started(world.bob, definition_of([once(config={"fallback": FALLBACK})])))
    assert run.status == RunStatus.FAILED
    assert run.error["code"] == "quota"
    assert "Google does not accept the key" in run.error["message"]
    assert len(Attempt.objects.get(run=run).calls) == 2


def test_a_tenants_own_account_is_called_with_its_own_key_and_nobody_elses(
    world: World, primary: FakeOpenAI, settings: Any
) -> None:
    with FakeOpenAI() as own:
        settings.OUTBOUND_ALLOW = [f"127.0.0.1:{own.port}"]
        account = create_account(
            actor=world.alice, provider="openai", name="Ours", key="sk-canary-0815", base_url=own.url
        )
        run = driven(started(world.bob, definition_of([once()])))
        assert run.status == RunStatus.COMPLETED, run.error
        assert own.requests[0].headers["authorization"] == "Bearer sk-canary-0815"
        assert primary.count() == 0
        [call] = Attempt.objects.get(run=run).calls
        assert call["account"] == "Ours"
        assert "sk-canary-0815" not in str(list(Attempt.objects.filter(run=run).values()))
        theirs = driven(started(world.charlie, definition_of([once()])))
        assert theirs.status == RunStatus.COMPLETED, theirs.error
        assert (own.count(), primary.count()) == (1, 1)
        set_account_active(actor=world.alice, account=account, active=False)
        driven(started(world.bob, definition_of([once()])))
        assert (own.count(), primary.count()) == (1, 2)


def test_an_account_that_is_paused_is_passed_over_by_later_runs(
    world: World, primary: FakeOpenAI, second: FakeOpenAI
) -> None:
    primary.script(Reply(status=402))
    for _ in range(2):
        run = driven(started(world.bob, definition_of([once(config={"fallback": FALLBACK})])))
        assert run.status == RunStatus.COMPLETED, run.error
    assert primary.count() == 1
    reason = Event.objects.get(run=run, type="fallback").data["reason"]
    assert reason.startswith("OpenAI is paused because its credit or quota is used up, next probe at ")
    assert Attempt.objects.get(run=run).calls[0]["skipped"] is True
