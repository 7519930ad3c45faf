"""A tenant's accounts at model providers: made, changed, switched off, tested, and handed to calls as values."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Max

from workflows.lib.clock import utc_now
from workflows.lib.encryption import Secret, Undecipherable
from workflows.lib.errors import Conflict, Invalid, Problem, StepwellError
from workflows.lib.jsontypes import JSONObject
from workflows.lib.limits import FALLBACK_MODELS
from workflows.lib.safe_http import url_fault
from workflows.providers import registry
from workflows.providers.base import Account
from workflows.providers.fallback import gate_name
from workflows.providers.models import BadModel, is_default, parse_model
from workflows.services.credit_alerts import account_key, close_alerts
from workflows.services.provider_gates import the_gates
from workflows.tenancy import audit
from workflows.tenancy.actor import Actor
from workflows.tenancy.models import BudgetPolicy, ProviderAccount, Tenant
from workflows.tenancy.roles import Permission

# A driver asks at every start of a step; a changed account is heard of within this time.
_FRESH_S: Final = 3.0
_TEST_S: Final = 15.0
_LIMITS: Final = {"max_concurrency": 1_000, "requests_per_minute": 1_000_000}


# --- for calls ------------------------------------------------------------------------------------

_kept: dict[UUID, tuple[float, Mapping[str, tuple[Account, ...]]]] = {}
_lock = threading.Lock()


def accounts_of(tenant_id: UUID) -> Mapping[str, tuple[Account, ...]]:
    """The tenant's active accounts by provider, in the order in which they are called. At most one query in 3 s."""
    now = time.monotonic()
    with _lock:
        found = _kept.get(tenant_id)
    if found is not None and now - found[0] < _FRESH_S:
        return found[1]
    by_provider: dict[str, tuple[Account, ...]] = {}
    for row in ProviderAccount.objects.filter(tenant_id=tenant_id, is_active=True):
        if registry.is_known(row.provider):
            by_provider[row.provider] = (*by_provider.get(row.provider, ()), account_of(row))
    with _lock:
        if len(_kept) > 1_000:
            _kept.clear()
        _kept[tenant_id] = (now, by_provider)
    return by_provider


def forget_accounts(tenant_id: UUID) -> None:
    """The tenant's accounts have changed: this process reads them anew at once, others within seconds."""
    with _lock:
        _kept.pop(tenant_id, None)


def account_of(row: ProviderAccount) -> Account:
    """The account as calls get it, its key open. A key that cannot be read is told by `problem`."""
    key, problem = "", ""
    try:
        key = row.key.reveal()
    except Undecipherable as error:
        problem = error.message
    provider = registry.get(row.provider)
    return Account(
        provider=row.provider,
        base_url=row.base_url.rstrip("/") or provider.vendor_address(),
        api_key=key,
        name=row.name,
        # Only an address that somebody typed has to pass the outbound guard (07 §5).
        trusted=not row.base_url,
        id=row.pk.hex,
        problem=problem,
        max_concurrency=row.max_concurrency,
        requests_per_minute=row.requests_per_minute,
    )


# --- for people -----------------------------------------------------------------------------------


def create_account(
    *,
    actor: Actor,
    provider: str,
    name: str,
    key: str = "",
    base_url: str = "",
    max_concurrency: int | None = None,
    requests_per_minute: int | None = None,
) -> ProviderAccount:
    """A new account, called after those of the same provider. Raises NotAllowed, Invalid, Conflict (the name)."""
    actor.require(Permission.MANAGE_KEYS)
    row = ProviderAccount(
        tenant=actor.tenant,
        provider=provider,
        name=name.strip(),
        base_url=base_url.strip(),
        key=Secret.of(key.strip()),
        max_concurrency=max_concurrency,
        requests_per_minute=requests_per_minute,
        created_by=actor.user,
    )
    _check(row)
    try:
        with transaction.atomic():
            last = ProviderAccount.objects.for_tenant(actor.tenant).aggregate(last=Max("position"))["last"]
            row.position = 0 if last is None else last + 1
            row.save(force_insert=True)
            audit.record(actor, "created", row, after=_facts(row))
            _forget(actor)
    except IntegrityError:
        raise _name_taken(row.name) from None
    return row


