"""Suspects are made alone in a child process: every kind of step works there, and only the child's own death blames it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runs.engine.scopes import Place
from runs.models import Attempt, Delivery, Run, StepRun
from runs.services import isolated, work_of_tries
from runs.services.execute_step import Result, Task, Work
from tests.runs.support import definition_of, driven, event_types, node, rows, started
from tests.runs.test_drive_items import each, text
from tests.support.factories import World
from tests.support.fake_openai import FakeOpenAI, Reply
from tests.support.jobs import eventually
from tests.support.outside import Answer, Outside
from workflows.expressions.names import Scope
from workflows.lib.clock import utc_now
from workflows.lib.errors import ErrorInfo
from workflows.steps import registry
from workflows.steps.base import RunFacts

# The child sees only what is committed.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "fake")
        yield server


@pytest.fixture
def all_suspect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_of_tries, "SUSPECT_AFTER", 0)


def test_steps_of_every_kind_and_items_work_alone(
    world: World, model: FakeOpenAI, all_suspect: None, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, in a thread, a model with its tokens, the ledger, a container with its items, a gate."""
    model.default = lambda _: Reply(pieces=["one ", "two"])
    with Outside() as outside:
        settings.OUTBOUND_ALLOW = [outside.host]
        monkeypatch.setenv("STEPWELL_OUTBOUND_ALLOW", outside.host)
        outside.answer("/orders", Answer(201, json={"id": 7}))
        post = {"method": "POST", "url": f"{outside.url}/orders", "body": "text", "body_text": "one"}
        nodes = [
            text("a", "A"),
            node("v", "extract_keywords"),
            node("m", "llm", config={"prompt": "Say it.", "model": "openai:fake-small"}),
            node("h", "http_request", config=post),
            each(),
            node("i", "llm", config={"prompt": "{{ item }}", "model": "openai:fake-small"}, parent="f"),
            node("g", "review"),
        ]
        run = driven(started(world.bob, definition_of(nodes, "a>v>m>h>f>g"), {"xs": ["p"]}))
        for _ in range(9):
            # On a busy machine children take so long that a driver's slice of time is over in between.
            run = driven(run) if run.status == "running" else run
        sent = len(outside.requests)
    assert run.status == "paused", (run.error, {r.step_key: r.error for r in rows(run).values()})
    assert rows(run)["m"].output["content"] == "one two"
    assert [item["content"] for item in rows(run)["f"].output["items"]] == ["one two"]
    assert (sent, Delivery.objects.get(run=run).status) == (1, "sent")
    assert rows(run)["h"].output["json"] == {"id": 7}
    tries = Attempt.objects.filter(run=run, provider="openai")
    assert tries.count() == 2
    assert all(made.input_tokens for made in tries), "what a child asked a model is paid and shown"
    assert run.input_tokens == sum(made.input_tokens for made in tries)
    event_types(run)


def work_of(run: Run, type_name: str, config: dict[str, Any] | None = None, timeout_s: float = 60) -> Work:
    row = StepRun.objects.create(run=run, tenant=run.tenant, step_key="a", label="A", type=type_name)
    kind = registry.get(type_name).kind(config or {})
    return Work(
        task=Task(Place("a"), 0, 1, row.pk, None, kind, utc_now()),
        step=definition_of([node("a", type_name, config=config or {})]).steps[0],
        type=registry.get(type_name),
        scope=Scope(),
        previous={"content": "x"},
        arrived=(),
        facts=RunFacts(id=str(run.pk), started_at=utc_now()),
        run_id=run.pk,
        timeout_s=timeout_s,
        tenant_id=run.tenant_id,
    )


@pytest.fixture
def work(world: World) -> Work:
    run = started(world.bob, definition_of([text("a", "A")]))
    return work_of(run, "transform", {"mode": "template", "template": "done"})


def test_work_that_cannot_be_handed_over_fails_and_says_so(work: Work) -> None:
    """Nobody would ever hear of it otherwise: the try would stay open for good."""
    told: list[Result] = []
    isolated.start_isolated(replace(work, previous=lambda: None), told.append)
    eventually(lambda: bool(told), 30)
    assert told[0].error is not None
    assert told[0].error.code != "crashed", "the step was never made"


def test_a_child_that_cannot_begin_does_not_blame_the_step(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "no.such.settings")
    result = isolated.run_alone(work)
    assert isinstance(result.error, ErrorInfo)
    assert (result.error.code, result.error.retryable) == ("internal", True)


def test_what_ends_the_whole_group_is_no_crash_of_the_step(work: Work) -> None:
    """Ctrl-C in a terminal and a service manager's stop reach the child too: its worker decides what becomes of it."""
    told: list[Result] = []
    isolated.start_isolated(work, told.append)
    eventually(lambda: bool(children()), 10)
    for child in children():
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(child, number)
    eventually(lambda: bool(told), 30)
    assert told[0].error is None


def test_a_step_that_ends_the_program_ends_itself_only(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a thread, on the loop of all runs, and at once in the driver: the run fails, and the next one works."""

    def leave(*_: object) -> None:
        raise SystemExit(3)

    async def leave_later(*_: object) -> None:
        raise SystemExit(3)

    async def cancel_itself(*_: object) -> None:
        raise asyncio.CancelledError

    once = {"max_attempts": 1}
    for name, method, how in (
        ("transform", "execute", leave),
        ("extract_keywords", "execute", leave),
        ("llm", "execute_async", leave_later),
        ("llm", "execute_async", cancel_itself),
    ):
        config = {"prompt": "Say it.", "model": "demo:writer"} if name == "llm" else {}
        step = text("x", "X") if name == "transform" else node("x", name, config=config)
        nodes = [text("a", "A"), {**step, "retry_policy": once}]
        with monkeypatch.context() as patched:
            patched.setattr(type(registry.get(name)), method, how)
            run = driven(started(world.bob, definition_of(nodes, "a>x")))
        assert (run.status, run.error["code"]) == ("failed", "internal"), (name, run.error)
    nodes = [text("a", "A"), node("x", "llm", config={"prompt": "Say it.", "model": "demo:writer"})]
    assert driven(started(world.bob, definition_of(nodes, "a>x"))).status == "completed"


def children() -> list[int]:
    """The children of this process that make a suspect's try."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                ours = b"runs.services.isolated" in (folder / "cmdline").read_bytes()
            except (OSError, ValueError, IndexError):
                continue
            if parent == os.getpid() and ours:
                found.append(int(folder.name))
    return found
