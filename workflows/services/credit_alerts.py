"""Alerts about accounts that cannot pay: raised once, closed by a good call, a good check, or a new statement."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from workflows.lib.clock import utc_now
from workflows.lib.errors import Invalid, Problem
from workflows.lib.ids import new_id
from workflows.models import CreditAlert
from workflows.providers import registry
from workflows.tenancy import audit
from workflows.tenancy.actor import Actor
from workflows.tenancy.models import ProviderAccount, Tenant
from workflows.tenancy.roles import Permission

# What only somebody who looks after the account can mend (codes of workflows/providers/errors.py).
CREDIT_CODES: Final = frozenset({"quota", "bad_key"})
# An account that fails again so soon after it was cured is the same story, and nobody is told twice.
_SAME_STORY: Final = timedelta(hours=1)


def account_key(account: ProviderAccount | None, provider: str) -> str:
    """One name for one account of a tenant; the server's own has no row."""
    return account.pk.hex if account is not None else f"env:{provider}"


def raise_alert(
    *,
    tenant_id: UUID,
    provider: str,
    account_name: str,
    code: str,
    words: str,
    what: str = CreditAlert.What.REFUSED,
    run: UUID | None = None,
) -> None:
    """Open an alert about an account (by its name; one that is not the tenant's is the server's), unless one is open.

    Call it in the transaction of its cause. Two callers at once: one row.
    """
    row = ProviderAccount.objects.filter(
        tenant_id=tenant_id, provider=provider, name__iexact=account_name
    ).first()
    key = account_key(row, provider)
    alerts = CreditAlert.objects.filter(tenant_id=tenant_id, account_key=key, what=what)
    if alerts.filter(closed_at__isnull=True).exists():
        return
    now = utc_now()
    late = alerts.filter(closed_at__gt=now - _SAME_STORY, code=code).order_by("-closed_at").first()
    if late is not None and alerts.filter(pk=late.pk, closed_at__isnull=False).update(
        closed_at=None, closed_by="", raised_at=now, words=words[:500]
    ):
        return
    label = registry.get(provider).label if registry.is_known(provider) else provider
    CreditAlert.objects.bulk_create(
        [
            CreditAlert(
                id=new_id(),
                tenant_id=tenant_id,
                account=row,
                account_key=key,
                provider=provider,
                name=row.name if row is not None else f"the server's {label} account",
                what=what,
                code=code,
                words=words[:500],
                run=run,
                raised_at=now,
            )
        ],
        ignore_conflicts=True,
    )


def close_alerts(tenant_id: UUID, key: str, *, by: str, what: str = CreditAlert.What.REFUSED) -> int:
    """The account is cured; returns how many alerts were closed."""
    rows = CreditAlert.objects.filter(tenant_id=tenant_id, account_key=key, what=what, closed_at__isnull=True)
    return rows.update(closed_at=utc_now(), closed_by=by[:200])


def open_alerts(tenant: Tenant) -> QuerySet[CreditAlert]:
    """What is wrong with the tenant's accounts now, newest first. One query."""
    return CreditAlert.objects.for_tenant(tenant).filter(closed_at__isnull=True).order_by("-raised_at")


def state_balance(
    *, actor: Actor, account: ProviderAccount, balance: Decimal | None, warn_below: Decimal | None
) -> ProviderAccount:
    """What is left at the vendor now, and below how much owners and admins are told. None: nothing is stated.

    From here on what runs spend on the account is taken off. Raises NotAllowed, Invalid.
    """
    actor.require(Permission.MANAGE_KEYS)
    problems = []
    if balance is not None and balance < 0:
        problems.append(Problem("invalid", "A balance is not below 0.", field="balance"))
    if warn_below is not None and warn_below < 0:
        problems.append(Problem("invalid", "It is not below 0.", field="warn_below"))
    if warn_below is not None and balance is None:
        message = "State the balance too, or nobody knows when it is near its end."
        problems.append(Problem("required", message, field="balance"))
    if problems:
        raise Invalid(problems[0].message, problems=tuple(problems))
    before = {"balance": _said(account.stated_balance_usd), "warn below": _said(account.warn_below_usd)}
    now = utc_now()
    stated = balance is not None
    with transaction.atomic():
        account.stated_balance_usd, account.warn_below_usd = balance, warn_below
        account.stated_at = account.spent_until = now if stated else None
        account.spent_since_usd = Decimal(0)
        account.save(
            update_fields=[
                *("stated_balance_usd", "warn_below_usd", "stated_at", "spent_until", "spent_since_usd")
            ]
        )
        if balance is None or balance > (warn_below or 0):
            close_alerts(
                actor.tenant.pk,
                account_key(account, account.provider),
                by=f"a balance stated by {actor.label}",
                what=CreditAlert.What.LOW,
            )
        audit.record(
            actor,
            "changed",
            account,
            before=before,
            after={"balance": _said(balance), "warn below": _said(warn_below)},
        )
    return account


def _said(amount: Decimal | None) -> str | None:
    return None if amount is None else f"{amount:.2f}"
