"""/api/workflow-executions: start runs, watch them, hold them, try them again."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from ninja import Body as JsonBody
from ninja import Field, Query, Router
from ninja.params.functions import Header
from pydantic import Discriminator, StrictBool, StrictInt, Tag

from runs.api.events import stream_of
from runs.api.items import ItemPage, items_json
from runs.api.shapes import Execution, ExecutionPage, LogPage, TracePage, event_json, executions_json
from runs.models import Event, Run
from runs.services.control_run import cancel_run, pause_run, resume_run, retry_run
from runs.services.debug_run import storable
from runs.services.retry_items import NO_VALUE, retry_items
from runs.services.start_run import start_run
from workflows.api.base import THING, WRITE_THING, Body, Filters, answer, errors, example, page
from workflows.api.workflows import actor_of, get_workflow
from workflows.lib.errors import Invalid, Problem, TooLarge
from workflows.lib.jsontypes import JSONObject
from workflows.models import Workflow
from workflows.services.samples import find_sample
from workflows.tenancy.access import get_or_404
from workflows.tenancy.actor import Actor
from workflows.tenancy.managers import TenantQuerySet
from workflows.tenancy.roles import Permission

# What starts under a workflow's address, and what has an address of its own.
start_router = Router(tags=["Executions"])
router = Router(tags=["Executions"])

_IDEMPOTENCY_CHARS: Final = 255
LARGEST_NUMBER: Final = 2**31 - 1


class Start(Body):
    input_data: dict[str, Any] = Field(
        {}, description="One value for each input variable; at most 2,000,000 bytes."
    )
    sample: str | None = Field(
        None,
        max_length=120,
        description="Name or id of one of the workflow's samples; `input_data` lies over its values.",
    )
    variables: dict[str, Any] | None = Field(None, description="Context variables at the start.")
    version: Annotated[int, Field(ge=1, le=LARGEST_NUMBER)] | Literal["draft"] | None = Field(
        None, description="The newest published one when left out; the draft if there is none."
    )
    test: StrictBool = Field(False, description="A test run: counts for no success figures.")
    breakpoints: list[Annotated[str, Field(max_length=64)]] = Field(
        [], max_length=500, description="Ids of steps before which it stops."
    )
    yolo: StrictBool | None = Field(
        None, description="Reviews approve themselves; takes a role that may approve."
    )


def _which_items(value: Any) -> str:
    """Which of the two a wish names, so that only what is wrong with that one is told."""
    return "indexes" if isinstance(value, list) else "word"


class Retry(Body):
    from_step: str | None = Field(
        None, max_length=64, description="Id of a step: it and what follows run again."
    )
    model: str | None = Field(
        None, max_length=120, description="`provider:model` for the rest of this run only."
    )

    input: Any = Field(
        None,
        description="Another input: for the one item that `items` names, else for the step `from_step`, or the failed one.",
    )
    items: (
        Annotated[
            Annotated[Literal["failed"], Tag("word")]
            | Annotated[
                list[Annotated[StrictInt, Field(ge=0, lt=100_000)]], Field(max_length=5_000), Tag("indexes")
            ],
            Discriminator(_which_items),
        ]
        | None
    ) = Field(
        None,
        description="`failed`, or indexes from 0: only these items of a loop or fan-out are done again. `from_step` names "
        "it where items of several failed.",
    )


class ItemFilters(Filters):
    step: str = Field("", max_length=64, description="Id of the loop or fan-out; all of them when left out.")
    scope: str | None = Field(
        None, max_length=255, description="Where the loop or fan-out itself runs; empty for the top."
    )
    status: Literal["pending", "running", "completed", "failed", "cancelled"] | None = None
    q: str = Field("", max_length=200, description="Words of the heading.")


class ExecutionFilters(Filters):
    workflow_id: uuid.UUID | None = None
    status: Literal["pending", "running", "paused", "completed", "failed", "cancelled"] | None = None
    version: str = Field("", pattern=r"^([1-9][0-9]{0,8}|draft)?$", description="A number, or `draft`.")
    trigger: Literal["manual", "api", "schedule", "webhook", "event"] | None = None
    kind: Literal["live", "test", "step", "replay"] | None = Field(
        None, description="All but tests of single steps when left out."
    )
    since: datetime | None = Field(None, alias="from", description="Created at this time or later.")
    until: datetime | None = Field(None, alias="to", description="Created before this time.")
    include: Literal["steps"] | None = Field(None, description="Adds `execution_trace` to each.")


class StepFilters(Filters):
    status: (
        Literal["pending", "queued", "running", "waiting", "completed", "failed", "skipped", "cancelled"]
        | None
    ) = None


class LogFilters(Filters):
    after: int = Field(0, ge=0, le=2**53, description="Only events with a higher `seq`.")
    type: str = Field("", max_length=24)


def get_run(request: HttpRequest, id: str, permission: Permission = Permission.VIEW) -> Run:
    """The caller's run; 404 when it is another's or not there, 403 when the role may not."""
    return get_or_404(_runs(actor_of(request)), actor_of(request), id, permission)


def _runs(actor: Actor) -> TenantQuerySet[Run]:
    rows = Run.objects.for_tenant(actor.tenant)
    return rows.select_related("version").defer("version__document", "trigger_data")


def whole(run: Run, status: int = 200) -> HttpResponse:
    headers = {"Location": f"/api/workflow-executions/{run.pk}"} if status == 202 else {}
    return answer(executions_json([run], whole=True, steps=True)[0], status, headers)


# --- start --------------------------------------------------------------------------------------------------------


@start_router.post(
    "/{id}/execute",
    response={202: Execution, **WRITE_THING},
    operation_id="execute_workflow",
    summary="Run a workflow",
    openapi_extra=example({"input_data": {"text": "Stepwell runs workflows …"}}),
)
def execute(
    request: HttpRequest,
    id: str,
    body: JsonBody[Start | None] = None,
    idempotency_key: str = Header(
        "",
        alias="Idempotency-Key",
        description="The same key and body within 24 hours give the same execution.",
    ),
) -> HttpResponse:
    """Answers as soon as the run is recorded; it is never lost then. Poll the execution, or follow its events."""
    actor = actor_of(request)
    workflow = get_workflow(request, id, Permission.RUN)
    wish = body or Start.model_validate({})
    try:
        run = start_run(
            workflow=workflow,
            actor=actor,
            input_data=_with_sample(workflow, wish),
            variables=wish.variables,
            version=wish.version,
            test=wish.test,
            yolo=wish.yolo,
            breakpoints=wish.breakpoints,
            idempotency_key=_checked_key(idempotency_key),
            trigger_type="api" if actor.api_key is not None else "manual",
        )
    except TooLarge as error:
        problem = Problem("too_large", error.message, field="input_data", path="input_data")
        raise TooLarge(error.message, problems=(problem,)) from error
    return whole(get_run(request, str(run.pk)), 202)


def _with_sample(workflow: Workflow, wish: Start) -> JSONObject:
    if wish.sample is None:
        return wish.input_data
    found = find_sample(workflow, wish.sample)
    if found is None:
        message = f"The workflow has no sample “{wish.sample}”."
        problem = Problem("unknown_sample", message, field="sample", path="sample")
        raise Invalid(message, code="unknown_sample", problems=(problem,))
    return {**found.input, **wish.input_data}


def _checked_key(key: str) -> str:
    key = key.strip()
    if len(key) > _IDEMPOTENCY_CHARS or not key.isprintable():
        message = f"An Idempotency-Key has at most {_IDEMPOTENCY_CHARS} printable characters."
        problem = Problem("bad_value", message, field="Idempotency-Key", path="header.Idempotency-Key")
        raise Invalid(message, problems=(problem,))
    return key


# --- watch --------------------------------------------------------------------------------------------------------


@router.get(
    "",
    response={200: ExecutionPage, **errors()},
    operation_id="list_executions",
    summary="List executions",
)
def list_executions(request: HttpRequest, filters: Query[ExecutionFilters]) -> HttpResponse:
    """Newest first."""
    found: QuerySet[Run] = _runs(actor_of(request)).order_by("-created_at", "-number")
    found = found.filter(kind=filters.kind) if filters.kind else found.exclude(kind=Run.Kind.STEP)
    if filters.workflow_id:
        found = found.filter(workflow_id=filters.workflow_id)
    if filters.status:
        found = found.filter(status=filters.status)
    if filters.version == "draft":
        found = found.filter(version__number__isnull=True)
    elif filters.version:
        found = found.filter(version__number=int(filters.version))
    if filters.trigger:
        found = found.filter(trigger_type=filters.trigger)
    if filters.since:
        found = found.filter(created_at__gte=_in_utc(filters.since, "from"))
    if filters.until:
        found = found.filter(created_at__lt=_in_utc(filters.until, "to"))
    runs = list(found[filters.offset : filters.offset + filters.limit])
    return page(executions_json(runs, whole=False, steps=filters.include == "steps"), found.count())


def _in_utc(at: datetime, field: str) -> datetime:
    """A time without a zone is UTC."""
    try:
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except OverflowError as error:
        message = f"“{field}” lies outside of the years 1 to 9999 in UTC."
        problem = Problem("bad_value", message, field=field, path=f"query.{field}")
        raise Invalid(message, problems=(problem,)) from error


@router.get(
    "/{id}", response={200: Execution, **THING}, operation_id="get_execution", summary="Get an execution"
)
def get(request: HttpRequest, id: str) -> HttpResponse:
    return whole(get_run(request, id))


@router.get(
    "/{id}/steps",
    response={200: TracePage, **THING},
    operation_id="list_execution_steps",
    summary="List the steps of an execution",
)
def steps(request: HttpRequest, id: str, filters: Query[StepFilters]) -> HttpResponse:
    """Steps that have been reached, with what went in and what came out."""
    run = get_run(request, id)
    rows = executions_json([run], whole=True, steps=True)[0]["execution_trace"]
    if filters.status:
        rows = [row for row in rows if row["status"] == filters.status]
    return page(rows[filters.offset : filters.offset + filters.limit], len(rows))


@router.get(
    "/{id}/items",
    response={200: ItemPage, **THING},
    operation_id="list_execution_items",
    summary="List the items of an execution",
)
def items(request: HttpRequest, id: str, filters: Query[ItemFilters]) -> HttpResponse:
    """Items of loops and fan-outs with their input and result, in the input's order. Their steps are in the trace."""
    run = get_run(request, id)
    rows, count = items_json(
        run,
        step=filters.step,
        scope=filters.scope,
        status=filters.status or "",
        text=filters.q,
        limit=filters.limit,
        offset=filters.offset,
    )
    return page(rows, count)


