"""The page about connections: accounts at model providers with their health, the tenant's models and its budget."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from http import HTTPStatus
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from workflows.forms.connections import AccountForm, BalanceForm, BudgetForm, SlackForm, TenantModelsForm
from workflows.lib.errors import Conflict, Invalid
from workflows.models import Connection, CreditAlert
from workflows.providers import registry
from workflows.providers.base import Account
from workflows.providers.breaker import Breaker, BreakerState
from workflows.providers.fallback import gate_name
from workflows.providers.models import resolve_model
from workflows.services.connections import used_by
from workflows.services.credit_alerts import account_key, open_alerts
from workflows.services.provider_accounts import (
    account_of,
    check_account,
    create_account,
    delete_account,
    set_account_active,
    set_tenant_budget,
    set_tenant_models,
    update_account,
)
from workflows.services.provider_gates import the_gates
from workflows.tenancy.access import TenantRequest, get_or_404, permission_required, tenant_required
from workflows.tenancy.models import ProviderAccount
from workflows.tenancy.roles import Permission

KEYS = Permission.MANAGE_KEYS
UNPROCESSABLE = HTTPStatus.UNPROCESSABLE_ENTITY


@dataclass(frozen=True, slots=True)
class Card:
    """One account as the page shows it. `shape` and `icon` are those of states; `row` is None for the server's own."""

    provider: str
    label: str
    name: str
    shape: str
    icon: str
    health: str
    detail: str
    model: str
    limits: str
    row: ProviderAccount | None
    alerts: tuple[CreditAlert, ...] = ()

    @property
    def left(self) -> str:
        """“about $4.00 left”; empty where nobody has stated a balance."""
        left = self.row.left_usd if self.row is not None else None
        return "" if left is None else f"about ${max(left, Decimal(0)):,.2f} left"


@require_safe
@never_cache
@permission_required(KEYS)
def index(request: TenantRequest) -> HttpResponse:
    """Health first, spend second; then the order that answers where a model cannot, and the month's budget."""
    return _page(request)


@require_http_methods(["GET", "HEAD", "POST"])
@permission_required(KEYS)
def create(request: TenantRequest) -> HttpResponse:
    if request.method != "POST":
        return _account_page(request, AccountForm())
    form = AccountForm(request.POST)
    if form.is_valid():
        try:
            account = create_account(actor=request.actor, **form.cleaned_data)
        except (Invalid, Conflict) as error:
            _tell(form, error)
        else:
            messages.success(request, f"{account.name} is connected. Check it before you count on it.")
            return redirect("workflows:connections")
    return _account_page(request, form, status=UNPROCESSABLE)


@require_http_methods(["GET", "HEAD", "POST"])
@tenant_required
def change(request: TenantRequest, pk: str) -> HttpResponse:
    account = get_or_404(ProviderAccount, request.actor, pk, KEYS)
    if request.method != "POST":
        return _account_page(request, AccountForm(account=account), account)
    form = AccountForm(request.POST, account=account)
    if form.is_valid():
        try:
            update_account(actor=request.actor, account=account, **form.cleaned_data)
        except (Invalid, Conflict) as error:
            _tell(form, error)
        else:
            messages.success(request, f"{account.name} is changed. Check it before you count on it.")
            return redirect("workflows:connections")
    return _account_page(request, form, account, status=UNPROCESSABLE)


@require_POST
@tenant_required
def check(request: TenantRequest, pk: str) -> HttpResponse:
    account = get_or_404(ProviderAccount, request.actor, pk, KEYS)
    tested = check_account(actor=request.actor, account=account)
    if tested.ok:
        messages.success(request, f"{account.name} answered in {_seconds(tested.ms)}: {tested.words}.")
    else:
        messages.error(request, f"{account.name}: {tested.words}")
    return redirect("workflows:connections")


@require_POST
@tenant_required
def switch(request: TenantRequest, pk: str) -> HttpResponse:
    account = get_or_404(ProviderAccount, request.actor, pk, KEYS)
    on = request.POST.get("active") == "1"
    set_account_active(actor=request.actor, account=account, active=on)
    messages.success(request, f"{account.name} is {'on' if on else 'off: no calls go to it'}.")
    return redirect("workflows:connections")


@require_POST
@tenant_required
def delete(request: TenantRequest, pk: str) -> HttpResponse:
    account = get_or_404(ProviderAccount, request.actor, pk, KEYS)
    delete_account(actor=request.actor, account=account)
    messages.success(request, f"{account.name} and its key are removed.")
    return redirect("workflows:connections")


@require_POST
@permission_required(KEYS)
def models(request: TenantRequest) -> HttpResponse:
    form = TenantModelsForm(request.POST)
    if form.is_valid():
        try:
            set_tenant_models(actor=request.actor, **form.cleaned_data)
        except Invalid as error:
            _tell(form, error)
        else:
            messages.success(request, "The workspace's models are kept.")
            return redirect("workflows:connections")
    return _page(request, models_form=form, status=UNPROCESSABLE)


@require_POST
@permission_required(KEYS)
def budget(request: TenantRequest) -> HttpResponse:
    form = BudgetForm(request.POST)
    if form.is_valid():
        set_tenant_budget(actor=request.actor, **form.cleaned_data)
        messages.success(request, "The budget is kept.")
        return redirect("workflows:connections")
    return _page(request, budget_form=form, status=UNPROCESSABLE)


