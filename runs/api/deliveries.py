"""What an execution sent, or would have sent as a test: copies, keys and receipts."""

from __future__ import annotations

from typing import Any, Literal

from django.http import HttpRequest, HttpResponse
from ninja import Field, Query, Router, Schema

from runs.api.executions import get_run
from runs.models import Delivery
from runs.selectors import deliveries
from workflows.api.base import THING, Filters, page, stamp
from workflows.lib.jsontypes import JSONObject

router = Router(tags=["Executions"])


class DeliveryOut(Schema):
    """One outward act: once per key, with a copy of what was sent and the receipt."""

    id: str
    kind: str = Field(..., description="email, webhook, http or event.")
    target: str
    status: str = Field(
        ...,
        description="sent, unknown (a try broke off), failed (surely nothing was done), skipped or outbox (a test run).",
    )
    key: str = Field(..., description="The same on every try: Idempotency-Key, webhook-id, Message-ID.")
    node_id: str
    scope: str
    round: int
    rendered: Any
    receipt: Any
    error: Any
    tries: int
    created_at: str
    tried_at: str
    settled_at: str | None


class DeliveryPage(Schema):
    items: list[DeliveryOut]
    count: int


class DeliveryFilters(Filters):
    status: Literal["sent", "unknown", "failed", "skipped", "outbox", ""] = ""
    node_id: str = Field("", max_length=64)


@router.get(
    "/{id}/deliveries",
    response={200: DeliveryPage, **THING},
    operation_id="list_deliveries",
    summary="List what an execution sent",
)
def list_deliveries(request: HttpRequest, id: str, filters: Query[DeliveryFilters]) -> HttpResponse:
    """Mails, webhooks, changing requests and events, in order; of a test run what it would have sent."""
    run = get_run(request, id)
    found = deliveries(run.tenant, status=filters.status).filter(run=run)
    if filters.node_id:
        found = found.filter(step_run__step_key=filters.node_id)
    part = found.order_by("created_at", "id")[filters.offset : filters.offset + filters.limit]
    return page([_delivery_json(row) for row in part], found.count())


def _delivery_json(row: Delivery) -> JSONObject:
    return {
        "id": str(row.pk),
        "kind": row.kind,
        "target": row.target,
        "status": row.status,
        "key": row.key,
        "node_id": row.step_run.step_key,
        "scope": row.step_run.scope,
        "round": row.step_run.round,
        "rendered": row.copy,
        "receipt": row.receipt,
        "error": row.error,
        "tries": row.tries,
        "created_at": stamp(row.created_at),
        "tried_at": stamp(row.tried_at),
        "settled_at": stamp(row.settled_at),
    }
