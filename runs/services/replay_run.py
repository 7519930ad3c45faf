"""Runs again what failed in a completed run: a new run of the same version, with everything else taken over as reused.

Completed runs are never reopened (07 §4). Attempts and costs stay with the run they belong to.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from django.db import transaction

from runs import progress
from runs import queue as doorbell
from runs.engine.items import ItemStatus
from runs.engine.scopes import Place, enclosing, item_of
from runs.engine.statuses import EventType, RunStatus, StepStatus, Wait
from runs.models import Blob, Event, Item, Run, StepRun
from runs.services.opened import Opened
from runs.services.prepared import prepared
from runs.services.start_run import check_rate, next_number
from runs.services.values import BLOB, is_blob
from workflows.lib.clock import utc_now
from workflows.lib.errors import Conflict
from workflows.lib.ids import new_id
from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.tenancy import audit
from workflows.tenancy.actor import Actor
from workflows.tenancy.roles import Permission

# What a row that is taken over keeps of the one it was made from.
_ROW = (
    "step_key",
    "scope",
    "label",
    "type",
    "status",
    "skip_reason",
    "port",
    "inputs",
    "edges",
    "error",
    "notes",
    "ends_run",
    "attempt",
    "max_attempts",
    "provider",
    "model",
    "started_at",
    "completed_at",
)
_ITEM = (
    "container",
    "scope",
    "index",
    "heading",
    "status",
    "error",
    "provider",
    "started_at",
    "completed_at",
)


def replay_items(
    *, run: Run, actor: Actor, step: str, items: Collection[int], model: str | None = None
) -> Run:
    """Do these items of a container of a completed run again, and what follows it, in a new run.

    Everything else that was finished is there from the start, marked `reused`, without tokens or cost. While such a
    run of the same step is under way, that one is given back. Raises Conflict for a run that is not completed.
    """
    actor.require(Permission.CONTROL_RUNS)
    with transaction.atomic():
        origin = Run.objects.select_for_update().select_related("workflow", "version").get(pk=run.pk)
        if origin.status != RunStatus.COMPLETED:
            raise Conflict(f"{origin} is {origin.status}; only a completed run is run again as a new one.")
        if (under_way := _under_way(origin, step)) is not None:
            return under_way
        check_rate(origin.workflow)
        fresh = _new_run(origin, actor, step, model)
        reused = _Copy(origin, fresh, step, frozenset(items)).write()
        _say(fresh, actor, origin, step, len(items), reused)
        audit.record(
            actor, "retried", origin, after={"step": step, "items": sorted(items), "run": str(fresh.pk)}
        )
        doorbell.ring(fresh.pk)
    progress.run_changed(fresh.pk, fresh.tenant_id, fresh.event_seq)
    return fresh


def _under_way(origin: Run, step: str) -> Run | None:
    """Who asks twice gets the run that the first asking has started."""
    copies = Run.objects.filter(
        origin=origin, tenant_id=origin.tenant_id, kind=Run.Kind.REPLAY, from_step=step
    )
    open_ones = copies.filter(status__in=[RunStatus.PENDING, RunStatus.RUNNING, RunStatus.PAUSED])
    return open_ones.order_by("-created_at").first()


def _new_run(origin: Run, actor: Actor, step: str, model: str | None) -> Run:
    now = utc_now()
    return Run.objects.create(
        tenant_id=origin.tenant_id,
        workflow=origin.workflow,
        version=origin.version,
        number=next_number(origin.workflow),
        kind=Run.Kind.REPLAY,
        origin=origin,
        from_step=step,
        status=RunStatus.PENDING,
        trigger_type="api" if actor.api_key is not None else "manual",
        started_by=actor.user,
        api_key=actor.api_key,
        input=origin.input,
        variables=origin.variables,
        yolo=origin.yolo,
        model_override=model or origin.model_override,
        steps_total=origin.steps_total,
        event_seq=1,
        wake_at=now,
        created_at=now,
    )


def _say(fresh: Run, actor: Actor, origin: Run, step: str, items: int, reused: int) -> None:
    Event.objects.create(
        run=fresh,
        tenant_id=fresh.tenant_id,
        seq=1,
        type=EventType.RUN_STARTED,
        at=fresh.created_at,
        data={
            "by": actor.label,
            "trigger": fresh.trigger_type,
            "version": fresh.version.number,
            "yolo": fresh.yolo,
            "test": False,
            "origin": str(origin.pk),
            "fromStep": step,
            "items": items,
            "reused": reused,
        },
    )


class _Copy:
    """Takes over the rows of the origin's current rounds, all but those of the container's items and of what follows."""

    def __init__(self, origin: Run, fresh: Run, step: str, items: frozenset[int]) -> None:
        self.origin, self.fresh, self.step, self.items = origin, fresh, step, items
        graph = prepared(origin.version_id, origin.version.content_hash).graph
        self.after = frozenset(graph.definition.descendants(step))
        self.blobs: dict[str, str] = {}

    def write(self) -> int:
        """Write the copies; how many steps of the top level are reused."""
        rows: dict[Place, StepRun] = {}
        for row in StepRun.objects.filter(run=self.origin).order_by("round"):
            rows[Place(row.step_key, row.scope)] = row
        container = rows[Place(self.step)]
        kept = [
            row for place, row in rows.items() if self._keeps(place) and StepStatus(row.status).is_terminal
        ]
        found = Item.objects.filter(run=self.origin, step_run_id__in=[row.pk for row in kept])
        inner = list(found)
        own = list(Item.objects.filter(run=self.origin, step_run=container))
        values = [row.output for row in kept]
        values += [value for item in (*inner, *own) for value in (item.value, item.result)]
        self._take_blobs(values)
        made = {row.pk: self._step(row) for row in kept}
        self._keep_last_variables(kept, made)
        made[container.pk] = self._container(container)
        StepRun.objects.bulk_create(list(made.values()), batch_size=500)
        copies = [self._item(item, made[item.step_run_id]) for item in (*inner, *own)]
        Item.objects.bulk_create(copies, batch_size=500)
        return sum(1 for row in kept if not row.scope)

    def _keeps(self, place: Place) -> bool:
        """Whether a row is no part of what is done again: not the container, nothing after it, none of the items."""
        if not place.scope:
            return place.key != self.step and place.key not in self.after
        top = item_of(enclosing(place.scope)[-1])
        assert top is not None
        if top.container.key == self.step:
            return top.index not in self.items
        return top.container.key not in self.after

    def _step(self, row: StepRun) -> StepRun:
        return StepRun(
            id=new_id(),
            run=self.fresh,
            tenant_id=self.fresh.tenant_id,
            reused=True,
            output=self._pointed(row.output),
            **{name: getattr(row, name) for name in _ROW},
        )

    def _container(self, row: StepRun) -> StepRun:
        """The container, open: it goes on with the items that are to be done again."""
        opened = Opened.from_json(row.held or {}).again()
        # Enough were done already; who asks for more wants them all the same.
        opened = replace(opened, rules=replace(opened.rules, needed=None))
        names = ("step_key", "scope", "label", "type", "inputs", "notes", "max_attempts")
        return StepRun(
            id=new_id(),
            run=self.fresh,
            tenant_id=self.fresh.tenant_id,
            status=StepStatus.RUNNING,
            wait=Wait.ITEMS,
            held=opened.to_json(),
            attempt=1,
            started_at=utc_now(),
            **{name: getattr(row, name) for name in names},
        )

    def _item(self, item: Item, row: StepRun) -> Item:
        copy = Item(
            id=new_id(),
            run=self.fresh,
            tenant_id=self.fresh.tenant_id,
            step_run=row,
            reused=True,
            value=self._pointed(item.value),
            result=self._pointed(item.result),
            **{name: getattr(item, name) for name in _ITEM},
        )
        if row.step_key == self.step and not row.scope and item.index in self.items:
            copy.status, copy.result, copy.error, copy.reused = ItemStatus.PENDING, None, None, False
            copy.provider, copy.started_at, copy.completed_at = "", None, None
        return copy

    def _keep_last_variables(self, rows: Iterable[StepRun], made: Mapping[uuid.UUID, StepRun]) -> None:
        """What the kept rows set, each variable with the row that set it last: the new run's own numbers begin anew, so
        nothing else tells the order of those of the origin."""
        taken: set[str] = set()
        for row in sorted(rows, key=lambda row: row.variables_seq, reverse=True):
            made[row.pk].variables = {name: v for name, v in row.variables.items() if name not in taken}
            taken |= row.variables.keys()

    def _take_blobs(self, values: Iterable[JSONValue]) -> None:
        """Large values belong to their run, so the new one gets its own."""
        wanted = {str(value[BLOB]) for value in values if is_blob(value)}
        for blob in Blob.objects.filter(run=self.origin, pk__in=wanted).iterator(chunk_size=20):
            old, blob.pk = str(blob.pk), uuid.uuid4()
            blob.run = self.fresh
            blob.save(force_insert=True)
            self.blobs[old] = str(blob.pk)

    def _pointed(self, value: Any) -> Any:
        pointer: JSONObject = {BLOB: self.blobs[str(value[BLOB])]} if is_blob(value) else value
        return pointer
