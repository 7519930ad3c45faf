"""/api/reviews: gates that wait for people, and their decisions."""

from __future__ import annotations

import uuid
from typing import Any, Literal

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from ninja import Field, Query, Router

from runs.api.executions import get_run
from runs.api.shapes import EarlyDecisionOut, ReviewOut, ReviewPage, early_json, review_json
from runs.api.trace import Values
from runs.engine.statuses import RunStatus
from runs.models import Review
from runs.services import reassign_review
from runs.services.decide_review import decide_early, decide_review, steps_to_change
from runs.services.viewing import is_for
from workflows.api.base import THING, WRITE_THING, Body, Filters, answer, errors, example, page
from workflows.api.workflows import actor_of
from workflows.lib.errors import Invalid, Problem
from workflows.lib.jsontypes import JSONObject
from workflows.tenancy.access import get_or_404
from workflows.tenancy.actor import Actor
from workflows.tenancy.managers import TenantQuerySet
from workflows.tenancy.roles import Permission

router = Router(tags=["Reviews"])
early_router = Router(tags=["Reviews"])

_OVER = [RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.COMPLETED]


class DecisionIn(Body):
    decision: str = Field(..., max_length=64, description="One of the review's `decisions`, such as approve.")
    comment: str = Field("", max_length=10_000)
    output: dict[str, Any] | str | None = Field(
        None, description="The value as it shall go on: a text replaces the main text, an object all of it."
    )
    fields: dict[str, Any] | None = Field(None, description="Values of the review's `form`.")

    to_step: str | None = Field(
        None,
        max_length=64,
        description="With the decision `changes`: id of the step that shall do its work again, one of the review's "
        "`may_go_back_to`; the nearest one when left out.",
    )

    def said(self) -> dict[str, Any]:
        """As the services take it."""
        return {
            "decision": self.decision,
            "comment": self.comment,
            "edited_text": self.output if isinstance(self.output, str) else None,
            "output": self.output if isinstance(self.output, dict) else None,
            "fields": self.fields,
            "to_step": self.to_step,
        }


class HandOverIn(Body):
    to: str = Field(..., max_length=254, description="Email address of the member who shall decide.")
    note: str = Field("", max_length=500, description="What they are told with it.")


class EarlyDecisionIn(DecisionIn):
    scope: str = Field("", max_length=255, description="Where inside containers; empty at the top.")


class ReviewFilters(Filters):
    status: Literal["open", "held", "decided", "cancelled", "all"] = "open"
    workflow_id: uuid.UUID | None = None
    execution_id: uuid.UUID | None = None
    mine: bool = Field(False, description="Only those that the caller may decide.")


EXAMPLE: JSONObject = {"decision": "approve", "comment": "Well done."}


def _reviews(actor: Actor) -> TenantQuerySet[Review]:
    rows = Review.objects.for_tenant(actor.tenant).select_related("run__version", "workflow", "step_run")
    return rows.defer(
        "run__version__document",
        "run__input",
        "run__output",
        "run__variables",
        "step_run__output",
        "workflow__settings",
    )


def _shown(actor: Actor, reviews: list[Review], *, whole: bool) -> list[JSONObject]:
    """Two queries at most, whatever their number: the values under review are read together."""
    values = Values([review.run for review in reviews], whole=whole)
    values.read((review.run_id, review.content) for review in reviews)
    return [
        review_json(
            review,
            values.of(review.run_id, review.content),
            may_decide=review.status == Review.Status.OPEN and is_for(review, actor),
            back_to=steps_to_change(review) if review.status == Review.Status.OPEN else (),
        )
        for review in reviews
    ]


@router.get("", response={200: ReviewPage, **errors()}, operation_id="list_reviews", summary="List reviews")
def list_reviews(request: HttpRequest, filters: Query[ReviewFilters]) -> HttpResponse:
    """Those that wait, oldest first; others with `status`."""
    actor = actor_of(request)
    found: QuerySet[Review] = _reviews(actor).order_by("created_at", "pk")
    if filters.status != "all":
        found = found.filter(status=filters.status)
    if filters.status == "open":
        # A gate of a run that has ended meanwhile can no longer be decided.
        found = found.exclude(run__status__in=_OVER)
    if filters.workflow_id:
        found = found.filter(workflow_id=filters.workflow_id)
    if filters.execution_id:
        found = found.filter(run_id=filters.execution_id)
    part = slice(filters.offset, filters.offset + filters.limit)
    if filters.mine:
        # Who may decide is not a question for the database; open ones are few.
        mine = [review for review in found.filter(status=Review.Status.OPEN) if is_for(review, actor)]
        return page(_shown(actor, mine[part], whole=False), len(mine))
    return page(_shown(actor, list(found[part]), whole=False), found.count())


def _get(request: HttpRequest, id: str, permission: Permission = Permission.VIEW) -> Review:
    return get_or_404(_reviews(actor_of(request)), actor_of(request), id, permission)


@router.get("/{id}", response={200: ReviewOut, **THING}, operation_id="get_review", summary="Get a review")
def get(request: HttpRequest, id: str) -> HttpResponse:
    return answer(_shown(actor_of(request), [_get(request, id)], whole=True)[0])


@router.post(
    "/{id}/decide",
    response={200: ReviewOut, **WRITE_THING},
    operation_id="decide_review",
    summary="Decide a review",
    openapi_extra=example(EXAMPLE),
)
def decide(request: HttpRequest, id: str, body: DecisionIn) -> HttpResponse:
    """Once: a later decision is 409 and says who decided and when. The original is kept beside an edited output."""
    review = _get(request, id, Permission.REVIEW)
    decide_review(review=review, actor=actor_of(request), **body.said())
    return answer(_shown(actor_of(request), [_get(request, id)], whole=True)[0])


@router.post(
    "/{id}/hand-over",
    response={200: ReviewOut, **WRITE_THING},
    operation_id="hand_over_review",
    summary="Hand a review over to another person",
    openapi_extra=example({"to": "ana@example.com", "note": "You know this customer."}),
)
def hand_over(request: HttpRequest, id: str, body: HandOverIn) -> HttpResponse:
    """Who may decide it lets another member decide in their place; they are told. 409 when it does not wait any more."""
    actor = actor_of(request)
    review = _get(request, id, Permission.REVIEW)
    to = reassign_review.person_called(actor, body.to)
    if to is None:
        message = f"Nobody in this workspace has the address {body.to}."
        fix = "Name the email address of a member who may review."
        raise Invalid(message, problems=(Problem("unknown_person", message, field="to", fix=fix),))
    reassign_review.hand_over(review=review, actor=actor, to=to, note=body.note.strip())
    return answer(_shown(actor, [_get(request, id)], whole=True)[0])


@early_router.post(
    "/{id}/reviews/{node_id}/decide",
    response={200: ReviewOut, 202: EarlyDecisionOut, **WRITE_THING},
    operation_id="decide_review_early",
    summary="Decide a review of a run, also before it opens",
    openapi_extra=example(EXAMPLE),
)
def decide_ahead(request: HttpRequest, id: str, node_id: str, body: EarlyDecisionIn) -> HttpResponse:
    """Decides the gate where it waits (200), else leaves the decision for it (202); whether the caller may decide it
    is then asked when it opens."""
    actor = actor_of(request)
    run = get_run(request, id, Permission.REVIEW)
    made = decide_early(run=run, actor=actor, step_key=node_id, scope=body.scope, **body.said())
    if isinstance(made, Review):
        return answer(_shown(actor, [_get(request, str(made.pk))], whole=True)[0])
    return answer(early_json(made), 202)
