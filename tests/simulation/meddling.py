"""People who change a run under way, for the simulator: work sent back, steps and items done again, items stopped,
breakpoints and single steps, at random moments and with crashes at every commit."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from runs.engine.commands import Command, StartStep
from runs.engine.items import ItemStatus
from runs.engine.planner import Rewind, plan, rewind, rewind_items, rewind_to, stop_items
from runs.engine.scopes import Place, item_of
from runs.engine.state import StepState
from runs.engine.statuses import Intent, StepStatus, Wait
from tests.simulation.model import Driver, World

MOST_ROUNDS = 8


@dataclass
class Meddled(World):
    """A world in which people meddle `letters` times; what the database says of breakpoints stands here too."""

    letters: int = 6
    meddle_chance: float = 0.15
    points: set[str] = field(default_factory=set)
    passed: set[tuple[Place, int]] = field(default_factory=set)
    one_step: bool = False
    # Somebody looks at the gates that wait, and may send work back.
    at_gates: bool = False
    # What was done, for a failing seed's reader.
    story: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.people = random.Random(f"people {self.seed}")
        keys = sorted(self.graph.order)
        if keys and self.people.random() < 0.5:
            self.points = set(self.people.sample(keys, min(len(keys), 2)))

    def resume(self) -> bool:
        """Somebody lets a held run go on, or one step more; or somebody looks at its gates. True: drive it again."""
        if self.intent is not Intent.PAUSE:
            waiting = any(row.wait is Wait.REVIEW for row in self.load().waiting())
            self.at_gates = waiting and self.letters > 0 and self.people.random() < 0.5
            return self.at_gates
        self.intent = Intent.NONE
        self.one_step = self.people.random() < 0.3
        self.story.append("one step" if self.one_step else "resumed")
        return True


class MeddledDriver(Driver):
    """A driver that reads such mail between its turns, and holds at breakpoints as `runs.services.debug` does."""

    world: Meddled

    def hears(self) -> bool:
        world = self.world
        if world.at_gates:
            world.at_gates = False
            return self._send_back()
        if world.letters <= 0 or world.people.random() >= world.meddle_chance:
            return False
        deeds: list[Callable[[], bool]] = [
            self._from_step,
            self._send_back,
            self._edit_output,
            self._items_again,
            self._stop_items,
            self._pause,
        ]
        # What there is no occasion for leaves the turn to the next.
        return any(deed() for deed in world.people.sample(deeds, len(deeds)))

    # --- what people do --------------------------------------------------------------------------

    def _from_step(self) -> bool:
        begun = [step.key for step in self.state if not step.scope and self._may_again(step)]
        return bool(begun) and self._rewind(
            "from", rewind(self.graph, self.state, self.world.people.choice(sorted(begun)))
        )

    def _send_back(self) -> bool:
        """The decision “changes” at a gate that waits, in whatever scope."""
        gates = sorted(
            (step for step in self.state.waiting() if step.wait is Wait.REVIEW), key=lambda s: s.place
        )
        if not gates:
            return False
        gate = self.world.people.choice(gates)
        before = [
            step
            for step in self.state
            if step.scope == gate.scope
            and step.key in self.graph.definition.ancestors(gate.key)
            and self._may_again(step)
        ]
        if not before:
            return False
        to = self.world.people.choice(sorted(before, key=lambda step: step.place))
        return self._rewind("changes", rewind_to(self.graph, self.state, to.place))

    def _edit_output(self) -> bool:
        done = [
            step
            for step in self.state
            if step.status is StepStatus.COMPLETED and self._is_open(step.place) and self._may_again(step)
        ]
        if not done:
            return False
        step = self.world.people.choice(sorted(done, key=lambda step: step.place))
        edited = step.but(round=step.round + 1)
        back = rewind_to(self.graph, self.state, step.place, itself=False)
        if self.world.people.random() < 0.3:
            back = Rewind()
        outputs = {(edited.place, edited.round): {"content": "edited"}}
        # Its items move to the new round.
        kept = self.world.items.get((step.place, step.round))
        return self._rewind("edit", back, [edited], outputs, kept=(edited, kept) if kept else None)

    def _items_again(self) -> bool:
        container = self._open_container()
        if container is None:
            return False
        found = self.state.items(container.place)
        assert found is not None
        anew = self.world.people.random() < 0.5
        some = frozenset(item.index for item in found.items if self.world.people.random() < 0.5)
        back = rewind_items(self.graph, self.state, container.place, some, anew=anew)
        return self._rewind("items again", back, anew=True)

    def _stop_items(self) -> bool:
        container = self._open_container()
        if container is None:
            return False
        found = self.state.items(container.place)
        assert found is not None
        some = frozenset(item.index for item in found.items if self.world.people.random() < 0.5)
        only = None if self.world.people.random() < 0.5 else some
        commands = stop_items(self.graph, self.state, container.place, only)
        if not commands:
            return False
        self.also = self._read(f"stop {container.place} {only}")
        self.apply(commands)
        return True

    def _pause(self) -> bool:
        if self.state.intent is not Intent.NONE:
            return False
        # A person sets it, not the driver: no commit of its.
        self.world.intent = self.state.intent = Intent.PAUSE
        self._read("pause")()
        return True

    # --- how the driver obeys --------------------------------------------------------------------

    def _rewind(
        self,
        what: str,
        back: Rewind,
        edited: list[StepState] | None = None,
        outputs: dict[tuple[Place, int], dict[str, str]] | None = None,
        *,
        anew: bool = False,
        kept: tuple[StepState, object] | None = None,
    ) -> bool:
        if not (back.rounds or back.reopened or back.items or edited):
            return False
        changed: list[StepState] = []
        for fresh in back.rounds:
            before = self.state.get(*fresh.place)
            assert before is not None
            assert fresh.round == before.round + 1, "a round was left out"
            assert fresh.status is StepStatus.PENDING
            if not before.status.is_terminal:
                changed.append(before.but(status=StepStatus.CANCELLED, wait=Wait.NONE, due_at=None))
            changed.append(fresh.but(row=1))
        assert not back.reopened or what == "from", "only a retry opens a container again"
        if back.reopened:
            # Their items are copied to the new round: left to `set_back`, between drives.
            return False
        items = []
        for item in back.items:
            container = self.state.get(*item.container)
            found = self.state.items(item.container)
            assert container is not None
            assert found is not None
            items.append(
                (item.container, container.round, found.items[item.index].but(status=ItemStatus.PENDING))
            )
        read = self._read(f"{what} {[(fresh.place, fresh.round) for fresh in back.rounds]}")

        def also() -> None:
            read()
            if kept is not None:
                step, known = kept
                self.world.items[(step.place, step.round)] = known  # type: ignore[assignment]

        self.world.commit(
            [*(edited or []), *changed], outputs or {}, self.state.status, items, also=also, anew=anew
        )
        for step in (*(edited or []), *changed):
            self.state.put(step)
        for place, _, item_state in items:
            self.state.put_item(place, item_state)
        again = {fresh.place for fresh in back.rounds}
        self.in_flight = [flight for flight in self.in_flight if flight.place not in again]
        return True

    def _read(self, what: str) -> Callable[[], None]:
        """The mail is read in the transaction that obeys it."""

        def read() -> None:
            self.world.letters -= 1
            self.world.story.append(what)

        return read

    def _may_again(self, step: StepState) -> bool:
        return step.status is not StepStatus.PENDING and step.round < MOST_ROUNDS

    def _is_open(self, place: Place) -> bool:
        around = item_of(place.scope)
        if around is None:
            return True
        container, items = self.state.get(*around.container), self.state.items(around.container)
        return (
            container is not None
            and container.is_open
            and items is not None
            and items.items[around.index].status is ItemStatus.RUNNING
        )

    def _open_container(self) -> StepState | None:
        found = sorted(self.state.open_containers(), key=lambda step: step.place)
        found = [step for step in found if self._is_open(step.place) and step.round < MOST_ROUNDS]
        return self.world.people.choice(found) if found else None

    def held(self, commands: tuple[Command, ...]) -> tuple[Command, ...]:
        """One start, or none of those before a breakpoint: the pause is committed with what is done beside them."""
        world = self.world
        starts = [command for command in commands if isinstance(command, StartStep)]
        if not starts or self.state.intent is not Intent.NONE:
            return commands
        if world.one_step:
            first = starts[0]

            def stepped() -> None:
                world.one_step, world.intent = False, Intent.PAUSE
                world.passed.add((first.place, first.round))

            self.also = stepped
            return tuple(c for c in commands if not isinstance(c, StartStep) or c is first)
        hits = [
            (start.place, start.round)
            for start in starts
            if start.place.key in world.points
            and start.attempt == 1
            and (start.place, start.round) not in world.passed
        ]
        if not hits:
            return commands

        def stopped() -> None:
            world.passed.update(hits)
            world.intent = Intent.PAUSE

        self.state.intent = Intent.PAUSE
        self.also = stopped
        found = plan(self.graph, self.state, world.now, None)
        assert not [command for command in found if isinstance(command, StartStep)]
        if not found:
            self.also = None
            world.commit([], {}, self.state.status, also=stopped)
        return found

    def apply(self, commands: tuple[Command, ...]) -> set[Place]:
        touched = super().apply(commands)
        self.state.intent = self.world.intent
        return touched
