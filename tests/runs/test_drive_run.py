"""Runs from start to end on a real database: order, branches, joins, failures, retries, gates, control, crashes."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from runs.engine.statuses import RunStatus, StepStatus
from runs.models import Attempt, Event, Mail, Review, Run, StepRun
from runs.services.control_run import cancel_run, pause_run, resume_run, retry_run
from runs.services.decide_review import decide_early, decide_review
from runs.services.execute_step import run_inline
from runs.services.prepared import Prepared
from tests.runs.poison import Poison
from tests.runs.support import definition_of, driven, event_types, node, rows, started, statuses
from tests.support.factories import World, member
from workflows.lib.errors import Conflict, Invalid, NotAllowed
from workflows.tenancy.roles import Role

pytestmark = pytest.mark.django_db


def broken(key: str, **fields: Any) -> dict[str, Any]:
    """A step that fails: it works out a list of something that is no list."""
    return node(key, config={"mode": "expression", "expression": "input.missing + 1"}, **fields)


def gate(key: str, **config: Any) -> dict[str, Any]:
    return node(key, "review", config={"title": "Is it good?", **config})


def test_a_chain_runs_in_order_and_the_last_step_is_the_output(world: World) -> None:
    run = driven(
        started(world.bob, definition_of([node("a"), node("b"), node("c")], "a>b>c"), {"text": "hello"})
    )
    assert run.status == RunStatus.COMPLETED, run.error
    assert run.output == {"content": "c after b after a after hello"}
    assert event_types(run) == [
        "run_started",
        "progress",
        "completed",
        "progress",
        "completed",
        "progress",
        "completed",
        "run_completed",
        "done",
    ]
    assert (run.steps_total, run.steps_done) == (3, 3)
    assert run.lease_token == ""
    assert run.wake_at is None
    assert run.completed_at >= run.started_at


def test_a_condition_takes_one_branch_and_the_other_is_skipped(world: World) -> None:
    nodes = [
        node("c", "condition", config={"expression": "input.n > 3"}),
        node("yes"),
        node("no"),
        node("after"),
    ]
    definition = definition_of(nodes, "c:true>yes>after", "c:false>no>after")
    run = driven(started(world.bob, definition, {"n": 5}))
    assert run.status == RunStatus.COMPLETED, run.error
    assert statuses(run) == {"c": "completed", "yes": "completed", "no": "skipped", "after": "completed"}
    assert rows(run)["no"].skip_reason == "branch"
    assert run.output["content"].startswith("after after yes after")


def test_a_disabled_step_passes_its_input_through_and_its_row_says_off(world: World) -> None:
    nodes = [
        node("a"),
        node("b", enabled=False),
        node("c", config={"mode": "template", "template": "{{ previous }} and {{ steps.B }}"}),
    ]
    run = driven(started(world.bob, definition_of(nodes, "a>b>c"), {"x": 1}))
    assert run.status == RunStatus.COMPLETED, run.error
    assert rows(run)["b"].skip_reason == "off"
    assert run.output["content"] == 'a after {"x": 1} and a after {"x": 1}'


def test_parallel_branches_meet_in_a_merge(world: World) -> None:
    nodes = [node("a"), node("b"), node("c"), node("m", "merge", config={"mode": "text"})]
    run = driven(started(world.bob, definition_of(nodes, "a>b>m", "a>c>m"), {"x": 1}))
    assert run.status == RunStatus.COMPLETED, run.error
    assert "b after a" in run.output["content"]
    assert "c after a" in run.output["content"]


def test_a_failed_step_fails_the_run_and_names_itself(world: World) -> None:
    run = driven(started(world.bob, definition_of([node("a"), broken("b"), node("c")], "a>b>c"), {"x": 1}))
    assert run.status == RunStatus.FAILED
    assert run.error["step"] == "B"
    assert "missing" in run.error["message"]
    assert statuses(run) == {"a": "completed", "b": "failed"}
    assert rows(run)["b"].attempts.get().error["message"] == run.error["message"]
    assert event_types(run)[-3:] == ["error", "run_failed", "done"]


def test_a_failure_may_go_on_with_a_default_or_leave_by_the_error_port(world: World) -> None:
    nodes = [broken("a", on_error={"policy": "continue", "default": "nothing"}), node("b")]
    run = driven(started(world.bob, definition_of(nodes, "a>b"), {"x": 1}))
    assert (run.status, run.output) == (RunStatus.COMPLETED, {"content": "b after nothing"})
    nodes = [broken("a", on_error={"policy": "route"}), node("good"), node("bad")]
    run = driven(started(world.bob, definition_of(nodes, "a>good", "a:error>bad"), {"x": 1}))
    assert run.status == RunStatus.COMPLETED, run.error
    assert statuses(run) == {"a": "failed", "good": "skipped", "bad": "completed"}


def test_a_pending_step_runs_on_resume_though_its_successors_have_completed(world: World) -> None:
    """The seed case: progress is decided from state, never from a loop's position."""
    definition = definition_of([node("a"), node("b"), node("c")], "a>b>c")
    run = driven(started(world.bob, definition, {"x": 1}))
    StepRun.objects.filter(run=run, step_key="b").delete()
    Run.objects.filter(pk=run.pk).update(status=RunStatus.RUNNING, completed_at=None, output=None)
    driven(run)
    assert run.status == RunStatus.COMPLETED, run.error
    assert statuses(run) == {"a": "completed", "b": "completed", "c": "completed"}
    assert rows(run)["b"].output == {"content": 'b after a after {"x": 1}'}


