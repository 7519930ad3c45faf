"""Where a step can be put, and joining what is put there to its neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from workflows.definition.edits import OperationRefused, edge_of, step_of
from workflows.definition.graph import (
    Definition,
    EdgeDef,
    JoinRule,
    Position,
    StepDef,
)
from workflows.definition.ids import IdMaker
from workflows.definition.ordering import body_order
from workflows.definition.types import END, START, TypeCatalog, main_port


@dataclass(frozen=True, slots=True)
class OnEdge:
    """On the path with this id: it is cut in two, with the step in between."""

    edge_id: str


@dataclass(frozen=True, slots=True)
class Between:
    """On the path from one step to another if there is one, else after the first (02 §3)."""

    source: str
    target: str
    port: str | None = None


@dataclass(frozen=True, slots=True)
class After:
    """On a new path out of a step, by its main port unless one is named."""

    step: str
    port: str | None = None


@dataclass(frozen=True, slots=True)
class Before:
    """In front of a step: every path to it leads to the new one instead."""

    step: str


@dataclass(frozen=True, slots=True)
class AsRoot:
    """On its own in the body of `parent` (None: the top level); it starts with the body."""

    parent: str | None = None


@dataclass(frozen=True, slots=True)
class AtEnd:
    """At the end of the main lane of the body of `parent`, in front of the step that ends it."""

    parent: str | None = None


Place: TypeAlias = OnEdge | Between | After | Before | AsRoot | AtEnd


@dataclass(frozen=True, slots=True)
class Tail:
    """A loose end of what is being placed: an edge that still wants a target."""

    source: str
    port: str
    condition: str | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """Steps that are placed together: where paths go in, and where they come out."""

    heads: tuple[str, ...]
    tails: tuple[Tail, ...]
    label: str


def attach(
    definition: Definition, piece: Piece, place: Place, catalog: TypeCatalog, ids: IdMaker
) -> Definition:
    """Join a piece that stands loose in the definition to its place."""
    match place:
        case AsRoot():
            return definition
        case Between():
            found = _edge_between(definition, place)
            where: Place = OnEdge(found.id) if found is not None else After(place.source, place.port)
            return attach(definition, piece, where, catalog, ids)
        case AtEnd(parent):
            return attach(definition, piece, end_of(definition, piece, parent, catalog), catalog, ids)
        case After(key, port):
            _refuse_start(definition, piece)
            source = step_of(definition, key)
            port = port or main_port(source, catalog)
            if port is None or port not in catalog.ports(source):
                raise OperationRefused("no_port", f"Nothing can follow “{source.label}” there.")
            new = [EdgeDef(fresh_edge_id(definition, ids), key, head, port) for head in piece.heads]
            return replace(definition, edges=(*definition.edges, *with_distinct_ids(new, definition, ids)))
        case OnEdge(edge_id):
            edge = edge_of(definition, edge_id)
            return _splice(definition, piece, (edge,), edge.target, ids)
        case Before(key):
            target = step_of(definition, key)
            if target.type == START:
                raise OperationRefused(
                    "before_start", f"“{target.label}” comes first: nothing can stand before it."
                )
            entering = definition.incoming(key)
            joined = _splice(definition, piece, entering, key, ids)
            if len(entering) > 1 and len(piece.heads) == 1:
                # What waited for several paths now waits for one; the new step waits for them in its place.
                joined = joined.with_step(replace(joined.step(piece.heads[0]), join=target.join))
                joined = joined.with_step(replace(joined.step(key), join=JoinRule()))
            return joined


def _splice(
    definition: Definition, piece: Piece, cut: Sequence[EdgeDef], target: str, ids: IdMaker
) -> Definition:
    """Lead the cut edges into the piece, and the piece's loose ends to the target."""
    if cut:
        _refuse_start(definition, piece)
    if not piece.tails:
        raise OperationRefused(
            "nothing_follows",
            f"Nothing can follow “{piece.label}”, so it cannot stand in the middle of a path.",
        )
    entering = [replace(edge, id="", target=head, target_input=None) for edge in cut for head in piece.heads]
    name = cut[0].target_input if len(cut) == 1 else None
    leaving = [EdgeDef("", tail.source, target, tail.port, name, tail.condition) for tail in piece.tails]
    new = with_distinct_ids([*entering, *leaving], definition, ids)
    return _replace_edges(definition, cut, new)


