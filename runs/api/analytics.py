"""/api/analytics: how long steps take and what they cost, from the same figures as the dashboard."""

from __future__ import annotations

import uuid
from collections import defaultdict
from typing import Any, Literal

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Field, Query, Router, Schema

from runs.metrics.board import PERIODS, Board, board
from runs.metrics.collect import by_day, by_hour
from runs.metrics.figures import percentile
from workflows.api.base import Filters, answer, errors, money, stamp
from workflows.api.workflows import actor_of

router = Router(tags=["Analytics"])


class Span(Filters):
    period: Literal["24h", "7d", "30d", "90d"] = Field("7d", description="UTC hours or days up to now.")
    workflow_id: uuid.UUID | None = None


class StepFiguresOut(Schema):
    """Durations in milliseconds, of steps that completed; percentiles are exact (nearest rank)."""

    type: str
    completed: int
    failed: int
    retried: int
    average_ms: float | None
    p50_ms: int | None
    p95_ms: int | None
    p99_ms: int | None


class StepAnalytics(Schema):
    items: list[StepFiguresOut]
    count: int


class RunAnalytics(Schema):
    """Of live runs that ended. `success_rate`: completed of those that completed or failed, 0 to 1."""

    since: str
    until: str
    completed: int
    failed: int
    cancelled: int
    success_rate: float | None
    p50_ms: int | None
    p95_ms: int | None
    p99_ms: int | None
    cost: float
    tokens: int
    failures_by_cause: dict[str, int]


@router.get(
    "/steps",
    response={200: StepAnalytics, **errors()},
    operation_id="step_analytics",
    summary="Time per kind of step",
)
def steps(request: HttpRequest, filters: Query[Span]) -> HttpResponse:
    """Of live runs that ended in the period, by step type, slowest first. Of a review the time is the wait."""
    found, _ = _board(request, filters)
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    times: dict[str, list[int]] = defaultdict(list)
    for step in found.current.steps.values():
        counts = sums[step.type]
        counts[0] += step.done
        counts[1] += step.failed
        counts[2] += step.retried
        times[step.type] += step.durations
    items: list[dict[str, Any]] = []
    for type_, (done, failed, retried) in sums.items():
        ordered = sorted(times[type_])
        items.append(
            {
                "type": type_,
                "completed": done,
                "failed": failed,
                "retried": retried,
                "average_ms": round(sum(ordered) / len(ordered), 1) if ordered else None,
                "p50_ms": percentile(ordered, 0.5),
                "p95_ms": percentile(ordered, 0.95),
                "p99_ms": percentile(ordered, 0.99),
            }
        )
    items.sort(key=lambda row: -(row["p95_ms"] or 0))
    return answer({"items": items[filters.offset : filters.offset + filters.limit], "count": len(items)})


@router.get(
    "/runs",
    response={200: RunAnalytics, **errors()},
    operation_id="run_analytics",
    summary="How runs went",
)
def runs(request: HttpRequest, filters: Query[Span]) -> HttpResponse:
    """Success, time and money of a period. Money counts every call that ended in it, those of test runs too."""
    found, now = _board(request, filters)
    current = found.current
    ordered = current.durations()
    return answer(
        {
            "since": stamp(found.bars[0].start),
            "until": stamp(now),
            "completed": current.completed,
            "failed": current.failed,
            "cancelled": current.ended - current.completed - current.failed,
            "success_rate": current.success,
            "p50_ms": percentile(ordered, 0.5),
            "p95_ms": percentile(ordered, 0.95),
            "p99_ms": percentile(ordered, 0.99),
            "cost": money(current.cost),
            "tokens": sum(spend.tokens for spend in current.spend.values()),
            "failures_by_cause": {row.code: row.runs for row in found.causes()},
        }
    )


def _board(request: HttpRequest, filters: Span) -> tuple[Board, Any]:
    actor = actor_of(request)
    period, now = PERIODS[filters.period], timezone.now()
    # Nothing is compared here: the stretch before is not read.
    read = by_hour if period.hourly else by_day
    stretches = read(actor.tenant, now, period.buckets)
    if filters.workflow_id is not None:
        # What is not there, or another's, has no figures here.
        only = frozenset({str(filters.workflow_id)})
        stretches = {start: figures.of_workflows(only) for start, figures in stretches.items()}
    return board(period, stretches), now