def test_the_database_refuses_a_completed_step_without_output(world: World) -> None:
    run = driven(started(world.bob, definition_of([node("a")]), {"x": 1}))
    with pytest.raises(IntegrityError), transaction.atomic():
        StepRun.objects.filter(run=run).update(output=None)


def test_a_gate_pauses_the_run_and_its_approval_goes_on_with_the_edited_text(world: World) -> None:
    definition = definition_of([node("a"), gate("g"), node("b")], "a>g>b")
    run = driven(started(world.bob, definition, {"x": 1}))
    assert run.status == RunStatus.PAUSED
    assert run.waiting_for[0]["kind"] == "review"
    assert "G" in run.waiting_for[0]["sentence"]
    review = Review.objects.get(run=run)
    decide_review(review=review, actor=world.rita, decision="approve", comment="Fine", edited_text="better")
    driven(run)
    assert run.status == RunStatus.COMPLETED, run.error
    assert run.output == {"content": "b after better"}
    output = rows(run)["g"].output
    assert (output["decision"], output["comment"]) == ("approve", "Fine")
    assert output["original"] == 'a after {"x": 1}'
    assert "review_decided" in event_types(run)


def test_the_second_decision_is_told_who_was_first(world: World) -> None:
    run = driven(started(world.bob, definition_of([node("a"), gate("g")], "a>g"), {"x": 1}))
    review = Review.objects.get(run=run)
    decide_review(review=review, actor=world.rita, decision="approve")
    with pytest.raises(Conflict, match=str(world.rita.user)):
        decide_review(review=review, actor=world.alice, decision="reject")
    assert Mail.objects.filter(run=run).count() == 1


def test_a_rejection_without_a_path_fails_the_run_and_a_retry_asks_again(world: World) -> None:
    run = driven(started(world.bob, definition_of([node("a"), gate("g")], "a>g"), {"x": 1}))
    decide_review(review=Review.objects.get(run=run), actor=world.rita, decision="reject", comment="Too long")
    driven(run)
    assert run.status == RunStatus.FAILED
    assert "Too long" in run.error["message"]
    driven(retry_run(run=run, actor=world.bob))
    assert run.status == RunStatus.PAUSED
    assert rows(run)["g"].round == 1
    decide_review(
        review=Review.objects.get(run=run, status=Review.Status.OPEN), actor=world.rita, decision="approve"
    )
    assert driven(run).status == RunStatus.COMPLETED


