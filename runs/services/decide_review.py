"""A person's decision at a gate: one conditional UPDATE that wins once, and mail to the run's driver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import IntegrityError, transaction
from django.db.models import Case, F, Max, Value, When

from runs import progress
from runs import queue as doorbell
from runs.engine.statuses import Intent, MailKind, RunStatus
from runs.models import EarlyDecision, Mail, Review, ReviewVote, Run, StepRun
from runs.notifications import settle_reviews
from runs.services.absences import stands_in_for
from runs.services.budget import HELD_BY
from runs.services.eligibility import why_not_eligible
from runs.services.prepared import prepared
from runs.services.values import BadValue, checked_output
from workflows.lib.clock import utc_now
from workflows.lib.errors import Conflict, Invalid, NotAllowed, NotFound, Problem, StepwellError
from workflows.lib.jsontypes import JSONObject
from workflows.lib.limits import STEP_ROUNDS
from workflows.services.events import is_heard, tell
from workflows.tenancy import audit
from workflows.tenancy.actor import Actor
from workflows.tenancy.roles import Permission

APPROVE = "approve"
REJECT = "reject"
CHANGES = "changes"


@dataclass(frozen=True, slots=True)
class Known:
    """What does not change from one decision to the next: whom the actor stands in for, and whether a trigger hears."""

    away: frozenset[str]
    heard: bool


def decide_many(
    *, actor: Actor, decisions: Sequence[tuple[Review, str, str]]
) -> list[tuple[Review, StepwellError | None]]:
    """Decide several gates, (review, decision, comment) each: a transaction for each, what they share is read once.

    One that is refused keeps none of the others; its error stands beside it.
    """
    actor.require(Permission.REVIEW)
    known = Known(stands_in_for(actor), is_heard(actor.tenant.pk))
    found: list[tuple[Review, StepwellError | None]] = []
    for review, decision, comment in decisions:
        try:
            decide_review(review=review, actor=actor, decision=decision, comment=comment, known=known)
        except StepwellError as error:
            found.append((review, error))
        else:
            found.append((review, None))
    done = [review.pk for review, _ in found if review.status == Review.Status.DECIDED]
    settle_reviews(actor.tenant.pk, done)
    return found


def decide_review(
    *,
    review: Review,
    actor: Actor,
    decision: str,
    comment: str = "",
    edited_text: str | None = None,
    output: JSONObject | None = None,
    fields: JSONObject | None = None,
    to_step: str | None = None,
    known: Known | None = None,
) -> Review:
    """Decide a gate. `edited_text` replaces the main text, `output` the whole value; the original is kept.

    The decision `changes` sends the work back: `to_step` (one of `steps_to_change`; left out: the one right before the
    gate) and what follows it begin a new round, and the comment goes to that step (`{{run.feedback}}`). It decides at
    once, whatever the quorum. `known`: what was read for several decisions before; what people were told of them is
    then settled by the caller.

    Raises NotAllowed (not eligible), Conflict (decided already: who and when; run over), Invalid (unknown decision,
    missing field, not editable).
    """
    actor.require(Permission.REVIEW)
    run = review.run
    reason = why_not_eligible(
        {"assignees": review.assignees, "bar_starter": review.bar_starter},
        run,
        actor.user,
        actor.role,
        stands_in=stands_in_for(actor) if known is None else known.away,
    )
    if reason is not None:
        raise NotAllowed(reason)
    back_to = _back_to(review, decision, comment, to_step)
    edited = _checked(review, decision, edited_text, output, fields, sends_back=bool(back_to))
    if review.quorum > 1 and decision == APPROVE and not _last_vote(review, actor, decision, comment):
        settle_reviews(review.tenant_id, [review.pk], person=actor.user)
        return review
    decided = {
        "status": Review.Status.DECIDED,
        "decision": decision,
        "comment": comment,
        "edited": edited,
        "field_values": fields or {},
        "back_to": back_to,
        "decided_by": actor.user,
        "decided_by_label": actor.label[:200],
        "decided_at": utc_now(),
    }
    with transaction.atomic():
        open_run = Run.objects.filter(
            pk=run.pk, status__in=[RunStatus.PENDING, RunStatus.RUNNING, RunStatus.PAUSED]
        )
        # Who allows more than the budget lets the run go on with the same deed, unless a person has paused it besides.
        goes_on = review.kind == Review.Kind.BUDGET and decision == APPROVE
        by_budget = When(intent_by=HELD_BY, intent=Intent.PAUSE, then=Value(Intent.NONE))
        named = When(intent_by=HELD_BY, then=Value(actor.label[:200]))
        intent = {
            "intent": Case(by_budget, default=F("intent")),
            "intent_by": Case(named, default=F("intent_by")),
        }
        intent = intent if goes_on else {}
        changed = open_run.exclude(intent=Intent.CANCEL).update(
            mail_seq=F("mail_seq") + 1, wake_at=utc_now(), **intent
        )
        won = changed and Review.objects.filter(pk=review.pk, status=Review.Status.OPEN).update(**decided)
        if not won:
            # Nothing may be written for a decision that came too late, the count of mail neither.
            transaction.set_rollback(True)
        else:
            Mail.objects.create(
                run=run,
                tenant_id=run.tenant_id,
                kind=MailKind.DECISION,
                payload={"review": str(review.pk)},
                actor=actor.user,
                actor_label=actor.label[:200],
            )
            audit.record(
                actor,
                "decided",
                review,
                after={
                    "decision": decision,
                    "comment": comment,
                    "edited": edited is not None,
                    **({"back_to": back_to} if back_to else {}),
                    **({"allowed_usd": review.content["more"]} if goes_on else {}),
                },
            )
            tell(
                run.tenant_id,
                "review.decided",
                {
                    "review": {"id": str(review.pk), "kind": review.kind, "title": review.title},
                    "run": {"id": str(run.pk), "number": run.number},
                    "decision": decision,
                    "by": actor.label,
                },
                key=f"review:{review.pk}",
                run=run.pk,
                depth=run.depth + 1,
                heard=None if known is None else known.heard,
            )
            if known is None:
                settle_reviews(run.tenant_id, [review.pk])
            doorbell.ring(run.pk)
    if not won:
        review.refresh_from_db()
        raise Conflict(_why_too_late(review), code="already_decided" if review.decided_at else "conflict")
    for name, value in decided.items():
        setattr(review, name, value)
    progress.run_changed(run.pk, run.tenant_id, run.event_seq)
    return review


def decide_early(
    *,
    run: Run,
    actor: Actor,
    step_key: str,
    decision: str,
    comment: str = "",
    edited_text: str | None = None,
    output: JSONObject | None = None,
    fields: JSONObject | None = None,
    scope: str = "",
    to_step: str | None = None,
) -> Review | EarlyDecision:
    """Decide a gate that may not have opened yet; where it has, the gate itself is decided.

    Eligibility is checked when the gate opens. Raises NotFound (no such gate in the run's version), Conflict.
    """
    actor.require(Permission.REVIEW)
    gate = Review.objects.filter(
        run=run, tenant_id=run.tenant_id, step_run__step_key=step_key, step_run__scope=scope
    ).order_by("-step_run__round", "-created_at")
    found = gate.first()
    if found is not None and found.status == Review.Status.OPEN:
        return decide_review(
            review=found,
            actor=actor,
            decision=decision,
            comment=comment,
            edited_text=edited_text,
            output=output,
            fields=fields,
            to_step=to_step,
        )
    # Ahead of time only a step that is sure to ask can be decided.
    definition = prepared(run.version_id, run.version.content_hash).definition
    if step_key not in definition.by_key or definition.step(step_key).type != "review":
        raise NotFound(f"The version of this run has no review “{step_key}”.")
    _check_early(definition.step(step_key).config, decision, to_step)
    if run.is_over or run.intent == Intent.CANCEL:
        raise Conflict(f"{run} is {run.status}, so nothing can be decided in it any more.")
    newest = StepRun.objects.filter(run=run, step_key=step_key, scope=scope).order_by("-round").first()
    # A gate that was sent back to a new round may be decided ahead of time once more.
    is_newest = found is not None and newest is not None and found.step_run_id == newest.pk
    if found is not None and is_newest and found.status == Review.Status.DECIDED:
        raise Conflict(_why_too_late(found), code="already_decided")
    edited = output if output is not None else ({"content": edited_text} if edited_text is not None else None)
    try:
        with transaction.atomic():
            early = EarlyDecision.objects.create(
                run=run,
                tenant_id=run.tenant_id,
                step_key=step_key,
                scope=scope,
                round=newest.round if newest is not None else 0,
                decision=decision,
                comment=comment,
                edited=edited,
                field_values=fields or {},
                person=actor.user,
                person_label=actor.label[:200],
                role=actor.role,
            )
            Run.objects.filter(pk=run.pk).update(mail_seq=F("mail_seq") + 1, wake_at=utc_now())
            Mail.objects.create(
                run=run,
                tenant_id=run.tenant_id,
                kind=MailKind.DECISION,
                payload={"early": early.pk},
                actor=actor.user,
                actor_label=actor.label[:200],
            )
            doorbell.ring(run.pk)
    except IntegrityError:
        first = (
            EarlyDecision.objects.filter(run=run, step_key=step_key, scope=scope).order_by("-round").first()
        )
        who = f" by {first.person_label}" if first is not None else ""
        raise Conflict(
            f"This review was decided ahead of time already{who}.", code="already_decided"
        ) from None
    return early


def _check_early(config: JSONObject, decision: str, to_step: str | None) -> None:
    """Raises Conflict for what can be said of work only that is there, Invalid for what is no decision of the gate."""
    known = [APPROVE, REJECT, *(str(button.get("decision")) for button in config.get("buttons") or ())]
    if to_step is not None or (decision == CHANGES and CHANGES not in known):
        raise Conflict(
            "The review has not opened yet, so there is nothing to be changed so far. Ask for changes when it has."
        )
    if decision not in known:
        message = f"“{decision}” is none of the decisions of this review."
        problem = Problem("unknown_decision", message, field="decision", fix=f"One of: {', '.join(known)}.")
        raise Invalid(message, problems=(problem,))


def steps_to_change(review: Review) -> list[tuple[str, str]]:
    """(key, label) of the steps that a reviewer may ask to do their work again, the nearest first.

    The gate's ancestors in its own scope; none for questions that no review step asks.
    """
    if review.kind != Review.Kind.GATE or review.step_run is None:
        return []
    run = review.run
    graph = prepared(run.version_id, run.version.content_hash).graph
    if review.step_run.step_key not in graph.order:
        return []
    before = graph.definition.ancestors(review.step_run.step_key)
    ordered = sorted(before, key=lambda key: graph.order[key], reverse=True)
    return [(key, graph.step(key).label) for key in ordered if graph.step(key).type != "start"]


def _back_to(review: Review, decision: str, comment: str, to_step: str | None) -> str:
    """The step to which the decision sends the work back; empty for every other decision. Raises Invalid, Conflict."""
    own = {button["decision"] for button in review.buttons}
    if decision != CHANGES or (decision in own and to_step is None):
        if to_step is not None:
            message = "Only a request for changes goes back to a step."
            problem = Problem("bad_value", message, field="to_step", fix=f"Decide “{CHANGES}”.")
            raise Invalid(message, problems=(problem,))
        return ""
    choices = dict(steps_to_change(review))
    problems: list[Problem] = []
    if not choices:
        message = "Nothing comes before this review that could be done again."
        raise Invalid(message, problems=(Problem("unknown_decision", message, field="decision"),))
    if to_step is None:
        to_step = next(iter(choices))
    elif to_step not in choices:
        names = ", ".join(choices)
        message = f"“{to_step}” does not come before this review. One of these does: {names}."
        problems.append(Problem("unknown_step", message, field="to_step", fix=f"Name one of {names}."))
    if not comment.strip():
        message = "Say what is to be changed."
        problems.append(Problem("required", message, field="comment", fix="Write it as the comment."))
    if problems:
        raise Invalid(problems[0].message, problems=tuple(problems))
    newest = StepRun.objects.filter(run=review.run, tenant_id=review.tenant_id).aggregate(top=Max("round"))
    if (newest["top"] or 0) >= STEP_ROUNDS.value:
        raise Conflict(STEP_ROUNDS.says())
    return to_step


def _checked(
    review: Review,
    decision: str,
    edited_text: str | None,
    output: JSONObject | None,
    fields: JSONObject | None,
    *,
    sends_back: bool = False,
) -> JSONObject | None:
    """The edited value, None when nothing was changed. Raises Invalid with every problem."""
    problems: list[Problem] = []
    known = [button["decision"] for button in review.buttons]
    if decision not in known and not sends_back:
        message = f"“{decision}” is no decision of this review. It takes: {', '.join(known)}."
        problems.append(
            Problem("unknown_decision", message, field="decision", fix=f"Send one of {', '.join(known)}.")
        )
    edited: JSONObject | None = None
    if output is not None:
        edited = output
    elif edited_text is not None and edited_text != review.content.get("content"):
        edited = {**review.content, "content": edited_text}
    if edited == review.content:
        edited = None
    if edited is not None and not review.editable:
        message = "The output of this review may not be changed."
        problems.append(
            Problem("not_editable", message, field="output", fix="Decide it as it is, or ask an editor.")
        )
    if edited is not None:
        try:
            checked_output(edited)
        except BadValue as bad:
            problems.append(Problem(bad.info.code, bad.info.message, field="output"))
    for field in review.fields:
        if field.get("required") and not (fields or {}).get(field["name"]) and decision == APPROVE:
            label = field.get("label") or field["name"]
            problems.append(Problem("missing_field", f"“{label}” has to be filled in.", field=field["name"]))
    if problems:
        raise Invalid(problems[0].message, problems=tuple(problems))
    return edited


def _last_vote(review: Review, actor: Actor, decision: str, comment: str) -> bool:
    """Record a vote of a gate that needs several; True when it completes the quorum."""
    if actor.user is None:
        raise NotAllowed("This review needs several people; an API key is not a person.")
    try:
        with transaction.atomic():
            # One conditional UPDATE holds the gate while the vote is cast: a decided gate takes none.
            if not Review.objects.filter(pk=review.pk, status=Review.Status.OPEN).update(quorum=F("quorum")):
                review.refresh_from_db()
                raise Conflict(_why_too_late(review), code="already_decided")
            ReviewVote.objects.create(
                review=review,
                tenant_id=review.tenant_id,
                person=actor.user,
                decision=decision,
                comment=comment,
            )
    except IntegrityError:
        raise Conflict("You have voted at this review already.", code="already_decided") from None
    return ReviewVote.objects.filter(review=review, decision=decision).count() >= review.quorum


def _why_too_late(review: Review) -> str:
    if review.status == Review.Status.DECIDED and review.decided_at is not None:
        at = review.decided_at.strftime("%Y-%m-%d %H:%M UTC")
        return f"{review.decided_by_label or 'Somebody'} decided this review at {at}: {review.decision}."
    if review.status == Review.Status.HELD:
        return "The run failed elsewhere, so this review waits until it is retried."
    return f"{review.run} is over, so this review can no longer be decided."
