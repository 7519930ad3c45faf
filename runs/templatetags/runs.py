"""Template tags about runs: their status, clocks, the last five beside a workflow, the count of reviews."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django import template
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from runs.engine.statuses import Intent, RunStatus
from runs.metrics.workflow_days import Month, months_of
from runs.models import Run
from runs.partials import Viewer
from runs.selectors import last_runs as newest_runs
from runs.selectors import unread_count
from runs.services.viewing import waiting_for
from runs.snapshots import Gate, Row, RunSnapshot
from runs.snapshots.cases import count_letters
from runs.snapshots.items import Cell, ItemsPage, ItemsView, first_page
from runs.snapshots.last_tests import LastTest, last_tests
from workflows.lib.jsontypes import JSONObject
from workflows.models import Workflow
from workflows.templatetags.ui import Look, format_duration, icon_html, look_of, rough_duration
from workflows.tenancy.models import Tenant

register = template.Library()


@register.simple_tag(name="last_tests")
def last_tests_of(workflow: Workflow) -> dict[str, LastTest]:
    """``{% last_tests workflow as lasts %}``: how each step went last time, by its key. Two queries, once per request."""
    known: dict[str, LastTest] | None = workflow.__dict__.get("_last_tests")
    if known is None:
        known = workflow.__dict__["_last_tests"] = last_tests(workflow)
    return known


@register.simple_tag(takes_context=True)
def last_test(context: template.Context, key: str) -> LastTest | None:
    """``{% last_test row.key as last %}``: of `lasts`, where they are there, else of the context's workflow."""
    lasts = context.get("lasts")
    return (lasts if lasts is not None else last_tests_of(context["workflow"])).get(key)


# --- looks -------------------------------------------------------------------------------------


def _look(run: Run | RunSnapshot) -> Look:
    """The look of a run: a person waited for shows before all else, then pausing and cancelling."""
    if isinstance(run, RunSnapshot):
        look = look_of(run.status, review=run.review and run.status_word == "Waiting for review", run=True)
        return Look(look.shape, look.icon, run.status_word) if run.status_word else look
    review = any(entry.get("kind") == "review" for entry in run.waiting_for)
    if run.intent == Intent.CANCEL and not RunStatus(run.status).is_over:
        return Look("cancel", "ban", "Cancelling")
    return look_of(run.status, review=review and run.intent != Intent.PAUSE, run=True)


@register.simple_tag
def failed_run(tenant: Tenant, workflow: uuid.UUID, given: str) -> Run | None:
    """The failed run of this workflow from whose page a person came to mend it; `given` is what the address says."""
    try:
        pk = uuid.UUID(given)
    except ValueError:
        return None
    found = Run.objects.for_tenant(tenant).filter(pk=pk, workflow_id=workflow, status=RunStatus.FAILED)
    return found.only("id", "number").first()


@register.simple_tag
def run_status(run: Run | RunSnapshot, pill: bool = False, word: bool = True) -> SafeString:
    """``{% run_status run pill=True %}``: shape, then word; takes a Run or a RunSnapshot."""
    look = _look(run)
    return format_html(
        '<span class="st{}" data-s="{}"{}>{}<span{}>{}</span></span>',
        " st--pill" if pill else "",
        look.shape,
        "" if word else format_html(' title="{}"', look.word),
        icon_html(look.icon, spin=look.shape == "running"),
        "" if word else format_html(' class="{}"', "vh"),
        look.word,
    )


@register.simple_tag
def run_word(run: Run | RunSnapshot) -> str:
    """The status of a run as a word in a sentence: ``Run 12, waiting for review``."""
    word = _look(run).word
    return word[:1].lower() + word[1:]


@register.simple_tag
def row_shape(row: Row) -> str:
    """The ``data-s`` of a step's row."""
    return look_of(row.status, retried=row.retried, review=row.review).shape


@register.simple_tag
def row_word(row: Row) -> str:
    return look_of(row.status, retried=row.retried, review=row.review).word


@register.simple_tag
def cell_shape(cell: Cell) -> str:
    """The ``data-s`` of an item."""
    return look_of(cell.status, retried=cell.retried, review=cell.review).shape


@register.simple_tag
def first_items(view: ItemsView) -> ItemsPage:
    """``{% first_items view as page %}``: the table of items before anybody has filtered it."""
    return first_page(view)


@register.simple_tag
def item_choices(view: ItemsView) -> list[tuple[str, str, int]]:
    """What the table of items can be narrowed to: (status, its word, how many)."""
    waiting = view.total - view.finished - view.running
    counts = [
        ("", "All", view.total),
        ("completed", "Succeeded", view.completed),
        ("failed", "Failed", view.failed),
        ("running", "Under way", view.running),
        ("pending", "Not started", waiting),
        ("cancelled", "Cancelled", view.cancelled),
    ]
    return [choice for choice in counts if choice[2] or not choice[0]]


@register.simple_tag
def items_address(run: Run | RunSnapshot, page: ItemsPage, number: int) -> str:
    """The address of another page of the same filtered items."""
    query = page.query
    wanted = {"scope": page.view.scope, "status": query.status, "q": query.text, "page": str(number)}
    said = urlencode({name: value for name, value in wanted.items() if value})
    return f"{reverse('runs:items', args=[run.pk if isinstance(run, Run) else run.id, page.view.key])}?{said}"


@register.simple_tag
def since(moment: datetime) -> str:
    """The time that has passed, in the words in which clock.js counts on."""
    ms = max(0.0, (timezone.now() - moment).total_seconds() * 1000)
    return f"{int(ms // 1000)} s" if ms < 60_000 else format_duration(ms)


