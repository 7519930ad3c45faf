"""The one line under the name of a step: what it does, did, or waits for."""

from __future__ import annotations

from collections.abc import Sequence

from runs.engine.statuses import AttemptStatus, RunStatus, Skip, StepStatus, Wait
from runs.models import Attempt, Review, StepRun
from runs.selectors import people
from runs.snapshots import words
from runs.snapshots.definitions import tile_of
from runs.snapshots.reading import Reading
from workflows.definition.graph import StepDef
from workflows.steps.base import StepType


def status_of(read: Reading, step: StepDef, row: StepRun | None) -> str:
    """The row's own status; what a finished run never came to is simply not started."""
    if row is None:
        over = read.run.status in (RunStatus.COMPLETED, RunStatus.CANCELLED)
        return (
            StepStatus.SKIPPED if not step.enabled and (over or read.run.started_at) else StepStatus.PENDING
        )
    return StepStatus(row.status)


def summary_of(
    read: Reading,
    step: StepDef,
    row: StepRun | None,
    kind: StepType | None,
    review: Review | None,
    attempts: Sequence[Attempt],
) -> str:
    # What its author says of it reads better than what its settings do.
    does = words.one_line(step.description) or (
        kind.summary(step.config)
        if kind is not None
        else f"A step of type {step.type}, which is not installed here"
    )
    if not step.enabled:
        return "Off: its input passes through"
    if row is None or row.status in (StepStatus.PENDING, StepStatus.QUEUED):
        return "Not reached" if read.run.status == RunStatus.FAILED else does
    if row.status == StepStatus.RUNNING:
        # The row learns its model at the end; the try knows it as soon as the first words are kept.
        now = attempts[-1] if attempts and attempts[-1].status == AttemptStatus.OPEN else row
        model = words.model_words(now.provider, now.model) if now.model or now.provider else ""
        return f"{model}, writing" if model else does
    if row.status == StepStatus.WAITING:
        return _waits(read, row, review, does)
    if row.status == StepStatus.SKIPPED:
        return {
            Skip.OFF: "Off: its input passes through",
            Skip.JOIN: "Not needed: its paths did not arrive",
        }.get(Skip(row.skip_reason) if row.skip_reason in set(Skip) else Skip.BRANCH, "Not taken")
    if row.status == StepStatus.CANCELLED:
        return "Stopped before it was done"
    if row.status == StepStatus.FAILED:
        return _failed(row, attempts)
    return _result(read, step, row, review, does)


def _failed(row: StepRun, attempts: Sequence[Attempt]) -> str:
    """Who was asked and how often; the reason stands below it."""
    asked = [(a.provider, a.model) for a in attempts if a.provider or a.model]
    provider, model = (row.provider, row.model) if row.model or row.provider else (asked or [("", "")])[-1]
    tries = sum(a.counted for a in attempts)
    parts = [words.model_words(provider, model)] if provider or model else []
    if parts or tries > 1:
        parts.append(f"{tries} attempt{'s' if tries != 1 else ''}")
    if row.port == "out":
        parts.append("went on with the stated default")
    elif row.port:
        parts.append("took the path for failures")
    elif parts:
        parts.append("no answer")
    return ", ".join(parts) or words.one_line(str((row.error or {}).get("message", "")))


def _waits(read: Reading, row: StepRun, review: Review | None, does: str) -> str:
    if row.wait == Wait.REVIEW:
        who = people(review.assignees) if review is not None and review.assignees else "a reviewer"
        return f"Waiting for {who}, since {words.clock(row.started_at or row.created_at)[:5]}"
    if row.wait == Wait.RETRY and row.due_at is not None:
        return f"Tries again at {words.clock(row.due_at)}, try {row.attempt} of {row.max_attempts}"
    if row.wait == Wait.DELAY and row.due_at is not None:
        return f"Waits until {words.clock(row.due_at)}"
    return does


def _result(read: Reading, step: StepDef, row: StepRun, review: Review | None, does: str) -> str:
    if review is not None and review.status == Review.Status.DECIDED:
        return words.decided(review)
    answers = read.answers(step)
    if row.port in answers and len(answers) > 1:
        return f"Took {answers[row.port]}"
    if row.notes:
        return row.notes
    joined = read.definition.incoming(step.key)
    if step.type == "merge":
        return f"{len(row.inputs)} of {len(joined)} branches arrived"
    excerpt: str | None = getattr(row, "excerpt", None)
    return words.one_line(excerpt) or does


def aside_of(step: StepDef, row: StepRun | None, kind: StepType | None) -> str:
    """What stands beside the duration of a step that spent nothing: `no model`, `waiting for a person`."""
    if row is None or row.status in (StepStatus.PENDING, StepStatus.QUEUED, StepStatus.SKIPPED):
        return ""
    if tile_of(step, kind) == "human":
        return "waiting for a person"
    return "" if tile_of(step, kind) == "ai" else "no model"
