"""Rings the runs that are due and that nobody drives: the keeper's half of "no doorbell is lost"."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from django.db.models import Case, F, IntegerField, Q, Value, When, Window
from django.db.models.functions import Now, RowNumber

from runs import queue
from runs.models import Run

# A run that was rung gets this long until it is rung again.
PATIENCE = timedelta(seconds=10)
DUE_AND_FREE = Q(wake_at__lte=Now()) & (
    Q(lease_token="") | Q(lease_until__isnull=True) | Q(lease_until__lte=Now())
)


def ring_due_runs(limit: int = 200) -> int:
    """Ring up to `limit` runs whose `wake_at` has come and whose lease is free; returns how many.

    1. Due and free by the database's clock, so that keepers on other machines agree.
    2. Tenants take turns, those with few runs being driven first: a tenant's n-th due run stands behind everybody
       whose driven runs plus place in their own line are fewer.
    3. Each is taken by one UPDATE that moves `wake_at` on if the run is still due and free. (Not "if wake_at is what
       I saw": SQLite keeps times as text, and the same moment has several spellings.)
    """
    # Counted here: grouping in the database would walk all runs there ever were.
    driven = Counter(
        Run.objects.filter(wake_at__isnull=False, lease_until__gt=Now())
        .exclude(lease_token="")
        .order_by()
        .values_list("tenant", flat=True)
    )
    due = (
        Run.objects.filter(DUE_AND_FREE)
        .annotate(
            turn=Window(RowNumber(), partition_by="tenant_id", order_by="wake_at")
            + Case(
                *(When(tenant=tenant, then=Value(count)) for tenant, count in driven.items()),
                default=Value(0),
                output_field=IntegerField(),
            )
        )
        .order_by("turn", F("wake_at"))
        .values_list("id", flat=True)[:limit]
    )
    rung = 0
    for run_id in due:
        if Run.objects.filter(DUE_AND_FREE, id=run_id).update(wake_at=Now() + PATIENCE):
            queue.ring_again(run_id)
            rung += 1
    return rung
