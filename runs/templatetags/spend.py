"""Template tags about money: what a tenant has spent this month, by provider."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from django import template

from runs.selectors import spent_by_provider, spent_in_month
from runs.services.estimate_run import estimate_run
from workflows.lib.clock import utc_now
from workflows.models import Workflow
from workflows.templatetags.ui import format_money
from workflows.tenancy.models import Tenant

register = template.Library()
# Where no bill is written.
_FREE = ("demo", "ollama")


@dataclass(frozen=True, slots=True)
class MonthSpend:
    """US dollars of the calendar month (UTC) so far."""

    total: Decimal
    by_provider: dict[str, Decimal]


@register.simple_tag
def month_spend(tenant: Tenant) -> MonthSpend:
    """``{% month_spend tenant as spend %}``: two queries."""
    now = utc_now()
    return MonthSpend(spent_in_month(tenant.pk, now), spent_by_provider(tenant, now))


@register.simple_tag
def provider_spend(spend: MonthSpend, provider: str) -> str:
    """What one provider has had of it, in words."""
    return "no charge" if provider in _FREE else format_money(spend.by_provider.get(provider, Decimal(0)), 2)


@register.simple_tag
def cost_change(workflow: Workflow, old: int | None, new: int | None) -> str:
    """``{% cost_change workflow 12 None %}``: what a run would cost before and after, in a sentence; None is the draft.

    Empty where neither asks a model.
    """
    before, after = (
        estimate_run(workflow=workflow, version=number if number is not None else "draft")
        for number in (old, new)
    )
    if not before.steps and not after.steps:
        return ""
    was, becomes = ((one.low + one.high) / 2 for one in (before, after))
    unknown = "" if before.known and after.known else " Some models have no known price."
    said = format_money(was, 2), format_money(becomes, 2)
    if said[0] == said[1]:
        return f"The expected cost of a run stays at {said[0]}.{unknown}"
    return f"The expected cost of a run goes from {said[0]} to {said[1]}.{unknown}"
