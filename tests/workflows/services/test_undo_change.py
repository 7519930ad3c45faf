"""Undo and redo of a draft: one's own changes, across reloads, beside other people's."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.support.factories import World
from tests.workflows.definition.random_edits import Editor
from tests.workflows.definition.support import CATALOG, definition, step
from tests.workflows.definition.test_properties import check
from workflows.definition import operations as ops
from workflows.definition.edits import Edit
from workflows.definition.graph import Definition
from workflows.definition.operations import OperationRefused
from workflows.definition.patches import Side
from workflows.definition.schema import canonical_json
from workflows.lib.errors import Conflict, NotAllowed
from workflows.models import DraftChange, Workflow
from workflows.services import draft_history
from workflows.services.change_workflow import update_workflow
from workflows.services.create_workflow import create_workflow
from workflows.services.draft_history import fields_changed_since
from workflows.services.drafts import apply_operation, compile_draft, save_draft
from workflows.services.undo_change import Clashing, possible, redo, undo
from workflows.tenancy.actor import Actor

pytestmark = pytest.mark.django_db

TWO = definition(step("a", label="First", config={"prompt": "Old"}), step("b", label="Second"), "a>b")


def draft(world: World, one: Definition = TWO) -> Workflow:
    return create_workflow(actor=world.bob, name="Shared", definition=one, catalog=CATALOG)


def fresh(workflow: Workflow) -> Workflow:
    """The row as the next request reads it."""
    return Workflow.objects.get(pk=workflow.pk)


def write(workflow: Workflow, actor: Actor, key: str = "a", **config: str) -> None:
    def operation(one: Definition) -> Edit:
        return ops.update_step(one, key, CATALOG, config={**one.step(key).config, **config})

    apply_operation(workflow=fresh(workflow), actor=actor, operation=operation)


def config_of(workflow: Workflow, key: str = "a") -> dict:
    return compile_draft(fresh(workflow)).step(key).config


def back(workflow: Workflow, actor: Actor, **how):
    return undo(workflow=fresh(workflow), actor=actor, catalog=CATALOG, **how)


def again(workflow: Workflow, actor: Actor, **how):
    return redo(workflow=fresh(workflow), actor=actor, catalog=CATALOG, **how)


def test_everything_is_undone_to_the_beginning_and_redone_to_the_end_each_time_read_anew(world: World):
    workflow = draft(world, Definition())
    editor = Editor(20261120)
    states = [canonical_json(compile_draft(fresh(workflow)))]
    while len(states) < 31:
        try:
            apply_operation(workflow=fresh(workflow), actor=world.bob, operation=editor.edit)
        except OperationRefused:
            continue
        DraftChange.objects.update(updated_at=fresh(workflow).created_at - timedelta(hours=1))
        now = canonical_json(compile_draft(fresh(workflow)))
        if now != states[-1]:
            states.append(now)
    for expected in reversed(states[:-1]):
        back(workflow, world.bob)
        assert canonical_json(compile_draft(fresh(workflow))) == expected
    with pytest.raises(Conflict, match="nothing to undo"):
        back(workflow, world.bob)
    for expected in states[1:]:
        again(workflow, world.bob)
        assert canonical_json(compile_draft(fresh(workflow))) == expected
    with pytest.raises(Conflict, match="nothing to redo"):
        again(workflow, world.bob)
    check(compile_draft(fresh(workflow)))


def test_the_whole_draft_its_settings_and_its_words_are_undone_too(world: World):
    workflow = draft(world)
    save_draft(
        workflow=fresh(workflow),
        definition=replace(definition(step("z")), settings={"yolo": True}),
        actor=world.bob,
        catalog=CATALOG,
    )
    update_workflow(workflow=fresh(workflow), actor=world.bob, name="Another", tags=["x"])
    assert back(workflow, world.bob).message == "Undone: Renamed."
    assert (fresh(workflow).name, fresh(workflow).tags) == ("Shared", [])
    back(workflow, world.bob)
    assert compile_draft(fresh(workflow)) == TWO
    again(workflow, world.bob)
    again(workflow, world.bob)
    assert fresh(workflow).name == "Another"
    assert compile_draft(fresh(workflow)).settings == {"yolo": True}


def test_each_takes_back_their_own_and_is_asked_about_the_same_field(world: World):
    workflow = draft(world)
    write(workflow, world.bob, prompt="Bob")
    write(workflow, world.alice, "b", prompt="Alice on the second")
    back(workflow, world.bob)
    assert config_of(workflow)["prompt"] == "Old"
    assert config_of(workflow, "b")["prompt"] == "Alice on the second"
    again(workflow, world.bob)
    write(workflow, world.alice, prompt="Alice")
    revision = fresh(workflow).revision
    with pytest.raises(Clashing) as asked:
        back(workflow, world.bob)
    assert [(one.field, one.now, one.wanted) for one in asked.value.clashes] == [
        ("config.prompt", "Alice", "Old")
    ]
    assert fresh(workflow).revision == revision
    back(workflow, world.bob, side=Side.THEIRS)
    assert config_of(workflow)["prompt"] == "Alice"
    again(workflow, world.bob, side=Side.MINE)
    assert config_of(workflow)["prompt"] == "Bob"


def test_a_burst_of_typing_is_one_change_and_a_new_edit_ends_redo(world: World):
    workflow = draft(world)
    for text in ("N", "Ne", "New"):
        write(workflow, world.bob, prompt=text)
    assert DraftChange.objects.filter(workflow=workflow).count() == 1
    back(workflow, world.bob)
    assert config_of(workflow)["prompt"] == "Old"
    assert possible(workflow, world.bob).redo
    write(workflow, world.bob, prompt="Else")
    assert not possible(workflow, world.bob).redo
    assert not possible(workflow, world.alice).undo


def test_the_history_is_bounded_and_needs_the_right_to_edit(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(draft_history, "MOST_KEPT", 10)
    monkeypatch.setattr(draft_history, "_CLEAN_EVERY", 5)
    monkeypatch.setattr(draft_history, "BURST", timedelta(0))
    workflow = draft(world)
    for number in range(24):
        write(workflow, world.bob, prompt=str(number))
    assert DraftChange.objects.filter(workflow=workflow).count() <= 15
    with pytest.raises(NotAllowed):
        back(workflow, world.vera)


def test_which_fields_of_a_step_changed_since_a_revision(world: World):
    workflow = draft(world)
    write(workflow, world.bob, prompt="Bob")  # revision 2 of the step
    write(workflow, world.alice, model="demo:x")  # 3
    assert set(fields_changed_since(workflow, "a", 2) or ()) == {"config.model"}
    assert set(fields_changed_since(workflow, "a", 1) or ()) == {"config.model", "config.prompt"}
    assert fields_changed_since(workflow, "a", 3) == {}
    DraftChange.objects.order_by("id").first().delete()
    assert fields_changed_since(workflow, "a", 1) is None
