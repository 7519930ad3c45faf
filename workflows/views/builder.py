"""The builder's page, and edits of the workflow as a whole: adding steps, paths, variables, settings, publishing."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from workflows.definition.canvas import frozen
from workflows.definition.edits import finish
from workflows.definition.graph import Definition, StepDef
from workflows.definition.operations import (
    Edit,
    connect,
    disconnect,
    insert,
    update_edge,
)
from workflows.definition.structure import structure_problems
from workflows.forms.builder import read_place, read_position, read_settings, read_variables
from workflows.lib.errors import Invalid, Stale, StepwellError
from workflows.models import Workflow
from workflows.presenters.builder_controls import known_models
from workflows.presenters.builder_page import PILL, BuilderPage, picker_groups
from workflows.presenters.builder_parts import Place
from workflows.services.change_workflow import update_workflow
from workflows.services.drafts import apply_operation
from workflows.services.late_edits import refuse_late_whole
from workflows.services.publish_workflow import publish_workflow
from workflows.steps import registry
from workflows.steps.catalog import CATALOG, default_config
from workflows.tenancy.access import TenantRequest, permission_required, tenant_required
from workflows.tenancy.roles import Permission
from workflows.views.answers import (
    answer_list,
    ask,
    builder_context,
    known_revision,
    opened,
    perform,
    refuse,
    the_workflow,
)

EDIT = Permission.EDIT_WORKFLOWS


@require_GET
@tenant_required
def page(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """`?open=KEY` opens a card (`start`: the run form); `?rows=SETTING` gives that setting an empty row."""
    workflow = the_workflow(request, pk)
    shown = BuilderPage(workflow, opened(request), extra_rows=request.GET.get("rows", ""))
    context = {
        **builder_context(request, shown),
        "groups": picker_groups(),
        "models": known_models(),
    }
    return render(request, "workflows/builder/page.html", context)


@require_http_methods(["GET", "POST"])
@permission_required(EDIT)
def add(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """GET: the kinds of step and, for `?gap=KEY`, the paths to choose from (without script).

    POST: `type`, `place`, and on the canvas `x` and `y`, where it was dropped.
    """
    workflow = the_workflow(request, pk, EDIT)
    if request.method == "GET":
        shown = BuilderPage(workflow)
        context = {
            **builder_context(request, shown),
            "groups": picker_groups(),
            "places": _places_of(shown, request.GET.get("gap", ""), request.GET.get("place", "")),
        }
        return ask(request, "workflows/ask/add.html", context)
    kind = registry.find(request.POST.get("type", ""))
    if kind is None:
        return refuse(request, workflow, Invalid("Choose a kind of step."))
    try:
        place, position = read_place(request.POST.get("place", "")), read_position(request.POST)
    except Invalid as error:
        return refuse(request, workflow, error)
    step = StepDef(key="", type=kind.name, label=kind.label, config=default_config(kind), position=position)
    return perform(
        request,
        workflow,
        # Dropped on the canvas, it stays where it is dropped, so the others have to stand somewhere too.
        lambda definition: insert(
            frozen(definition, CATALOG) if position is not None else definition, step, place, CATALOG
        ),
        open_key=lambda edit: edit.effects.created[0],
        focus="first",
    )


def _places_of(shown: BuilderPage, before: str, place: str) -> tuple[Place, ...]:
    if place:
        return (Place(place, "there"),)
    row = shown.row(before)
    return row.gap.places if row is not None and row.gap is not None else shown.end_gap.places


@require_POST
@permission_required(EDIT)
def add_path(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """POST `source`, `port`, `target`: a path between two steps that are there."""
    workflow = the_workflow(request, pk, EDIT)
    source, target = request.POST.get("source", ""), request.POST.get("target", "")
    port = request.POST.get("port") or None
    return perform(
        request, workflow, lambda definition: connect(definition, source, target, CATALOG, port=port)
    )


@require_POST
@permission_required(EDIT)
def change_path(request: TenantRequest, pk: uuid.UUID, edge: str) -> HttpResponse:
    """POST `condition` and `target_input`, or `remove`."""
    workflow = the_workflow(request, pk, EDIT)
    if "remove" in request.POST:
        return perform(request, workflow, lambda definition: disconnect(definition, edge, CATALOG))
    condition, name = request.POST.get("condition"), request.POST.get("target_input", "").strip()
    return perform(
        request,
        workflow,
        lambda definition: update_edge(definition, edge, CATALOG, condition=condition, target_input=name),
    )


@require_POST
@permission_required(EDIT)
def variables(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """POST the whole table of variables; what is wrong is said beside its line, and the table stays as it was."""
    workflow = the_workflow(request, pk, EDIT)

    def operation(definition: Definition) -> Edit:
        changed = replace(definition, variables=read_variables(request.POST, definition))
        problems = [
            problem
            for problem in structure_problems(changed, CATALOG)
            if (problem.path or "").startswith("definition.variables")
        ]
        if problems:
            raise Invalid(problems[0].message, problems=tuple(problems))
        _refuse_late(request, workflow, definition, changed)
        return finish(definition, changed, CATALOG, "The run form is saved.")

    try:
        edit = apply_operation(workflow=workflow, actor=request.actor, operation=operation)
    except StepwellError as error:
        if error.status in (403, 404):
            raise
        if not request.htmx:
            return refuse(request, workflow, error, PILL)
        return render(request, "workflows/builder/_start_refused.html", {"error": error}, status=error.status)
    if not request.htmx:
        return answer_list(request, workflow, edit.effects.message, open_key=PILL)
    shown = BuilderPage(workflow, opened(request), definition=edit.definition)
    context = {**builder_context(request, shown), "saved_at": timezone.localtime()}
    response = render(request, "workflows/builder/_answer_start.html", context)
    response["HX-Trigger"] = json.dumps({"builder:saved": {"revision": workflow.revision, "key": PILL}})
    return response


def _refuse_late(request: TenantRequest, workflow: Workflow, before: Definition, after: Definition) -> None:
    known = known_revision(request)
    if known is not None:
        refuse_late_whole(workflow, before, after, known)


@require_POST
@permission_required(EDIT)
def settings(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """POST name, description, tags, default model, YOLO: only what is sent changes."""
    workflow = the_workflow(request, pk, EDIT)
    try:
        change = read_settings(request.POST, workflow.settings)
        if change.row:
            update_workflow(workflow=workflow, actor=request.actor, **change.row)
        if change.settings != workflow.settings:

            def operation(definition: Definition) -> Edit:
                changed = replace(definition, settings=change.settings)
                _refuse_late(request, workflow, definition, changed)
                return finish(definition, changed, CATALOG, "Settings saved.")

            apply_operation(workflow=workflow, actor=request.actor, operation=operation)
    except StepwellError as error:
        if error.status in (403, 404):
            raise
        return refuse(request, workflow, error)
    return answer_list(request, workflow, "" if request.htmx else "Saved.")


@require_http_methods(["GET", "POST"])
@permission_required(EDIT)
def publish(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """GET: the question with what has changed, or what is in the way. POST `note`."""
    workflow = the_workflow(request, pk, EDIT)
    note, status, refusal = request.POST.get("note", "")[:2000], 200, ""
    if request.method == "POST":
        try:
            # What is published is what the question was about.
            version = publish_workflow(
                workflow=workflow, actor=request.actor, note=note, expected_revision=known_revision(request)
            )
        except Stale:
            status = 412
            refusal = "Somebody has changed the workflow since. This is how it is now: publish it if it still is right."
        except StepwellError as error:
            if error.status in (403, 404):
                raise
            status, refusal = error.status, error.message
        else:
            message = f"Version {version.number} is published. New runs use it."
            if request.htmx:
                return answer_list(request, workflow, message)
            messages.success(request, message)
            return redirect("workflows:builder", workflow.pk)
    shown = BuilderPage(workflow)
    context = {
        **builder_context(request, shown),
        "note": note,
        "refusal": refusal,
        "errors": [check for check in shown.panel.checks if check.problem.is_error],
        "warnings": [check for check in shown.panel.checks if not check.problem.is_error],
    }
    return ask(request, "workflows/ask/publish.html", context, status=status)
