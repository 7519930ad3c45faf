"""What the engine costs per trivial persisted step, against the floor of the bare transactions it needs.

Run by `make bench`. Prints ratios that hold on any machine: everything is measured in the same process, on the same
database file, one after the other.
"""

from __future__ import annotations

import time

from django.db import connection, transaction

from bench.report import row, section
from bench.support import Bench, chain_workflow, fresh_run
from runs.models import Event, Run, StepRun
from runs.services.drive_run import drive
from workflows.lib.clock import utc_now
from workflows.lib.ids import new_id

LENGTHS = (10, 100, 1_000)
ROUNDS = 5


def floor_ms(steps: int) -> float:
    """The least that a persisted step can be with the ORM: one transaction, one row updated, one row inserted."""
    bench = Bench.get()
    run = fresh_run(bench, chain_workflow(bench, 2))
    row = _row(run, 900_000)
    began = time.perf_counter()
    for number in range(steps):
        with transaction.atomic():
            StepRun.objects.filter(pk=row.pk).update(status="completed", port="out", output={"content": "x"})
            row = _row(run, number)
    return (time.perf_counter() - began) * 1_000 / steps


def same_work_ms(steps: int) -> float:
    """The same rows that the engine writes for a step, with the ORM: run, done step, next step, two events."""
    bench = Bench.get()
    run = fresh_run(bench, chain_workflow(bench, 2))
    row = _row(run, 900_000)
    began = time.perf_counter()
    for number in range(steps):
        now = utc_now()
        seq = 1 + 2 * number
        with transaction.atomic():
            Run.objects.filter(pk=run.pk, event_seq=seq).update(event_seq=seq + 2, steps_done=number)
            StepRun.objects.filter(pk=row.pk).update(
                status="completed", port="out", output={"content": "x"}, completed_at=now
            )
            row = _row(run, number)
            Event.objects.bulk_create(
                Event(
                    run=run,
                    tenant_id=run.tenant_id,
                    seq=seq + 1 + place,
                    type=kind,
                    at=now,
                    step_key=f"f{number}",
                )
                for place, kind in enumerate(("completed", "progress"))
            )
    return (time.perf_counter() - began) * 1_000 / steps


def _row(run: Run, number: int) -> StepRun:
    return StepRun.objects.create(
        id=new_id(),
        run=run,
        tenant_id=run.tenant_id,
        step_key=f"f{number}",
        label="a step",
        type="transform",
        status="running",
        started_at=utc_now(),
    )


def chain_ms(steps: int) -> float:
    bench = Bench.get()
    run = fresh_run(bench, chain_workflow(bench, steps))
    began = time.perf_counter()
    drive(run.pk)
    took = time.perf_counter() - began
    run.refresh_from_db()
    assert run.status == "completed", run.error
    return took * 1_000 / steps


def main() -> None:
    section(f"Engine on {connection.vendor}: cost per trivial persisted step")
    chain_ms(20)
    # In turns, and the best of each: on a shared machine a median says more about the neighbours than about us.
    floors: list[float] = []
    same: list[float] = []
    costs: dict[int, list[float]] = {steps: [] for steps in LENGTHS}
    for _ in range(ROUNDS):
        floors.append(floor_ms(300))
        same.append(same_work_ms(300))
        for steps in LENGTHS:
            costs[steps] += [chain_ms(steps) for _ in range(10 if steps == 10 else 1)]
    floor = min(floors)
    best = {steps: min(found) for steps, found in costs.items()}
    row("floor: one ORM transaction, 1 update + 1 insert", floor, "ms")
    row("the same five writes with the bare ORM", min(same), "ms", floor=floor)
    for steps in LENGTHS:
        row(f"chain of {steps:,}", best[steps], "ms/step", floor=floor, target_ratio=2.0)
    row(
        "flat: dearest of the three against the cheapest",
        max(best.values()) / min(best.values()),
        "x",
        target=1.2,
        note="a chain carries the cost of its run's start and end, 10 steps the most of it",
    )
    row(
        "flat: a step of 1,000 against one of 10",
        best[1_000] / best[10],
        "x",
        target=1.2,
    )


if __name__ == "__main__":
    main()
