"""Items of loops and fan-outs as the API shows them: the data, and its description."""

from __future__ import annotations

from typing import Any

from django.db.models import Exists, OuterRef
from ninja import Field, Schema

from runs.api.trace import Values
from runs.models import Item, Run, StepRun
from workflows.api.base import money, stamp
from workflows.lib.jsontypes import JSONObject


def items_json(
    run: Run, *, step: str, scope: str | None, status: str, text: str, limit: int, offset: int
) -> tuple[list[JSONObject], int]:
    """These items of the containers' current rounds, and how many there are in all. Three queries."""
    later = StepRun.objects.filter(
        run=OuterRef("run"),
        step_key=OuterRef("container"),
        scope=OuterRef("scope"),
        round__gt=OuterRef("step_run__round"),
    )
    found = Item.objects.filter(run=run, tenant_id=run.tenant_id).exclude(Exists(later))
    if step:
        found = found.filter(container=step)
    if scope is not None:
        found = found.filter(scope=scope)
    if status:
        found = found.filter(status=status)
    if text:
        found = found.filter(heading__icontains=text)
    rows = list(found.order_by("container", "scope", "index")[offset : offset + limit])
    values = Values([run], whole=True)
    values.read((run.pk, value) for row in rows for value in (row.value, row.result))
    return [_item_json(run, row, values) for row in rows], found.count()


def _item_json(run: Run, row: Item, values: Values) -> JSONObject:
    ended = row.completed_at is not None and row.started_at is not None
    took = row.completed_at - row.started_at if ended else None  # type: ignore[operator]
    value = values.of(run.pk, row.value)
    return {
        "node_id": row.container,
        "scope": row.item_scope,
        "index": row.index,
        "heading": row.heading,
        "status": row.status,
        "input_data": value,
        "output_data": values.of(run.pk, row.result),
        "error_message": (row.error or {}).get("message"),
        "error": row.error,
        "reused": row.reused,
        "provider": row.provider or None,
        "tokens": row.tokens,
        "cost": money(row.cost),
        "started_at": stamp(row.started_at),
        "completed_at": stamp(row.completed_at),
        "duration_ms": round(took.total_seconds() * 1_000) if took is not None else None,
    }


class ItemOut(Schema):
    """One item of a loop or fan-out."""

    node_id: str = Field(..., description="Id of the loop or fan-out.")
    scope: str = Field(..., description="Scope of the steps that worked on it, as in the trace: `each[7]`.")
    index: int = Field(..., description="Its place in the input, from 0.")
    heading: str
    status: str = Field(..., description="pending, running, completed, failed or cancelled.")
    input_data: Any = Field(..., description="What the steps inside see as `{{item}}`.")
    output_data: Any = Field(..., description="Its result; null when it has none.")
    error_message: str | None
    error: dict[str, Any] | None
    reused: bool = Field(..., description="Taken over from the execution that this one repeats.")
    provider: str | None
    tokens: int
    cost: float
    started_at: str | None
    completed_at: str | None
    duration_ms: int | None


class ItemPage(Schema):
    items: list[ItemOut]
    count: int
