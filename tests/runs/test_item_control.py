"""Items of a container at work: the rest stopped, one left out, failed ones again beside the others, another input."""

from __future__ import annotations

from typing import Any

import pytest

from runs.models import Event, Item, Review, Run, StepRun
from runs.services.control_run import retry_run
from runs.services.decide_review import decide_review
from runs.services.retry_items import retry_items, stop_items
from tests.api.support import Api, error_of
from tests.runs.support import definition_of, driven, event_types, node, rows, started
from tests.runs.test_drive_items import each, failing, items, text
from tests.support.factories import World
from workflows.lib.errors import Conflict, Invalid

pytestmark = pytest.mark.django_db

GATED = [
    each(tolerated="5"),
    failing("b", parent="f"),
    node("g", "review", parent="f"),
    text("z", "{{ steps.F.count }}"),
]


def held_at_gates(world: World, xs: list[Any]) -> Run:
    """Every item waits at a gate, apart from those over 10, which have failed."""
    run = driven(started(world.bob, definition_of(GATED, "b>g", "f>z"), {"xs": xs}))
    assert run.status == "paused", (run.status, run.error)
    return run


def states(run: Run) -> list[str]:
    return [item.status for item in items(run)]


def approve(world: World, run: Run, index: int) -> None:
    gate = Review.objects.get(run=run, status="open", step_run__scope=f"f[{index}]")
    decide_review(review=gate, actor=world.bob, decision="approve")


def test_stopping_the_rest_keeps_what_is_finished_and_closes_the_container(world: World) -> None:
    run = held_at_gates(world, [1, 2, 3])
    approve(world, run, 0)
    driven(run)
    stop_items(run=run, actor=world.bob, step="f")
    driven(run)
    assert run.status == "completed", run.error
    assert states(run) == ["completed", "cancelled", "cancelled"]
    output = rows(run)["f"].output or {}
    assert [value and value["content"] for value in output["items"]] == [1, None, None]
    assert not Review.objects.filter(run=run, status="open").exists()
    assert Event.objects.get(run=run, type="edited").data["items"] == [1, 2]
    event_types(run)
    with pytest.raises(Conflict, match="not at work"):
        stop_items(run=run, actor=world.bob, step="f")


def test_one_item_is_left_out_and_the_others_go_on(world: World) -> None:
    run = held_at_gates(world, [1, 2, 3])
    with pytest.raises(Invalid, match="no item 9"):
        stop_items(run=run, actor=world.bob, step="f", items=[9])
    stop_items(run=run, actor=world.bob, step="f", items=[1])
    driven(run)
    assert (run.status, states(run)) == ("paused", ["running", "cancelled", "running"])
    approve(world, run, 0)
    approve(world, run, 2)
    assert driven(run).status == "completed"
    assert run.output == {"content": "3"}, "the count is that of all items"


def test_failed_items_begin_again_beside_the_others_also_with_another_input(world: World) -> None:
    run = held_at_gates(world, [1, 20, 30])
    assert states(run) == ["running", "failed", "failed"]
    retry_items(run=run, actor=world.bob, items=[1], value=5)
    driven(run)
    assert states(run) == ["running", "running", "failed"]
    assert Item.objects.get(run=run, index=1).value == 5
    Run.objects.filter(pk=run.pk).update(input={**run.input, "missing": 7})
    retry_items(run=run, actor=world.bob)
    driven(run)
    for index in (0, 1, 2):
        approve(world, run, index)
    assert driven(run).status == "completed", run.error
    assert [value["content"] for value in (rows(run)["f"].output or {})["items"]] == [1, 5, 7]
    assert StepRun.objects.filter(run=run, step_key="b", scope="f[1]").count() == 2
    event_types(run)


