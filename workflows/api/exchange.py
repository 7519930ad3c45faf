"""/api/workflows: workflows as documents, out and in, and steps pasted as text."""

from __future__ import annotations

import uuid
from typing import Any, Literal

from django.http import HttpRequest, HttpResponse
from ninja import Field, Query, Router, Schema

from workflows.api.base import (
    THING,
    WRITE,
    WRITE_THING,
    Body,
    ProblemOut,
    answer,
    errors,
    example,
    expected_revision,
)
from workflows.api.shapes import WorkflowOut
from workflows.api.workflows import actor_of, get_workflow, whole_workflow
from workflows.lib.documents import write_json
from workflows.lib.errors import Invalid, Problem
from workflows.services.export_workflows import Exported, export_workflow, export_workflows
from workflows.services.fields import clean_project
from workflows.services.import_workflows import import_document, look_through
from workflows.services.paste_document import paste_document
from workflows.tenancy.error_pages import problem_json
from workflows.tenancy.roles import Permission

router = Router(tags=["Workflows"])

_TYPES = {"yaml": "application/yaml; charset=utf-8", "json": "application/json; charset=utf-8"}
# Said in the document in place of a JSON answer.
_FILE: dict[str, Any] = {
    "responses": {
        200: {
            "description": "The document.",
            "content": {
                "application/yaml": {"schema": {}},
                "application/json": {"schema": {"type": "object"}},
            },
        }
    }
}
EXAMPLE = {
    "document": "stepwell: 1\nworkflows:\n  - name: Tidy\n    nodes:\n      - {id: tidy, type: clean_text, name: Tidy}\n",
    "if_there": "new",
}


class Format(Schema):
    format: Literal["yaml", "json"] = "yaml"


class OneFormat(Format):
    version: int | None = Field(None, description="A published version; the draft when left out.")


class ManyFormat(Format):
    project: uuid.UUID | None = Field(None, description="Only the workflows of this project.")


class Document(Body):
    document: Any = Field(..., description="An export: its YAML or JSON as text, or the JSON itself.")
    if_there: Literal["new", "draft", "skip"] = Field(
        "new", description="For a name that is there already: a new workflow, its draft, or nothing."
    )
    choices: dict[str, Literal["new", "draft", "skip"]] = Field(
        {}, description="The same for single names, before `if_there`."
    )
    project: uuid.UUID | None = Field(
        None,
        description="Where all of them go; else the projects that the document names, made where missing.",
    )
    dry_run: bool = Field(False, description="Only say what would be made.")


class ImportedOut(Schema):
    """One workflow of the document."""

    name: str = Field(..., description="As in the document.")
    done: str = Field(..., description="created, changed, skipped; with dry_run: new or there.")
    id: str | None = Field(..., description="The workflow that was made, changed or left alone.")
    called: str | None = Field(..., description="Its name here.")
    problems: list[ProblemOut] = Field(..., description="What keeps it from being published as it is.")


class ImportedPage(Schema):
    items: list[ImportedOut]
    count: int
    dry_run: bool


class Pasted(Body):
    document: Any = Field(..., description="Steps as text or JSON: `nodes` and `edges`, or one workflow.")
    after: str = Field("", description="Id of the step behind which they go; at the end when left out.")


@router.get(
    "/export",
    response=errors(),
    openapi_extra=_FILE,
    operation_id="export_workflows",
    summary="Export all workflows, or a project's",
)
def export_all(request: HttpRequest, query: Query[ManyFormat]) -> HttpResponse:
    """The drafts as one document, in YAML or JSON, without secrets. The header X-Stepwell-Left-Out counts what was
    left out."""
    actor = actor_of(request)
    project = clean_project(str(query.project) if query.project else None, actor)
    return _file(export_workflows(actor=actor, project=project, format=query.format), query.format)


@router.get(
    "/{id}/export",
    response=THING,
    openapi_extra=_FILE,
    operation_id="export_workflow",
    summary="Export a workflow",
)
def export_one(request: HttpRequest, id: str, query: Query[OneFormat]) -> HttpResponse:
    """The draft, or a published version, as a document that imports anywhere and exports to the same text."""
    found = export_workflow(
        workflow=get_workflow(request, id),
        actor=actor_of(request),
        version=query.version,
        format=query.format,
    )
    return _file(found, query.format)


@router.post(
    "/import",
    response={200: ImportedPage, 201: ImportedPage, **WRITE, **errors(409)},
    operation_id="import_workflows",
    summary="Import a document",
    openapi_extra=example(EXAMPLE),
)
def import_(request: HttpRequest, body: Document) -> HttpResponse:
    """All of its workflows, or none: 422 names every problem with line and path. What only keeps a workflow from being
    published comes back in `problems`; it is a draft all the same."""
    actor = actor_of(request)
    actor.require(Permission.EDIT_WORKFLOWS)
    project = clean_project(str(body.project) if body.project else None, actor)
    text = _text_of(body.document)
    entries = look_through(actor=actor, text=text)
    if body.dry_run:
        items = [
            {
                "name": entry.text.name,
                "done": "there" if entry.existing is not None else "new",
                "id": str(entry.existing.pk) if entry.existing is not None else None,
                "called": entry.existing.name if entry.existing is not None else None,
                "problems": [problem_json(problem) for problem in entry.problems],
            }
            for entry in entries
        ]
        return answer({"items": items, "count": len(items), "dry_run": True})
    made = import_document(
        actor=actor, text=text, if_there=body.if_there, choices=body.choices, project=project
    )
    items = [
        {
            "name": one.name,
            "done": str(one.done),
            "id": str(one.workflow.pk),
            "called": one.workflow.name,
            "problems": [problem_json(problem) for problem in entry.problems],
        }
        for one, entry in zip(made, entries, strict=True)
    ]
    return answer({"items": items, "count": len(items), "dry_run": False}, 201)


@router.post(
    "/{id}/paste",
    response={200: WorkflowOut, **WRITE_THING, **errors(412)},
    operation_id="paste_steps",
    summary="Paste steps into the draft",
    openapi_extra=example({"document": {"nodes": [{"id": "tidy", "type": "clean_text", "name": "Tidy"}]}}),
)
def paste(request: HttpRequest, id: str, body: Pasted) -> HttpResponse:
    """They get fresh ids and names that are free; references among them follow. `If-Match` holds as in PUT."""
    workflow = get_workflow(request, id, Permission.EDIT_WORKFLOWS)
    paste_document(
        workflow=workflow,
        actor=actor_of(request),
        text=_text_of(body.document),
        after=body.after,
        expected_revision=expected_revision(request),
    )
    return whole_workflow(get_workflow(request, id))


def _text_of(document: object) -> str:
    if isinstance(document, str):
        return document
    if isinstance(document, dict | list):
        return write_json(document)
    message = "document must be the text of an export, or its JSON."
    raise Invalid(message, problems=(Problem("bad_value", message, field="document", path="document"),))


def _file(found: Exported, format: str) -> HttpResponse:
    response = HttpResponse(found.text, content_type=_TYPES[format])
    response.headers["Content-Disposition"] = f'attachment; filename="{found.ascii_name}"'
    response.headers["X-Stepwell-Left-Out"] = str(len(found.left_out))
    return response
