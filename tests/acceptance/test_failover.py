"""Whole runs whose first model cannot answer: they complete over their chain, say why, count what it cost, and never
take half an answer for a whole one. Every vendor's own bodies, and everything that a broken connection does.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone
from redis import Redis

from runs.engine.statuses import RunStatus
from runs.models import Attempt, Event, Run, StepRun
from runs.snapshots import run_snapshot
from tests.runs.support import definition_of, driven, event_types, node, rows, started
from tests.support.factories import World
from tests.support.fake_openai import FakeOpenAI, Reply, answer_from_prompt
from tests.workflows.providers.vendor_errors import CASES
from workflows.definition.graph import Definition

pytestmark = pytest.mark.django_db(transaction=True)

MODELS = {
    "openai": "gpt-4o-mini",
    "anthropic": "claude-haiku-4-5",
    "google": "gemini-2.5-flash",
    "ollama": "llama3.2",
    "custom": "some-model",
}
VARIABLES = {
    "openai": ("OPENAI_BASE_URL", "OPENAI_API_KEY"),
    "anthropic": ("ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY"),
    "google": ("GOOGLE_BASE_URL", "GOOGLE_API_KEY"),
    "ollama": ("OLLAMA_BASE_URL", "OLLAMA_API_KEY"),
    "custom": ("STEPWELL_LLM_BASE_URL", "STEPWELL_LLM_KEY"),
}
HALF = "Half of an ans"
WHOLE = "A whole answer about wells."


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, FakeOpenAI]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(FakeOpenAI()) for name in VARIABLES}


@pytest.fixture
def vendors(
    servers: dict[str, FakeOpenAI], monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, FakeOpenAI]]:
    """A server for each vendor, at which the operator's account points."""
    for name, (address, key) in VARIABLES.items():
        monkeypatch.setenv(address, servers[name].url)
        monkeypatch.setenv(key, f"key-of-{name}")
    yield servers
    for server in servers.values():
        server.reset()
        server.default = answer_from_prompt


def reply_of(status: int | None, body: Any) -> Reply:
    """The vendor's body as an answer; without a status as an event inside a stream that began well."""
    if status is None:
        error = (body[0] if isinstance(body, list) else body)["error"]
        return Reply(pieces=[HALF, " wer"], error_after=1, error=error)
    return Reply(status=status, html=body) if isinstance(body, str) else Reply(status=status, body=body)


def chain(vendor: str, *others: str, timeout_s: float | None = None, attempts: int = 1) -> Definition:
    """Two steps after each other: what the second is sent shows what the first was taken to have said."""
    config = {
        "model": f"{vendor}:{MODELS[vendor]}",
        "fallback": [f"{other}:{MODELS[other]}" for other in others],
    }
    fields: dict[str, Any] = {"timeout_s": timeout_s} if timeout_s else {}
    retry = {"max_attempts": attempts, "delay_ms": 1_000, "jitter": 0}
    first = node(
        "draft", "llm", config={"prompt": "Write about wells.", **config}, retry_policy=retry, **fields
    )
    other = f"{others[-1]}:{MODELS[others[-1]]}"
    second = node("polish", "llm", config={"prompt": "Polish this: {{ previous }}", "model": other})
    return definition_of([first, second], "draft>polish")


def spare_of(vendor: str) -> str:
    return "google" if vendor != "google" else "openai"


def check(run: Run, vendor: str, other: str, code: str, server: FakeOpenAI) -> None:
    """Completed over the chain, with the hop in the attempt, in the log, on the page and in the sums."""
    assert run.status == RunStatus.COMPLETED, run.error
    found = rows(run)
    assert found["draft"].output == {"content": WHOLE}
    assert HALF not in json.dumps(run.output)
    assert f"Polish this: {WHOLE}" in server.requests[-1].prompt
    assert not any(HALF in request.prompt for request in server.requests)

    attempt = Attempt.objects.filter(step_run=found["draft"]).latest("number")
    failed, answered = attempt.calls
    assert failed["error"]["code"] == code
    assert failed["error"]["message"]
    assert (failed["fallback_to"], answered["text"]) == (f"{other}:{MODELS[other]}", WHOLE)
    event = Event.objects.get(run=run, type="fallback")
    assert (event.step_key, event.data["code"], event.data["reason"]) == (
        "draft",
        code,
        failed["error"]["message"],
    )
    assert (event.data["from"], event.data["to"]) == (
        f"{vendor}:{MODELS[vendor]}",
        f"{other}:{MODELS[other]}",
    )
    assert Decimal(event.data["cost"]) == Decimal(failed.get("cost", "0"))
    spent = sum((Decimal(call.get("cost", "0")) for call in attempt.calls), Decimal(0))
    assert found["draft"].cost == spent
    assert run.cost == spent + found["polish"].cost
    assert (found["draft"].provider, found["draft"].model) == (other, MODELS[other])
    story = run_snapshot(run).row("draft").story
    assert story is not None
    assert story[1].startswith("Then ")
    event_types(run)


