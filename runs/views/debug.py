"""Looking into a run: one step more, breakpoints, as far as a step, and changes of its data while it is held."""

from __future__ import annotations

import uuid

from django.http import HttpResponse
from django.views.decorators.http import require_POST

from runs.engine.scopes import Place
from runs.forms.debug import EditForm
from runs.models import Run
from runs.services.debug_run import (
    edit_input,
    edit_output,
    edit_variable,
    run_to,
    step_run,
    toggle_breakpoint,
)
from runs.services.retry_items import retry_items, stop_items
from runs.snapshots.item import parse_scope
from runs.views.acting import control, get_run
from workflows.tenancy.access import TenantRequest, permission_required
from workflows.tenancy.roles import Permission


@require_POST
@permission_required(Permission.CONTROL_RUNS)
def step_once(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    return control(
        request, pk, lambda run: step_run(run=run, actor=request.actor), "One step, then the run is held"
    )


@require_POST
@permission_required(Permission.CONTROL_RUNS)
def breakpoint_at(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """Set a breakpoint before the step `toggle`, or take it away; with `run_to` go on as far as that step."""
    step, goal = (request.POST.get(name, "").strip()[:64] for name in ("toggle", "run_to"))
    if goal:
        return control(
            request,
            pk,
            lambda run: run_to(run=run, actor=request.actor, step=goal),
            "The run goes on as far as this step",
        )
    return control(
        request,
        pk,
        lambda run: toggle_breakpoint(run=run, actor=request.actor, step=step),
        "Breakpoint changed",
    )


@require_POST
@permission_required(Permission.CONTROL_RUNS)
def edit(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """Change a variable, an input or an output of a run that is held."""
    form = EditForm(request.POST)
    if not form.is_valid():
        get_run(request, pk, Permission.CONTROL_RUNS)
        message = next(iter(form.errors.values()))[0]
        return HttpResponse(message, status=422, content_type="text/plain; charset=utf-8")
    wanted = form.cleaned_data

    def change(run: Run) -> Run:
        if wanted["what"] == "variable":
            return edit_variable(run=run, actor=request.actor, name=wanted["name"], value=wanted["value"])
        if wanted["what"] == "input":
            return edit_input(run=run, actor=request.actor, step=wanted["step"], value=wanted["value"])
        return edit_output(
            run=run,
            actor=request.actor,
            step=wanted["step"],
            value=wanted["value"],
            rerun=wanted["rerun"],
        )

    return control(request, pk, change, "Changed")


@require_POST
@permission_required(Permission.CONTROL_RUNS)
def items_act(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """`retry=KEY`: the failed items again; `stop=SCOPE.KEY`: end what is left; `skip=SCOPE`: leave one item out."""
    retry, stop, skip = (request.POST.get(name, "").strip()[:320] for name in ("retry", "stop", "skip"))
    if retry:
        return control(
            request,
            pk,
            lambda run: retry_items(run=run, actor=request.actor, step=retry),
            "Trying the items again",
        )
    place = parse_scope(skip) if skip else None
    if place is not None:
        return control(
            request,
            pk,
            lambda run: _stopped(request, run, place.container, [place.index]),
            "The item is left out",
        )
    scope, _, key = stop.rpartition(".")
    return control(
        request, pk, lambda run: _stopped(request, run, Place(key, scope), None), "The rest is stopped"
    )


def _stopped(request: TenantRequest, run: Run, place: Place, items: list[int] | None) -> Run:
    stop_items(run=run, actor=request.actor, step=place.key, scope=place.scope, items=items)
    return run
