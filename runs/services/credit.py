"""What runs meet at providers' accounts: alerts about credit and keys, their cure, and what is left of a stated balance."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any, Final

from django.db import transaction

from runs.models import Attempt, Run
from runs.services.execute_step import Task
from workflows.lib.clock import utc_now
from workflows.models import CreditAlert
from workflows.services.credit_alerts import CREDIT_CODES, account_key, close_alerts, raise_alert
from workflows.tenancy.models import ProviderAccount

# A try's row is there soon after its end; what ends later than this before now is surely written.
_LATE: Final = timedelta(seconds=30)
_BATCH: Final = 500


def credit_alerts(run: Run, task: Task) -> list[Callable[[], None]]:
    """What to write in the transaction that takes a try's result; nothing unless a call met credit or a bad key."""
    found: dict[tuple[str, str], Callable[[], None]] = {}
    for call in task.calls:
        error = call.get("error")
        if not isinstance(error, dict) or call.get("skipped") or error.get("code") not in CREDIT_CODES:
            continue
        provider, account = str(call.get("provider")), str(call.get("account") or "")
        found[provider, account] = partial(
            raise_alert,
            tenant_id=run.tenant_id,
            provider=provider,
            account_name=account,
            code=str(error["code"]),
            words=str(error.get("message") or "Calls are refused."),
            run=run.pk,
        )
    return list(found.values())


def watch_credit() -> int:
    """The keeper's look: closes alerts whose account has answered since, and counts stated balances down.

    Returns how many alerts it opened or closed. Costs two queries where nothing is open and nothing stated.
    """
    changed = 0
    open_ones = CreditAlert.objects.filter(closed_at__isnull=True, what=CreditAlert.What.REFUSED)
    for alert in open_ones.select_related("account"):
        if _has_answered(alert):
            changed += close_alerts(alert.tenant_id, alert.account_key, by="a call that was answered")
        elif alert.account is not None and not alert.account.is_active:
            changed += close_alerts(alert.tenant_id, alert.account_key, by="switching the account off")
    for account in ProviderAccount.objects.filter(stated_balance_usd__isnull=False):
        changed += _count_down(account)
    return changed


def _has_answered(alert: CreditAlert) -> bool:
    name = alert.account.name if alert.account is not None else "environment"
    rows = Attempt.objects.filter(
        tenant_id=alert.tenant_id, provider=alert.provider, ended_at__gt=alert.raised_at
    )
    for calls in rows.order_by("-ended_at").values_list("calls", flat=True)[:50]:
        for call in calls:
            good = call.get("provider") == alert.provider and call.get("account") == name
            # A call that began before the alert says nothing about what came after it.
            if good and "error" not in call and str(call.get("started_at", "")) > alert.raised_at.isoformat():
                return True
    return False


def _count_down(account: ProviderAccount) -> int:
    """Take what was spent since the last look off the balance; 1 where that opened or closed an alert."""
    since = account.spent_until or account.stated_at
    until = utc_now() - _LATE
    if since is None or until <= since:
        return 0
    rows = Attempt.objects.filter(
        tenant_id=account.tenant_id,
        provider__gt="",
        ended_at__gt=since,
        ended_at__lte=until,
        cost__gt=0,
    )
    spent = sum(
        (_spent_on(calls, account) for calls in rows.values_list("calls", flat=True).iterator(_BATCH)),
        Decimal(0),
    )
    with transaction.atomic():
        # Two keepers have seen the same stretch: the one that comes second finds it counted.
        mine = ProviderAccount.objects.filter(
            pk=account.pk, spent_until=account.spent_until, stated_at=account.stated_at
        )
        if not mine.update(spent_until=until, spent_since_usd=account.spent_since_usd + spent):
            return 0
        account.refresh_from_db()
        left, key = account.left_usd, account_key(account, account.provider)
        if account.warn_below_usd is None or left is None or left >= account.warn_below_usd:
            return 0
        alerts = CreditAlert.objects.filter(tenant_id=account.tenant_id, account_key=key, closed_at=None)
        if alerts.filter(what=CreditAlert.What.LOW).exists():
            return 0
        raise_alert(
            tenant_id=account.tenant_id,
            provider=account.provider,
            account_name=account.name,
            code="low_balance",
            words=f"About {dollars(left)} is left of the {dollars(account.stated_balance_usd)} that were stated.",
            what=CreditAlert.What.LOW,
        )
    return 1


def _spent_on(calls: Any, account: ProviderAccount) -> Decimal:
    return sum(
        (
            Decimal(str(call.get("cost") or 0))
            for call in calls
            if call.get("provider") == account.provider and call.get("account") == account.name
        ),
        Decimal(0),
    )


def dollars(amount: Decimal | None) -> str:
    return "–" if amount is None else f"${max(amount, Decimal(0)):,.2f}"
