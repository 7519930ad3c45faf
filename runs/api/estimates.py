"""/api/workflows/{id}/estimate: what a run will probably cost, before it starts."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from django.http import HttpRequest, HttpResponse
from ninja import Body as JsonBody
from ninja import Field, Router, Schema

from runs.services.estimate_run import estimate_run
from workflows.api.base import THING, WRITE_THING, Body, answer, example, money
from workflows.api.workflows import get_workflow
from workflows.services.estimate import Estimate
from workflows.tenancy.roles import Permission

router = Router(tags=["Executions"])

_LARGEST_NUMBER: Final = 2**31 - 1


class Wish(Body):
    input_data: dict[str, Any] = Field({}, description="The input of the run, as far as it is known.")
    version: Annotated[int, Field(ge=1, le=_LARGEST_NUMBER)] | Literal["draft"] | None = Field(
        None, description="The newest published one when left out; the draft if there is none."
    )


class StepEstimateOut(Schema):
    node_id: str
    node_name: str
    model: str
    input_tokens: list[int] = Field(..., description="Low and high.")
    output_tokens: list[int] = Field(..., description="Low and high.")
    low: float
    high: float
    price_known: bool = Field(..., description="false: nobody has a price for this model, so it counts as 0.")
    runs: int = Field(..., description="Earlier runs that it rests on; 0: on the length of the prompt.")


class EstimateOut(Schema):
    """US dollars, low and high."""

    low: float
    high: float
    price_known: bool = Field(..., description="false: a model without a price is in it; it may cost more.")
    runs: int
    basis: str
    nodes: list[StepEstimateOut]


@router.get(
    "/{id}/estimate",
    response={200: EstimateOut, **THING},
    operation_id="get_estimate",
    summary="Estimate a run",
)
def get(request: HttpRequest, id: str) -> HttpResponse:
    """The range of the next run of the newest published version."""
    return answer(_json(estimate_run(workflow=get_workflow(request, id))))


@router.post(
    "/{id}/estimate",
    response={200: EstimateOut, **WRITE_THING},
    operation_id="estimate_run",
    summary="Estimate a run with this input",
    openapi_extra=example({"input_data": {"text": "The lamp of the harbour was lit."}}),
)
def post(request: HttpRequest, id: str, body: JsonBody[Wish | None] = None) -> HttpResponse:
    """The range of a run with this input. Nothing is started or kept."""
    wish = body or Wish.model_validate({})
    workflow = get_workflow(request, id, Permission.RUN)
    return answer(_json(estimate_run(workflow=workflow, input_data=wish.input_data, version=wish.version)))


def _json(found: Estimate) -> dict[str, Any]:
    return {
        "low": money(found.low),
        "high": money(found.high),
        "price_known": found.known,
        "runs": found.runs,
        "basis": found.basis,
        "nodes": [
            {
                "node_id": step.key,
                "node_name": step.label,
                "model": step.model,
                "input_tokens": list(step.input_tokens),
                "output_tokens": list(step.output_tokens),
                "low": money(step.low),
                "high": money(step.high),
                "price_known": step.known,
                "runs": step.runs,
            }
            for step in found.steps
        ],
    }
