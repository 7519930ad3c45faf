"""Fan-outs and loops on a real database: order, slots, failures, retries of what is missing, nesting, gates inside."""

from __future__ import annotations

from typing import Any

import pytest

from runs.engine.statuses import RunStatus
from runs.models import Event, Item, Review, Run, StepRun
from runs.services.control_run import cancel_run, pause_run, resume_run, retry_run
from runs.services.decide_review import decide_review
from tests.runs.support import definition_of, driven, event_types, node, rows, started, statuses
from tests.support.factories import World

pytestmark = pytest.mark.django_db


def text(key: str, template: str, **fields: Any) -> dict[str, Any]:
    return node(key, config={"mode": "template", "template": template}, **fields)


def each(key: str = "f", **config: Any) -> dict[str, Any]:
    return node(key, "fan_out", config={"items": "{{ input.xs }}", **config})


def items(run: Run) -> list[Item]:
    newest = StepRun.objects.filter(run=run, items__isnull=False).order_by("-round").first()
    return list(Item.objects.filter(step_run=newest).order_by("index")) if newest is not None else []


def test_the_results_keep_the_order_of_the_input(world: World) -> None:
    nodes = [
        each(concurrency=2),
        text("b", "{{ item }}!", parent="f"),
        text("after", "{{ steps.F.items[2] }}"),
    ]
    run = driven(started(world.bob, definition_of(nodes, "f>after"), {"xs": ["a", "b", "c", "d"]}))
    assert run.status == RunStatus.COMPLETED, run.error
    assert [item.result for item in items(run)] == [{"content": f"{x}!"} for x in "abcd"]
    assert run.output == {"content": "c!"}
    output = StepRun.objects.get(run=run, step_key="f").output or {}
    assert (output["count"], output["failed"]) == (4, 0)
    assert output["items"][0] == {"content": "a!"}
    progress = [
        event.data for event in Event.objects.filter(run=run, type="fan_out_progress").order_by("seq")
    ]
    assert [entry["completed"] for entry in progress] == [1, 2, 3, 4]
    assert all(entry["fanOutTotal"] == 4 for entry in progress)
    event_types(run)


def test_an_empty_list_is_said_and_completes(world: World) -> None:
    nodes = [each(), text("b", "{{ item }}", parent="f")]
    run = driven(started(world.bob, definition_of(nodes), {"xs": []}))
    assert run.status == RunStatus.COMPLETED, run.error
    assert rows(run)["f"].output == {"content": "", "items": [], "count": 0, "failed": 0}
    assert "empty" in rows(run)["f"].notes


def broken(key: str) -> dict[str, Any]:
    return node(key, config={"mode": "expression", "expression": "input.missing + 1"})


def failing(key: str, **fields: Any) -> dict[str, Any]:
    """Fails for items that are larger than 10."""
    return node(
        key, config={"mode": "expression", "expression": "item > 10 ? input.missing : item"}, **fields
    )


def test_one_failed_item_fails_the_step_and_says_which(world: World) -> None:
    nodes = [each(concurrency=1), failing("b", parent="f")]
    run = driven(started(world.bob, definition_of(nodes), {"xs": [1, 20, 3]}))
    assert run.status == RunStatus.FAILED
    assert run.error["step"] == "F"
    assert "1 of 3 items failed" in run.error["message"]
    assert [item.status for item in items(run)] == ["completed", "failed", "cancelled"]


def test_tolerated_failures_are_null_with_an_error_entry(world: World) -> None:
    nodes = [each(tolerated="40%"), failing("b", parent="f")]
    run = driven(started(world.bob, definition_of(nodes), {"xs": [1, 20, 3]}))
    assert run.status == RunStatus.COMPLETED, run.error
    output = rows(run)["f"].output or {}
    assert output["items"] == [{"content": 1}, None, {"content": 3}]
    assert (output["failed"], output["errors"][0]["index"]) == (1, 1)


def test_a_retry_does_only_the_items_without_a_result(world: World) -> None:
    nodes = [each(concurrency=1), failing("b", parent="f"), text("after", "{{ steps.F.count }}")]
    run = driven(started(world.bob, definition_of(nodes, "f>after"), {"xs": [1, 20, 3]}))
    before = StepRun.objects.get(run=run, step_key="b", scope="f[0]").pk
    Run.objects.filter(pk=run.pk).update(input={"xs": [1, 20, 3], "missing": 7})
    run.refresh_from_db()
    driven(retry_run(run=run, actor=world.bob))
    assert run.status == RunStatus.COMPLETED, run.error
    assert [item.result["content"] for item in items(run)] == [1, 7, 3]
    assert StepRun.objects.filter(run=run, step_key="b", scope="f[0]").get().pk == before
    assert StepRun.objects.filter(run=run, step_key="b", scope="f[1]").count() == 2
    assert StepRun.objects.filter(run=run, step_key="f").count() == 2


