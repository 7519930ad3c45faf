"""Thousands of random runs with crashes at every commit point: each ends, completely and only once."""

from __future__ import annotations

import os
import random
from datetime import datetime
from typing import cast

import pytest

from runs.engine.commands import Command, FinishRun
from runs.engine.planner import _all_places, plan, resting
from runs.engine.scopes import Place
from runs.engine.state import RunState, StepState
from runs.engine.statuses import Intent, RunStatus, StepStatus
from tests.simulation.graphs import random_graph
from tests.simulation.meddling import Meddled, MeddledDriver
from tests.simulation.model import START, Crash, Driver, World, run_to_end

SEEDS = int(os.environ.get("STEPWELL_SIMULATION_SEEDS", "1500"))
FIRST = int(os.environ.get("STEPWELL_SIMULATION_FIRST_SEED", "0"))
CHUNK = 100


def chunks() -> list[range]:
    return [range(start, min(start + CHUNK, FIRST + SEEDS)) for start in range(FIRST, FIRST + SEEDS, CHUNK)]


@pytest.mark.parametrize("containers", [False, True], ids=["flat", "containers"])
@pytest.mark.parametrize("seeds", chunks(), ids=str)
def test_every_run_ends_whatever_crashes(seeds: range, containers: bool) -> None:
    for seed in seeds:
        world = World(
            random_graph(seed, containers=containers), seed, crash_chance=0.04 if containers else 0.15
        )
        try:
            run_to_end(world)
            check_end(world)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error


@pytest.mark.parametrize("containers", [False, True], ids=["flat", "containers"])
@pytest.mark.parametrize("seeds", chunks(), ids=str)
def test_crashes_change_nothing_where_order_does_not_matter(seeds: range, containers: bool) -> None:
    """Same final states and outputs with crashes as without, for workflows without races and holds."""
    for seed in seeds:
        graph = random_graph(seed, racing=False, containers=containers)
        calm = run_to_end(World(graph, seed, orderly=True))
        stormy = run_to_end(World(graph, seed, crash_chance=0.05 if containers else 0.25, orderly=True))
        assert ends(calm) == ends(stormy), f"seed {seed}"
        assert calm.outputs == stormy.outputs, f"seed {seed}"
        assert calm.status is stormy.status, f"seed {seed}"


def test_a_completed_try_is_called_once_without_crashes() -> None:
    for seed in range(FIRST, FIRST + 300):
        world = run_to_end(World(random_graph(seed), seed))
        assert all(count == 1 for count in world.calls.values()), f"seed {seed}"


class Interrupted(Driver):
    """A driver that hears of an intent at its commit number `at`."""

    def __init__(self, world: World, intent: Intent, at: int) -> None:
        super().__init__(world)
        self.wanted, self.at = intent, at

    def apply(self, commands: tuple[Command, ...]) -> set[Place]:
        if self.world.commits >= self.at and self.state.intent is Intent.NONE:
            self.world.intent = self.state.intent = self.wanted
            return set(_all_places(self.graph, self.state))
        return super().apply(commands)


@pytest.mark.parametrize("intent", [Intent.PAUSE, Intent.CANCEL])
def test_nothing_starts_after_a_pause_or_cancel_has_committed(intent: Intent) -> None:
    """The driver learns of the intent at a random commit; a cancelled run ends at once, a paused one goes on later."""
    for seed in range(FIRST, FIRST + 400):
        world = World(random_graph(seed), seed)
        chance = random.Random(f"intent {seed}")
        at = chance.randint(0, 12)

        for _ in range(200):
            try:
                Interrupted(world, intent, at).drive()
            except Crash:  # pragma: no cover - no crashes are asked for here
                continue
            if world.status.is_over or world.status is RunStatus.PAUSED:
                break
            world.now = max(world.now, wake(world))
        if intent is Intent.CANCEL and world.intent is Intent.CANCEL:
            assert world.status in (RunStatus.CANCELLED, RunStatus.COMPLETED, RunStatus.FAILED), (
                f"seed {seed}"
            )
            assert not [row for row in current(world).values() if not row.status.is_terminal], f"seed {seed}"
        world.intent = Intent.NONE
        if not world.status.is_over:
            world.status = RunStatus.RUNNING
            run_to_end(world)
            check_end(world)


def wake(world: World) -> datetime:
    return resting(world.graph, world.load()).wake_at or START


def current(world: World) -> dict[Place, StepState]:
    newest: dict[Place, StepState] = {}
    for (place, _), row in sorted(world.rows.items(), key=lambda entry: entry[0][1]):
        newest[place] = row
    return newest


def ends(world: World) -> dict[object, object]:
    return {key: (row.status, row.port, row.round, row.attempt) for key, row in world.rows.items()}


def check_end(world: World) -> None:
    """What holds for every run that is over."""
    assert world.status.is_over
    rows = current(world)
    if world.status is RunStatus.COMPLETED:
        ended = any(row.ends_run for row in rows.values())
        for step in world.graph.definition.children(None):
            row = next((r for place, r in rows.items() if place.key == step.key), None)
            if row is None:
                assert ended, f"{step.key} was never decided"
            else:
                assert row.status.is_terminal, f"{step.key} is {row.status} in a completed run"
    state = RunState(status=world.status, steps=tuple(rows.values()))
    assert plan(world.graph, state, world.now) == ()
    for row in rows.values():
        if row.status is StepStatus.COMPLETED:
            assert row.port is not None


@pytest.mark.parametrize("seeds", chunks(), ids=str)
def test_every_run_ends_right_whatever_people_change_in_it(seeds: range) -> None:
    """Work sent back, done again, edited, stopped and held at random moments, with crashes at every commit."""
    for seed in seeds:
        world = Meddled(random_graph(seed, containers=seed % 3 > 0), seed, crash_chance=0.03)
        try:
            run_to_end(world, driver=MeddledDriver, go_on=lambda world: cast(Meddled, world).resume())
            check_end(world)
            check_agreement(world)
        except AssertionError as error:
            story = "; ".join(world.story)
            raise AssertionError(f"seed {seed}: {error} (people: {story})") from error


def check_agreement(world: World) -> None:
    """The rows of a completed run agree with each other: nothing more would follow from them."""
    if world.status is not RunStatus.COMPLETED:
        return
    world.status = RunStatus.RUNNING
    commands = plan(world.graph, world.load(), world.now)
    assert [type(command) for command in commands] == [FinishRun], commands
    world.status = RunStatus.COMPLETED
