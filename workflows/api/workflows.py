"""/api/workflows: workflows, their drafts and their published versions."""

from __future__ import annotations

import uuid
from typing import Any, Literal, cast

from django.http import HttpRequest, HttpResponse
from ninja import Body as JsonBody
from ninja import Field, Query, Router
from pydantic import SkipValidation

from workflows.api.base import (
    THING,
    WRITE,
    WRITE_THING,
    Body,
    Filters,
    answer,
    errors,
    example,
    expected_revision,
    nothing,
    page,
    together,
)
from workflows.api.shapes import (
    Check,
    Version,
    VersionPage,
    VersionWithDefinition,
    WorkflowDefinition,
    WorkflowOut,
    WorkflowPage,
    version_json,
    workflow_json,
    workflow_summary,
)
from workflows.definition.graph import Definition
from workflows.definition.schema import parse_definition, to_json
from workflows.lib.errors import NotFound
from workflows.lib.jsontypes import JSONObject
from workflows.models import Workflow, WorkflowVersion
from workflows.selectors import filtered_workflows, published_versions, visible_workflows, with_counts
from workflows.services.change_workflow import WorkflowChanges, delete_workflow, update_workflow
from workflows.services.check_workflow import problems_of
from workflows.services.compile_drafts import compile_drafts
from workflows.services.create_workflow import create_workflow
from workflows.services.definitions import load_definition
from workflows.services.drafts import compile_draft
from workflows.services.duplicate_workflow import duplicate_workflow
from workflows.services.fields import clean_description, clean_name, clean_project, clean_tags
from workflows.services.publish_workflow import publish_workflow
from workflows.services.restore_version import restore_version
from workflows.steps.catalog import CATALOG
from workflows.tenancy.access import NOT_FOUND, get_or_404
from workflows.tenancy.actor import Actor
from workflows.tenancy.api_auth import ApiRequest
from workflows.tenancy.error_pages import problem_json
from workflows.tenancy.roles import Permission

router = Router(tags=["Workflows"])

EXAMPLE: JSONObject = {
    "name": "Summarize and approve",
    "tags": ["demo"],
    "definition": {
        "nodes": [
            {
                "id": "summary",
                "type": "llm",
                "name": "Summary",
                "config": {"prompt": "Summarize in three sentences:\n\n{{ input.text }}"},
            },
            {"id": "gate", "type": "review", "name": "Approve"},
        ],
        "edges": [{"source_node_id": "summary", "target_node_id": "gate"}],
        "variables": [{"name": "text", "type": "string", "required": True}],
    },
}


# --- bodies -------------------------------------------------------------------------------------------------------


class NewWorkflow(Body):
    name: str = Field(..., description="1 to 255 characters.")
    description: str = ""
    tags: list[str] = []
    project: uuid.UUID | None = Field(None, description="Id of a project of the tenant.")
    # The definition has a reader of its own, which names every problem with its step.
    definition: SkipValidation[WorkflowDefinition] | None = None


class ChangedWorkflow(Body):
    """Only the fields that are sent are changed; a sent definition replaces the draft whole."""

    name: str | None = None
    description: str | None = None
    tags: list[str] | None = None
    project: uuid.UUID | None = Field(None, description="null takes it out of its project.")
    status: Literal["draft", "active", "archived"] | None = Field(
        None, description="archived: read-only and no new runs; draft or active: usable again."
    )
    definition: SkipValidation[WorkflowDefinition] | None = None


class Copy(Body):
    name: str | None = Field(None, description="“Copy of …” when left out.")


class Publication(Body):
    note: str = Field("", max_length=10_000, description="What is new in it.")


class Trial(Body):
    definition: SkipValidation[WorkflowDefinition] | None = Field(
        None, description="What to check; the draft when left out."
    )


class WorkflowFilters(Filters):
    q: str = Field("", max_length=255, description="Text in name, description or a tag.")
    name: str = Field("", max_length=255, description="Text in the name.")
    status: Literal["draft", "active", "archived"] | None = None
    tag: str = Field("", max_length=50)
    project: uuid.UUID | None = None
    order: Literal["updated", "created", "name"] = "updated"
    include: Literal["definition"] | None = Field(None, description="Adds `definition` and `problems`.")


# --- the parts of an operation ------------------------------------------------------------------------------------


def actor_of(request: HttpRequest) -> Actor:
    """Who calls; known since the API's door let them in."""
    return cast(ApiRequest, request).actor


def get_workflow(request: HttpRequest, id: str, permission: Permission = Permission.VIEW) -> Workflow:
    """The caller's workflow; 404 when it is another's or not there, 403 when the role may not."""
    actor = actor_of(request)
    source = visible_workflows(actor.tenant).select_related("project", "created_by")
    found = get_or_404(source, actor, id, permission)
    # The tenant is known: nobody has to ask the database for it again.
    found.tenant = actor.tenant
    return found


