"""What starts runs, for its pages: triggers of drafts and published versions, how often they fired, and what came of it."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Max
from django.utils import timezone

from runs.models import Firing
from workflows.lib.event_names import OWN, takes_in
from workflows.lib.jsontypes import JSONObject
from workflows.models import DomainEvent, PublishedTrigger, Trigger, Workflow
from workflows.tenancy.models import Tenant
from workflows.triggers import registry

_SHOWN = 25
_LOOKED_AT = 200
# What versions may carry and Stepwell does not start yet, by type: name and icon.
_LATER = {"schedule": ("Schedule", "calendar-clock"), "webhook": ("Webhook", "webhook")}


@dataclass(frozen=True, slots=True)
class TriggerView:
    """One trigger. `state`: on, off, draft (no version has it yet), later (of a type that starts nothing yet),
    resting (its workflow is no longer active). `changed`: the draft says something else than the newest version."""

    workflow_id: uuid.UUID
    workflow: str
    key: str
    kind: str
    icon: str
    names: tuple[str, ...]
    filter: str
    state: str
    changed: bool
    leaving: bool
    week: int
    last: datetime | None
    config: JSONObject
    mapping: JSONObject
    live: tuple[JSONObject, JSONObject] | None

    @property
    def title(self) -> str:
        return ", ".join(self.names) or self.kind

    @property
    def is_event(self) -> bool:
        return self.kind == "Event"


def triggers_of(tenant: Tenant, workflow: uuid.UUID | None = None) -> list[TriggerView]:
    """Every trigger of the tenant (of one workflow), by workflow. Three queries."""
    drafts = (
        Trigger.objects.for_tenant(tenant).filter(workflow__deleted_at__isnull=True).exclude(type="manual")
    )
    public = PublishedTrigger.objects.for_tenant(tenant).filter(workflow__deleted_at__isnull=True)
    public = public.exclude(type="manual")
    firings = Firing.objects.for_tenant(tenant)
    if workflow is not None:
        drafts, public = drafts.filter(workflow_id=workflow), public.filter(workflow_id=workflow)
        firings = firings.filter(workflow_id=workflow)
    in_draft = {(row.workflow_id, row.key): row for row in drafts.select_related("workflow")}
    published = {(row.workflow_id, row.key): row for row in public.select_related("workflow")}
    since = timezone.now() - timedelta(days=7)
    told = firings.filter(at__gt=since).order_by().values("workflow_id", "trigger_key", "outcome")
    counts: dict[tuple[uuid.UUID, str], tuple[int, datetime | None]] = {}
    for row in told.annotate(many=Count("pk"), newest=Max("at")):
        place = (row["workflow_id"], row["trigger_key"])
        many, newest = counts.get(place, (0, None))
        started = row["many"] if row["outcome"] == Firing.Outcome.STARTED else 0
        counts[place] = (many + started, max(filter(None, (newest, row["newest"]))))
    found = [
        _view(in_draft.get(place), published.get(place), *counts.get(place, (0, None)))
        for place in dict.fromkeys((*published, *in_draft))
    ]
    return sorted(found, key=lambda one: (one.workflow.casefold(), one.title))


def _view(
    draft: Trigger | None, live: PublishedTrigger | None, week: int, last: datetime | None
) -> TriggerView:
    row = draft or live
    assert row is not None
    kind = registry.find(row.type)
    label, icon = (
        (kind.label, kind.icon) if kind is not None else _LATER.get(row.type, (row.type.title(), "zap"))
    )
    given = row.config.get("event")
    names = given if isinstance(given, list) else [given] if given else []
    if kind is None:
        state = "later"
    elif live is None:
        state = "draft"
    elif row.workflow.status != Workflow.Status.ACTIVE:
        state = "resting"
    else:
        state = "off" if live.paused_at or live.config.get("paused") else "on"
    return TriggerView(
        workflow_id=row.workflow_id,
        workflow=row.workflow.name,
        key=row.key,
        kind=label,
        icon=icon,
        names=tuple(str(name) for name in names),
        filter=str(row.config.get("filter") or ""),
        state=state,
        changed=draft is not None
        and live is not None
        and (draft.config, draft.input_mapping) != (live.config, live.input_mapping),
        leaving=draft is None,
        week=week,
        last=last,
        config=row.config,
        mapping=row.input_mapping,
        live=(live.config, live.input_mapping) if live is not None else None,
    )


def the_trigger(tenant: Tenant, workflow: uuid.UUID, key: str) -> TriggerView | None:
    """One trigger of this tenant; None where there is none."""
    return next((one for one in triggers_of(tenant, workflow) if one.key == key), None)


def firings_of(tenant: Tenant, trigger: TriggerView) -> list[Firing]:
    """Its newest answers, with event and run. One query."""
    found = Firing.objects.for_tenant(tenant).filter(workflow_id=trigger.workflow_id, trigger_key=trigger.key)
    return list(found.select_related("event", "run").order_by("-at")[:_SHOWN])


def sample_event(tenant: Tenant, names: Iterable[str], fields: Iterable[str]) -> tuple[str, object]:
    """(name, data) to try a trigger with: the newest event that it takes in, else one made of these input fields."""
    wanted = [name for name in names if name]
    newest = DomainEvent.objects.for_tenant(tenant).order_by("-created_at").only("name", "data")
    for event in newest[:_LOOKED_AT]:
        if any(takes_in(name, event.name) for name in wanted):
            return event.name, event.data
    name = (wanted or ["crm/lead.changed"])[0].replace("*", "sample")
    return name, dict.fromkeys(fields, "") if not name.startswith(OWN) else {}
