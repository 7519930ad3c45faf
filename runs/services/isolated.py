"""Makes one try alone in a child process: where a step may be what kills workers, only its own death blames it (07 §4).

The parent sends the try as values over a pipe and gets its result the same way. A child that dies without an answer is a
crash of that step and of nothing else: the worker and everybody's runs in it go on.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from workflows.lib.limits import CRASHES_PER_STEP

# After so many crashes of its worker a step's tries are made alone.
SUSPECT_AFTER: Final = CRASHES_PER_STEP.value - 1
# Starting a process and loading the product takes this long at most.
_STARTING_S: Final = 60.0


def start_isolated(work: Any, deliver: Callable[[Any], None]) -> None:
    """Start the try of a suspect; `deliver` gets its result from a thread, unless it was cancelled."""
    threading.Thread(target=_work_for, args=(work, deliver), name="suspect", daemon=True).start()


def _work_for(work: Any, deliver: Callable[[Any], None]) -> None:
    result = run_alone(work)
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
    sent = pickle.dumps((name, facts, pickle.dumps(replace(work, task=None))))
    child = subprocess.Popen(
        [sys.executable, "-m", "runs.services.isolated"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=settings.BASE_DIR,
    )
    # Who cancels the try ends the child.
    task.stop = child.kill
    try:
        answer, _ = child.communicate(sent, timeout=work.timeout_s + _STARTING_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
        return too_late(work)
    if child.returncode != 0 or not answer:
        how = f"signal {-child.returncode}" if child.returncode < 0 else f"exit status {child.returncode}"
        info = ErrorInfo(
            "crashed",
            CRASHES_PER_STEP.says(),
            fault=Fault.AUTHOR,
            fix="Look at what the step does; retry the run when it is mended.",
            detail=f"It was made alone in a process of its own, which ended with {how}.",
        )
        return Result(task, None, info, utc_now())
    outcome, error, ended_at, task.calls, task.answers, task.hops = pickle.loads(  # noqa: S301 - our own child
        answer
    )
    return Result(task, outcome, error, ended_at)


def _child() -> None:
    """The other side: read the try, make it, write its result."""
    out = os.fdopen(os.dup(1), "wb")
    # What a step prints must not stand between.
    os.dup2(2, 1)

    import django

    django.setup()
    from django.db import connections

    from runs.services.execute_step import Task, run_here

    name, facts, packed = pickle.load(sys.stdin.buffer)  # noqa: S301 - from our own parent
    connections["default"].settings_dict["NAME"] = name
    found = pickle.loads(packed)  # noqa: S301 - the same
    work = replace(found, task=Task(**facts))
    result = asyncio.run(run_here(work))
    task = work.task
    if task.writer is not None:
        task.writer.close()
    said = (result.outcome, result.error, result.ended_at, task.calls, task.answers, task.hops)
    out.write(pickle.dumps(said))
    out.close()
    # Threads of the product's own (streams, pools) must not keep the process.
    os._exit(0)


if __name__ == "__main__":
    _child()
