"""Template tags about money: what a tenant has spent this month, by provider."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from django import template

from runs.selectors import spent_by_provider, spent_in_month
from workflows.lib.clock import utc_now
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
