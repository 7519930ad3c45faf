"""What a run that repeats another takes over: rows that stand are copied as reused, containers go on where they stopped.

Attempts and costs stay with the run they belong to.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Any

from runs.engine.graph import Graph
from runs.engine.items import ItemStatus
from runs.engine.scopes import Place, item_of
from runs.engine.statuses import RunStatus, StepStatus, Wait
from runs.models import Blob, Item, Run, StepRun
from runs.services.opened import Opened
from runs.services.values import BLOB, is_blob
from workflows.lib.clock import utc_now
from workflows.lib.ids import new_id
from workflows.lib.jsontypes import JSONObject, JSONValue

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


class _Fate(Enum):
    KEEP = auto()
    REOPEN = auto()
    DROP = auto()


@dataclass(frozen=True, slots=True)
class Again:
    """What is done again: these steps and all that follows; of these containers only the items with these indexes.

    `values` gives items of such containers another value, by key and index.
    """

    steps: frozenset[str] = frozenset()
    items: Mapping[str, frozenset[int]] = field(default_factory=dict)
    values: Mapping[str, Mapping[int, JSONValue]] = field(default_factory=dict)


class CopiedRows:
    """Takes over the current rounds of `origin`, all but what is done again and what never came to a good end.

    A step inside of a container is done again in every item: the container opens again with the items that it had, and
    what stands before the step in each is kept. A loop whose rounds see each other begins anew. A container that was
    cut short goes on with its unfinished items.
    """

    def __init__(self, origin: Run, fresh: Run, graph: Graph, again: Again) -> None:
        self.origin, self.fresh, self.graph, self.items_again = origin, fresh, graph, again
        self.again: set[str] = set()
        self.touched: set[str] = set(again.items)
        for key in again.steps:
            self._follow(key)
        for key in again.items:
            self.again |= graph.definition.descendants(key)
        self.blobs: dict[str, str] = {}
        self.rows: dict[Place, StepRun] = {}
        self.items: dict[uuid.UUID, dict[int, Item]] = {}
        self._fates: dict[Place, _Fate] = {}

    def _follow(self, key: str) -> None:
        found = self.graph.definition
        self.again |= {key, *found.descendants(key)}
        step = found.by_key.get(key) or self.graph.whole.by_key.get(key)
        parent = step.parent if step is not None else None
        while parent is not None:
            self.touched.add(parent)
            self.again |= found.descendants(parent)
            parent = found.step(parent).parent

    def write(self) -> int:
        """Write the copies; how many steps of the top level are reused."""
        for row in StepRun.objects.filter(run=self.origin).order_by("round"):
            self.rows[Place(row.step_key, row.scope)] = row
        current = {row.pk for row in self.rows.values()}
        for item in Item.objects.filter(run=self.origin):
            if item.step_run_id in current:
                self.items.setdefault(item.step_run_id, {})[item.index] = item
        self.over_by_filter = any(row.ends_run for place, row in self.rows.items() if not place.scope)
        kept = [row for place, row in self.rows.items() if self._fate(place) is _Fate.KEEP]
        reopened = [row for place, row in self.rows.items() if self._fate(place) is _Fate.REOPEN]
        items = [item for row in (*kept, *reopened) for item in self.items.get(row.pk, {}).values()]
        values = [row.output for row in kept]
        values += [value for item in items for value in (item.value, item.result)]
        self._take_blobs(values)
        made = {row.pk: self._step(row) for row in kept}
        self._keep_last_variables(kept, made)
        made |= {row.pk: self._container(row) for row in reopened}
        StepRun.objects.bulk_create(list(made.values()), batch_size=500)
        open_rows = {row.pk for row in reopened}
        copies = [
            self._item(item, made[item.step_run_id], is_open=item.step_run_id in open_rows) for item in items
        ]
        Item.objects.bulk_create(copies, batch_size=500)
        return sum(1 for row in kept if not row.scope)

    # --- what becomes of a row -------------------------------------------------------------------

    def _fate(self, place: Place) -> _Fate:
        if place not in self._fates:
            self._fates[place] = self._judge(place)
        return self._fates[place]

    def _judge(self, place: Place) -> _Fate:
        row = self.rows.get(place)
        if row is None:
            return _Fate.DROP
        around = item_of(place.scope)
        if around is not None:
            outer = self._fate(around.container)
            if outer is not _Fate.REOPEN:
                return outer
            if self._item_stays(around.container, around.index):
                return _Fate.KEEP
            if around.container.key in self.items_again.items and not around.container.scope:
                return _Fate.DROP
        key = place.key
        if key in self.again or (key not in self.graph.order and key not in self.graph.off):
            return _Fate.DROP
        if self.graph.body(key) and (key in self.touched or not self._stands(row)):
            return _Fate.REOPEN if self._can_reopen(row) else _Fate.DROP
        return _Fate.KEEP if self._stands(row) else _Fate.DROP

    def _stands(self, row: StepRun) -> bool:
        """Whether the row came to an end that the new run may build on."""
        over = self.origin.status == RunStatus.COMPLETED and not self.over_by_filter
        match StepStatus(row.status):
            case StepStatus.COMPLETED:
                # A filter that ended the origin would end the new run before it began.
                return not (row.ends_run and not row.scope)
            case StepStatus.SKIPPED:
                return True
            case StepStatus.FAILED:
                return row.port is not None or over
            case StepStatus.CANCELLED:
                return over
            case _:
                return False

    def _can_reopen(self, row: StepRun) -> bool:
        if "concurrency" not in (row.held or {}) or not self.items.get(row.pk):
            return False
        if row.step_key in self.items_again.items:
            return True
        return row.step_key not in self.touched or not Opened.from_json(row.held or {}).rules.in_order

    def _item_stays(self, container: Place, index: int) -> bool:
        if container.key in self.items_again.items and not container.scope:
            return index not in self.items_again.items[container.key]
        if container.key in self.touched:
            return False
        item = self.items[self.rows[container].pk].get(index)
        return item is not None and item.status == ItemStatus.COMPLETED

    # --- the copies ------------------------------------------------------------------------------

    def _step(self, row: StepRun) -> StepRun:
        return StepRun(
            id=new_id(),
            run=self.fresh,
            tenant_id=self.fresh.tenant_id,
            reused=True,
            output=self._pointed(row.output),
            held=row.held if self.graph.body(row.step_key) else None,
            **{name: getattr(row, name) for name in _ROW},
        )

    def _container(self, row: StepRun) -> StepRun:
        """The container, open: it goes on with the items that are to be done again."""
        opened = Opened.from_json(row.held or {}).again()
        if row.step_key in self.items_again.items:
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

    def _item(self, item: Item, row: StepRun, *, is_open: bool) -> Item:
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
        if is_open and not self._item_stays(Place(row.step_key, row.scope), item.index):
            copy.status, copy.result, copy.error, copy.reused = ItemStatus.PENDING, None, None, False
            copy.provider, copy.started_at, copy.completed_at = "", None, None
            given = self.items_again.values.get(row.step_key, {})
            if item.index in given and not row.scope:
                copy.value = given[item.index]
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
