"""Steps that settings add to a run: after a for-each a check and a prompt per item, without being part of the draft."""

from __future__ import annotations

from typing import Any

import pytest

from runs.engine.statuses import RunStatus
from runs.models import Attempt, Item, Run
from runs.snapshots.definitions import definitions_of
from tests.runs.support import definition_of, driven, event_types, node, rows, started, statuses
from tests.support.factories import World
from workflows.definition.copies import duplicate
from workflows.definition.generated import with_generated
from workflows.definition.graph import Definition
from workflows.definition.schema import from_stored, parse_definition, to_json
from workflows.steps.catalog import CATALOG

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPWELL_DEMO_PAUSE_MS", "0")


def whole(**settings: Any) -> Definition:
    config = {"items": "{{ input.xs }}", "prompt": "Tell about {{ item }}.", **settings}
    nodes = [
        node("f", "fan_out", config=config, name="Each"),
        node("after", config={"mode": "template", "template": "{{ steps.Each.count }}: {{ previous }}"}),
    ]
    return definition_of(nodes, "f>after")


def go(world: World, definition: Definition) -> Run:
    run = driven(started(world.bob, definition, {"xs": ["wells", "roads", "lamps"]}))
    assert run.status == RunStatus.COMPLETED, run.error
    event_types(run)
    return run


def test_a_check_and_prompts_are_added_after_the_container_in_the_run_only(world: World) -> None:
    definition = whole(append_check=True, append_prompts=True)
    assert set(definition.by_key) == {"f", "after"}
    run = go(world, definition)
    found = rows(run)
    assert {key: row.status for key, row in found.items() if not row.scope} == {
        "f": "completed",
        "f-check": "completed",
        "f-prompts": "completed",
        "after": "completed",
    }
    assert isinstance(found["f-check"].output["passed"], bool)
    asked = Attempt.objects.get(step_run=found["f-check"]).calls[0]["messages"][-1]["content"]
    assert all(f"## {name}" in asked for name in ("wells", "roads", "lamps"))
    prompts = Item.objects.filter(run=run, container="f-prompts").order_by("index")
    assert [item.heading for item in prompts] == ["wells", "roads", "lamps"]
    assert found["after"].output["content"] == f"3: {found['f-prompts'].output['content']}"
    shown = definitions_of({run.version_id})[run.version_id]
    assert [(step.label, step.generated) for step in shown.steps] == [
        ("Each", False),
        ("Each - check", True),
        ("Each - prompts", True),
        ("After", False),
    ]


def test_one_of_the_two_alone(world: World) -> None:
    assert set(statuses(go(world, whole(append_check=True)))) == {"f", "f-item", "f-check", "after"}
    found = set(statuses(go(world, whole(append_prompts=True))))
    assert found == {"f", "f-item", "f-prompts", "f-prompts-item", "after"}


def test_they_are_off_where_their_container_is_off(world: World) -> None:
    document = to_json(whole(append_check=True))
    document["nodes"][0]["enabled"] = False
    document["nodes"][1]["config"] = {"mode": "template", "template": "{{ previous }}"}
    run = driven(started(world.bob, parse_definition(document, CATALOG), {"xs": ["wells"]}))
    assert run.status == RunStatus.COMPLETED, run.error
    assert statuses(run) == {"f": "skipped", "f-check": "skipped", "after": "completed"}


def test_a_copy_and_the_stored_version_are_without_them_and_keep_an_authors_own_check() -> None:
    document = to_json(whole(append_check=True))
    document["nodes"].append(node("own", "consistency_check", name="Each - check"))
    document["edges"].append({"id": "e9", "source_node_id": "after", "target_node_id": "own"})
    definition = from_stored(to_json(parse_definition(document, CATALOG)))
    expanded = with_generated(definition, CATALOG.generated)
    assert [step.label for step in expanded.steps if step.type == "consistency_check"] == [
        "Each - check (f-check)",
        "Each - check",
    ]
    left = duplicate(definition, CATALOG).definition
    assert [step.label for step in left.steps if step.type == "consistency_check"] == ["Each - check"]


def test_keys_that_an_author_has_taken_are_left_alone() -> None:
    nodes = [
        node("f", "fan_out", config={"prompt": "x", "append_check": True}, name="Each"),
        node("f-check", name="Mine"),
    ]
    expanded = with_generated(definition_of(nodes, "f>f-check"), CATALOG.generated)
    assert len({step.key for step in expanded.steps}) == 3
    assert expanded.incoming("f-check")[0].source not in ("f", "f-check")
