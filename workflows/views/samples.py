"""The samples of a workflow: the page with all of them, and what is done with one."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from workflows.definition.samples import sample_problems
from workflows.lib.errors import Invalid, Problem, StepwellError
from workflows.lib.jsontypes import JSONObject
from workflows.models import SampleInput, Workflow
from workflows.presenters.fields import FieldShown, fields_shown
from workflows.services.drafts import compile_draft
from workflows.services.samples import (
    remove_sample,
    rename_sample,
    restore_sample,
    samples_of,
    save_sample,
)
from workflows.tenancy.access import TenantRequest, get_or_404, permission_required, tenant_required
from workflows.tenancy.roles import Permission
from workflows.views.answers import may_edit, the_workflow

EDIT = Permission.EDIT_WORKFLOWS


@dataclass(frozen=True, slots=True)
class SampleRow:
    """One sample as it is listed: its values for reading, why the draft would not take it, what was just typed."""

    sample: SampleInput
    fields: tuple[FieldShown, ...]
    problems: tuple[Problem, ...]
    text: str
    refused: str = ""


@require_GET
@tenant_required
def index(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """Every sample by name; with htmx only the list."""
    return _list(request, the_workflow(request, pk))


@require_POST
@permission_required(EDIT)
def change(request: TenantRequest, pk: uuid.UUID, sample: uuid.UUID) -> HttpResponse:
    """POST `act`: rename (`name`), values (`input`, JSON), remove, restore."""
    workflow = the_workflow(request, pk, EDIT)
    rows = SampleInput.objects.filter(workflow=workflow).select_related("workflow")
    row = get_or_404(rows, request.actor, sample, EDIT)
    act, before = request.POST.get("act", ""), row.name
    undo: dict[str, str] = {}
    try:
        match act:
            case "rename":
                rename_sample(sample=row, actor=request.actor, name=request.POST.get("name", ""))
                said, undo = f"“{before}” is now “{row.name}”.", {"act": "rename", "name": before}
            case "values":
                data = _object(request.POST.get("input", ""))
                save_sample(workflow=workflow, actor=request.actor, name=row.name, data=data, replace=True)
                said = f"“{row.name}” has new values."
                undo = {"act": "values", "input": json.dumps(row.input, ensure_ascii=False)}
            case "remove":
                remove_sample(sample=row, actor=request.actor)
                said, undo = f"“{row.name}” is removed.", {"act": "restore"}
            case "restore":
                restore_sample(sample=row, actor=request.actor)
                said = f"“{row.name}” is there again."
            case _:
                raise Invalid("There is no such thing to do with a sample.")
    except StepwellError as error:
        if error.status in (403, 404):
            raise
        return _refused(request, workflow, row, error, act)
    if not request.htmx:
        messages.success(request, said)
        return redirect("workflows:samples", workflow.pk)
    toast: dict[str, Any] = {"text": said}
    if undo:
        address = reverse("workflows:sample", args=[workflow.pk, row.pk])
        toast |= {"action": "Undo", "post": address, "values": {**undo, "undo": "1"}}
    if "undo" in request.POST:
        # The toast's Undo: the list reads itself anew.
        response = HttpResponse("")
        response["HX-Trigger"] = json.dumps({"toast": {"text": said}, "samples:changed": {}})
        return response
    response = _list(request, workflow)
    response["HX-Trigger"] = json.dumps({"toast": toast})
    return response


def _refused(
    request: TenantRequest, workflow: Workflow, row: SampleInput, error: StepwellError, act: str
) -> HttpResponse:
    words = " ".join(f"{one.says} {one.fix or ''}".strip() for one in error.problems) or error.message
    if "undo" in request.POST:
        response = HttpResponse("")
        response["HX-Trigger"] = json.dumps({"toast": {"text": words, "kind": "bad"}})
        return response
    typed = request.POST.get("input", "") if act == "values" else None
    return _list(request, workflow, refused=(row.pk, words, typed), status=error.status)


def _list(
    request: TenantRequest,
    workflow: Workflow,
    *,
    refused: tuple[uuid.UUID, str, str | None] | None = None,
    status: int = 200,
) -> HttpResponse:
    definition = compile_draft(workflow)
    rows = []
    for sample in samples_of(workflow).select_related("created_by"):
        text, words = json.dumps(sample.input, ensure_ascii=False, indent=2), ""
        if refused is not None and refused[0] == sample.pk:
            text, words = refused[2] if refused[2] is not None else text, refused[1]
        problems = sample_problems(definition, sample.input)
        rows.append(SampleRow(sample, fields_shown(sample.input), problems, text, words))
    context = {
        "section": "workflows",
        "workflow": workflow,
        "rows": rows,
        "editable": may_edit(request, workflow),
        "may_run": request.actor.may(Permission.RUN) and workflow.status != Workflow.Status.ARCHIVED,
    }
    template = "workflows/_samples.html" if request.htmx else "workflows/samples.html"
    return render(request, template, context, status=status)


def _object(text: str) -> JSONObject:
    try:
        value = json.loads(text) if text.strip() else {}
    except ValueError as error:
        raise Invalid(f"This is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise Invalid("The input must be a JSON object, in braces.")
    return value
