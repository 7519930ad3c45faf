"""What changed between two versions."""

from dataclasses import replace

from tests.workflows.definition.support import definition, edge, step, variable
from workflows.definition.diff import Change, ChangeKind, FieldChange, Part, changes, summary_sentence
from workflows.definition.graph import Position


def test_the_same_definition_has_no_changes():
    assert changes(definition("a>b"), definition("a>b")) == ()
    assert summary_sentence(()) == "Nothing changed."


def test_steps_and_paths_that_came_went_and_changed():
    old = definition(step("a"), step("b", config={"prompt": "x", "model": "demo:small"}), "a>b>c")
    new = definition(step("a"), step("b", config={"prompt": "y", "model": "demo:small"}), step("d"), "a>b>d")
    found = changes(old, new)
    assert found == (
        Change(ChangeKind.CHANGED, Part.STEP, "b", "B", (FieldChange("config.prompt", "x", "y"),)),
        Change(ChangeKind.ADDED, Part.STEP, "d", "D"),
        Change(ChangeKind.REMOVED, Part.STEP, "c", "C"),
        Change(ChangeKind.ADDED, Part.EDGE, "b-out-d", "B → D"),
        Change(ChangeKind.REMOVED, Part.EDGE, "b-out-c", "B → C"),
    )
    assert summary_sentence(found) == "“D” added, “C” removed, “B” changed (prompt), 2 paths changed."


def test_a_path_with_another_id_is_the_same_path_and_its_condition_is_compared():
    old = definition(edge("a>b", id="one"))
    assert changes(old, definition(edge("a>b", id="two"))) == ()
    (change,) = changes(old, definition(edge("a>b", condition="input.x")))
    assert change.fields == (FieldChange("condition", None, "input.x"),)


def test_variables_and_settings_are_compared_by_name():
    old = replace(definition("a", variable("x")), settings={"yolo": False})
    new = replace(
        definition("a", variable("x", "number")), settings={"yolo": True, "default_model": "demo:large"}
    )
    found = changes(old, new)
    assert [(change.kind, change.part, change.key) for change in found] == [
        (ChangeKind.CHANGED, Part.VARIABLE, "x"),
        (ChangeKind.CHANGED, Part.SETTING, "yolo"),
        (ChangeKind.ADDED, Part.SETTING, "default_model"),
    ]
    assert summary_sentence(found) == "1 variable changed, 2 settings changed."


def test_moving_things_about_is_told_apart():
    old = definition(step("a", position=Position(0, 0)))
    found = changes(old, definition(step("a", position=Position(5, 5))))
    assert found[0].only_layout
    assert summary_sentence(found) == "Only the layout changed."


def test_a_setting_that_became_null_is_a_change():
    old, new = definition(step("a", config={})), definition(step("a", config={"model": None}))
    assert changes(old, new)[0].fields == (FieldChange("config.model", None, None),)
