"""What happened in runs becomes what people are told: the keeper reads the marks that the driver has left on events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.urls import reverse

from runs.engine.statuses import EventType
from runs.models import Event, Notification, NotificationSettings, Review, Run
from runs.notifications import Occasion, tell, wishes_of
from runs.services.review_people import people_of
from runs.snapshots.items import item_names
from workflows.lib.clock import utc_now
from workflows.models import CreditAlert
from workflows.templatetags.ui import format_duration
from workflows.tenancy.models import Membership, User
from workflows.tenancy.roles import Permission, may

Kind = Notification.Kind
_BUDGET_KINDS: Final = {
    "nearly_spent": Kind.BUDGET_NEAR,
    "spent": Kind.BUDGET_SPENT,
    "stopped": Kind.BUDGET_SPENT,
}
_BUDGET_WORDS: Final = {
    "nearly_spent": "Four fifths are spent.",
    "spent": "The run goes on.",
    "stopped": "The run was stopped.",
}
# What has been waiting for so long is news to nobody (a keeper that was off for a week).
_TOO_OLD: Final = timedelta(days=2)


def tell_people(limit: int = 200) -> int:
    """Write the notifications of what has happened since the last look; returns how many causes there were.

    Mark and rows change in one transaction, so a crash tells nobody twice and forgets nobody. Two keepers may do so.
    """
    done = 0
    for event in _marked(limit):
        with transaction.atomic():
            if Event.objects.filter(pk=event.pk, to_tell__isnull=False).update(to_tell=None):
                if utc_now() - event.at <= _TOO_OLD:
                    _tell_of(event)
                done += 1
    alerts = CreditAlert.objects.filter(told_at__isnull=True, closed_at__isnull=True)
    for alert in alerts.order_by("raised_at")[:limit]:
        with transaction.atomic():
            if CreditAlert.objects.filter(pk=alert.pk, told_at__isnull=True).update(told_at=utc_now()):
                _tell_of_credit(alert)
                done += 1
    return done


def _marked(limit: int) -> list[Event]:
    rows = Event.objects.filter(to_tell__isnull=False).select_related(
        "run__workflow__created_by", "run__started_by", "run__parent"
    )
    return list(rows.order_by("id")[:limit])


def _tell_of(event: Event) -> None:
    run = event.run
    match event.type:
        case EventType.RUN_FAILED:
            # A run below another one fails in its parent's name; who tests is looking.
            if run.parent_id is None and run.kind not in (Run.Kind.TEST, Run.Kind.STEP):
                _tell_of_failure(event, run)
        case EventType.RUN_COMPLETED:
            if run.parent_id is None:
                _tell_of_long(event, run)
        case EventType.REVIEW_REQUESTED:
            _tell_of_review(event, run)
        case EventType.BUDGET:
            _tell_of_budget(event, run)


def _tell_of_failure(event: Event, run: Run) -> None:
    error: dict[str, Any] = event.data or {}
    step = f"“{error['step']}”: " if error.get("step") else ""
    fix = f"\n\n**What to do:** {error['fix']}" if error.get("fix") else ""
    tell(
        Occasion(
            tenant_id=run.tenant_id,
            kind=Kind.RUN_FAILED,
            subject=str(run.pk),
            # A run that was retried and fails again is told again.
            round=str(event.seq),
            title=f"{run.workflow.name}, run {run.number}, failed",
            text=f"{step}{error.get('message') or 'No reason is known.'}",
            detail=f"Finished steps are kept.{fix}",
            url=reverse("runs:detail", args=[run.pk]),
            action="Open the run",
        ),
        _people_of(run),
    )


def _tell_of_long(event: Event, run: Run) -> None:
    took = event.at - (run.started_at or event.at)
    people = _people_of(run)
    wishes = wishes_of(run.tenant_id, people)
    patient = [person for person in people if took >= timedelta(minutes=wishes[person.pk].long_minutes)]
    if patient:
        tell(
            Occasion(
                tenant_id=run.tenant_id,
                kind=Kind.RUN_LONG,
                subject=str(run.pk),
                round=str(event.seq),
                title=f"{run.workflow.name}, run {run.number}, is finished",
                text=f"It took {format_duration(round(took.total_seconds() * 1000))}.",
                url=reverse("runs:detail", args=[run.pk]),
                action="Open the run",
            ),
            patient,
        )


def _tell_of_review(event: Event, run: Run) -> None:
    waiting = Review.objects.filter(pk=event.data.get("reviewId"), status=Review.Status.OPEN)
    review = waiting.select_related("step_run").first()
    if review is None:
        return
    if review.kind == Review.Kind.BUDGET:
        _tell_of_question(review, run)
    else:
        tell_of_review(Kind.REVIEW_ASKED, review, reviewers(review, run))


def tell_of_review(
    kind: str, review: Review, people: Iterable[User | None], *, round: str = "", text: str = ""
) -> list[Notification]:
    """Tell these people of a review: asked, due, escalated, delegated. `review.run.workflow` is loaded or read.

    The same kind, review and round reach a person once. The link shows the review; it decides nothing.
    """
    run = review.run
    item = item_names([review]).get(review.pk, "")
    due = f" Due {review.due_at:%-d %b, %H:%M} UTC." if review.due_at else ""
    return tell(
        Occasion(
            tenant_id=review.tenant_id,
            kind=kind,
            subject=str(review.pk),
            round=round,
            title=review.title,
            text=text
            or f"{run.workflow.name}, run {run.number}{f', {item}' if item else ''}, waits for a decision.{due}",
            detail=review.instructions,
            url=reverse("reviews:detail", args=[review.pk]),
            action="Look at it and decide",
        ),
        people,
    )


def reviewers(review: Review, run: Run) -> list[User]:
    """Everybody who is asked to decide the review now, and who decides for those out of office."""
    return people_of(review, run)


def _tell_of_question(review: Review, run: Run) -> None:
    """A run that holds because a budget is spent: told as money, to those who may allow more and to its people."""
    facts: dict[str, Any] = review.content or {}
    month = facts.get("scope") == "month"
    tell(
        Occasion(
            tenant_id=run.tenant_id,
            kind=Kind.BUDGET_SPENT,
            subject=_month(review.created_at, facts) if month else str(run.pk),
            round="" if month else str(review.pk),
            title=review.title,
            text=f"{run.workflow.name}, run {run.number}, holds before its next paid step.",
            url=reverse("reviews:detail", args=[review.pk]),
            action="Look at it and decide",
        ),
        [*reviewers(review, run), *([] if month else _people_of(run))],
    )


def _month(at: datetime, facts: Mapping[str, Any]) -> str:
    """Every run meets the month's budget; people hear of it once for each limit."""
    return f"month:{at:%Y-%m}:{facts.get('limit')}"


