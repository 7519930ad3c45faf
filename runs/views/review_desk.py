"""Pages beside the inbox: what is new, many gates of one run in a table, handing over, out of office."""

from __future__ import annotations

import json
import uuid
from http import HTTPStatus

from django.contrib import messages
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from runs.engine.scopes import indexes_of
from runs.forms.reviews import AbsenceForm, DeskForm, ManyForm
from runs.models import Run
from runs.selectors import open_reviews
from runs.services import reassign_review
from runs.services.absences import (
    absence_of,
    colleagues,
    end_absence,
    names_stood_for,
    set_absence,
    stands_in_for,
)
from runs.services.decide_review import decide_many
from runs.services.review_desk import desk_news
from runs.services.viewing import is_for
from runs.snapshots.items import item_names
from runs.snapshots.words import decided, one_line, text_of
from runs.views.reviews import get_review, refused
from workflows.lib.errors import Invalid, StepwellError
from workflows.tenancy.access import TenantRequest, get_or_404, permission_required, tenant_required
from workflows.tenancy.roles import Permission


@require_GET
@tenant_required
def news(request: TenantRequest) -> HttpResponse:
    """Ids of what waits, in the order of the list, and how many: an open inbox asks for it every few seconds. Three
    queries."""
    order, counts = desk_news(request.actor, DeskForm(request.GET).wanted())
    return JsonResponse({"open": [str(pk) for pk in order], "counts": counts})


@require_POST
@permission_required(Permission.REVIEW)
def hand_over(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """Let somebody else decide: by script 204 with what to say, or the gate again with what is wrong; else a redirect."""
    review = get_review(request, pk, Permission.REVIEW)
    to = reassign_review.person_called(request.actor, request.POST.get("to", ""))
    from_run = request.POST.get("back") == "run"
    try:
        if to is None:
            raise Invalid("Choose a person of this workspace.")
        note = request.POST.get("note", "").strip()[:500]
        reassign_review.hand_over(review=review, actor=request.actor, to=to, note=note)
    except StepwellError as error:
        if request.htmx:
            review.refresh_from_db()
            return refused(request, review, error.message, error.status)
        messages.error(request, error.message)
        return redirect("reviews:detail", pk)
    said = f"{to} decides now: {review.title}"
    if request.htmx:
        return HttpResponse(
            status=HTTPStatus.NO_CONTENT, headers={"HX-Trigger": json.dumps({"toast": {"text": said}})}
        )
    messages.success(request, said)
    if from_run:
        return redirect("runs:detail", review.run_id)
    return redirect("reviews:index")


@require_http_methods(["GET", "POST"])
@permission_required(Permission.REVIEW)
def table(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """Every gate of one run that waits for this person, with a decision per row or for all that are chosen."""
    run = get_or_404(
        Run.objects.select_related("workflow").defer("output", "input", "variables", "workflow__settings"),
        request.actor,
        pk,
        Permission.REVIEW,
    )
    waiting = list(open_reviews(request.tenant).filter(run=run).prefetch_related("votes"))
    away = stands_in_for(request.actor)
    user = request.actor.user
    mine = [
        review
        for review in waiting
        if is_for(review, request.actor, away)
        and not any(vote.person_id == (user.pk if user else None) for vote in review.votes.all())
    ]
    mine.sort(
        key=lambda one: (one.created_at, indexes_of(one.step_run.scope if one.step_run is not None else ""))
    )
    items = item_names(mine)
    results: list[tuple[str, str, bool]] = []
    problem = ""
    if request.method == "POST":
        done: set[uuid.UUID] = set()
        wanted = ManyForm(request.POST, reviews=mine).wanted()
        if not wanted and mine:
            problem = "Choose rows first, or say in a row what is decided."
        for review, error in decide_many(actor=request.actor, decisions=wanted):
            name = items.get(review.pk, "") or review.title
            results.append(
                (name, error.message if error else decided(review) or "Your vote is counted", not error)
            )
            if error is None or error.status == HTTPStatus.CONFLICT:
                done.add(review.pk)
        mine = [review for review in mine if review.pk not in done]
    buttons = {button["decision"]: button["label"] for review in mine for button in review.buttons}
    rows = [
        (review, items.get(review.pk, "") or review.title, one_line(text_of(review.content), 220))
        for review in mine
    ]
    context = {
        "section": "reviews",
        "run_row": run,
        "rows": rows,
        "buttons": list(buttons.items()),
        "results": results,
        "problem": problem,
        "went": sum(ok for _, _, ok in results),
        "others": len(waiting) - len(mine) - sum(ok for _, _, ok in results),
    }
    return render(request, "reviews/table.html", context, status=422 if problem else 200)


@require_http_methods(["GET", "POST"])
@permission_required(Permission.REVIEW)
def away(request: TenantRequest) -> HttpResponse:
    """Out of office: the person's own days and substitute in this workspace."""
    people = colleagues(request.actor)
    absence = absence_of(request.actor)
    if request.method == "POST" and "back" in request.POST:
        if end_absence(actor=request.actor):
            messages.success(request, "You are back. Reviews come to you again.")
        return redirect("reviews:away")
    initial = (
        {"first_day": absence.first_day, "last_day": absence.last_day, "substitute": absence.substitute}
        if absence is not None
        else None
    )
    form = AbsenceForm(request.POST or None, people=people, initial=initial)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            set_absence(
                actor=request.actor,
                substitute=data["substitute"],
                first_day=data["first_day"],
                last_day=data["last_day"],
            )
        except StepwellError as error:
            form.add_error(None, error.message)
        else:
            messages.success(request, f"{data['substitute']} decides your reviews on these days.")
            return redirect("reviews:away")
    stands_for = names_stood_for(request.actor)
    context = {"section": "reviews", "form": form, "absence": absence, "stands_for": stands_for}
    return render(request, "reviews/away.html", context, status=422 if form.errors else 200)
