"""/api/budgets: what a month may cost, what it has cost so far, and what single runs may cost."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Body as JsonBody
from ninja import Field, Router, Schema

from runs.selectors import month_of, spent_by_provider, spent_in_month
from workflows.api.base import WRITE, Body, answer, errors, example, money, stamp
from workflows.api.workflows import actor_of
from workflows.selectors import visible_workflows
from workflows.services.provider_accounts import set_tenant_budget
from workflows.tenancy.actor import Actor

router = Router(tags=["Budgets"])

Policy = Literal["warn", "pause", "stop"]


class MonthBudget(Body):
    limit: Annotated[Decimal, Field(ge=0, max_digits=12, decimal_places=2)] | None = Field(
        None, description="US dollars that all runs of a calendar month (UTC) may spend; null: no limit."
    )
    policy: Policy | None = Field(
        None, description="What happens to a run when it is spent; left as it is when not sent."
    )


class Month(Schema):
    since: str
    limit: float | None
    spent: float
    policy: Policy
    by_provider: dict[str, float]


class RunBudget(Schema):
    workflow_id: str
    workflow_name: str
    limit: float = Field(..., description="US dollars that one run of this workflow's draft may spend.")
    policy: Policy


class Budgets(Schema):
    """US dollars."""

    month: Month
    runs: list[RunBudget] = Field(..., description="Workflows whose settings limit a run.")


@router.get("", response={200: Budgets, **errors()}, operation_id="get_budgets", summary="Get the budgets")
def get(request: HttpRequest) -> HttpResponse:
    return answer(_json(actor_of(request)))


@router.put(
    "",
    response={200: Budgets, **WRITE},
    operation_id="set_budget",
    summary="Set the month's budget",
    openapi_extra=example({"limit": 250, "policy": "pause"}),
)
def put(request: HttpRequest, body: JsonBody[MonthBudget]) -> HttpResponse:
    """For owners and admins. A run's own budget is a setting of its workflow: `definition.settings.budget_usd`."""
    actor = actor_of(request)
    sent = body.model_fields_set
    limit = body.limit if "limit" in sent else actor.tenant.monthly_budget_usd
    policy = body.policy or actor.tenant.budget_policy
    set_tenant_budget(actor=actor, monthly_budget_usd=limit, budget_policy=policy)
    return answer(_json(actor))


def _json(actor: Actor) -> dict[str, Any]:
    tenant, now = actor.tenant, timezone.now()
    limit = tenant.monthly_budget_usd
    limited = visible_workflows(tenant).filter(settings__budget_usd__isnull=False).order_by("name", "pk")
    return {
        "month": {
            "since": stamp(month_of(now)),
            "limit": None if limit is None else money(limit),
            "spent": money(spent_in_month(tenant.pk, now)),
            "policy": tenant.budget_policy,
            "by_provider": {name: money(cost) for name, cost in spent_by_provider(tenant, now).items()},
        },
        "runs": [
            {
                "workflow_id": str(workflow.pk),
                "workflow_name": workflow.name,
                "limit": float(workflow.settings["budget_usd"]),
                "policy": workflow.settings.get("budget_policy") or "pause",
            }
            for workflow in limited
        ],
    }
