"""Runs one try of a step where its kind belongs: in the driver, on the process's event loop, or in a thread."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from django.db import close_old_connections

from runs.engine.scopes import Place
from runs.progress import TextWriter, open_text
from runs.services.call_model import Route, call_model
from runs.services.deliveries import Ledger
from runs.services.values import error_info
from workflows.definition.graph import StepDef
from workflows.definition.library import Library
from workflows.expressions.names import Scope
from workflows.lib.clock import utc_now
from workflows.lib.errors import ErrorInfo, Fault, StepwellError
from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.providers.base import ChatAnswer, ChatRequest
from workflows.providers.chat import chat
from workflows.steps.base import ExecutionKind, Outcome, RunFacts, StepContext, StepType

log = logging.getLogger(__name__)

CPU_THREADS = 4


@dataclass(frozen=True, slots=True)
class Result:
    """What one try came to: an outcome, or an error. `ended_at` is when the work itself was done."""

    task: Task
    outcome: Outcome | None
    error: ErrorInfo | None
    ended_at: datetime


@dataclass(eq=False)
class Task:
    """One try that is being made. `attempt_id` is None for steps that work at once and keep no attempt row."""

    place: Place
    round: int
    attempt: int
    step_run: UUID
    attempt_id: UUID | None
    kind: ExecutionKind
    started_at: datetime
    calls: list[JSONObject] = field(default_factory=list)
    answers: list[ChatAnswer] = field(default_factory=list)
    # Models that did not answer, each with the one that was asked instead: data of `fallback` events.
    hops: list[JSONObject] = field(default_factory=list)
    writer: TextWriter | None = None
    future: Future[Any] | None = None
    cancelled: bool = False
    # Its result has been written.
    settled: bool = False
    saved_text: int = 0

    def cancel(self) -> None:
        """Stop the work: closes connections of an asynchronous try; a thread's result will be dropped."""
        self.cancelled = True
        if self.future is not None:
            self.future.cancel()
        if self.writer is not None:
            self.writer.close()


@dataclass(frozen=True, slots=True)
class Work:
    """Everything that a try needs, as values; made in the driver's thread, used anywhere."""

    task: Task
    step: StepDef
    type: StepType
    scope: Scope
    previous: JSONValue
    arrived: tuple[tuple[str, JSONObject], ...]
    facts: RunFacts
    run_id: UUID
    timeout_s: float
    default_model: str | None = None
    model_override: str = ""
    tenant_id: UUID | None = None
    route: Route | None = None
    library: Library = field(default_factory=Library)


def run_inline(work: Work) -> Result:
    """Do the work here and now."""
    try:
        return _done(work, work.type.execute(_context(work)))
    except Exception as error:
        return _failed(work, error)


def start(work: Work, deliver: Callable[[Result], None]) -> None:
    """Start a try on the loop or in a thread; `deliver` gets its result from there, unless it was cancelled."""
    task = work.task

    def finish(result: Result) -> None:
        if task.writer is not None:
            task.writer.close()
        if not task.cancelled:
            deliver(result)

    if task.kind is ExecutionKind.ASYNC:
        task.future = asyncio.run_coroutine_threadsafe(_run_async(work, finish), event_loop())
    else:
        task.future = _pool().submit(_run_in_thread, work, finish)


def _run_in_thread(work: Work, finish: Callable[[Result], None]) -> None:
    try:
        finish(run_inline(work))
    finally:
        close_old_connections()


async def _run_async(work: Work, finish: Callable[[Result], None]) -> None:
    try:
        async with asyncio.timeout(work.timeout_s):
            outcome = await work.type.execute_async(_context(work))
        result = _done(work, outcome)
    except TimeoutError:
        message = f"The step took longer than {work.timeout_s:g} s, its time limit."
        result = Result(
            work.task,
            None,
            ErrorInfo(
                "timeout", message, retryable=True, fault=Fault.OUTSIDE, fix="Raise the step's time limit."
            ),
            utc_now(),
        )
    except asyncio.CancelledError:
        raise
    except Exception as error:
        result = _failed(work, error)
    finish(result)


def _done(work: Work, outcome: Outcome) -> Result:
    return Result(work.task, outcome, None, utc_now())


def _failed(work: Work, error: Exception) -> Result:
    if not isinstance(error, StepwellError):
        log.exception("step_failed_internally", extra={"run_id": str(work.run_id), "step": work.step.label})
    return Result(work.task, None, error_info(error), utc_now())


def _context(work: Work) -> StepContext:
    key = f"{work.run_id.hex}:{work.task.place.key}:{work.task.place.scope}:{work.task.round}"
    ledger = Ledger(work, key)
    return StepContext(
        step=work.step,
        scope=work.scope,
        previous=work.previous,
        arrived=work.arrived,
        now=utc_now(),
        run=work.facts,
        attempt=work.task.attempt,
        idempotency_key=key,
        chat=_Chat(work),
        write=_Write(work),
        deliver=ledger.deliver,
        send_email=ledger.send_email,
        sign=ledger.sign,
        library=work.library,
    )


class _Write:
    """Shows text on the run page; the stream is opened with the first piece."""

    def __init__(self, work: Work) -> None:
        self.work = work

    def __call__(self, text: str) -> None:
        task = self.work.task
        if task.cancelled or task.attempt_id is None or not text:
            return
        if task.writer is None:
            task.writer = open_text(self.work.run_id, task.step_run, task.attempt_id)
        task.writer.write(text)


def _unseen(text: str) -> None:
    """Where the text of a call goes that is not the step's own."""


class _Chat:
    """Calls models for a step, over its fallback chain; each call is kept in the task as it was sent."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.deadline = time.monotonic() + work.timeout_s

    async def __call__(self, request: ChatRequest) -> ChatAnswer:
        work = self.work
        return await call_model(
            request,
            route=work.route or Route(default_model=work.default_model, model_override=work.model_override),
            task=work.task,
            call=chat,
            on_delta=_unseen if request.aside else _Write(work),
            deadline=self.deadline,
        )


# --- the loop and the threads of this process ---------------------------------------------------

_loop_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


def event_loop() -> asyncio.AbstractEventLoop:
    """The one event loop of this process on which asynchronous tries run; started on first use."""
    global _loop
    with _loop_lock:
        if _loop is None or _loop.is_closed():
            loop = asyncio.new_event_loop()
            threading.Thread(target=_serve, args=(loop,), name="step-loop", daemon=True).start()
            _loop = loop
        return _loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()


def run_on_loop(coroutine: Coroutine[Any, Any, Any]) -> Future[Any]:
    """Run a coroutine on the process's loop."""
    return asyncio.run_coroutine_threadsafe(coroutine, event_loop())


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=CPU_THREADS, thread_name_prefix="step-cpu")
