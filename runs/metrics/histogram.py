"""The shape of a history over time: how many of the runs that pass the filters began in each stretch, and what they came to."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from django.db import connection
from django.db.models import Count, QuerySet, Sum
from django.utils import timezone

from runs.engine.statuses import RunStatus
from runs.models import Run
from runs.selectors import OPEN_STATUSES, HistoryFilter, matching_runs, runs_in_review
from workflows.tenancy.models import Tenant

MOST_BARS: Final = 74
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_WIDTHS: Final = (
    *(_MINUTE, 5 * _MINUTE, 15 * _MINUTE, 30 * _MINUTE),
    *(_HOUR, 2 * _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR),
    *(_DAY, 2 * _DAY, 7 * _DAY, 14 * _DAY, 28 * _DAY, 84 * _DAY, 364 * _DAY),
)
_SHORTEST: Final = timedelta(hours=1)


@dataclass(slots=True)
class Bar:
    """Runs that were started at or after `start` and before `end`; `open` ones are under way and wait for nobody."""

    start: datetime
    end: datetime
    completed: int = 0
    review: int = 0
    failed: int = 0
    cancelled: int = 0
    open: int = 0

    @property
    def total(self) -> int:
        return self.completed + self.review + self.failed + self.cancelled + self.open


@dataclass(frozen=True, slots=True)
class Histogram:
    """All runs that pass the filters, by the time of their start. `cost` is US dollars."""

    bars: Sequence[Bar] = field(default_factory=list)
    total: int = 0
    cost: Decimal = Decimal(0)

    @property
    def success(self) -> float | None:
        """Completed of those that completed or failed, 0 to 1; None where none ended."""
        completed, failed = (sum(getattr(bar, name) for bar in self.bars) for name in ("completed", "failed"))
        return completed / (completed + failed) if completed + failed else None

    @property
    def highest(self) -> int:
        return max((bar.total for bar in self.bars), default=0)


def histogram(tenant: Tenant, wanted: HistoryFilter, now: datetime) -> Histogram:
    """The history's bars, at most MOST_BARS, in the current time zone; at most five queries.

    Without dates they reach from the first run that matches until now. What has ended is counted from an index of its
    own, which is why what is under way is counted apart.
    """
    found = matching_runs(Run.objects.for_tenant(tenant), tenant, wanted).order_by()
    since = wanted.since or found.order_by("created_at").values_list("created_at", flat=True).first()
    if since is None:
        return Histogram()
    until = min(wanted.until, now) if wanted.until is not None else now
    until = max(until, since + _SHORTEST)
    origin, width = _grid(since, until)
    bars = []
    start = origin
    while start < until:
        bars.append(Bar(start, start + timedelta(seconds=width)))
        start = bars[-1].end
    starts = [bar.start for bar in bars]
    cost, total = Decimal(0), 0
    # The bars' own ranges say from when to when, and a second pair of dates misleads the database's choice of an index.
    undated = replace(wanted, since=None, until=None) if not wanted.words else wanted
    ended = matching_runs(Run.objects.for_tenant(tenant), tenant, undated).order_by()
    ended = ended.filter(completed_at__isnull=False)
    under_way = found.filter(completed_at__isnull=True, status__in=OPEN_STATUSES)
    for place, status, many, spent in _counted(ended, bars, since, wanted.until):
        _add(bars[place], status, many)
        cost += spent
        total += many
    in_review = set(runs_in_review(tenant).values_list("run_id", flat=True))
    for pk, status, started, spent in under_way.values_list("pk", "status", "created_at", "cost"):
        _add(bars[bisect_right(starts, started) - 1], "review" if pk in in_review else status, 1)
        cost += spent
        total += 1
    return Histogram(bars, total, cost)


# Not in any history; they stand for a bar's beginning and end in the one statement that is compiled.
_FROM: Final = datetime(1001, 1, 1, tzinfo=UTC)
_TO: Final = datetime(1002, 1, 1, tzinfo=UTC)


def _counted(
    found: QuerySet[Run], bars: Sequence[Bar], since: datetime, until: datetime | None
) -> Iterator[tuple[int, str, int, Decimal]]:
    """(place of the bar, status, runs, US dollars), from one statement of a range of the index for each bar.

    Five times as quick at 100,000 runs as grouping by a computed place, and a bar may have any length.
    """
    of_bar = found.filter(created_at__gte=_FROM, created_at__lt=_TO)
    sql, params = (
        of_bar.values_list("status").annotate(many=Count("*"), spent=Sum("cost")).query.sql_with_params()
    )
    adapt = connection.ops.adapt_datetimefield_value
    parts, given = [], []
    for place, bar in enumerate(bars):
        # The first bar begins at a round time, and a clock that is a moment ahead must not hide a run.
        end = bar.end if bar is not bars[-1] else until or bar.end + timedelta(days=1)
        moments: dict[Any, Any] = {adapt(_FROM): adapt(max(bar.start, since)), adapt(_TO): adapt(end)}
        # Django made the statement, `place` counts the bars.
        parts.append(f"SELECT {place}, part.* FROM ({sql}) part")  # noqa: S608
        given += [
            moments.get(value, value) if isinstance(value, (str, datetime)) else value for value in params
        ]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(parts), given)
        for place, status, many, spent in cursor.fetchall():
            yield place, status, many, Decimal(str(spent or 0))


def _add(bar: Bar, status: str, many: int) -> None:
    match status:
        case RunStatus.COMPLETED:
            bar.completed += many
        case RunStatus.FAILED:
            bar.failed += many
        case RunStatus.CANCELLED:
            bar.cancelled += many
        case "review":
            bar.review += many
        case _:
            bar.open += many


def _grid(since: datetime, until: datetime) -> tuple[datetime, int]:
    """When the first bar begins, and the seconds of each: a round width, from a midnight (or a round time) on."""
    seconds = (until - since).total_seconds()
    # One is lost to the round beginning.
    width = next((one for one in _WIDTHS if seconds / one <= MOST_BARS - 1), _WIDTHS[-1])
    midnight = timezone.localtime(since).replace(hour=0, minute=0, second=0, microsecond=0)
    steps = int((since - midnight).total_seconds() // min(width, _DAY))
    return midnight + timedelta(seconds=steps * min(width, _DAY)), width


def within(wanted: HistoryFilter, bar: Bar) -> HistoryFilter:
    """The same filters, for the runs of one bar."""
    return replace(wanted, since=bar.start, until=bar.end)