def test_a_rejection_with_a_path_takes_it(world: World) -> None:
    definition = definition_of(
        [node("a"), gate("g"), node("ok"), node("no")], "a>g:approved>ok", "g:rejected>no"
    )
    run = driven(started(world.bob, definition, {"x": 1}))
    decide_review(review=Review.objects.get(run=run), actor=world.rita, decision="reject")
    driven(run)
    assert run.status == RunStatus.COMPLETED, run.error
    assert statuses(run) == {"a": "completed", "g": "completed", "ok": "skipped", "no": "completed"}


def test_only_the_named_people_may_decide(world: World) -> None:
    definition = definition_of([node("a"), gate("g", assignees=["role:admin"])], "a>g")
    run = driven(started(world.bob, definition, {"x": 1}))
    review = Review.objects.get(run=run)
    with pytest.raises(NotAllowed, match="admin"):
        decide_review(review=review, actor=world.rita, decision="approve")
    with pytest.raises(NotAllowed):
        decide_review(review=review, actor=world.vera, decision="approve")
    decide_review(review=review, actor=world.adam, decision="approve")
    assert driven(run).status == RunStatus.COMPLETED


def test_a_decision_that_came_before_its_gate_is_honoured(world: World) -> None:
    run = started(world.bob, definition_of([node("a"), gate("g"), node("b")], "a>g>b"), {"x": 1})
    decide_early(run=run, actor=world.rita, step_key="g", decision="approve", edited_text="early")
    driven(run)
    assert run.status == RunStatus.COMPLETED, run.error
    assert run.output == {"content": "b after early"}
    assert Review.objects.get(run=run).decided_by == world.rita.user
    with pytest.raises(Conflict):
        decide_early(run=run, actor=world.alice, step_key="g", decision="approve")


def test_yolo_approves_by_itself_and_says_so(world: World) -> None:
    run = driven(started(world.bob, definition_of([node("a"), gate("g")], "a>g"), {"x": 1}, yolo=True))
    assert run.status == RunStatus.COMPLETED, run.error
    assert rows(run)["g"].output["decision"] == "approve"
    assert not Review.objects.filter(run=run).exists()


def test_a_delay_gives_the_worker_back_and_goes_on_when_it_is_due(world: World) -> None:
    definition = definition_of(
        [node("a"), node("d", "delay", config={"duration": "2 days"}), node("b")], "a>d>b"
    )
    run = driven(started(world.bob, definition, {"x": 1}))
    assert run.status == RunStatus.RUNNING
    assert run.lease_token == ""
    assert timedelta(days=1, hours=23) < run.wake_at - timezone.now() < timedelta(days=2)
    assert "until" in run.waiting_for[0]["sentence"]
    driven(run)
    assert statuses(run) == {"a": "completed", "d": "waiting"}, "not before it is due"
    StepRun.objects.filter(run=run, step_key="d").update(due_at=timezone.now() - timedelta(seconds=1))
    driven(run)
    assert run.status == RunStatus.COMPLETED, run.error
    assert run.output["content"].startswith("b after a after")


def test_a_filter_that_does_not_hold_ends_the_run_as_completed(world: World) -> None:
    nodes = [node("a"), node("f", "filter", config={"expression": "input.n > 3"}), node("b")]
    run = driven(started(world.bob, definition_of(nodes, "a>f>b"), {"n": 1}))
    assert run.status == RunStatus.COMPLETED, run.error
    assert statuses(run) == {"a": "completed", "f": "completed"}
    assert run.output["content"].startswith("a after")


