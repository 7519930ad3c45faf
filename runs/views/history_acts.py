"""What is done on the history's page: news of runs, controls for many, saved views, how long runs are kept."""

from __future__ import annotations

import uuid
from typing import Any, cast

from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from runs.forms.history import BulkForm, HistoryForm, RetentionForm
from runs.models import Run, SavedView
from runs.selectors import matching_runs, runs_of
from runs.services.control_many import Deed, control_many
from runs.services.retention import policy_of, set_retention
from runs.services.saved_views import default_view, save_view
from runs.views.history import rows_of
from workflows.lib.errors import NotFound, StepwellError
from workflows.tenancy.access import (
    NOT_FOUND,
    TenantRequest,
    get_or_404,
    permission_required,
    tenant_required,
)
from workflows.tenancy.roles import Permission

MOST_ROWS = 30
MOST_COUNTED = 100


def _back(query: str) -> HttpResponse:
    """To the history with these filters, which are read anew and never trusted as an address."""
    return redirect(f"{reverse('runs:index')}?{QueryDict(query[:2_000]).urlencode() or 'view=all'}")


def _filters(request: TenantRequest) -> HistoryForm:
    return HistoryForm(QueryDict(request.POST.get("query", "")[:2_000]), tenant=request.tenant)


@require_GET
@tenant_required
def news(request: TenantRequest) -> HttpResponse:
    """How many runs above the number `above` match, and the rows of the runs named in `changed`: a fragment for script."""
    form = HistoryForm(request.GET, tenant=request.tenant)
    wanted = form.wanted()
    above = request.GET.get("above", "")
    fresh = 0
    if above.isdecimal() and len(above) < 19:
        newer = Run.objects.for_tenant(request.tenant).filter(number__gt=int(above))
        found = matching_runs(newer, request.tenant, wanted).order_by()
        fresh = len(found.values_list("pk")[:MOST_COUNTED])
    ids = []
    for text in request.GET.get("changed", "").split(",")[:MOST_ROWS]:
        try:
            ids.append(uuid.UUID(text))
        except ValueError:
            continue
    # Named by the page, so first which of them are the tenant's.
    own = list(Run.objects.filter(pk__in=ids, tenant_id=request.tenant.pk).values_list("pk", flat=True))
    runs = list(runs_of(request.tenant, own).order_by()) if own else []
    context = {
        "fresh": fresh,
        "many": fresh >= MOST_COUNTED,
        "rows": rows_of(runs),
        "address": form.address(),
        "may_control": request.actor.may(Permission.CONTROL_RUNS),
    }
    return render(request, "runs/_history_news.html", context)


@require_POST
@permission_required(Permission.CONTROL_RUNS)
def bulk(request: TenantRequest) -> HttpResponse:
    """Retry or cancel the picked runs, or all that match (at most control_many.AT_ONCE of them)."""
    form = BulkForm(request.POST)
    query = request.POST.get("query", "")
    if not form.is_valid():
        messages.error(request, "Choose runs first, and what to do with them.")
        return _back(query)
    everything = form.cleaned_data["all"]
    done = control_many(
        actor=request.actor,
        deed=cast(Deed, form.cleaned_data["act"]),
        picked=form.cleaned_data["run"],
        matching=_filters(request).wanted() if everything else None,
    )
    verb = "tried again" if form.cleaned_data["act"] == "retry" else "cancelled"
    words = [f"{done.done} run{'s are' if done.done != 1 else ' is'} being {verb}."]
    words += [
        f"{many} left as {'they are' if many > 1 else 'it is'}: {why}" for why, many in done.refused.items()
    ]
    if done.left:
        words.append(f"{done.left:,} more match: do it again for the next ones.")
    if not done.done and not done.refused:
        words = [f"None of these can be {verb}."]
    (messages.success if done.done else messages.warning)(request, " ".join(words))
    return _back(query)


@require_POST
@tenant_required
def views(request: TenantRequest) -> HttpResponse:
    """One's own saved views: `act` is save (name, query, default), default or delete (view)."""
    act, query = request.POST.get("act", ""), request.POST.get("query", "")
    if act == "save":
        form = _filters(request)
        try:
            view = save_view(
                actor=request.actor,
                name=request.POST.get("name", ""),
                query=form.address(),
                default=bool(request.POST.get("default")),
            )
            messages.success(request, f"“{view.name}” is kept among your views.")
        except StepwellError as error:
            messages.error(request, error.message)
        return _back(query)
    mine = SavedView.objects.filter(user=request.user)
    view = get_or_404(mine, request.actor, request.POST.get("view", ""))
    if act == "delete":
        view.delete()
        messages.success(request, f"“{view.name}” is removed.")
    elif act == "default":
        default_view(view=view, actor=request.actor)
        first = "what you see first" if view.is_default else "no longer what you see first"
        messages.success(request, f"“{view.name}” is {first}.")
    else:
        raise NotFound(NOT_FOUND)
    return _back(query)


@require_http_methods(["GET", "POST"])
@tenant_required
def retention(request: TenantRequest) -> HttpResponse:
    """How long this workspace keeps its runs: everybody sees it, who manages people sets it."""
    policy = policy_of(request.tenant)
    form = RetentionForm(initial={"runs_days": policy.runs_days, "texts_days": policy.texts_days})
    if request.method == "POST":
        request.actor.require(Permission.MANAGE_PEOPLE)
        form = RetentionForm(request.POST)
        if form.is_valid():
            set_retention(actor=request.actor, **form.cleaned_data)
            messages.success(request, "Kept. The first runs go within the hour.")
            return redirect("runs:retention")
    context: dict[str, Any] = {
        "section": "runs",
        "form": form,
        "policy": policy,
        "may_set": request.actor.may(Permission.MANAGE_PEOPLE),
        "oldest": Run.objects.for_tenant(request.tenant).order_by("created_at").only("created_at").first(),
        "now": timezone.now(),
    }
    return render(request, "runs/retention.html", context, status=422 if form.errors else 200)
