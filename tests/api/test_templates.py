"""Templates over the API: listed, read, made into a workflow."""

from __future__ import annotations

from typing import Any

import pytest

from templates_app.models import WorkflowTemplate
from templates_app.services.load_builtin import load_builtin_templates
from tests.api.support import Api, error_of
from tests.isolation.table import a_template_of_the_api
from tests.support.factories import World
from workflows.models import Workflow

pytestmark = pytest.mark.django_db


@pytest.fixture
def _builtin(db: None) -> None:
    load_builtin_templates()


@pytest.mark.usefixtures("_builtin")
def test_the_built_in_ones_are_listed_for_everybody(world: World):
    found = Api(world.charlie).get("/workflow-templates").json()
    names = {one["name"] for one in found["items"]}
    assert {"Deep Build Pipeline", "Text pipeline"} <= names
    assert found["count"] == len(names)
    assert all(one["is_builtin"] and one["is_shared"] for one in found["items"])
    pipeline = Api(world.charlie).get("/workflow-templates", {"q": "text pipeline"}).json()["items"][0]
    whole = Api(world.charlie).get(f"/workflow-templates/{pipeline['id']}").json()
    assert len(whole["definition"]["nodes"]) >= 4


@pytest.mark.usefixtures("_builtin")
def test_applying_one_gives_a_workflow_that_can_be_run(world: World):
    api = Api(world.bob)
    template = api.get("/workflow-templates", {"q": "text pipeline"}).json()["items"][0]
    made = api.post(f"/workflow-templates/{template['id']}/apply")
    assert made.status_code == 201, made.content
    body = made.json()
    assert made["Location"] == f"/api/workflows/{body['id']}"
    assert not [problem for problem in body["problems"] if problem["severity"] == "error"]
    assert api.get(f"/workflows/{body['id']}").json() == body
    named = api.post(f"/workflow-templates/{template['id']}/apply", {"name": "Ours"}).json()
    assert (body["name"], named["name"]) == ("Text pipeline", "Ours")
    run = api.post(f"/workflows/{body['id']}/execute", {"input_data": {"text": "A text. Another one."}})
    assert run.status_code == 202, run.content


def test_a_tenants_own_template_is_its_own(world: World):
    made = a_template_of_the_api(world)
    address = f"/workflow-templates/{made['id']}"
    assert Api(world.vera).get(address).json()["is_shared"] is False
    for caller, verb, path, status in [
        (world.charlie, "GET", address, 404),
        (world.charlie, "POST", f"{address}/apply", 404),
        (world.vera, "POST", f"{address}/apply", 403),
        (world.bob, "POST", "/workflow-templates/17/apply", 404),
    ]:
        error_of(Api(caller).send(verb, path), status)
    assert not Workflow.objects.exists()
    WorkflowTemplate.objects.update(status="withdrawn")
    error_of(Api(world.bob).post(f"{address}/apply"), 404)


def test_a_wrong_name_is_refused(world: World):
    made = a_template_of_the_api(world)
    api = Api(world.bob)
    error_of(api.post(f"/workflow-templates/{made['id']}/apply", {"name": "x" * 256}), 422)
    error_of(api.post(f"/workflow-templates/{made['id']}/apply", {"nmae": "x"}), 422)
    assert not Workflow.objects.exists()


def test_the_list_asks_the_same_number_of_queries_for_many(world: World, django_assert_num_queries: Any):
    api = Api(world.bob)
    a_template_of_the_api(world)
    api.get("/workflow-templates")
    for _ in range(2):
        with django_assert_num_queries(3):
            api.get("/workflow-templates")
        a_template_of_the_api(world)
