"""What stands behind the runs: work that waits, workers that answer, providers that do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog
from django.conf import settings
from redis.exceptions import RedisError

from runs.engine.statuses import RunStatus
from runs.models import Run
from workflows.lib.redis_clients import quick_client
from workflows.models import CreditAlert
from workflows.providers import registry
from workflows.providers.breaker import BreakerState
from workflows.providers.fallback import gate_name
from workflows.services.credit_alerts import open_alerts
from workflows.services.provider_accounts import account_of
from workflows.services.provider_gates import the_gates
from workflows.tenancy.models import ProviderAccount, Tenant

log = structlog.get_logger(__name__)

# Runs that are due are rung every second: what waits for longer waits for a free worker.
_LATE: Final = timedelta(seconds=5)
# RQ's own set of workers that have said they live.
_WORKERS_KEY: Final = "rq:workers"


@dataclass(frozen=True, slots=True)
class Weather:
    """An account at a provider that does not answer just now, and why; `low`: it does, but little is left."""

    name: str
    words: str
    low: bool = False


@dataclass(frozen=True, slots=True)
class StackState:
    """Counts of the tenant's unfinished runs: worked on, due but not begun, waiting for people, for a time. `workers`
    is the number of threads that take runs; None: the queue does not answer."""

    driven: int
    late: int
    people: int
    timed: int
    workers: int | None
    weather: Sequence[Weather]


def stack_state(tenant: Tenant, now: datetime) -> StackState:
    driven = late = people = timed = 0
    rows = Run.objects.for_tenant(tenant).filter(
        status__in=[RunStatus.PENDING, RunStatus.RUNNING, RunStatus.PAUSED]
    )
    for lease_until, wake_at, status in rows.order_by().values_list("lease_until", "wake_at", "status"):
        if lease_until is not None and lease_until > now:
            driven += 1
        elif wake_at is not None and wake_at <= now - _LATE:
            late += 1
        elif status == RunStatus.PAUSED:
            people += 1
        else:
            timed += 1
    return StackState(driven, late, people, timed, _workers(), _weather(tenant, now))


def _workers() -> int | None:
    try:
        with quick_client(settings.REDIS_QUEUE_URL) as redis:
            return int(str(redis.scard(_WORKERS_KEY)))
    except (RedisError, OSError) as error:
        log.warning("workers_not_counted", error=str(error))
        return None


def _weather(tenant: Tenant, now: datetime) -> list[Weather]:
    """Accounts whose breaker is open: the tenant's own, and the server's where it has none of that provider."""
    rows = list(ProviderAccount.objects.for_tenant(tenant).filter(is_active=True))
    accounts = [(row.name, account_of(row)) for row in rows]
    mine = {row.provider for row in rows}
    for provider in registry.all_providers():
        own = provider.account_from_environment()
        if own is not None and provider.name not in mine:
            accounts.append((provider.label, own))
    found = []
    # What a person has to mend comes first, and stays until it is mended.
    alerts = {(alert.account_key, alert.what): alert for alert in open_alerts(tenant)}
    keys = {name: account.id or f"env:{account.provider}" for name, account in accounts}
    told = {key for key, what in alerts if what == CreditAlert.What.REFUSED}
    found += [
        Weather(alert.name, alert.words, low=what == CreditAlert.What.LOW)
        for (_, what), alert in alerts.items()
    ]
    breakers = the_gates().breakers(gate_name(account) for _, account in accounts)
    for name, account in accounts:
        if keys[name] in told:
            continue
        breaker = breakers[gate_name(account)]
        if breaker.state(now.timestamp()) is not BreakerState.CLOSED:
            found.append(Weather(name, breaker.reason or "It has failed again and again."))
    return found
