"""Runs in one line: a version from a definition, a run of it, and rows that say how far it is, as the engine writes them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import count, pairwise
from typing import Any

from django.utils import timezone

from runs.engine.items import ItemStatus
from runs.engine.statuses import EventType, RunStatus, StepStatus, Wait
from runs.models import Attempt, Event, Item, Review, Run, StepRun
from runs.services.opened import Opened
from workflows.definition.graph import Definition, EdgeDef, StepDef
from workflows.definition.schema import canonical_json, content_hash
from workflows.models import Workflow, WorkflowVersion
from workflows.steps.base import OpenItems
from workflows.tenancy.actor import Actor
from workflows.tenancy.models import Tenant

_numbers = count(1)


def step(key: str, type: str = "transform", label: str = "", **fields: Any) -> StepDef:
    return StepDef(key=key, type=type, label=label or key.replace("_", " ").capitalize(), **fields)


def graph(*steps: StepDef, paths: str = "") -> Definition:
    """`paths` as "a>b a.yes>c": with no paths the steps follow each other."""
    pairs = paths.split() if paths else [f"{a.key}>{b.key}" for a, b in pairwise(steps)]
    edges = []
    for number, pair in enumerate(pairs):
        source, target = pair.split(">")
        source, _, port = source.partition(".")
        edges.append(EdgeDef(id=f"e{number}", source=source, target=target, port=port or "out"))
    ordered = tuple(
        StepDef(**{**{f: getattr(s, f) for f in StepDef.__slots__}, "order": n}) for n, s in enumerate(steps)
    )
    return Definition(steps=ordered, edges=tuple(edges))


def version(of: Workflow, definition: Definition, number: int | None = 1) -> WorkflowVersion:
    return WorkflowVersion.objects.create(
        workflow=of,
        tenant=of.tenant,
        number=number,
        document=canonical_json(definition),
        content_hash=content_hash(definition),
    )


def run_of(actor: Actor, definition: Definition, *, name: str = "Idea pipeline", **fields: Any) -> Run:
    """A run that this actor started by hand."""
    tenant: Tenant = actor.tenant
    made = fields.pop("workflow", None) or Workflow.objects.create(tenant=tenant, name=name)
    used = made.versions.first() or version(made, definition)
    status = fields.pop("status", RunStatus.RUNNING)
    now = timezone.now()
    return Run.objects.create(
        tenant=tenant,
        workflow=made,
        version=used,
        number=next(_numbers),
        status=status,
        started_by=actor.user,
        input=fields.pop("input", {"idea": "A returns portal for warehouse customers"}),
        steps_total=fields.pop("steps_total", len(definition.steps)),
        started_at=fields.pop("started_at", now - timedelta(seconds=30)),
        completed_at=now if RunStatus(status).is_over else None,
        **fields,
    )


def reached(run: Run, key: str, status: str = StepStatus.COMPLETED, **fields: Any) -> StepRun:
    """The step's row; completed ones get an output, a port and times."""
    definition = {entry.key: entry for entry in _definition(run).steps}
    one = definition[key]
    now = timezone.now()
    values: dict[str, Any] = {"started_at": now - timedelta(seconds=4), "attempt": 1, "max_attempts": 3}
    if status == StepStatus.COMPLETED:
        values |= {"output": {"content": f"What {one.label} gave."}, "port": "out", "completed_at": now}
    if status in (StepStatus.FAILED, StepStatus.SKIPPED):
        values |= {"completed_at": now}
    if status == StepStatus.PENDING:
        values = {}
    values |= fields
    return StepRun.objects.create(
        run=run,
        tenant_id=run.tenant_id,
        step_key=key,
        label=one.label,
        type=one.type,
        status=status,
        **values,
    )


def _definition(run: Run) -> Definition:
    from runs.snapshots.definitions import definitions_of

    return definitions_of({run.version_id})[run.version_id]


def worked_through(
    run: Run,
    key: str,
    statuses: Sequence[str],
    *,
    scope: str = "",
    headings: Sequence[str] = (),
    **fields: Any,
) -> list[Item]:
    """The container's row with an item of each status. It is open while one of them is, else completed."""
    over = all(ItemStatus(status).is_terminal for status in statuses)
    held = Opened.by(OpenItems(items=(), concurrency=5, tolerated=len(statuses))).to_json()
    row = reached(
        run,
        key,
        StepStatus.COMPLETED if over else StepStatus.RUNNING,
        scope=scope,
        wait="" if over else Wait.ITEMS,
        held=held,
        **fields,
    )
    now = timezone.now()
    found = []
    for index, status in enumerate(statuses):
        begun = status != ItemStatus.PENDING
        ended = ItemStatus(status).is_terminal
        found.append(
            Item(
                run=run,
                tenant_id=run.tenant_id,
                step_run=row,
                container=key,
                scope=scope,
                index=index,
                heading=headings[index] if headings else f"Canary {index + 1}",
                value={"name": f"Canary {index + 1}"},
                status=status,
                result={"content": f"What item {index + 1} gave."}
                if status == ItemStatus.COMPLETED
                else None,
                error={"code": "odd", "message": "It broke."} if status == ItemStatus.FAILED else None,
                started_at=now - timedelta(seconds=6) if begun else None,
                completed_at=now - timedelta(seconds=2) if ended else None,
            )
        )
    return Item.objects.bulk_create(found)


def attempt(row: StepRun, status: str = "succeeded", **fields: Any) -> Attempt:
    return Attempt.objects.create(
        step_run=row,
        run_id=row.run_id,
        tenant_id=row.tenant_id,
        status=status,
        number=fields.pop("number", 1),
        **fields,
    )


def gate(run: Run, key: str, **fields: Any) -> Review:
    """An open gate at this step; the run waits for it."""
    row = reached(run, key, StepStatus.WAITING, wait=Wait.REVIEW)
    values: dict[str, Any] = {
        "title": row.label,
        "instructions": "Is this the right set of features to build on?",
        "content": {
            "content": "## Must have\n\n1. **Labels.** Printed at home.\n2. **Photos.** Of the damage."
        },
        "buttons": [
            {"decision": "approve", "label": "Approve", "port": "approved"},
            {"decision": "reject", "label": "Reject", "port": "rejected"},
        ],
    }
    review = Review.objects.create(
        run=run, tenant_id=run.tenant_id, workflow=run.workflow, step_run=row, **(values | fields)
    )
    Run.objects.filter(pk=run.pk).update(
        status=RunStatus.PAUSED,
        waiting_for=[{"kind": "review", "step": key, "sentence": f"{row.label} waits for a decision."}],
    )
    run.refresh_from_db()
    return review


def happened(run: Run, type: EventType, key: str = "", at: datetime | None = None, **data: Any) -> Event:
    """The run's next event."""
    run.event_seq += 1
    Run.objects.filter(pk=run.pk).update(event_seq=run.event_seq)
    return Event.objects.create(
        run=run,
        tenant_id=run.tenant_id,
        seq=run.event_seq,
        type=type,
        step_key=key,
        data=data,
        at=at or timezone.now(),
    )