@router.get(
    "/{id}/logs",
    response={200: LogPage, **THING},
    operation_id="list_execution_logs",
    summary="Read the log of an execution",
)
def logs(request: HttpRequest, id: str, filters: Query[LogFilters]) -> HttpResponse:
    """Everything that happened, oldest first. To read on: `after=` the last `seq`."""
    run = get_run(request, id)
    found = Event.objects.filter(run=run, tenant_id=run.tenant_id, seq__gt=filters.after).order_by("seq")
    if filters.type:
        found = found.filter(type=filters.type)
    rows = found[filters.offset : filters.offset + filters.limit]
    return page([event_json(event) for event in rows], found.count())


@router.get(
    "/{id}/events",
    response={200: None, 204: None, **THING},
    operation_id="follow_execution",
    summary="Follow an execution",
    openapi_extra={
        "parameters": [
            {
                "in": "header",
                "name": "Last-Event-ID",
                "required": False,
                "schema": {"type": "integer", "minimum": 0},
                "description": "The `seq` of the last event that was received; the stream goes on behind it.",
            }
        ],
        "responses": {
            200: {"description": "Events", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
        },
    },
)
async def follow(request: HttpRequest, id: str) -> HttpResponseBase:
    """Server-sent events: those of the log, as they happen, then the end of the stream. Each is `id: SEQ` and
    `data: JSON`. When a run that is over has nothing more to say the answer is 204, on which browsers stop asking."""
    return await stream_of(request, id, get_run)


# --- hold, go on, try again ---------------------------------------------------------------------------------------


def _control(request: HttpRequest, id: str, act: Callable[[Run], Run]) -> HttpResponse:
    run = get_run(request, id, Permission.CONTROL_RUNS)
    act(run)
    return whole(get_run(request, id))


@router.post(
    "/{id}/cancel",
    response={200: Execution, **WRITE_THING},
    operation_id="cancel_execution",
    summary="Cancel an execution",
)
def cancel(request: HttpRequest, id: str) -> HttpResponse:
    """Waiting work stops at once, work in flight within seconds; finished steps are kept."""
    return _control(request, id, lambda run: cancel_run(run=run, actor=actor_of(request)))


@router.post(
    "/{id}/pause",
    response={200: Execution, **WRITE_THING},
    operation_id="pause_execution",
    summary="Pause an execution",
)
def pause(request: HttpRequest, id: str) -> HttpResponse:
    """Steps under way finish, nothing new starts."""
    return _control(request, id, lambda run: pause_run(run=run, actor=actor_of(request)))


@router.post(
    "/{id}/resume",
    response={200: Execution, **WRITE_THING},
    operation_id="resume_execution",
    summary="Resume an execution",
)
def resume(request: HttpRequest, id: str) -> HttpResponse:
    """A paused run goes on; a failed one is retried from the step that failed; at a review it is 409 with the address
    of its decision."""
    return _control(request, id, lambda run: resume_run(run=run, actor=actor_of(request)))


@router.post(
    "/{id}/retry",
    response={200: Execution, 202: Execution, **WRITE_THING},
    operation_id="retry_execution",
    summary="Retry an execution",
    openapi_extra=example({"from_step": "summary", "model": "openai:gpt-4o-mini"}),
)
def retry(request: HttpRequest, id: str, body: JsonBody[Retry | None] = None) -> HttpResponse:
    """Goes on after a failure, keeping everything completed; with `from_step` that step and what follows run again.

    With `items` only failed items are done again, beside the others where the loop or fan-out is still at work; one item
    may get another `input`. Of a completed execution that makes a new one, whose `origin` is this:
    then the answer is 202 with the new one."""
    wish = body or Retry.model_validate({})
    if wish.items is not None:
        run = get_run(request, id, Permission.CONTROL_RUNS)
        chosen = None if wish.items == "failed" else wish.items
        again = retry_items(
            run=run,
            actor=actor_of(request),
            items=chosen,
            step=wish.from_step,
            model=wish.model,
            value=wish.input if "input" in wish.model_fields_set else NO_VALUE,
        )
        return whole(get_run(request, str(again.pk)), 200 if again.pk == run.pk else 202)
    return _control(
        request,
        id,
        lambda run: retry_run(
            run=run,
            actor=actor_of(request),
            from_step=wish.from_step,
            model=wish.model,
            input_data=storable(wish.input) if wish.input is not None else None,
        ),
    )