def test_the_items_that_a_failure_cut_off_go_on_with_the_one_that_is_mended(world: World) -> None:
    nodes = [each(concurrency=1), text("a", "{{ item }}", parent="f"), failing("b", parent="f")]
    run = driven(started(world.bob, definition_of(nodes, "a>b"), {"xs": [1, 20, 3, 4]}))
    assert states(run) == ["completed", "failed", "cancelled", "cancelled"]
    retry_items(run=run, actor=world.bob, items=[1], value=2)
    driven(run)
    assert run.status == "completed", run.error
    assert [item.result["content"] for item in items(run)] == [1, 2, 3, 4]
    assert [item.heading for item in items(run)] == ["1", "2", "3", "4"]
    made = StepRun.objects.filter(run=run, step_key="a").values_list("scope", flat=True)
    assert sorted(made) == ["f[0]", "f[1]", "f[1]", "f[2]", "f[3]"]


def test_one_item_with_another_input_in_failed_and_completed_runs(world: World) -> None:
    nodes = [each(concurrency=1), text("a", "{{ item }}", parent="f"), failing("b", parent="f")]
    run = driven(started(world.bob, definition_of(nodes, "a>b"), {"xs": [1, 20]}))
    assert run.status == "failed"
    with pytest.raises(Invalid, match="one item"):
        retry_items(run=run, actor=world.bob, value=2)
    retry_items(run=run, actor=world.bob, items=[1], value=2)
    driven(run)
    assert run.status == "completed", run.error
    assert [item.result["content"] for item in items(run)] == [1, 2]
    a = StepRun.objects.filter(run=run, step_key="a", scope="f[1]").order_by("round")
    assert [(row.output or {})["content"] for row in a] == ["20", "2"]
    again = driven(retry_items(run=run, actor=world.bob, items=[0], step="f", value=9))
    assert again.origin_id == run.pk
    assert [item.result["content"] for item in items(again)] == [9, 2]
    assert [item.result["content"] for item in items(run)] == [1, 2]


def test_a_failed_step_again_with_another_input(world: World) -> None:
    nodes = [text("a", "A"), node("b", config={"mode": "expression", "expression": "previous.mended"})]
    run = driven(started(world.bob, definition_of(nodes, "a>b")))
    assert run.status == "failed"
    retry_run(run=run, actor=world.bob, input_data={"mended": "yes"})
    assert driven(run).output == {"content": "yes"}, run.error
    assert rows(run)["b"].given == {"value": {"mended": "yes"}}
    inside = driven(started(world.bob, definition_of([each(), failing("b", parent="f")]), {"xs": [20]}))
    with pytest.raises(Invalid, match="stands inside"):
        retry_run(run=inside, actor=world.bob, from_step="b")


def test_over_the_api(world: World) -> None:
    run = held_at_gates(world, [1, 20, 30])
    api, path = Api(world.bob), f"/workflow-executions/{run.pk}"
    assert api.post(f"{path}/retry", {"items": [1], "input": 3, "from_step": "f"}).status_code == 200
    assert states(driven(run)) == ["running", "running", "failed"]
    assert api.post(f"{path}/items/stop", {"step": "f"}).status_code == 200
    assert driven(run).status == "completed"
    error_of(api.post(f"{path}/items/stop", {"step": "f"}), 409)
    held = driven(started(world.bob, definition_of([text("a", "A"), text("b", "B {{ previous }}")], "a>b")))
    error_of(api.post(f"/workflow-executions/{held.pk}/step"), 409)
    begun = api.post(f"/workflows/{held.workflow_id}/execute", {"breakpoints": ["b"]}).json()
    one = Run.objects.get(pk=begun["id"])
    path = f"/workflow-executions/{one.pk}"
    assert begun["breakpoints"] == ["b"]
    driven(one)
    assert api.get(path).json()["waiting_for"][0]["kind"] == "breakpoint"
    for change, status in (
        ({"what": "input", "step": "b", "value": "mine"}, 200),
        ({"what": "output", "step": "b", "value": "x"}, 409),
        ({"what": "variable", "name": "nope", "value": 1}, 422),
        ({"what": "odd"}, 422),
    ):
        assert api.post(f"{path}/edits", change).status_code == status, change
    assert api.put(f"{path}/breakpoints", {"steps": []}).status_code == 200
    assert api.post(f"{path}/step").status_code == 200
    assert driven(one).output == {"content": "B mine"}
