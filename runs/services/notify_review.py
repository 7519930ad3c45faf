"""What people are told about a review beyond that it waits: reminders, escalation, handing over. By `runs.notifications`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from runs.models import Notification, Review
from runs.services.review_people import people_of as _people_of
from runs.services.tell_people import tell_of_review
from workflows.templatetags.ui import rough_duration
from workflows.tenancy.models import User

REMINDER: Final = Notification.Kind.REVIEW_REMINDER
ESCALATED: Final = Notification.Kind.REVIEW_ESCALATED
DELEGATED: Final = Notification.Kind.REVIEW_DELEGATED


def told(kind: str, review: Review, people: Iterable[User], *, round: str = "", text: str = "") -> int:
    """Tell these people once per kind, review and round; returns how many were told. In the caller's transaction."""
    return len(tell_of_review(kind, review, people, round=round[:64], text=text))


def people_of(review: Review, *, named: Sequence[str] | None = None, but_voters: bool = False) -> list[User]:
    """Whom to tell: see `review_people.people_of`."""
    return _people_of(review, review.run, named=named, but_voters=but_voters)


def due_words(review: Review, now: datetime) -> str:
    """“Deep Build Pipeline, run 12, is due in 2 h.” or “… has been overdue for 10 min.”"""
    which = f"{review.run.workflow.name}, run {review.run.number},"
    if review.due_at is None:
        return f"{which} waits for a decision."
    length = rough_duration(review.due_at - now)
    return f"{which} is due in {length}." if review.due_at > now else f"{which} is overdue by {length}."
