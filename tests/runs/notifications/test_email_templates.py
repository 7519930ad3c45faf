"""Mail templates: named by a step, their variables filled in, frozen by publishing, checked in a draft."""

from __future__ import annotations

from typing import Any

import pytest
from django.core import mail
from django.core.mail import EmailMultiAlternatives
from django.urls import reverse

from runs.services.start_run import start_run
from tests.runs.support import definition_of, driven, node
from tests.support.factories import World, client_of
from workflows.definition.library import Parameter
from workflows.lib.errors import Conflict, Invalid, NotAllowed
from workflows.models import EmailTemplate, Workflow
from workflows.services.check_workflow import problems_of
from workflows.services.create_workflow import create_workflow
from workflows.services.email_templates import emails_of, remove_email_template, save_email_template
from workflows.services.publish_workflow import publish_workflow
from workflows.tenancy.models import AuditEntry

pytestmark = pytest.mark.django_db(transaction=True)

FILLED = {"recipient": "{{ input.name }}", "company": "Halden", "sender": "Alice"}


def sends(world: World, template: Any, **config: Any) -> Workflow:
    config = {"to": "ann@example.com", "template": template, "body": "We *dig* wells.", **config}
    return create_workflow(
        actor=world.bob, name="Send it", definition=definition_of([node("a", "email", config=config)])
    )


def codes(workflow: Workflow) -> set[str]:
    return {problem.code for problem in problems_of(workflow) if problem.severity == "error"}


def test_a_built_in_template_goes_out_with_its_variables_and_the_steps_text(world: World) -> None:
    made = sends(world, {"name": "Proposal", "parameters": FILLED})
    publish_workflow(workflow=made, actor=world.bob)
    made.refresh_from_db()
    run = driven(start_run(workflow=made, actor=world.bob, input_data={"name": "Ann"}))
    assert run.status == "completed", run.error
    (sent,) = mail.outbox
    assert sent.subject == "Our proposal for Halden"
    assert "Dear Ann," in sent.body
    assert "We *dig* wells." in sent.body
    assert "the end of next month" in sent.body
    assert isinstance(sent, EmailMultiAlternatives)
    assert "<em>dig</em>" in str(sent.alternatives[0][0])


def test_publishing_freezes_the_text_and_a_removed_one_is_still_sent(world: World) -> None:
    row = save_email_template(actor=world.bob, name="hello", subject="Old", text="Old words {{ text }}")
    made = sends(world, "hello")
    publish_workflow(workflow=made, actor=world.bob)
    save_email_template(actor=world.bob, name="hello", subject="New", text="New words", template=row)
    remove_email_template(actor=world.bob, template=row)
    made.refresh_from_db()
    run = driven(start_run(workflow=made, actor=world.bob))
    assert run.status == "completed", run.error
    assert mail.outbox[0].subject == "Old"
    assert "unknown_template" in codes(made)


def test_checks_name_unknown_templates_and_missing_or_unknown_variables(world: World) -> None:
    assert codes(sends(world, "propsal")) == {"unknown_template"}
    assert codes(sends(world, {"name": "proposal", "parameters": {"recipient": "Ann", "firm": "X"}})) == {
        "missing_parameter",
        "unknown_parameter",
    }
    assert codes(sends(world, {"name": "proposal", "parameters": FILLED}, subject="")) == set()
    # Without a template a mail needs its own words.
    assert "required" in codes(sends(world, {}, body=""))
    theirs = save_email_template(actor=world.charlie, name="theirs", subject="S", text="T")
    assert codes(sends(world, theirs.name)) == {"unknown_template"}


def test_saving_says_what_is_wrong_and_one_of_a_built_ins_name_stands_in_its_place(world: World) -> None:
    with pytest.raises(NotAllowed):
        save_email_template(actor=world.vera, name="x", subject="S", text="T")
    with pytest.raises(Invalid) as refused:
        save_email_template(actor=world.bob, name="x", subject="", text="{{ nobody }}")
    assert {problem.field for problem in refused.value.problems} == {"subject", "text"}
    save_email_template(
        actor=world.bob, name="Proposal", subject="S {{ a }}", text="T", parameters=[Parameter("a")]
    )
    with pytest.raises(Conflict):
        save_email_template(actor=world.bob, name="proposal", subject="S", text="T")
    found = {one.name: row for one, row in emails_of(world.tenant)}
    assert set(found) == {"Proposal", "proposal_follow_up"}
    assert AuditEntry.objects.filter(object_type="emailtemplate", action="created").count() == 1


def test_the_pages_make_change_and_remove_one_and_the_card_offers_it(world: World) -> None:
    bob = client_of(world.bob)
    page = bob.get(reverse("workflows:email_new") + "?like=proposal").content.decode()
    assert "valid_until = the end of next month" in page
    fields = {"name": "thanks", "subject": "Thank you, {{ who }}", "text": "Hi {{ who }}", "as_html": "on"}
    refused = bob.post(reverse("workflows:email_new"), {**fields, "variables": ""})
    assert refused.status_code == 422
    assert (
        bob.post(reverse("workflows:email_new"), {**fields, "variables": "who\nwhen = soon"}).status_code
        == 302
    )
    row = EmailTemplate.objects.get()
    assert [one["name"] for one in row.parameters] == ["who", "when"]
    assert "thanks" in bob.get(reverse("workflows:emails")).content.decode()
    made = sends(world, {"name": "thanks"})
    card = bob.get(reverse("workflows:builder", args=[made.pk]) + "?open=a").content.decode()
    assert 'name="template__name"' in card
    assert 'value="who"' in card
    key = made.steps.get().key
    answer = bob.post(
        reverse("workflows:step", args=[made.pk, key]),
        {"template__name": "proposal", "template__was": "thanks", "field": "template"},
    )
    assert answer.status_code in (200, 302)
    assert made.steps.get().config["template"] == {"name": "proposal"}
    bob.post(reverse("workflows:email_remove", args=[row.pk]))
    assert not EmailTemplate.objects.exists()
