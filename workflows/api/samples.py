"""/api/workflows/…/samples: named inputs that are kept with a workflow."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Field, Router, Schema

from workflows.api.base import THING, WRITE_THING, Body, answer, example, nothing, page, stamp
from workflows.api.workflows import actor_of, get_workflow
from workflows.definition.samples import sample_problems
from workflows.lib.jsontypes import JSONObject
from workflows.models import SampleInput, Workflow
from workflows.services.drafts import compile_draft
from workflows.services.samples import remove_sample, rename_sample, samples_of, save_sample
from workflows.tenancy.access import get_or_404
from workflows.tenancy.error_pages import problem_json
from workflows.tenancy.roles import Permission

router = Router(tags=["Samples"])


class NewSample(Body):
    name: str = Field(..., description="1 to 120 characters, once in a workflow.")
    input: dict[str, Any] = Field(
        ..., description="As `input_data` of a run; checked against the draft's variables."
    )
    replace: bool = Field(False, description="Write over a sample of that name.")


class SampleName(Body):
    name: str


class SampleOut(Schema):
    """An input that can be given as `input_data`, or by its name as `sample`, when the workflow is run."""

    id: str
    name: str
    input: dict[str, Any]
    created_by: str | None
    created_at: str
    updated_at: str
    problems: list[dict[str, Any]] = Field(
        ..., description="Why the draft would not take it; empty: it fits."
    )


class SamplePage(Schema):
    items: list[SampleOut]
    count: int


@router.get(
    "/{id}/samples",
    response={200: SamplePage, **THING},
    operation_id="list_samples",
    summary="List the samples of a workflow",
)
def list_samples(request: HttpRequest, id: str) -> HttpResponse:
    """By name, at most 50."""
    workflow = get_workflow(request, id)
    definition = compile_draft(workflow)
    rows = list(samples_of(workflow).select_related("created_by"))
    items = []
    for row in rows:
        problems = [problem_json(one) for one in sample_problems(definition, row.input)]
        items.append({**_sample_json(row), "problems": problems})
    return page(items, len(items))


@router.post(
    "/{id}/samples",
    response={201: SampleOut, **WRITE_THING},
    operation_id="save_sample",
    summary="Save a sample",
    openapi_extra=example({"name": "A long letter", "input": {"text": "Dear Stepwell …"}}),
)
def save(request: HttpRequest, id: str, body: NewSample) -> HttpResponse:
    """422 names each variable that the input does not fit; 409 says that the name is taken."""
    workflow = get_workflow(request, id, Permission.EDIT_WORKFLOWS)
    row = save_sample(
        workflow=workflow,
        actor=actor_of(request),
        name=body.name,
        data=body.input,
        replace=body.replace,
    )
    return answer({**_sample_json(row), "problems": []}, 201)


@router.patch(
    "/{id}/samples/{sample}",
    response={200: SampleOut, **WRITE_THING},
    operation_id="rename_sample",
    summary="Rename a sample",
    openapi_extra=example({"name": "A short letter"}),
)
def rename(request: HttpRequest, id: str, sample: str, body: SampleName) -> HttpResponse:
    workflow = get_workflow(request, id, Permission.EDIT_WORKFLOWS)
    row = rename_sample(sample=_sample(request, workflow, sample), actor=actor_of(request), name=body.name)
    problems = sample_problems(compile_draft(workflow), row.input)
    return answer({**_sample_json(row), "problems": [problem_json(one) for one in problems]})


@router.delete(
    "/{id}/samples/{sample}",
    response={204: None, **WRITE_THING},
    operation_id="delete_sample",
    summary="Delete a sample",
)
def delete(request: HttpRequest, id: str, sample: str) -> HttpResponse:
    workflow = get_workflow(request, id, Permission.EDIT_WORKFLOWS)
    remove_sample(sample=_sample(request, workflow, sample), actor=actor_of(request))
    return nothing()


def _sample(request: HttpRequest, workflow: Workflow, pk: str) -> SampleInput:
    return get_or_404(samples_of(workflow).select_related("workflow"), actor_of(request), pk)


def _sample_json(row: SampleInput) -> JSONObject:
    return {
        "id": str(row.pk),
        "name": row.name,
        "input": row.input,
        "created_by": str(row.created_by) if row.created_by is not None else None,
        "created_at": stamp(row.created_at),
        "updated_at": stamp(row.updated_at),
    }
