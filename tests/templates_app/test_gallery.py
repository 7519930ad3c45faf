"""The pages of the gallery, as those who may start from a template and those who may only look."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from templates_app.models import WorkflowTemplate
from templates_app.services.load_builtin import load_builtin_templates
from tests.support.factories import World, client_of, template
from tests.support.runs import graph, step
from workflows.models import Workflow
from workflows.services.create_workflow import create_workflow


def page(client, path: str = "/templates/", **headers: str) -> str:
    response = client.get(path, headers=headers)
    assert response.status_code == 200
    return str(response.content.decode())


@pytest.fixture
def builtin(world: World) -> World:
    load_builtin_templates()
    return world


def test_the_gallery_shows_the_built_in_templates_with_the_first_one_wide(builtin: World):
    shown = page(client_of(builtin.bob))
    for name in (
        "Deep Build Pipeline",
        "Text pipeline",
        "Lead triage",
        "Article check",
        "9 steps",
        "2 reviews",
    ):
        assert name in shown
    assert shown.count("tpl--wide") == 1
    assert "Implementation Prompts" in shown
    assert 'style="' not in shown


def test_words_categories_and_sources_narrow_it_in_the_address(builtin: World):
    template(builtin.tenant, "Our own", category="Support")
    client = client_of(builtin.bob)
    assert "Text pipeline" not in page(client, "/templates/?q=idea")
    assert "Deep Build Pipeline" in page(client, "/templates/?q=CODING+idea")
    sales = page(client, "/templates/?category=Sales")
    assert "Lead triage" in sales
    assert "Text pipeline" not in sales
    team = page(client, "/templates/?source=team")
    assert "Our own" in team
    assert "Lead triage" not in team
    assert "Our own" not in page(client, "/templates/?source=builtin")


def test_unknown_filters_are_as_none(builtin: World):
    assert "Text pipeline" in page(
        client_of(builtin.bob), "/templates/?category=Nonsense&source=moon&page=99"
    )


def test_nothing_found_says_so_and_leads_back(builtin: World):
    shown = page(client_of(builtin.bob), "/templates/?q=zeppelin")
    assert "Nothing matches" in shown
    assert 'href="/templates/"' in shown


def test_an_empty_catalogue_says_so(world: World):
    assert "No templates yet" in page(client_of(world.bob))


def test_a_fragment_holds_the_cards_only(builtin: World):
    shown = page(client_of(builtin.bob), "/templates/?q=idea", **{"HX-Request": "true"})
    assert "<html" not in shown
    assert "Deep Build Pipeline" in shown


def test_the_gallery_costs_the_same_for_few_and_many(world: World):
    template(None)
    client = client_of(world.bob)
    client.get("/templates/")

    def queries() -> int:
        with CaptureQueriesContext(connection) as seen:
            page(client)
        return len(seen)

    few = queries()
    for number in range(12):
        template(world.tenant if number % 2 else None)
    assert queries() == few
    assert few <= 10


def test_who_may_only_look_sees_no_button_to_use(builtin: World):
    shown = page(client_of(builtin.vera))
    assert "Text pipeline" in shown
    assert "Use this template" not in shown
    assert "/templates/save/" not in shown


def test_the_page_of_a_template_shows_steps_prompts_and_what_to_fill_in(builtin: World):
    found = WorkflowTemplate.objects.get(slug="deep-build-pipeline")
    shown = page(client_of(builtin.vera), f"/templates/{found.pk}/")
    for text in (
        "Break down this idea.",
        "What you fill in",
        "idea",
        "Project Wisdom",
        "Approved",
        "You get:",
    ):
        assert text in shown


def test_a_template_of_another_tenant_is_like_one_that_is_not_there(world: World):
    theirs = template(world.other, "Secret plan")
    client = client_of(world.alice)
    assert client.get(f"/templates/{theirs.pk}/").status_code == 404
    assert client.post(f"/templates/{theirs.pk}/use/").status_code == 404
    assert "Secret plan" not in page(client)
    assert not Workflow.objects.exists()


def test_one_click_makes_a_workflow_and_opens_it(builtin: World):
    found = WorkflowTemplate.objects.get(slug="text-pipeline")
    client = client_of(builtin.bob)
    assert client.get(f"/templates/{found.pk}/use/").status_code == 405
    response = client.post(f"/templates/{found.pk}/use/")
    made = Workflow.objects.get()
    assert (response.status_code, response["Location"]) == (302, f"/workflows/{made.pk}/")
    assert (made.tenant, made.name) == (builtin.tenant, "Text pipeline")


def test_a_template_that_no_longer_holds_says_why_and_makes_nothing(world: World):
    old = template(None, "Old", graph(step("one", "teleport")))
    response = client_of(world.bob).post(f"/templates/{old.pk}/use/", follow=True)
    assert "cannot be used so" in response.content.decode()
    assert not Workflow.objects.exists()


def test_a_workflow_is_saved_as_a_template(world: World):
    workflow = create_workflow(
        actor=world.bob, name="Ours", definition=graph(step("one", config={"expression": "1"}))
    )
    client = client_of(world.bob)
    asked = page(client, f"/templates/save/?workflow={workflow.pk}")
    assert 'value="Ours"' in asked
    response = client.post("/templates/save/", {"workflow": workflow.pk, "category": "Support"})
    made = WorkflowTemplate.objects.get()
    assert (response.status_code, response["Location"]) == (302, f"/templates/{made.pk}/")
    assert (made.tenant, made.name, made.category) == (world.tenant, "Ours", "Support")


def test_a_draft_with_an_error_is_refused_in_the_form(world: World):
    broken = graph(step("one", config={"mode": "template", "template": "{{steps.Nobody.content}}"}))
    workflow = create_workflow(actor=world.bob, name="Broken", definition=broken)
    response = client_of(world.bob).post("/templates/save/", {"workflow": workflow.pk})
    assert response.status_code == 422
    assert "Nobody" in response.content.decode()


@pytest.mark.parametrize("way", ["GET", "POST"])
def test_the_workflow_of_another_tenant_cannot_be_saved(world: World, way: str):
    theirs = create_workflow(actor=world.charlie, name="Secret plan", definition=graph(step("one")))
    client = client_of(world.alice)
    if way == "GET":
        response = client.get(f"/templates/save/?workflow={theirs.pk}")
        assert response.status_code == 404
    else:
        response = client.post("/templates/save/", {"workflow": theirs.pk})
        assert response.status_code == 422
    assert "Secret plan" not in response.content.decode()
    assert not WorkflowTemplate.objects.exists()


def test_a_malformed_workflow_in_the_address_is_not_there(world: World):
    assert client_of(world.alice).get("/templates/save/?workflow=42").status_code == 404
