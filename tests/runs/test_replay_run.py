"""Failed items of a completed run again: a new, linked run in which everything else is reused and nothing counted twice."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.urls import reverse

from runs.models import Attempt, Blob, Item, Run, StepRun
from runs.services.control_run import cancel_run
from runs.services.replay_run import replay_items
from runs.services.retry_items import retry_items
from tests.api.support import Api, error_of
from tests.runs.support import definition_of, driven, event_types, node, rows, started
from tests.runs.test_drive_items import each, failing, items, text
from tests.support.factories import World, client_of
from workflows.lib.errors import Conflict, Invalid, NotAllowed
from workflows.tenancy.models import AuditEntry

pytestmark = pytest.mark.django_db

NODES = [
    node("seed", "set_variable", config={"variables": [{"name": "mood", "value": "calm"}]}),
    each(tolerated="2"),
    failing("b", parent="f"),
    text("after", "{{ steps.F.count }} with {{ steps.F.failed }} failed"),
]


def completed_with_failures(world: World, xs: list[Any] | None = None) -> Run:
    nodes = NODES[1:]
    run = driven(started(world.bob, definition_of(nodes, "f>after"), {"xs": xs or [1, 20, 3, 30]}))
    assert run.status == "completed", run.error
    # What was missing is there now, as when a service has come back.
    Run.objects.filter(pk=run.pk).update(input={**run.input, "missing": 7})
    run.refresh_from_db()
    return run


def test_failed_items_of_a_completed_run_are_done_in_a_new_one(world: World) -> None:
    origin = completed_with_failures(world)
    before = [item.pk for item in items(origin)]
    again = retry_items(run=origin, actor=world.bob)
    assert (again.kind, again.origin_id, again.from_step, again.number) == (
        "replay",
        origin.pk,
        "f",
        origin.number + 1,
    )
    driven(again)
    assert again.status == "completed", again.error
    found = items(again)
    assert [item.result["content"] for item in found] == [1, 7, 3, 7]
    assert [item.reused for item in found] == [True, False, True, False]
    assert again.output == {"content": "4 with 0 failed"}
    assert not rows(again)["after"].reused
    assert StepRun.objects.get(run=again, scope="f[0]").reused
    assert not StepRun.objects.get(run=again, scope="f[1]").reused
    event_types(again)
    # The origin is as it was.
    assert [item.pk for item in items(origin)] == before
    assert [item.status for item in items(origin)] == ["completed", "failed", "completed", "failed"]
    assert AuditEntry.objects.filter(action="retried").count() == 1


def test_only_the_named_items_are_done_again(world: World) -> None:
    again = driven(retry_items(run=completed_with_failures(world), actor=world.bob, items=[3]))
    assert again.status == "completed", again.error
    assert [item.status for item in items(again)] == ["completed", "failed", "completed", "completed"]
    assert again.output == {"content": "4 with 1 failed"}


def test_what_stood_before_the_items_is_reused_with_its_large_values_and_variables(world: World) -> None:
    nodes = [
        node("big", config={"mode": "expression", "expression": "input.long"}),
        node("mood", "set_variable", config={"name": "mood", "value": "calm"}),
        each(tolerated="2"),
        failing("b", parent="f"),
        text("after", "{{ vars.mood }} {{ steps.Big }}"),
    ]
    long = "x" * 300_000
    definition = definition_of(
        nodes, "big>mood>f>after", variables=[{"name": "mood", "type": "string", "kind": "context"}]
    )
    origin = driven(started(world.bob, definition, {"xs": [1, 20], "long": long}))
    assert origin.status == "completed", origin.error
    Run.objects.filter(pk=origin.pk).update(input={**origin.input, "missing": 7})
    origin.refresh_from_db()
    again = driven(retry_items(run=origin, actor=world.bob))
    assert again.status == "completed", again.error
    copy = rows(again)
    assert [copy[key].reused for key in ("big", "mood", "after")] == [True, True, False]
    assert copy["big"].output != rows(origin)["big"].output, "a large value belongs to one run"
    assert Blob.objects.filter(run=again).exists()
    whole = Blob.objects.get(pk=(copy["after"].output or {})["$blob"]).value
    assert whole["content"] == f"calm {long}"


@pytest.mark.django_db(transaction=True)
def test_attempts_stay_with_the_origin_and_nothing_is_counted_twice(world: World) -> None:
    nodes = [
        node("write", "llm", config={"prompt": "Say hello", "model": "demo:writer"}),
        each(tolerated="2"),
        failing("b", parent="f"),
    ]
    origin = driven(started(world.bob, definition_of(nodes, "write>f"), {"xs": [1, 20]}))
    assert origin.tokens > 0
    Run.objects.filter(pk=origin.pk).update(input={**origin.input, "missing": 7})
    origin.refresh_from_db()
    again = driven(retry_items(run=origin, actor=world.bob))
    assert again.status == "completed", again.error
    assert (again.tokens, again.cost) == (0, Decimal(0))
    assert rows(again)["write"].reused
    assert not Attempt.objects.filter(run=again, step_run__step_key="write").exists()
    assert Attempt.objects.filter(run=origin, step_run__step_key="write").exists()


def test_who_asks_twice_gets_the_same_run(world: World) -> None:
    origin = completed_with_failures(world)
    first = retry_items(run=origin, actor=world.bob)
    assert retry_items(run=origin, actor=world.alice).pk == first.pk
    driven(first)
    assert retry_items(run=origin, actor=world.alice).pk != first.pk


def test_what_cannot_be_done_again_is_refused_with_the_reason(world: World) -> None:
    origin = completed_with_failures(world)
    with pytest.raises(Invalid, match="has no item 9"):
        retry_items(run=origin, actor=world.bob, items=[9])
    with pytest.raises(Invalid, match="is done already"):
        retry_items(run=origin, actor=world.bob, items=[0])
    with pytest.raises(Invalid, match="has no items"):
        retry_items(run=origin, actor=world.bob, step="after")
    with pytest.raises(NotAllowed):
        retry_items(run=origin, actor=world.vera)
    clean = driven(started(world.bob, definition_of(NODES[1:], "f>after"), {"xs": [1]}))
    with pytest.raises(Conflict, match="No item failed"):
        retry_items(run=clean, actor=world.bob)
    waiting = started(world.bob, definition_of(NODES[1:], "f>after"), {"xs": [1]})
    with pytest.raises(Conflict, match="only a completed run"):
        replay_items(run=waiting, actor=world.bob, step="f", items=[0])
    driven(cancel_run(run=waiting, actor=world.bob))
    with pytest.raises(Conflict, match="was cancelled"):
        retry_items(run=waiting, actor=world.bob)
    assert not Run.objects.filter(kind="replay").exists()


def test_the_api_answers_with_the_run_or_with_the_new_one(world: World) -> None:
    api, origin = Api(world.bob), completed_with_failures(world)
    answer = api.post(f"/workflow-executions/{origin.pk}/retry", {"items": [1]})
    assert answer.status_code == 202
    made = answer.json()
    assert (made["kind"], made["origin"]) == ("replay", str(origin.pk))
    assert answer["Location"] == f"/api/workflow-executions/{made['id']}"
    listed = api.get(f"/workflow-executions/{origin.pk}/items", {"status": "failed", "limit": 1}).json()
    assert listed["count"] == 2
    item = listed["items"][0]
    assert (item["index"], item["scope"], item["input_data"], item["output_data"]) == (1, "f[1]", 20, None)
    assert item["error_message"]
    assert api.get(f"/workflow-executions/{origin.pk}/items", {"step": "after"}).json() == {
        "items": [],
        "count": 0,
    }
    trace = api.get(f"/workflow-executions/{origin.pk}").json()["execution_trace"]
    inner = [(row["scope"], row["index"]) for row in trace if row["node_id"] == "b"]
    assert inner == [("f[0]", 0), ("f[1]", 1), ("f[2]", 2), ("f[3]", 3)]
    assert [row["input_data"] for row in trace if row["node_id"] == "b"] == [1, 20, 3, 30]
    progress = next(row["progress"] for row in trace if row["node_id"] == "f")
    assert (progress["total"], progress["completed"], progress["failed"]) == (4, 2, 2)
    error_of(api.post(f"/workflow-executions/{origin.pk}/retry", {"items": "all"}), 422)
    error_of(api.post(f"/workflow-executions/{origin.pk}/retry", {"items": [True]}), 422)
    error_of(api.post(f"/workflow-executions/{origin.pk}/retry", {"items": []}), 422)


def test_the_button_leads_to_the_new_run(world: World) -> None:
    origin = completed_with_failures(world)
    client, url = client_of(world.bob), reverse("runs:retry_items", args=[origin.pk])
    answer = client.post(url, {"step": "f", "items": "failed"})
    made = Run.objects.get(origin=origin)
    assert answer["Location"] == reverse("runs:detail", args=[made.pk])
    by_script = client.post(url, {"step": "f", "items": "1"}, headers={"HX-Request": "true"})
    assert by_script["HX-Redirect"] == reverse("runs:detail", args=[made.pk])
    assert client.post(url, {"step": "f", "items": "one"}).status_code == 422
    driven(made)
    html = client.get(
        reverse("runs:item", args=[made.pk, "f[0]"]), headers={"HX-Request": "true"}
    ).content.decode()
    assert "Taken from an earlier run." in html
    assert str(origin.pk) in html
    assert Item.objects.filter(run=made, reused=True).count() == 2
