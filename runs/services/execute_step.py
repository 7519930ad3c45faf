"""Runs one try of a step where its kind belongs: in the driver, on the process's event loop, or in a thread."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import connections

from runs.engine.scopes import Place
from runs.progress import TextWriter, open_text
from runs.services.call_model import Route, call_model
from runs.services.deliveries import Ledger
from runs.services.effect_questions import AskEffect, EffectQuestion
from runs.services.values import error_info
from workflows.definition.declared import input_problem
from workflows.definition.graph import DEFAULT_PORT, StepDef
from workflows.definition.library import Library
from workflows.expressions.names import Scope
from workflows.lib.clock import utc_now
from workflows.lib.errors import ErrorInfo, Fault, StepwellError
from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.providers.base import ChatAnswer, ChatMessage, ChatRequest
from workflows.providers.chat import chat
from workflows.steps.base import Completed, ExecutionKind, Outcome, RunFacts, StepContext, StepError, StepType

log = logging.getLogger(__name__)

# Tries that work in a thread at one time, in one process.
CPU_THREADS: Final = 4


@dataclass(frozen=True, slots=True)
class Result:
    """What one try came to: an outcome, a question to a person, or an error. `ended_at` is when the work was done."""

    task: Task
    outcome: Outcome | EffectQuestion | None
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
    # So many of them have their event already: the page tells of a fallback while the next model writes.
    told_hops: int = 0
    # Who is being asked just now, as provider:model.
    asking: str = ""
    writer: TextWriter | None = None
    future: Future[Any] | None = None
    cancelled: bool = False
    # Its result has been written.
    settled: bool = False
    saved_text: int = 0
    # A test run takes the pinned output: nothing is done.
    pinned: bool = False
    # How work in a process of its own is ended.
    stop: Callable[[], None] | None = None
    # Taken by whoever delivers the one result: the work itself, or its time limit.
    _told: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def may_tell(self) -> bool:
        """Whether nobody has delivered a result of this try yet; true once."""
        return self._told.acquire(blocking=False)

    def cancel(self) -> None:
        """Stop the work: closes connections of an asynchronous try; a thread's result will be dropped."""
        self.cancelled = True
        if self.future is not None:
            self.future.cancel()
        if self.stop is not None:
            self.stop()
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
    # What a reviewer asked to be changed, and the answer before; said to models after the step's own words.
    asked: tuple[str, str] = ("", "")
    library: Library = field(default_factory=Library)
    # The way out that a pinned output takes.
    pinned_port: str = DEFAULT_PORT
    # It may be what has killed workers: it is made alone in a child process.
    suspect: bool = False


def take_pinned(work: Work) -> Result:
    """The pinned output in place of the work, on the step's main way out."""
    port = work.pinned_port
    return _done(work, Completed(work.step.pinned or {}, port=port, notes="Pinned output, not run"))


def run_inline(work: Work) -> Result:
    """Do the work here and now. Too slow is found out afterwards: its result is dropped."""
    began = time.monotonic()
    result = _run(work)
    return too_late(work) if time.monotonic() - began > work.timeout_s else result


def start(work: Work, deliver: Callable[[Result], None]) -> None:
    """Start a try on the loop or in a thread; `deliver` gets its one result from there, unless it was cancelled."""
    task = work.task

    def finish(result: Result) -> None:
        if not task.may_tell():
            return
        if task.writer is not None:
            task.writer.close()
        if not task.cancelled:
            deliver(result)

    if task.kind is ExecutionKind.ASYNC:
        task.future = asyncio.run_coroutine_threadsafe(_run_async(work, finish), event_loop())
    else:
        _threads.submit(ThreadJob(work, finish))


async def run_here(work: Work) -> Result:
    """Make the try in this process and wait for it, whatever its kind."""
    if work.task.kind is not ExecutionKind.ASYNC:
        return run_inline(work)
    results: list[Result] = []
    with suppress(asyncio.CancelledError):
        await _run_async(work, results.append)
    return results[0]


def _run(work: Work) -> Result:
    try:
        _check_inputs(work)
        return _done(work, work.type.execute(_context(work)))
    except (Exception, SystemExit) as error:
        # A step that ends "the program" ends itself only.
        return _failed(work, error)


