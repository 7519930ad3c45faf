"""The first steps: one at a time, kept per person and workspace, skippable and back again."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from runs.models import Run
from templates_app.models import FirstSteps, WorkflowTemplate
from templates_app.services.first_steps import progress_of
from templates_app.services.load_builtin import load_builtin_templates
from tests.support.factories import World, client_of, member
from workflows.models import Workflow
from workflows.tenancy.roles import Role


@pytest.fixture
def builtin(world: World) -> World:
    load_builtin_templates()
    return world


def test_three_steps_down_to_a_run(builtin: World):
    client = client_of(builtin.bob)
    shown = client.get("/welcome/").content.decode()
    assert "Stay with the demonstration" in shown
    assert "Use this template" not in shown
    client.post("/welcome/step/", {"act": "demo"})
    shown = client.get("/welcome/").content.decode()
    assert shown.count('type="radio"') == 3
    text = WorkflowTemplate.objects.get(slug="text-pipeline")
    client.post("/welcome/step/", {"act": "use", "template": text.pk})
    made = Workflow.objects.get(tenant=builtin.tenant)
    shown = client.get("/welcome/").content.decode()
    assert "Rivers of the north" in shown
    assert progress_of(builtin.bob).now == 3
    started = client.post(
        f"/runs/start/{made.pk}/", {"version": "draft", "test": "on", "input_text": text.sample["text"]}
    )
    assert started.status_code == 302
    run = Run.objects.get(workflow=made)
    assert run.kind == Run.Kind.TEST
    assert run.input == text.sample
    assert progress_of(builtin.bob).now == 4
    assert f"/runs/{run.pk}/" in client.get("/welcome/").content.decode()


def test_it_is_kept_per_person_and_workspace(builtin: World):
    client_of(builtin.bob).post("/welcome/step/", {"act": "demo"})
    assert progress_of(builtin.bob).now == 2
    assert progress_of(builtin.alice).now == 1
    assert progress_of(member(builtin.other, Role.EDITOR, user=builtin.bob.user)).now == 1


def test_skipped_it_leads_to_the_workflows_and_comes_back_from_help(builtin: World):
    client = client_of(builtin.bob)
    answer = client.post("/welcome/step/", {"act": "skip"}, follow=True)
    shown = answer.content.decode()
    assert 'href="/welcome/"' in shown
    assert FirstSteps.objects.get(user=builtin.bob.user).skipped_at is not None
    client.post("/welcome/step/", {"act": "again"})
    assert progress_of(builtin.bob).skipped is False


def test_starting_empty_opens_the_builder_and_unknown_acts_are_refused(builtin: World):
    client = client_of(builtin.bob)
    answer = client.post("/welcome/step/", {"act": "empty"})
    made = Workflow.objects.get(tenant=builtin.tenant)
    assert answer.headers["Location"] == f"/workflows/{made.pk}/"
    assert client.post("/welcome/step/", {"act": "jump"}).status_code == 422


def test_the_empty_list_leads_to_the_first_steps(world: World):
    assert "Take the first steps" in client_of(world.bob).get("/workflows/").content.decode()
    assert "Take the first steps" not in client_of(world.vera).get("/workflows/").content.decode()


def test_the_page_takes_few_queries(builtin: World):
    client = client_of(builtin.bob)
    client.post("/welcome/step/", {"act": "demo"})
    client.get("/welcome/")
    with CaptureQueriesContext(connection) as seen:
        client.get("/welcome/")
    assert len(seen) <= 9
