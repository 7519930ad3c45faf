"""/api/workflow-executions/{id}: done again as a new run, and what a person changes in one that is held."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from django.http import HttpRequest, HttpResponse
from ninja import Body as JsonBody
from ninja import Field, Router, Schema
from pydantic import StrictBool, StrictInt

from runs.api.executions import LARGEST_NUMBER, get_run, whole
from runs.api.shapes import Execution
from runs.services.change_version import continue_on_version, versions_to_continue
from runs.services.debug_run import edit_input, edit_output, edit_variable, set_breakpoints, step_run
from runs.services.replay_run import adopt_as_draft, replay_run
from runs.services.retry_items import stop_items
from workflows.api.base import THING, WRITE_THING, Body, answer, example, page
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


class Breakpoints(Body):
    steps: list[StepId] = Field(
        ..., max_length=500, description="Ids of steps; an empty list takes all away."
    )


class VariableEdit(Body):
    what: Literal["variable"]
    name: str = Field(..., max_length=120, description="A context variable of the version.")
    value: Any = Field(...)


class InputEdit(Body):
    what: Literal["input"]
    step: StepId = Field(..., description="A step that has not begun.")
    scope: str = Field("", max_length=255, description="Where inside containers; empty at the top.")
    value: Any = Field(..., description="In place of what arrives; a text is its `content`.")


class OutputEdit(Body):
    what: Literal["output"]
    step: StepId = Field(..., description="A completed step.")
    scope: str = Field("", max_length=255, description="Where inside containers; empty at the top.")
    value: Any = Field(..., description="The new output; a text is its `content`.")
    rerun: StrictBool = Field(False, description="Steps after it that have run already run again.")


Change = Annotated[VariableEdit | InputEdit | OutputEdit, Field(discriminator="what")]


class StopItems(Body):
    step: StepId = Field(..., description="Id of the loop or fan-out.")
    scope: str = Field("", max_length=255, description="Where it runs inside containers; empty at the top.")
    items: list[Annotated[StrictInt, Field(ge=0, lt=100_000)]] | None = Field(
        None,
        max_length=5_000,
        description="Indexes from 0 to leave out. Left out: all that are not finished.",
    )


class WantedVersion(Body):
    version: int = Field(..., ge=1, le=LARGEST_NUMBER)


class OfferOut(Schema):
    """A published version with which the execution may go on."""

    version: int
    reason: str | None = Field(..., description="Why it may not, naming the step; null: it may.")


class OfferPage(Schema):
    items: list[OfferOut]
    count: int


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


# --- looking into it ----------------------------------------------------------------------------------------------


@router.put(
    "/{id}/breakpoints",
    response={200: Execution, **WRITE_THING},
    operation_id="set_breakpoints",
    summary="Set the breakpoints of an execution",
    openapi_extra=example({"steps": ["summary"]}),
)
def put_breakpoints(request: HttpRequest, id: str, body: JsonBody[Breakpoints]) -> HttpResponse:
    """It stops before these steps: paused, with `waiting_for` saying where. `resume` and `step` go on.

    What runs it obeys within a second; until then `breakpoints` shows those before."""
    run = get_run(request, id, Permission.CONTROL_RUNS)
    set_breakpoints(run=run, actor=actor_of(request), steps=body.steps)
    return whole(get_run(request, id))


@router.post(
    "/{id}/step",
    response={200: Execution, **WRITE_THING},
    operation_id="step_execution",
    summary="Run one step of an execution",
)
def step(request: HttpRequest, id: str) -> HttpResponse:
    """Exactly one next step starts, then the execution is paused again. Steps that were under way go on to their end."""
    run = get_run(request, id, Permission.CONTROL_RUNS)
    step_run(run=run, actor=actor_of(request))
    return whole(get_run(request, id))


@router.post(
    "/{id}/edits",
    response={200: Execution, **WRITE_THING},
    operation_id="edit_execution",
    summary="Change data of a paused execution",
    openapi_extra=example({"what": "output", "step": "summary", "value": "A better summary."}),
)
def edit(request: HttpRequest, id: str, body: JsonBody[Change]) -> HttpResponse:
    """A context variable, the input of a step that has not begun, or the output of a completed one.

    An edited output is a round of its own, so that both are kept; steps that have run already are left as they are
    unless `rerun`. The log's `edited` and `variable_set` events say who changed what."""
    run, actor = get_run(request, id, Permission.CONTROL_RUNS), actor_of(request)
    match body:
        case VariableEdit():
            edit_variable(run=run, actor=actor, name=body.name, value=body.value)
        case InputEdit():
            edit_input(run=run, actor=actor, step=body.step, scope=body.scope, value=body.value)
        case OutputEdit():
            edit_output(
                run=run,
                actor=actor,
                step=body.step,
                scope=body.scope,
                value=body.value,
                rerun=body.rerun,
            )
    return whole(get_run(request, id))


@router.post(
    "/{id}/items/stop",
    response={200: Execution, **WRITE_THING},
    operation_id="stop_execution_items",
    summary="Stop the rest of a loop or fan-out, or skip items",
    openapi_extra=example({"step": "sections"}),
)
def stop(request: HttpRequest, id: str, body: JsonBody[StopItems]) -> HttpResponse:
    """Finished items stay, open ones are cancelled, and the loop or fan-out is closed by its own rules."""
    run = get_run(request, id, Permission.CONTROL_RUNS)
    stop_items(run=run, actor=actor_of(request), step=body.step, scope=body.scope, items=body.items)
    return whole(get_run(request, id))


# --- another version ----------------------------------------------------------------------------------------------


@router.get(
    "/{id}/versions",
    response={200: OfferPage, **THING},
    operation_id="list_execution_versions",
    summary="List versions with which an execution may go on",
)
def versions(request: HttpRequest, id: str) -> HttpResponse:
    """For one that failed or is paused: the ten newest other versions, each with what stands against it."""
    offers = versions_to_continue(get_run(request, id))
    return page([{"version": offer.version, "reason": offer.reason} for offer in offers], len(offers))


@router.post(
    "/{id}/version",
    response={200: Execution, **WRITE_THING},
    operation_id="change_execution_version",
    summary="Go on with another version",
    openapi_extra=example({"version": 3}),
)
def change_version(request: HttpRequest, id: str, body: JsonBody[WantedVersion]) -> HttpResponse:
    """A failed execution is retried on this version, a paused one stays paused; completed work is kept.

    409 with the code `version_differs` names the step that is done and differs in that version."""
    run = get_run(request, id, Permission.CONTROL_RUNS)
    continue_on_version(run=run, actor=actor_of(request), version=body.version)
    return whole(get_run(request, id))
