"""Reads rows and stored figures into Figures: a fixed number of queries a stretch, and for every 500 runs in it."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final

from django.db.models import Count, Exists, Max, Min, OuterRef, Q, QuerySet
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import TruncDay, TruncHour

from runs.engine.statuses import EventType, RunStatus, StepStatus
from runs.metrics.figures import MONEY_UNIT, Figures, of_document, total
from runs.models import Attempt, Event, Review, Run, StepRun, StoredFigures
from workflows.tenancy.models import Tenant

_WORDS = 300
# Ids in one statement.
_AT_ONCE = 500
_MS = timedelta(milliseconds=1)
# Codes that say a model or service wants fewer calls.
_LIMITED = frozenset({"rate_limited", "overloaded"})


@dataclass(frozen=True, slots=True)
class Counted:
    """How many rows a day is made of."""

    ended: int = 0
    calls: int = 0


def figures_between(tenant: Tenant, since: datetime, until: datetime) -> Figures:
    """From the rows themselves: runs that ended, and calls that ended, at or after `since` and before `until`."""
    found = Figures()
    runs = _runs(found, _ended(tenant, since, until))
    for part in _batched(runs, _AT_ONCE):
        again = _steps(found, runs, part)
        if again:
            _mended(found, again)
    _spend(found, tenant, since, until)
    return found


def _ended(tenant: Tenant, since: datetime, until: datetime) -> QuerySet[Run]:
    return Run.objects.for_tenant(tenant).filter(
        completed_at__gte=since, completed_at__lt=until, kind=Run.Kind.LIVE
    )


def person_of(user: Any, key: Any) -> str:
    """Who stands behind a run: a user's id, `key:` and an API key's id, or nobody."""
    return str(user) if user else f"key:{key}" if key else ""


def _runs(found: Figures, ended: QuerySet[Run]) -> dict[uuid.UUID, str]:
    """Answers the runs with the id of their workflow."""
    rows = ended.annotate(
        code=KeyTextTransform("code", "error"),
        words=KeyTextTransform("message", "error"),
        reviewed=Exists(
            Review.objects.filter(run=OuterRef("pk"), status=Review.Status.DECIDED, decided_by__isnull=False)
        ),
    ).values_list(
        "pk",
        "workflow_id",
        "started_by_id",
        "api_key_id",
        "trigger_type",
        "status",
        "started_at",
        "completed_at",
        "code",
        "words",
        "reviewed",
    )
    runs: dict[uuid.UUID, str] = {}
    for pk, flow, user, key, trigger, status, started, completed, code, words, reviewed in rows.order_by(
        "completed_at"
    ):
        workflow = runs[pk] = str(flow)
        group = found.run(workflow, person_of(user, key), trigger)
        if status == RunStatus.COMPLETED:
            group.completed += 1
            group.reviewed += reviewed
            group.durations.append(_ms(started, completed))
        elif status == RunStatus.FAILED:
            group.failed += 1
            cause = found.cause(workflow, code or "unknown")
            cause.runs += 1
            cause.newest, cause.words = str(pk), (words or "")[:_WORDS]
            cause.at = completed.astimezone(UTC).isoformat(timespec="microseconds") if completed else ""
        else:
            group.cancelled += 1
    return runs


def _steps(found: Figures, runs: dict[uuid.UUID, str], part: Sequence[uuid.UUID]) -> list[uuid.UUID]:
    """Answers the runs in which something was begun anew. By run ids alone: they are the tenant's, and naming the tenant
    too would let the database read all of its rows."""
    again: set[uuid.UUID] = set()
    tries = _tries(part)
    rows = (
        StepRun.objects.filter(
            run__in=part, started_at__isnull=False, completed_at__isnull=False, reused=False
        )
        .filter(status__in=[StepStatus.COMPLETED, StepStatus.FAILED])
        .order_by()
        .values_list(
            "pk",
            "run_id",
            "step_key",
            "label",
            "type",
            "status",
            "round",
            "attempt",
            "started_at",
            "completed_at",
        )
    )
    for pk, run, key, label, type_, status, round_, attempt, started, completed in rows:
        step = found.step(runs[run], key, label, type_)
        if round_:
            again.add(run)
        if status == StepStatus.FAILED:
            step.failed += 1
        else:
            step.done += 1
            step.durations.append(_ms(started, completed))
        if attempt > 1 or pk in tries:
            lost, limited, hops = tries.get(pk, (0, False, False))
            step.retried += attempt > 1
            step.lost += lost
            step.limited += limited
            step.fallbacks += hops
    return list(again)


def _tries(part: Sequence[uuid.UUID]) -> dict[uuid.UUID, tuple[int, bool, bool]]:
    """Of steps that were tried more than once or answered by another model: ms lost, met a limit, fell back."""
    several = (
        Attempt.objects.filter(run__in=part)
        .values("step_run_id")
        .annotate(
            tries=Count("pk"),
            first=Min("started_at"),
            last=Max("started_at"),
            limited=Count("pk", filter=Q(error__code__in=list(_LIMITED))),
            hopped=Count("pk", filter=~Q(hops=[])),
        )
        .filter(Q(tries__gt=1) | Q(hopped__gt=0))
        .order_by()
        .values_list("step_run_id", "first", "last", "limited", "hopped")
    )
    return {pk: (_ms(first, last), limited > 0, hopped > 0) for pk, first, last, limited, hopped in several}


def _mended(found: Figures, again: Sequence[uuid.UUID]) -> None:
    rows = (
        Event.objects.filter(run__in=again, run__status=RunStatus.COMPLETED, type=EventType.RUN_FAILED)
        .order_by()
        .values("run_id")
        .annotate(first=Min("at"), end=Max("run__completed_at"))
    )
    found.mended.extend(_ms(row["first"], row["end"]) for row in rows)


def _spend(found: Figures, tenant: Tenant, since: datetime, until: datetime) -> None:
    rows = _calls(tenant, since, until).values_list(
        "run__workflow_id",
        "run__started_by_id",
        "run__api_key_id",
        "provider",
        "model",
        "input_tokens",
        "output_tokens",
        "cost",
    )
    for workflow, user, key, provider, model, tokens_in, tokens_out, cost in rows.order_by().iterator():
        spend = found.spent(str(workflow), person_of(user, key), provider, model)
        spend.calls += 1
        spend.input_tokens += tokens_in
        spend.output_tokens += tokens_out
        spend.money += int(cost / MONEY_UNIT)


def _calls(tenant: Tenant, since: datetime, until: datetime) -> QuerySet[Attempt]:
    return (
        Attempt.objects.for_tenant(tenant)
        .filter(ended_at__gte=since, ended_at__lt=until)
        .exclude(provider="")
    )


def _ms(since: datetime | None, until: datetime | None) -> int:
    return 0 if since is None or until is None else max((until - since) // _MS, 0)


def _batched(ids: Iterable[uuid.UUID], size: int) -> Iterator[list[uuid.UUID]]:
    rest = iter(ids)
    while part := list(islice(rest, size)):
        yield part


# --- hours and days -----------------------------------------------------------------------------

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)


def hour_of(moment: datetime) -> datetime:
    """The beginning of its hour, UTC."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def day_of(moment: datetime) -> datetime:
    """The beginning of its day, UTC."""
    return hour_of(moment).replace(hour=0)