def _page(
    request: TenantRequest,
    *,
    models_form: TenantModelsForm | None = None,
    budget_form: BudgetForm | None = None,
    status: int = HTTPStatus.OK,
) -> HttpResponse:
    rows = list(ProviderAccount.objects.for_tenant(request.tenant))
    cards = _cards(rows, open_alerts(request.tenant))
    keys = list(Connection.objects.for_tenant(request.tenant))
    uses = used_by(keys)
    # What an alert says need not be said twice.
    broken = [card for card in cards if card.shape == "failed" and not card.alerts]
    context: dict[str, Any] = {
        "section": "connections",
        "cards": cards,
        "broken": broken,
        "stored_keys": [(row, uses.get(row.pk, [])) for row in keys],
        "chain": request.tenant.fallback,
        "default_model": _default_model(request, rows),
        "models_form": models_form or TenantModelsForm.of(request.tenant),
        "slack_form": SlackForm(),
        "alerts": [(card, alert) for card in cards for alert in card.alerts],
        "budget_form": budget_form or BudgetForm.of(request.tenant),
        "models": [
            f"{one.name}:{model}" for one in registry.all_providers() if (model := one.default_model())
        ],
    }
    return render(request, "workflows/connections.html", context, status=status)


def _account_page(
    request: TenantRequest,
    form: AccountForm,
    account: ProviderAccount | None = None,
    status: int = HTTPStatus.OK,
) -> HttpResponse:
    context = {"section": "connections", "form": form, "account": account}
    if account is not None:
        context["balance_form"] = BalanceForm.of(account)
    return render(request, "workflows/connection.html", context, status=status)


def _default_model(request: TenantRequest, rows: Iterable[ProviderAccount]) -> str:
    """What a step on “default” is answered by now."""
    if request.tenant.default_model:
        return str(request.tenant.default_model)
    for row in rows:
        model = registry.get(row.provider).default_model() if row.is_active else None
        if model:
            return f"{row.provider}:{model}"
    return str(resolve_model(None))


def _cards(rows: list[ProviderAccount], alerts: Iterable[CreditAlert]) -> list[Card]:
    """The tenant's accounts in their order, then the server's own where the tenant has none of the provider."""
    found: list[tuple[Account, ProviderAccount | None]] = [(account_of(row), row) for row in rows]
    mine = {row.provider for row in rows if row.is_active}
    for provider in registry.all_providers():
        account = provider.account_from_environment()
        if account is not None and provider.name not in mine:
            found.append((account, None))
    breakers = the_gates().breakers(gate_name(account) for account, _ in found)
    by_key: dict[str, list[CreditAlert]] = {}
    for alert in alerts:
        by_key.setdefault(alert.account_key, []).append(alert)
    cards = []
    for account, row in found:
        known = tuple(by_key.get(account_key(row, account.provider), ()))
        card = replace(_card(account, row, breakers[gate_name(account)]), alerts=known)
        refused = next((alert for alert in known if alert.what == CreditAlert.What.REFUSED), None)
        if refused is not None and card.shape != "failed":
            words = "No credit left" if refused.code == "quota" else "The key is not accepted"
            card = replace(card, shape="failed", icon="octagon-x", health=words)
        cards.append(card)
    return cards


def _card(account: Account, row: ProviderAccount | None, breaker: Breaker) -> Card:
    provider = registry.get(account.provider)
    shape, icon, health, detail = _health(account, row, breaker)
    limits = [
        f"{account.max_concurrency} at one time" if account.max_concurrency else "",
        f"{account.requests_per_minute:,} a minute" if account.requests_per_minute else "",
    ]
    return Card(
        provider=account.provider,
        label=provider.label,
        name=row.name if row is not None else "The server's own account",
        shape=shape,
        icon=icon,
        health=health,
        detail=detail,
        model=provider.default_model() or "",
        limits=", ".join(part for part in limits if part),
        row=row,
    )


def _health(account: Account, row: ProviderAccount | None, breaker: Breaker) -> tuple[str, str, str, str]:
    """(shape, icon, words, detail) of an account's state: what calls met weighs more than the last test."""
    now = datetime.now(UTC).timestamp()
    if row is not None and not row.is_active:
        return "cancel", "ban", "Off", "No calls go to it."
    if account.problem:
        return "failed", "octagon-x", "The key cannot be read", account.problem
    state = breaker.state(now)
    if state is not BreakerState.CLOSED:
        since = datetime.fromtimestamp(breaker.opened_at or now, UTC).strftime("%H:%M UTC")
        probe = datetime.fromtimestamp(breaker.probe_at or now, UTC).strftime("%H:%M:%S UTC")
        words = {"quota": "No credit left", "bad_key": "The key is not accepted"}.get(
            breaker.code, f"Paused after {breaker.failures} failures"
        )
        return "failed", "octagon-x", f"{words} since {since}", f"Next probe at {probe}. {breaker.reason}"
    if row is not None and row.checked_ok is False:
        return "failed", "octagon-x", "The last check failed", row.checked_words
    if breaker.failures:
        return "retry", "rotate-cw", f"{breaker.failures} failures lately", breaker.reason
    if row is not None and row.checked_ok:
        return "done", "circle-check", f"Answered in {_seconds(row.checked_ms or 0)}", ""
    return "wait", "clock", "Not checked yet", ""


def _seconds(ms: int) -> str:
    return f"{ms / 1000:.1f} s"


def _tell(form: forms.Form, error: Invalid | Conflict) -> None:
    """Put what the service said at the fields that it named."""
    problems = getattr(error, "problems", ())
    for problem in problems:
        form.add_error(problem.field if problem.field in form.fields else None, problem.message)
    if not problems:
        form.add_error("name" if "name" in form.fields else None, error.message)
