"""Looks for what must never be: runs that nothing explains or wakes, and rows that contradict each other (E10)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db.models import Count, Exists, F, Max, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce, Now

from runs.engine.statuses import AttemptStatus, RunStatus, StepStatus
from runs.models import Attempt, Event, Mail, Review, Run, StepRun

# How late the keeper and a free worker may be before somebody should look.
PATIENCE = timedelta(seconds=120)

_UNFINISHED = (RunStatus.PENDING, RunStatus.RUNNING, RunStatus.PAUSED)
_OVER = (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED)
_OPEN_STEPS = (StepStatus.PENDING, StepStatus.QUEUED, StepStatus.RUNNING, StepStatus.WAITING)
_FREE = Q(lease_token="") | Q(lease_until__isnull=True) | Q(lease_until__lte=Now())


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: a word for its kind, the run, and a sentence with what to do."""

    kind: str
    run_id: UUID
    sentence: str


@dataclass(frozen=True, slots=True)
class Health:
    """How the unfinished runs are explained: driven now, due at a time, or waiting for people alone."""

    driven: int
    timed: int
    waiting: int

    @property
    def unfinished(self) -> int:
        return self.driven + self.timed + self.waiting


def examine(patience: timedelta = PATIENCE) -> Iterator[Finding]:
    """Everything that is wrong, kind by kind. Each kind is one query, so that a run at work is never half seen."""
    yield from _unexplained(patience)
    yield from _left_open()
    yield from _contradictions()


def health() -> Health:
    """The unfinished runs by what explains them."""
    runs = Run.objects.filter(status__in=_UNFINISHED)
    free = runs.filter(_FREE)
    return Health(
        driven=runs.exclude(_FREE).count(),
        timed=free.filter(wake_at__isnull=False).count(),
        waiting=free.filter(wake_at__isnull=True).count(),
    )


def _unexplained(patience: timedelta) -> Iterator[Finding]:
    late = Now() - patience
    free = Run.objects.filter(_FREE, status__in=_UNFINISHED)
    asleep = free.filter(wake_at__isnull=True)
    yield from _of(
        asleep.exclude(status=RunStatus.PAUSED),
        "never_woken",
        "is {status}, but nobody drives it and nothing will wake it. The keeper mends this within a minute;"
        " if it does not, it is not running.",
    )
    yield from _of(
        asleep.filter(status=RunStatus.PAUSED, waiting_for=[]),
        "pause_unexplained",
        "is paused, but does not say for whom it waits. Press Continue, or cancel it.",
    )
    unread = Mail.objects.filter(run=OuterRef("pk"), read_at__isnull=True)
    yield from _of(
        asleep.filter(Exists(unread)),
        "mail_unread",
        "has mail that nobody will read. Press Pause and Continue to wake it.",
    )
    # A run that is woken has its time moved on by the keeper, so a time that stands means that nobody rings.
    yield from _of(
        free.filter(wake_at__lt=late),
        "overdue",
        "was due long ago and nobody has taken it. Is the keeper running, and a worker?",
    )
    yield from _of(
        Run.objects.filter(status__in=_UNFINISHED, lease_until__lt=late).exclude(lease_token=""),
        "lease_expired",
        "was given up by its worker ({owner}) and nobody has taken it since. Is the keeper running, and a worker?",
    )
    yield from _of(
        Run.objects.filter(status__in=_OVER).exclude(lease_token=""),
        "over_but_driven",
        "is {status}, but still has a driver ({owner}).",
    )


def _left_open() -> Iterator[Finding]:
    reviews = Review.objects.filter(status=Review.Status.OPEN, run__status__in=_OVER)
    for run_id, number, title in reviews.values_list("run_id", "run__number", "title"):
        yield Finding(
            "review_left_open", run_id, f"Run {number} is over, but its review “{title}” is still open."
        )
    final = (RunStatus.COMPLETED, RunStatus.CANCELLED)
    steps = StepRun.objects.filter(run__status__in=final, status__in=_OPEN_STEPS)
    for run_id, number, label, status in steps.values_list("run_id", "run__number", "label", "status"):
        yield Finding("step_left_open", run_id, f"Run {number} is over, but its step “{label}” is {status}.")
    attempts = Attempt.objects.filter(run__status__in=_OVER, status=AttemptStatus.OPEN)
    for run_id, number, label in attempts.values_list("run_id", "run__number", "step_run__label"):
        yield Finding("try_left_open", run_id, f"Run {number} is over, but a try of “{label}” is still open.")


def _contradictions() -> Iterator[Finding]:
    empty = StepRun.objects.filter(Q(output__isnull=True) | Q(port__isnull=True), status=StepStatus.COMPLETED)
    for run_id, number, label in empty.values_list("run_id", "run__number", "label"):
        yield Finding(
            "completed_without_output",
            run_id,
            f"Step “{label}” of run {number} is completed without an output.",
        )
    yield from _of(
        Run.objects.filter(status=RunStatus.COMPLETED, output__isnull=True),
        "completed_without_output",
        "is completed without an output.",
    )
    counted = Event.objects.filter(run=OuterRef("pk")).order_by().values("run")
    numbered = Run.objects.annotate(
        told=Coalesce(counted.annotate(n=Count("pk")).values("n"), 0),
        newest=Coalesce(counted.annotate(n=Max("seq")).values("n"), 0),
    )
    yield from _of(
        numbered.exclude(told=F("event_seq"), newest=F("event_seq")),
        "event_gap",
        "has a gap in the numbers of its events, so its log is not complete.",
    )


def _of(runs: QuerySet[Run], kind: str, sentence: str) -> Iterator[Finding]:
    for run_id, number, status, owner in runs.order_by("number").values_list(
        "id", "number", "status", "lease_owner"
    ):
        yield Finding(
            kind, run_id, f"Run {number} " + sentence.format(status=status, owner=owner or "unknown")
        )