def counts_by(tenant: Tenant, length: timedelta, since: datetime, until: datetime) -> dict[datetime, Counted]:
    """Rows by hour or day (its beginning), `until` not included; empty ones are left out."""
    trunc: type[TruncHour | TruncDay] = TruncHour if length == HOUR else TruncDay
    ended = dict(
        _ended(tenant, since, until)
        .order_by()
        .annotate(start=trunc("completed_at", tzinfo=UTC))
        .values_list("start")
        .annotate(rows=Count("pk"))
    )
    calls = dict(
        _calls(tenant, since, until)
        .order_by()
        .annotate(start=trunc("ended_at", tzinfo=UTC))
        .values_list("start")
        .annotate(rows=Count("pk"))
    )
    starts = sorted(ended.keys() | calls.keys())
    return {start: Counted(ended.get(start, 0), calls.get(start, 0)) for start in starts}


def by_hour(tenant: Tenant, now: datetime, hours: int) -> dict[datetime, Figures]:
    """The hour that is going on and those before it: from what is stored, the others from their rows."""
    first = hour_of(now) - (hours - 1) * HOUR
    return _filled(tenant, HOUR, [first + n * HOUR for n in range(hours)], now)


def by_day(tenant: Tenant, now: datetime, days: int) -> dict[datetime, Figures]:
    """Today and the days before it: from what is stored, the others from their rows; today from its hours."""
    today = day_of(now)
    found = _filled(tenant, DAY, [today - n * DAY for n in range(days - 1, 0, -1)], now) if days > 1 else {}
    found[today] = total(by_hour(tenant, now, (hour_of(now) - today) // HOUR + 1).values())
    return found


def _filled(
    tenant: Tenant, length: timedelta, starts: list[datetime], now: datetime
) -> dict[datetime, Figures]:
    first, end = starts[0], starts[-1] + length
    rows = StoredFigures.objects.for_tenant(tenant).filter(
        hours=length // HOUR, start__gte=first, start__lt=end
    )
    stored = {row.start: of_document(row.document) for row in rows if row.start + length <= now}
    missing = [start for start in starts if start not in stored]
    # Most tenants do not run every hour: one look at the counts saves the rest of the reading.
    counted = counts_by(tenant, length, missing[0], missing[-1] + length) if missing else {}
    for start in missing:
        stored[start] = figures_between(tenant, start, start + length) if start in counted else Figures()
    return {start: stored[start] for start in starts}