def update_account(
    *,
    actor: Actor,
    account: ProviderAccount,
    name: str,
    key: str | None = None,
    base_url: str = "",
    max_concurrency: int | None = None,
    requests_per_minute: int | None = None,
) -> ProviderAccount:
    """Change an account; `key` None or empty keeps the stored one.

    Another host takes the key anew: a stored key goes only where it was entered for. Raises Invalid, Conflict.
    """
    actor.require(Permission.MANAGE_KEYS)
    before, old_gate, old_host = _facts(account), gate_name(account_of(account)), _host(account)
    account.name, account.base_url = name.strip(), base_url.strip()
    account.max_concurrency, account.requests_per_minute = max_concurrency, requests_per_minute
    new_key = (key or "").strip()
    if new_key:
        account.key = Secret.of(new_key)
    elif account.key and _host(account) != old_host:
        message = "The stored key was entered for another address. Enter the key for this one."
        raise Invalid(message, problems=(Problem("key_needed", message, field="key"),))
    _check(account)
    account.checked_at = account.checked_ok = account.checked_ms = None
    account.checked_code = account.checked_words = ""
    try:
        with transaction.atomic():
            account.save()
            old, new = audit.changes(before, _facts(account))
            if new_key:
                old, new = {**old, "key": "(hidden)"}, {**new, "key": "(changed)"}
            audit.record(actor, "changed", account, before=old, after=new)
            _forget(actor)
            transaction.on_commit(lambda: _changed(old_gate, gate_name(account_of(account))))
    except IntegrityError:
        raise _name_taken(account.name) from None
    return account


def set_account_active(*, actor: Actor, account: ProviderAccount, active: bool) -> ProviderAccount:
    """Switch an account on or off; calls that are under way end as they are. Already so: as it is."""
    actor.require(Permission.MANAGE_KEYS)
    with transaction.atomic():
        rows = ProviderAccount.objects.for_tenant(actor.tenant).filter(pk=account.pk, is_active=not active)
        if rows.update(is_active=active):
            audit.record(actor, "enabled" if active else "disabled", account)
            _forget(actor)
    account.refresh_from_db()
    return account


def delete_account(*, actor: Actor, account: ProviderAccount) -> None:
    """Remove an account and its key for good."""
    actor.require(Permission.MANAGE_KEYS)
    with transaction.atomic():
        audit.record(actor, "deleted", account, before=_facts(account))
        account.delete()
        _forget(actor)


@dataclass(frozen=True, slots=True)
class Tested:
    """What a test of an account said: `words` is a sentence for the person; `models` what it may call, if it was told."""

    ok: bool
    ms: int
    words: str
    code: str = ""
    models: tuple[str, ...] = ()


def check_account(*, actor: Actor, account: ProviderAccount) -> Tested:
    """Ask the provider for its models with the account's key (costs nothing), and keep what came of it.

    Success closes the account's breaker. It takes up to 15 s.
    """
    actor.require(Permission.MANAGE_KEYS)
    value = account_of(account)
    tested = check_value(value)
    ProviderAccount.objects.for_tenant(actor.tenant).filter(pk=account.pk).update(
        checked_at=utc_now(),
        checked_ok=tested.ok,
        checked_ms=tested.ms,
        checked_code=tested.code[:64],
        checked_words=tested.words[:500],
    )
    if tested.ok:
        the_gates().reset(gate_name(value))
        close_alerts(actor.tenant.pk, account_key(account, account.provider), by=f"a check by {actor.label}")
    account.refresh_from_db()
    return tested


def check_value(account: Account) -> Tested:
    """The same for an account as a value, such as the operator's; nothing is kept."""
    if account.problem:
        return Tested(False, 0, account.problem, "bad_key")
    began = time.monotonic()

    async def ask() -> tuple[str, ...]:
        async with asyncio.timeout(_TEST_S + 2):
            return await registry.get(account.provider).list_models(account)

    try:
        models = asyncio.run(ask())
    except StepwellError as error:
        detail = getattr(error, "detail", None) or ""
        if account.api_key:
            detail = detail.replace(account.api_key, "(key)")
        words = f"{error.message} {detail}".strip()
        return Tested(False, _ms_since(began), words[:500], error.code)
    except TimeoutError:
        return Tested(False, _ms_since(began), "No answer came in time.", "timeout")
    return Tested(True, _ms_since(began), f"{len(models)} models" if models else "Answered", models=models)


