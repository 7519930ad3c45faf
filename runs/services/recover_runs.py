"""The keeper's slow round: runs that lost their wake-up, and rows whose time is over."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.sessions.models import Session
from django.db.models import Q
from django.db.models.functions import Now

from runs.engine.statuses import RunStatus
from runs.models import IdempotencyKey, Notification, Run
from workflows.models import DomainEvent

KEYS_KEPT = timedelta(hours=24)
EVENTS_KEPT = timedelta(days=90)
BATCH = 500


def recover_runs() -> int:
    """Give runs that are at work, but that nobody drives and nothing will wake, a wake-up; returns how many.

    Claim, renew, release and mail all write `wake_at`, so this finds nothing unless one of them has a fault. A run at
    work must not stand still for ever because of it.
    """
    return (
        Run.objects.filter(status__in=(RunStatus.PENDING, RunStatus.RUNNING), wake_at__isnull=True)
        .filter(Q(lease_token="") | Q(lease_until__isnull=True) | Q(lease_until__lte=Now()))
        .update(wake_at=Now())
    )


def prune_stale() -> int:
    """Delete old idempotency keys, events and notifications, and sessions that have ended, in batches; returns how many rows."""
    gone = 0
    old = DomainEvent.objects.filter(fired_at__isnull=False, created_at__lt=Now() - EVENTS_KEPT)
    while events := list(old.values_list("id", flat=True)[:BATCH]):
        DomainEvent.objects.filter(id__in=events).delete()
        gone += len(events)
    long_told = Notification.objects.filter(created_at__lt=Now() - EVENTS_KEPT)
    while told := list(long_told.values_list("id", flat=True)[:BATCH]):
        Notification.objects.filter(id__in=told).delete()
        gone += len(told)
    while True:
        ids = list(
            IdempotencyKey.objects.filter(created_at__lt=Now() - KEYS_KEPT).values_list("id", flat=True)[
                :BATCH
            ]
        )
        gone += IdempotencyKey.objects.filter(id__in=ids).delete()[0]
        if len(ids) < BATCH:
            break
    while True:
        keys = list(
            Session.objects.filter(expire_date__lt=Now()).values_list("session_key", flat=True)[:BATCH]
        )
        gone += Session.objects.filter(session_key__in=keys).delete()[0]
        if len(keys) < BATCH:
            return gone
