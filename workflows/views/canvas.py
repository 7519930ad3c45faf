"""The canvas: the same draft in two dimensions. Its own edits are places of steps; paths and steps share the list's."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Mapping

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_POST

from workflows.definition.arranging import arrange, reroute, tidy
from workflows.definition.graph import Position
from workflows.definition.operations import OperationRefused, remove, set_enabled
from workflows.lib.errors import Invalid
from workflows.presenters.builder_canvas import CanvasView, palette
from workflows.presenters.builder_controls import known_models
from workflows.presenters.builder_page import BuilderPage, picker_groups
from workflows.services.draft_history import changes_since
from workflows.steps.catalog import CATALOG
from workflows.tenancy.access import TenantRequest, permission_required, tenant_required
from workflows.tenancy.roles import Permission
from workflows.views.answers import builder_context, known_revision, opened, perform, refuse, the_workflow
from workflows.views.builder_together import by_whom

EDIT = Permission.EDIT_WORKFLOWS


@require_GET
@tenant_required
def page(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """`?open=KEY` chooses a step (`start`: the run form), `?run=ID` shows the states of a run."""
    workflow = the_workflow(request, pk)
    shown = BuilderPage(workflow, opened(request)[:1])
    context = {
        **builder_context(request, shown),
        "view": CanvasView(shown),
        "groups": picker_groups(),
        "palette": palette(),
        "models": known_models(),
    }
    return render(request, "workflows/canvas/page.html", context)


@require_GET
@tenant_required
def world(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """The drawing and the panel anew, after somebody else changed the draft: 204 when nobody did.

    The event `canvas:caught-up` tells the new revision, and which steps whose hand changed.
    """
    workflow = the_workflow(request, pk)
    since = known_revision(request) or 0
    if since >= workflow.revision:
        return HttpResponse(status=204)
    shown = BuilderPage(workflow, opened(request))
    context = {**builder_context(request, shown), "view": CanvasView(shown)}
    response = render(request, "workflows/canvas/_answer.html", context)
    told = {
        "revision": workflow.revision,
        "touched": by_whom(request, changes_since(workflow, since) or []),
    }
    response["HX-Trigger"] = json.dumps({"canvas:caught-up": told})
    return response


@require_GET
@tenant_required
def panel(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """The panel of the chosen step (`?open=KEY`), or of the whole workflow."""
    shown = BuilderPage(the_workflow(request, pk), [key for key in [request.GET.get("open", "")] if key])
    context = {**builder_context(request, shown), "view": CanvasView(shown)}
    return render(request, "workflows/canvas/_answer_panel.html", context)


@require_POST
@permission_required(EDIT)
def place(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """POST `positions` (JSON: key to [x, y]); with `keys` (JSON list) and `into` (a container or nothing) they change bodies."""
    workflow = the_workflow(request, pk, EDIT)
    try:
        spots = _positions(request.POST)
        keys = _keys(request.POST)
    except Invalid as error:
        return refuse(request, workflow, error)
    into = request.POST.get("into") or None
    return perform(
        request,
        workflow,
        lambda definition: arrange(
            definition, spots, CATALOG, keys=keys, into=into, reparent="into" in request.POST
        ),
    )


@require_POST
@permission_required(EDIT)
def tidy_up(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """POST: everything laid out from the model."""
    workflow = the_workflow(request, pk, EDIT)
    return perform(request, workflow, lambda definition: tidy(definition, CATALOG))


@require_POST
@permission_required(EDIT)
def reroute_path(request: TenantRequest, pk: uuid.UUID, edge: str) -> HttpResponse:
    """POST `target`, or `source` and `port`: lead a path elsewhere."""
    workflow = the_workflow(request, pk, EDIT)
    source, port, target = (request.POST.get(name) or None for name in ("source", "port", "target"))
    return perform(
        request,
        workflow,
        lambda definition: reroute(definition, edge, CATALOG, source=source, port=port, target=target),
    )


@require_POST
@permission_required(EDIT)
def several(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """POST `keys` (JSON list) and `act`: remove, on, off."""
    workflow = the_workflow(request, pk, EDIT)
    try:
        keys = _keys(request.POST)
    except Invalid as error:
        return refuse(request, workflow, error)
    act = request.POST.get("act")
    if not keys or act not in ("remove", "on", "off"):
        return refuse(request, workflow, OperationRefused("nothing", "Choose steps first."))
    if act == "remove":
        return perform(request, workflow, lambda definition: remove(definition, keys, CATALOG))
    return perform(request, workflow, lambda definition: set_enabled(definition, keys, act == "on", CATALOG))


def _positions(data: Mapping[str, str]) -> dict[str, Position]:
    """The posted places. Raises Invalid for what is no map of keys to two finite numbers."""
    found = _json(data.get("positions", "{}"))
    if not isinstance(found, dict):
        raise Invalid("The places of the steps could not be read.")
    spots: dict[str, Position] = {}
    for key, spot in found.items():
        if not (
            isinstance(spot, list)
            and len(spot) == 2
            and all(isinstance(one, int | float) and not isinstance(one, bool) for one in spot)
            and all(math.isfinite(one) for one in spot)
        ):
            raise Invalid("The places of the steps could not be read.")
        spots[key] = Position(float(spot[0]), float(spot[1]))
    return spots


def _keys(data: Mapping[str, str]) -> tuple[str, ...]:
    found = _json(data.get("keys", "[]"))
    if not isinstance(found, list) or not all(isinstance(key, str) for key in found):
        raise Invalid("The steps could not be read.")
    return tuple(found)


def _json(text: str) -> object:
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Invalid("The places of the steps could not be read.") from error
    return found
