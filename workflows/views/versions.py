"""The published versions of a workflow: the list, one of them, and bringing one back into the draft."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from workflows.definition.diff import changes, summary_sentence
from workflows.definition.graph import Definition
from workflows.definition.ordering import list_order
from workflows.lib.errors import NotFound, StepwellError
from workflows.models import Workflow, WorkflowVersion
from workflows.presenters.compare_page import Comparison
from workflows.selectors import published_versions
from workflows.services.definitions import load_definition
from workflows.services.drafts import compile_draft
from workflows.services.restore_version import restore_version
from workflows.services.revert_change import revert_change
from workflows.steps import registry
from workflows.steps.catalog import CATALOG
from workflows.tenancy.access import NOT_FOUND, TenantRequest, permission_required, tenant_required
from workflows.tenancy.roles import Permission
from workflows.views.answers import may_edit, the_workflow

MOST_LISTED = 200


@require_GET
@tenant_required
def index(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """The history, and beside it any two compared: `?from=12&to=draft`; `view=side` shows both lists of steps."""
    workflow = the_workflow(request, pk)
    versions = list(published_versions(workflow)[:MOST_LISTED])
    draft = compile_draft(workflow)
    new = _chosen(workflow, request.GET.get("to", ""), draft)
    old = _chosen(workflow, request.GET.get("from", "") or _before(versions, new.number), draft)
    comparison = Comparison(old.definition, new.definition) if versions else None
    live = next((row for row in versions if row.number == workflow.latest_version), None)
    if live is None or comparison is None:
        unpublished = 0
    elif (old.number, new.number) == (live.number, None):
        unpublished = len(comparison.cards)
    else:
        unpublished = len(Comparison(load_definition(live), draft).cards)
    context = {
        "section": "workflows",
        "workflow": workflow,
        "versions": versions,
        "old": old,
        "new": new,
        "comparison": comparison,
        "unpublished": unpublished,
        "side": request.GET.get("view") == "side",
        "editable": may_edit(request, workflow),
    }
    return render(request, "workflows/versions.html", context)


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two that are compared; `number` None is the draft."""

    number: int | None
    definition: Definition

    @property
    def name(self) -> str:
        return "the draft" if self.number is None else f"version {self.number}"

    @property
    def value(self) -> str:
        return "draft" if self.number is None else str(self.number)


def _chosen(workflow: Workflow, asked: str, draft: Definition) -> Side:
    if asked in ("", "draft"):
        return Side(None, draft)
    number = int(asked) if asked.isascii() and asked.isdecimal() and len(asked) < 10 else 0
    return Side(number, load_definition(_version(workflow, number)))


def _before(versions: list[WorkflowVersion], number: int | None) -> str:
    """What this one is compared with unless somebody says otherwise: the version before it."""
    numbers = [row.number for row in versions if row.number is not None]
    if number is not None:
        numbers = [other for other in numbers if other < number] or [number]
    return str(max(numbers)) if numbers else "draft"


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
        restore_version(workflow=workflow, version=version, actor=request.actor)
    except StepwellError as error:
        if error.status in (403, 404):
            raise
        messages.error(request, error.message)
        return redirect("workflows:version", workflow.pk, number)
    messages.success(
        request, f"The draft is version {number} again. Undo takes it back; publish it to make it the newest."
    )
    return redirect("workflows:builder", workflow.pk)


@require_POST
@permission_required(Permission.EDIT_WORKFLOWS)
def revert(request: TenantRequest, pk: uuid.UUID, number: int) -> HttpResponse:
    """One change since the version is taken back in the draft: `part` and `key` say which."""
    workflow = the_workflow(request, pk, Permission.EDIT_WORKFLOWS)
    version = _version(workflow, number)
    try:
        edit = revert_change(
            workflow=workflow,
            version=version,
            part=request.POST.get("part", ""),
            key=request.POST.get("key", ""),
            actor=request.actor,
        )
    except StepwellError as error:
        if error.status in (403, 404):
            raise
        messages.error(request, error.message)
    else:
        messages.success(request, edit.effects.message)
    return redirect(f"{reverse('workflows:versions', args=[workflow.pk])}?from={number}&to=draft")


def _version(workflow: Workflow, number: int) -> WorkflowVersion:
    found = published_versions(workflow).filter(number=number).first()
    if found is None:
        raise NotFound(NOT_FOUND)
    return found