def _definition(data: Any) -> Definition:
    return parse_definition(data, CATALOG)


def whole_workflow(
    workflow: Workflow, status: int = 200, definition: Definition | None = None
) -> HttpResponse:
    """The answer with the whole workflow."""
    definition = compile_draft(workflow) if definition is None else definition
    data = workflow_json(workflow, definition, problems_of(workflow, definition))
    headers = {"ETag": f'"{workflow.revision}"'}
    if status == 201:
        headers["Location"] = f"/api/workflows/{workflow.pk}"
    return answer(data, status, headers)


# --- workflows ----------------------------------------------------------------------------------------------------


@router.get(
    "", response={200: WorkflowPage, **errors()}, operation_id="list_workflows", summary="List workflows"
)
def list_workflows(request: HttpRequest, filters: Query[WorkflowFilters]) -> HttpResponse:
    """Newest change first. Without `include=definition` each comes without its definition."""
    actor = actor_of(request)
    found = filtered_workflows(
        actor.tenant,
        q=filters.q,
        name=filters.name,
        statuses=(filters.status,) if filters.status else (),
        tag=filters.tag,
        project=filters.project,
        order=filters.order,
    )
    rows = list(
        with_counts(found).select_related("project", "created_by")[
            filters.offset : filters.offset + filters.limit
        ]
    )
    items = [{**workflow_summary(row), "steps_count": getattr(row, "steps_count", 0)} for row in rows]
    if filters.include == "definition":
        for item, row, definition in zip(items, rows, compile_drafts(rows), strict=True):
            row.tenant = actor.tenant
            item["problems"] = [problem_json(problem) for problem in problems_of(row, definition)]
            item["definition"] = to_json(definition)
    return page(items, found.count())


@router.post(
    "",
    response={201: WorkflowOut, **WRITE},
    operation_id="create_workflow",
    summary="Create a workflow",
    openapi_extra=example(EXAMPLE),
)
def create(request: HttpRequest, body: NewWorkflow) -> HttpResponse:
    """A draft. What is wrong with its shape is refused (422, nothing stored); what is only missing or not yet right
    is stored, and named in `problems`."""
    actor = actor_of(request)
    actor.require(Permission.EDIT_WORKFLOWS)
    name, description, tags, project, definition = together(
        lambda: clean_name(body.name),
        lambda: clean_description(body.description),
        lambda: clean_tags(body.tags),
        lambda: clean_project(str(body.project) if body.project else None, actor),
        lambda: None if body.definition is None else _definition(body.definition),
    )
    workflow = create_workflow(
        actor=actor, name=name, description=description, tags=tags, project=project, definition=definition
    )
    return whole_workflow(workflow, 201)


@router.get(
    "/{id}", response={200: WorkflowOut, **THING}, operation_id="get_workflow", summary="Get a workflow"
)
def get(request: HttpRequest, id: str) -> HttpResponse:
    """The draft with everything that is wrong with it. `ETag` is its revision."""
    return whole_workflow(get_workflow(request, id))


@router.put(
    "/{id}",
    response={200: WorkflowOut, **WRITE_THING, **errors(412)},
    operation_id="update_workflow",
    summary="Change a workflow",
    openapi_extra=example({"name": "Summarize, approve, publish", "tags": ["news"]}),
)
def update(request: HttpRequest, id: str, body: ChangedWorkflow) -> HttpResponse:
    """Changes only the fields that are sent, all of them or none. With `If-Match: REVISION` it is 412 when the draft
    has moved on."""
    workflow = get_workflow(request, id, Permission.EDIT_WORKFLOWS)
    given = _given(body, actor_of(request))
    update_workflow(
        workflow=workflow,
        actor=actor_of(request),
        expected_revision=expected_revision(request),
        **cast(WorkflowChanges, given),
    )
    return whole_workflow(get_workflow(request, id))


def _given(body: ChangedWorkflow, actor: Actor) -> dict[str, Any]:
    """The sent fields, cleaned; null counts as not sent, but for `project`."""
    sent = {
        name: getattr(body, name)
        for name in body.model_fields_set
        if name == "project" or getattr(body, name) is not None
    }
    clean: dict[str, Any] = {
        "name": clean_name,
        "description": clean_description,
        "tags": clean_tags,
        "project": lambda project: clean_project(str(project) if project else None, actor),
        "definition": _definition,
        "status": str,
    }
    names = [name for name in clean if name in sent]
    values = together(*((lambda n=name: clean[n](sent[n])) for name in names))
    return dict(zip(names, values, strict=True))


