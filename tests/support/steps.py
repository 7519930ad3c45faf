"""Runs one step type by itself: `run("transform", {"expression": "1 + 1"})`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from workflows.definition.graph import StepDef
from workflows.expressions.names import MISSING, Scope
from workflows.lib.jsontypes import JSONObject
from workflows.providers.base import ChatAnswer, ChatRequest
from workflows.steps import registry
from workflows.steps.base import (
    Act,
    Completed,
    DeliveryStatus,
    Effect,
    Email,
    ExecutionKind,
    Outcome,
    Receipt,
    RunFacts,
    StepContext,
    StepType,
)
from workflows.steps.catalog import clean_config, is_structural

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class FakeChat:
    """A model that gives its answers in order (the last one for ever) and keeps what it was asked."""

    def __init__(self, *answers: str | ChatAnswer | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[ChatRequest] = []

    async def __call__(self, request: ChatRequest) -> ChatAnswer:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return ChatAnswer(text=answer, provider="fake", model="fake") if isinstance(answer, str) else answer


class FakeLedger:
    """Makes outward acts at once, or answers with `receipt` instead; keeps effects and mails."""

    def __init__(self, receipt: Receipt | None = None) -> None:
        self.receipt = receipt
        self.effects: list[Effect] = []
        self.mails: list[Email] = []

    async def deliver(self, effect: Effect, act: Act) -> Receipt:
        self.effects.append(effect)
        return self.receipt or Receipt(DeliveryStatus.SENT, await act())

    async def send_email(self, email: Email) -> Receipt:
        self.mails.append(email)
        return self.receipt or Receipt(DeliveryStatus.SENT, {"message_id": "<1@stepwell>"})

    def sign(self, message_id: str, at: int, body: bytes) -> str:
        return f"v1,signature of {message_id} {at} {len(body)}"


def context(
    type: str,
    config: JSONObject | None = None,
    *,
    previous: Any = MISSING,
    arrived: tuple[tuple[str, JSONObject], ...] = (),
    chat: Callable[[ChatRequest], Awaitable[ChatAnswer]] | None = None,
    yolo: bool = False,
    label: str = "Step",
    ledger: FakeLedger | None = None,
    is_test: bool = False,
    **scope: Any,
) -> StepContext:
    """A context as the shell makes it; `scope` are the names that texts may see."""
    kind = registry.get(type)
    cleaned, problems = clean_config(kind, config or {})
    assert not [problem for problem in problems if is_structural(problem)], problems
    made = StepContext(
        step=StepDef(key="s_1", type=kind.name, label=label, config=cleaned),
        scope=Scope(previous=previous, **scope),
        previous=previous,
        now=NOW,
        run=RunFacts(id="run-1", started_at=NOW, yolo=yolo, is_test=is_test),
        idempotency_key="run-1.s_1.0",
        arrived=arrived,
    )
    ledger = ledger or FakeLedger()
    made = replace(made, deliver=ledger.deliver, send_email=ledger.send_email, sign=ledger.sign)
    return replace(made, chat=chat) if chat else made


def execute(type: str, config: JSONObject | None = None, **more: Any) -> Outcome:
    """What the type's executor answers."""
    given = context(type, config, **more)
    kind = registry.get(type)
    if kind.kind(given.config) is ExecutionKind.ASYNC:
        return asyncio.run(_started(kind, given))
    return kind.execute(given)


async def _started(kind: StepType, given: StepContext) -> Outcome:
    return await kind.execute_async(given)


def run(type: str, config: JSONObject | None = None, **more: Any) -> Completed:
    """The same, for steps that complete."""
    outcome = execute(type, config, **more)
    assert isinstance(outcome, Completed), outcome
    return outcome
