"""The daily and weekly digest: what a workspace's runs did, what waits for the person, and what it cost; once each slot."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Sum
from django.urls import reverse

from runs.engine.statuses import RunStatus
from runs.models import Attempt, Notification, NotificationSettings, Run
from runs.notifications import Occasion, latest_slot, tell
from runs.notifications.tell import wishes_from
from runs.services.viewing import waiting_for
from workflows.lib.clock import utc_now
from workflows.templatetags.ui import format_money
from workflows.tenancy.actor import Actor
from workflows.tenancy.models import Membership, Tenant

Kind = Notification.Kind
# A digest that comes hours late (the server was off) still says something; a day late it does not.
_LATE: Final = timedelta(hours=12)
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Digest:
    """The figures of one stretch of one workspace, for one person. Test runs count for money only."""

    completed: int
    failed: int
    cancelled: int
    spent: str
    waiting: int
    failures: tuple[tuple[str, int], ...]

    @property
    def is_empty(self) -> bool:
        return not (self.completed or self.failed or self.cancelled or self.waiting)

    @property
    def sentence(self) -> str:
        runs = self.completed + self.failed + self.cancelled
        said = f"{runs:,} run{'' if runs == 1 else 's'}: {self.completed:,} succeeded, {self.failed:,} failed"
        if self.cancelled:
            said += f", {self.cancelled:,} cancelled"
        reviews = f"{self.waiting:,} review{' waits' if self.waiting == 1 else 's wait'} for you"
        return f"{said}. {self.spent} spent. {reviews if self.waiting else 'No review waits for you'}."

    def markdown(self) -> str:
        if not self.failures:
            return ""
        lines = [f"- {name}: {count:,}" for name, count in self.failures]
        url = f"{settings.PUBLIC_URL}{reverse('runs:index')}?status=failed"
        return "**Failures by workflow**\n\n" + "\n".join(lines) + f"\n\n[Open the failed runs]({url})"


def digest_of(actor: Actor, since: datetime, until: datetime) -> Digest:
    """What ended in [since, until), and what waits for this actor now. Four queries."""
    ended = (
        Run.objects.for_tenant(actor.tenant)
        .filter(completed_at__gte=since, completed_at__lt=until, parent__isnull=True)
        .exclude(kind__in=[Run.Kind.TEST, Run.Kind.STEP])
        .order_by()
    )
    states = dict(ended.values_list("status").annotate(n=Count("id")))
    failed = ended.filter(status=RunStatus.FAILED).values_list("workflow__name").annotate(n=Count("id"))
    spent = Attempt.objects.for_tenant(actor.tenant).filter(
        ended_at__gte=since, ended_at__lt=until, provider__gt=""
    )
    return Digest(
        completed=states.get(RunStatus.COMPLETED, 0),
        failed=states.get(RunStatus.FAILED, 0),
        cancelled=states.get(RunStatus.CANCELLED, 0),
        spent=format_money(spent.aggregate(total=Sum("cost"))["total"] or 0, 2),
        waiting=waiting_for(actor),
        failures=tuple(Counter(dict(failed)).most_common(_SHOWN)),
    )


def write_digests(now: datetime | None = None) -> int:
    """Tell every digest whose time has come and that was not told; returns how many. Two keepers may do so.

    A quiet stretch without anything tells nothing. Asks one query where nobody wants a digest.
    """
    at = now or utc_now()
    told = 0
    rows = NotificationSettings.objects.filter(person__is_active=True, tenant__is_active=True)
    # Nobody gets a digest who has not asked for it.
    for row in rows.exclude(choices={}).select_related("person", "tenant"):
        for kind, days in ((Kind.DIGEST_DAILY, 1), (Kind.DIGEST_WEEKLY, 7)):
            if row.choices.get(kind):
                told += _one(row, kind, timedelta(days=days), at)
    return told


def _one(row: NotificationSettings, kind: Kind, length: timedelta, at: datetime) -> int:
    wishes = wishes_from(row, row.person)
    until = latest_slot(at, wishes, weekly=kind == Kind.DIGEST_WEEKLY)
    # Not of a time before it was asked for, and not long after its slot.
    if at - until > _LATE or row.updated_at > until:
        return 0
    day = until.astimezone(wishes.zone).date()
    subject = f"{row.tenant_id.hex}:{day.isoformat()}"
    same = Notification.objects.filter(
        tenant_id=row.tenant_id, person_id=row.person_id, kind=kind, subject=subject
    )
    if same.exists():
        return 0
    membership = Membership.objects.filter(tenant_id=row.tenant_id, user_id=row.person_id).first()
    if membership is None:
        return 0
    tenant: Tenant = row.tenant
    found = digest_of(Actor(tenant, membership.role, user=row.person), until - length, until)
    if found.is_empty:
        return 0
    what = "Today" if kind == Kind.DIGEST_DAILY else "Your week"
    with transaction.atomic():
        made = tell(
            Occasion(
                tenant_id=row.tenant_id,
                kind=kind,
                subject=subject,
                title=f"{what} in {tenant.name}: {found.completed:,} succeeded, {found.failed:,} failed",
                text=found.sentence,
                detail=found.markdown(),
                url=f"{reverse('runs:dashboard')}?period={'24h' if length.days == 1 else '7d'}",
                action="Open the dashboard",
            ),
            [row.person],
            now=at,
        )
    return len(made)
