"""The published versions of a workflow: the list, one of them, and bringing one back into the draft."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from workflows.definition.diff import changes, summary_sentence
from workflows.definition.ordering import list_order
from workflows.lib.errors import NotFound, StepwellError
from workflows.models import Workflow, WorkflowVersion
from workflows.selectors import published_versions
from workflows.services.definitions import load_definition
from workflows.services.drafts import compile_draft, save_draft
from workflows.steps import registry
from workflows.steps.catalog import CATALOG
from workflows.tenancy.access import NOT_FOUND, TenantRequest, permission_required, tenant_required
from workflows.tenancy.roles import Permission
from workflows.views.answers import may_edit, the_workflow

MOST_LISTED = 200


@require_GET
@tenant_required
def index(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    workflow = the_workflow(request, pk)
    context = {
        "section": "workflows",
        "workflow": workflow,
        "versions": published_versions(workflow)[:MOST_LISTED],
        "editable": may_edit(request, workflow),
    }
    return render(request, "workflows/versions.html", context)


@require_GET
@tenant_required
def detail(request: TenantRequest, pk: uuid.UUID, number: int) -> HttpResponse:
    """The version's steps, and in words what the draft has changed since."""
    workflow = the_workflow(request, pk)
    version = _version(workflow, number)
    definition = load_definition(version)
    found = changes(definition, compile_draft(workflow))
    steps: list[dict[str, Any]] = []
    for step in list_order(definition, CATALOG):
        kind = registry.find(step.type)
        steps.append(
            {
                "step": step,
                "icon": kind.icon if kind else "puzzle",
                "summary": kind.summary(step.config) if kind else step.type,
            }
        )
    context = {
        "section": "workflows",
        "workflow": workflow,
        "version": version,
        "steps": steps,
        "changes": [change for change in found if not change.only_layout],
        "sentence": summary_sentence(found),
        "editable": may_edit(request, workflow),
    }
    return render(request, "workflows/version.html", context)


@require_POST
@permission_required(Permission.EDIT_WORKFLOWS)
def restore(request: TenantRequest, pk: uuid.UUID, number: int) -> HttpResponse:
    """The draft becomes what this version says; the versions stay as they are."""
    workflow = the_workflow(request, pk, Permission.EDIT_WORKFLOWS)
    version = _version(workflow, number)
    try:
        save_draft(workflow=workflow, definition=load_definition(version), actor=request.actor)
    except StepwellError as error:
        if error.status in (403, 404):
            raise
        messages.error(request, error.message)
        return redirect("workflows:version", workflow.pk, number)
    messages.success(request, f"The draft is version {number} again. Publish it to make it the newest.")
    return redirect("workflows:builder", workflow.pk)


def _version(workflow: Workflow, number: int) -> WorkflowVersion:
    found = published_versions(workflow).filter(number=number).first()
    if found is None:
        raise NotFound(NOT_FOUND)
    return found