def end_of(definition: Definition, piece: Piece, parent: str | None, catalog: TypeCatalog) -> Place:
    """Where the main lane of a body ends: follow the first root by main ports."""
    heads = {*piece.heads, *(tail.source for tail in piece.tails)}
    body = [step for step in body_order(definition, parent, catalog) if step.key not in heads]
    # Steps that came along with the piece do not count as the body's.
    at = next((step for step in body if not definition.incoming(step.key)), None)
    if at is None:
        return AsRoot(parent)
    while True:
        port = main_port(at, catalog)
        if port is None:
            return Before(at.key) if piece.tails else AsRoot(parent)
        following = next((edge for edge in definition.outgoing(at.key) if edge.port == port), None)
        if following is None:
            return After(at.key, port)
        at = definition.step(following.target)


def _edge_between(definition: Definition, place: Between) -> EdgeDef | None:
    return next(
        (
            edge
            for edge in definition.outgoing(place.source)
            if edge.target == place.target and place.port in (None, edge.port)
        ),
        None,
    )


def tails_of(step: StepDef, catalog: TypeCatalog) -> tuple[Tail, ...]:
    port = main_port(step, catalog)
    return () if port is None else (Tail(step.key, port),)


def parent_of(definition: Definition, place: Place) -> str | None:
    match place:
        case OnEdge(edge_id):
            return step_of(definition, edge_of(definition, edge_id).source).parent
        case Between(source):
            return step_of(definition, source).parent
        case After(key) | Before(key):
            return step_of(definition, key).parent
        case AsRoot(parent) | AtEnd(parent):
            if parent is not None:
                step_of(definition, parent)
            return parent


def check_parent(definition: Definition, step: StepDef, parent: str | None, catalog: TypeCatalog) -> None:
    if parent is None:
        return
    container = step_of(definition, parent)
    if not catalog.is_container(container.type):
        raise OperationRefused("not_a_container", f"“{container.label}” cannot hold steps.")
    if step.type in (START, END):
        raise OperationRefused(
            "start_in_body", f"“{step.label}” belongs to the workflow, not into “{container.label}”."
        )


def _refuse_start(definition: Definition, piece: Piece) -> None:
    for head in piece.heads:
        step = definition.step(head)
        if step.type == START:
            raise OperationRefused(
                "into_start", f"“{step.label}” is where the workflow starts: no path leads to it."
            )


def position_at(definition: Definition, place: Place) -> Position | None:
    """A spot on the canvas near the place, without moving anything else; None where nothing has a position."""
    anchor: str | None = None
    match place:
        case OnEdge(edge_id):
            edge = edge_of(definition, edge_id)
            first, second = definition.step(edge.source).position, definition.step(edge.target).position
            if first is not None and second is not None:
                return Position(round((first.x + second.x) / 2), round((first.y + second.y) / 2))
            anchor = edge.source
        case Between(source) | After(source):
            anchor = source
        case Before(target):
            anchor = target
    if anchor is not None and (near := step_of(definition, anchor).position) is not None:
        return Position(near.x, near.y + (-110 if isinstance(place, Before) else 110))
    spots = [step.position for step in definition.steps if step.position is not None]
    return Position(min(spot.x for spot in spots), max(spot.y for spot in spots) + 110) if spots else None


def fresh_id(ids: IdMaker, prefix: str, taken: Mapping[str, object] | set[str]) -> str:
    for _ in range(10_000):
        made = ids(prefix)
        if made not in taken:
            return made
    raise OperationRefused("no_id", "No free id was found.")


def fresh_edge_id(definition: Definition, ids: IdMaker) -> str:
    return fresh_id(ids, "e", {edge.id for edge in definition.edges})


def with_distinct_ids(edges: Sequence[EdgeDef], definition: Definition, ids: IdMaker) -> list[EdgeDef]:
    taken = {edge.id for edge in definition.edges}
    named: list[EdgeDef] = []
    for edge in edges:
        new_id = fresh_id(ids, "e", taken)
        taken.add(new_id)
        named.append(replace(edge, id=new_id))
    return named


def _replace_edges(definition: Definition, cut: Sequence[EdgeDef], new: Sequence[EdgeDef]) -> Definition:
    """Put new edges where the last cut one stood, so that the inputs of a join keep their order."""
    gone = {edge.id for edge in cut}
    edges: list[EdgeDef] = []
    placed = False
    for edge in reversed(definition.edges):
        if edge.id in gone:
            if not placed:
                edges.extend(reversed(new))
                placed = True
            continue
        edges.append(edge)
    edges.reverse()
    return replace(definition, edges=tuple(edges) if placed else (*edges, *new))
