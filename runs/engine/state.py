"""What is known of a run while it is driven: light data, without outputs, so that planning stays cheap."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from runs.engine.items import Items, ItemState
from runs.engine.scopes import ItemPlace, Place, enclosing, is_within, item_of
from runs.engine.statuses import Intent, RunStatus, StepStatus, Wait


@dataclass(frozen=True, slots=True)
class StepState:
    """The current round of a step in one scope.

    `attempt` is the number of the newest counted try; `queued` with attempt n means "try n is to be made (again)".
    `port` is the way out taken: None while undecided, and for a failure that holds the run.
    `edges` says of each conditional outgoing edge whether its condition held. `row` is the id of its row, opaque here.
    """

    key: str
    scope: str = ""
    round: int = 0
    status: StepStatus = StepStatus.PENDING
    port: str | None = None
    edges: Mapping[str, bool] = field(default_factory=dict)
    attempt: int = 0
    crashes: int = 0
    wait: Wait = Wait.NONE
    due_at: datetime | None = None
    ends_run: bool = False
    row: Any = None

    @property
    def place(self) -> Place:
        return Place(self.key, self.scope)

    @property
    def is_open(self) -> bool:
        """A container that works through its items: running, with no try of its own in flight."""
        return self.status is StepStatus.RUNNING and self.wait is Wait.ITEMS

    def but(self, **changes: Any) -> StepState:
        """The same with some fields changed."""
        return replace(self, **changes)


class RunState:
    """A run's state in memory. `put` keeps the small indexes that make planning independent of the run's length."""

    __slots__ = (
        "_busy",
        "_failed",
        "_items",
        "_open",
        "_parked",
        "_running",
        "_steps",
        "_terminal",
        "_waiting",
        "_waits",
        "deadline",
        "intent",
        "status",
    )

    def __init__(
        self,
        *,
        status: RunStatus = RunStatus.RUNNING,
        intent: Intent = Intent.NONE,
        steps: Iterable[StepState] = (),
        deadline: datetime | None = None,
    ) -> None:
        self.status = status
        self.intent = intent
        self.deadline = deadline
        self._steps: dict[Place, StepState] = {}
        self._running: set[Place] = set()
        self._waiting: set[Place] = set()
        self._failed: set[Place] = set()
        self._open: set[Place] = set()
        self._terminal: Counter[str] = Counter()
        # Within each scope, at any depth: how many tries are in flight, and how many steps wait.
        self._busy: Counter[str] = Counter()
        self._waits: Counter[str] = Counter()
        # Scopes of items in which something waits and nothing is in flight, by container.
        self._parked: dict[Place, set[str]] = {}
        self._items: dict[Place, Items] = {}
        for step in steps:
            self.put(step)

    def get(self, key: str, scope: str = "") -> StepState | None:
        """The current round of a step; None when it has not been touched yet."""
        return self._steps.get(Place(key, scope))

    def put(self, step: StepState) -> StepState | None:
        """Replace the state of a step; returns what was there before (give it to `restore` to undo)."""
        before = self._steps.get(step.place)
        if before is not None:
            self._forget(before)
        self._steps[step.place] = step
        place = step.place
        if step.status.is_terminal:
            self._terminal[step.scope] += 1
        if step.is_open:
            self._open.add(place)
        elif step.status is StepStatus.RUNNING:
            self._running.add(place)
            self._count(self._busy, step.scope, 1)
        elif step.status is StepStatus.WAITING:
            self._waiting.add(place)
            self._count(self._waits, step.scope, 1)
        elif step.status is StepStatus.FAILED and step.port is None:
            self._failed.add(place)
        return before

    def _count(self, counter: Counter[str], scope: str, change: int) -> None:
        for level in enclosing(scope):
            counter[level] += change
            item = item_of(level)
            assert item is not None
            parked = self._parked.setdefault(item.container, set())
            if self._waits[level] > 0 and self._busy[level] == 0:
                parked.add(level)
            else:
                parked.discard(level)

    def restore(self, place: Place, before: StepState | None) -> None:
        """Undo a `put`."""
        if before is not None:
            self.put(before)
            return
        after = self._steps.pop(place, None)
        if after is not None:
            self._forget(after)

    def _forget(self, step: StepState) -> None:
        place = step.place
        if step.status.is_terminal:
            self._terminal[step.scope] -= 1
        if place in self._running:
            self._running.discard(place)
            self._count(self._busy, step.scope, -1)
        if place in self._waiting:
            self._waiting.discard(place)
            self._count(self._waits, step.scope, -1)
        self._open.discard(place)
        self._failed.discard(place)

    def __iter__(self) -> Iterator[StepState]:
        return iter(self._steps.values())

    def running(self) -> list[StepState]:
        return [self._steps[place] for place in self._running]

    def waiting(self) -> list[StepState]:
        return [self._steps[place] for place in self._waiting]

    def failed_without_way_out(self, scope: str | None = "") -> list[StepState]:
        """Failures under policy `fail` in one scope (None: in all of them): they hold their edges."""
        return [self._steps[place] for place in self._failed if scope is None or place.scope == scope]

    @property
    def terminal(self) -> int:
        """How many steps of the top level have come to an end."""
        return self._terminal[""]

    def terminal_in(self, scope: str) -> int:
        """How many steps have come to an end in one scope."""
        return self._terminal[scope]

    @property
    def busy(self) -> int:
        """How many tries are in flight."""
        return len(self._running)

    def busy_in(self, scope: str) -> int:
        """How many tries are in flight within a scope, at any depth."""
        return self._busy[scope]

    # --- containers ------------------------------------------------------------------------------

    def open_containers(self) -> list[StepState]:
        return [self._steps[place] for place in self._open]

    def items(self, container: Place) -> Items | None:
        """The items of a container's current round; None before it has opened."""
        return self._items.get(container)

    def put_items(self, items: Items) -> Items | None:
        """Give a container its items; returns those that it had."""
        before = self._items.get(items.place)
        self._items[items.place] = items
        return before

    def restore_items(self, container: Place, before: Items | None) -> None:
        """Undo a `put_items`."""
        if before is None:
            self._items.pop(container, None)
        else:
            self._items[container] = before

    def put_item(self, container: Place, item: ItemState) -> ItemState | None:
        """Replace or append one item; returns what was there before."""
        return self._items[container].put(item)

    def is_parked(self, item: ItemPlace) -> bool:
        """Whether an item only waits (gate, timer) with nothing in flight: then it holds no slot."""
        return item.scope in self._parked.get(item.container, ())

    def parked_scopes(self, container: Place) -> frozenset[str]:
        """The scopes of a container's parked items."""
        return frozenset(self._parked.get(container, ()))

    def steps_within(self, container: Place) -> list[StepState]:
        """Every step state in the body of a container, at any depth."""
        return [step for step in self._steps.values() if is_within(step.scope, container)]
