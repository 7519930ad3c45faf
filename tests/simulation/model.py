"""A model of the shell around the real planner: a database of committed states, drivers that may die at any commit.

Everything is decided by one seed, so a failing run is repeated by its number.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import assert_never

from runs.engine.commands import (
    CancelStep,
    Command,
    CompleteWait,
    DecideByDefault,
    FinishRun,
    SkipStep,
    StartStep,
)
from runs.engine.failures import GiveUp, GoOn, TryAgain, after_failure
from runs.engine.graph import Graph
from runs.engine.planner import interrupted, plan, resting, rewind
from runs.engine.state import Place, RunState, StepState
from runs.engine.statuses import Intent, RunStatus, StepStatus, Wait
from workflows.definition.graph import StepDef
from workflows.definition.retry import ONCE, RetryPolicy
from workflows.lib.errors import ErrorInfo

START = datetime(2026, 1, 1, tzinfo=UTC)
CRASH_LIMIT = 1_000


class Crash(Exception):
    """The process of the driver is gone: everything that was not committed is lost."""


@dataclass
class World:
    """The database and the outside world of one run."""

    graph: Graph
    seed: int
    crash_chance: float = 0.0
    rows: dict[tuple[Place, int], StepState] = field(default_factory=dict)
    outputs: dict[tuple[Place, int], dict[str, str]] = field(default_factory=dict)
    status: RunStatus = RunStatus.RUNNING
    intent: Intent = Intent.NONE
    now: datetime = START
    calls: dict[tuple[Place, int, int], int] = field(default_factory=dict)
    commits: int = 0
    starts_after_pause: int = 0

    def __post_init__(self) -> None:
        self.chance = random.Random(f"chance {self.seed}")

    # --- what the world answers: the same for the same step and try, whatever else happens ---

    def fate(self, step: StepDef, attempt: int, round_: int) -> random.Random:
        return random.Random(f"{self.seed}:{step.key}:{attempt}:{round_}")

    # --- the database ---

    def load(self) -> RunState:
        state = RunState(status=self.status, intent=self.intent)
        for (_, _), row in sorted(self.rows.items(), key=lambda entry: entry[0][1]):
            state.put(row)
        return state

    def may_crash(self) -> None:
        if self.chance.random() < self.crash_chance:
            raise Crash

    def commit(
        self, changed: list[StepState], outputs: dict[tuple[Place, int], dict[str, str]], status: RunStatus
    ) -> None:
        """All of it or nothing: a crash before it loses everything, a crash after it loses only memory."""
        self.may_crash()
        for step in changed:
            before = self.rows.get((step.place, step.round))
            if before is not None and before.status is StepStatus.COMPLETED:
                assert step == before, f"{step.key} was completed and then became {step.status}"
            newest = max((r for p, r in self.rows if p == step.place), default=0)
            assert step.round >= newest, "an old round was changed"
            self.rows[(step.place, step.round)] = step
        self.outputs.update(outputs)
        for (place, round_), step in self.rows.items():
            if step.status is StepStatus.COMPLETED:
                assert (place, round_) in self.outputs, f"{place.key} is completed without an output"
        self.status = status
        self.commits += 1
        self.may_crash()


class Driver:
    """One driver's life over a World, in the order of the real one: plan, commit, do, plan again."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.graph = world.graph
        self.state = world.load()
        self.in_flight: list[StartStep] = []

    def drive(self) -> None:
        lost = interrupted(self.state, CRASH_LIMIT)
        changed = [entry.step for entry in lost]
        for step in changed:
            self.state.put(step)
        if changed:
            self.world.commit(changed, {}, self.state.status)
        touched: set[str] | None = None
        while not self.state.status.is_over:
            commands = plan(self.graph, self.state, self.world.now, touched)
            assert plan(self.graph, self.state, self.world.now, touched) == commands, (
                "asked again it says the same"
            )
            if touched is not None:
                everything = plan(self.graph, self.state, self.world.now)
                assert set(everything) == set(commands), "what was not touched cannot matter"
            touched = set()
            if commands:
                touched |= self.apply(commands)
                continue
            if self.in_flight:
                at = self.world.chance.randrange(len(self.in_flight))
                touched |= self.finish(self.in_flight.pop(at))
                continue
            rest = resting(self.graph, self.state)
            self.world.status = rest.status
            assert rest.wake_at is not None or rest.waiting or rest.paused_by_person, (
                "a run that waits for nothing"
            )
            return

    def apply(self, commands: tuple[Command, ...]) -> set[str]:
        changed: list[StepState] = []
        outputs: dict[tuple[Place, int], dict[str, str]] = {}
        status = self.state.status
        started: list[StartStep] = []
        for command in commands:
            match command:
                case StartStep():
                    assert self.state.intent is Intent.NONE, "started while held"
                    before = self.state.get(*command.place)
                    crashes = before.crashes if before is not None else 0
                    changed.append(
                        StepState(
                            key=command.place.key,
                            round=command.round,
                            status=StepStatus.RUNNING,
                            attempt=command.attempt,
                            crashes=crashes,
                            row=1,
                        )
                    )
                    started.append(command)
                case SkipStep():
                    changed.append(
                        StepState(
                            key=command.place.key, round=command.round, status=StepStatus.SKIPPED, row=1
                        )
                    )
                case CancelStep():
                    changed.append(
                        StepState(
                            key=command.place.key, round=command.round, status=StepStatus.CANCELLED, row=1
                        )
                    )
                case CompleteWait():
                    step = self.state.get(*command.place)
                    assert step is not None
                    assert step.due_at is not None
                    assert step.due_at <= self.world.now, "a delay fired early"
                    changed.append(self.completed(step, outputs))
                case DecideByDefault():
                    raise AssertionError("no gate of the simulator has a date")
                case FinishRun():
                    status = command.status
                    assert command.failure is None, "the run is stuck"
                case _:
                    assert_never(command)
        self.world.commit(changed, outputs, status)
        for step in changed:
            self.state.put(step)
        self.state.status = status
        gone = {step.place for step in changed if step.status is StepStatus.CANCELLED}
        self.in_flight = [flight for flight in self.in_flight if flight.place not in gone] + started
        return {step.key for step in changed}

    def completed(self, step: StepState, outputs: dict[tuple[Place, int], dict[str, str]]) -> StepState:
        definition = self.graph.step(step.key)
        fate = self.world.fate(definition, 0, step.round)
        ports = ("true", "false") if definition.type == "condition" else (self.graph.main_port(step.key),)
        edges = {edge.id: fate.random() < 0.7 for edge in self.graph.outgoing(step.key) if edge.condition}
        outputs[(step.place, step.round)] = {"content": f"{step.key} {step.round}"}
        return step.but(
            status=StepStatus.COMPLETED,
            port=fate.choice(ports),
            edges=edges,
            wait=Wait.NONE,
            due_at=None,
            ends_run=definition.type == "filter" and fate.random() < 0.3,
        )

    def finish(self, start: StartStep) -> set[str]:
        """The outside world answers one call."""
        step = self.state.get(*start.place)
        assert step is not None
        if (
            step.status is not StepStatus.RUNNING
            or step.attempt != start.attempt
            or step.round != start.round
        ):
            return set()
        definition = self.graph.step(step.key)
        called = (start.place, start.round, start.attempt)
        self.world.calls[called] = self.world.calls.get(called, 0) + 1
        fate = self.world.fate(definition, start.attempt, start.round)
        outputs: dict[tuple[Place, int], dict[str, str]] = {}
        draw = fate.random()
        if definition.type == "delay":
            after = step.but(
                status=StepStatus.WAITING,
                wait=Wait.DELAY,
                due_at=self.world.now + timedelta(seconds=fate.randint(1, 90)),
            )
        elif definition.type == "review":
            after = step.but(status=StepStatus.WAITING, wait=Wait.REVIEW)
        elif draw < 0.25 and definition.type != "filter":
            after = self.failed(step, definition, retryable=draw < 0.2, outputs=outputs)
        else:
            after = self.completed(step, outputs)
        self.world.commit([after], outputs, self.state.status)
        self.state.put(after)
        return {step.key}

    def failed(
        self,
        step: StepState,
        definition: StepDef,
        *,
        retryable: bool,
        outputs: dict[tuple[Place, int], dict[str, str]],
    ) -> StepState:
        policy: RetryPolicy = definition.retry or ONCE
        after = after_failure(
            definition,
            policy,
            ErrorInfo("server", "failed", retryable=retryable),
            attempt=step.attempt,
            now=self.world.now,
            main_port=self.graph.main_port(step.key),
            seed="",
        )
        match after:
            case TryAgain():
                assert after.attempt <= policy.max_attempts
                return step.but(status=StepStatus.WAITING, wait=Wait.RETRY, due_at=after.at)
            case GoOn():
                outputs[(step.place, step.round)] = {"content": "default"}
                edges = {edge.id: True for edge in self.graph.outgoing(step.key) if edge.condition}
                return step.but(status=StepStatus.FAILED, port=after.port, edges=edges)
            case GiveUp():
                return step.but(status=StepStatus.FAILED, port=None)
            case _:
                assert_never(after)


