"""/api/step-types: what steps there are, from their declarations."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from ninja import Router

from workflows.api.base import errors, page
from workflows.api.shapes import StepTypePage, step_type_json
from workflows.api.workflows import actor_of
from workflows.steps import registry
from workflows.tenancy.roles import Permission

router = Router(tags=["Step types"])


@router.get(
    "",
    response={200: StepTypePage, **errors()},
    operation_id="list_step_types",
    summary="List the step types",
)
def list_step_types(request: HttpRequest) -> HttpResponse:
    """Every kind of step that is installed, with the JSON Schema of its `config`."""
    actor_of(request).require(Permission.VIEW)
    kinds = [kind for _, kinds in registry.by_group() for kind in kinds]
    return page([step_type_json(kind) for kind in kinds], len(kinds))
