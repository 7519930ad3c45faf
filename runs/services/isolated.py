"""Makes one try alone in a child process: where a step may be what kills workers, only its own death blames it (07 §4).

The parent sends the try as values over a pipe and gets its result the same way. A child that dies without an answer is a
crash of that step and of nothing else: the worker and everybody's runs in it go on. A child that never came as far as
the step, or whose whole process group is told to stop, says nothing about it.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from workflows.lib.limits import CRASHES_PER_STEP

log = logging.getLogger(__name__)

# After so many crashes of its worker a step's tries are made alone.
SUSPECT_AFTER: Final = CRASHES_PER_STEP.value - 1
# Starting a process and loading the product takes this long at most.
_STARTING_S: Final = 60.0
# The child says it right before the step's own work begins.
_BEGUN: Final = b"begun\n"
# What stops a whole group of processes (Ctrl-C, a service manager) is the worker's to decide about.
_GROUP_STOPS: Final = frozenset({signal.SIGINT, signal.SIGTERM})
_PR_SET_PDEATHSIG: Final = 1


def start_isolated(work: Any, deliver: Callable[[Any], None]) -> None:
    """Start the try of a suspect; `deliver` gets its one result from a thread, unless it was cancelled."""
    threading.Thread(target=_work_for, args=(work, deliver), name="suspect", daemon=True).start()


def _work_for(work: Any, deliver: Callable[[Any], None]) -> None:
    try:
        result = run_alone(work)
    except Exception as error:
        # Whatever it is: without a result the try would stay open for good.
        log.exception("isolation_failed", extra={"run_id": str(work.run_id), "step": work.step.label})
        result = _not_begun(work, f"{type(error).__name__}: {error}")
    if work.task.may_tell() and not work.task.cancelled:
        deliver(result)


def run_alone(work: Any) -> Any:
    """The result of a try (`execute_step.Work`) in a process of its own; the error `crashed` where it died."""
    from django.conf import settings

    from runs.services.execute_step import Result, too_late
    from workflows.lib.clock import utc_now
    from workflows.lib.errors import ErrorInfo, Fault

    task = work.task
    facts = {
        "place": task.place,
        "round": task.round,
        "attempt": task.attempt,
        "step_run": task.step_run,
        "attempt_id": task.attempt_id,
        "kind": work.type.kind(work.step.config),
        "started_at": task.started_at,
    }
    name = str(settings.DATABASES["default"]["NAME"])
    sent = pickle.dumps((os.getpid(), name, facts, pickle.dumps(replace(work, task=None))))
    child = _spawn(str(settings.BASE_DIR))
    # Who cancels the try ends the child.
    task.stop = child.kill
    if task.cancelled:
        child.kill()
    try:
        answer, _ = child.communicate(sent, timeout=work.timeout_s + _STARTING_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
        return too_late(work)
    how = f"signal {-child.returncode}" if child.returncode < 0 else f"exit status {child.returncode}"
    if not answer.startswith(_BEGUN):
        return _not_begun(work, f"The process ended with {how} before the step began.")
    if child.returncode != 0 or answer == _BEGUN:
        info = ErrorInfo(
            "crashed",
            CRASHES_PER_STEP.says(),
            fault=Fault.AUTHOR,
            fix="Look at what the step does; retry the run when it is mended.",
            detail=f"It was made alone in a process of its own, which ended with {how}.",
        )
        return Result(task, None, info, utc_now())
    said = pickle.loads(answer[len(_BEGUN) :])  # noqa: S301 - our own child
    outcome, error, ended_at, task.calls, task.answers, task.hops = said
    return Result(task, outcome, error, ended_at)


def _spawn(folder: str) -> subprocess.Popen[bytes]:
    """A child that hears what stops its group only when it is ready to disregard it."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _GROUP_STOPS)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "runs.services.isolated"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=folder,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _not_begun(work: Any, detail: str) -> Any:
    """Nothing of the step was done: no fault of its own, and another try may find things mended."""
    from runs.services.execute_step import Result
    from workflows.lib.clock import utc_now
    from workflows.lib.errors import ErrorInfo, Fault

    info = ErrorInfo(
        "internal",
        "Stepwell could not make this step in a process of its own. The details are in the log.",
        retryable=True,
        fault=Fault.INTERNAL,
        detail=detail[:2_000],
    )
    return Result(work.task, None, info, utc_now())


def _child() -> None:
    """The other side: read the try, make it, write its result."""
    out = os.fdopen(os.dup(1), "wb")
    # What a step prints must not stand between.
    os.dup2(2, 1)
    for number in _GROUP_STOPS:
        # A handler, not SIG_IGN: what the step itself starts must be stoppable.
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _GROUP_STOPS)

    import django

    django.setup()
    from django.db import connections

    from runs.services.execute_step import Task, run_here

    parent, name, facts, packed = pickle.load(sys.stdin.buffer)  # noqa: S301 - from our own parent
    _die_with(parent)
    connections["default"].settings_dict["NAME"] = name
    found = pickle.loads(packed)  # noqa: S301 - the same
    work = replace(found, task=Task(**facts))
    out.write(_BEGUN)
    out.flush()
    result = asyncio.run(run_here(work))
    task = work.task
    if task.writer is not None:
        task.writer.close()
    try:
        answer = pickle.dumps(
            (result.outcome, result.error, result.ended_at, task.calls, task.answers, task.hops)
        )
    except Exception as error:
        log.exception("result_unpicklable")
        failed = _not_begun(work, f"Its result cannot be handed over: {error}")
        answer = pickle.dumps(
            (None, replace(failed.error, retryable=False), failed.ended_at, task.calls, task.answers, [])
        )
    out.write(answer)
    out.close()
    # Threads of the product's own (streams, pools) must not keep the process.
    os._exit(0)


def _die_with(parent: int) -> None:
    """The kernel ends this process with its worker (Linux): nobody would hear of what it does."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    _child()
