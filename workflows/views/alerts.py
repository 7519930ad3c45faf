"""What is told of accounts and to whom: stated balances, and the workspace's Slack."""

from __future__ import annotations

from http import HTTPStatus

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from workflows.forms.connections import AccountForm, BalanceForm, SlackForm
from workflows.lib.errors import Invalid
from workflows.lib.safe_http import OutboundError
from workflows.services.credit_alerts import state_balance
from workflows.services.slack import set_slack_webhook, try_slack
from workflows.tenancy.access import TenantRequest, get_or_404, permission_required, tenant_required
from workflows.tenancy.models import ProviderAccount
from workflows.tenancy.roles import Permission

KEYS = Permission.MANAGE_KEYS


@require_POST
@tenant_required
def balance(request: TenantRequest, pk: str) -> HttpResponse:
    """State what is left on an account and below how much people are told."""
    account = get_or_404(ProviderAccount, request.actor, pk, KEYS)
    form = BalanceForm(request.POST)
    if form.is_valid():
        try:
            state_balance(actor=request.actor, account=account, **form.cleaned_data)
        except Invalid as error:
            for problem in error.problems:
                form.add_error(problem.field if problem.field in form.fields else None, problem.message)
        else:
            said = (
                "The balance is kept; what is spent is taken off."
                if account.stated_at
                else "No balance is stated."
            )
            messages.success(request, said)
            return redirect("workflows:connections")
    context = {
        "section": "connections",
        "form": AccountForm(account=account),
        "account": account,
        "balance_form": form,
    }
    return render(request, "workflows/connection.html", context, status=HTTPStatus.UNPROCESSABLE_ENTITY)


@require_POST
@permission_required(KEYS)
def slack(request: TenantRequest) -> HttpResponse:
    """Keep the webhook's address, forget it (`forget`), or post a line to try it (`try`)."""
    try:
        if "try" in request.POST:
            try_slack(actor=request.actor)
            messages.success(request, "Slack has taken the line.")
        elif "forget" in request.POST:
            set_slack_webhook(actor=request.actor, url="")
            messages.success(request, "The address is gone; nothing is posted any more.")
        else:
            form = SlackForm(request.POST)
            if form.is_valid() and form.cleaned_data["url"]:
                set_slack_webhook(actor=request.actor, url=form.cleaned_data["url"])
                messages.success(request, "The address is kept. Try it before you count on it.")
            else:
                messages.error(request, "Enter the address of the webhook.")
    except (Invalid, OutboundError) as error:
        messages.error(request, error.message)
    return redirect("workflows:connections")