@register.simple_tag
def late_by(moment: datetime) -> str:
    """How long something is overdue, in whole minutes."""
    return rough_duration(timezone.now() - moment)


@register.simple_tag
def gate_refusal(gate: Gate, viewer: Viewer) -> str:
    """Why the viewer may not decide the gate; empty when they may."""
    return viewer.refusals.get(gate.id, "")


@register.inclusion_tag("reviews/_field.html")
def gate_field(gate: Gate, field: JSONObject, values: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """One form field that a gate asks for: `{name, label, type, required, options}`."""
    name = str(field.get("name", ""))
    return {
        "id": f"gate-{gate.id}-{name}",
        "name": f"field_{name}",
        "label": field.get("label") or name,
        "type": field.get("type", "string"),
        "required": bool(field.get("required")),
        "options": field.get("options") or (),
        "value": (values or {}).get(name, field.get("default", "")),
    }


# --- beside a workflow ----------------------------------------------------------------------------


@register.simple_tag(takes_context=True)
def load_last_runs(context: template.Context, workflows: Iterable[Any]) -> str:
    """``{% load_last_runs page.object_list %}`` before a list: reads the last runs of all its workflows in one query."""
    tenant = _tenant(context)
    if tenant is not None:
        context.dicts[0]["_last_runs"] = newest_runs(tenant, [workflow.pk for workflow in workflows])
    return ""


@register.simple_tag(takes_context=True)
def runs_to_show(context: template.Context, workflow: Any) -> list[Run]:
    """``{% runs_to_show workflow as runs %}``: its ten newest runs, newest first, for the canvas's picker; one query."""
    tenant = _tenant(context)
    return newest_runs(tenant, [workflow.pk], 10).get(workflow.pk, []) if tenant is not None else []


@register.inclusion_tag("runs/_last_runs.html", takes_context=True)
def last_runs(context: template.Context, workflow: Any) -> dict[str, Any]:
    """``{% last_runs workflow %}``: its last five runs, oldest first, each a link; one query unless loaded before."""
    loaded: dict[Any, list[Run]] | None = context.get("_last_runs")
    if loaded is None or workflow.pk not in loaded:
        tenant = _tenant(context)
        loaded = newest_runs(tenant, [workflow.pk]) if tenant is not None else {}
    return {"runs": list(reversed(loaded.get(workflow.pk, []))), "workflow": workflow}


@dataclass(frozen=True, slots=True)
class DayBar:
    """One of the thirty tiny bars, in a box of 120 x 22: what completed below, what failed on top of it."""

    x: int
    ok: str
    bad: str
    ok_y: str
    bad_y: str


@dataclass(frozen=True, slots=True)
class ListedWorkflow:
    """A workflow as the list shows it; `last_runs` are up to five, newest first, `month` the figures of 30 days."""

    workflow: Any
    last_runs: list[Run]
    month: Month

    @property
    def success(self) -> float | None:
        return self.month.success

    @property
    def cost(self) -> Decimal | None:
        return self.month.cost

    @property
    def bars(self) -> list[DayBar]:
        highest = max(day.total for day in self.month.days)
        found = []
        for place, day in enumerate(self.month.days):
            if not day.total:
                continue
            ok, bad = (20 * many / highest for many in (day.completed, day.failed))
            # A day with one failure, or one run, is to be seen beside one with thousands.
            bad = max(bad, 3) if bad else 0
            ok = max(min(ok, 22 - bad), 2) if ok else 0
            found.append(
                DayBar(4 * place, f"{ok:.1f}", f"{bad:.1f}", f"{22 - ok:.1f}", f"{max(22 - ok - bad, 0):.1f}")
            )
        return found


@register.simple_tag(takes_context=True)
def with_runs(context: template.Context, workflows: Iterable[Any]) -> list[ListedWorkflow]:
    """``{% with_runs page.object_list as rows %}``: a page of workflows beside how their runs went, in four queries."""
    tenant, listed = _tenant(context), list(workflows)
    if tenant is None or not listed:
        return [ListedWorkflow(workflow, [], Month()) for workflow in listed]
    ids = [workflow.pk for workflow in listed]
    newest = newest_runs(tenant, ids)
    months = months_of(tenant, ids, timezone.now())
    return [ListedWorkflow(workflow, newest.get(workflow.pk, []), months[workflow.pk]) for workflow in listed]


@register.simple_tag(takes_context=True)
def dead_letter_count(context: template.Context) -> int:
    """``{% dead_letter_count as dead %}``: dead letters of the workspace. One query a page."""
    tenancy = getattr(context.get("request"), "tenancy", None)
    actor = getattr(tenancy, "actor", None)
    return count_letters(actor.tenant) if actor is not None else 0


@register.simple_tag(takes_context=True)
def reviews_waiting(context: template.Context) -> int:
    """``{% reviews_waiting as review_count %}``: gates that wait for the person who looks. One query."""
    request = context.get("request")
    tenancy = getattr(request, "tenancy", None)
    actor = getattr(request, "actor", None) or getattr(tenancy, "actor", None)
    return waiting_for(actor) if actor is not None else 0


@register.simple_tag(takes_context=True)
def notifications_unread(context: template.Context) -> int:
    """``{% notifications_unread as unread %}``: what the person who looks was told and has not read. One query."""
    actor = getattr(context.get("request"), "actor", None)
    return unread_count(actor) if actor is not None else 0


def _tenant(context: template.Context) -> Tenant | None:
    request = context.get("request")
    found: Tenant | None = getattr(request, "tenant", None)
    return found
