"""What the planner asks of the shell. Each command is carried out in the transaction that the plan belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from runs.engine.scopes import ItemPlace, Place
from runs.engine.statuses import RunStatus, Skip


@dataclass(frozen=True, slots=True)
class StartStep:
    """Open try number `attempt` of a step. `inputs` are the ids of its live incoming edges, in edge order."""

    place: Place
    round: int
    attempt: int
    inputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SkipStep:
    """Decide that a step does not run: it is off, or no path leads to it any more."""

    place: Place
    round: int
    reason: Skip


@dataclass(frozen=True, slots=True)
class CancelStep:
    """End an unfinished step: a join no longer needs it, or the run ends without it."""

    place: Place
    round: int


@dataclass(frozen=True, slots=True)
class CompleteWait:
    """A delay is over: complete the step with the outcome that it holds."""

    place: Place
    round: int


@dataclass(frozen=True, slots=True)
class DecideByDefault:
    """Nobody decided a gate until it was due: take the decision that its author set for this."""

    place: Place
    round: int


@dataclass(frozen=True, slots=True)
class OpenItem:
    """Begin an item: its body's first steps start in the same plan."""

    item: ItemPlace


@dataclass(frozen=True, slots=True)
class EndItem:
    """Every step of an item's body has come to an end, or cannot. `failed`: the steps that failed it.

    `ended_by`: the filter that ended it early, whose output is its result. `cancelled`: nobody needs it any more.
    """

    item: ItemPlace
    failed: tuple[Place, ...] = ()
    ended_by: Place | None = None
    cancelled: bool = False


@dataclass(frozen=True, slots=True)
class MoreItems:
    """Ask a loop whether it goes round once more."""

    place: Place
    round: int


@dataclass(frozen=True, slots=True)
class CloseContainer:
    """A container is through with its items: complete it with their results, or fail it (`failed`)."""

    place: Place
    round: int
    failed: bool = False


class Failure(StrEnum):
    """Why a run fails other than by a step."""

    STUCK = "stuck"
    OUT_OF_TIME = "out_of_time"


@dataclass(frozen=True, slots=True)
class FinishRun:
    """End the run. `ended_by` is the step whose output is the run's (a filter), `failed` the steps that failed it."""

    status: RunStatus
    ended_by: Place | None = None
    failed: tuple[Place, ...] = ()
    failure: Failure | None = None


Command: TypeAlias = (
    StartStep
    | SkipStep
    | CancelStep
    | CompleteWait
    | DecideByDefault
    | OpenItem
    | EndItem
    | MoreItems
    | CloseContainer
    | FinishRun
)
