"""The built-in template Lead approval from the API's event to the second mail: trigger, filter, mail, two days, mail."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.utils import timezone

from runs.models import Firing, Run, StepRun
from templates_app.services.documents import read_file
from templates_app.services.load_builtin import BUILTIN
from tests.api.support import Api
from tests.runs.support import driven, statuses
from tests.support.factories import World, client_of
from workflows.models import Workflow
from workflows.services.create_workflow import create_workflow
from workflows.services.publish_workflow import publish_workflow

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def lead(world: World) -> Workflow:
    definition = read_file((BUILTIN / "lead-approval.yaml").read_text(), name="lead-approval").definition
    made = create_workflow(actor=world.bob, name="Lead approval", definition=definition)
    publish_workflow(workflow=made, actor=world.bob)
    return made


def told(world: World, **changed: Any) -> Any:
    data = {
        "status": "proposal_created",
        "name": "Mara Lindqvist",
        "email": "mara@marlowe.example",
        "company": "Marlowe Freight",
        "proposal": "Twelve lanes, from March.",
        "salesperson": "Jonas Feld",
        "salesperson_email": "jonas@stepwell.example",
    }
    return Api(world.bob).post("/events", {"name": "crm/lead_status.changed", "data": {**data, **changed}})


def test_from_the_event_to_the_second_mail(world: World, lead: Workflow) -> None:
    assert told(world).status_code in (200, 201, 202)
    assert told(world).status_code in (200, 201, 202)
    run = Run.objects.get()
    assert run.trigger_type == "event"
    driven(run)
    assert statuses(run) == {"created": "completed", "proposal": "completed", "wait": "waiting"}
    assert [(message.to, message.subject) for message in mail.outbox] == [
        (["mara@marlowe.example"], "Our proposal for Marlowe Freight")
    ]
    assert "Dear Mara Lindqvist" in str(mail.outbox[0].body)
    assert "Twelve lanes, from March." in str(mail.outbox[0].body)
    due = StepRun.objects.get(run=run, step_key="wait").due_at
    assert due is not None
    assert timedelta(days=1, hours=23) < due - timezone.now() < timedelta(days=2, minutes=1)

    StepRun.objects.filter(run=run, step_key="wait").update(due_at=timezone.now() - timedelta(seconds=1))
    driven(run)
    assert run.status == "completed", run.error
    assert [message.to for message in mail.outbox[1:]] == [["jonas@stepwell.example"]]
    assert "Our proposal for Marlowe Freight: any questions?" in mail.outbox[1].subject
    page = client_of(world.bob).get(f"/triggers/{lead.pk}/lead/").content.decode()
    assert f"Run {run.number}</a>" in page
    assert "The same was there already" in page
    builder = client_of(world.bob).get(f"/workflows/{lead.pk}/").content.decode()
    assert "also by crm/lead_status.changed; asks for status" in builder


def test_another_status_ends_at_the_filter_and_one_without_data_is_refused_with_a_reason(
    world: World, lead: Workflow
) -> None:
    told(world, status="lost")
    run = driven(Run.objects.get())
    assert run.status == "completed"
    assert statuses(run)["created"] == "completed"
    assert not mail.outbox
    Api(world.bob).post(
        "/events", {"name": "crm/lead_status.changed", "data": {"status": "proposal_created"}}
    )
    refused = Firing.objects.get(outcome="refused")
    assert "email" in refused.reason
    assert Run.objects.count() == 1
