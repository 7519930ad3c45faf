"""/api/workflow-templates: what a new workflow can begin with."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from ninja import Body as JsonBody
from ninja import Field, Query, Router, Schema

from templates_app.models import WorkflowTemplate
from templates_app.selectors import gallery_templates
from templates_app.services.use_template import definition_of, use_template
from workflows.api.base import THING, WRITE_THING, Body, Filters, answer, errors, example, page, stamp
from workflows.api.shapes import WorkflowDefinition, WorkflowOut, workflow_json
from workflows.api.workflows import actor_of
from workflows.definition.schema import to_json
from workflows.lib.errors import NotFound
from workflows.lib.jsontypes import JSONObject
from workflows.selectors import visible_workflows
from workflows.services.check_workflow import problems_of
from workflows.services.drafts import compile_draft
from workflows.tenancy.access import NOT_FOUND, get_or_404
from workflows.tenancy.roles import Permission

router = Router(tags=["Templates"])


class TemplateOut(Schema):
    """A ready definition; `is_shared` ones are everybody's."""

    id: str
    slug: str
    name: str
    category: str
    icon: str
    description: str
    outcome: str
    is_builtin: bool
    is_shared: bool
    uses: int
    created_at: str
    updated_at: str


class TemplateWithDefinition(TemplateOut):
    definition: WorkflowDefinition


class TemplatePage(Schema):
    items: list[TemplateOut]
    count: int


class TemplateFilters(Filters):
    q: str = Field("", max_length=255, description="Words in name, category, description or outcome.")
    category: str = Field("", max_length=60)


class Use(Body):
    name: str = Field("", description="Like the template's when left out.")


def template_json(template: WorkflowTemplate) -> JSONObject:
    return {
        "id": str(template.pk),
        "slug": template.slug,
        "name": template.name,
        "category": template.category,
        "icon": template.icon,
        "description": template.description,
        "outcome": template.outcome,
        "is_builtin": template.is_builtin,
        "is_shared": template.tenant_id is None,
        "uses": template.install_count,
        "created_at": stamp(template.created_at),
        "updated_at": stamp(template.updated_at),
    }


def _get(request: HttpRequest, id: str) -> WorkflowTemplate:
    try:
        return gallery_templates(actor_of(request).tenant).get(pk=id)
    except (WorkflowTemplate.DoesNotExist, ValidationError) as error:
        raise NotFound(NOT_FOUND) from error


@router.get(
    "", response={200: TemplatePage, **errors()}, operation_id="list_templates", summary="List templates"
)
def list_templates(request: HttpRequest, filters: Query[TemplateFilters]) -> HttpResponse:
    """The workspace's own and those for everybody, the most used first."""
    found = gallery_templates(actor_of(request).tenant, q=filters.q, category=filters.category)
    rows = found.defer("document")[filters.offset : filters.offset + filters.limit]
    return page([template_json(row) for row in rows], found.count())


@router.get(
    "/{id}",
    response={200: TemplateWithDefinition, **THING},
    operation_id="get_template",
    summary="Get a template",
)
def get(request: HttpRequest, id: str) -> HttpResponse:
    template = _get(request, id)
    return answer({**template_json(template), "definition": to_json(definition_of(template))})


@router.post(
    "/{id}/apply",
    response={201: WorkflowOut, **WRITE_THING},
    operation_id="apply_template",
    summary="Make a workflow from a template",
    openapi_extra=example({"name": "Our text pipeline"}),
)
def apply(request: HttpRequest, id: str, body: JsonBody[Use | None] = None) -> HttpResponse:
    """A new draft that can be run as it is."""
    actor = actor_of(request)
    template = _get(request, id)
    actor.require(Permission.EDIT_WORKFLOWS)
    made = use_template(template=template, actor=actor, name=body.name if body is not None else "")
    source = visible_workflows(actor.tenant).select_related("project", "created_by")
    workflow = get_or_404(source, actor, made.pk)
    definition = compile_draft(workflow)
    data = workflow_json(workflow, definition, problems_of(workflow, definition))
    return answer(data, 201, {"ETag": f'"{workflow.revision}"', "Location": f"/api/workflows/{workflow.pk}"})
