"""Templates that are offered to everybody and renewed, and what that brings to workflows made from them."""

import json
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from runs.services.start_run import start_run
from templates_app.models import TemplateInstall, WorkflowTemplate
from templates_app.services.change_template import (
    approve_template,
    refuse_template,
    set_definition,
    submit_template,
)
from templates_app.services.expectations import expectations
from templates_app.services.load_builtin import load_builtin_templates
from templates_app.services.save_as_template import save_as_template
from templates_app.services.take_update import look_at_update, take_update
from templates_app.services.use_template import use_template
from tests.support.factories import World, client_of, template
from tests.support.runs import graph, step
from workflows.definition.operations import update_step
from workflows.lib.clock import utc_now
from workflows.lib.errors import Conflict, Invalid, NotAllowed, NotFound
from workflows.services.create_workflow import create_workflow
from workflows.services.drafts import apply_operation, compile_draft
from workflows.steps.catalog import CATALOG
from workflows.tenancy.actor import Actor


def ours(world: World, text: str = "1") -> WorkflowTemplate:
    made = create_workflow(
        actor=world.bob,
        name="Ours",
        definition=graph(
            step("one", "transform", "one", config={"expression": text}),
            step("two", "transform", "two", config={"expression": "2"}),
        ),
    )
    return save_as_template(workflow=made, actor=world.bob)


def change(workflow, actor: Actor, label: str, expression: str) -> None:
    key = next(one.key for one in compile_draft(workflow).steps if one.label == label)
    apply_operation(
        workflow=workflow,
        actor=actor,
        operation=lambda draft: update_step(draft, key, CATALOG, config={"expression": expression}),
    )


def expressions(workflow) -> dict[str, str]:
    return {one.label: one.config["expression"] for one in compile_draft(workflow).steps}


def test_an_offer_is_published_by_an_admin_and_the_workspace_keeps_its_own(world: World):
    own = ours(world)
    submit_template(template=own, actor=world.bob)
    with pytest.raises(Conflict):
        submit_template(template=own, actor=world.bob)
    assert not WorkflowTemplate.objects.visible_to(world.other).exists()
    own.refresh_from_db()
    shared = approve_template(own)
    assert shared.tenant is None
    assert shared.origin == own
    assert list(WorkflowTemplate.objects.visible_to(world.other)) == [shared]
    made = use_template(template=shared, actor=world.charlie)
    assert expressions(made) == {"one": "1", "two": "2"}
    shared.refresh_from_db()
    assert shared.install_count == 1
    assert "By Marlowe" in client_of(world.charlie).get("/templates/").content.decode()


def test_an_offer_can_be_sent_back_with_an_answer(world: World):
    own = ours(world)
    submit_template(template=own, actor=world.bob)
    own.refresh_from_db()
    own.answer = "Please name the source."
    refuse_template(own)
    assert WorkflowTemplate.objects.filter(tenant=None).count() == 0
    assert "Please name the source." in client_of(world.bob).get(f"/templates/{own.pk}/").content.decode()
    with pytest.raises(Conflict):
        approve_template(own)


def test_only_the_workspace_itself_offers_its_templates(world: World):
    own = ours(world)
    with pytest.raises(NotFound):
        submit_template(template=own, actor=world.charlie)
    with pytest.raises(NotAllowed):
        submit_template(template=own, actor=world.vera)


def test_a_second_offer_is_the_next_revision_of_what_everybody_has(world: World):
    own = ours(world)
    submit_template(template=own, actor=world.bob)
    own.refresh_from_db()
    first = approve_template(own)
    there = use_template(template=first, actor=world.charlie)
    here = create_workflow(
        actor=world.bob,
        name="Next",
        definition=graph(
            step("one", "transform", "one", config={"expression": "5"}),
            step("two", "transform", "two", config={"expression": "2"}),
        ),
    )
    renewed = save_as_template(workflow=here, actor=world.bob, renews=own)
    assert (renewed.pk, renewed.revision, renewed.name) == (own.pk, 2, "Ours")
    submit_template(template=renewed, actor=world.bob)
    renewed.refresh_from_db()
    again = approve_template(renewed)
    assert (again.pk, again.revision) == (first.pk, 2)
    assert TemplateInstall.objects.get(workflow=there).revision == 1
    assert take_update(workflow=there, actor=world.charlie, chosen=["step:one"]) == ()
    assert expressions(there)["one"] == "5"