def _tell_of_budget(event: Event, run: Run) -> None:
    facts: dict[str, Any] = event.data
    kind = _BUDGET_KINDS.get(str(facts.get("what")))
    if kind is None:
        return
    month = facts.get("scope") == "month"
    people = managers_of(run) if month else _people_of(run)
    tell(
        Occasion(
            tenant_id=run.tenant_id,
            kind=kind,
            subject=_month(event.at, facts) if month else str(run.pk),
            round="" if month else str(facts.get("limit")),
            title=str(facts.get("sentence") or "A budget is spent."),
            text=f"{run.workflow.name}, run {run.number}. {_BUDGET_WORDS[str(facts['what'])]}",
            url=reverse("workflows:connections") if month else reverse("runs:detail", args=[run.pk]),
            action="Look at the budget" if month else "Open the run",
        ),
        people,
    )


def _tell_of_credit(alert: CreditAlert) -> None:
    titles = {
        "quota": f"{alert.name} has no credit left",
        "bad_key": f"{alert.name} does not accept its key",
        "low_balance": f"Little is left on {alert.name}",
    }
    tell(
        Occasion(
            tenant_id=alert.tenant_id,
            kind=Kind.CREDIT,
            subject=str(alert.pk),
            title=titles.get(alert.code, f"{alert.name} refuses calls"),
            text=alert.words,
            detail="Runs go on with the models of their fallback, where they have one; others fail or wait.",
            url=reverse("workflows:connections"),
            action="Open connections",
        ),
        managers(alert.tenant_id),
    )


# --- who --------------------------------------------------------------------------------------------------------------


def _people_of(run: Run) -> list[User]:
    """Who started the run and who made its workflow; owners and admins where nobody did; and who wants to hear all."""
    own = [person for person in (run.started_by, run.workflow.created_by) if person is not None]
    rows = NotificationSettings.objects.filter(tenant_id=run.tenant_id, everything=True)
    watching = [row.person for row in rows.select_related("person")]
    return list(dict.fromkeys([*(own or managers_of(run)), *watching]))


def managers_of(run: Run) -> list[User]:
    return managers(run.tenant_id)


def managers(tenant_id: Any) -> list[User]:
    """Owners and admins of a workspace. One query."""
    rows = Membership.objects.filter(tenant_id=tenant_id, user__is_active=True).select_related("user")
    return [row.user for row in rows if may(row.role, Permission.MANAGE_KEYS)]
