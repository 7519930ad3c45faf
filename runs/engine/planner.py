"""The planner: from the definition and the state of a run to what has to happen now. Total, deterministic, idempotent."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from runs.engine.commands import (
    CancelStep,
    Command,
    CompleteWait,
    DecideByDefault,
    Failure,
    FinishRun,
    SkipStep,
    StartStep,
)
from runs.engine.graph import Graph
from runs.engine.readiness import Ready, Verdict, has_fired, is_left_behind, readiness
from runs.engine.state import Place, RunState, StepState
from runs.engine.statuses import Intent, RunStatus, Skip, StepStatus, Wait
from workflows.definition.graph import Losers


def plan(
    graph: Graph, state: RunState, now: datetime, touched: Iterable[str] | None = None
) -> tuple[Command, ...]:
    """What has to happen now.

    `touched` names the steps that changed since the last plan was carried out: only they and what follows from them
    are looked at, so that the cost of a step does not grow with the run. None looks at everything; both answer the
    same for a state whose last plan was carried out (a property test holds them to it).

    1. A run that is over wants nothing. Cancelling ends every unfinished step and the run.
    2. A step that ends the run (a filter) ends every other unfinished step and the run, as completed.
    3. A run whose time is up ends every unfinished step and has failed.
    4. Delays that are due complete, also while paused; gates that are due take their default decision, if they have one.
    5. A failure that holds: nothing new starts; when nothing is running any more, the run has failed.
    6. In topological order: steps that are off or that no path can reach are skipped, ready ones started (not while
       paused), and where a join has fired, what can only lead to it is cancelled.
    7. When every step has come to an end, the run is completed.
    """
    if state.status.is_over:
        return ()
    if state.intent is Intent.CANCEL:
        return (*_cancel_rest(graph, state), FinishRun(RunStatus.CANCELLED))
    look = _all_keys(graph) if touched is None else _affected(graph, touched)
    for key in look:
        step = state.get(key)
        if step is not None and step.ends_run and step.status is StepStatus.COMPLETED:
            return (*_cancel_rest(graph, state), FinishRun(RunStatus.COMPLETED, ended_by=step.place))
    if state.deadline is not None and state.deadline <= now:
        return (*_cancel_rest(graph, state), FinishRun(RunStatus.FAILED, failure=Failure.OUT_OF_TIME))
    due = [step for step in state.waiting() if step.due_at is not None and step.due_at <= now]
    due.sort(key=lambda step: (step.due_at or now, step.key))
    timers: list[CompleteWait | DecideByDefault | StartStep] = [
        CompleteWait(step.place, step.round) for step in due if step.wait is Wait.DELAY
    ]
    holding = _holding(graph, state)
    if holding:
        if not state.busy and not timers:
            return (FinishRun(RunStatus.FAILED, failed=tuple(step.place for step in holding)),)
        return tuple(timers)
    if state.intent is not Intent.PAUSE:
        timers.extend(DecideByDefault(step.place, step.round) for step in due if step.wait is Wait.REVIEW)
        timers.extend(
            StartStep(step.place, step.round, step.attempt + 1, ()) for step in due if step.wait is Wait.RETRY
        )
    pass_ = _Pass(graph, state, starts_allowed=state.intent is not Intent.PAUSE)
    decided = pass_.run(look)
    # A timer that comes due in the moment in which its step loses a race: the race wins, a step ends once.
    lost = {command.place for command in decided if isinstance(command, CancelStep)}
    commands: list[Command] = [timer for timer in timers if timer.place not in lost]
    commands.extend(decided)
    if state.terminal + pass_.ended >= graph.total:
        commands.append(FinishRun(RunStatus.COMPLETED))
    elif not commands and not state.busy and not state.waiting() and touched is None and pass_.withheld == 0:
        # Cannot happen for a checked definition; if it ever does, the run says so instead of hanging.
        commands.append(FinishRun(RunStatus.FAILED, failure=Failure.STUCK))
    return tuple(commands)


@dataclass(frozen=True, slots=True)
class Rest:
    """Why a run rests: its status, when to look again (None: only when called), and the steps it waits for."""

    status: RunStatus
    wake_at: datetime | None
    waiting: tuple[StepState, ...]
    paused_by_person: bool = False


def resting(graph: Graph, state: RunState) -> Rest:
    """How a run that has nothing in flight rests (07 §4, run status).

    Paused: held by a person, or the only remaining work waits for people. Otherwise running, a lone timer included.
    A gate's own due date does not count as work. While paused by a person delays still complete, the rest is held;
    so it is while a failure holds the run and the last tries end.
    """
    waiting = sorted(state.waiting(), key=lambda step: graph.order.get(step.key, 0))
    paused = state.intent is Intent.PAUSE
    held = paused or bool(_holding(graph, state))
    timers = [
        step.due_at for step in waiting if step.due_at is not None and (step.wait is Wait.DELAY or not held)
    ]
    if state.deadline is not None:
        timers.append(state.deadline)
    wake_at = min(timers) if timers else None
    only_people = bool(waiting) and all(step.wait is Wait.REVIEW for step in waiting)
    status = RunStatus.PAUSED if paused or only_people else RunStatus.RUNNING
    return Rest(status, wake_at, tuple(waiting), paused_by_person=paused)


def rewind(graph: Graph, state: RunState, from_step: str | None) -> tuple[StepState, ...]:
    """New rounds for a retry: the failed steps and those that were cut short when the run's time was up; with
    `from_step` also that step and everything after it that has begun.

    Steps that have not begun need no new round: they are planned as ever. Old rounds stay as they were, and so do
    steps that lost a race.
    """
    keys = {step.key for step in state.failed_without_way_out()}
    lost = {key for losers in graph.losers.values() for key in losers}
    keys |= {step.key for step in state if step.status is StepStatus.CANCELLED and step.key not in lost}
    if from_step is not None:
        keys |= {from_step, *graph.definition.descendants(from_step)}
    rounds: list[StepState] = []
    for key in sorted(keys, key=lambda k: graph.order.get(k, 0)):
        step = state.get(key)
        if step is not None and (step.status is not StepStatus.PENDING):
            rounds.append(StepState(key=step.key, scope=step.scope, round=step.round + 1))
    return tuple(rounds)


@dataclass(frozen=True, slots=True)
class Interrupted:
    """A step that was running when its driver was lost; `blamed`: it has stopped its worker too often to try again."""

    step: StepState
    blamed: bool


def interrupted(state: RunState, crash_limit: int) -> tuple[Interrupted, ...]:
    """What becomes of steps that were running when their driver was lost: made again under the same number.

    The crash is counted on the step, not as a try; after `crash_limit` crashes the step is the suspect.
    """
    after: list[Interrupted] = []
    for step in sorted(state.running(), key=lambda s: s.place):
        crashes = step.crashes + 1
        again = step.but(status=StepStatus.QUEUED, crashes=crashes)
        after.append(Interrupted(again, blamed=crashes >= crash_limit))
    return tuple(after)


def _all_keys(graph: Graph) -> list[str]:
    return [*graph.off, *graph.order]


def _affected(graph: Graph, touched: Iterable[str]) -> list[str]:
    keys: dict[str, None] = {}
    for key in touched:
        keys[key] = None
        for edge in graph.outgoing(key):
            keys[edge.target] = None
    return list(keys)


def _holding(graph: Graph, state: RunState) -> list[StepState]:
    failed = state.failed_without_way_out()
    if not failed:
        return []
    return sorted(
        (step for step in failed if not is_left_behind(graph, step.key, state.get)),
        key=lambda step: step.place,
    )


def _cancel_rest(graph: Graph, state: RunState) -> list[Command]:
    """Cancel commands for every step that has begun and not ended; steps that never began need no row."""
    open_steps = [step for step in state if not step.status.is_terminal]
    open_steps.sort(key=lambda step: (graph.order.get(step.key, 0), step.scope))
    return [CancelStep(step.place, step.round) for step in open_steps]


class _Pass:
    """One sweep in topological order over the keys that may have changed; what it decides feeds what follows."""

    def __init__(self, graph: Graph, state: RunState, *, starts_allowed: bool) -> None:
        self.graph = graph
        self.state = state
        self.starts_allowed = starts_allowed
        self.overlay: dict[str, StepState] = {}
        self.ended = 0
        self.withheld = 0
        self.heap: list[tuple[int, str]] = []
        self.queued: set[str] = set()

    def run(self, keys: Iterable[str]) -> list[Command]:
        commands: list[Command] = []
        for key in keys:
            self._look_at(key)
        while self.heap:
            _, key = heapq.heappop(self.heap)
            self.queued.discard(key)
            commands.extend(self._decide(key))
        return commands

    def state_of(self, key: str) -> StepState | None:
        return self.overlay.get(key) or self.state.get(key)

    def _look_at(self, key: str) -> None:
        if key not in self.queued:
            self.queued.add(key)
            heapq.heappush(self.heap, (self.graph.order.get(key, -1), key))

    def _decide(self, key: str) -> list[Command]:
        now = self.state_of(key)
        if now is not None and now.status not in (StepStatus.PENDING, StepStatus.QUEUED):
            return self._cancel_losers(key) if key in self.graph.losers and has_fired(now) else []
        round_ = now.round if now is not None else 0
        place = Place(key)
        if key in self.graph.off:
            return self._skip(place, round_, Skip.OFF)
        if key not in self.graph.order:
            return []
        verdict = readiness(self.graph, key, self.state_of)
        if verdict is Verdict.WAIT:
            return []
        if verdict is Verdict.SKIP:
            reason = Skip.JOIN if len(self.graph.incoming(key)) > 1 else Skip.BRANCH
            return self._skip(place, round_, reason)
        assert isinstance(verdict, Ready)
        if self._is_lost(key):
            return self._cancel(place, round_)
        if not self.starts_allowed:
            self.withheld += 1
            return []
        # A queued step is made again under its number: the try before was cut short, or never got a slot.
        attempt = now.attempt if now is not None and now.status is StepStatus.QUEUED else 1
        attempt = max(attempt, 1)
        self.overlay[key] = StepState(key=key, round=round_, status=StepStatus.RUNNING, attempt=attempt)
        return [StartStep(place, round_, attempt, verdict.inputs), *self._cancel_losers(key)]

    def _skip(self, place: Place, round_: int, reason: Skip) -> list[Command]:
        self.overlay[place.key] = StepState(key=place.key, round=round_, status=StepStatus.SKIPPED)
        self.ended += 1
        self._look_after(place.key)
        return [SkipStep(place, round_, reason)]

    def _cancel(self, place: Place, round_: int) -> list[Command]:
        self.overlay[place.key] = StepState(key=place.key, round=round_, status=StepStatus.CANCELLED)
        self.ended += 1
        self._look_after(place.key)
        return [CancelStep(place, round_)]

    def _look_after(self, key: str) -> None:
        for edge in self.graph.outgoing(key):
            self._look_at(edge.target)

    def _is_lost(self, key: str) -> bool:
        """Whether a race that this step could only lead to is over, with losers cancelled."""
        return any(
            key in losers
            and self.graph.step(join).join.losers is Losers.CANCEL
            and has_fired(self.state_of(join))
            for join, losers in self.graph.losers.items()
        )

    def _cancel_losers(self, join: str) -> list[Command]:
        """When a racing join has fired, everything that can only lead to it is ended (unless it may finish)."""
        if join not in self.graph.losers or self.graph.step(join).join.losers is not Losers.CANCEL:
            return []
        commands: list[Command] = []
        for key in sorted(self.graph.losers[join], key=lambda k: self.graph.order[k]):
            loser = self.state_of(key)
            if loser is None or not loser.status.is_terminal:
                commands.extend(self._cancel(Place(key), loser.round if loser is not None else 0))
        return commands
