"""Real worker processes and a real Redis: runs per second, and how soon after its commit a run's first step starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from django.db import connection, transaction
from django.db.models import Max, Min

from bench.engine import floor_ms
from bench.report import percentile, row, section
from bench.support import DATA_DIR, Bench, chain_workflow
from config.launcher.processes import die_with
from config.paths import BASE_DIR
from runs.models import Run, StepRun
from runs.services.start_run import start_run
from tests.support.redis import redis_server
from workflows.lib.clock import utc_now
from workflows.models import Workflow

WORKERS: Final = 2
# With the warm-up and the starts below within the 600 that a workflow may start in a minute.
RUNS: Final = 400
STEPS: Final = 10
STARTS: Final = 100
PATIENCE_S: Final = 120.0


@contextmanager
def workers(count: int) -> Iterator[list[int]]:
    """That many `manage.py run_worker` beside us, ready to take jobs; their process ids."""
    logs = [(DATA_DIR / f"worker-{number}.log").open("wb") for number in range(count)]
    processes = [
        subprocess.Popen(
            [sys.executable, str(BASE_DIR / "manage.py"), "run_worker"],
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            cwd=BASE_DIR,
            preexec_fn=die_with(os.getpid()),
        )
        for log in logs
    ]
    try:
        yield [process.pid for process in processes]
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for log in logs:
            log.close()


def _finished(runs: list[Run]) -> None:
    """Wait until all of them are completed. Raises when they are not in time, or when one failed."""
    ids = [run.pk for run in runs]
    deadline = time.monotonic() + PATIENCE_S
    while (done := Run.objects.filter(pk__in=ids, status="completed").count()) < len(ids):
        bad = Run.objects.filter(pk__in=ids, status="failed").first()
        if bad is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{done} of {len(ids)} runs are done; {bad.error if bad else 'out of time'}")
        # Rarely: our own looking must not take the processor from the workers.
        time.sleep(0.5)


def _start(bench: Bench, workflow: Workflow) -> tuple[Run, datetime]:
    """A run, and the moment when its commit was done: before the doorbell is rung."""
    committed: list[datetime] = []
    with transaction.atomic():
        transaction.on_commit(lambda: committed.append(utc_now()))
        run = start_run(workflow=workflow, actor=bench.actor, input_data={"text": "hello"})
    return run, committed[0]


def throughput(bench: Bench) -> None:
    """Workers that are warm are held while the queue is filled; the clock runs from the first step to the last run's end."""
    workflow = chain_workflow(bench, STEPS)
    floor = min(floor_ms(300) for _ in range(3))
    with workers(WORKERS) as processes:
        _finished([_start(bench, workflow)[0] for _ in range(40)])
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        runs = [
            start_run(workflow=workflow, actor=bench.actor, input_data={"text": "x"}) for _ in range(RUNS)
        ]
        for process in processes:
            os.kill(process, signal.SIGCONT)
        _finished(runs)
    mine = StepRun.objects.filter(run__in=runs)
    began, ended = mine.aggregate(at=Min("started_at"))["at"], mine.aggregate(at=Max("completed_at"))["at"]
    assert mine.filter(status="completed").count() == RUNS * STEPS
    seconds = (ended - began).total_seconds()
    row(f"{RUNS} runs of {STEPS} steps, {WORKERS} workers: runs", RUNS / seconds, "runs/s")
    row(
        f"{RUNS} runs of {STEPS} steps, {WORKERS} workers: steps",
        RUNS * STEPS / seconds,
        "steps/s",
        floor=1_000 / floor,
        target=1_000,
        at_least=True,
        note="floor: bare transactions of one process in one second",
    )


def latency(bench: Bench) -> None:
    """One run at a time on idle workers, so that no run waits for another."""
    workflow = chain_workflow(bench, 1)
    with workers(WORKERS):
        _finished([_start(bench, workflow)[0] for _ in range(8)])  # every worker is warm
        measured = []
        for _ in range(STARTS):
            run, committed = _start(bench, workflow)
            measured.append((run, committed))
            _finished_soon(run)
    started = [_ms(committed, _step(run).started_at) for run, committed in measured]
    ended = []
    for run, committed in measured:
        run.refresh_from_db()
        ended.append(_ms(committed, run.completed_at))
    row("commit of the run → its first step started, median", percentile(started, 0.5), "ms", target=10)
    row("commit of the run → its first step started, p95", percentile(started, 0.95), "ms")
    row("commit of a one-step run → run completed, median", percentile(ended, 0.5), "ms")
    row("commit of a one-step run → run completed, p95", percentile(ended, 0.95), "ms")


def _finished_soon(run: Run) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not Run.objects.filter(pk=run.pk, status="completed").exists():
        if time.monotonic() > deadline:
            raise RuntimeError(f"Run {run.number} does not end.")
        # Rarely: our own looking must not take the processor from the worker.
        time.sleep(0.03)


def _step(run: Run) -> StepRun:
    return StepRun.objects.get(run=run)


def _ms(first: datetime, second: datetime | None) -> float:
    assert second is not None
    return (second - first).total_seconds() * 1_000


def main() -> None:
    bench = Bench.get()
    with redis_server(DATA_DIR):
        section(f"Workers on {connection.vendor}, real processes and Redis")
        throughput(bench)
        latency(bench)


if __name__ == "__main__":
    main()
