"""Fan-outs against an endpoint that takes 200 ms: one real worker process, 20 items at a time, and what it weighs meanwhile."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from django.db import connection
from django.db.models import Min

from bench.endpoint import endpoint, seconds_of_bare_client
from bench.report import row, section
from bench.support import DATA_DIR, Bench, publish
from bench.workers import workers
from runs.models import Attempt, Item, Run
from runs.services.start_run import start_run
from tests.support.redis import redis_server

CALL_S: Final = 0.2
CONCURRENCY: Final = 20
SIZES: Final = (200, 1_000)
PATIENCE_S: Final = 300.0
# The issue's own bound: from item 100 to item 1,000.
GROWTH_MB: Final = 50.0


def fan_out(bench: Bench, items: int, worker: int, url: str) -> None:
    """One run; the clock runs from the first call to the end of the run, the scales from item 100 on."""
    config = {
        "items": "{{ input.list }}",
        "prompt": "Say {{ item }}",
        "model": "openai:fake-small",
        "concurrency": CONCURRENCY,
    }
    workflow = publish(bench, {"nodes": [{"id": "f", "type": "fan_out", "name": "Each", "config": config}]})
    ideal = items / CONCURRENCY * CALL_S
    run = start_run(
        workflow=workflow, actor=bench.actor, input_data={"list": [f"item {n}" for n in range(items)]}
    )
    at_100 = heaviest = 0.0
    deadline = time.monotonic() + PATIENCE_S
    while not Run.objects.filter(pk=run.pk, status__in=["completed", "failed"]).exists():
        if time.monotonic() > deadline:
            raise RuntimeError(f"The fan-out of {items} items does not end.")
        time.sleep(0.25)
        if not at_100 and Item.objects.filter(run=run, status="completed").count() >= 100:
            at_100 = _resident_mb(worker)
        heaviest = max(heaviest, _resident_mb(worker))
    run.refresh_from_db()
    assert run.status == "completed", run.error
    assert Item.objects.filter(run=run, status="completed").count() == items
    began = Attempt.objects.filter(run=run).aggregate(at=Min("started_at"))["at"]
    seconds = (run.completed_at - began).total_seconds() if run.completed_at else 0.0
    if items not in SIZES:
        # The first calls of a process import the client: they are not measured.
        return
    row(f"{items:,} items, {CONCURRENCY} at a time", seconds, "s", floor=ideal, target_ratio=1.10)
    bare = seconds_of_bare_client(url, items, CONCURRENCY)
    row(f"{items:,} calls by the bare client, nothing written", bare, "s", floor=ideal)
    if at_100:
        row(
            f"{items:,} items: the worker's memory at the most, beyond that at item 100",
            max(heaviest - at_100, 0.0),
            "MB",
            target=GROWTH_MB,
            note=f"{heaviest:.0f} MB in all",
        )


def _resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1_000_000


def main() -> None:
    bench = Bench.get()
    with endpoint(CALL_S) as url, redis_server(DATA_DIR):
        os.environ |= {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "sk-bench"}
        section(f"Fan-out on {connection.vendor}: one worker process, calls of 200 ms (floor: the ideal)")
        with workers(1) as (worker,):
            fan_out(bench, CONCURRENCY, worker, url)
            for items in SIZES:
                fan_out(bench, items, worker, url)


if __name__ == "__main__":
    main()
