"""What a run of a template will probably take and cost, before anybody uses it; where the figures come from is said."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Final
from uuid import UUID

from django.db.models import Avg, Count, ExpressionWrapper, F
from django.db.models.fields import DurationField

from templates_app.models import TemplateInstall, WorkflowTemplate
from workflows.definition.graph import Definition
from workflows.definition.ordering import body_order
from workflows.definition.schema import from_stored
from workflows.providers import registry as providers
from workflows.providers.models import resolve_model
from workflows.services.estimate import Estimate, estimate
from workflows.services.provider_accounts import accounts_of
from workflows.steps import registry
from workflows.steps.base import Group
from workflows.steps.catalog import CATALOG
from workflows.tenancy.models import Tenant

# Where nothing has run yet: what a model writes in a second, and what everything around a step takes.
_TOKENS_PER_SECOND: Final = 60
_SECONDS_PER_CALL: Final = 1.0
_SECONDS_PER_STEP: Final = 0.2
_FREE: Final = "demo"


@dataclass(frozen=True, slots=True)
class Expected:
    """Of one run: US dollars low and high, seconds without people's answers. `runs`: how many runs the time rests on."""

    low: Decimal
    high: Decimal
    known: bool
    is_demo: bool
    asks_model: bool
    seconds: float
    runs: int

    @property
    def cost(self) -> str:
        if not self.asks_model:
            return "costs nothing"
        if self.is_demo:
            return "free demo"
        if not self.known:
            return "price unknown"
        return f"up to {_money(self.high)}"

    @property
    def time(self) -> str:
        seconds = round(self.seconds)
        if seconds < 1:
            return "under 1 s"
        return f"about {seconds} s" if seconds < 90 else f"about {round(seconds / 60)} min"

    @property
    def basis(self) -> str:
        """Both figures' origin, in one or two sentences."""
        cost = (
            "No step asks a model."
            if not self.asks_model
            else "Steps answer with the built-in demonstration, which costs nothing and shows made-up answers."
            if self.is_demo
            else "The cost is reckoned from the prompts and the longest answers they allow."
        )
        time = (
            f"The time is that of your last {self.runs} run{'' if self.runs == 1 else 's'}."
            if self.runs
            else "The time is reckoned from the steps; nothing made from it has run here yet."
        )
        return f"{cost} {time}"


def _money(amount: Decimal) -> str:
    return "under $0.01" if amount < Decimal("0.01") else f"${amount:.2f}"


def expectations(tenant: Tenant, templates: Iterable[WorkflowTemplate]) -> dict[UUID, Expected]:
    """For each template, as this tenant would run it: with its own model, and its own runs where it has any.

    One query, besides the tenant's accounts every few seconds.
    """
    listed = list(templates)
    model = _model_of(tenant)
    past = _past(tenant, listed)
    found = {}
    for template in listed:
        one = _reckoned(template.document, model)
        runs, seconds = past.get(template.pk, (0, 0.0))
        # A run with reviews lasts as long as people take, which says nothing of the next one.
        rests = runs if not _asks_people(template.document) else 0
        found[template.pk] = Expected(
            one[0].low,
            one[0].high,
            one[0].known,
            any(step.model.startswith(f"{_FREE}:") for step in one[0].steps),
            bool(one[0].steps),
            seconds if rests else one[1],
            rests,
        )
    return found


def answers_with_demo(tenant: Tenant) -> bool:
    """Whether a step on the default model is answered by the built-in demonstration here."""
    return resolve_model(None, _model_of(tenant)).provider == _FREE


def _model_of(tenant: Tenant) -> str | None:
    if tenant.default_model:
        return tenant.default_model
    for name in accounts_of(tenant.pk):
        if model := providers.get(name).default_model():
            return f"{name}:{model}"
    return None


@lru_cache(maxsize=512)
def _reckoned(document: str, model: str | None) -> tuple[Estimate, float]:
    definition = from_stored(json.loads(document))
    found = estimate(definition, history={}, runs=0, default_model=model)
    # An answer is seldom as long as it may be: the middle between shortest and longest.
    asked = {step.key: sum(step.output_tokens) / 2 for step in found.steps}
    free = all(step.model.startswith(f"{_FREE}:") for step in found.steps)
    return found, _longest_way(definition, None, {} if free else asked)


def _longest_way(definition: Definition, parent: str | None, asked: dict[str, float]) -> float:
    """Seconds along the slowest path of a body; branches go at the same time, a body inside counts once."""
    until: dict[str, float] = {}
    for step in body_order(definition, parent, CATALOG):
        before = [until[edge.source] for edge in definition.incoming(step.key) if edge.source in until]
        own = 0.0
        if step.enabled:
            own = _SECONDS_PER_STEP + _longest_way(definition, step.key, asked)
            if step.key in asked:
                own += _SECONDS_PER_CALL + asked[step.key] / _TOKENS_PER_SECOND
        until[step.key] = max(before, default=0.0) + own
    return max(until.values(), default=0.0)


@lru_cache(maxsize=512)
def _asks_people(document: str) -> bool:
    definition = from_stored(json.loads(document))
    kinds = (registry.find(step.type) for step in definition.steps if step.enabled)
    return any(kind is not None and kind.group is Group.ASK for kind in kinds)


def _past(tenant: Tenant, templates: list[WorkflowTemplate]) -> dict[UUID, tuple[int, float]]:
    """(runs, average seconds) of the tenant's finished runs of what was made from each template."""
    done = TemplateInstall.objects.for_tenant(tenant).filter(
        template__in=[template.pk for template in templates],
        workflow__runs__tenant=tenant,
        workflow__runs__status="completed",
        workflow__runs__kind__in=["live", "test"],
        workflow__runs__started_at__isnull=False,
    )
    took = ExpressionWrapper(
        F("workflow__runs__completed_at") - F("workflow__runs__started_at"), output_field=DurationField()
    )
    rows = (
        done.order_by()
        .values("template_id")
        .annotate(count=Count("workflow__runs"), average=Avg(took))
        .values_list("template_id", "count", "average")
    )
    return {
        pk: (count, average.total_seconds()) for pk, count, average in rows if isinstance(average, timedelta)
    }
