"""The planner on small graphs: joins and their losers, rewinds, deadlines, default decisions, disabled chains."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from runs.engine.commands import (
    CancelStep,
    CompleteWait,
    DecideByDefault,
    Failure,
    FinishRun,
    SkipStep,
    StartStep,
)
from runs.engine.graph import Graph, compile_graph
from runs.engine.planner import interrupted, plan, resting, rewind
from runs.engine.scopes import Place
from runs.engine.state import RunState, StepState
from runs.engine.statuses import Intent, RunStatus, Skip, StepStatus, Wait
from tests.workflows.definition.support import FakeCatalog
from workflows.definition.graph import (
    Definition,
    EdgeDef,
    ErrorChoice,
    ErrorPolicy,
    JoinKind,
    JoinRule,
    Losers,
    StepDef,
)

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
PAST, LATER = NOW - timedelta(seconds=1), NOW + timedelta(hours=1)
ANY = JoinRule(rule=JoinKind.ANY)
ANY_LEAVE = JoinRule(rule=JoinKind.ANY, losers=Losers.LEAVE)


def graph_of(paths: str, **steps: dict[str, Any]) -> Graph:
    """`paths` as "a>b c.true>d"; `steps` gives fields of some of the steps, the rest are plain ones."""
    edges: list[EdgeDef] = []
    keys: dict[str, None] = {}
    for pair in paths.split():
        source, _, target = pair.partition(">")
        source, _, port = source.partition(".")
        keys[source] = None
        if target:
            keys[target] = None
            edges.append(EdgeDef(id=f"{source}{target}", source=source, target=target, port=port or "out"))
    made = tuple(
        StepDef(key=key, label=key.upper(), order=number, **{"type": "llm", **steps.get(key, {})})
        for number, key in enumerate(keys)
    )
    return compile_graph(Definition(steps=made, edges=tuple(edges)), FakeCatalog())


def state_of(*steps: StepState, **fields: Any) -> RunState:
    return RunState(steps=steps, **fields)


def done(key: str, port: str = "out", **fields: Any) -> StepState:
    return StepState(key, status=StepStatus.COMPLETED, port=port, attempt=1, row=key, **fields)


def running(key: str, **fields: Any) -> StepState:
    return StepState(key, status=StepStatus.RUNNING, attempt=1, row=key, **fields)


def failed(key: str, port: str | None = None, **fields: Any) -> StepState:
    return StepState(key, status=StepStatus.FAILED, port=port, attempt=1, row=key, **fields)


def waiting(key: str, wait: Wait, due_at: datetime | None, **fields: Any) -> StepState:
    return StepState(key, status=StepStatus.WAITING, wait=wait, due_at=due_at, attempt=1, row=key, **fields)


def started(key: str, *inputs: str, attempt: int = 1, round: int = 0) -> StartStep:
    return StartStep(Place(key), round, attempt, inputs)


# --- joins ---------------------------------------------------------------------------------------


def test_the_first_branch_fires_an_any_join_and_the_others_are_cancelled() -> None:
    graph = graph_of("a>j b>x x>j j>z", j={"join": ANY})
    state = state_of(done("a"), running("b"))
    assert plan(graph, state, NOW) == (
        started("j", "aj"),
        CancelStep(Place("b"), 0),
        CancelStep(Place("x"), 0),
    )


def test_losers_that_may_finish_go_on_and_hold_the_run_open() -> None:
    graph = graph_of("a>j b>j", j={"join": ANY_LEAVE})
    assert plan(graph, state_of(done("a"), running("b")), NOW) == (started("j", "aj"),)
    assert plan(graph, state_of(done("a"), running("b"), done("j")), NOW) == ()
    assert plan(graph, state_of(done("a"), done("b"), done("j")), NOW) == (FinishRun(RunStatus.COMPLETED),)


def test_a_loser_that_may_finish_and_fails_fails_nothing() -> None:
    graph = graph_of("a>j b>j", j={"join": ANY_LEAVE})
    state = state_of(done("a"), failed("b"), done("j"))
    assert plan(graph, state, NOW) == (FinishRun(RunStatus.COMPLETED),)


def test_a_step_with_another_way_on_is_no_loser() -> None:
    graph = graph_of("a>j b>j b>other", j={"join": ANY})
    assert plan(graph, state_of(done("a"), running("b")), NOW) == (started("j", "aj"),)


@pytest.mark.parametrize(
    ("steps", "fires"),
    [
        ((done("a"),), False),
        ((done("a"), done("b")), True),
        ((done("a"), failed("b")), False),
    ],
)
def test_a_count_join_waits_for_that_many_sources(steps: tuple[StepState, ...], fires: bool) -> None:
    graph = graph_of("a>j b>j c>j", j={"join": JoinRule(rule=JoinKind.COUNT, count=2)})
    commands = plan(graph, state_of(*steps, running("c")), NOW)
    assert any(isinstance(c, StartStep) and c.place.key == "j" for c in commands) is fires


def test_two_paths_of_one_source_count_once() -> None:
    graph = graph_of("a>j b>j", j={"join": JoinRule(rule=JoinKind.COUNT, count=2)})
    twice = Definition(
        steps=graph.definition.steps,
        edges=(*graph.definition.edges, EdgeDef(id="aj2", source="a", target="j", port="out")),
    )
    graph = compile_graph(twice, FakeCatalog())
    assert plan(graph, state_of(done("a"), running("b")), NOW) == ()
    assert plan(graph, state_of(done("a"), done("b")), NOW) == (started("j", "aj", "bj", "aj2"),)


def test_a_count_join_that_cannot_be_met_any_more_is_skipped() -> None:
    graph = graph_of(
        "c.true>a c.false>b a>j b>j",
        c={"type": "condition"},
        j={"join": JoinRule(rule=JoinKind.COUNT, count=2)},
    )
    state = state_of(done("c", "true"), running("a"))
    assert set(plan(graph, state, NOW)) == {
        SkipStep(Place("b"), 0, Skip.BRANCH),
        SkipStep(Place("j"), 0, Skip.JOIN),
    }


@pytest.mark.parametrize("wait", [Wait.DELAY, Wait.RETRY, Wait.REVIEW])
def test_a_timer_that_is_due_when_its_race_is_lost_ends_its_step_once(wait: Wait) -> None:
    graph = graph_of("a>j b>j", j={"join": ANY})
    commands = plan(graph, state_of(done("a"), waiting("b", wait, PAST)), NOW)
    assert commands == (started("j", "aj"), CancelStep(Place("b"), 0))


# --- failures, deadlines, gates -------------------------------------------------------------------


def test_a_failure_holds_what_follows_until_the_rest_has_ended() -> None:
    graph = graph_of("a>b c>d")
    assert plan(graph, state_of(failed("a"), running("c")), NOW) == ()
    assert plan(graph, state_of(failed("a"), done("c")), NOW) == (
        FinishRun(RunStatus.FAILED, failed=(Place("a"),)),
    )


def test_a_timer_that_a_failure_holds_is_no_reason_to_look_again() -> None:
    graph = graph_of("a b c d")
    state = state_of(
        failed("a"), running("b"), waiting("c", Wait.RETRY, PAST), waiting("d", Wait.DELAY, LATER)
    )
    assert plan(graph, state, NOW) == ()
    assert resting(graph, state).wake_at == LATER


def test_a_run_out_of_time_cancels_what_is_open_and_a_retry_makes_it_again() -> None:
    graph = graph_of("a>b")
    state = state_of(done("a"), running("b"), deadline=PAST)
    assert plan(graph, state, NOW) == (
        CancelStep(Place("b"), 0),
        FinishRun(RunStatus.FAILED, failure=Failure.OUT_OF_TIME),
    )
    state = state_of(done("a"), running("b").but(status=StepStatus.CANCELLED))
    assert [(step.key, step.round) for step in rewind(graph, state, None).rounds] == [("b", 1)]


def test_a_deadline_wakes_a_run_that_only_waits_for_people() -> None:
    graph = graph_of("g", g={"type": "review"})
    rest = resting(graph, state_of(waiting("g", Wait.REVIEW, None), deadline=LATER))
    assert (rest.status, rest.wake_at) == (RunStatus.PAUSED, LATER)


def test_a_gate_that_is_due_decides_itself_but_not_while_a_person_holds_the_run() -> None:
    graph = graph_of("g>a", g={"type": "review"})
    gate = waiting("g", Wait.REVIEW, PAST)
    assert plan(graph, state_of(gate), NOW) == (DecideByDefault(Place("g"), 0),)
    assert plan(graph, state_of(gate, intent=Intent.PAUSE), NOW) == ()
    assert resting(graph, state_of(gate, intent=Intent.PAUSE)).wake_at is None


def test_while_a_person_holds_the_run_delays_complete_and_retries_wait() -> None:
    graph = graph_of("d r", d={"type": "delay"})
    state = state_of(waiting("d", Wait.DELAY, PAST), waiting("r", Wait.RETRY, PAST), intent=Intent.PAUSE)
    assert plan(graph, state, NOW) == (CompleteWait(Place("d"), 0),)
    state.intent = Intent.NONE
    assert plan(graph, state, NOW) == (CompleteWait(Place("d"), 0), started("r", attempt=2))


def test_a_filter_that_ends_the_run_cancels_what_is_open() -> None:
    graph = graph_of("f a", f={"type": "filter"})
    state = state_of(done("f", ends_run=True), running("a"))
    assert plan(graph, state, NOW) == (
        CancelStep(Place("a"), 0),
        FinishRun(RunStatus.COMPLETED, ended_by=Place("f")),
    )


# --- steps that are off, rewinds, crashes ---------------------------------------------------------


def test_a_chain_of_disabled_steps_is_passed_through() -> None:
    off = {"enabled": False}
    graph = graph_of("a>b b>c c>d", b=off, c=off)
    commands = plan(graph, state_of(done("a")), NOW)
    assert [c for c in commands if isinstance(c, SkipStep)] == [
        SkipStep(Place("b"), 0, Skip.OFF),
        SkipStep(Place("c"), 0, Skip.OFF),
    ]
    starts = [c for c in commands if isinstance(c, StartStep)]
    assert [c.place.key for c in starts] == ["d"]
    assert len(starts[0].inputs) == 1


def test_a_workflow_of_disabled_steps_alone_completes() -> None:
    graph = graph_of("a>b", a={"enabled": False}, b={"enabled": False})
    assert plan(graph, state_of(), NOW)[-1] == FinishRun(RunStatus.COMPLETED)


def test_a_dead_branch_skips_everything_to_the_join_behind_it() -> None:
    graph = graph_of("c.true>a c.false>b b>d a>m d>m", c={"type": "condition"})
    commands = plan(graph, state_of(done("c", "true"), done("a")), NOW)
    assert commands == (
        SkipStep(Place("b"), 0, Skip.BRANCH),
        SkipStep(Place("d"), 0, Skip.BRANCH),
        started("m", "am"),
    )


def test_a_rewind_takes_what_follows_and_has_begun_and_nothing_else() -> None:
    graph = graph_of("a>b b>c a>x c>z")
    state = state_of(done("a"), done("b"), failed("c"), done("x"))
    assert {step.key: step.round for step in rewind(graph, state, "b").rounds} == {"b": 1, "c": 1}
    assert {step.key for step in rewind(graph, state, None).rounds} == {"c"}


def test_after_a_rewind_a_join_waits_for_its_sources_again() -> None:
    graph = graph_of("a>j b>j")
    state = state_of(done("a"), done("b"), failed("j"))
    for step in rewind(graph, state, "a").rounds:
        state.put(step)
    assert plan(graph, state, NOW) == (started("a", round=1),)
    state.put(done("a", round=1))
    assert plan(graph, state, NOW) == (started("j", "aj", "bj", round=1),)


def test_steps_that_lost_a_race_stay_lost_in_a_retry() -> None:
    graph = graph_of("a>j b>j j>z", j={"join": ANY})
    state = state_of(done("a"), running("b").but(status=StepStatus.CANCELLED), done("j"), failed("z"))
    assert [step.key for step in rewind(graph, state, None).rounds] == ["z"]


def test_a_crash_makes_the_same_try_again_and_three_blame_the_step() -> None:
    found = interrupted(state_of(running("a"), running("b", crashes=2), done("c")), 3)
    assert [(entry.step.key, entry.step.attempt, entry.step.crashes, entry.blamed) for entry in found] == [
        ("a", 1, 1, False),
        ("b", 1, 3, True),
    ]
    state = state_of(*(entry.step for entry in found[:1]), done("b"))
    assert started("a") in plan(graph_of("a b"), state, NOW)


@pytest.mark.parametrize("status", [RunStatus.COMPLETED, RunStatus.CANCELLED, RunStatus.FAILED])
def test_a_run_that_is_over_wants_nothing(status: RunStatus) -> None:
    assert plan(graph_of("a>b"), state_of(done("a"), status=status), NOW) == ()


# --- all ways out at once ------------------------------------------------------------------------


def test_a_parallel_leaves_by_all_its_branches_but_not_by_the_one_for_failures() -> None:
    graph = graph_of(
        "p.one>a p.two>b p.error>c a>j b>j",
        p={
            "type": "parallel",
            "config": {"branches": [{"name": "one"}, {"name": "two"}]},
            "on_error": ErrorPolicy(ErrorChoice.ROUTE),
        },
    )
    assert graph.main_port("p") == "*"
    assert plan(graph, state_of(done("p", port="*")), NOW) == (
        started("a", "pa"),
        started("b", "pb"),
        SkipStep(Place("c"), 0, Skip.BRANCH),
    )
    assert started("c", "pc") in plan(graph, state_of(failed("p", port="error")), NOW)
    both = state_of(done("p", port="*"), done("a"), done("b"))
    assert started("j", "aj", "bj") in plan(graph, both, NOW)
