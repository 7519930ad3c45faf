"""What is known of a run while it is driven: light data, without outputs, so that planning stays cheap."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple

from runs.engine.statuses import Intent, RunStatus, StepStatus, Wait


class Place(NamedTuple):
    """Where a step runs: its key, and its scope (`""` at the top level, `k3[7].k9[0]` inside containers)."""

    key: str
    scope: str = ""


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

    def but(self, **changes: Any) -> StepState:
        """The same with some fields changed."""
        return replace(self, **changes)


class RunState:
    """A run's state in memory. `put` keeps the small indexes that make planning independent of the run's length."""

    __slots__ = ("_failed", "_running", "_steps", "_terminal", "_waiting", "deadline", "intent", "status")

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
        self._terminal = 0
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
            self._terminal += 1
        if step.status is StepStatus.RUNNING:
            self._running.add(place)
        elif step.status is StepStatus.WAITING:
            self._waiting.add(place)
        elif step.status is StepStatus.FAILED and step.port is None:
            self._failed.add(place)
        return before

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
            self._terminal -= 1
        self._running.discard(place)
        self._waiting.discard(place)
        self._failed.discard(place)

    def __iter__(self) -> Iterator[StepState]:
        return iter(self._steps.values())

    def running(self) -> list[StepState]:
        return [self._steps[place] for place in self._running]

    def waiting(self) -> list[StepState]:
        return [self._steps[place] for place in self._waiting]

    def failed_without_way_out(self) -> list[StepState]:
        """Failures under policy `fail`: they hold their edges."""
        return [self._steps[place] for place in self._failed]

    @property
    def terminal(self) -> int:
        """How many steps have come to an end."""
        return self._terminal

    @property
    def busy(self) -> int:
        return len(self._running)
