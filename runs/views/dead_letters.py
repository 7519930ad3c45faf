"""The dead letters: failed runs by their cause, looked into, tried again or discarded, one or all of a case."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_GET, require_POST

from runs.engine.cases import ACCOUNT_CODES
from runs.forms.failures import LettersActForm, LettersForm
from runs.services.dead_letters import BATCH, Done, discard_case, retry_case
from runs.services.model_offers import model_offers, other_model
from runs.snapshots.cases import (
    Case,
    asked_providers,
    case_is_known,
    cases_of,
    count_letters,
    found_letters,
    grouped,
    letters,
    letters_page,
    the_case,
)
from workflows.lib.errors import Conflict, Invalid, NotFound
from workflows.tenancy.access import NOT_FOUND, TenantRequest, permission_required, tenant_required
from workflows.tenancy.roles import Permission

CASES, RUNS = 10, 25


@require_GET
@tenant_required
def index(request: TenantRequest) -> HttpResponse:
    """Cases, newest first, with how many runs each has stopped."""
    form = LettersForm(request.GET, tenant=request.tenant)
    wanted = form.wanted()
    found = found_letters(request.tenant, wanted)
    page = Paginator(grouped(found, wanted.order), CASES).get_page(request.GET.get("page"))
    cases = cases_of(found, list(page.object_list))
    context = {
        "section": "dead_letters",
        "form": form,
        "wanted": wanted,
        "page": page,
        "cases": [(one, *models) for one, models in zip(cases, _other_models(request, cases), strict=True)],
        "letters": count_letters(request.tenant),
        "may_control": request.actor.may(Permission.CONTROL_RUNS),
        "batch": BATCH,
    }
    return render(request, "runs/dead_letters.html", context)


def _other_models(request: TenantRequest, cases: Sequence[Case]) -> list[tuple[str, str]]:
    """For each case the (ref, provider) that its runs can be retried with at once, where the one they asked refuses."""
    stopped = {one.letters[0].id: one.key for one in cases if one.code in ACCOUNT_CODES and not one.retryable}
    if not stopped:
        return [("", "")] * len(cases)
    asked = asked_providers(request.tenant, list(stopped))
    provider_of = {stopped[run]: provider for run, provider in asked.items()}
    offers = {provider: other_model(request.tenant, provider) for provider in set(provider_of.values())}
    return [offers.get(provider_of.get(one.key, ""), ("", "")) for one in cases]


@require_GET
@tenant_required
def case(request: TenantRequest, case: str) -> HttpResponse:
    """One case with all its runs, to be ticked. One that is through leads back to the list."""
    found = the_case(request.tenant, case)
    if found is None:
        if not case_is_known(request.tenant, case):
            raise NotFound(NOT_FOUND)
        messages.info(request, "Nothing of this case waits any more.")
        return redirect("runs:dead_letters")
    page = Paginator(letters_page(request.tenant, case), RUNS).get_page(request.GET.get("page"))
    newest = letters_page(request.tenant, case).first()
    offers = model_offers(newest, found.step_key) if newest is not None and found.step_key else []
    context: dict[str, Any] = {
        "section": "dead_letters",
        "case": found,
        "page": page,
        "rows": letters(page.object_list),
        "offers": offers,
        # Where the account refuses, the same model again is nobody's first choice.
        "best": next((one.ref for one in offers if not one.is_demo), "")
        if found.code in ACCOUNT_CODES and not found.retryable
        else "",
        "may_control": request.actor.may(Permission.CONTROL_RUNS),
        "batch": BATCH,
    }
    return render(request, "runs/dead_letter.html", context)


@require_POST
@permission_required(Permission.CONTROL_RUNS)
def retry(request: TenantRequest, case: str) -> HttpResponse:
    return _act(request, case, discard=False)


@require_POST
@permission_required(Permission.CONTROL_RUNS)
def discard(request: TenantRequest, case: str) -> HttpResponse:
    return _act(request, case, discard=True)


def _act(request: TenantRequest, case: str, *, discard: bool) -> HttpResponse:
    """One batch; what is left of it can be gone on with by one more press, which the page then shows."""
    if not case_is_known(request.tenant, case):
        raise NotFound(NOT_FOUND)
    form = LettersActForm(request.POST)
    back = _back(request, case)
    if not form.is_valid():
        messages.error(request, "These runs cannot be read; choose them again.")
        return redirect(back)
    data = form.cleaned_data
    chosen: list[uuid.UUID] | None = data["runs"] or None
    if "chosen" in request.POST and chosen is None:
        messages.error(request, "No run is chosen. Tick some first.")
        return redirect(back)
    common: dict[str, Any] = {"actor": request.actor, "case": case, "runs": chosen, "until": data["until"]}
    try:
        if discard:
            done = discard_case(reason=data["reason"], **common)
        else:
            done = retry_case(model=data["model"] or None, **common)
    except (Conflict, Invalid) as error:
        messages.error(request, error.message)
        return redirect(back)
    messages.success(request, _said(done, "discarded" if discard else "trying again"))
    for refusal in done.refused:
        messages.warning(request, refusal)
    return redirect(back if done.left or discard or chosen else reverse("runs:dead_letters"))


def _said(done: Done, what: str) -> str:
    """How many began, and how many are left for the next press."""
    runs = f"{done.runs:,} run{'s' if done.runs != 1 else ''} {what}"
    return f"{runs}; {done.left:,} of them wait still, press again for the next" if done.left else runs


def _back(request: TenantRequest, case: str) -> str:
    wanted = request.POST.get("next", "")
    if url_has_allowed_host_and_scheme(wanted, allowed_hosts=None) and wanted.startswith("/"):
        return wanted
    return reverse("runs:dead_letter", args=[case])