def test_a_retry_from_the_container_begins_all_its_items_anew(world: World) -> None:
    nodes = [each(), text("b", "{{ item }}", parent="f"), broken("after")]
    run = driven(started(world.bob, definition_of(nodes, "f>after"), {"xs": ["x", "y"]}))
    assert run.status == RunStatus.FAILED
    driven(retry_run(run=run, actor=world.bob, from_step="f"))
    assert sorted(StepRun.objects.filter(run=run, step_key="b").values_list("scope", "round", "status")) == [
        ("f[0]", 0, "completed"),
        ("f[0]", 1, "completed"),
        ("f[1]", 0, "completed"),
        ("f[1]", 1, "completed"),
    ]


def test_a_gate_inside_holds_only_its_item(world: World) -> None:
    nodes = [
        each(concurrency=1),
        node("g", "review", config={"title": "Good?"}, parent="f"),
        text("b", "{{ previous }} {{ item }}", parent="f"),
    ]
    run = driven(started(world.bob, definition_of(nodes, "g>b"), {"xs": ["x", "y"]}))
    assert run.status == RunStatus.PAUSED, run.error
    assert len(run.waiting_for) == 2, "an item that waits at a gate holds no slot"
    for review in Review.objects.filter(run=run):
        decide_review(review=review, actor=world.rita, decision="approve", edited_text="ok")
    driven(run)
    assert run.status == RunStatus.COMPLETED, run.error
    assert [item.result["content"] for item in items(run)] == ["ok x", "ok y"]


def test_a_filter_inside_ends_only_its_item(world: World) -> None:
    nodes = [
        each(),
        node("keep", "filter", config={"expression": "item > 1"}, parent="f"),
        text("b", "kept {{ item }}", parent="f"),
    ]
    run = driven(started(world.bob, definition_of(nodes, "keep>b"), {"xs": [1, 2]}))
    assert run.status == RunStatus.COMPLETED, run.error
    assert [item.result["content"] for item in items(run)] == [1, "kept 2"]


def test_enough_items_are_enough(world: World) -> None:
    nodes = [each(concurrency=1, needed="1"), text("b", "{{ item }}", parent="f")]
    run = driven(started(world.bob, definition_of(nodes), {"xs": ["x", "y", "z"]}))
    assert run.status == RunStatus.COMPLETED, run.error
    assert [item.status for item in items(run)] == ["completed", "cancelled", "cancelled"]


def test_containers_stand_in_containers(world: World) -> None:
    nodes = [
        each("outer"),
        node(
            "inner",
            "fan_out",
            config={"items": "{{ item.xs }}", "result": "steps.Leaf.content"},
            parent="outer",
        ),
        text("leaf", "{{ item }}{{ index }}", parent="inner"),
    ]
    run = driven(started(world.bob, definition_of(nodes), {"xs": [{"xs": ["a", "b"]}, {"xs": ["c"]}]}))
    assert run.status == RunStatus.COMPLETED, run.error
    output = rows(run)["outer"].output or {}
    assert [part["items"] for part in output["items"]] == [
        [{"content": "a0"}, {"content": "b1"}],
        [{"content": "c0"}],
    ]
    assert StepRun.objects.filter(run=run, scope="outer[1].inner[0]", step_key="leaf").exists()


def test_a_loop_passes_the_result_of_the_round_before(world: World) -> None:
    nodes = [
        text("seed", "1"),
        node("l", "loop", config={"mode": "count", "count": 4}),
        node("b", config={"mode": "expression", "expression": "number(previous.content) * 2"}, parent="l"),
    ]
    run = driven(started(world.bob, definition_of(nodes, "seed>l"), {}))
    assert run.status == RunStatus.COMPLETED, run.error
    assert [item.result["content"] for item in items(run)] == [2, 4, 8, 16]


