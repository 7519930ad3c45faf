"""The Django admin: every page opens, only superusers get in, runs are to look at, templates are checked on saving."""

import json
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.db import models
from django.test import Client
from django.urls import reverse

from runs.engine.statuses import EventType
from runs.models import Run
from templates_app.models import WorkflowTemplate
from templates_app.services.load_builtin import load_builtin_templates
from templates_app.services.use_template import use_template
from tests.support import runs
from tests.support.factories import World, person, template
from tests.templates_app.test_documents import GOOD
from workflows.services.publish_workflow import publish_workflow
from workflows.tenancy.keys import create_key

OURS = ("tenancy", "workflows", "runs", "templates_app")


@pytest.fixture
def boss(db: None) -> Client:
    client = Client()
    user = person("boss@example.com", is_staff=True, is_superuser=True)
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def full(world: World) -> World:
    """Something of every kind."""
    load_builtin_templates()
    source = WorkflowTemplate.objects.get(slug="text-pipeline")
    publish_workflow(workflow=use_template(template=source, actor=world.alice), actor=world.alice)
    create_key(actor=world.alice, name="CI", role="viewer")
    run = runs.run_of(
        world.alice,
        runs.graph(runs.step("one"), runs.step("gate", "review")),
        input={"text": "<script>alert(1)</script>"},
        error={"code": "x", "message": "It <b>broke</b>"},
    )
    runs.reached(run, "one")
    runs.gate(run, "gate")
    runs.happened(run, EventType.RUN_STARTED)
    return world


def ours() -> list[type[models.Model]]:
    return [model for model in admin.site._registry if model._meta.app_label in OURS]


def address(model: type[models.Model], page: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def test_the_catalogue_and_the_runs_are_in_the_admin():
    names = {model._meta.label for model in ours()}
    assert {"templates_app.WorkflowTemplate", "runs.Run", "runs.Review", "runs.Event"} <= names
    assert {"tenancy.Tenant", "tenancy.User", "workflows.Workflow", "workflows.WorkflowVersion"} <= names


def test_every_list_and_every_page_opens(boss: Client, full: World):
    assert boss.get("/admin/").status_code == 200
    opened = 0
    for model in ours():
        listed = boss.get(address(model, "changelist"))
        assert listed.status_code == 200, model
        assert boss.get(address(model, "changelist"), {"q": "a"}).status_code == 200, model
        row = model._default_manager.order_by("-pk").first()
        if row is not None:
            assert boss.get(address(model, "change", row.pk)).status_code == 200, model
            opened += 1
        assert boss.get(address(model, "add")).status_code in (200, 403), model
    assert opened >= 10


@pytest.mark.parametrize("staff", [True, False])
def test_only_superusers_see_anything(full: World, staff: bool):
    client = Client()
    user = person("half@example.com", is_staff=staff)
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    for model in ours():
        assert client.get(address(model, "changelist")).status_code in (302, 403), model


def test_a_run_is_shown_whole_and_cannot_be_changed(boss: Client, full: World):
    run = Run.objects.get()
    page = boss.get(address(Run, "change", run.pk)).content.decode()
    assert f"/runs/{run.pk}/" in page
    assert "&lt;script&gt;" in page
    assert "<script>alert" not in page
    assert "<b>broke</b>" not in page
    assert 'name="_save"' not in page
    assert boss.post(address(Run, "change", run.pk), {"status": "completed"}).status_code == 403
    assert boss.get(address(Run, "delete", run.pk)).status_code == 403
    assert boss.get(address(Run, "add")).status_code == 403


def test_runs_are_found_by_number_and_by_id(boss: Client, full: World):
    run = Run.objects.get()
    for term in (str(run.number), f"#{run.number}", str(run.pk), "Idea"):
        assert f"Run {run.number}" in boss.get(address(Run, "changelist"), {"q": term}).content.decode()
    assert "0 runs" in boss.get(address(Run, "changelist"), {"q": "987654"}).content.decode()


def test_the_list_of_runs_costs_the_same_for_few_and_many(
    boss: Client, full: World, django_assert_max_num_queries: Any
):
    for _ in range(8):
        runs.run_of(full.alice, runs.graph(runs.step("one")))
    with django_assert_max_num_queries(9):
        boss.get(address(Run, "changelist"))


def form(**changes: str) -> dict[str, str]:
    words = {
        "name": "Short one",
        "slug": "short-one",
        "tenant": "",
        "category": "Text",
        "icon": "layers",
        "description": "Cleans.",
        "outcome": "",
        "status": "draft",
        "document": GOOD[GOOD.index("definition:") + len("definition:") :],
    }
    return words | changes


def test_a_template_is_written_as_yaml_and_kept_as_canonical_json(boss: Client, world: World):
    response = boss.post(address(WorkflowTemplate, "add"), form())
    assert response.status_code == 302, response.content.decode()
    made = WorkflowTemplate.objects.get()
    assert [node["name"] for node in json.loads(made.document)["nodes"]] == ["Clean", "Result"]
    assert (made.status, made.source, str(made.created_by)) == ("draft", "people", "boss@example.com")
    page = boss.get(address(WorkflowTemplate, "change", made.pk)).content.decode()
    assert "<b>Clean</b>" in page
    assert boss.post(address(WorkflowTemplate, "change", made.pk), form(name="Shorter")).status_code == 302
    made.refresh_from_db()
    assert made.name == "Shorter"


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("nodes: [", "line 1"),
        ("nodes: [{id: a, type: clean_tetx, name: A}]", "definition.nodes[0].type"),
        (
            "nodes: [{id: a, type: transform, name: A, config: {expression: steps.B.content}}]",
            "nodes[0].config",
        ),
        ("nodes: []", "one step at least"),
    ],
)
def test_a_bad_definition_is_refused_with_its_place_and_nothing_is_saved(
    boss: Client, world: World, document: str, said: str
):
    response = boss.post(address(WorkflowTemplate, "add"), form(document=document))
    assert response.status_code == 200
    assert said in response.content.decode()
    assert not WorkflowTemplate.objects.exists()