def decide_gates(world: World) -> bool:
    """A person decides every gate that waits, by the seed."""
    decided = False
    state = world.load()
    driver = Driver(world)
    for step in state.waiting():
        if step.wait is Wait.REVIEW:
            outputs: dict[tuple[Place, int], dict[str, str]] = {}
            done = driver.completed(step, outputs)
            world.rows[(done.place, done.round)] = done
            world.outputs.update(outputs)
            decided = True
    return decided


def run_to_end(world: World, *, retries: int = 3, deadline: int = 10_000) -> World:
    """Drive, crash, drive again, decide gates, let time pass and retry failures, until the run is over."""
    for _ in range(deadline):
        try:
            Driver(world).drive()
        except Crash:
            continue
        if world.status in (RunStatus.COMPLETED, RunStatus.CANCELLED):
            return world
        if world.status is RunStatus.FAILED:
            if retries == 0:
                return world
            retries -= 1
            state = world.load()
            for fresh in rewind(world.graph, state, None):
                world.rows[(fresh.place, fresh.round)] = fresh.but(row=1)
            world.status = RunStatus.PENDING
            continue
        if decide_gates(world):
            continue
        wake_at = resting(world.graph, world.load()).wake_at
        assert wake_at is not None, "nothing will ever wake this run"
        world.now = max(world.now, wake_at)
    raise AssertionError("the run does not end")
