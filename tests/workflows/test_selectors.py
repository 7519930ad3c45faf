"""The list of workflows: its filters, its pages, and what it costs."""

from __future__ import annotations

from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.support.factories import World, workflow
from workflows.models import Step, Trigger
from workflows.selectors import status_counts, tags_in_use, workflow_page
from workflows.tenancy.models import Project, Tenant


def names(tenant: Tenant, **filters) -> list[str]:
    return sorted(row.workflow.name for row in workflow_page(tenant, **filters).items)


def test_the_filters_narrow_by_text_name_status_tag_and_project(world: World):
    project = Project.objects.create(tenant=world.tenant, name="Launch")
    workflow(world.tenant, "Daily brief", tags=["News", "100%"], project=project)
    workflow(
        world.tenant, "Lead approval", status="active", description="For the sales people", tags=["Übersicht"]
    )
    workflow(world.tenant, "Old one", status="archived")
    workflow(world.tenant, "Gone", deleted_at=timezone.now())
    workflow(world.other, "Daily brief of others", tags=["News"])
    here = world.tenant
    assert names(here) == ["Daily brief", "Lead approval", "Old one"]
    assert names(here, q="daily") == ["Daily brief"]
    assert names(here, q="SALES") == ["Lead approval"]
    assert names(here, q="new") == ["Daily brief"]
    assert names(here, q="100%") == ["Daily brief"]
    assert names(here, q="_") == []
    assert names(here, q="%") == ["Daily brief"]
    assert names(here, name="sales") == []
    assert names(here, name="lead") == ["Lead approval"]
    assert names(here, statuses=["active", "archived"]) == ["Lead approval", "Old one"]
    assert names(here, tag="news") == ["Daily brief"]
    assert names(here, tag="new") == []
    assert names(here, tag="Übersicht") == ["Lead approval"]
    assert names(here, project=project.pk) == ["Daily brief"]


def test_pages_tell_the_whole_count_and_the_newest_change_first(world: World):
    for number in range(5):
        workflow(world.tenant, f"W{number}")
    page = workflow_page(world.tenant, limit=2, offset=1)
    assert ([row.workflow.name for row in page.items], page.count) == (["W3", "W2"], 5)
    by_name = workflow_page(world.tenant, order="name", limit=1)
    assert by_name.items[0].workflow.name == "W0"


def test_rows_know_their_steps_and_triggers_at_the_same_cost_for_few_and_many(world: World):
    def cost() -> int:
        with CaptureQueriesContext(connection) as seen:
            workflow_page(world.tenant)
        return len(seen)

    first = workflow(world.tenant)
    few = cost()
    for number in range(6):
        other = workflow(world.tenant)
        Step.objects.create(workflow=other, tenant=world.tenant, key="a", type="llm", label=f"Step {number}")
        Trigger.objects.create(workflow=other, tenant=world.tenant, key="t", type="schedule")
    assert cost() == few == 3
    rows = {row.workflow.pk: row for row in workflow_page(world.tenant).items}
    assert (rows[first.pk].steps_count, rows[first.pk].trigger_types) == (0, ())
    assert (rows[other.pk].steps_count, rows[other.pk].trigger_types) == (1, ("schedule",))


def test_counts_and_tags_are_the_tenants_own(world: World):
    workflow(world.tenant, tags=["news", "Äpfel"])
    workflow(world.tenant, status="active", tags=["News"])
    workflow(world.tenant, status="archived")
    workflow(world.other, tags=["secret"])
    assert status_counts(world.tenant) == {"draft": 1, "active": 1, "archived": 1, "all": 2}
    assert {tag.casefold() for tag in tags_in_use(world.tenant)} == {"news", "äpfel"}
