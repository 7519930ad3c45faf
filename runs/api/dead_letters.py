"""/api/dead-letters: runs that failed for good, by the cause they share; retried or discarded in batches."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from ninja import Body as JsonBody
from ninja import Field, Query, Router, Schema

from runs.services.dead_letters import BATCH, Done, discard_case, retry_case
from runs.snapshots.cases import (
    Case,
    Letter,
    LettersFilter,
    case_is_known,
    cases_of,
    found_letters,
    grouped,
    letters,
    letters_page,
)
from workflows.api.base import THING, WRITE_THING, Body, Filters, answer, errors, example, money, page, stamp
from workflows.api.workflows import actor_of
from workflows.lib.errors import Invalid, NotFound, Problem
from workflows.lib.jsontypes import JSONObject
from workflows.tenancy.access import NOT_FOUND
from workflows.tenancy.actor import Actor
from workflows.tenancy.roles import Permission

router = Router(tags=["Dead letters"])


class LetterOut(Schema):
    """A failed execution that waits for somebody."""

    execution_id: str
    number: int
    workflow_id: str
    workflow_name: str
    version: int | None
    step: str
    message: str
    kept: str
    cost: float
    failed_at: str


class CaseOut(Schema):
    """All dead letters of one cause."""

    id: str
    count: int
    code: str
    message: str
    retryable: bool = Field(..., description="Whether trying again can help.")
    advice: str
    step: str = Field(..., description="The step that failed, by its label; empty where none did.")
    workflows: int = Field(..., description="How many workflows it has stopped.")
    version: int | None = Field(..., description="The oldest version concerned, where it is one workflow.")
    cost: float
    since: str
    newest: str
    letters: list[LetterOut] = Field(..., description="The newest three.")


class CasePage(Schema):
    items: list[CaseOut]
    count: int


class LetterPage(Schema):
    items: list[LetterOut]
    count: int


class CaseFilters(Filters):
    workflow_id: UUID | None = None
    search: str = Field("", max_length=200, description="In the cause, the workflow's name, or a run number.")
    order: Literal["newest", "most"] = "newest"


Chosen = Annotated[list[UUID], Field(min_length=1, max_length=BATCH)]


class RetryWish(Body):
    executions: Chosen | None = Field(None, description="Only these. Left out: all of the case.")
    model: str | None = Field(None, max_length=120, description="provider:model, for these executions only.")
    until: datetime | None = Field(
        None, description="From the answer before: leaves out what has failed again since."
    )
    limit: int = Field(BATCH, ge=1, le=BATCH)


class DiscardWish(Body):
    reason: str = Field(..., min_length=1, max_length=500)
    executions: Chosen | None = Field(None, description="Only these. Left out: all of the case.")
    until: datetime | None = None
    limit: int = Field(BATCH, ge=1, le=BATCH)


class DoneOut(Schema):
    done: int = Field(..., description="How many were retried or discarded by this call.")
    left: int = Field(..., description="How many wait still. Above 0: call again with `until`.")
    until: str
    refused: list[str]


@router.get(
    "", response={200: CasePage, **errors()}, operation_id="list_dead_letters", summary="List dead letters"
)
def list_cases(request: HttpRequest, filters: Query[CaseFilters]) -> HttpResponse:
    """One row per cause, of executions that failed within 30 days and were neither retried nor discarded."""
    actor = actor_of(request)
    wanted = LettersFilter(filters.workflow_id, filters.search.strip(), filters.order)
    found = found_letters(actor.tenant, wanted)
    groups = grouped(found, wanted.order)
    part = list(groups[filters.offset : filters.offset + filters.limit])
    return page([_case_json(case) for case in cases_of(found, part)], groups.count())


@router.get(
    "/{case}",
    response={200: LetterPage, **THING},
    operation_id="list_dead_letters_of_case",
    summary="List the dead letters of a case",
)
def list_letters(request: HttpRequest, case: str, filters: Query[Filters]) -> HttpResponse:
    """Newest first. What each did stands at `/api/workflow-executions/{id}`."""
    actor = actor_of(request)
    _check(actor, case)
    found = letters_page(actor.tenant, case)
    part = found[filters.offset : filters.offset + filters.limit]
    return page([_letter_json(letter) for letter in letters(part)], found.count())


@router.post(
    "/{case}/retry",
    response={200: DoneOut, **WRITE_THING},
    operation_id="retry_dead_letters",
    summary="Retry dead letters",
    openapi_extra=example({"model": "google:gemini-2.5-pro"}),
)
def retry(request: HttpRequest, case: str, body: JsonBody[RetryWish | None] = None) -> HttpResponse:
    """Oldest first, at most 200 with one call; each goes on from where it stopped."""
    actor, wish = actor_of(request), body or RetryWish.model_validate({})
    actor.require(Permission.CONTROL_RUNS)
    _check(actor, case)
    done = retry_case(
        actor=actor,
        case=case,
        runs=wish.executions,
        model=wish.model,
        until=_aware(wish.until),
        most=wish.limit,
    )
    return answer(_done_json(done))


@router.post(
    "/{case}/discard",
    response={200: DoneOut, **WRITE_THING},
    operation_id="discard_dead_letters",
    summary="Discard dead letters",
    openapi_extra=example({"reason": "The order was cancelled."}),
)
def discard(request: HttpRequest, case: str, body: JsonBody[DiscardWish]) -> HttpResponse:
    """They leave the list and stay failed; the reason is kept with each, and in the audit log."""
    actor = actor_of(request)
    actor.require(Permission.CONTROL_RUNS)
    _check(actor, case)
    done = discard_case(
        actor=actor,
        case=case,
        reason=body.reason,
        runs=body.executions,
        until=_aware(body.until),
        most=body.limit,
    )
    return answer(_done_json(done))


def _check(actor: Actor, case: str) -> None:
    if not case_is_known(actor.tenant, case):
        raise NotFound(NOT_FOUND)


def _aware(moment: datetime | None) -> datetime | None:
    if moment is not None and moment.tzinfo is None:
        message = "Say the time with its zone, as the answer before did."
        raise Invalid(message, problems=(Problem("bad_value", message, field="until", path="until"),))
    return moment


def _case_json(case: Case) -> JSONObject:
    return {
        "id": case.key,
        "count": case.runs,
        "code": case.code,
        "message": case.headline,
        "retryable": case.retryable,
        "advice": case.helps,
        "step": case.step,
        "workflows": case.workflows,
        "version": case.version,
        "cost": money(case.cost),
        "since": stamp(case.first),
        "newest": stamp(case.newest),
        "letters": [_letter_json(letter) for letter in case.letters],
    }


def _letter_json(letter: Letter) -> JSONObject:
    return {
        "execution_id": str(letter.id),
        "number": letter.number,
        "workflow_id": str(letter.workflow_id),
        "workflow_name": letter.workflow,
        "version": letter.version,
        "step": letter.step,
        "message": letter.headline,
        "kept": letter.kept,
        "cost": money(letter.cost),
        "failed_at": stamp(letter.since),
    }


def _done_json(done: Done) -> JSONObject:
    return {"done": done.runs, "left": done.left, "until": stamp(done.until), "refused": list(done.refused)}
