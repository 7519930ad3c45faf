"""Two people in one draft, each a process of its own: lets them edit at the same time, and judges what is left of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from typing import Any

from config.paths import BASE_DIR
from tests.support.stack import Stack
from tests.workflows.definition.test_properties import check
from workflows.definition.graph import Definition
from workflows.definition.schema import from_stored

PEOPLE = ("nadia@demo.example", "hanna@demo.example")
_MAKE = """
from tests.support import runs
from workflows.services.create_workflow import create_workflow
from workflows.tenancy.actor import Actor
from workflows.tenancy.models import Membership
one = Membership.objects.get(tenant__slug="demo", user__email="{email}")
steps = [runs.step(key, "llm", config={{"prompt": "As it began"}}) for key in {watched!r}]
actor = Actor(tenant=one.tenant, role=one.role, user=one.user)
print(create_workflow(actor=actor, name="Shared", definition=runs.graph(*steps)).pk)
"""
_READ = """
from workflows.definition.schema import canonical_json
from workflows.models import Workflow
from workflows.services.drafts import compile_draft
print("DRAFT " + canonical_json(compile_draft(Workflow.objects.get(pk="{pk}"))))
"""


def edited_by_two(stack: Stack, *, seed: int, edits: int, cards: int) -> Counter[tuple[str, int]]:
    """Let both edit until each has made half of the edits; the answers counted. Fails where an edit was lost.

    Both write the texts of the same `cards`; steps of their own they add, move, connect, switch and delete.
    """
    watched = [f"w{number}" for number in range(cards)]
    workflow = stack.manage("shell", "-c", _MAKE.format(email=PEOPLE[0], watched=watched)).splitlines()[-1]
    said = _both(stack, workflow, seed, edits, watched)
    definition = from_stored(
        json.loads(stack.manage("shell", "-c", _READ.format(pk=workflow)).rpartition("DRAFT ")[2])
    )
    told = Counter((str(line["deed"]), int(line["status"])) for lines in said for line in lines)
    assert all(status in (200, 409, 412, 422) for _, status in told), told
    check(definition)
    assert definition.by_key.keys() >= set(watched)
    _no_edit_is_lost(said, definition, seed)
    return told


def _both(
    stack: Stack, workflow: str, seed: int, edits: int, watched: list[str]
) -> list[list[dict[str, Any]]]:
    """What each was answered, in its order; they edit at the same time."""
    people = []
    for place, email in enumerate(PEOPLE):
        line = [stack.url, stack.sign_in_link_for(email), workflow, f"p{place}", str(seed), str(edits // 2)]
        command = [sys.executable, "-m", "tests.acceptance.one_of_two", *line, ",".join(watched)]
        people.append(
            subprocess.Popen(command, cwd=BASE_DIR, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
    answers = []
    for one in people:
        output, errors = one.communicate(timeout=1_800)
        assert one.returncode == 0, errors + stack.logs()[-4_000:]
        answers.append([json.loads(line) for line in output.splitlines()])
    return answers


def _no_edit_is_lost(said: list[list[dict[str, Any]]], definition: Definition, seed: int) -> None:
    """Every step that was added and not deleted is there; each text is the last that was taken; none was written over unseen."""
    for lines in said:
        added = {line["key"] for line in lines if line["deed"] == "add" and line["status"] == 200}
        deleted = {line["key"] for line in lines if line["deed"] == "delete" and line["status"] == 200}
        assert added - deleted <= definition.by_key.keys(), f"seed {seed}"
        assert not deleted & definition.by_key.keys(), f"seed {seed}"
    saves: dict[tuple[str, str], list[tuple[int, int, dict[str, Any]]]] = {}
    for who, lines in enumerate(said):
        for line in lines:
            if line["deed"] == "write" and line["status"] == 200:
                saves.setdefault((line["key"], line["field"]), []).append((line["draft"], who, line))
    for (key, field), all_of_it in saves.items():
        in_order = sorted(all_of_it, key=lambda one: one[0])
        assert definition.step(key).config[field] == in_order[-1][2]["text"], f"seed {seed}: {key}.{field}"
        for (_, before, theirs), (_, after, mine) in pairwise(in_order):
            if before != after:
                assert mine["known"] >= theirs["card"], f"seed {seed}: {mine} went over {theirs}, unseen"
