"""/api/workflow-executions/{id}: done again as a new run, and what a person changes in one that is held."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from django.http import HttpRequest, HttpResponse
from ninja import Body as JsonBody
from ninja import Field, Router, Schema
from pydantic import StrictBool

from runs.api.executions import LARGEST_NUMBER, get_run, whole
from runs.api.shapes import Execution
from runs.services.replay_run import adopt_as_draft, replay_run
from workflows.api.base import WRITE_THING, Body, answer, example
from workflows.api.workflows import actor_of
from workflows.tenancy.roles import Permission

router = Router(tags=["Executions"])

StepId = Annotated[str, Field(max_length=64)]


class Replay(Body):
    from_step: StepId | None = Field(
        None, description="Id of a step: it and what follows run again, the rest is reused."
    )
    input_data: dict[str, Any] | None = Field(
        None, description="Replaces the input; at most 2,000,000 bytes. Left out: that of the execution."
    )
    variables: dict[str, Any] | None = Field(
        None, description="Context variables at the start, laid over the execution's."
    )
    config_overrides: dict[StepId, dict[str, Any]] | None = Field(
        None,
        max_length=200,
        description="Other settings of steps for the new execution only: `{node id: {setting: value}}`.",
    )
    version: Annotated[int, Field(ge=1, le=LARGEST_NUMBER)] | Literal["draft"] | None = Field(
        None, description="The execution's own version when left out."
    )
    test: StrictBool | None = Field(
        None, description="A test run sends nothing out. Left out: as the execution was."
    )
    breakpoints: list[StepId] = Field(
        [], max_length=500, description="Ids of steps before which it shall stop."
    )


class Adopted(Schema):
    """The draft after a replay's settings were written into it."""

    workflow_id: str
    revision: int


@router.post(
    "/{id}/replay",
    response={202: Execution, **WRITE_THING},
    operation_id="replay_execution",
    summary="Replay an execution",
    openapi_extra=example(
        {"from_step": "summary", "config_overrides": {"summary": {"model": "openai:gpt-4o-mini"}}}
    ),
)
def replay(request: HttpRequest, id: str, body: JsonBody[Replay | None] = None) -> HttpResponse:
    """A new execution whose `origin` is this one, which has to be over and stays as it is.

    Steps before `from_step`, and those whose settings did not change, are there from the start (`reused`). With neither
    `from_step` nor other settings everything runs again."""
    wish = body or Replay.model_validate({})
    run = get_run(request, id, Permission.RUN)
    made = replay_run(
        run=run,
        actor=actor_of(request),
        from_step=wish.from_step,
        input_data=wish.input_data,
        variables=wish.variables,
        config_overrides=wish.config_overrides,
        version=wish.version,
        test=wish.test,
        breakpoints=wish.breakpoints,
    )
    return whole(get_run(request, str(made.pk)), 202)


@router.post(
    "/{id}/adopt",
    response={200: Adopted, **WRITE_THING},
    operation_id="adopt_execution",
    summary="Adopt a replay's settings as the draft",
)
def adopt(request: HttpRequest, id: str) -> HttpResponse:
    """Writes the `config_overrides` of this execution into the workflow's draft; nothing is published."""
    run = get_run(request, id, Permission.EDIT_WORKFLOWS)
    workflow = adopt_as_draft(run=run, actor=actor_of(request))
    return answer({"workflow_id": str(workflow.pk), "revision": workflow.revision})
