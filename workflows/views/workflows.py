"""The list of workflows, and what is done with one as a whole: make, duplicate, archive, restore, delete."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from workflows.lib.errors import StepwellError
from workflows.models import Workflow
from workflows.selectors import filtered_workflows, names_in_use, status_counts, with_counts
from workflows.services.change_workflow import archive_workflow, delete_workflow, unarchive_workflow
from workflows.services.create_workflow import create_workflow
from workflows.services.duplicate_workflow import duplicate_workflow
from workflows.tenancy.access import TenantRequest, permission_required, tenant_required
from workflows.tenancy.roles import Permission
from workflows.views.answers import the_workflow

PAGE = 25
_SHOWN = [Workflow.Status.ACTIVE, Workflow.Status.DRAFT]
NEW_NAME = "New workflow"


@require_GET
def home(request: HttpRequest) -> HttpResponse:
    """The first page is the list of workflows."""
    return redirect("workflows:index")


@require_GET
@tenant_required
def index(request: TenantRequest) -> HttpResponse:
    filters = {"q": request.GET.get("q", "")[:200].strip(), "status": request.GET.get("status", "")}
    if filters["status"] not in Workflow.Status.values:
        filters["status"] = ""
    found = filtered_workflows(
        request.tenant,
        q=filters["q"],
        statuses=[filters["status"]] if filters["status"] else _SHOWN,
    )
    page = Paginator(with_counts(found).select_related("created_by"), PAGE).get_page(request.GET.get("page"))
    context = {
        "section": "workflows",
        "page": page,
        "filters": filters,
        "counts": status_counts(request.tenant),
    }
    return render(request, "workflows/_rows.html" if request.htmx else "workflows/index.html", context)


@require_POST
@permission_required(Permission.EDIT_WORKFLOWS)
def create(request: TenantRequest) -> HttpResponse:
    """An empty draft, opened in the builder; it is named there."""
    name = request.POST.get("name", "").strip()
    if not name:
        taken = names_in_use(request.tenant, NEW_NAME)
        name, number = NEW_NAME, 2
        while name in taken:
            name, number = f"{NEW_NAME} {number}", number + 1
    try:
        workflow = create_workflow(actor=request.actor, name=name)
    except StepwellError as error:
        messages.error(request, error.message)
        return redirect("workflows:index")
    return redirect("workflows:builder", workflow.pk)


@require_POST
@permission_required(Permission.EDIT_WORKFLOWS)
def duplicate(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    workflow = the_workflow(request, pk, Permission.EDIT_WORKFLOWS)
    copy = duplicate_workflow(workflow=workflow, actor=request.actor)
    messages.success(request, f"“{copy.name}” made. This is it.")
    return redirect("workflows:builder", copy.pk)


@require_POST
@permission_required(Permission.EDIT_WORKFLOWS)
def archive(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    workflow = the_workflow(request, pk, Permission.EDIT_WORKFLOWS)
    archive_workflow(workflow=workflow, actor=request.actor)
    messages.success(request, f"“{workflow.name}” is archived. Runs under way finish.")
    return _back(request)


@require_POST
@permission_required(Permission.EDIT_WORKFLOWS)
def restore(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    workflow = the_workflow(request, pk, Permission.EDIT_WORKFLOWS)
    unarchive_workflow(workflow=workflow, actor=request.actor)
    messages.success(request, f"“{workflow.name}” can be used again.")
    return redirect("workflows:builder", workflow.pk)


@require_POST
@permission_required(Permission.EDIT_WORKFLOWS)
def delete(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    workflow = the_workflow(request, pk, Permission.EDIT_WORKFLOWS)
    delete_workflow(workflow=workflow, actor=request.actor)
    messages.success(request, f"“{workflow.name}” is deleted. Runs under way finish.")
    return _back(request)


def _back(request: TenantRequest) -> HttpResponse:
    return redirect("workflows:index")
