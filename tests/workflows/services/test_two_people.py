"""Two people in one draft by script: no lost edit, no corrupt graph. STEPWELL_EDITS=1000 runs all of the acceptance."""

from __future__ import annotations

import os
from functools import partial
from random import Random

import pytest

from tests.support.factories import World
from tests.workflows.definition.random_edits import Editor
from tests.workflows.definition.support import CATALOG, definition, step
from tests.workflows.definition.test_properties import check
from workflows.definition import operations as ops
from workflows.definition.edits import Edit
from workflows.definition.graph import Definition
from workflows.definition.operations import OperationRefused
from workflows.lib.errors import Stale
from workflows.models import Step, Workflow
from workflows.services.create_workflow import create_workflow
from workflows.services.drafts import apply_operation, compile_draft
from workflows.services.late_edits import refuse_late_card
from workflows.services.undo_change import Clashing, redo, undo

pytestmark = pytest.mark.django_db

SEED = int(os.environ.get("STEPWELL_SEED", "20261120"))
EDITS = int(os.environ.get("STEPWELL_EDITS", "200"))
FIELDS = ("prompt", "model", "system")


def test_random_edits_of_two_people_lose_nothing_and_break_nothing(world: World):
    print(f"seed {SEED}, {EDITS} edits")  # noqa: T201 - shown when it fails
    keys = [f"s{number}" for number in range(12)]
    workflow = create_workflow(
        actor=world.bob, name="Shared", definition=definition(*(step(key) for key in keys)), catalog=CATALOG
    )
    chance = Random(SEED)
    people = [world.alice, world.bob]
    editors = [Editor(SEED + 1, "a"), Editor(SEED + 2, "b")]
    # What each page believes: the revision of each card when it was last drawn, and what its fields said.
    known: list[dict[str, int]] = [dict.fromkeys(keys, 1), dict.fromkeys(keys, 1)]
    written: dict[tuple[str, str], str | None] = {}
    told = {"saved": 0, "asked": 0, "shape": 0, "undone": 0}
    for number in range(EDITS):
        who = chance.randrange(2)
        draft = Workflow.objects.get(pk=workflow.pk)
        deed = chance.random()
        if deed < 0.7:
            key, field, text = chance.choice(keys), chance.choice(FIELDS), f"{who} wrote {number}"

            def save(one: Definition, key=key, field=field, text=text, who=who, draft=draft) -> Edit:
                edit = ops.update_step(one, key, CATALOG, config={**one.step(key).config, field: text})
                refuse_late_card(draft, key, one, edit.definition, known[who][key])
                return edit

            try:
                apply_operation(workflow=draft, actor=people[who], operation=save)
            except Stale:
                told["asked"] += 1
            else:
                written[key, field] = text
                told["saved"] += 1
            # The answer draws the card anew; sometimes the page misses that, and stays behind.
            if chance.random() < 0.6:
                known[who][key] = Step.objects.get(workflow=workflow, key=key).revision
        elif deed < 0.9:
            try:
                edit = apply_operation(
                    workflow=draft, actor=people[who], operation=partial(shape, editors[who], keys)
                )
            except OperationRefused:
                continue
            told["shape"] += 1
            check(edit.definition)
        else:
            before = compile_draft(draft)
            try:
                act = undo if chance.random() < 0.6 else redo
                act(workflow=draft, actor=people[who], catalog=CATALOG)
            except (Clashing, OperationRefused):
                told["asked"] += 1
            except Exception as error:
                if getattr(error, "code", "") not in ("nothing", "conflict"):
                    raise
            else:
                told["undone"] += 1
                after = compile_draft(draft)
                for key in keys:
                    for field in FIELDS:
                        now = after.step(key).config.get(field)
                        if now != before.step(key).config.get(field):
                            # Only the person's own words are taken back or made again.
                            words = before.step(key).config.get(field) if act is undo else now
                            assert str(words).startswith(str(who))
                            written[key, field] = now
    last = compile_draft(Workflow.objects.get(pk=workflow.pk))
    check(last)
    for (key, field), expected in written.items():
        assert last.step(key).config.get(field) == expected, f"seed {SEED}: {key}.{field}"
    assert told["saved"] > EDITS / 4
    assert told["asked"] > 0


def shape(editor: Editor, keys: list[str], one: Definition) -> Edit:
    """A change of the graph's shape or names that leaves the watched steps and their texts there."""
    edit = editor.edit(one)
    for key in keys:
        now = edit.definition.by_key.get(key)
        if now is None or any(now.config.get(f) != one.step(key).config.get(f) for f in FIELDS):
            raise OperationRefused("watched", "This one is watched.")
    return edit
