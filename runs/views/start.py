"""Starting a run by hand: the workflow's input form, as a page or as a dialog over the builder."""

from __future__ import annotations

import json
import uuid
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from runs.forms.start import StartForm
from runs.models import Run
from runs.services.start_run import start_run
from workflows.definition.diff import changes
from workflows.definition.graph import Definition
from workflows.lib.errors import NotFound, StepwellError
from workflows.models import SampleInput, Workflow, WorkflowVersion
from workflows.services.definitions import load_definition
from workflows.services.drafts import compile_draft
from workflows.services.samples import find_sample, samples_of, save_sample
from workflows.tenancy.access import NOT_FOUND, TenantRequest, get_or_404, permission_required
from workflows.tenancy.roles import Permission


@require_http_methods(["GET", "POST"])
@permission_required(Permission.RUN)
def start(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """GET: the form for the latest version, or with `?version=draft` for the draft, filled in with `?sample=`.

    POST: start, then to the run; with `act` fill: the form with the `sample` chosen in it, save: keep what was filled in
    as a sample called `sample_name`.
    """
    workflow = get_or_404(Workflow.objects.filter(deleted_at__isnull=True), request.actor, pk, Permission.RUN)
    sent = request.POST if request.method == "POST" else None
    chosen = str((sent or request.GET).get("version", "")) or (
        str(workflow.latest_version) if workflow.latest_version else "draft"
    )
    definition = _definition(workflow, chosen)
    act = sent.get("act", "") if sent is not None else "fill"
    said = (sent or request.GET).get("sample", "")
    last = _last_input(workflow)
    sample = find_sample(workflow, said) if said else samples_of(workflow).first() if last is None else None
    given = sample.input if sample is not None else last or {}
    form = StartForm(
        None if act == "fill" else sent,
        definition=definition,
        may_yolo=request.actor.may(Permission.REVIEW),
        initial={"version": chosen, **{f"input_{name}": value for name, value in given.items()}},
    )
    if sent is None or act == "fill":
        return _shown(request, workflow, form, chosen, 200, sample)
    if not form.is_valid():
        return _shown(request, workflow, form, chosen, 422, sample)
    if act == "save" or sent.get("sample_name", "").strip():
        problem = _save(request, workflow, form, definition)
        if problem is not None:
            return _shown(request, workflow, form, chosen, 422, sample, problem)
    if act == "save":
        return _saved(request, workflow, form, chosen)
    try:
        run = start_run(
            workflow=workflow,
            actor=request.actor,
            input_data=form.input_data(),
            version=form.wanted_version(),
            test=form.cleaned_data["test"],
            yolo=form.yolo_choice(),
            breakpoints=form.cleaned_data["stops"],
            idempotency_key=sent.get("once", "")[:255],
        )
    except StepwellError as error:
        form.refuse(error)
        return _shown(request, workflow, form, chosen, error.status, sample)
    if request.htmx:
        response = HttpResponse(status=204)
        response["HX-Redirect"] = reverse("runs:detail", args=[run.pk])
        return response
    return redirect("runs:detail", run.pk)


def _definition(workflow: Workflow, chosen: str) -> Definition:
    """What the form asks for: the chosen version's input variables. NotFound for a version that is not there."""
    if chosen == "draft":
        return compile_draft(workflow)
    found = (
        WorkflowVersion.objects.filter(
            workflow=workflow, tenant_id=workflow.tenant_id, number=int(chosen)
        ).first()
        if chosen.isdecimal() and len(chosen) < 10
        else None
    )
    if found is None:
        raise NotFound(NOT_FOUND)
    return load_definition(found)


def _draft_differs(workflow: Workflow) -> bool:
    """Whether the draft does anything else than the newest version; places on the canvas do not count."""
    newest = WorkflowVersion.objects.filter(
        workflow=workflow, tenant_id=workflow.tenant_id, number=workflow.latest_version
    ).first()
    if newest is None:
        return True
    found = changes(load_definition(newest), compile_draft(workflow))
    return any(not change.only_layout for change in found)


def _last_input(workflow: Workflow) -> dict[str, Any] | None:
    """What the newest run by hand was given, so that trying once more takes one press; None: there was none."""
    runs = Run.objects.filter(workflow=workflow, tenant_id=workflow.tenant_id, trigger_type="manual")
    found = runs.order_by("-created_at").values_list("input", flat=True).first()
    if found is None:
        return None
    # A value that was too large for the row is not brought back.
    return {
        name: value for name, value in found.items() if not (isinstance(value, dict) and "$blob" in value)
    }


def _save(request: TenantRequest, workflow: Workflow, form: StartForm, definition: Definition) -> str | None:
    """Keep what was filled in as a sample. What is wrong with its name, or "" for what the form's fields say; None: done."""
    try:
        save_sample(
            workflow=workflow,
            actor=request.actor,
            name=request.POST.get("sample_name", ""),
            data=form.input_data(),
            definition=definition,
        )
    except StepwellError as error:
        if error.status in (403, 404):
            raise
        if not error.problems or any(one.path == "name" for one in error.problems):
            return error.message
        form.refuse(error)
        return ""
    return None


def _saved(request: TenantRequest, workflow: Workflow, form: StartForm, chosen: str) -> HttpResponse:
    """The form as it was, with the new sample chosen in it."""
    sample = find_sample(workflow, request.POST.get("sample_name", ""))
    said = f"“{sample}” is kept as a sample."
    if not request.htmx:
        messages.success(request, said)
        query = urlencode({"version": chosen, "sample": str(sample.pk) if sample is not None else ""})
        return redirect(f"{reverse('runs:start', args=[workflow.pk])}?{query}")
    response = _shown(request, workflow, form, chosen, 200, sample)
    response["HX-Trigger"] = json.dumps({"toast": {"text": said}})
    return response


def _shown(
    request: TenantRequest,
    workflow: Workflow,
    form: StartForm,
    chosen: str,
    status: int,
    sample: SampleInput | None = None,
    sample_problem: str = "",
) -> HttpResponse:
    context: dict[str, Any] = {
        "section": "workflows",
        "workflow": workflow,
        "form": form,
        "chosen": chosen,
        # A second press of the button gives the same run.
        "once": request.POST.get("once") or uuid.uuid4().hex,
        "draft_differs": chosen == "draft" or _draft_differs(workflow),
        "samples": list(samples_of(workflow)),
        "sample": sample,
        "has_run": Run.objects.filter(
            workflow=workflow, tenant_id=workflow.tenant_id, trigger_type="manual"
        ).exists(),
        "sample_problem": sample_problem,
        "sample_name": request.POST.get("sample_name", "") if sample_problem else "",
        "may_save": request.actor.may(Permission.EDIT_WORKFLOWS) and bool(form.asked()),
        "open": True,
        "dialog_id": "start-run",
    }
    return render(
        request, "runs/_start_dialog.html" if request.htmx else "runs/start.html", context, status=status
    )
