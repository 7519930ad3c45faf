"""The list of workflows, and what is done with one as a whole."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.support import runs as make
from tests.support.factories import World, client_of
from tests.support.factories import workflow as a_workflow
from workflows.models import Step, Workflow
from workflows.services.create_workflow import create_workflow

pytestmark = pytest.mark.django_db


def listed(world: World, **query: str) -> str:
    response = client_of(world.bob).get("/workflows/", query)
    assert response.status_code == 200
    return response.content.decode()


def test_the_first_page_leads_to_the_list(world: World):
    response = client_of(world.bob).get("/")
    assert (response.status_code, response.headers["Location"]) == (302, "/workflows/")


def test_the_list_is_searched_and_filtered_by_state(world: World):
    a_workflow(world.tenant, "Lead triage", tags=["sales"])
    a_workflow(world.tenant, "Article check", status="active", latest_version=1)
    a_workflow(world.tenant, "Old one", status="archived")
    html = listed(world)
    assert "Lead triage" in html
    assert "Article check" in html
    assert "Old one" not in html
    assert "Old one" in listed(world, status="archived")
    assert "Lead triage" not in listed(world, status="active")
    found = listed(world, q="sales")
    assert "Lead triage" in found
    assert "Article check" not in found
    assert "Nothing matches" in listed(world, q="zebra")


def test_the_list_costs_the_same_for_few_and_many(world: World):
    client = client_of(world.bob)

    def queries() -> int:
        with CaptureQueriesContext(connection) as seen:
            client.get("/workflows/")
        return len(seen)

    make.run_of(world.bob, make.graph(make.step("one")))
    queries()
    few = queries()
    for number in range(8):
        make.run_of(world.bob, make.graph(make.step("one")), name=f"Another {number}")
    assert queries() == few


def test_a_new_one_is_empty_and_opened(world: World):
    client = client_of(world.bob)
    for name in ("New workflow", "New workflow 2"):
        response = client.post("/workflows/new/")
        made = Workflow.objects.get(name=name)
        assert response.headers["Location"] == f"/workflows/{made.pk}/"
    assert "What should happen first?" in client.get(f"/workflows/{made.pk}/").content.decode()


def test_a_copy_has_the_same_steps_under_new_keys(world: World):
    made = create_workflow(
        actor=world.bob, name="Leads", definition=make.graph(make.step("one"), make.step("two"))
    )
    client_of(world.bob).post(f"/workflows/{made.pk}/duplicate/")
    copy = Workflow.objects.get(name="Copy of Leads")
    assert list(Step.objects.filter(workflow=copy).values_list("label", flat=True)) == ["One", "Two"]
    assert not Step.objects.filter(workflow=copy, key="one").exists()


def test_archive_restore_and_delete(world: World):
    made = a_workflow(world.tenant, "Leads", status="active", latest_version=1)
    client = client_of(world.bob)
    client.post(f"/workflows/{made.pk}/archive/")
    made.refresh_from_db()
    assert made.status == "archived"
    client.post(f"/workflows/{made.pk}/restore/")
    made.refresh_from_db()
    assert made.status == "active"
    client.post(f"/workflows/{made.pk}/delete/")
    assert client.get(f"/workflows/{made.pk}/").status_code == 404
