"""Pages of reviews: what waits, what was decided, one gate, and the decision itself (by POST only)."""

from __future__ import annotations

import json
import uuid
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from runs.forms import DecisionForm
from runs.models import Review, Run
from runs.selectors import decided_reviews, open_reviews, people
from runs.services.decide_review import decide_review
from runs.services.viewing import is_for, viewer_of
from runs.snapshots import RunSnapshot, run_snapshot
from runs.snapshots.items import item_names
from runs.snapshots.run import output_view, unpacked
from runs.snapshots.words import decided, one_line, text_of
from workflows.lib.errors import Conflict, Invalid, NotAllowed
from workflows.tenancy.access import TenantRequest, get_or_404, permission_required, tenant_required
from workflows.tenancy.roles import Permission

PAGE = 25
# The inbox is worked off, not browsed: what is older than these is reached when they are decided.
_WAITING = 200


@require_GET
@tenant_required
def index(request: TenantRequest) -> HttpResponse:
    if request.GET.get("show") == "decided":
        page = Paginator(decided_reviews(request.tenant), PAGE).get_page(request.GET.get("page"))
        entries = [(review, decided(review)) for review in page.object_list]
        return render(
            request, "reviews/decided.html", {"section": "reviews", "page": page, "entries": entries}
        )
    context = _inbox(request)
    chosen = context["mine"] or context["others"]
    if chosen:
        context |= _pane(request, chosen[0]["review"])
    return render(request, "reviews/index.html", context)


def _inbox(request: TenantRequest) -> dict[str, Any]:
    """The waiting gates in two groups: for this person, and for others. Two queries at most."""
    waiting = list(open_reviews(request.tenant)[:_WAITING])
    items = item_names(waiting)
    entries = [
        {
            "review": review,
            "item": items.get(review.pk, ""),
            "line": review.instructions or one_line(text_of(review.content)),
            "mine": is_for(review, request.actor),
            "who": people(review.assignees),
        }
        for review in waiting
    ]
    return {
        "section": "reviews",
        "mine": [entry for entry in entries if entry["mine"]],
        "others": [entry for entry in entries if not entry["mine"]],
    }


def _run_of(review: Review) -> Run:
    return (
        Run.objects.filter(tenant_id=review.tenant_id)
        .select_related("workflow", "version", "started_by", "api_key")
        .defer("version__document", "workflow__settings")
        .get(pk=review.run_id)
    )


def _pane(request: TenantRequest, review: Review, **said: Any) -> dict[str, Any]:
    """One gate with what led to it. `said`: what a refused decision had said."""
    run = _run_of(review)
    snapshot = run_snapshot(run, gate=review.pk)
    gate = next((gate for gate in snapshot.gates if gate.id == review.pk), None)
    content = unpacked(review.content, run)
    return {
        "review": review,
        "run": snapshot,
        "gate": gate,
        "viewer": viewer_of(snapshot, request.actor),
        "led_here": _led_here(snapshot, review),
        "decision": decided(review) if review.status == Review.Status.DECIDED else "",
        "original": output_view(content),
        "edited_output": output_view(review.edited) if review.edited is not None else None,
        **said,
    }


def _led_here(snapshot: RunSnapshot, review: Review) -> list[Any]:
    """Finished steps above the gate, nearest first, the last five."""
    keys = [row.key for row in snapshot.rows]
    key = review.step_run.step_key if review.step_run is not None else ""
    place = keys.index(key) if key in keys else len(keys)
    return [row for row in snapshot.rows[:place] if row.status == "completed"][-5:]


def get_review(request: TenantRequest, pk: uuid.UUID, permission: Permission = Permission.VIEW) -> Review:
    return get_or_404(
        Review.objects.select_related("run", "step_run", "workflow", "decided_by"),
        request.actor,
        pk,
        permission,
    )


@require_GET
@tenant_required
def detail(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    review = get_review(request, pk)
    context = {**_inbox(request), **_pane(request, review), "alone": True}
    return render(request, "reviews/index.html", context)


@require_POST
@permission_required(Permission.REVIEW)
def decide(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """Decide once. Refused ones answer with the gate and everything that was written: 409 late, 422 wrong, 403 not theirs."""
    review = get_review(request, pk, Permission.REVIEW)
    form = DecisionForm(request.POST, review=review)
    if not form.is_valid():
        return _refused(request, review, form.problem, 422)
    data = form.cleaned_data
    try:
        review = decide_review(
            review=review,
            actor=request.actor,
            decision=data["decision"],
            comment=data["comment"],
            edited_text=data["edited_text"],
            output=data["output"],
            fields=form.values() or None,
        )
    except (Conflict, Invalid, NotAllowed) as error:
        review.refresh_from_db()
        return _refused(request, review, error.message, error.status)
    # The title is last: it may end in a question mark.
    done = f"{decided(review).split(' by ')[0] or 'Your vote is counted'}: {review.title}"
    if request.htmx:
        response = HttpResponse(status=204)
        response["HX-Trigger"] = json.dumps({"toast": {"text": done}})
        return response
    messages.success(request, done)
    return (
        redirect("reviews:index") if data.get("back") == "inbox" else redirect("runs:detail", review.run_id)
    )


def _refused(request: TenantRequest, review: Review, problem: str, status: int) -> HttpResponse:
    values = {
        str(field.get("name")): request.POST.get(f"field_{field.get('name')}", "") for field in review.fields
    }
    edited = request.POST.get("edited", "").replace("\r\n", "\n")
    said = {
        "problem": problem,
        "comment": request.POST.get("comment", ""),
        "edited": edited if edited != text_of(review.content) else "",
        "values": values,
        "back": request.POST.get("back", ""),
    }
    context = {**_pane(request, review, **said), "alone": True}
    if request.htmx:
        return render(request, "reviews/_refused.html", context, status=status)
    return render(request, "reviews/index.html", {**_inbox(request), **context}, status=status)
