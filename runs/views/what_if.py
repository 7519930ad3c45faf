"""A finished run once more with something changed, two runs side by side, and taking over what was better."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from runs.forms.debug import WhatIfForm
from runs.models import Run
from runs.services.replay_run import adopt_as_draft, replay_run
from runs.services.viewing import known_models
from runs.snapshots.compare import compared, others_of, partner_of
from runs.snapshots.definitions import definitions_of, step_type_of
from runs.views.acting import control, get_run
from workflows.lib.errors import Conflict, Invalid, NotFound, StepwellError
from workflows.steps.fields import config_fields
from workflows.tenancy.access import NOT_FOUND, TenantRequest, permission_required, tenant_required
from workflows.tenancy.roles import Permission


@require_POST
@permission_required(Permission.RUN)
def again(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """All of it again, as it was."""
    return control(
        request,
        pk,
        lambda run: replay_run(run=run, actor=request.actor),
        "A new run does it again",
        Permission.RUN,
    )


@require_http_methods(["GET", "POST"])
@permission_required(Permission.RUN)
def what_if(request: TenantRequest, pk: uuid.UUID, key: str) -> HttpResponse:
    """GET: the step's settings and the run's input, to change. POST: the new run, linked to this one."""
    run = get_run(request, pk, Permission.RUN)
    definition = definitions_of({run.version_id})[run.version_id]
    kind = step_type_of(definition.step(key).type) if key in definition.by_key else None
    if kind is None:
        raise NotFound(NOT_FOUND)
    if not run.is_over:
        messages.error(request, f"{run} is under way; what if is asked of a run that is over.")
        return redirect("runs:detail", run.pk)
    step = definition.step(key)
    sent = request.POST if request.method == "POST" else None
    form = WhatIfForm(
        sent,
        step=step,
        settings=config_fields(kind.ConfigForm),
        definition=definition,
        given=run.input,
        models=known_models(),
    )
    status = 200
    if sent is not None and form.is_valid():
        wanted = form.cleaned_data
        try:
            made = replay_run(
                run=run,
                actor=request.actor,
                from_step=key,
                input_data=wanted["input_data"],
                config_overrides={key: wanted["overrides"]},
                breakpoints=[key] if wanted["stop"] else (),
            )
        except StepwellError as error:
            status = error.status
            for problem in error.problems:
                name = f"set_{problem.field}" if problem.step else f"input_{problem.field}"
                fix = f" {problem.fix}" if problem.fix else ""
                form.add_error(name if name in form.fields else None, f"{problem.says}{fix}")
            if not error.problems:
                form.add_error(None, error.message)
        else:
            return redirect("runs:detail", made.pk)
    elif sent is not None:
        status = 422
    context = {"section": "runs", "run": run, "step": step, "form": form, "icon": kind.icon}
    return render(request, "runs/what_if.html", context, status=status)


@require_GET
@tenant_required
def compare(request: TenantRequest) -> HttpResponse:
    """`?a=&b=`: two runs of one workflow; with one of them the other is its origin, else the run before it."""
    a, b = (_named(request, name) for name in ("a", "b"))
    given = b or a
    if given is None:
        return render(request, "runs/compare.html", {"section": "runs"})
    if a is None or b is None:
        a, b = partner_of(given), given
    if a is not None and a.workflow_id != b.workflow_id:
        raise NotFound(NOT_FOUND)
    context: dict[str, Any] = {
        "section": "runs",
        "a": a,
        "b": b,
        "found": compared(a, b) if a is not None else None,
        "others": others_of(b),
        "may_adopt": bool(b.overrides) and request.actor.may(Permission.EDIT_WORKFLOWS),
    }
    return render(request, "runs/compare.html", context)


def _named(request: TenantRequest, name: str) -> Run | None:
    try:
        return get_run(request, uuid.UUID(request.GET[name]))
    except KeyError:
        return None
    except ValueError:
        raise NotFound(NOT_FOUND) from None


@require_POST
@permission_required(Permission.EDIT_WORKFLOWS)
def adopt(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """What a replay ran with becomes the draft's settings."""
    run = get_run(request, pk, Permission.EDIT_WORKFLOWS)
    try:
        adopt_as_draft(run=run, actor=request.actor)
    except (Conflict, Invalid) as error:
        messages.error(request, error.message)
        return redirect("runs:detail", run.pk)
    messages.success(request, f"The draft now has what run {run.number} ran with.")
    steps = list(run.overrides)
    return redirect(f"{reverse('workflows:builder', args=[run.workflow_id])}?open={steps[0]}")
