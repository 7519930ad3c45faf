"""A step inside a container as its panel shows it: what it asks, how it went over all items so far, and the newest of them.

The hidden step of a container whose prompt does the work is one of these. A fixed number of queries.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from runs.engine.graph import compile_graph
from runs.engine.items import ItemStatus
from runs.engine.scopes import item_of
from runs.engine.statuses import StepStatus
from runs.models import Item, Run, StepRun
from runs.snapshots import words
from runs.snapshots.definitions import definitions_of, step_type_of, tile_of
from workflows.definition.graph import StepDef
from workflows.steps.catalog import CATALOG

# The newest items in the panel; the container's list has all of them.
SHOWN = 8
_PROMPTS = (("system_prompt", "System prompt"), ("prompt", "Prompt"))


@dataclass(frozen=True, slots=True)
class InnerItem:
    """What this step did for one item; `scope` names the item in addresses."""

    scope: str
    number: int
    heading: str
    status: str
    took_ms: int | None
    since: datetime | None


@dataclass(frozen=True, slots=True)
class InnerPanel:
    """`hidden`: the container's own prompt. `ended`: the container has come to its end. `asks` are (name, text as the author wrote it); `models` (name, times)."""

    key: str
    label: str
    icon: str
    tile: str
    does: str
    hidden: bool
    off: bool
    ended: bool
    container: str
    container_label: str
    begun: int
    done: int
    failed: int
    running: int
    tokens: int
    cost: Decimal
    mean_ms: int | None
    models: tuple[tuple[str, int], ...]
    asks: tuple[tuple[str, str], ...]
    newest: tuple[InnerItem, ...]

    @property
    def status(self) -> str:
        """Of all its items together."""
        if self.running:
            return StepStatus.RUNNING
        if self.failed:
            return StepStatus.FAILED
        return StepStatus.COMPLETED if self.done else StepStatus.PENDING


def inner_panel(run: Run, key: str) -> InnerPanel | None:
    """The step of this key inside a container of the run's version; None when there is none."""
    definition = definitions_of({run.version_id})[run.version_id]
    graph = compile_graph(definition, CATALOG)
    if key not in graph.order:
        return None
    step = graph.step(key)
    if step.parent is None:
        return None
    kind = step_type_of(step.type)
    container = graph.step(step.parent)
    rows: dict[str, StepRun] = {}
    found = StepRun.objects.filter(run=run, tenant_id=run.tenant_id, step_key=key)
    for row in found.defer("output", "variables", "error", "held", "given", "inputs", "edges").order_by(
        "round"
    ):
        rows[row.scope] = row
    counts = Counter(row.status for row in rows.values())
    took = [row.duration_ms for row in rows.values() if row.completed_at and row.duration_ms is not None]
    models = Counter(
        words.model_words(row.provider, row.model) for row in rows.values() if row.provider or row.model
    )
    return InnerPanel(
        key=key,
        label=container.label if step.generated else step.label,
        icon=kind.icon if kind is not None else "puzzle",
        tile=tile_of(step, kind),
        does=kind.summary(step.config) if kind is not None else "",
        hidden=step.generated,
        off=not step.enabled,
        ended=_has_ended(run, container),
        container=container.key,
        container_label=container.label,
        begun=len(rows),
        done=counts[StepStatus.COMPLETED],
        failed=counts[StepStatus.FAILED],
        running=counts[StepStatus.RUNNING] + counts[StepStatus.WAITING],
        tokens=sum(row.tokens for row in rows.values()),
        cost=sum((row.cost for row in rows.values()), Decimal(0)),
        mean_ms=round(sum(took) / len(took)) if took else None,
        models=tuple(models.most_common(3)),
        asks=tuple((name, str(step.config[field])) for field, name in _PROMPTS if step.config.get(field)),
        newest=_newest(run, [row for row in rows.values() if row.started_at is not None]),
    )


def _has_ended(run: Run, container: StepDef) -> bool:
    """Whether no item of it begins any more; one inside another may always begin anew."""
    rows = StepRun.objects.filter(run=run, tenant_id=run.tenant_id, step_key=container.key, scope="")
    found = rows.order_by("-round").values_list("completed_at", flat=True).first()
    return container.parent is None and found is not None


def _newest(run: Run, rows: list[StepRun]) -> tuple[InnerItem, ...]:
    rows = sorted(rows, key=lambda row: (row.started_at or row.created_at, row.scope), reverse=True)[:SHOWN]
    places = {row.scope: place for row in rows if (place := item_of(row.scope)) is not None}
    named = Item.objects.filter(
        run=run,
        tenant_id=run.tenant_id,
        container__in={place.container.key for place in places.values()},
        index__in={place.index for place in places.values()},
    ).exclude(status=ItemStatus.PENDING)
    headings = {
        (item.container, item.scope, item.index): item.heading
        for item in named.only("container", "scope", "index", "heading")
    }
    return tuple(
        InnerItem(
            scope=row.scope,
            number=place.index + 1,
            heading=headings.get((place.container.key, place.container.scope, place.index), ""),
            status=str(row.status),
            took_ms=row.duration_ms if row.completed_at is not None else None,
            since=row.started_at if row.completed_at is None else None,
        )
        for row in rows
        if (place := places.get(row.scope)) is not None
    )
