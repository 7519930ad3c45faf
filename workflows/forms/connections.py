"""Forms of the page about connections: an account at a provider, the tenant's models, its budget."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, cast

from django import forms

from workflows.providers import registry
from workflows.tenancy.models import BudgetPolicy, ProviderAccount, Tenant


class AccountForm(forms.Form):
    """An account. Its key is only ever entered, never shown; an existing one keeps its key when the field is empty."""

    provider = forms.ChoiceField(label="Provider")
    name = forms.CharField(label="Name", max_length=120, help_text="So that you know it among others.")
    key = forms.CharField(
        label="Key",
        required=False,
        max_length=2_000,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}, render_value=False),
        help_text="Kept encrypted and never shown again.",
    )
    base_url = forms.CharField(
        label="Address",
        required=False,
        max_length=500,
        widget=forms.URLInput(attrs={"inputmode": "url", "autocomplete": "off"}),
        help_text="Empty: the provider's own. Ollama and other servers need theirs, such as https://models.example.com/v1.",
    )
    max_concurrency = forms.IntegerField(
        label="Calls at one time", required=False, min_value=1, max_value=1_000, help_text="Empty: no limit."
    )
    requests_per_minute = forms.IntegerField(
        label="Calls a minute", required=False, min_value=1, max_value=1_000_000, help_text="Empty: no limit."
    )

    def __init__(self, *args: Any, account: ProviderAccount | None = None, **kwargs: Any) -> None:
        if account is not None:
            kwargs.setdefault(
                "initial",
                {
                    "name": account.name,
                    "base_url": account.base_url,
                    "max_concurrency": account.max_concurrency,
                    "requests_per_minute": account.requests_per_minute,
                },
            )
        super().__init__(*args, **kwargs)
        if account is not None:
            # An account stays at its provider: its key is of no use elsewhere.
            del self.fields["provider"]
            if account.key:
                self.fields["key"].help_text = "Empty: the stored key stays. It is never shown."
            return
        provider = cast(forms.ChoiceField, self.fields["provider"])
        provider.choices = [(one.name, one.label) for one in registry.all_providers() if one.name != "demo"]


class TenantModelsForm(forms.Form):
    """The model that steps on “default” follow, and the order that answers where it cannot."""

    default_model = forms.CharField(
        label="Default model",
        required=False,
        max_length=120,
        widget=forms.TextInput(attrs={"list": "models", "autocomplete": "off", "spellcheck": "false"}),
        help_text="provider:model, for steps that say “default”. Empty: what the server has.",
    )
    fallback = forms.CharField(
        label="Fallback order",
        required=False,
        max_length=2_000,
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
        help_text="provider:model, one per line. Used by steps and workflows that do not set their own.",
    )

    @classmethod
    def of(cls, tenant: Tenant) -> TenantModelsForm:
        return cls(initial={"default_model": tenant.default_model, "fallback": "\n".join(tenant.fallback)})

    def clean_fallback(self) -> list[str]:
        return [line.strip() for line in str(self.cleaned_data["fallback"]).splitlines() if line.strip()]


class BudgetForm(forms.Form):
    """What all runs of a month may spend, and what happens then."""

    monthly_budget_usd = forms.DecimalField(
        label="Budget a month, in US dollars",
        required=False,
        min_value=0,
        max_digits=12,
        decimal_places=2,
        help_text="Empty: no limit. The run page says so when four fifths are spent.",
    )
    budget_policy = forms.ChoiceField(label="When it is spent", choices=BudgetPolicy.choices)

    @classmethod
    def of(cls, tenant: Tenant) -> BudgetForm:
        return cls(
            initial={"monthly_budget_usd": tenant.monthly_budget_usd, "budget_policy": tenant.budget_policy}
        )


class BalanceForm(forms.Form):
    """What is left at the vendor, as a person has read it there, and when to say that it runs out."""

    balance = forms.DecimalField(
        label="Left now, in US dollars",
        required=False,
        min_value=0,
        max_digits=12,
        decimal_places=2,
        help_text="As the provider's own page shows it. What runs spend is taken off from now on. Empty: not stated.",
    )
    warn_below = forms.DecimalField(
        label="Tell owners and admins below",
        required=False,
        min_value=0,
        max_digits=12,
        decimal_places=2,
        help_text="In US dollars. Empty: only when calls are refused.",
    )

    @classmethod
    def of(cls, account: ProviderAccount) -> BalanceForm:
        left = account.left_usd
        return cls(
            initial={
                "balance": None if left is None else max(left, Decimal(0)).quantize(Decimal("0.01")),
                "warn_below": account.warn_below_usd,
            }
        )


class SlackForm(forms.Form):
    """The address of an incoming webhook: entered, never shown."""

    url = forms.CharField(
        label="Address of the webhook",
        required=False,
        max_length=500,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}, render_value=False),
        help_text="Slack makes one under Apps, Incoming webhooks. Kept encrypted and never shown again.",
    )