@pytest.mark.parametrize(
    ("vendor", "status", "body", "code", "goes_on"),
    [
        pytest.param(
            vendor,
            status,
            body,
            code,
            fallback and code != "refused",
            id=f"{vendor}-{case}".replace(" ", "-"),
        )
        for case, vendor, status, body, code, _, fallback in CASES
    ],
)
def test_a_run_completes_over_its_chain_after_every_answer_of_a_vendor_that_another_can_mend(
    world: World,
    vendors: dict[str, FakeOpenAI],
    vendor: str,
    status: int | None,
    body: Any,
    code: str,
    goes_on: bool,
) -> None:
    other = spare_of(vendor)
    vendors[vendor].default = lambda _: reply_of(status, body)
    vendors[other].default = lambda _: Reply(text=WHOLE)
    run = driven(started(world.bob, chain(vendor, other)))
    assert vendors[vendor].count() == 1
    if goes_on:
        check(run, vendor, other, code, vendors[other])
        return
    assert (run.status, run.error["code"]) == (RunStatus.FAILED, code)
    assert vendors[other].count() == 0
    assert "polish" not in rows(run)


BROKEN: dict[str, tuple[Reply, str]] = {
    "cut-in-the-middle": (Reply(pieces=[HALF, " w", "er"], cut_after=2), "cut_stream"),
    "cut-before-the-first-word": (Reply(pieces=["x"], cut_after=0), "network"),
    "ends-politely-in-the-middle": (
        Reply(pieces=[HALF, " w", "er"], cut_after=2, clean_cut=True),
        "cut_stream",
    ),
    "ends-without-a-terminal-signal": (
        Reply(pieces=[HALF], finish_reason=None, done=False, usage=None),
        "cut_stream",
    ),
    "says-done-without-a-finish": (Reply(pieces=[HALF], finish_reason=None), "cut_stream"),
    "empty": (Reply(text=""), "empty_answer"),
    "blank": (Reply(text=" \n\t "), "empty_answer"),
    "a-proxys-page": (
        Reply(html="<html><body>Sign in to the hotel's network</body></html>"),
        "not_an_answer",
    ),
    "another-api": (Reply(whole=True, body={"hello": "world"}), "not_an_answer"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_whatever_is_no_whole_answer_is_mended_by_the_next_model(
    world: World, vendors: dict[str, FakeOpenAI], case: str
) -> None:
    reply, code = BROKEN[case]
    vendors["openai"].default = lambda _: reply
    vendors["google"].default = lambda _: Reply(text=WHOLE)
    run = driven(started(world.bob, chain("openai", "google")))
    check(run, "openai", "google", code, vendors["google"])
    failed = Attempt.objects.filter(run=run).order_by("started_at")[0].calls[0]
    began = reply.parts() if reply.status == 200 and reply.cut_after != 0 else []
    # What it had written is kept apart, and charged by an estimate.
    assert failed.get("text", "") == "".join(began[: reply.cut_after])
    assert (Decimal(failed.get("cost", "0")) > 0) == bool(began)


@pytest.mark.parametrize("how", ["silent", "dripping"])
def test_a_model_that_hangs_meets_the_total_deadline(
    world: World, vendors: dict[str, FakeOpenAI], how: str
) -> None:
    held = threading.Event()
    hanging = (
        Reply(text=WHOLE, wait=held)
        if how == "silent"
        else Reply(pieces=[HALF, *["."] * 2_000], delay_s=0.02)
    )
    vendors["openai"].default = lambda _: hanging
    vendors["google"].default = lambda _: Reply(text=WHOLE)
    began = time.monotonic()
    try:
        run = driven(started(world.bob, chain("openai", "google", timeout_s=2)))
    finally:
        held.set()
    assert time.monotonic() - began < 10
    check(run, "openai", "google", "timeout", vendors["google"])


def test_every_hop_of_a_long_chain_is_told_with_its_reason_and_cost(
    world: World, vendors: dict[str, FakeOpenAI]
) -> None:
    vendors["openai"].default = lambda _: Reply(
        status=429, body={"error": {"type": "insufficient_quota", "message": "You exceeded your quota."}}
    )
    vendors["anthropic"].default = lambda _: Reply(pieces=[HALF, " wer"], cut_after=1)
    vendors["google"].default = lambda _: Reply(status=503)
    vendors["ollama"].default = lambda _: Reply(text=WHOLE)
    run = driven(started(world.bob, chain("openai", "anthropic", "google", "ollama")))
    assert run.status == RunStatus.COMPLETED, run.error
    assert rows(run)["draft"].output == {"content": WHOLE}
    hops = [event.data for event in Event.objects.filter(run=run, type="fallback").order_by("seq")]
    told = [(hop["from"].partition(":")[0], hop["code"], Decimal(hop["cost"]) > 0) for hop in hops]
    assert told == [
        ("openai", "quota", False),
        ("anthropic", "cut_stream", True),
        ("google", "overloaded", False),
    ]
    assert all(hop["reason"] for hop in hops)
    # Ollama costs nothing: all that was paid is the half answer.
    assert run.cost == sum((Decimal(hop["cost"]) for hop in hops), Decimal(0)) > 0


def test_the_wait_that_a_vendor_asks_for_is_kept_before_its_last_try_goes_over_the_chain(
    world: World, vendors: dict[str, FakeOpenAI]
) -> None:
    vendors["openai"].script(Reply(status=429, headers={"Retry-After": "37"}))
    vendors["openai"].default = lambda _: Reply(status=429)
    vendors["google"].default = lambda _: Reply(text=WHOLE)
    run = driven(started(world.bob, chain("openai", "google", attempts=2)))
    waiting = rows(run)["draft"]
    assert (run.status, waiting.status, waiting.wait) == (RunStatus.RUNNING, "waiting", "retry")
    assert waiting.due_at - timezone.now() > timedelta(seconds=35)
    assert (vendors["openai"].count(), vendors["google"].count()) == (1, 0)
    # The vendor's own wait holds for this account; the chain is the way past it.
    StepRun.objects.filter(run=run).update(due_at=timezone.now() - timedelta(seconds=1))
    driven(run)
    assert run.status == RunStatus.COMPLETED, run.error
    assert rows(run)["draft"].output == {"content": WHOLE}
    assert vendors["openai"].count() == 1, "it asked us to stay away"


def breaker() -> tuple[str, dict[str, Any]]:
    """The one breaker that is not closed: its name in Redis and its state."""
    with Redis.from_url(settings.REDIS_CHANNELS_URL, decode_responses=True) as redis:
        [key] = redis.keys("gate:breaker:*")
        state: dict[str, Any] = json.loads(str(redis.get(key)))
        return str(key), state


def test_outages_open_the_breaker_and_one_probe_closes_it(
    world: World, vendors: dict[str, FakeOpenAI]
) -> None:
    vendors["openai"].default = lambda _: Reply(status=503)
    vendors["google"].default = lambda _: Reply(text=WHOLE)
    for _ in range(7):
        assert driven(started(world.bob, chain("openai", "google"))).status == RunStatus.COMPLETED
    assert vendors["openai"].count() == 5, "after five outages nobody asks any more"
    last = Event.objects.filter(type="fallback").latest("at").data
    assert (last["code"], last["called"]) == ("paused", False)
    assert "next probe at" in last["reason"]

    # Its time has come: one call of many finds out, and the others keep away meanwhile.
    key, state = breaker()
    with Redis.from_url(settings.REDIS_CHANNELS_URL) as redis:
        redis.set(key, json.dumps(state | {"probe_at": time.time() - 1}))
    held = threading.Event()
    vendors["openai"].default = lambda _: Reply(text=WHOLE, wait=held)
    probing = started(world.bob, chain("openai", "google"))
    other = started(world.bob, chain("openai", "google"))
    thread = threading.Thread(target=_drive_in_thread, args=(probing,))
    thread.start()
    try:
        while vendors["openai"].count() < 6:
            time.sleep(0.01)
        assert driven(other).status == RunStatus.COMPLETED
        assert vendors["openai"].count() == 6, "one probe at a time"
    finally:
        held.set()
        thread.join(20)
    probing.refresh_from_db()
    assert probing.status == RunStatus.COMPLETED, probing.error
    assert not Event.objects.filter(run=probing, type="fallback").exists()
    assert driven(started(world.bob, chain("openai", "google"))).status == RunStatus.COMPLETED
    assert vendors["openai"].count() == 7, "closed again"


def _drive_in_thread(run: Run) -> None:
    from django.db import connection

    from runs.services.drive_run import drive

    try:
        drive(run.pk)
    finally:
        connection.close()
