"""The first steps of a person in a workspace: three steps down a rail, each folded once it is done."""

from __future__ import annotations

from http import HTTPStatus

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from templates_app.selectors import the_template
from templates_app.services.expectations import expectations
from templates_app.services.first_steps import (
    offered_templates,
    progress_of,
    restart_first_steps,
    skip_first_steps,
    started_with,
    stay_with_demo,
)
from templates_app.services.use_template import use_template
from templates_app.shapes import shape_of
from workflows.lib.errors import Invalid
from workflows.selectors import names_in_use
from workflows.services.create_workflow import create_workflow
from workflows.tenancy.access import TenantRequest, permission_required
from workflows.tenancy.roles import Permission

NEW_NAME = "My first workflow"


@require_safe
@permission_required(Permission.EDIT_WORKFLOWS)
def page(request: TenantRequest) -> HttpResponse:
    progress = progress_of(request.actor)
    offered = []
    if progress.now == 2:
        templates = offered_templates(request.actor)
        expected = expectations(request.tenant, templates)
        offered = [(one, shape_of(one.document), expected[one.pk]) for one in templates]
    context = {"progress": progress, "offered": offered, "sample": tuple(progress.sample.items())}
    return render(request, "templates_app/welcome.html", context)


@require_POST
@permission_required(Permission.EDIT_WORKFLOWS)
def step(request: TenantRequest) -> HttpResponse:
    """POST `act`: demo, use (with `template`), empty, skip or again."""
    actor = request.actor
    match request.POST.get("act", ""):
        case "demo":
            stay_with_demo(actor)
        case "use":
            template = the_template(actor, request.POST.get("template", ""), Permission.EDIT_WORKFLOWS)
            try:
                started_with(actor, use_template(template=template, actor=actor))
            except Invalid as error:
                messages.error(request, f"This template cannot be used now: {error.message}")
        case "empty":
            taken = names_in_use(request.tenant, NEW_NAME)
            name, number = NEW_NAME, 2
            while name in taken:
                name, number = f"{NEW_NAME} {number}", number + 1
            workflow = create_workflow(actor=actor, name=name)
            started_with(actor, workflow)
            return redirect("workflows:builder", workflow.pk)
        case "skip":
            skip_first_steps(actor)
            messages.success(request, "The first steps come back from Help, in your account's menu.")
            return redirect("workflows:index")
        case "again":
            restart_first_steps(actor)
        case _:
            return HttpResponse("There is no such step.", status=HTTPStatus.UNPROCESSABLE_ENTITY)
    return redirect("templates_app:welcome")
