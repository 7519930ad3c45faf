"""A run becomes a workflow: what was authored comes along, what the execution generated stays behind."""

from __future__ import annotations

import pytest

from runs.services.save_run_as_workflow import save_run_as_workflow
from tests.runs.support import definition_of, driven, node, rows, started
from tests.support.factories import World, client_of
from workflows.lib.errors import NotAllowed, NotFound
from workflows.models import Workflow
from workflows.services.drafts import compile_draft

pytestmark = pytest.mark.django_db(transaction=True)


def test_generated_steps_are_left_out_by_origin_and_the_copy_is_clean(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPWELL_DEMO_PAUSE_MS", "0")
    config = {"items": "{{ input.xs }}", "prompt": "Tell about {{ item }}.", "append_check": True}
    nodes = [
        node("f", "fan_out", config=config, name="Each"),
        node("mine", "consistency_check", name="My own check", config={}),
    ]
    run = driven(started(world.bob, definition_of(nodes, "f>mine"), {"xs": ["wells", "roads"]}))
    assert {"f", "f-check", "mine"} <= set(rows(run))
    made = save_run_as_workflow(run=run, actor=world.bob)
    copy = compile_draft(made)
    assert [(step.type, step.label, step.order) for step in copy.steps] == [
        ("fan_out", "Each", 0),
        ("consistency_check", "My own check", 1),
    ]
    assert not {"f", "mine"} & set(copy.by_key)
    assert [(edge.source, edge.target) for edge in copy.edges] == [(copy.steps[0].key, copy.steps[1].key)]
    assert made.name == f"{run.workflow.name}, run {run.number}"
    assert save_run_as_workflow(run=run, actor=world.bob).name.endswith("(2)")
    assert save_run_as_workflow(run=run, actor=world.bob, name="Mine").name == "Mine"
    with pytest.raises(NotAllowed):
        save_run_as_workflow(run=run, actor=world.rita)
    with pytest.raises(NotFound):
        save_run_as_workflow(run=run, actor=world.charlie)
    page = client_of(world.bob).get(f"/runs/{run.pk}/").content.decode()
    assert "Save as workflow" in page
    client_of(world.bob).post(f"/runs/{run.pk}/save/", {"name": "By hand"})
    assert Workflow.objects.for_tenant(world.tenant).filter(name="By hand").exists()
