"""One transition of a run: everything that is written in one transaction, collected before it begins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db.backends.utils import CursorWrapper

from runs.engine.items import Items, ItemState
from runs.engine.scopes import Place
from runs.engine.state import RunState, StepState
from runs.engine.statuses import EventType
from runs.models import Blob
from runs.services import rows
from workflows.lib.jsontypes import JSONObject

# Events of which people are told in any case.
TOLD: Final = frozenset({EventType.RUN_FAILED, EventType.REVIEW_REQUESTED, EventType.BUDGET})


@dataclass(frozen=True, slots=True)
class EventDraft:
    """An event that has no number yet."""

    type: EventType
    at: datetime
    data: JSONObject = field(default_factory=dict)
    step_key: str = ""
    label: str = ""
    scope: str = ""
    tell: bool = False


@dataclass(slots=True)
class Transition:
    """Rows to write, and the changes of the state in memory that belong to them (undone when nothing is written).

    `run` holds columns of the run row by attname. `finishes`: the run ends with it. `starts`: it opens attempts.
    `variables_of` names step rows whose `variables_seq` is the number of this transition's first event.
    """

    run: dict[str, Any] = field(default_factory=dict)
    step_inserts: list[dict[str, Any]] = field(default_factory=list)
    step_updates: list[tuple[UUID, dict[str, Any]]] = field(default_factory=list)
    attempt_inserts: list[dict[str, Any]] = field(default_factory=list)
    attempt_updates: list[tuple[UUID, dict[str, Any]]] = field(default_factory=list)
    item_inserts: list[dict[str, Any]] = field(default_factory=list)
    item_updates: list[tuple[UUID, dict[str, Any]]] = field(default_factory=list)
    review_inserts: list[dict[str, Any]] = field(default_factory=list)
    blobs: list[Blob] = field(default_factory=list)
    events: list[EventDraft] = field(default_factory=list)
    mail_read: list[int] = field(default_factory=list)
    variables_of: list[UUID] = field(default_factory=list)
    writes: list[Callable[[], None]] = field(default_factory=list)
    touched: set[Place] = field(default_factory=set)
    finishes: bool = False
    _undo: list[Callable[[], None]] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        return not (
            self.run
            or self.step_inserts
            or self.step_updates
            or self.attempt_inserts
            or self.attempt_updates
            or self.item_inserts
            or self.item_updates
            or self.events
            or self.mail_read
            or self.writes
            or self.finishes
        )

    def put(self, state: RunState, step: StepState) -> None:
        """Change the state in memory, remembered for `undo`."""
        before = state.put(step)
        place = step.place
        self._undo.append(lambda: state.restore(place, before))
        self.touched.add(place)

    def put_item(self, state: RunState, container: Place, item: ItemState) -> None:
        """The same for one item of an open container."""
        items = state.items(container)
        assert items is not None
        before = items.put(item)
        self._undo.append(items.remove_last if before is None else lambda: _ignore(items.put(before)))
        self.touched.add(container)

    def put_items(self, state: RunState, items: Items) -> None:
        """Give a container its items."""
        before = state.put_items(items)
        self._undo.append(lambda: state.restore_items(items.place, before))
        self.touched.add(items.place)

    def remember(self, undo: Callable[[], None]) -> None:
        """Register how another change in memory is taken back."""
        self._undo.append(undo)

    def undo(self) -> None:
        """Take every change in memory back, newest first."""
        while self._undo:
            self._undo.pop()()

    def event(
        self,
        type: EventType,
        at: datetime,
        data: JSONObject | None = None,
        *,
        place: Place | None = None,
        label: str = "",
        tell: bool = False,
    ) -> None:
        """`tell`: people are told of it, by the keeper, which finds the mark on the event's row."""
        key, scope = (place.key, place.scope) if place else ("", "")
        self.events.append(EventDraft(type, at, data or {}, key, label, scope, tell or type in TOLD))

    def write(self, cursor: CursorWrapper, *, run_id: UUID, tenant_id: UUID, first_seq: int) -> None:
        """Write every row but the run's own; the fence has been passed by now. Blobs stand before what names them."""
        if self.blobs:
            Blob.objects.bulk_create(self.blobs)
        step_runs, attempts = rows.step_runs(), rows.attempts()
        for values in self.step_inserts:
            if values["id"] in self.variables_of:
                values["variables_seq"] = first_seq
        step_runs.insert(cursor, self.step_inserts)
        for pk, values in self.step_updates:
            if pk in self.variables_of:
                values = {**values, "variables_seq": first_seq}
            step_runs.update(cursor, pk, values)
        if self.item_inserts:
            rows.items().insert(cursor, self.item_inserts)
        for pk, values in self.item_updates:
            rows.items().update(cursor, pk, values)
        if self.attempt_inserts:
            attempts.insert(cursor, self.attempt_inserts)
        for pk, values in self.attempt_updates:
            attempts.update(cursor, pk, values)
        if self.review_inserts:
            rows.reviews().insert(cursor, self.review_inserts)
        for write in self.writes:
            write()
        if self.events:
            rows.events().insert(
                cursor,
                [
                    {
                        "run_id": run_id,
                        "tenant_id": tenant_id,
                        "seq": first_seq + number,
                        "type": str(event.type),
                        "at": event.at,
                        "step_key": event.step_key,
                        "label": event.label,
                        "scope": event.scope,
                        "data": event.data,
                        "to_tell": True if event.tell else None,
                    }
                    for number, event in enumerate(self.events)
                ],
            )


def _ignore(value: object) -> None:
    """For callbacks whose answer nobody needs."""
