"""A change can be taken back and made again exactly, and among other people's changes without breaking the graph."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from tests.workflows.definition.random_edits import Editor
from tests.workflows.definition.support import CATALOG, definition, step
from tests.workflows.definition.test_properties import check
from workflows.definition import operations as ops
from workflows.definition.graph import Definition
from workflows.definition.operations import OperationRefused
from workflows.definition.patches import Side, Turned, patch_between, same_place, turn
from workflows.definition.schema import canonical_json
from workflows.definition.structure import structure_problems

SEED = 20261120
OPERATIONS = 500


def turned(one: Definition, patch, *, back: bool, side: Side = Side.ASK) -> Turned:
    return turn(one, {}, patch, back=back, side=side, catalog=CATALOG)


def test_every_one_of_500_random_operations_is_undone_and_redone_exactly():
    editor = Editor(SEED)
    one = Definition()
    done = 0
    history = []
    while done < OPERATIONS:
        try:
            after = editor.edit(one).definition
        except OperationRefused:
            continue
        patch = patch_between(one, after)
        back = turned(after, patch, back=True)
        assert back.clashes == ()
        assert back.definition == one, f"seed {SEED}, operation {done}"
        assert canonical_json(turned(back.definition, patch, back=False).definition) == canonical_json(after)
        check(after)
        history.append((one, patch))
        one = after
        done += 1
        if len(one.steps) > 40:
            # Back some of the way, as one who thinks again.
            for _ in range(25):
                expected, patch = history.pop()
                one = turned(one, patch, back=True).definition
                assert canonical_json(one) == canonical_json(expected)
            check(one)


@pytest.mark.parametrize("seed", range(SEED, SEED + 6))
def test_among_the_changes_of_others_nothing_breaks_and_nothing_of_theirs_is_lost_unasked(seed: int):
    mine, theirs = Editor(seed, "m"), Editor(seed + 1000, "t")
    chance = Random(seed)
    one = Definition()
    kept: list = []
    undone: list = []
    for _ in range(150):
        who = mine if chance.random() < 0.5 else theirs
        try:
            after = who.edit(one).definition
        except OperationRefused:
            continue
        if who is mine:
            kept.append(patch_between(one, after))
            undone.clear()
        one = after
        if chance.random() < 0.4 and (kept if (back := chance.random() < 0.7) else undone):
            patch = kept.pop() if back else undone.pop()
            side = chance.choice([Side.THEIRS, Side.MINE])
            result = turned(one, patch, back=back, side=side)
            if structure_problems(result.definition, CATALOG):
                continue  # the service says so and writes nothing
            if side is Side.THEIRS:
                _nothing_of_others_changed(one, result, patch)
            one = result.definition
            (undone if back else kept).append(patch)
        places = {step.key for step in one.steps}
        assert all({edge.source, edge.target} <= places for edge in one.edges)
        assert structure_problems(one, CATALOG) == ()


def _nothing_of_others_changed(before: Definition, result: Turned, patch) -> None:
    """What the patch does not speak of is as it was."""
    spoken = patch["items"].get("steps", {})
    for old in before.steps:
        if old.key in spoken:
            continue
        new = result.definition.by_key[old.key]
        assert replace(new, order=0, parent=None) == replace(old, order=0, parent=None)


def test_a_field_that_somebody_changed_since_is_asked_about_and_kept():
    one = definition(step("a", config={"prompt": "Old", "model": "demo:one"}))
    two = ops.update_step(one, "a", CATALOG, config={"prompt": "Mine", "model": "demo:two"}).definition
    patch = patch_between(one, two)
    three = ops.update_step(two, "a", CATALOG, config={"prompt": "Theirs", "model": "demo:two"}).definition
    asked = turned(three, patch, back=True)
    assert [(clash.field, clash.now, clash.wanted) for clash in asked.clashes] == [
        ("config.prompt", "Theirs", "Old")
    ]
    theirs = turned(three, patch, back=True, side=Side.THEIRS).definition.step("a").config
    assert theirs == {"prompt": "Theirs", "model": "demo:one"}
    mine = turned(three, patch, back=True, side=Side.MINE).definition.step("a").config
    assert mine == {"prompt": "Old", "model": "demo:one"}


def test_a_step_that_others_built_on_stays_unless_it_is_said():
    one = definition(step("a"), step("b"), "a>b")
    two = ops.insert(one, step("x", label="New"), ops.AtEnd(), CATALOG).definition
    patch = patch_between(one, two)
    three = ops.insert(two, step("y", label="Theirs"), ops.After("x"), CATALOG).definition
    asked = turned(three, patch, back=True)
    assert [clash.why for clash in asked.clashes] == ["built_on"]
    assert "x" in asked.definition.by_key
    mine = turned(three, patch, back=True, side=Side.MINE).definition
    assert "x" not in mine.by_key
    assert "y" in mine.by_key


def test_a_burst_of_typing_is_one_place_and_other_fields_are_not():
    one = definition(step("a", config={"prompt": "a", "model": "m"}))
    two = one.with_step(replace(one.step("a"), config={"prompt": "ab", "model": "m"}))
    three = one.with_step(replace(one.step("a"), config={"prompt": "abc", "model": "m"}))
    four = one.with_step(replace(one.step("a"), config={"prompt": "abc", "model": "n"}))
    assert same_place(patch_between(one, two), patch_between(two, three))
    assert not same_place(patch_between(one, two), patch_between(three, four))