@router.delete(
    "/{id}",
    response={204: None, **THING, **errors(404, 409)},
    operation_id="delete_workflow",
    summary="Delete a workflow",
)
def delete(request: HttpRequest, id: str) -> HttpResponse:
    """It is hidden and takes no new runs; runs in flight finish, their history stays."""
    workflow = get_workflow(request, id, Permission.EDIT_WORKFLOWS)
    delete_workflow(workflow=workflow, actor=actor_of(request))
    return nothing()


@router.post(
    "/{id}/duplicate",
    response={201: WorkflowOut, **WRITE_THING},
    operation_id="duplicate_workflow",
    summary="Duplicate a workflow",
    openapi_extra=example({"name": "Summarize and approve, for the newsletter"}),
)
def duplicate(request: HttpRequest, id: str, body: JsonBody[Copy | None] = None) -> HttpResponse:
    """A new draft like this one's; generated steps are left out."""
    workflow = get_workflow(request, id, Permission.EDIT_WORKFLOWS)
    name = body.name if body is not None else None
    return whole_workflow(duplicate_workflow(workflow=workflow, actor=actor_of(request), name=name), 201)


@router.post(
    "/{id}/validate",
    response={200: Check, **WRITE_THING},
    operation_id="validate_workflow",
    summary="Check a workflow",
    openapi_extra=example({"definition": EXAMPLE["definition"]}),
)
def validate(request: HttpRequest, id: str, body: JsonBody[Trial | None] = None) -> HttpResponse:
    """What is wrong with the draft, or with a definition that is sent and not stored."""
    workflow = get_workflow(request, id, Permission.EDIT_WORKFLOWS)
    sent = body.definition if body is not None else None
    problems = problems_of(workflow, None if sent is None else _definition(sent))
    return answer(
        {
            "valid": not any(problem.is_error for problem in problems),
            "problems": [problem_json(problem) for problem in problems],
        }
    )


@router.post(
    "/{id}/publish",
    response={201: Version, **WRITE_THING, **errors(412)},
    operation_id="publish_workflow",
    summary="Publish a workflow",
    openapi_extra=example({"note": "Shorter summaries"}),
)
def publish(request: HttpRequest, id: str, body: JsonBody[Publication | None] = None) -> HttpResponse:
    """The draft becomes an immutable version with the next number. 422 with all `problems` when it has errors, 409
    when nothing has changed. `If-Match` holds as in PUT."""
    version = publish_workflow(
        workflow=get_workflow(request, id, Permission.EDIT_WORKFLOWS),
        actor=actor_of(request),
        note=body.note if body is not None else "",
        expected_revision=expected_revision(request),
    )
    return answer(version_json(version), 201)


# --- versions -----------------------------------------------------------------------------------------------------


@router.get(
    "/{id}/versions",
    response={200: VersionPage, **THING},
    operation_id="list_versions",
    summary="List the published versions",
)
def versions(request: HttpRequest, id: str, filters: Query[Filters]) -> HttpResponse:
    """Newest first, without their definitions."""
    found = published_versions(get_workflow(request, id))
    rows = found[filters.offset : filters.offset + filters.limit]
    return page([version_json(row) for row in rows], found.count())


def version_of(workflow: Workflow, number: int) -> WorkflowVersion:
    """The published version with this number; NotFound."""
    rows = WorkflowVersion.objects.for_tenant(workflow.tenant).select_related("created_by")
    # Larger numbers than the column holds are as little there as others.
    found = rows.filter(workflow=workflow, number=number).first() if 0 < number < 2**31 else None
    if found is None:
        raise NotFound(NOT_FOUND)
    return found


@router.get(
    "/{id}/versions/{number}",
    response={200: VersionWithDefinition, **THING},
    operation_id="get_version",
    summary="Get a published version",
)
def version(request: HttpRequest, id: str, number: int) -> HttpResponse:
    found = version_of(get_workflow(request, id), number)
    return answer({**version_json(found), "definition": to_json(load_definition(found))})


@router.post(
    "/{id}/versions/{number}/restore",
    response={200: WorkflowOut, **WRITE_THING, **errors(412)},
    operation_id="restore_version",
    summary="Make a version the draft again",
)
def restore(request: HttpRequest, id: str, number: int) -> HttpResponse:
    """The draft says what the version says; publish it to make it the newest version. `If-Match` holds as in PUT."""
    workflow = get_workflow(request, id, Permission.EDIT_WORKFLOWS)
    restore_version(
        workflow=workflow,
        version=version_of(workflow, number),
        actor=actor_of(request),
        expected_revision=expected_revision(request),
    )
    return whole_workflow(get_workflow(request, id))
