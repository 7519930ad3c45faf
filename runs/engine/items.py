"""Items of loops and fan-outs: their states, and the small indexes that keep planning independent of their number."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from runs.engine.scopes import ItemPlace, Place


class ItemStatus(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        return self in (ItemStatus.COMPLETED, ItemStatus.FAILED, ItemStatus.CANCELLED)


@dataclass(frozen=True, slots=True)
class ItemState:
    """One item. `row` is the id of its row, opaque here."""

    index: int
    status: ItemStatus = ItemStatus.PENDING
    row: Any = None

    def but(self, **changes: Any) -> ItemState:
        return replace(self, **changes)


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How many failed items a container bears: a number, or a percentage of all its items."""

    number: int = 0
    percent: float | None = None

    def allows(self, failed: int, total: int) -> bool:
        if self.percent is not None:
            return failed <= math.floor(total * self.percent / 100 + 1e-9)
        return failed <= self.number


@dataclass(frozen=True, slots=True)
class ItemRules:
    """How a container works through its items. `needed`: so many completed items are enough (None: all of them).

    `in_order`: one after the other, also while one waits (a loop); otherwise an item that waits holds no slot.
    `more`: after the last item the container is asked whether there is another (a `while` loop).
    `patient`: only some items were asked for again, so it is judged when these are done, not before; what then has
    no result counts as failed.
    """

    concurrency: int = 1
    tolerance: Tolerance = Tolerance()
    needed: int | None = None
    in_order: bool = False
    more: bool = False
    patient: bool = False


@dataclass(slots=True)
class Items:
    """The items of one open container. Change them through `put` only: it keeps the counts."""

    place: Place
    rules: ItemRules
    items: list[ItemState] = field(default_factory=list)
    counts: dict[ItemStatus, int] = field(default_factory=dict)
    cursor: int = 0

    @classmethod
    def of(cls, place: Place, rules: ItemRules, states: Iterable[ItemState]) -> Items:
        made = cls(place, rules)
        for state in sorted(states, key=lambda item: item.index):
            made.put(state)
        return made

    def put(self, state: ItemState) -> ItemState | None:
        """Replace or append one item; returns what was there before."""
        before = self.items[state.index] if state.index < len(self.items) else None
        if before is None:
            self.items.append(state)
        else:
            self.counts[before.status] -= 1
            self.items[state.index] = state
        self.counts[state.status] = self.counts.get(state.status, 0) + 1
        if state.status is ItemStatus.PENDING:
            self.cursor = min(self.cursor, state.index)
        return before

    def remove_last(self) -> None:
        """Undo the `put` that appended."""
        gone = self.items.pop()
        self.counts[gone.status] -= 1
        self.cursor = min(self.cursor, len(self.items))

    def count(self, status: ItemStatus) -> int:
        return self.counts.get(status, 0)

    @property
    def open(self) -> int:
        return self.count(ItemStatus.PENDING) + self.count(ItemStatus.RUNNING)

    def next_pending(self, after: int = -1) -> ItemState | None:
        """The first item that has not begun, past `after`."""
        while self.cursor < len(self.items) and self.items[self.cursor].status is not ItemStatus.PENDING:
            self.cursor += 1
        for index in range(max(self.cursor, after + 1), len(self.items)):
            if self.items[index].status is ItemStatus.PENDING:
                return self.items[index]
        return None

    def unfinished(self) -> list[ItemState]:
        return [item for item in self.items if not item.status.is_terminal]

    def item_place(self, index: int) -> ItemPlace:
        return ItemPlace(self.place, index)
