"""Several steps at once: on and off, model, moving, deleting, copying to another workflow as text, and the search."""

from __future__ import annotations

import pytest

from tests.support import runs as make
from tests.support.factories import World, client_of
from tests.workflows.views.test_builder import draft, order, post, shown
from workflows.models import Step
from workflows.services.drafts import compile_draft

pytestmark = pytest.mark.django_db

FIVE = make.graph(
    make.step("one", "llm", "Score", config={"prompt": "Rate the cold chain"}),
    make.step("two"),
    make.step("three", "llm", "Write", config={"prompt": "Say {{steps.Score.content}}"}),
    make.step("four"),
    make.step("five"),
)


def test_several_are_turned_off_and_on_as_one_change(world: World):
    workflow = draft(world, FIVE)
    post(world, workflow, "selection/", {"keys": ["one", "two"], "act": "disable"})
    assert [step.key for step in Step.objects.filter(workflow=workflow, enabled=False)] == ["one", "two"]
    post(world, workflow, "undo/")
    assert not Step.objects.filter(workflow=workflow, enabled=False).exists()


def test_the_model_is_set_where_there_is_one(world: World):
    workflow = draft(world, FIVE)
    asked = post(world, workflow, "selection/", {"keys": ["one", "two", "three"], "act": "model"})
    assert b"Which model" in asked.content
    post(
        world,
        workflow,
        "selection/",
        {"keys": "one,two,three", "act": "model", "model": "demo:fast", "sure": "1"},
    )
    one = compile_draft(workflow)
    assert [one.step(key).config.get("model") for key in ("one", "two", "three")] == [
        "demo:fast",
        None,
        "demo:fast",
    ]


def test_several_move_together_and_keep_their_order(world: World):
    workflow = draft(world, FIVE)
    answer = post(
        world, workflow, "selection/", {"keys": "four,two", "act": "move", "before": "one", "sure": "1"}
    )
    assert answer.status_code == 200
    assert order(workflow) == ["two", "four", "one", "three", "five"]
    post(world, workflow, "undo/")
    assert order(workflow) == ["one", "two", "three", "four", "five"]


def test_deleting_says_who_uses_them_first(world: World):
    workflow = draft(world, FIVE)
    asked = post(world, workflow, "selection/", {"keys": "one,two", "act": "delete"})
    assert b"Write uses" in asked.content
    assert len(order(workflow)) == 5
    post(world, workflow, "selection/", {"keys": "one,two", "act": "delete", "sure": "1"})
    assert order(workflow) == ["three", "four", "five"]


def test_steps_travel_to_another_workflow_as_text(world: World):
    workflow, other = draft(world, FIVE), draft(world, name="Another")
    text = client_of(world.bob).get(f"/workflows/{workflow.pk}/copy/", {"keys": "one,three"}).content.decode()
    answer = post(world, other, "paste/", {"text": text, "after": "two"})
    assert answer.status_code == 200
    labels = {step.label: step for step in compile_draft(other).steps}
    assert labels["Write"].config["prompt"] == "Say {{steps.Score.content}}"
    post(world, other, "undo/")
    assert order(other) == ["one", "two", "three"]
    refused = post(world, other, "paste/", {"text": "nodes: [{type: nothing}]"})
    assert b"Paste steps" in refused.content
    assert order(other) == ["one", "two", "three"]


def test_copies_of_several_follow_the_last_of_them(world: World):
    workflow = draft(world, FIVE)
    post(world, workflow, "selection/", {"keys": "one,two", "act": "duplicate"})
    assert len(order(workflow)) == 7
    assert order(workflow)[:2] == ["one", "two"]


def test_the_search_reads_names_and_texts(world: World):
    workflow = draft(world, FIVE)
    client = client_of(world.vera)
    found = client.get(f"/workflows/{workflow.pk}/find/", {"q": "COLD chain"}).json()["steps"]
    assert [(one["key"], one["where"]) for one in found] == [("one", "prompt")]
    assert client.get(f"/workflows/{workflow.pk}/find/", {"q": "zebra"}).json()["steps"] == []
    assert shown(world, workflow)