def test_a_paused_run_starts_nothing_and_goes_on_when_it_may(world: World) -> None:
    run = started(world.bob, definition_of([node("a"), node("b")], "a>b"), {"x": 1})
    pause_run(run=run, actor=world.bob)
    driven(run)
    assert run.status == RunStatus.PAUSED
    assert statuses(run) == {}
    assert "Bob" in run.waiting_for[0]["sentence"] or str(world.bob.user) in run.waiting_for[0]["sentence"]
    pause_run(run=run, actor=world.bob)
    driven(resume_run(run=run, actor=world.bob))
    assert run.status == RunStatus.COMPLETED, run.error
    assert [kind for kind in event_types(run) if kind in ("paused", "resumed")] == ["paused", "resumed"]


def test_a_cancelled_run_ends_and_keeps_what_was_done(world: World) -> None:
    run = driven(started(world.bob, definition_of([node("a"), gate("g"), node("b")], "a>g>b"), {"x": 1}))
    cancel_run(run=run, actor=world.bob)
    driven(run)
    assert run.status == RunStatus.CANCELLED
    assert statuses(run) == {"a": "completed", "g": "cancelled"}
    assert Review.objects.get(run=run).status == Review.Status.CANCELLED
    cancel_run(run=run, actor=world.bob)
    with pytest.raises(Conflict):
        retry_run(run=run, actor=world.bob)
    with pytest.raises(Conflict):
        decide_review(review=Review.objects.get(run=run), actor=world.rita, decision="approve")


def test_resume_at_a_gate_names_the_decision(world: World) -> None:
    run = driven(started(world.bob, definition_of([gate("g")]), {"x": 1}))
    with pytest.raises(Conflict, match="decide"):
        resume_run(run=run, actor=world.bob)


def test_a_retry_keeps_what_is_completed_and_runs_the_failed_step_again(world: World) -> None:
    definition = definition_of([node("a"), broken("b"), node("c")], "a>b>c")
    run = driven(started(world.bob, definition, {"x": 1}))
    before = rows(run)["a"].pk
    Run.objects.filter(pk=run.pk).update(input={"x": 1, "missing": 1})
    run.refresh_from_db()
    driven(retry_run(run=run, actor=world.bob))
    assert run.status == RunStatus.COMPLETED, run.error
    assert rows(run)["a"].pk == before
    assert rows(run)["b"].round == 1
    assert list(
        StepRun.objects.filter(run=run, step_key="b").order_by("round").values_list("status", flat=True)
    ) == [
        "failed",
        "completed",
    ]


def test_a_retry_from_a_chosen_step_runs_it_and_what_follows_again(world: World) -> None:
    definition = definition_of([node("a"), node("b"), broken("c")], "a>b>c")
    run = driven(started(world.bob, definition, {"x": 1}))
    with pytest.raises(Invalid, match="no step"):
        retry_run(run=run, actor=world.bob, from_step="nope")
    driven(retry_run(run=run, actor=world.bob, from_step="b"))
    assert {key: row.round for key, row in rows(run).items()} == {"a": 0, "b": 1, "c": 1}


def test_of_many_retries_one_revives_the_run(world: World) -> None:
    run = driven(started(world.bob, definition_of([broken("a")]), {"x": 1}))
    seen = [Run.objects.get(pk=run.pk) for _ in range(5)]
    for copy in seen:
        retry_run(run=copy, actor=world.bob)
    assert Mail.objects.filter(run=run).count() == 1


def test_a_step_that_was_running_when_its_driver_died_is_made_again_without_blame(world: World) -> None:
    run = started(world.bob, definition_of([node("a"), node("b")], "a>b"), {"x": 1})
    row = StepRun.objects.create(
        run=run,
        tenant=run.tenant,
        step_key="a",
        label="A",
        type="transform",
        status=StepStatus.RUNNING,
        attempt=1,
    )
    Attempt.objects.create(step_run=row, run=run, tenant=run.tenant, number=1)
    Run.objects.filter(pk=run.pk).update(
        status=RunStatus.RUNNING, lease_token="dead", lease_until=timezone.now() - timedelta(seconds=1)
    )
    driven(run)
    assert run.status == RunStatus.COMPLETED, run.error
    row.refresh_from_db()
    assert (row.attempt, row.crashes, row.status) == (1, 1, "completed")
    assert not row.attempts.get().counted


