"""/api/workflows/{id}/versions/{a}/compare/{b}: what differs between two versions, or a version and the draft."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Field, Router, Schema

from workflows.api.base import THING, answer
from workflows.api.workflows import get_workflow, version_of
from workflows.definition.diff import changes, summary_sentence
from workflows.definition.graph import Definition
from workflows.lib.errors import NotFound
from workflows.models import Workflow
from workflows.services.definitions import load_definition
from workflows.services.drafts import compile_draft
from workflows.tenancy.access import NOT_FOUND

router = Router(tags=["Workflows"])


class FieldChangeOut(Schema):
    name: str = Field(..., description="As in the definition; settings of a node as `config.NAME`.")
    before: Any = None
    after: Any = None


class ChangeOut(Schema):
    """One thing that was added, removed or changed."""

    kind: str = Field(..., description="added, removed or changed.")
    part: str = Field(..., description="step, edge, variable, trigger or setting.")
    key: str = Field(..., description="Id of the node, edge or trigger; name of the variable or setting.")
    label: str
    only_layout: bool = Field(
        ..., description="Whether it only stands elsewhere, on the canvas or in the list."
    )
    fields: list[FieldChangeOut]


class ComparisonOut(Schema):
    from_: str = Field(..., alias="from", description="A number, or draft.")
    to: str
    summary: str = Field(..., description="The changes in one sentence.")
    changes: list[ChangeOut]


@router.get(
    "/{id}/versions/{a}/compare/{b}",
    response={200: ComparisonOut, **THING},
    operation_id="compare_versions",
    summary="Compare two versions",
)
def compare(request: HttpRequest, id: str, a: str, b: str) -> HttpResponse:
    """What has to change in `a` to make it `b`; each is a number or `draft`. Ids of edges and the order of keys do not
    count."""
    workflow = get_workflow(request, id)
    found = changes(_definition(workflow, a), _definition(workflow, b))
    return answer(
        {
            "from": a,
            "to": b,
            "summary": summary_sentence(found),
            "changes": [
                {
                    "kind": str(change.kind),
                    "part": str(change.part),
                    "key": change.key,
                    "label": change.label,
                    "only_layout": change.only_layout,
                    "fields": [
                        {"name": field.name, "before": field.before, "after": field.after}
                        for field in change.fields
                    ],
                }
                for change in found
            ],
        }
    )


def _definition(workflow: Workflow, which: str) -> Definition:
    if which == "draft":
        return compile_draft(workflow)
    if not (which.isascii() and which.isdecimal() and len(which) < 10):
        raise NotFound(NOT_FOUND)
    return load_definition(version_of(workflow, int(which)))
