"""When a step may start: edges, joins, dead branches. Decided from state, never from a loop's position."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias, assert_never

from runs.engine.graph import Graph
from runs.engine.state import StepState
from runs.engine.statuses import StepStatus
from workflows.definition.graph import EdgeDef, JoinKind
from workflows.definition.types import leaves_by

Lookup: TypeAlias = Callable[[str], StepState | None]


class EdgeState(Enum):
    UNDECIDED = auto()
    LIVE = auto()
    DEAD = auto()


@dataclass(frozen=True, slots=True)
class Ready:
    """The step may start; `inputs` are its live edges in edge order."""

    inputs: tuple[str, ...]


class Verdict(Enum):
    WAIT = auto()
    SKIP = auto()


def edge_state(edge: EdgeDef, source: StepState | None, *, left_behind: bool = False) -> EdgeState:
    """Undecided until its source is decided; then live (that port, and the condition held) or dead.

    A failure under policy `fail` decides nothing (07 §4), unless the step lost a race that goes on without it.
    """
    if source is None or not source.status.is_terminal:
        return EdgeState.UNDECIDED
    match source.status:
        case StepStatus.COMPLETED | StepStatus.FAILED if source.port is not None:
            live = leaves_by(source.port, edge.port) and source.edges.get(edge.id, edge.condition is None)
            return EdgeState.LIVE if live else EdgeState.DEAD
        case StepStatus.FAILED:
            return EdgeState.DEAD if left_behind else EdgeState.UNDECIDED
        case _:
            return EdgeState.DEAD


def readiness(graph: Graph, key: str, state_of: Lookup) -> Ready | Verdict:
    """What a step that has not started may do now, by its join rule (02 §4).

    1. A step that lost all its edges because the steps before it are off is skipped; without edges it starts.
    2. `all`: every edge decided, at least one live. `any`: the first live. `count`: n live from distinct sources.
    3. A rule that can no longer be met skips the step.
    """
    if key in graph.dead:
        return Verdict.SKIP
    edges = graph.incoming(key)
    if not edges:
        return Ready(())
    live: list[EdgeDef] = []
    undecided: list[EdgeDef] = []
    for edge in edges:
        source = state_of(edge.source)
        left = (
            source is not None
            and source.status is StepStatus.FAILED
            and is_left_behind(graph, edge.source, state_of)
        )
        match edge_state(edge, source, left_behind=left):
            case EdgeState.LIVE:
                live.append(edge)
            case EdgeState.UNDECIDED:
                undecided.append(edge)
            case EdgeState.DEAD:
                pass
            case other:
                assert_never(other)
    ready = Ready(tuple(edge.id for edge in live))
    join = graph.step(key).join
    match join.rule:
        case JoinKind.ALL:
            if undecided:
                return Verdict.WAIT
            return ready if live else Verdict.SKIP
        case JoinKind.ANY:
            if live:
                return ready
            return Verdict.WAIT if undecided else Verdict.SKIP
        case JoinKind.COUNT:
            arrived = {edge.source for edge in live}
            if len(arrived) >= join.count:
                return ready
            possible = arrived | {edge.source for edge in undecided}
            return Verdict.WAIT if len(possible) >= join.count else Verdict.SKIP
        case rule:
            assert_never(rule)


def has_fired(state: StepState | None) -> bool:
    """Whether a step has started, so that its join is over."""
    return state is not None and state.status not in (StepStatus.PENDING, StepStatus.SKIPPED)


def is_left_behind(graph: Graph, key: str, state_of: Lookup) -> bool:
    """Whether the step lost a race that goes on without it (losers `leave`): its failure then fails nothing."""
    return any(has_fired(state_of(join)) for join in graph.left_behind.get(key, ()))
