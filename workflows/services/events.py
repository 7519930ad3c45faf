"""Tells an event: one row in the caller's transaction. Who waits for it is asked when it is fired."""

from __future__ import annotations

import json
from typing import Literal
from uuid import UUID

from django.db import IntegrityError, transaction

from workflows.lib.errors import Invalid, Problem, TooLarge
from workflows.lib.event_names import OWN, name_fault
from workflows.lib.ids import new_id
from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.lib.limits import EVENT_BYTES
from workflows.models import DomainEvent, PublishedTrigger
from workflows.tenancy.actor import Actor
from workflows.tenancy.roles import Permission

Source = Literal["api", "step", "stepwell"]


def send_event(*, actor: Actor, name: str, data: JSONValue = None, key: str = "") -> tuple[DomainEvent, bool]:
    """An event from outside, and whether it is new: the same `key` gives the event that there is.

    Raises NotAllowed, Invalid (its name, or another event under this key), TooLarge.
    """
    actor.require(Permission.RUN)
    if fault := name_fault(name):
        problem = Problem("bad_name", fault, field="name", fix="Write it like crm/lead.changed.")
        raise Invalid(fault, problems=(problem,))
    if len(json.dumps(data, ensure_ascii=False).encode()) > EVENT_BYTES.value:
        raise TooLarge(EVENT_BYTES.says("data"))
    key = f"api:{key}" if key else ""
    try:
        with transaction.atomic():
            made = DomainEvent.objects.create(
                tenant=actor.tenant, name=name, data=data, key=key, source="api", by=actor.label[:200]
            )
    except IntegrityError:
        found = DomainEvent.objects.get(tenant=actor.tenant, key=key)
        if (found.name, found.data) != (name, data):
            message = "This Idempotency-Key was used for another event. Use a new key for a new event."
            raise Invalid(message, code="idempotency_key") from None
        return found, False
    return made, True


def write_event(
    tenant_id: UUID, name: str, data: JSONValue, *, key: str, source: Source, run: UUID | None, depth: int
) -> None:
    """The row of an event that a run tells, in the run's own transaction; once for its key."""
    DomainEvent.objects.bulk_create(
        [
            DomainEvent(
                id=new_id(),
                tenant_id=tenant_id,
                name=name,
                data=data,
                key=key,
                source=source,
                source_run=run,
                depth=depth,
            )
        ],
        ignore_conflicts=True,
    )


def is_heard(tenant_id: UUID) -> bool:
    """Whether a published trigger of the tenant might wait for what the product itself says. One query."""
    waiting = PublishedTrigger.objects.filter(
        tenant_id=tenant_id, type="event", config__icontains=OWN.rstrip("/")
    )
    return waiting.exists()


def tell(
    tenant_id: UUID,
    what: str,
    data: JSONObject,
    *,
    key: str,
    run: UUID | None = None,
    depth: int = 0,
    heard: bool | None = None,
) -> None:
    """What the product itself has to say (`stepwell/…`), where a published trigger of the tenant might wait for it.

    `heard`: the answer of `is_heard`, where it is known already.
    """
    if is_heard(tenant_id) if heard is None else heard:
        write_event(tenant_id, f"{OWN}{what}", data, key=key, source="stepwell", run=run, depth=depth)
