"""A model of the shell around the real planner: a database of committed states, drivers that may die at any commit.

Everything is decided by one seed, so a failing run is repeated by its number.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import assert_never

from runs.engine.commands import (
    CancelStep,
    CloseContainer,
    Command,
    CompleteWait,
    DecideByDefault,
    EndItem,
    FinishRun,
    MoreItems,
    OpenItem,
    SkipStep,
    StartStep,
)
from runs.engine.failures import GiveUp, GoOn, TryAgain, after_failure
from runs.engine.graph import Graph
from runs.engine.items import ItemRules, Items, ItemState, ItemStatus, Tolerance
from runs.engine.planner import Rewind, interrupted, plan, resting, rewind
from runs.engine.scopes import ItemPlace, Place
from runs.engine.state import RunState, StepState
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
    orderly: bool = False
    rows: dict[tuple[Place, int], StepState] = field(default_factory=dict)
    outputs: dict[tuple[Place, int], dict[str, str]] = field(default_factory=dict)
    status: RunStatus = RunStatus.RUNNING
    intent: Intent = Intent.NONE
    now: datetime = START
    calls: dict[tuple[Place, int, int], int] = field(default_factory=dict)
    items: dict[tuple[Place, int], tuple[ItemRules, dict[int, ItemState]]] = field(default_factory=dict)
    commits: int = 0
    starts_after_pause: int = 0

    def __post_init__(self) -> None:
        self.chance = random.Random(f"chance {self.seed}")

    # --- what the world answers: the same for the same step and try, whatever else happens ---

    def fate(self, step: StepDef, attempt: int, round_: int, scope: str = "") -> random.Random:
        return random.Random(f"{self.seed}:{step.key}:{scope}:{attempt}:{round_}")

    # --- the database ---

    def load(self) -> RunState:
        state = RunState(status=self.status, intent=self.intent)
        for (_, _), row in sorted(self.rows.items(), key=lambda entry: entry[0][1]):
            state.put(row)
        for (place, round_), (rules, items) in sorted(self.items.items(), key=lambda entry: entry[0][1]):
            current = state.get(*place)
            if current is not None and current.round == round_:
                state.put_items(Items.of(place, rules, items.values()))
        return state

    def may_crash(self) -> None:
        if self.chance.random() < self.crash_chance:
            raise Crash

    def commit(
        self,
        changed: list[StepState],
        outputs: dict[tuple[Place, int], dict[str, str]],
        status: RunStatus,
        items: Iterable[tuple[Place, int, ItemState]] = (),
        rules: Iterable[tuple[Place, int, ItemRules]] = (),
        *,
        also: Callable[[], None] | None = None,
        anew: bool = False,
    ) -> None:
        """All of it or nothing: a crash before it loses everything, a crash after it loses only memory.

        `also` changes what else the database holds. `anew`: completed items begin again, as somebody asked.
        """
        self.may_crash()
        if also is not None:
            also()
        for container, round_, new_rules in rules:
            self.items[(container, round_)] = (new_rules, self.items.get((container, round_), (None, {}))[1])
        for container, round_, item in items:
            known = self.items[(container, round_)][1]
            before_item = known.get(item.index)
            if before_item is not None and before_item.status is ItemStatus.COMPLETED and not anew:
                assert item == before_item, "a completed item changed"
            known[item.index] = item
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
        # What the next commit writes besides.
        self.also: Callable[[], None] | None = None

    def drive(self) -> None:
        lost = interrupted(self.state, CRASH_LIMIT)
        changed = [entry.step for entry in lost]
        for step in changed:
            self.state.put(step)
        if changed:
            self.world.commit(changed, {}, self.state.status)
        touched: set[Place] | None = None
        while not self.state.status.is_over:
            if self.hears():
                touched = None
            commands = plan(self.graph, self.state, self.world.now, touched)
            assert plan(self.graph, self.state, self.world.now, touched) == commands, (
                "asked again it says the same"
            )
            if touched is not None:
                everything = plan(self.graph, self.state, self.world.now)
                assert Counter(everything) == Counter(commands), (
                    f"what was not touched cannot matter: {commands} but {everything}"
                )
            touched = set()
            commands = self.held(commands)
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

    def hears(self) -> bool:
        """Read mail; whether everything has to be looked at again."""
        return False

    def held(self, commands: tuple[Command, ...]) -> tuple[Command, ...]:
        """What may be done of what is planned."""
        return commands

    def apply(self, commands: tuple[Command, ...]) -> set[Place]:
        changed: list[StepState] = []
        outputs: dict[tuple[Place, int], dict[str, str]] = {}
        items: list[tuple[Place, int, ItemState]] = []
        rules: list[tuple[Place, int, ItemRules]] = []
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
                            scope=command.place.scope,
                            round=command.round,
                            status=StepStatus.RUNNING,
                            attempt=command.attempt,
                            crashes=crashes,
                            row=1,
                        )
                    )
                    started.append(command)
                case SkipStep():
                    changed.append(self.bare(command.place, command.round, StepStatus.SKIPPED))
                case CancelStep():
                    changed.append(self.bare(command.place, command.round, StepStatus.CANCELLED))
                case CompleteWait():
                    step = self.state.get(*command.place)
                    assert step is not None
                    assert step.due_at is not None
                    assert step.due_at <= self.world.now, "a delay fired early"
                    changed.append(self.completed(step, outputs))
                case DecideByDefault():
                    raise AssertionError("no gate of the simulator has a date")
                case OpenItem():
                    items.append(self.item(command.item, ItemStatus.RUNNING))
                    self.check_slots(command.item, items)
                case EndItem():
                    items.append(self.item(command.item, _end_of(command)))
                case MoreItems():
                    found = self.state.items(command.place)
                    assert found is not None
                    fate = random.Random(f"{self.world.seed}:{command.place}:{len(found.items)}")
                    if len(found.items) < 5 and fate.random() < 0.6:
                        items.append((command.place, command.round, ItemState(len(found.items))))
                    else:
                        rules.append((command.place, command.round, replace(found.rules, more=False)))
                case CloseContainer():
                    step = self.state.get(*command.place)
                    assert step is not None
                    done = self.items_after(command.place, items)
                    assert all(item.status.is_terminal for item in done.values()), "closed over open items"
                    if command.failed:
                        changed.append(
                            self.failed(step, self.graph.step(step.key), retryable=False, outputs=outputs)
                        )
                    else:
                        changed.append(self.completed(step, outputs))
                case FinishRun():
                    status = command.status
                    assert command.failure is None, "the run is stuck"
                case _:
                    assert_never(command)
        self.world.commit(changed, outputs, status, items, rules, also=self.also)
        self.also = None
        for place, _, new_rules in rules:
            found = self.state.items(place)
            assert found is not None
            self.state.put_items(Items.of(place, new_rules, found.items))
        for place, _, item in items:
            self.state.put_item(place, item)
        for step in changed:
            self.state.put(step)
        self.state.status = status
        gone = {step.place for step in changed if step.status is StepStatus.CANCELLED}
        self.in_flight = [flight for flight in self.in_flight if flight.place not in gone] + started
        touched = {step.place for step in changed}
        return touched | {place for place, _, _ in (*items, *rules)} | _roots(self.graph, items)

    def bare(self, place: Place, round_: int, status: StepStatus) -> StepState:
        return StepState(key=place.key, scope=place.scope, round=round_, status=status, row=1)

    def item(self, place: ItemPlace, status: ItemStatus) -> tuple[Place, int, ItemState]:
        container = self.state.get(*place.container)
        found = self.state.items(place.container)
        assert container is not None
        assert found is not None
        assert not found.items[place.index].status.is_terminal, "an item ended twice"
        return place.container, container.round, found.items[place.index].but(status=status)

    def items_after(
        self, container: Place, changes: list[tuple[Place, int, ItemState]]
    ) -> dict[int, ItemState]:
        found = self.state.items(container)
        assert found is not None
        after = {item.index: item for item in found.items}
        after.update({item.index: item for place, _, item in changes if place == container})
        return after

    def check_slots(self, opened: ItemPlace, changes: list[tuple[Place, int, ItemState]]) -> None:
        found = self.state.items(opened.container)
        assert found is not None
        after = self.items_after(opened.container, changes)
        running = [index for index, item in after.items() if item.status is ItemStatus.RUNNING]
        working = [index for index in running if not self.state.is_parked(ItemPlace(opened.container, index))]
        assert len(working) <= found.rules.concurrency, "more items at work than there are slots"
        if found.rules.in_order:
            assert running == [opened.index], "a loop does one after the other"

    def completed(self, step: StepState, outputs: dict[tuple[Place, int], dict[str, str]]) -> StepState:
        definition = self.graph.step(step.key)
        fate = self.world.fate(definition, 0, step.round, step.scope)
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

    def finish(self, start: StartStep) -> set[Place]:
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
        fate = self.world.fate(definition, start.attempt, start.round, start.place.scope)
        outputs: dict[tuple[Place, int], dict[str, str]] = {}
        draw = fate.random()
        if definition.type in ("loop", "fan_out"):
            return self.open(step, definition, fate)
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
        return {step.place}

    def open(self, step: StepState, definition: StepDef, fate: random.Random) -> set[Place]:
        """A container tells its items."""
        loop = definition.type == "loop"
        count = fate.choice([0, 1, 2, 3, 5])
        rules = ItemRules(
            concurrency=1 if loop else fate.randint(1, 3),
            tolerance=fate.choice(
                [Tolerance(), Tolerance(number=1), Tolerance(percent=50), Tolerance(percent=100)]
            ),
            needed=None if loop or fate.random() < 0.7 or self.world.orderly else fate.randint(1, 3),
            in_order=loop,
            more=loop and fate.random() < 0.5,
        )
        items = [ItemState(index) for index in range(count)]
        after = step.but(wait=Wait.ITEMS)
        self.world.commit(
            [after],
            {},
            self.state.status,
            [(step.place, step.round, item) for item in items],
            [(step.place, step.round, rules)],
        )
        self.state.put(after)
        self.state.put_items(Items.of(step.place, rules, items))
        return {step.place}

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
                return step.but(status=StepStatus.FAILED, wait=Wait.NONE, port=after.port, edges=edges)
            case GiveUp():
                return step.but(status=StepStatus.FAILED, wait=Wait.NONE, port=None)
            case _:
                assert_never(after)


def _end_of(command: EndItem) -> ItemStatus:
    if command.cancelled:
        return ItemStatus.CANCELLED
    return ItemStatus.FAILED if command.failed else ItemStatus.COMPLETED


def _roots(graph: Graph, items: list[tuple[Place, int, ItemState]]) -> set[Place]:
    return {
        Place(key, ItemPlace(container, item.index).scope)
        for container, _, item in items
        if item.status is ItemStatus.RUNNING
        for key in graph.body(container.key)
    }


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


def run_to_end(
    world: World,
    *,
    retries: int = 3,
    deadline: int = 10_000,
    driver: type[Driver] = Driver,
    go_on: Callable[[World], bool] = lambda _: False,
) -> World:
    """Drive, crash, drive again, decide gates, let time pass and retry failures, until the run is over.

    `go_on` is what people do to a run that rests; True: drive again at once.
    """
    for _ in range(deadline):
        try:
            driver(world).drive()
        except Crash:
            continue
        if world.status in (RunStatus.COMPLETED, RunStatus.CANCELLED):
            return world
        if world.status is RunStatus.FAILED:
            if retries == 0:
                return world
            retries -= 1
            state = world.load()
            set_back(world, rewind(world.graph, state, None))
            world.status = RunStatus.PENDING
            continue
        if go_on(world) or decide_gates(world):
            continue
        wake_at = resting(world.graph, world.load()).wake_at
        assert wake_at is not None, "nothing will ever wake this run"
        world.now = max(world.now, wake_at)
    raise AssertionError("the run does not end")


def set_back(world: World, back: Rewind) -> None:
    """What the mail `retry` does to the rows."""
    for fresh in back.rounds:
        world.rows[(fresh.place, fresh.round)] = fresh.but(row=1)
    for container in back.reopened:
        rules, items = world.items[(container.place, container.round - 1)]
        world.items[(container.place, container.round)] = (rules, dict(items))
        world.rows[(container.place, container.round)] = container.but(row=1, attempt=1)
    for item in back.items:
        container_round = max(round_ for place, round_ in world.items if place == item.container)
        known = world.items[(item.container, container_round)][1]
        known[item.index] = known[item.index].but(status=ItemStatus.PENDING)