@pytest.mark.parametrize("tame", [False, True])
def test_who_has_stopped_two_workers_is_made_alone_and_only_its_own_death_blames_it(
    world: World, monkeypatch: pytest.MonkeyPatch, tame: bool
) -> None:
    """The poison and a step that stood beside it: the one dies in its child, the other completes in its own."""
    real, poison = Prepared.type_of, Poison()
    monkeypatch.setattr(
        Prepared, "type_of", lambda self, step: poison if step.key == "p" else real(self, step)
    )
    run = started(world.bob, definition_of([node("p"), node("a")], edges=[]), {"tame": tame})
    for key in ("p", "a"):
        StepRun.objects.create(
            run=run,
            tenant=run.tenant,
            step_key=key,
            label=key.title(),
            type="transform",
            status=StepStatus.RUNNING,
            attempt=1,
            crashes=1,
        )
    driven(run)
    found = rows(run)
    assert found["a"].status == "completed"
    if tame:
        assert run.status == RunStatus.COMPLETED, run.error
        assert found["p"].output["pid"] != os.getpid()
        return
    assert (run.status, run.error["code"]) == (RunStatus.FAILED, "crashed")
    assert "stopped 3 times in this step" in run.error["message"]
    assert "signal 9" in run.error["detail"]
    assert found["p"].crashes == 3


def test_what_takes_its_worker_along_again_and_again_fails_in_the_end(world: World) -> None:
    run = started(world.bob, definition_of([node("a")]), {"x": 1})
    StepRun.objects.create(
        run=run,
        tenant=run.tenant,
        step_key="a",
        label="A",
        type="transform",
        status=StepStatus.RUNNING,
        attempt=1,
        crashes=9,
    )
    driven(run)
    assert (run.status, run.error["code"]) == (RunStatus.FAILED, "crashed")


def test_a_live_lease_keeps_other_drivers_out(world: World) -> None:
    run = started(world.bob, definition_of([node("a")]), {"x": 1})
    Run.objects.filter(pk=run.pk).update(
        lease_token="mine", lease_until=timezone.now() + timedelta(seconds=20)
    )
    driven(run)
    assert run.status == RunStatus.PENDING
    assert statuses(run) == {}


def test_a_driver_whose_lease_has_passed_to_another_writes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = started(world.bob, definition_of([node("a"), node("b")], "a>b"), {"x": 1})
    real = run_inline

    def steal(work: Any) -> Any:
        Run.objects.filter(pk=run.pk).update(
            lease_token="other", lease_until=timezone.now() + timedelta(seconds=20)
        )
        return real(work)

    monkeypatch.setattr("runs.services.drive_run.run_inline", steal)
    driven(run)
    assert statuses(run) == {"a": "running"}, "the result of the late driver was not written"
    assert run.lease_token == "other"


def test_a_late_driver_whose_lease_nobody_took_goes_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    run = started(world.bob, definition_of([node("a"), node("b")], "a>b"), {"x": 1})
    real = run_inline

    def sleep_in(work: Any) -> Any:
        Run.objects.filter(pk=run.pk).update(lease_until=timezone.now() - timedelta(seconds=5))
        return real(work)

    monkeypatch.setattr("runs.services.drive_run.run_inline", sleep_in)
    assert driven(run).status == RunStatus.COMPLETED


@pytest.mark.parametrize(("intent", "status"), [("pause", RunStatus.PAUSED), ("cancel", RunStatus.CANCELLED)])
def test_nothing_starts_after_a_pause_or_cancel_has_committed(
    world: World, monkeypatch: pytest.MonkeyPatch, intent: str, status: RunStatus
) -> None:
    run = started(world.bob, definition_of([node("a"), node("b")], "a>b"), {"x": 1})
    real = run_inline

    def stop(work: Any) -> Any:
        if work.step.key == "a":
            fresh = Run.objects.get(pk=run.pk)
            (pause_run if intent == "pause" else cancel_run)(run=fresh, actor=world.bob)
        return real(work)

    monkeypatch.setattr("runs.services.drive_run.run_inline", stop)
    driven(run)
    assert run.status == status
    assert statuses(run)["a"] == "completed" if intent == "pause" else True
    assert "b" not in statuses(run)