def _check_inputs(work: Work) -> None:
    """Raises StepError when what the step declares to need is not there."""
    if work.step.inputs and (wrong := input_problem(work.step, work.scope.inputs)) is not None:
        raise StepError(wrong.message, code=wrong.code, field=wrong.field, fix=wrong.fix)


def too_late(work: Work) -> Result:
    """The result of a try that passed its time limit."""
    error = ErrorInfo(
        "timeout",
        f"The step took longer than {work.timeout_s:g} s, its time limit.",
        retryable=True,
        fault=Fault.OUTSIDE,
        fix="Raise the step's time limit.",
    )
    return Result(work.task, None, error, utc_now())


async def _run_async(work: Work, finish: Callable[[Result], None]) -> None:
    try:
        _check_inputs(work)
        async with asyncio.timeout(work.timeout_s):
            outcome = await work.type.execute_async(_context(work))
        result = _done(work, outcome)
    except TimeoutError:
        result = too_late(work)
    except asyncio.CancelledError as error:
        # Not ours: the work cancelled itself, and nobody else would tell.
        if not work.task.cancelled:
            finish(_failed(work, error))
        raise
    except (Exception, SystemExit) as error:
        # On the loop SystemExit would end the work of all runs of this process.
        result = _failed(work, error)
    finish(result)


def _done(work: Work, outcome: Outcome) -> Result:
    return Result(work.task, outcome, None, utc_now())


def _failed(work: Work, error: BaseException) -> Result:
    if isinstance(error, AskEffect):
        return Result(work.task, error.question, error_info(error), utc_now())
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
        call_with=ledger.call_with,
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
            inner = bool(task.place.scope)
            task.writer = open_text(self.work.run_id, task.step_run, task.attempt_id, inner=inner)
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
        feedback, before = work.asked
        if feedback and not request.aside:
            answer = (ChatMessage("assistant", before),) if before else ()
            wish = ChatMessage("user", f"A reviewer asked for changes:\n\n{feedback}")
            request = replace(request, messages=(*request.messages, *answer, wish))
        if work.timeout_s > request.total_timeout_s:
            # Who gives a step more time means its calls: a slow model may write for as long as the step has.
            request = replace(request, total_timeout_s=work.timeout_s)
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


class ThreadJob:
    """One try in a thread. Its time limit counts from when the thread begins; a thread cannot be stopped, so the try is
    failed without it: its slot is given to the next, what it says later is dropped, and it ends when its work does."""

    def __init__(self, work: Work, finish: Callable[[Result], None]) -> None:
        self.work = work
        self.finish = finish
        self.has_slot = True
        self._timer: asyncio.TimerHandle | None = None

    def run(self) -> None:
        loop = event_loop()
        loop.call_soon_threadsafe(self._watch, loop)
        try:
            self.finish(_run(self.work))
        finally:
            connections.close_all()
            _threads.give_back(self)
            loop.call_soon_threadsafe(self._unwatch)

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(self.work.timeout_s, self._overrun)

    def _unwatch(self) -> None:
        """A timer of minutes would hold the data of a step that took milliseconds."""
        if self._timer is not None:
            self._timer.cancel()

    def _overrun(self) -> None:
        if not _threads.give_back(self):
            return
        log.warning("step_left_behind", extra={"run_id": str(self.work.run_id), "step": self.work.step.label})
        self.finish(too_late(self.work))
        self.work.task.cancelled = True


class Threads:
    """At most `size` tries at a time, each in a thread of its own; a thread that is left behind holds up no exit."""

    def __init__(self, size: int) -> None:
        self._lock = threading.Lock()
        self._free = size
        self._waiting: deque[ThreadJob] = deque()

    def submit(self, job: ThreadJob) -> None:
        with self._lock:
            if not self._free:
                self._waiting.append(job)
                return
            self._free -= 1
        self._begin(job)

    def give_back(self, job: ThreadJob) -> bool:
        """Take the job's slot for the next one. False when it had given it back before."""
        following: ThreadJob | None = None
        with self._lock:
            if not job.has_slot:
                return False
            job.has_slot = False
            while self._waiting and (following := self._waiting.popleft()).work.task.cancelled:
                following = None
            if following is None:
                self._free += 1
        if following is not None:
            self._begin(following)
        return True

    def _begin(self, job: ThreadJob) -> None:
        threading.Thread(target=job.run, name="step-cpu", daemon=True).start()


_threads = Threads(CPU_THREADS)
