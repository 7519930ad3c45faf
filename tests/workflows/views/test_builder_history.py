"""Undo and redo in the builder: buttons, toast, and the question where somebody else changed the same."""

from __future__ import annotations

import json

import pytest

from tests.support.factories import World, client_of
from tests.workflows.views.test_builder import HTMX, draft, order, post, shown

pytestmark = pytest.mark.django_db


def test_a_deleted_step_comes_back_by_the_button_of_its_toast_and_goes_again(world: World):
    workflow = draft(world)
    answer = post(world, workflow, "steps/two/delete/")
    toast = json.loads(answer["HX-Trigger"])["toast"]
    assert toast["action"] == "Undo"
    assert order(workflow) == ["one", "three"]
    answer = client_of(world.bob).post(toast["post"], toast["values"], headers=HTMX)
    assert answer.status_code == 200
    assert order(workflow) == ["one", "two", "three"]
    assert "Undone: " in json.loads(answer["HX-Trigger"])["toast"]["text"]
    assert post(world, workflow, "undo/").status_code == 409
    post(world, workflow, "redo/")
    assert order(workflow) == ["one", "three"]


def test_the_buttons_say_what_they_take_back_and_work_without_script(world: World):
    workflow = draft(world)
    assert "Nothing to undo" in shown(world, workflow)
    post(world, workflow, "steps/two/delete/")
    html = shown(world, workflow)
    assert 'aria-label="Undo: “two” removed' in html or "Undo: " in html
    answer = post(world, workflow, "undo/", script="")
    assert answer.status_code == 302
    assert order(workflow) == ["one", "two", "three"]


def test_the_same_field_changed_by_somebody_else_is_asked_about_with_both_values(world: World):
    workflow = draft(world)
    post(world, workflow, "steps/one/", {"field": "label", "label": "Bobs name"})
    alice = client_of(world.alice)
    alice.post(
        f"/workflows/{workflow.pk}/steps/one/", {"field": "label", "label": "Alices name"}, headers=HTMX
    )
    asked = post(world, workflow, "undo/")
    html = asked.content.decode()
    assert asked.status_code == 200
    assert "Alices name" in html
    assert 'value="mine"' in html
    assert 'value="theirs"' in html
    post(world, workflow, "undo/", {"side": "mine"})
    assert "Alices name" not in shown(world, workflow)
