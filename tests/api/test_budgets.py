"""Budgets over the API: what may be spent, what was, and who may change it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from runs.models import Run
from tests.support import factories, runs
from tests.support.factories import World, bearer, key_of
from workflows.tenancy.models import AuditEntry, Tenant

pytestmark = pytest.mark.django_db


def put(world: World, body: dict[str, Any], actor: Any) -> Any:
    return Client().put("/api/budgets", body, content_type="application/json", headers=bearer(key_of(actor)))


def test_the_month_says_what_is_spent_and_which_workflows_limit_a_run(world: World):
    run = runs.run_of(world.bob, runs.graph(runs.step("one")), status="running")
    Run.objects.filter(pk=run.pk).update(cost=Decimal("1.25"))
    limited = factories.workflow(
        world.bob.tenant, "Outline", settings={"budget_usd": 4, "budget_policy": "stop"}
    )
    found = Client().get("/api/budgets", headers=bearer(key_of(world.vera))).json()
    assert found["month"]["spent"] == 1.25
    assert found["month"]["limit"] is None
    assert found["runs"] == [
        {"workflow_id": str(limited.pk), "workflow_name": "Outline", "limit": 4.0, "policy": "stop"}
    ]


def test_an_admin_sets_the_limit_and_what_is_not_sent_stays(world: World):
    admin = factories.member(world.bob.tenant, "admin")
    assert put(world, {"limit": 250.5, "policy": "stop"}, admin).json()["month"]["limit"] == 250.5
    month = put(world, {"policy": "warn"}, admin).json()["month"]
    assert (month["limit"], month["policy"]) == (250.5, "warn")
    assert put(world, {"limit": None}, admin).json()["month"]["limit"] is None
    assert AuditEntry.objects.filter(tenant=world.bob.tenant, action="changed").count() == 3


@pytest.mark.parametrize("body", [{"limit": -1}, {"policy": "shout"}, {"limit": "much"}, {"limits": 3}])
def test_nonsense_is_refused_and_nothing_changes(world: World, body: dict[str, Any]):
    admin = factories.member(world.bob.tenant, "admin")
    response = put(world, body, admin)
    assert response.status_code == 422
    assert response.json()["error"]["problems"]
    assert Tenant.objects.get(pk=world.bob.tenant.pk).monthly_budget_usd is None


def test_an_editor_may_not(world: World):
    assert put(world, {"limit": 1}, world.bob).status_code == 403
