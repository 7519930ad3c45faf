"""What the engine costs per trivial persisted step, against the floor of the bare transactions it needs.

Run by `make bench`. Prints ratios that hold on any machine: everything is measured in the same process, on the same
database file, one after the other.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from django.db import connection, transaction

from bench.support import Bench, chain_workflow, fresh_run
from runs.models import Event, Run, StepRun
from runs.services.drive_run import drive
from workflows.lib.clock import utc_now
from workflows.lib.ids import new_id

LENGTHS = (10, 100, 1_000)


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


def median(measure: Callable[[], float], times: int) -> float:
    return statistics.median(measure() for _ in range(times))


def main() -> None:
    print(f"\nEngine on {connection.vendor}: cost per trivial persisted step")
    chain_ms(20)
    floor = median(lambda: floor_ms(300), 3)
    same = median(lambda: same_work_ms(300), 3)
    print(f"  floor: ORM, 1 update + 1 insert {floor:6.3f} ms")
    print(f"  ORM, the same five writes       {same:6.3f} ms  = {same / floor:4.2f} x floor")
    costs: dict[int, float] = {}
    for steps in LENGTHS:
        costs[steps] = median(lambda steps=steps: chain_ms(steps), 3 if steps < 1_000 else 2)  # type: ignore[misc]
        met = "met" if costs[steps] <= 2 * floor else "MISSED"
        print(
            f"  chain of {steps:5d}                 {costs[steps]:6.3f} ms  = {costs[steps] / floor:4.2f} x floor  (target 2.00: {met})"
        )
    flat = costs[1_000] / costs[100]
    print(
        f"  1,000 against 100 steps        {flat:6.2f} x          (target 1.20: {'met' if flat <= 1.2 else 'MISSED'})"
    )


if __name__ == "__main__":
    main()
