"""A run as its page shows it: one fixed number of queries, then frozen values that templates only have to print.

Nothing in a snapshot depends on who looks or on the time of the look, so equal snapshots give equal pages.
"""

from __future__ import annotations

import uuid

from runs.engine.statuses import Intent, RunStatus
from runs.models import Run
from runs.snapshots import words
from runs.snapshots.controls import controls_of, note_of, status_word, waits_for
from runs.snapshots.definitions import counted_steps
from runs.snapshots.failures import failure_of_the_run
from runs.snapshots.gates import gate_of
from runs.snapshots.paths import Paths
from runs.snapshots.rails import step_rail
from runs.snapshots.reading import Reading
from runs.snapshots.receipt import receipt_of
from runs.snapshots.rows import folded, row_of
from runs.snapshots.shapes import Output, RunSnapshot
from runs.snapshots.values import output_view, unpacked
from workflows.definition.lanes import START_ROW
from workflows.definition.types import START

TRIGGERS = {
    "manual": "by hand",
    "schedule": "on schedule",
    "webhook": "webhook",
    "event": "event",
    "api": "over the API",
}


def run_snapshot(run: Run, *, gate: uuid.UUID | None = None) -> RunSnapshot:
    """The run's page as values, in a fixed number of queries; one more when its version is new to this process.

    Of the gates inside items the oldest are shown, and `gate` (a review's id) in any case.
    """
    read = Reading(run, gate)
    paths = Paths(read)
    lanes = {row.key: row for row in read.layout.rows}
    start_key = next((step.key for step in read.steps if step.type == START), START_ROW)
    rows = tuple(row_of(read, paths, step, lanes[step.key]) for step in read.steps if step.key != start_key)
    gates = tuple(gate_of(read, review) for review in read.open_reviews)
    over = RunStatus(run.status).is_over
    steps_done, steps_total = counted_steps(run, read.definition)
    failed = next((row.key for row in rows if row.failure is not None), "")
    demo = any(row.provider == "demo" for row in read.current.values()) or any(
        view.demo for view in read.items.values()
    )
    return RunSnapshot(
        id=run.pk,
        tenant_id=run.tenant_id,
        # Events number what the driver did; mail and intent what others asked for since.
        stamp=f"{run.event_seq}-{run.mail_seq}-{run.status}-{run.intent}",
        number=run.number,
        workflow_id=run.workflow_id,
        workflow=run.workflow.name,
        workflow_gone=run.workflow.deleted_at is not None,
        version=run.version.number,
        kind=run.kind,
        yolo=run.yolo,
        status=read.status,
        review=bool(gates),
        status_word=status_word(read, failed, gates),
        steps_done=steps_done,
        steps_total=steps_total or len(rows),
        tokens=run.tokens,
        cost=run.cost,
        cost_known=all(row.cost_known for row in read.current.values()) and not read.inner_cost_unknown(),
        demo=demo,
        started=run.started_at,
        took_ms=run.duration_ms if over else None,
        since=run.started_at if not over else None,
        subject=words.subject(run.input),
        trigger=TRIGGERS.get(run.trigger_type, run.trigger_type),
        started_by=_starter(read),
        started_by_id=run.started_by_id,
        created=run.created_at,
        start_icon={"webhook": "webhook", "schedule": "calendar-clock", "event": "zap"}.get(
            run.trigger_type, "play"
        ),
        start_rail=step_rail(lanes[start_key], paths.way),
        note=note_of(read, gates),
        rows=rows,
        lanes=read.layout.width,
        folded=folded(rows),
        fold_rail=paths.fold_rail_of(lanes),
        waits=waits_for(read),
        receipt=receipt_of(run) if over else None,
        gates=gates,
        gates_more=read.gates_more,
        output=_output(read),
        controls=controls_of(read, rows, failed, gates),
        failed_key=failed,
        failure=None if failed else failure_of_the_run(read),
        held=run.status == RunStatus.PAUSED and run.intent == Intent.PAUSE,
    )


def _starter(read: Reading) -> str:
    if read.run.started_by is not None:
        return str(read.run.started_by)
    return f"key {read.run.api_key.name}" if read.run.api_key is not None else ""


def _output(read: Reading) -> Output | None:
    if read.run.status != RunStatus.COMPLETED or read.run.output is None:
        return None
    return output_view(unpacked(read.run.output, read.run))