def set_tenant_models(*, actor: Actor, default_model: str, fallback: list[str]) -> Tenant:
    """The model that steps on “default” follow, and the order that answers where it cannot. Raises Invalid."""
    actor.require(Permission.MANAGE_KEYS)
    default_model = "" if is_default(default_model) else default_model.strip()
    fallback = [entry.strip() for entry in fallback if entry.strip()]
    problems = [*(_model_problems([default_model], "default_model") if default_model else ())]
    problems += _model_problems(fallback, "fallback")
    if len(fallback) > FALLBACK_MODELS.value:
        problems.append(Problem("too_many", FALLBACK_MODELS.says(), field="fallback"))
    if problems:
        raise Invalid(problems[0].message, problems=tuple(problems))
    tenant = actor.tenant
    after: JSONObject = {"default_model": default_model, "fallback": list(dict.fromkeys(fallback))}
    before: JSONObject = {"default_model": tenant.default_model, "fallback": tenant.fallback}
    with transaction.atomic():
        Tenant.objects.filter(pk=tenant.pk).update(**after)
        old, new = audit.changes(before, after)
        if new:
            audit.record(actor, "changed", tenant, before=old, after=new)
    tenant.refresh_from_db()
    return tenant


def set_tenant_budget(*, actor: Actor, monthly_budget_usd: Decimal | None, budget_policy: str) -> Tenant:
    """What all runs of a calendar month (UTC) may spend, and what happens to a run then; None = no limit."""
    actor.require(Permission.MANAGE_KEYS)
    if budget_policy not in BudgetPolicy.values:
        raise Invalid(f"There is no policy “{budget_policy}”.")
    if monthly_budget_usd is not None and monthly_budget_usd < 0:
        raise Invalid("A budget is not below 0.")
    tenant = actor.tenant
    before: JSONObject = {
        "monthly_budget_usd": _said(tenant.monthly_budget_usd),
        "policy": tenant.budget_policy,
    }
    after: JSONObject = {"monthly_budget_usd": _said(monthly_budget_usd), "policy": budget_policy}
    with transaction.atomic():
        Tenant.objects.filter(pk=tenant.pk).update(
            monthly_budget_usd=monthly_budget_usd, budget_policy=budget_policy
        )
        old, new = audit.changes(before, after)
        if new:
            audit.record(actor, "changed", tenant, before=old, after=new)
    tenant.refresh_from_db()
    return tenant


def _said(amount: Decimal | None) -> str | None:
    return None if amount is None else f"{amount:.2f}"


def _model_problems(texts: list[str], field: str) -> list[Problem]:
    found = []
    for text in texts:
        try:
            parse_model(text)
        except BadModel as error:
            found.append(Problem("bad_model", error.message, field=field))
    return found


def _check(row: ProviderAccount) -> None:
    problems: list[Problem] = []
    if not 0 < len(row.name) <= 120:
        problems.append(Problem("invalid", "A name has 1 to 120 characters.", field="name"))
    if not registry.is_known(row.provider) or row.provider == "demo":
        problems.append(Problem("invalid", f"There is no provider named “{row.provider}”.", field="provider"))
    else:
        provider = registry.get(row.provider)
        if row.base_url and (fault := url_fault(row.base_url)):
            problems.append(Problem("bad_url", fault, field="base_url"))
        elif not row.base_url and not provider.vendor_address():
            message = f"{provider.label} needs the address of its server."
            problems.append(Problem("required", message, field="base_url"))
        if not row.key and not row.base_url and provider.vendor_address():
            problems.append(Problem("required", f"{provider.label} needs a key.", field="key"))
    for field, most in _LIMITS.items():
        value = getattr(row, field)
        if value is not None and not 1 <= value <= most:
            problems.append(Problem("invalid", f"It must be from 1 to {most:,}, or empty.", field=field))
    if problems:
        raise Invalid(problems[0].message, problems=tuple(problems))


def _forget(actor: Actor) -> None:
    # Now for this transaction, and once more when others can see what it wrote.
    forget_accounts(actor.tenant.pk)
    transaction.on_commit(lambda: forget_accounts(actor.tenant.pk))


def _changed(*gates: str) -> None:
    for name in dict.fromkeys(gates):
        the_gates().reset(name)


def _facts(row: ProviderAccount) -> JSONObject:
    """What the audit log keeps of an account: never the key."""
    return {
        "provider": row.provider,
        "name": row.name,
        "base_url": row.base_url,
        "max_concurrency": row.max_concurrency,
        "requests_per_minute": row.requests_per_minute,
    }


def _host(row: ProviderAccount) -> tuple[str, str]:
    parts = urlsplit(row.base_url or registry.get(row.provider).vendor_address())
    return parts.scheme.lower(), parts.netloc.rpartition("@")[2].lower()


def _name_taken(name: str) -> Conflict:
    return Conflict(f"There is an account named “{name}” already.", code="name_taken")


def _ms_since(began: float) -> int:
    return round((time.monotonic() - began) * 1_000)
