"""Models with which a failed step may be tried again: those with a working account, each with what that will probably cost."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from runs.engine.statuses import StepStatus
from runs.models import Attempt, Run, StepRun
from runs.snapshots.words import provider_name
from workflows.lib.clock import utc_now
from workflows.providers import registry
from workflows.providers.base import Account, Usage
from workflows.providers.breaker import BreakerState
from workflows.providers.fallback import gate_name
from workflows.providers.models import BadModel, parse_model
from workflows.providers.pricing import estimate_tokens, price_of
from workflows.services.provider_accounts import accounts_of
from workflows.services.provider_gates import the_gates
from workflows.tenancy.models import Tenant

_OFFERED = 3
# What an answer is reckoned with where the step has never given one.
_UNKNOWN_ANSWER = 800
_HISTORY = 20


@dataclass(frozen=True, slots=True)
class ModelOffer:
    """`ref` is provider:model; `price` US dollars for doing the step once, None where nobody has a price."""

    ref: str
    provider: str
    model: str
    price: Decimal | None
    is_demo: bool


def model_offers(run: Run, step_key: str) -> list[ModelOffer]:
    """At most three models other than the one that failed, the workspace's own fallbacks first; of another provider
    where one is there. Four queries and one look at the breakers."""
    attempt = (
        Attempt.objects.filter(run=run, tenant_id=run.tenant_id, step_run__step_key=step_key)
        .exclude(provider="")
        .order_by("-started_at")
        .first()
    )
    failed = (attempt.provider, attempt.model) if attempt is not None else ("", "")
    usage = _usage(run, step_key, attempt)
    tenant = Tenant.objects.only("default_model", "fallback").get(pk=run.tenant_id)
    refs = [*_asked_for(tenant), *_defaults(run.tenant_id)]
    found: dict[str, ModelOffer] = {}
    working = _working(run.tenant_id)
    for text in refs:
        try:
            ref = parse_model(text)
        except BadModel:
            continue
        if (ref.provider, ref.model) == failed or ref.provider not in working:
            continue
        price = price_of(ref, usage)
        found.setdefault(
            str(ref),
            ModelOffer(
                str(ref),
                provider_name(ref.provider),
                ref.model,
                price.amount if price.known else None,
                ref.provider == "demo",
            ),
        )
    ordered = sorted(found.values(), key=lambda one: (one.is_demo, one.ref.split(":")[0] == failed[0]))
    return ordered[:_OFFERED]


def other_model(tenant: Tenant, provider: str) -> tuple[str, str]:
    """(ref, name of the provider) of the first model of another provider with a working account, the workspace's own
    fallbacks first; empty where there is none but the demonstration. At most one query and one look at the breakers."""
    working = _working(tenant.pk)
    for text in [*_asked_for(tenant), *_defaults(tenant.pk)]:
        try:
            ref = parse_model(text)
        except BadModel:
            continue
        if ref.provider in working and ref.provider not in (provider, "demo"):
            return str(ref), provider_name(ref.provider)
    return "", ""


def _asked_for(tenant: Tenant) -> list[str]:
    return [text for text in (*tenant.fallback, tenant.default_model) if text]


def _defaults(tenant_id: UUID) -> list[str]:
    names = [*accounts_of(tenant_id), *(provider.name for provider in registry.all_providers())]
    found = []
    for name in dict.fromkeys(names):
        if model := registry.get(name).default_model():
            found.append(f"{name}:{model}")
    return found


def _working(tenant_id: UUID) -> set[str]:
    """Providers with an account that can be read and that is not paused after failures."""
    accounts: list[Account] = []
    for provider in registry.all_providers():
        own = accounts_of(tenant_id).get(provider.name, ())
        environment = provider.account_from_environment()
        accounts += own or ((environment,) if environment is not None else ())
    usable = [account for account in accounts if not account.problem]
    breakers = the_gates().breakers(gate_name(account) for account in usable)
    now = utc_now().timestamp()
    return {"demo"} | {
        account.provider
        for account in usable
        if breakers[gate_name(account)].state(now) is not BreakerState.OPEN
    }


def _usage(run: Run, step_key: str, attempt: Attempt | None) -> Usage:
    """What the step used when it last worked, else what was sent this time and an answer of usual length."""
    newest = Run.objects.filter(workflow_id=run.workflow_id, tenant_id=run.tenant_id).order_by("-created_at")
    rows = StepRun.objects.filter(
        run__in=list(newest.values_list("pk", flat=True)[:_HISTORY]),
        step_key=step_key,
        status=StepStatus.COMPLETED,
        output_tokens__gt=0,
    )
    known = list(rows.order_by().values_list("input_tokens", "output_tokens")[:_HISTORY])
    if known:
        return Usage(sum(one for one, _ in known) // len(known), sum(two for _, two in known) // len(known))
    calls = attempt.calls if attempt is not None else []
    sent = "\n".join(
        str(message.get("content", "")) for call in calls[-1:] for message in call.get("messages", ())
    )
    return Usage(estimate_tokens(sent), _UNKNOWN_ANSWER, estimated=True)
