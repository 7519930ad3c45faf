"""/api/events: tell a named event, which starts every workflow that waits for it; and the history of events."""

from __future__ import annotations

import contextlib
from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Field, Query, Router, Schema

from runs.models import Firing
from runs.services.fire_events import fire_event
from runs.services.start_run import TooManyRuns
from workflows.api.base import THING, WRITE, Body, Filters, answer, errors, example, page, stamp
from workflows.api.workflows import actor_of
from workflows.lib.jsontypes import JSONObject
from workflows.models import DomainEvent
from workflows.services.events import send_event
from workflows.tenancy.access import get_or_404
from workflows.tenancy.roles import Permission

router = Router(tags=["Events"])


class EventIn(Body):
    name: str = Field(..., max_length=200, description="Such as crm/lead_status.changed.")
    data: Any = Field(None, description="Any JSON; `{{ trigger.data }}` of the runs that it starts.")


class EventFilters(Filters):
    name: str = Field("", max_length=200)


class FiringOut(Schema):
    """What one trigger made of the event."""

    workflow_id: str
    trigger_id: str
    outcome: str = Field(..., description="started, filtered, duplicate or refused.")
    reason: str
    execution_id: str | None
    at: str


class EventOut(Schema):
    """An event that was told."""

    id: str
    name: str
    data: Any
    source: str = Field(..., description="api, step (of a run) or stepwell itself.")
    execution_id: str | None = Field(..., description="The run that told it.")
    by: str
    created_at: str
    fired_at: str | None = Field(..., description="null: what waits for it is being started.")
    firings: list[FiringOut]


class EventPage(Schema):
    items: list[EventOut]
    count: int


EXAMPLE: JSONObject = {"name": "crm/lead.changed", "data": {"id": 17, "status": "won"}}


@router.post(
    "",
    response={200: EventOut, 202: EventOut, **WRITE},
    operation_id="send_event",
    summary="Tell an event",
    openapi_extra=example(EXAMPLE),
)
def send(request: HttpRequest, body: EventIn) -> HttpResponse:
    """202 and the event with the runs that it has started. With an `Idempotency-Key` that is known it is the same event
    (200), and nothing is started again."""
    actor = actor_of(request)
    key = request.headers.get("Idempotency-Key", "")[:255]
    event, is_new = send_event(actor=actor, name=body.name, data=body.data, key=key)
    if is_new:
        # At once, so that nobody waits for the keeper; what is left over is the keeper's.
        with contextlib.suppress(TooManyRuns):
            fire_event(event)
            event.refresh_from_db()
    return answer(_shown([event])[0], 202 if is_new else 200)


@router.get("", response={200: EventPage, **errors()}, operation_id="list_events", summary="List events")
def list_events(request: HttpRequest, filters: Query[EventFilters]) -> HttpResponse:
    """Newest first, with what each of them has started."""
    actor = actor_of(request)
    actor.require(Permission.VIEW)
    found = DomainEvent.objects.for_tenant(actor.tenant)
    if filters.name:
        found = found.filter(name=filters.name)
    part = found.order_by("-created_at")[filters.offset : filters.offset + filters.limit]
    return page(_shown(list(part)), found.count())


@router.get("/{id}", response={200: EventOut, **THING}, operation_id="get_event", summary="Get an event")
def get(request: HttpRequest, id: str) -> HttpResponse:
    actor = actor_of(request)
    return answer(_shown([get_or_404(DomainEvent, actor, id, Permission.VIEW)])[0])


def _shown(events: list[DomainEvent]) -> list[JSONObject]:
    """One query for all firings."""
    by_event: dict[Any, list[JSONObject]] = {}
    for firing in Firing.objects.filter(event__in=[event.pk for event in events]).order_by("at", "pk"):
        by_event.setdefault(firing.event_id, []).append(
            {
                "workflow_id": str(firing.workflow_id),
                "trigger_id": firing.trigger_key,
                "outcome": firing.outcome,
                "reason": firing.reason,
                "execution_id": str(firing.run_id) if firing.run_id else None,
                "at": stamp(firing.at),
            }
        )
    return [
        {
            "id": str(event.pk),
            "name": event.name,
            "data": event.data,
            "source": event.source,
            "execution_id": str(event.source_run) if event.source_run else None,
            "by": event.by,
            "created_at": stamp(event.created_at),
            "fired_at": stamp(event.fired_at),
            "firings": by_event.get(event.pk, []),
        }
        for event in events
    ]