def test_a_slug_is_taken_once_among_the_templates_of_everybody(boss: Client, world: World):
    template(None, slug="short-one")
    response = boss.post(address(WorkflowTemplate, "add"), form())
    assert response.status_code == 200
    assert WorkflowTemplate.objects.count() == 1
    assert boss.post(address(WorkflowTemplate, "add"), form(tenant=str(world.tenant.pk))).status_code == 302


def act(client: Client, action: str, *rows: WorkflowTemplate) -> None:
    data = {"action": action, "_selected_action": [str(row.pk) for row in rows]}
    assert client.post(address(WorkflowTemplate, "changelist"), data).status_code == 302


def test_templates_are_withdrawn_published_and_duplicated_from_the_list(boss: Client, world: World):
    one, old = (
        template(None, "One"),
        template(None, "Old", runs.graph(runs.step("a", "teleport")), status="draft"),
    )
    act(boss, "withdraw", one)
    one.refresh_from_db()
    assert one.status == "withdrawn"
    act(boss, "publish", one, old)
    one.refresh_from_db()
    old.refresh_from_db()
    assert (one.status, old.status) == ("published", "draft")
    act(boss, "duplicate", one)
    copy = WorkflowTemplate.objects.get(name="Copy of One")
    assert (copy.status, copy.slug, copy.document) == ("draft", "copy-of-one", one.document)
    assert LogEntry.objects.count() == 3


def test_a_built_in_template_keeps_its_slug_and_is_not_deleted(boss: Client, full: World):
    found = WorkflowTemplate.objects.get(slug="text-pipeline")
    assert boss.get(address(WorkflowTemplate, "delete", found.pk)).status_code == 403
    data = form(name="Renamed", document=found.document, slug="other", tenant=str(full.tenant.pk))
    assert boss.post(address(WorkflowTemplate, "change", found.pk), data).status_code == 302
    found.refresh_from_db()
    assert (found.name, found.slug, found.tenant) == ("Renamed", "text-pipeline", None)
