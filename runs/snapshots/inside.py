"""How far the steps in the bodies of loops and fan-outs are: of each step, its items counted by what it does for them.

Two small queries at most, whatever the number of items; a step that was sent back counts once, as it stands now.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from django.db.models import Count, Exists, Max, OuterRef, QuerySet

from runs.engine.statuses import StepStatus, Wait
from runs.models import Run, StepRun


@dataclass(frozen=True, slots=True)
class Progress:
    """One step over all items. `total` is how many items its container has (so far); the others are among `begun`."""

    total: int = 0
    begun: int = 0
    completed: int = 0
    failed: int = 0
    skipped: int = 0
    running: int = 0
    review: int = 0

    @property
    def over(self) -> int:
        return self.completed + self.failed + self.skipped

    @property
    def status(self) -> str:
        """What it is drawn with: the liveliest state of its items; empty when it has come to none of them."""
        if not self.begun:
            return ""
        if self.running:
            return StepStatus.RUNNING
        if self.review:
            return StepStatus.WAITING
        if self.over < self.total:
            return StepStatus.QUEUED
        if self.failed:
            return StepStatus.FAILED
        return StepStatus.COMPLETED if self.completed else StepStatus.SKIPPED

    @property
    def said(self) -> str:
        """“7 of 13, 1 failed”; nothing for a step that has come to no item."""
        if not self.begun:
            return ""
        parts = [f"{self.over} of {self.total}"]
        if self.failed:
            parts.append(f"{self.failed} failed")
        if self.review:
            parts.append(f"{self.review} for review")
        return ", ".join(parts)


NOT_BEGUN: Final = Progress()


def progress_inside(run: Run) -> Mapping[str, Progress]:
    """By step key, of all steps that stand in a container and have been come to. `total` is that of their rows."""
    rows = StepRun.objects.filter(run=run, tenant_id=run.tenant_id).exclude(scope="")
    counted = _counted(rows)
    if any(newest for *_, newest in counted):
        later = StepRun.objects.filter(
            run=OuterRef("run"),
            step_key=OuterRef("step_key"),
            scope=OuterRef("scope"),
            round__gt=OuterRef("round"),
        )
        counted = _counted(rows.filter(~Exists(later)))
    found: dict[str, dict[str, int]] = {}
    for key, status, wait, count, _ in counted:
        of = found.setdefault(key, {})
        of["total"] = of.get("total", 0) + count
        if status == StepStatus.PENDING:
            continue
        of["begun"] = of.get("begun", 0) + count
        if name := _counts_as(status, wait):
            of[name] = of.get(name, 0) + count
    return {key: Progress(**of) for key, of in found.items()}


def _counted(rows: QuerySet[StepRun]) -> list[tuple[str, str, str, int, int]]:
    grouped = rows.order_by().values("step_key", "status", "wait")
    return list(
        grouped.annotate(count=Count("pk"), newest=Max("round")).values_list(
            "step_key", "status", "wait", "count", "newest"
        )
    )


def _counts_as(status: str, wait: str) -> str:
    if status in (StepStatus.COMPLETED, StepStatus.FAILED, StepStatus.SKIPPED):
        return str(status)
    if status == StepStatus.CANCELLED:
        return "skipped"
    if status == StepStatus.RUNNING or (status == StepStatus.WAITING and wait != Wait.REVIEW):
        return "running"
    return "review" if status == StepStatus.WAITING else ""