def test_variables_are_set_and_seen_by_later_steps(world: World) -> None:
    nodes = [
        node("s", "set_variable", config={"variables": {"tone": "dry"}}),
        node("a", config={"mode": "template", "template": "{{ vars.tone }}"}),
    ]
    variables = [{"name": "tone", "type": "string", "kind": "context", "default_value": "warm"}]
    run = driven(started(world.bob, definition_of(nodes, "s>a", variables=variables), {"x": 1}))
    assert run.status == RunStatus.COMPLETED, run.error
    assert run.output == {"content": "dry"}
    assert "variable_set" in event_types(run)


def test_path_conditions_decide_paths_and_a_broken_one_fails_its_step(world: World) -> None:
    path = {"id": "p", "source_node_id": "a", "target_node_id": "b", "condition": "input.n > 3"}
    definition = definition_of([node("a"), node("b")], edges=[path])
    assert statuses(driven(started(world.bob, definition, {"n": 1}))) == {"a": "completed", "b": "skipped"}
    assert statuses(driven(started(world.bob, definition, {"n": 4}))) == {"a": "completed", "b": "completed"}
    run = driven(started(world.bob, definition, {"m": 4}))
    assert run.status == RunStatus.FAILED
    assert run.error["code"] == "path_condition"


def test_a_large_output_is_kept_beside_the_row_and_read_back(world: World) -> None:
    big = "x" * 400_000
    nodes = [
        node("a", config={"mode": "template", "template": "{{ input.text }}"}),
        node("b", config={"mode": "expression", "expression": "size(previous.content)"}),
    ]
    run = driven(started(world.bob, definition_of(nodes, "a>b"), {"text": big}))
    assert run.status == RunStatus.COMPLETED, run.error
    assert set(rows(run)["a"].output or {}) == {"$blob"}
    assert run.output == {"content": 400_000}


def test_the_same_idempotency_key_gives_the_same_run(world: World) -> None:
    from runs.services.start_run import start_run
    from tests.runs.support import version_of

    workflow = version_of(world.bob, definition_of([node("a")])).workflow
    workflow.refresh_from_db()
    first = start_run(workflow=workflow, actor=world.bob, input_data={"x": 1}, idempotency_key="k")
    assert start_run(workflow=workflow, actor=world.bob, input_data={"x": 1}, idempotency_key="k") == first
    with pytest.raises(Invalid, match="another body"):
        start_run(workflow=workflow, actor=world.bob, input_data={"x": 2}, idempotency_key="k")
    assert Run.objects.filter(workflow=workflow).count() == 1


def test_a_viewer_may_not_start_or_stop_a_run(world: World) -> None:
    definition = definition_of([node("a")])
    with pytest.raises(NotAllowed):
        started(world.vera, definition)
    run = started(world.bob, definition)
    for control in (pause_run, resume_run, cancel_run, retry_run):
        with pytest.raises(NotAllowed):
            control(run=run, actor=world.vera)


def test_a_tenant_at_its_share_waits_a_second(world: World) -> None:
    busy = started(world.bob, definition_of([node("a")]))
    waiting = started(world.bob, definition_of([node("a")]))
    world.tenant.max_running_runs = 1
    world.tenant.save()
    Run.objects.filter(pk=busy.pk).update(lease_token="x", lease_until=timezone.now() + timedelta(seconds=20))
    driven(waiting)
    assert waiting.status == RunStatus.PENDING
    assert waiting.wake_at > timezone.now()
    other = started(member(world.other, Role.EDITOR), definition_of([node("a")]))
    assert driven(other).status == RunStatus.COMPLETED


