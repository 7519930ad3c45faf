"""What is made of a run: a workflow, a sample."""

from __future__ import annotations

import json
import uuid

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from runs.models import Run
from runs.services.sample_of_run import save_input_of_run
from runs.services.save_run_as_workflow import save_run_as_workflow
from workflows.lib.errors import Conflict, Invalid
from workflows.tenancy.access import TenantRequest, get_or_404, permission_required
from workflows.tenancy.roles import Permission


@require_POST
@permission_required(Permission.EDIT_WORKFLOWS)
def save_as_workflow(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """A new draft of what the run has executed, opened in the builder."""
    runs = Run.objects.select_related("workflow", "workflow__project", "version")
    run = get_or_404(runs, request.actor, pk, Permission.EDIT_WORKFLOWS)
    try:
        made = save_run_as_workflow(run=run, actor=request.actor, name=request.POST.get("name", ""))
    except (Conflict, Invalid) as error:
        messages.error(request, error.message)
        return redirect("runs:detail", run.pk)
    messages.success(request, f"“{made.name}” is made of run {run.number}, as a draft.")
    return redirect("workflows:builder", made.pk)


@require_POST
@permission_required(Permission.EDIT_WORKFLOWS)
def save_sample_of(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """The run's input as a sample of its workflow, called `name` (empty: after its words)."""
    runs = Run.objects.select_related("workflow", "version")
    run = get_or_404(runs, request.actor, pk, Permission.EDIT_WORKFLOWS)
    try:
        sample = save_input_of_run(run=run, actor=request.actor, name=request.POST.get("name", ""))
    except (Conflict, Invalid) as error:
        if request.htmx:
            response = HttpResponse(status=error.status)
            response["HX-Reswap"] = "none"
            response["HX-Trigger"] = json.dumps({"toast": {"text": error.message, "kind": "bad"}})
            return response
        messages.error(request, error.message)
        return redirect("runs:detail", run.pk)
    said = f"The input is kept as the sample “{sample.name}”."
    if request.htmx:
        address = reverse("workflows:sample", args=[run.workflow_id, sample.pk])
        undo = {"action": "Undo", "post": address, "values": {"act": "remove", "undo": "1"}}
        response = HttpResponse(status=204)
        response["HX-Trigger"] = json.dumps({"toast": {"text": said, **undo}})
        return response
    messages.success(request, said)
    return redirect("runs:detail", run.pk)
