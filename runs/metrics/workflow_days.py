"""How the runs of each workflow went by day, for lists: from what is stored, today and what is missing from its rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from django.db.models import Count, F, Sum
from django.db.models.functions import TruncDay

from runs.engine.statuses import RunStatus
from runs.metrics.collect import DAY, day_of
from runs.metrics.figures import MONEY_UNIT
from runs.models import Run, StoredFigures
from workflows.lib.jsontypes import JSONObject
from workflows.tenancy.models import Tenant

DAYS: Final = 30


@dataclass(slots=True)
class Ended:
    """Live runs of one workflow that completed or failed, and what these cost; a cancelled one says nothing."""

    completed: int = 0
    failed: int = 0
    money: int = 0

    @property
    def total(self) -> int:
        return self.completed + self.failed

    def add(self, other: Ended) -> None:
        self.completed += other.completed
        self.failed += other.failed
        self.money += other.money


@dataclass(frozen=True, slots=True)
class Month:
    """The last DAYS days (UTC, today included), oldest first."""

    days: list[Ended] = field(default_factory=lambda: [Ended() for _ in range(DAYS)])

    def _sum(self, last: int = DAYS) -> Ended:
        found = Ended()
        for day in self.days[-last:]:
            found.add(day)
        return found

    @property
    def runs(self) -> int:
        return self._sum().total

    @property
    def week(self) -> int:
        """Runs that ended in the last seven days."""
        return self._sum(7).total

    @property
    def success(self) -> float | None:
        """Completed of those that ended, 0 to 1; None where none did."""
        found = self._sum()
        return found.completed / found.total if found.total else None

    @property
    def cost(self) -> Decimal | None:
        """US dollars a run; None where none ended."""
        found = self._sum()
        return found.money * MONEY_UNIT / found.total if found.total else None


def ended_by_workflow(tenant: Tenant, since: datetime, until: datetime) -> dict[tuple[datetime, str], Ended]:
    """From the rows: by (day, workflow id). One query."""
    rows = (
        Run.objects.for_tenant(tenant)
        .filter(completed_at__gte=since, completed_at__lt=until, kind=Run.Kind.LIVE)
        .filter(status__in=[RunStatus.COMPLETED, RunStatus.FAILED])
        .order_by()
        .annotate(day=TruncDay("completed_at", tzinfo=UTC))
        .values_list("day", "workflow_id", "status")
        .annotate(many=Count("pk"), spent=Sum(F("cost")))
    )
    found: dict[tuple[datetime, str], Ended] = {}
    for day, workflow, status, many, spent in rows:
        one = found.setdefault((day, str(workflow)), Ended())
        if status == RunStatus.COMPLETED:
            one.completed += many
        else:
            one.failed += many
        one.money += int((spent or 0) / MONEY_UNIT)
    return found


def brief_of(tenant: Tenant, start: datetime) -> JSONObject:
    """What is stored of a day: {workflow id: [completed, failed, money]}."""
    rows = ended_by_workflow(tenant, start, start + DAY)
    return {workflow: [one.completed, one.failed, one.money] for (_, workflow), one in rows.items()}


def months_of(tenant: Tenant, workflows: Iterable[Any], now: datetime) -> dict[Any, Month]:
    """The month of each of these workflow ids; two queries."""
    today = day_of(now)
    first = today - (DAYS - 1) * DAY
    found = {str(key): Month() for key in workflows}
    stored: dict[datetime, Any] = dict(
        StoredFigures.objects.for_tenant(tenant)
        .filter(hours=24, start__gte=first, start__lt=today, brief__isnull=False)
        .values_list("start", "brief")
    )
    days = [first + place * DAY for place in range(DAYS)]
    missing = [day for day in days if day not in stored]
    for start, brief in stored.items():
        place = (start - first) // DAY
        for workflow, (completed, failed, money) in brief.items():
            if workflow in found:
                found[workflow].days[place].add(Ended(completed, failed, money))
    rows = ended_by_workflow(tenant, missing[0], now + timedelta(days=1))
    for (day, workflow), one in rows.items():
        if day in missing and workflow in found:
            found[workflow].days[(day - first) // DAY].add(one)
    return {key: found[str(key)] for key in workflows}
