"""A run that is over done again: what is reused, what runs, with other settings, input or version; the origin stays."""

from __future__ import annotations

from typing import Any

import pytest

from runs.models import Event, Item, Run, StepRun
from runs.services.control_run import cancel_run
from runs.services.replay_run import adopt_as_draft, replay_run
from tests.api.support import Api
from tests.runs.support import definition_of, driven, event_types, node, rows, started
from tests.runs.test_drive_items import each, failing, items, text
from tests.support.factories import World
from workflows.definition.operations import update_step
from workflows.lib.errors import Conflict, Invalid
from workflows.models import WorkflowVersion
from workflows.services.drafts import apply_operation, compile_draft, save_draft
from workflows.steps.catalog import CATALOG
from workflows.tenancy.models import AuditEntry

pytestmark = pytest.mark.django_db

CHAIN = [
    text("a", "A of {{ input.idea }}"),
    text("b", "B of {{ previous }}"),
    text("c", "C of {{ steps.B }} in {{ input.idea }}"),
]


def chain(world: World, **more: Any) -> Run:
    run = driven(started(world.bob, definition_of(CHAIN, "a>b>c", **more), {"idea": "tea"}))
    assert run.status == "completed", run.error
    return run


def said(run: Run) -> dict[str, Any]:
    return {key: (row.output or {}).get("content") for key, row in rows(run).items()}


def reused(run: Run) -> set[str]:
    return {key for key, row in rows(run).items() if row.reused}


def test_from_a_step_with_another_prompt_keeps_what_stands_before(world: World) -> None:
    origin = chain(world)
    before = list(StepRun.objects.filter(run=origin).order_by("pk").values())
    again = driven(
        replay_run(run=origin, actor=world.bob, config_overrides={"b": {"template": "Bee of {{ previous }}"}})
    )
    assert said(again) == {"a": "A of tea", "b": "Bee of A of tea", "c": "C of Bee of A of tea in tea"}
    assert reused(again) == {"a"}
    assert (again.kind, again.origin_id, again.from_step) == ("replay", origin.pk, "b")
    assert again.version.number is None
    assert list(StepRun.objects.filter(run=origin).order_by("pk").values()) == before
    assert event_types(again)[0] == "run_started"
    # A replay of the replay keeps the other prompt, and what it changed is told as one.
    third = driven(
        replay_run(run=again, actor=world.bob, config_overrides={"c": {"template": "Sea of {{ previous }}"}})
    )
    assert reused(third) == {"a", "b"}
    assert third.overrides.keys() == {"b", "c"}
    assert third.output == {"content": "Sea of Bee of A of tea"}


def test_edited_input_with_upstream_outputs_kept_and_everything_without_a_step(world: World) -> None:
    origin = chain(world)
    kept = driven(replay_run(run=origin, actor=world.bob, from_step="c", input_data={"idea": "rye"}))
    assert reused(kept) == {"a", "b"}
    assert kept.output == {"content": "C of B of A of tea in rye"}
    whole = driven(replay_run(run=origin, actor=world.bob, input_data={"idea": "rye"}))
    assert reused(whole) == set()
    assert whole.output == {"content": "C of B of A of rye in rye"}
    assert driven(replay_run(run=origin, actor=world.bob)).output == origin.output


def test_failed_and_cancelled_runs_go_on_from_what_they_had(world: World) -> None:
    nodes = [
        text("a", "A"),
        node("b", config={"mode": "expression", "expression": "input.missing"}),
        text("c", "C"),
    ]
    origin = driven(started(world.bob, definition_of(nodes, "a>b>c")))
    assert origin.status == "failed"
    again = driven(
        replay_run(run=origin, actor=world.bob, config_overrides={"b": {"expression": "'mended'"}})
    )
    assert again.status == "completed", again.error
    assert reused(again) == {"a"}
    assert driven(origin).status == "failed", "the origin stays as it was"
    held = driven(
        started(world.bob, definition_of([text("a", "A"), node("g", "review"), text("c", "C")], "a>g>c"))
    )
    cancel_run(run=held, actor=world.bob)
    assert driven(held).status == "cancelled"
    again = driven(replay_run(run=held, actor=world.bob, from_step="g"))
    assert (again.status, reused(again)) == ("paused", {"a"})
    with pytest.raises(Conflict, match="paused"):
        replay_run(run=again, actor=world.bob)


