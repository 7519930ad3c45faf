"""How long a tenant keeps its runs: the policy, and the keeper's duty that follows it in small parts."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from runs.engine.statuses import RunStatus
from runs.metrics.collect import day_of
from runs.models import Attempt, RetentionPolicy, Review, Run
from runs.models.history import LEAST_KEPT_DAYS, LONGEST_KEPT_DAYS
from runs.services.roll_up import seal
from workflows.lib.errors import Invalid, Problem
from workflows.tenancy import audit
from workflows.tenancy.actor import Actor
from workflows.tenancy.models import Tenant
from workflows.tenancy.roles import Permission

OVER: Final = (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED)
# So many rows in one transaction, and parts in one turn: the keeper has other duties, and SQLite one writer.
_BATCH: Final = 100
_PARTS: Final = 20


def policy_of(tenant: Tenant) -> RetentionPolicy:
    """The tenant's policy; one that keeps all for ever where none was set. One query."""
    return RetentionPolicy.objects.filter(tenant=tenant).first() or RetentionPolicy(tenant=tenant)


def set_retention(*, actor: Actor, runs_days: int | None, texts_days: int | None) -> RetentionPolicy:
    """Say how many days runs, and the texts of model calls, are kept after their end; None: for ever. Audited."""
    # Whoever may deal with people and keys may not yet throw away the tenant's memory.
    actor.require(Permission.MANAGE_PEOPLE)
    problems = []
    for field, days, least in (("runs_days", runs_days, LEAST_KEPT_DAYS), ("texts_days", texts_days, 1)):
        if days is not None and not least <= days <= LONGEST_KEPT_DAYS:
            message = f"Between {least} and {LONGEST_KEPT_DAYS:,} days, or nothing."
            problems.append(Problem("invalid", message, field=field))
    if problems:
        raise Invalid(problems[0].message, problems=tuple(problems))
    with transaction.atomic():
        policy, _ = RetentionPolicy.objects.select_for_update().get_or_create(tenant=actor.tenant)
        wanted = {"runs_days": runs_days, "texts_days": texts_days}
        before, after = audit.changes({name: getattr(policy, name) for name in wanted}, wanted)
        if after:
            policy.runs_days, policy.texts_days, policy.changed_at = runs_days, texts_days, timezone.now()
            policy.save()
            audit.record(actor, "changed retention", policy, before=before, after=after)
    return policy


def prune_runs(now: datetime | None = None, parts: int = _PARTS) -> int:
    """Follow every tenant's policy, at most `parts` batches of 100 rows; returns how many rows went or were emptied."""
    now = now or timezone.now()
    gone = 0
    for policy in RetentionPolicy.objects.exclude(runs_days=None, texts_days=None).select_related("tenant"):
        if policy.runs_days is not None:
            # By whole days: figures are sealed by days.
            until = day_of(now - timedelta(days=policy.runs_days))
            sealed = False
            while parts > 0 and (ids := _old_runs(policy.tenant, until)):
                if not sealed:
                    # Figures of the days that lose runs stay as they are for ever.
                    seal(policy.tenant, until)
                    sealed = True
                gone += _delete(ids, until)
                parts -= 1
        if policy.texts_days is not None:
            until = now - timedelta(days=policy.texts_days)
            while parts > 0 and (attempts := _old_texts(policy.tenant, until)):
                gone += Attempt.objects.filter(pk__in=attempts).update(calls=[], text="")
                parts -= 1
    return gone


def prunable(tenant: Tenant, until: datetime) -> QuerySet[Run]:
    """Runs that ended before this: none that a person may still decide about, and none another run stands on."""
    waiting = Review.objects.filter(run=OuterRef("pk"), status=Review.Status.OPEN)
    younger = Run.objects.filter(parent=OuterRef("pk")).exclude(status__in=OVER, completed_at__lt=until)
    return (
        Run.objects.for_tenant(tenant)
        .filter(completed_at__lt=until, status__in=OVER)
        .exclude(Exists(waiting))
        .exclude(Exists(younger))
        # A run that another one started goes with it, or when that one is old too.
        .filter(Q(parent=None) | Q(parent__completed_at__lt=until))
    )


def _old_runs(tenant: Tenant, until: datetime) -> list[UUID]:
    return list(prunable(tenant, until).order_by("completed_at").values_list("pk", flat=True)[:_BATCH])


def _delete(ids: list[UUID], until: datetime) -> int:
    with transaction.atomic():
        # Asked again under the lock: somebody may have tried one again meanwhile.
        still = Run.objects.filter(pk__in=ids, completed_at__lt=until, status__in=OVER).select_for_update()
        rows = list(still.values_list("pk", flat=True))
        Run.objects.filter(pk__in=rows).delete()
    return len(rows)


def _old_texts(tenant: Tenant, until: datetime) -> list[UUID]:
    kept = Attempt.objects.for_tenant(tenant).filter(ended_at__lt=until, run__completed_at__lt=until)
    kept = kept.filter(run__status__in=OVER).exclude(calls=[], text="")
    return list(kept.order_by().values_list("pk", flat=True)[:_BATCH])
