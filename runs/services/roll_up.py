"""Keeps the figures of finished hours and days, so that dashboards need not read every run again. The keeper's duty."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.utils import timezone

from runs.metrics.collect import DAY, HOUR, Counted, counts_by, day_of, figures_between, hour_of
from runs.metrics.figures import as_document
from runs.metrics.workflow_days import brief_of
from runs.models import Run, StoredFigures
from workflows.tenancy.models import Tenant

# A driver's transaction commits a moment after the time that its rows name.
_SETTLED: Final = timedelta(minutes=2)
# What dashboards can show, with what it is compared to.
HOURS_BACK: Final = 49
DAYS_BACK: Final = 190
# Older days change seldom (a failed run is retried), and counting all of them takes a second at 100,000 runs.
RECENT_DAYS: Final = 3
# So many a turn: the keeper has other duties.
_AT_ONCE: Final = 20


def roll_up_recent() -> int:
    return roll_up(days_back=RECENT_DAYS)


def roll_up(now: datetime | None = None, days_back: int = DAYS_BACK, at_once: int = _AT_ONCE) -> int:
    """Make the hours and days that are missing or no longer true, newest first; returns how many were made."""
    now = now or timezone.now()
    settled = now - _SETTLED
    spans = ((HOUR, hour_of(settled), HOURS_BACK), (DAY, day_of(settled), days_back))
    made = 0
    StoredFigures.objects.filter(hours=1, start__lt=hour_of(now) - (HOURS_BACK + 24) * HOUR).delete()
    active = Run.objects.order_by().values("tenant_id").distinct()
    for tenant in Tenant.objects.filter(pk__in=active).order_by("pk"):
        for length, until, back in spans:
            for start, counted in _due(tenant, length, until - back * length, until):
                if made >= at_once:
                    return made
                _make(tenant, length, start, counted)
                made += 1
    return made


def _due(
    tenant: Tenant, length: timedelta, since: datetime, until: datetime
) -> Iterator[tuple[datetime, Counted]]:
    rows = StoredFigures.objects.for_tenant(tenant).filter(
        hours=length // HOUR, start__gte=since, start__lt=until
    )
    kept = {row.start: row for row in rows.only("start", "ended", "calls", "sealed")}
    # Days that were stored before lists wanted a word of them have none yet.
    wordless = (
        set(rows.filter(brief__isnull=True).values_list("start", flat=True)) if length == DAY else set()
    )
    counted = counts_by(tenant, length, since, until)
    # One that has lost its last row is made again too, unless pruning took it.
    for start in sorted(counted.keys() | kept.keys(), reverse=True):
        row, now = kept.get(start), counted.get(start, Counted())
        same = row is not None and (row.ended, row.calls) == (now.ended, now.calls)
        if row is None or not (row.sealed or (same and start not in wordless)):
            yield start, now


def _make(tenant: Tenant, length: timedelta, start: datetime, counted: Counted) -> None:
    # Outside of a transaction: on SQLite reading would hold the write lock.
    fields = {
        "document": as_document(figures_between(tenant, start, start + length)),
        "brief": brief_of(tenant, start) if length == DAY else None,
        "ended": counted.ended,
        "calls": counted.calls,
        "made_at": timezone.now(),
    }
    key = {"tenant": tenant, "hours": length // HOUR, "start": start}
    with transaction.atomic():
        # Two keepers may make the same: it is the same twice.
        if not StoredFigures.objects.filter(**key, sealed=False).update(**fields):
            StoredFigures.objects.bulk_create([StoredFigures(**key, **fields)], ignore_conflicts=True)


def seal(tenant: Tenant, until: datetime) -> None:
    """Keep the figures of days before `until` as they are: their rows are about to be pruned."""
    for start, counted in list(_due(tenant, DAY, day_of(until) - DAYS_BACK * DAY, day_of(until))):
        _make(tenant, DAY, start, counted)
    StoredFigures.objects.for_tenant(tenant).filter(hours=24, start__lt=day_of(until)).update(sealed=True)
