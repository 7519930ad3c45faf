"""Why items failed, by cause: forty failed items are one or two sentences, each with its items (R6, R7)."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from runs.engine.cases import case_of
from runs.engine.items import ItemStatus
from runs.models import Item, Run
from runs.snapshots import words

# Items that are read for it; those beyond are counted by the container, and shown in its table.
_READ = 1_000
_NAMED = 3


@dataclass(frozen=True, slots=True)
class ItemCase:
    """Failed items of one container with one cause: `indexes` from 0, `names` the first few."""

    headline: str
    helps: str
    retryable: bool
    indexes: tuple[int, ...]
    names: tuple[tuple[str, str], ...]

    @property
    def count(self) -> int:
        return len(self.indexes)

    @property
    def others(self) -> int:
        return len(self.indexes) - len(self.names)

    @property
    def listed(self) -> str:
        """The indexes as the form of retrying takes them."""
        return ",".join(str(index) for index in self.indexes)


def item_cases(run: Run, containers: Collection[uuid.UUID]) -> Mapping[uuid.UUID, tuple[ItemCase, ...]]:
    """By container row, the most frequent cause first. One query."""
    rows = (
        Item.objects.filter(run=run, step_run__in=list(containers), status=ItemStatus.FAILED)
        .only("step_run_id", "index", "heading", "error", "container", "scope", "provider")
        .order_by("index")[:_READ]
    )
    found: dict[uuid.UUID, dict[str, list[Item]]] = {}
    for item in rows:
        error = {**(item.error or {}), "step_key": (item.error or {}).get("step") or item.container}
        key = case_of(error, workflow="", provider=item.provider)
        found.setdefault(item.step_run_id, {}).setdefault(key, []).append(item)
    return {
        row: tuple(_case(items) for items in sorted(groups.values(), key=len, reverse=True))
        for row, groups in found.items()
    }


def _case(items: list[Item]) -> ItemCase:
    error = items[0].error or {}
    return ItemCase(
        headline=words.cause(error),
        helps=words.trying_helps(error),
        retryable=bool(error.get("retryable")),
        indexes=tuple(item.index for item in items),
        names=tuple((item.item_scope, str(item)) for item in items[:_NAMED]),
    )