def test_a_step_inside_a_container_runs_again_in_every_item(world: World) -> None:
    nodes = [
        each(),
        text("one", "one {{ item }}", parent="f"),
        text("two", "two {{ previous }}", parent="f"),
        text("after", "{{ steps.F.count }}: {{ steps.F }}"),
    ]
    origin = driven(started(world.bob, definition_of(nodes, "one>two", "f>after"), {"xs": ["p", "q"]}))
    assert origin.status == "completed", origin.error
    again = driven(
        replay_run(run=origin, actor=world.bob, config_overrides={"two": {"template": "TWO {{ previous }}"}})
    )
    assert again.status == "completed", again.error
    assert [item.result["content"] for item in items(again)] == ["TWO one p", "TWO one q"]
    of_two = StepRun.objects.filter(run=again, step_key="two").values_list("reused", flat=True)
    of_one = StepRun.objects.filter(run=again, step_key="one").values_list("reused", flat=True)
    assert (list(of_two), list(of_one)) == ([False, False], [True, True])
    # A container that is left alone comes along whole.
    kept = driven(replay_run(run=origin, actor=world.bob, from_step="after"))
    assert kept.output == origin.output
    assert [item.reused for item in items(kept)] == [True, True]
    assert Item.objects.filter(run=origin).count() == 2


def test_a_failed_container_keeps_its_finished_items(world: World) -> None:
    nodes = [each(), text("one", "one {{ item }}", parent="f"), failing("b", parent="f")]
    origin = driven(started(world.bob, definition_of(nodes, "one>b"), {"xs": [1, 20, 3]}))
    assert origin.status == "failed"
    again = driven(
        replay_run(run=origin, actor=world.bob, input_data={"xs": [1, 20, 3], "missing": 7}, from_step="b")
    )
    assert again.status == "completed", again.error
    assert StepRun.objects.filter(run=again, step_key="one", reused=True).count() == 3


def test_the_draft_as_version_runs_only_what_differs_and_adopting_writes_it(world: World) -> None:
    definition = definition_of(CHAIN, "a>b>c")
    origin = chain(world)
    workflow = origin.workflow
    save_draft(workflow=workflow, definition=definition, actor=world.bob)
    apply_operation(
        workflow=workflow,
        actor=world.bob,
        operation=lambda draft: update_step(
            draft, "c", CATALOG, config={"mode": "template", "template": "draft"}
        ),
    )
    origin.refresh_from_db()
    again = driven(replay_run(run=origin, actor=world.bob, version="draft"))
    assert (reused(again), again.output) == ({"a", "b"}, {"content": "draft"})
    with pytest.raises(Conflict, match="nothing to adopt"):
        adopt_as_draft(run=again, actor=world.bob)
    what_if = driven(replay_run(run=origin, actor=world.bob, config_overrides={"b": {"template": "what if"}}))
    assert compile_draft(workflow).step("b").config["template"] == "B of {{ previous }}"
    before = Run.objects.get(pk=origin.pk).workflow.revision
    after = adopt_as_draft(run=Run.objects.get(pk=what_if.pk), actor=world.bob)
    assert after.revision == before + 1
    draft = compile_draft(workflow)
    assert draft.step("b").config["template"] == "what if"
    assert draft.step("c").config["template"] == "draft", "what others changed stays"
    assert AuditEntry.objects.filter(action="adopted").count() == 1


def test_what_cannot_be_done_names_step_and_setting(world: World) -> None:
    origin = chain(world)
    with pytest.raises(Invalid, match="no step “zz”"):
        replay_run(run=origin, actor=world.bob, from_step="zz")
    with pytest.raises(Invalid) as caught:
        replay_run(run=origin, actor=world.bob, config_overrides={"b": {"promt": "x"}})
    assert (caught.value.problems[0].step, caught.value.problems[0].field) == ("b", "promt")
    with pytest.raises(Invalid, match="cannot be run"):
        replay_run(run=origin, actor=world.bob, config_overrides={"b": {"template": "{{ steps.Nope }}"}})
    assert not Run.objects.filter(origin=origin).exists()
    assert not WorkflowVersion.objects.filter(workflow=origin.workflow, number=None).exists()


def test_a_replay_of_a_test_run_sends_nothing_out_either(world: World) -> None:
    origin = driven(started(world.bob, definition_of(CHAIN, "a>b>c"), {"idea": "tea"}, test=True))
    assert replay_run(run=origin, actor=world.bob).kind == "test"
    assert replay_run(run=origin, actor=world.bob, test=False).kind == "replay"


def test_over_the_api(world: World) -> None:
    origin = chain(world)
    api = Api(world.bob)
    answer = api.post(
        f"/workflow-executions/{origin.pk}/replay",
        {"from_step": "b", "config_overrides": {"b": {"template": "API"}}, "breakpoints": []},
    )
    assert answer.status_code == 202, answer.content
    body = answer.json()
    assert (body["origin"], body["from_step"], body["kind"]) == (str(origin.pk), "b", "replay")
    assert body["config_overrides"] == {"b": {"template": "API"}}
    assert [row["reused"] for row in body["execution_trace"]] == [True]
    assert Event.objects.get(run_id=body["id"], seq=1).data["reused"] == 1
    wrong = api.post(f"/workflow-executions/{origin.pk}/replay", {"from_step": "nope"})
    assert wrong.status_code == 422
