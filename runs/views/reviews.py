"""Pages of reviews: what waits, what was decided, one gate, and the decision itself (by POST only)."""

from __future__ import annotations

import json
import uuid
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from runs.forms.reviews import DecisionForm, DeskForm
from runs.models import Review, Run
from runs.selectors import decided_reviews
from runs.services.decide_review import decide_review
from runs.services.review_desk import Desk, DeskFilter, desk, desk_order
from runs.services.viewing import viewer_of
from runs.snapshots import RunSnapshot, run_snapshot
from runs.snapshots.values import as_json, output_view, unpacked
from runs.snapshots.words import decided, text_of
from workflows.lib.errors import Conflict, Invalid, NotAllowed
from workflows.lib.worddiff import changes_in, word_diff
from workflows.tenancy.access import TenantRequest, get_or_404, permission_required, tenant_required
from workflows.tenancy.roles import Permission

PAGE = 25


@require_GET
@tenant_required
def index(request: TenantRequest) -> HttpResponse:
    if request.GET.get("show") == "decided":
        page = Paginator(decided_reviews(request.tenant), PAGE).get_page(request.GET.get("page"))
        entries = [(review, decided(review)) for review in page.object_list]
        return render(
            request, "reviews/decided.html", {"section": "reviews", "page": page, "entries": entries}
        )
    found = desk(request.actor, DeskForm(request.GET).wanted())
    context = _inbox(found)
    if found.entries:
        context |= _pane(request, found.entries[0].review, found)
    template = "reviews/_list.html" if request.GET.get("part") == "list" else "reviews/index.html"
    return render(request, template, context)


def _inbox(found: Desk) -> dict[str, Any]:
    asked = {"show": found.filter.show, "workflow": str(found.filter.workflow or "")}
    query = urlencode({name: value for name, value in asked.items() if value})
    return {
        "section": "reviews",
        "desk": found,
        "mine": found.mine,
        "others": found.others,
        "query": f"?{query}" if query else "",
    }


def _run_of(review: Review) -> Run:
    return (
        Run.objects.filter(tenant_id=review.tenant_id)
        .select_related("workflow", "version", "started_by", "api_key")
        .defer("version__document", "workflow__settings")
        .get(pk=review.run_id)
    )


def _pane(request: TenantRequest, review: Review, found: Desk, **said: Any) -> dict[str, Any]:
    """One gate with what led to it. `said`: what a refused decision had said."""
    before, after = found.beside(review.pk)
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
        "diff": word_diff(text_of(content) or "", text_of(review.edited) or "")
        if review.edited is not None and text_of(content) is not None
        else None,
        "before": before,
        "after": after,
        "of_run": found.by_run.get(review.run_id, 0),
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
    found = desk(request.actor, DeskForm(request.GET).wanted())
    context = {**_inbox(found), **_pane(request, review, found), "alone": True}
    template = "reviews/_pane.html" if request.GET.get("part") == "pane" else "reviews/index.html"
    return render(request, template, context)


@require_POST
@permission_required(Permission.REVIEW)
def decide(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """Decide once. Refused ones answer with the gate and everything that was written: 409 late, 422 wrong, 403 not theirs."""
    review = get_review(request, pk, Permission.REVIEW)
    form = DecisionForm(request.POST, review=review)
    if not form.is_valid():
        return refused(request, review, form.problem, 422)
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
            to_step=data["to_step"] or None,
        )
    except (Conflict, Invalid, NotAllowed) as error:
        review.refresh_from_db()
        return refused(request, review, error.message, error.status)
    # The title is last: it may end in a question mark.
    done = f"{decided(review).split(' by ')[0] or 'Your vote is counted'}: {review.title}"
    if request.htmx:
        response = HttpResponse(status=204)
        response["HX-Trigger"] = json.dumps({"toast": {"text": done}})
        return response
    messages.success(request, done)
    if data.get("back") != "inbox":
        return redirect("runs:detail", review.run_id)
    # The next one, while it waits; so a morning's reviews are one form after the other, also without script.
    follows = request.POST.get("next", "")
    if follows in {str(pk) for pk in desk_order(request.actor, DeskFilter())}:
        return redirect("reviews:detail", follows)
    return redirect("reviews:index")


def refused(request: TenantRequest, review: Review, problem: str, status: int) -> HttpResponse:
    """The gate again with what was written and why it was not taken."""
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
    found = desk(request.actor, DeskFilter())
    context = {**_pane(request, review, found, **said), "alone": True}
    if request.htmx:
        return render(request, "reviews/_refused.html", context, status=status)
    return render(request, "reviews/index.html", {**_inbox(found), **context}, status=status)


@require_POST
@permission_required(Permission.REVIEW)
def changes(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """What somebody's version changes, word by word. Nothing is kept: POST because a text has no room in an address."""
    review = get_review(request, pk, Permission.REVIEW)
    content = unpacked(review.content, _run_of(review))
    original = text_of(content)
    edited = request.POST.get("edited", "").replace("\r\n", "\n")
    diff = word_diff(original if original is not None else as_json(content), edited)
    said = {"diff": diff, "changed": changes_in(diff)}
    if request.htmx:
        return render(request, "reviews/_changes.html", said)
    kept = {"comment": request.POST.get("comment", ""), "edited": edited, "show_changes": True, **said}
    found = desk(request.actor, DeskFilter())
    context = {**_inbox(found), **_pane(request, review, found, **kept), "alone": True}
    return render(request, "reviews/index.html", context)
