"""Events that runs tell: by a step, in the transaction in which it completes, and by the end of the run."""

from __future__ import annotations

from datetime import datetime

from runs.engine.statuses import RunStatus
from runs.models import Delivery, Run
from runs.services.execute_step import Task
from runs.services.transition import Transition
from workflows.lib.ids import new_id
from workflows.lib.jsontypes import JSONObject
from workflows.services.events import tell, write_event
from workflows.steps.base import Emit


def tell_event(t: Transition, run: Run, task: Task, number: int, emit: Emit, now: datetime) -> None:
    """The event and its line in the ledger. A test run keeps it in the outbox: nothing is started by it."""
    place = task.place
    key = f"{run.pk.hex}:{place.key}:{place.scope}:{task.round}"
    key = key if number == 0 else f"{key}:{number}"
    is_test = run.kind in (Run.Kind.TEST, Run.Kind.STEP)

    def write() -> None:
        Delivery.objects.bulk_create(
            [
                Delivery(
                    id=new_id(),
                    tenant_id=run.tenant_id,
                    run_id=run.pk,
                    step_run_id=task.step_run,
                    key=key,
                    kind="event",
                    target=emit.name,
                    status=Delivery.Status.OUTBOX if is_test else Delivery.Status.SENT,
                    copy={"name": emit.name, "data": emit.data},
                    receipt=None if is_test else {"told_at": now.isoformat()},
                    created_at=now,
                    tried_at=now,
                    settled_at=now,
                )
            ],
            ignore_conflicts=True,
        )
        if not is_test:
            write_event(
                run.tenant_id,
                emit.name,
                emit.data,
                key=f"step:{key}",
                source="step",
                run=run.pk,
                depth=run.depth + 1,
            )

    t.writes.append(write)


def tell_of_the_end(run: Run, status: str, error: JSONObject | None) -> None:
    """`stepwell/run.completed` or `run.failed`, where a trigger might wait for it. Tests and cancelled runs tell nothing."""
    if run.kind in (Run.Kind.TEST, Run.Kind.STEP) or status == RunStatus.CANCELLED:
        return
    what = "completed" if status == RunStatus.COMPLETED else "failed"
    data: JSONObject = {
        "run": {"id": str(run.pk), "number": run.number, "status": str(status)},
        "workflow": {"id": str(run.workflow_id), "name": run.workflow.name},
    }
    if error is not None:
        data["error"] = {name: error.get(name) for name in ("code", "message", "step")}
    # A failed run may be retried and fail again, which is another event.
    key = f"run:{run.pk}:{what}:{run.event_seq}"
    tell(run.tenant_id, f"run.{what}", data, key=key, run=run.pk, depth=run.depth + 1)