def test_events_of_a_run_have_no_gaps_whatever_happened(world: World) -> None:
    run = driven(started(world.bob, definition_of([node("a"), gate("g"), broken("b")], "a>g>b"), {"x": 1}))
    decide_review(review=Review.objects.get(run=run), actor=world.rita, decision="approve")
    driven(run)
    driven(retry_run(run=run, actor=world.bob))
    assert event_types(run).count("run_failed") == 2
    assert Event.objects.filter(run=run).count() == run.event_seq


def test_a_gate_that_is_due_takes_its_default_decision(world: World) -> None:
    definition = definition_of(
        [node("a"), gate("g", due="2 hours", default_decision="approve"), node("b")], "a>g>b"
    )
    run = driven(started(world.bob, definition, {"x": 1}))
    assert run.status == RunStatus.PAUSED
    assert timedelta(hours=1, minutes=59) < run.wake_at - timezone.now() < timedelta(hours=2)
    StepRun.objects.filter(run=run, step_key="g").update(due_at=timezone.now() - timedelta(seconds=1))
    driven(run)
    assert run.status == RunStatus.COMPLETED, run.error
    review = Review.objects.get(run=run)
    assert (review.status, review.decision, review.decided_by) == (Review.Status.DECIDED, "approve", None)


def test_a_gate_that_is_due_without_a_default_goes_on_waiting(world: World) -> None:
    run = driven(started(world.bob, definition_of([gate("g", due="2 hours")]), {"x": 1}))
    assert (run.status, run.wake_at) == (RunStatus.PAUSED, None)
    assert Review.objects.get(run=run).due_at is not None


def test_a_run_over_its_time_limit_fails_and_a_retry_gives_it_the_time_again(world: World) -> None:
    definition = definition_of([node("a"), gate("g")], "a>g", settings={"max_run_time_s": 60})
    run = driven(started(world.bob, definition, {"x": 1}))
    assert run.status == RunStatus.PAUSED
    assert run.wake_at == run.deadline_at
    Run.objects.filter(pk=run.pk).update(deadline_at=timezone.now() - timedelta(seconds=1))
    driven(run)
    assert (run.status, run.error["code"]) == (RunStatus.FAILED, "out_of_time")
    driven(retry_run(run=run, actor=world.bob))
    assert run.status == RunStatus.PAUSED
    assert run.deadline_at > timezone.now()
    assert statuses(run) == {"a": "completed", "g": "waiting"}


def test_a_gate_for_two_people_takes_two_votes_and_none_after(world: World) -> None:
    run = driven(started(world.bob, definition_of([node("a"), gate("g", quorum=2)], "a>g"), {"x": 1}))
    review = Review.objects.get(run=run)
    decide_review(review=review, actor=world.rita, decision="approve")
    with pytest.raises(Conflict, match="voted"):
        decide_review(review=review, actor=world.rita, decision="approve")
    assert driven(run).status == RunStatus.PAUSED
    decide_review(review=review, actor=world.alice, decision="approve")
    with pytest.raises(Conflict, match="decided this review"):
        decide_review(review=review, actor=world.adam, decision="approve")
    assert driven(run).status == RunStatus.COMPLETED


def test_a_gate_sent_back_may_be_decided_ahead_of_time_again(world: World) -> None:
    run = driven(started(world.bob, definition_of([node("a"), gate("g")], "a>g"), {"x": 1}))
    decide_review(review=Review.objects.get(run=run), actor=world.rita, decision="reject")
    driven(run)
    retry_run(run=run, actor=world.bob)
    drive_mail_only = Run.objects.get(pk=run.pk)
    pause_run(run=drive_mail_only, actor=world.bob)
    driven(run)
    decide_early(run=run, actor=world.rita, step_key="g", decision="approve")
    driven(resume_run(run=run, actor=world.bob))
    assert run.status == RunStatus.COMPLETED, run.error
