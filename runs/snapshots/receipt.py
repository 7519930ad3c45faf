"""What a run has cost when it is over: by model, what failed tries and fallbacks took, what was reused, people's time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from django.db.models import Count, Q, Sum

from runs.engine.statuses import AttemptStatus
from runs.models import Attempt, Review, Run, StepRun
from runs.snapshots import words

_MODELS = 6


@dataclass(frozen=True, slots=True)
class Charge:
    """What one model took: `calls` are tries that ended with it."""

    model: str
    calls: int
    tokens: int
    cost: Decimal
    demo: bool


@dataclass(frozen=True, slots=True)
class Receipt:
    """`failed` tries with their cost; `fallbacks` are tries that another model answered; `waited` is the time in which
    gates stood open, in words."""

    charges: tuple[Charge, ...]
    failed: int
    failed_cost: Decimal
    fallbacks: int
    reused: int
    reviews: int
    waited: str

    @property
    def says_something(self) -> bool:
        return bool(self.charges or self.failed or self.reused or self.reviews)


def receipt_of(run: Run) -> Receipt:
    """Three queries, whatever the run did."""
    tries = Attempt.objects.filter(run=run, tenant_id=run.tenant_id).order_by()
    failed = Q(status=AttemptStatus.FAILED)
    rows = tries.values("provider", "model").annotate(
        calls=Count("pk"),
        spent_in=Sum("input_tokens"),
        spent_out=Sum("output_tokens"),
        spent=Sum("cost"),
        lost=Count("pk", filter=failed),
        lost_cost=Sum("cost", filter=failed),
        hopped=Count("pk", filter=~Q(hops=[]) & ~failed),
    )
    found = list(rows)
    charges = [
        Charge(
            words.model_words(row["provider"], row["model"]),
            row["calls"],
            row["spent_in"] + row["spent_out"],
            row["spent"],
            row["provider"] == "demo",
        )
        for row in found
        if row["provider"]
    ]
    charges.sort(key=lambda charge: (-charge.cost, -charge.tokens))
    decided = Review.objects.filter(run=run, tenant_id=run.tenant_id, status=Review.Status.DECIDED)
    spans = [
        end - begin
        for begin, end in decided.exclude(decided_by=None).values_list("created_at", "decided_at")
        if end is not None
    ]
    return Receipt(
        charges=tuple(charges[:_MODELS]),
        failed=sum(row["lost"] for row in found),
        failed_cost=sum((row["lost_cost"] or Decimal(0) for row in found), Decimal(0)),
        fallbacks=sum(row["hopped"] for row in found),
        reused=StepRun.objects.filter(run=run, tenant_id=run.tenant_id, reused=True, scope="").count(),
        reviews=len(spans),
        waited=words.seconds(sum(spans, timedelta())) if spans else "",
    )