def test_a_while_loop_stops_when_its_condition_does_or_at_its_limit(world: World) -> None:
    def loop(limit: int) -> Any:
        condition = {"expression": "previous.content < 20"}
        return definition_of(
            [
                node("seed", config={"mode": "expression", "expression": "1"}),
                node("l", "loop", config={"mode": "while", "condition": condition, "max_iterations": limit}),
                node("b", config={"mode": "expression", "expression": "previous.content * 3"}, parent="l"),
            ],
            "seed>l",
        )

    run = driven(started(world.bob, loop(50), {}))
    assert run.status == RunStatus.COMPLETED, run.error
    assert [item.result["content"] for item in items(run)] == [3, 9, 27]
    assert rows(run)["l"].notes == ""
    run = driven(started(world.bob, loop(3), {}))
    assert len(items(run)) == 3
    assert rows(run)["l"].notes == "", "the condition ended it, not the limit"
    run = driven(started(world.bob, loop(2), {}))
    assert [item.result["content"] for item in items(run)] == [3, 9]
    assert rows(run)["l"].notes == "Stopped at its limit of 2 rounds"


@pytest.mark.parametrize(
    "config", [{"mode": "count", "count": 7}, {"mode": "for_each", "items": "{{ input.xs }}"}]
)
def test_a_loop_of_known_length_says_when_its_limit_cut_it_short(
    world: World, config: dict[str, Any]
) -> None:
    nodes = [node("l", "loop", config={**config, "max_iterations": 5}), text("b", "{{ item }}", parent="l")]
    run = driven(started(world.bob, definition_of(nodes), {"xs": list(range(7))}))
    assert run.status == RunStatus.COMPLETED, run.error
    assert len(items(run)) == 5
    assert rows(run)["l"].notes == "Stopped at its limit of 5 of 7 rounds"


def test_pause_cancel_and_continue_in_the_middle(world: World) -> None:
    nodes = [each(), node("g", "review", config={"title": "?"}, parent="f")]
    run = driven(started(world.bob, definition_of(nodes), {"xs": ["x", "y"]}))
    pause_run(run=run, actor=world.bob)
    driven(run)
    driven(resume_run(run=run, actor=world.bob))
    assert run.status == RunStatus.PAUSED
    cancel_run(run=run, actor=world.bob)
    driven(run)
    assert run.status == RunStatus.CANCELLED
    assert [item.status for item in items(run)] == ["cancelled", "cancelled"]
    assert set(statuses(run).values()) == {"cancelled"}


def test_a_driver_that_dies_in_the_middle_repeats_no_finished_item(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runs.services.execute_step import run_inline as real

    calls: list[tuple[str, str]] = []

    def die_at_third(work: Any) -> Any:
        calls.append((work.task.place.key, work.task.place.scope))
        if len([key for key, _ in calls if key == "b"]) == 3:
            raise SystemExit
        return real(work)

    nodes = [each(concurrency=1), text("b", "{{ item }}", parent="f")]
    run = started(world.bob, definition_of(nodes), {"xs": list("abcde")})
    monkeypatch.setattr("runs.services.drive_run.run_inline", die_at_third)
    with pytest.raises(SystemExit):
        driven(run)
    Run.objects.filter(pk=run.pk).update(lease_token="", lease_until=None)
    driven(run)
    assert run.status == RunStatus.COMPLETED, run.error
    assert [item.result["content"] for item in items(run)] == list("abcde")
    assert calls.count(("b", "f[0]")) == 1
    assert calls.count(("b", "f[2]")) == 2


@pytest.mark.django_db(transaction=True)
def test_a_prompt_for_each_item_asks_models_at_the_same_time(world: World) -> None:
    nodes = [
        each(prompt="Write about {{ item.name }}, number {{ index }}.", model="demo:writer", concurrency=5),
        text("after", "{{ steps.F.count }} of {{ steps.F.failed }}"),
    ]
    people = [{"name": name} for name in ("Ada", "Ben", "Cleo", "Dan", "Eve", "Fay", "Gus")]
    run = driven(started(world.bob, definition_of(nodes, "f>after"), {"xs": people}))
    assert run.status == RunStatus.COMPLETED, run.error
    found = items(run)
    assert [item.heading for item in found] == ["Ada", "Ben", "Cleo", "Dan", "Eve", "Fay", "Gus"]
    assert all(item.tokens > 0 and item.provider == "demo" for item in found)
    assert all(person["name"] in item.result["content"] for person, item in zip(people, found, strict=True))
    assert run.tokens == sum(item.tokens for item in found)
    begun = sorted(item.started_at for item in found)
    ended = sorted(item.completed_at for item in found)
    assert begun[4] < ended[0], "five at a time"
    assert begun[5] >= ended[0], "and not six"
    assert run.output == {"content": "7 of 0"}