def test_an_update_tells_news_from_own_changes_and_takes_only_what_is_chosen(world: World):
    own = ours(world)
    made = use_template(template=own, actor=world.bob)
    change(made, world.bob, "two", "22")
    set_definition(
        own,
        graph(
            step("one", "transform", "one", config={"expression": "11"}),
            step("two", "transform", "two", config={"expression": "200"}),
            step("three", "transform", "three", config={"expression": "3"}),
        ),
    )
    own.save()
    found = look_at_update(workflow=made, actor=world.bob)
    steps = {one.card.title: one for one in found.news if one.card.part == "step"}
    assert set(steps) == {"one", "two", "three"}
    assert (steps["one"].own, steps["two"].own) == (False, True)
    shown = client_of(world.bob).get(f"/templates/updates/{made.pk}/").content.decode()
    assert "Take this over instead of your own change" in shown
    answer = client_of(world.bob).post(
        f"/templates/updates/{made.pk}/",
        {"take": [one.value for one in found.news if not one.own], "revision": made.revision},
    )
    assert answer.status_code == 302
    now = compile_draft(made)
    assert expressions(made) == {"one": "11", "two": "22", "three": "3"}
    assert [edge.source for edge in now.incoming(now.by_key["three"].key)] == ["two"]
    assert "Nothing new" in client_of(world.bob).get(f"/templates/updates/{made.pk}/").content.decode()
    with pytest.raises(Conflict):
        take_update(workflow=made, actor=world.bob, chosen=[])


def test_an_update_of_another_tenants_workflow_is_not_there(world: World):
    made = use_template(template=template(None), actor=world.bob)
    with pytest.raises(NotFound):
        look_at_update(workflow=made, actor=world.charlie)


def test_what_is_filled_in_becomes_the_usual_value_and_the_model(world: World):
    load_builtin_templates()
    found = WorkflowTemplate.objects.get(slug="lead-qualification")
    client = client_of(world.bob)
    sent = {"filled": "1", "name": "Ours", "value_hot": "85", "value_customer": "", "model": "openai:gpt-5"}
    assert client.post(f"/templates/{found.pk}/use/", sent).status_code == 302
    made = TemplateInstall.objects.get(template=found).workflow
    definition = compile_draft(made)
    by_name = {one.name: one.default for one in definition.variables}
    assert made.name == "Ours"
    assert by_name["hot"] == 85
    assert by_name["customer"] == "teams of 20 to 500 people who handle many documents by hand"
    assert definition.settings["default_model"] == "openai:gpt-5"
    wrong = client.post(f"/templates/{found.pk}/use/", {"filled": "1", "value_hot": "very"})
    assert wrong.status_code == 422
    assert "must be a number" in wrong.content.decode()
    with pytest.raises(Invalid):
        use_template(template=found, actor=world.bob, values={"hot": "text"})


def test_cost_and_time_say_where_they_come_from(world: World):
    load_builtin_templates()
    deep = WorkflowTemplate.objects.get(slug="deep-build-pipeline")
    text = WorkflowTemplate.objects.get(slug="text-pipeline")
    found = expectations(world.tenant, [deep, text])
    assert found[text.pk].cost == "costs nothing"
    assert "no step asks a model" in found[text.pk].basis.lower()
    assert found[deep.pk].cost == "free demo"
    world.tenant.default_model = "openai:gpt-4o"
    dear = expectations(world.tenant, [deep])[deep.pk]
    assert dear.high > dear.low > 0
    assert dear.cost.startswith("up to $")
    assert dear.seconds > found[deep.pk].seconds
    assert "nothing made from it has run here" in dear.basis


def test_the_time_is_that_of_own_runs_where_there_are_any(world: World):

    mine = template(None)
    made = use_template(template=mine, actor=world.bob)
    run = start_run(workflow=made, actor=world.bob, input_data={}, version="draft")
    now = utc_now()
    type(run).objects.filter(pk=run.pk).update(
        status="completed", started_at=now - timedelta(seconds=42), completed_at=now
    )
    found = expectations(world.tenant, [mine])[mine.pk]
    assert (round(found.seconds), found.runs) == (42, 1)
    assert expectations(world.other, [mine])[mine.pk].runs == 0


def test_every_sample_fits_its_template(world: World):
    load_builtin_templates()
    for one in WorkflowTemplate.objects.filter(tenant=None):
        asked = {each["name"]: each for each in json.loads(one.document)["variables"]}
        assert one.sample, one.slug
        required = {name for name, each in asked.items() if each.get("required")}
        assert required <= set(one.sample) <= set(asked)


def test_the_detail_page_costs_a_fixed_number_of_queries(world: World):
    mine = template(None)
    client = client_of(world.bob)

    def queries() -> int:
        with CaptureQueriesContext(connection) as seen:
            assert client.get(f"/templates/{mine.pk}/").status_code == 200
        return len(seen)

    queries()
    few = queries()
    for _ in range(4):
        use_template(template=mine, actor=world.bob)
    assert queries() == few
    assert few <= 9
