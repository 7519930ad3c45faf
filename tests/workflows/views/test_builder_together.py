"""Two people in one draft: both edits stay, the same field asks, a page that missed something catches up."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from tests.support import runs as make
from tests.support.factories import World, client_of
from tests.workflows.views.test_builder import HTMX, draft, post
from workflows.models import Step, Workflow, WorkflowVersion
from workflows.services.drafts import compile_draft

pytestmark = pytest.mark.django_db

ONE = make.graph(
    make.step("one", "llm", "Score", config={"prompt": "Old", "model": "demo:a"}), make.step("two")
)


def save(
    client: Client, workflow: Workflow, field: str, value: str, revision: int | None = None, **more: str
) -> Any:
    data = {"field": field, field: value, **more}
    if revision is not None:
        data["revision"] = str(revision)
    return client.post(f"/workflows/{workflow.pk}/steps/one/", data, headers=HTMX)


def config(workflow: Workflow) -> dict:
    return compile_draft(workflow).step("one").config


def test_edits_of_different_fields_of_one_card_both_stay(world: World):
    workflow = draft(world, ONE)
    alice, bob = client_of(world.alice), client_of(world.bob)
    assert save(alice, workflow, "prompt", "Alice", 1).status_code == 200
    assert save(bob, workflow, "model", "demo:b", 1).status_code == 200
    assert (config(workflow)["prompt"], config(workflow)["model"]) == ("Alice", "demo:b")


def test_edits_of_the_same_field_show_both_and_ask(world: World):
    workflow = draft(world, ONE)
    alice, bob = client_of(world.alice), client_of(world.bob)
    save(alice, workflow, "prompt", "Alice", 1)
    refused = save(bob, workflow, "prompt", "Bob", 1)
    html = refused.content.decode()
    assert refused.status_code == 412
    assert f"{world.alice.user} changed this in the meantime" in html
    assert "Alice</pre>" in html
    assert 'data-keep-mine="one"' in html
    assert 'data-take-theirs="one"' in html
    assert config(workflow)["prompt"] == "Alice"
    # Keep mine: the same with the revision that was shown.
    revision = Step.objects.get(workflow=workflow, key="one").revision
    assert save(bob, workflow, "prompt", "Bob", revision).status_code == 200
    assert config(workflow)["prompt"] == "Bob"


def test_a_whole_form_of_a_stale_page_does_not_put_old_values_back(world: World):
    workflow = draft(world, ONE)
    alice, bob = client_of(world.alice), client_of(world.bob)
    save(alice, workflow, "prompt", "Alice", 1)
    data = {"prompt": "Old", "model": "demo:b", "label": "Score", "revision": "1"}
    bob.post(f"/workflows/{workflow.pk}/steps/one/", data)
    assert (config(workflow)["prompt"], config(workflow)["model"]) == ("Alice", "demo:a")


def test_a_stale_page_neither_overwrites_variables_nor_publishes(world: World):
    workflow = draft(world, ONE)
    seen = {"Stepwell-Revision": str(workflow.revision)}
    one = {"kind": "input", "name": "text", "type": "string", "description": "Alices"}
    alice = client_of(world.alice)
    assert alice.post(f"/workflows/{workflow.pk}/variables/", one, headers=HTMX).status_code == 200
    other = {**one, "description": "Bobs"}
    refused = post(world, workflow, "variables/", other, **seen)
    assert refused.status_code == 412
    assert compile_draft(workflow).variables[0].description == "Alices"
    publish = post(world, workflow, "publish/", {"note": "", "known": "1"})
    assert publish.status_code == 412
    assert b"Somebody has changed the workflow since" in publish.content
    assert not WorkflowVersion.objects.filter(workflow=workflow, number=1).exists()


def test_a_page_catches_up_with_the_cards_that_others_changed(world: World):
    workflow = draft(world, ONE)
    since = workflow.revision
    save(client_of(world.alice), workflow, "prompt", "Alice wrote this")
    bob = client_of(world.bob)
    answer = bob.get(f"/workflows/{workflow.pk}/changes/", {"since": str(since), "open": "one"}, headers=HTMX)
    html = answer.content.decode()
    told = json.loads(answer["HX-Trigger"])["builder:caught-up"]
    assert "Alice wrote this" in html
    assert 'hx-target="#step-one"' in html
    assert 'hx-target="#steps"' not in html
    assert told["revision"] == since + 1
    assert told["touched"]["one"]["fields"] == ["prompt"]
    assert told["touched"]["one"]["name"] == str(world.alice.user)
    post(world, workflow, "steps/two/delete/")
    answer = bob.get(f"/workflows/{workflow.pk}/changes/", {"since": str(since + 1)}, headers=HTMX)
    assert 'hx-target="#steps"' in answer.content.decode()


def test_who_is_here_is_told_and_nothing_breaks_without_redis(world: World):
    workflow = draft(world, ONE)
    answer = client_of(world.bob).post(f"/workflows/{workflow.pk}/here/", {"tab": "a"}, headers=HTMX)
    assert answer.status_code == 200
    assert answer.json()["revision"] == workflow.revision
    assert answer.json()["people"] == []
