"""The pages of what starts runs: written, checked against a sample, published, sent, switched off, and kept off."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from runs.models import Firing, Run
from runs.services.fire_events import fire_events
from tests.support.factories import World, client_of
from workflows.definition.schema import parse_definition
from workflows.models import PublishedTrigger, Workflow
from workflows.services.create_workflow import create_workflow
from workflows.services.events import send_event
from workflows.services.publish_workflow import publish_workflow
from workflows.steps.catalog import CATALOG
from workflows.tenancy.models import AuditEntry

pytestmark = pytest.mark.django_db

DOCUMENT: dict[str, Any] = {
    "nodes": [
        {
            "id": "a",
            "type": "transform",
            "name": "A",
            "config": {"mode": "template", "template": "Hi {{ input.name }}"},
        }
    ],
    "edges": [],
    "variables": [{"name": "name", "type": "string", "kind": "input", "required": True}],
}


@pytest.fixture
def lead(world: World) -> Workflow:
    return create_workflow(
        actor=world.bob, name="Lead approval", definition=parse_definition(DOCUMENT, CATALOG)
    )


@pytest.fixture
def bob(world: World) -> Client:
    return client_of(world.bob)


def made(bob: Client, lead: Workflow) -> str:
    """A trigger that is written in the browser; its address."""
    given = {
        "workflow": str(lead.pk),
        "events": "crm/lead_status.changed",
        "filter": 'trigger.data.status == "qualified"',
        "dedupe_key": "trigger.data.id",
    }
    answer = bob.post(reverse("triggers:new"), given)
    assert answer.status_code == 302, answer.content.decode()
    address: str = answer["Location"]
    form = {**given, "map_name": "{{ trigger.data.name }}"}
    assert bob.post(address, form).status_code == 302
    return address


def test_a_trigger_is_written_checked_published_and_starts_runs(
    world: World, bob: Client, lead: Workflow
) -> None:
    address = made(bob, lead)
    page = bob.get(address).content.decode()
    assert "Not published yet." in page
    sample = {"id": 7, "name": "Mara", "status": "new"}
    event = {"name": "crm/lead_status.changed", "sample": json.dumps(sample), "act": "check"}
    assert "The filter does not hold for this data." in bob.post(f"{address}try/", event).content.decode()
    event["sample"] = json.dumps({**sample, "status": "qualified"})
    checked = bob.post(f"{address}try/", event).content.decode()
    assert "It would start a run." in checked
    assert "&quot;name&quot;: &quot;Mara&quot;" in checked
    assert (
        "does not wait for events named"
        in bob.post(f"{address}try/", {**event, "name": "x/y"}).content.decode()
    )
    assert "cannot be told" in bob.post(f"{address}try/", {**event, "sample": "{}"}).content.decode()
    assert bob.post(f"{address}try/", {**event, "sample": "{"}).status_code == 422
    assert not Run.objects.exists()
    assert not Firing.objects.exists()

    publish_workflow(workflow=lead, actor=world.bob)
    for status in ("qualified", "new", "qualified"):
        event["sample"] = json.dumps({**sample, "status": status})
        bob.post(f"{address}try/", {**event, "act": "send"})
    run = Run.objects.get()
    assert run.input == {"name": "Mara"}
    page = bob.get(address).content.decode()
    assert f"Run {run.number}</a>" in page
    assert "The filter does not hold" in page
    assert "The same was there already" in page
    assert "1 a week" in bob.get(reverse("triggers:index")).content.decode()


def test_a_trigger_that_is_off_starts_nothing_also_in_the_next_version(
    world: World, bob: Client, lead: Workflow
) -> None:
    address = made(bob, lead)
    publish_workflow(workflow=lead, actor=world.bob)
    assert bob.post(f"{address}switch/", {"on": "0"}).status_code == 302
    assert AuditEntry.objects.filter(action="switched off a trigger of").count() == 1
    bob.post(address, {"events": "crm/*"})
    lead.refresh_from_db()
    publish_workflow(workflow=lead, actor=world.bob)
    assert PublishedTrigger.objects.get().config == {"event": "crm/*"}
    send_event(actor=world.bob, name="crm/lead_status.changed", data={"name": "Mara"})
    fire_events()
    assert not Run.objects.exists()
    assert "Switch on" in bob.get(reverse("triggers:index")).content.decode()
    bob.post(f"{address}switch/", {"on": "1"})
    send_event(actor=world.bob, name="crm/lead_status.changed", data={"name": "Mara"})
    fire_events()
    assert Run.objects.count() == 1


def test_what_is_wrong_stands_at_its_field(bob: Client, lead: Workflow) -> None:
    wrong = {"workflow": str(lead.pk), "events": "no spaces please", "filter": "trigger.data.x =="}
    answer = bob.post(reverse("triggers:new"), wrong)
    assert answer.status_code == 422
    assert answer.context["form"].errors.keys() == {"events", "filter"}
    assert not lead.triggers.exists()


def test_the_list_costs_the_same_however_many_there_are(
    world: World, bob: Client, lead: Workflow, django_assert_max_num_queries: Any
) -> None:
    for number in range(6):
        bob.post(reverse("triggers:new"), {"workflow": str(lead.pk), "events": f"crm/number.{number}"})
    with django_assert_max_num_queries(12):
        page = bob.get(reverse("triggers:index")).content.decode()
    assert page.count("crm/number.") >= 6
    assert client_of(world.charlie).get(reverse("triggers:index")).content.decode().count("crm/number.") == 0


def test_a_removed_trigger_leaves_with_the_next_version(world: World, bob: Client, lead: Workflow) -> None:
    address = made(bob, lead)
    publish_workflow(workflow=lead, actor=world.bob)
    assert bob.post(f"{address}remove/").status_code == 302
    assert "Removed from the draft." in bob.get(address).content.decode()
    Workflow.objects.filter(pk=lead.pk).update(description="changed")
    lead.refresh_from_db()
    publish_workflow(workflow=lead, actor=world.bob)
    assert not PublishedTrigger.objects.exists()
    assert bob.get(address).status_code == 404
