"""Reviews that change hands: handed over by a person, reminded of and escalated by the keeper, each exactly once."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models import F

from runs import queue as doorbell
from runs.engine.statuses import MailKind, RunStatus
from runs.models import Mail, Review, ReviewVote, Run
from runs.services import notify_review
from runs.services.absences import stands_in_for
from runs.services.eligibility import why_not_eligible
from workflows.lib.clock import utc_now
from workflows.lib.errors import Conflict, Invalid, NotAllowed, Problem
from workflows.tenancy import audit
from workflows.tenancy.actor import Actor
from workflows.tenancy.models import Membership, User
from workflows.tenancy.roles import Permission

_OVER = (RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.COMPLETED)


def hand_over(*, review: Review, actor: Actor, to: User, note: str = "") -> Review:
    """Let another person decide in the actor's place (admins: in everybody's). Audited, an event of the run, and told.

    Who was named personally is replaced; of a gate that needs several and names roles, the person is added. Raises
    NotAllowed (not theirs to give), Invalid (the other may not decide), Conflict (decided meanwhile).
    """
    actor.require(Permission.REVIEW)
    gate = {"assignees": review.assignees, "bar_starter": review.bar_starter}
    manages = actor.may(Permission.MANAGE_PEOPLE)
    refused = why_not_eligible(gate, review.run, actor.user, actor.role, stands_in=stands_in_for(actor))
    if refused is not None and not manages:
        raise NotAllowed(refused)
    member = Membership.objects.filter(tenant_id=review.tenant_id, user=to, user__is_active=True).first()
    target = {"assignees": [f"user:{to.email}"], "bar_starter": review.bar_starter}
    problem = (
        "This person is no member of the workspace."
        if member is None
        else why_not_eligible(target, review.run, to, member.role)
    )
    if problem is None and ReviewVote.objects.filter(review=review, person=to).exists():
        problem = f"{to} has decided already."
    if problem is not None:
        if member is not None and review.bar_starter and review.run.started_by_id == to.pk:
            problem = f"{to} started this run, so somebody else has to decide its review."
        raise Invalid(problem, problems=(Problem("bad_assignee", problem, field="to"),))
    with transaction.atomic():
        # The row is held by this UPDATE, so that two who hand over do not undo each other.
        if not Review.objects.filter(pk=review.pk, status=Review.Status.OPEN).update(quorum=F("quorum")):
            raise Conflict("This review is not waiting any more.")
        before = list(Review.objects.values_list("assignees", flat=True).get(pk=review.pk))
        after = _without(before, actor, review.quorum, f"user:{to.email}")
        Review.objects.filter(pk=review.pk).update(assignees=after, delegated_by_label=actor.label[:200])
        audit.record(
            actor,
            "handed over",
            review,
            before={"assignees": before},
            after={"assignees": after, "note": note},
        )
        _leave_mail(review, "delegated", [f"user:{to.email}"], actor)
        review.refresh_from_db()
        by = actor.label
        said = f"{by} handed this review over to you{f': {note}' if note else '.'}"
        notify_review.told(notify_review.DELEGATED, review, [to], round=utc_now().isoformat(), text=said)
    return review


def person_called(actor: Actor, email: str) -> User | None:
    """The member of the actor's workspace with this address."""
    members = Membership.objects.for_tenant(actor.tenant).filter(user__email=email.strip().lower())
    row = members.select_related("user").first()
    return row.user if row is not None else None


def _without(before: list[str], actor: Actor, quorum: int, new: str) -> list[str]:
    own = f"user:{actor.user.email}" if actor.user is not None else ""
    if own in before:
        after = [new if entry == own else entry for entry in before]
    elif quorum > 1 and before:
        after = [*before, new]
    else:
        after = [new]
    return list(dict.fromkeys(after))


def remind_reviews(limit: int = 200) -> int:
    """Send the reminders and escalations whose time has come; returns how many. The keeper calls it; two may.

    What is said and that it was said are one transaction, begun by a conditional UPDATE: a crash sends nothing twice
    and forgets nothing. Gates that are held or whose run is over are left as they are until a retry opens them.
    """
    now = utc_now()
    waiting = Review.objects.filter(status=Review.Status.OPEN).exclude(run__status__in=_OVER)
    rows = waiting.select_related("run__workflow")
    done = 0
    for review in rows.filter(remind_at__lte=now).order_by("remind_at")[:limit]:
        done += _remind(review, now)
    for review in rows.filter(escalate_at__lte=now).order_by("escalate_at")[:limit]:
        done += _escalate(review, now)
    return done


def _remind(review: Review, now: datetime) -> int:
    was = review.remind_at
    assert was is not None
    times = [datetime.fromisoformat(entry) for entry in review.reminders]
    # Those that were missed while no keeper ran are one reminder.
    later = next((moment for moment in times if moment > now), None)
    with transaction.atomic():
        mine = Review.objects.filter(pk=review.pk, status=Review.Status.OPEN, remind_at=was)
        if not mine.update(remind_at=later):
            return 0
        notify_review.told(
            notify_review.REMINDER,
            review,
            notify_review.people_of(review, but_voters=True),
            round=was.isoformat(),
            text=notify_review.due_words(review, now),
        )
    return 1


def _escalate(review: Review, now: datetime) -> int:
    was, named = review.escalate_at, [str(entry) for entry in review.escalate_to]
    with transaction.atomic():
        mine = Review.objects.filter(pk=review.pk, status=Review.Status.OPEN, escalate_at=was)
        if not mine.update(escalate_at=None, escalated_at=now):
            return 0
        before = list(Review.objects.values_list("assignees", flat=True).get(pk=review.pk))
        # Everybody who may review may decide it anyway where nobody is named.
        after = list(dict.fromkeys([*before, *named])) if before else before
        Review.objects.filter(pk=review.pk).update(assignees=after)
        review.assignees, review.escalated_at, review.escalate_at = after, now, None
        _leave_mail(review, "escalated", named, None)
        people = notify_review.people_of(review, named=named, but_voters=True)
        notify_review.told(
            notify_review.ESCALATED,
            review,
            people,
            text=f"Nobody has decided it in time. {notify_review.due_words(review, now)}",
        )
    return 1


def _leave_mail(review: Review, what: str, to: list[str], actor: Actor | None) -> None:
    """The run's driver writes the event and the new sentence of what is waited for."""
    Run.objects.filter(pk=review.run_id).update(mail_seq=F("mail_seq") + 1, wake_at=utc_now())
    Mail.objects.create(
        run_id=review.run_id,
        tenant_id=review.tenant_id,
        kind=MailKind.REASSIGNED,
        payload={"review": str(review.pk), "what": what, "to": to},
        actor=actor.user if actor is not None else None,
        actor_label=actor.label[:200] if actor is not None else "Nobody decided in time",
    )
    doorbell.ring(review.run_id)
