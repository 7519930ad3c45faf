"""Steps that are off: taken out of the graph before it is planned, their edges passed through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from workflows.definition.graph import Definition, EdgeDef
from workflows.definition.ids import derived_id
from workflows.definition.types import TypeCatalog, main_port
from workflows.lib.errors import Problem

# Joined conditions double with each pair of parallel steps that are off; past this the path is given up.
_CONDITION_CHARS: Final = 20_000


@dataclass(frozen=True, slots=True)
class Bypassed:
    """A definition without its disabled steps.

    `off`: keys of what was taken out, bodies of disabled containers included.
    `dead`: steps that lost every edge that led to them. They look like roots and must not start: the engine
    skips them and what follows from them.
    `passed`: for each step of `off`, the steps whose value passes through it, in edge order; empty means
    the input of its body. A reference to a step that is off gives that value.
    `problems`: paths that could not be passed on, as warnings.
    """

    definition: Definition
    off: frozenset[str]
    dead: frozenset[str]
    passed: Mapping[str, tuple[str, ...]]
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class _Origin:
    """A live way into a place: the edge it comes by, and the condition gathered since."""

    edge: EdgeDef
    condition: str | None


@dataclass(slots=True)
class _Ways:
    """What reaches a step once everything off is out. `root`: it also starts with its body."""

    origins: list[_Origin]
    root: bool


def both(first: str | None, second: str | None) -> str | None:
    """The condition that holds when both hold."""
    if first is None or second is None or first == second:
        return first if second is None else second
    return f"({first}) && ({second})"


def off_steps(definition: Definition, catalog: TypeCatalog) -> frozenset[str]:
    """Keys of the steps that are off: disabled ones that may be, and whatever stands inside them."""
    todo = [step.key for step in definition.steps if not step.enabled and catalog.can_disable(step.type)]
    off: set[str] = set()
    while todo:
        key = todo.pop()
        if key not in off:
            off.add(key)
            todo.extend(child.key for child in definition.children(key))
    return frozenset(off)


def bypass_disabled(definition: Definition, catalog: TypeCatalog) -> Bypassed:
    """Take the disabled steps out (07 §3: "a pure bypass before planning").

    1. A step that is off passes each of its incoming edges on to the targets of its main port, also through
       chains of such steps. The edge keeps its source, port and condition; conditions on the way are joined.
    2. Two ways from the same port to the same step are one edge: either condition will do.
    3. Edges from its other ports are lost. A step that had edges and has none now is dead, unless a way from
       a body's start passes through to it: then it is a root.
    4. Edge ids are derived from what the edge joins, so the same definition always gives the same ids.
    """
    off = off_steps(definition, catalog)
    if not off:
        return Bypassed(definition, frozenset(), frozenset(), {})
    walk = _Walk(definition, catalog, off)
    edges: list[EdgeDef] = []
    taken: set[str] = {edge.id for edge in definition.edges}
    dead: set[str] = set()
    incoming: dict[str, list[EdgeDef]] = {}
    for step in definition.steps:
        if step.key in off:
            continue
        before = definition.incoming(step.key)
        if not any(edge.source in off for edge in before):
            incoming[step.key] = list(before)
            continue
        kept, root = walk.into(step.key, taken)
        incoming[step.key] = kept
        if not kept and not root:
            dead.add(step.key)
    # Edges keep the place of the edge that they come from, so that a join's inputs stay in order.
    written: set[str] = set()
    for edge in definition.edges:
        if edge.target not in written:
            written.add(edge.target)
            edges.extend(incoming.get(edge.target, ()))
    rest = replace(
        definition, steps=tuple(step for step in definition.steps if step.key not in off), edges=tuple(edges)
    )
    passed = {key: walk.passed(key) for key in sorted(off)}
    return Bypassed(rest, off, frozenset(dead), passed, tuple(walk.problems))


class _Walk:
    """Resolves what reaches each step that is off; each is asked once."""

    def __init__(self, definition: Definition, catalog: TypeCatalog, off: frozenset[str]) -> None:
        self.definition = definition
        self.off = off
        self.main = {key: main_port(definition.step(key), catalog) for key in off}
        self.ways: dict[str, _Ways] = {}
        self.problems: list[Problem] = []
        for key in self._sources_first():
            self.ways[key] = self._ways(key)

    def into(self, key: str, taken: set[str]) -> tuple[list[EdgeDef], bool]:
        """New edges into a step that stays, and whether it now starts with its body.

        A condition on a way from the body's start has no edge left to stand on: the way counts as lost,
        because running the step without asking could send what should not be sent.
        """
        edges: list[EdgeDef] = []
        place: dict[tuple[str, str, str | None], int] = {}
        root = False
        for edge in self.definition.incoming(key):
            if edge.source not in self.off:
                self._add(edges, place, edge)
                continue
            ways = self._through(edge)
            if ways is None:
                continue
            if ways.root and edge.condition is None:
                root = True
            elif ways.root:
                self._lost(edge, "condition_without_path", "its condition has no path left to stand on")
            for origin in ways.origins:
                new_id = derived_id("e", origin.edge.id, edge.id)
                while new_id in taken:
                    new_id = derived_id("e", new_id)
                taken.add(new_id)
                condition = both(origin.condition, edge.condition)
                self._add(
                    edges,
                    place,
                    EdgeDef(new_id, origin.edge.source, key, origin.edge.port, edge.target_input, condition),
                )
        return [edge for edge in edges if not self._too_long(edge)], root

    def passed(self, key: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(origin.edge.source for origin in self.ways[key].origins))

    def _sources_first(self) -> list[str]:
        order: list[str] = []
        state: dict[str, bool] = {}
        for start in sorted(self.off):
            todo = [(start, False)]
            while todo:
                key, leave = todo.pop()
                if leave:
                    order.append(key)
                elif key not in state:
                    state[key] = True
                    todo.append((key, True))
                    todo.extend(
                        (edge.source, False)
                        for edge in self.definition.incoming(key)
                        if edge.source in self.off and edge.source not in state
                    )
        return order

    def _through(self, edge: EdgeDef) -> _Ways | None:
        """What comes along an edge that leaves a step which is off; None when the edge is lost."""
        if edge.port != self.main[edge.source]:
            return None
        return self.ways.get(edge.source)  # None only inside a cycle, which validation refuses

    def _ways(self, key: str) -> _Ways:
        incoming = self.definition.incoming(key)
        found = _Ways([], root=not incoming)
        place: dict[tuple[str, str], int] = {}

        def add(origin: _Origin) -> None:
            at = place.setdefault((origin.edge.source, origin.edge.port), len(found.origins))
            if at == len(found.origins):
                found.origins.append(origin)
            else:
                found.origins[at] = replace(
                    found.origins[at], condition=_either(found.origins[at].condition, origin.condition)
                )

        for edge in incoming:
            if edge.source not in self.off:
                add(_Origin(edge, edge.condition))
                continue
            ways = self._through(edge)
            if ways is None:
                continue
            if ways.root and edge.condition is None:
                found.root = True
            elif ways.root:
                self._lost(edge, "condition_without_path", "its condition has no path left to stand on")
            for origin in ways.origins:
                add(_Origin(origin.edge, both(origin.condition, edge.condition)))
        found.origins = [
            origin
            for origin in found.origins
            if not self._too_long(replace(origin.edge, target=key, condition=origin.condition))
        ]
        return found

    def _add(
        self, edges: list[EdgeDef], place: dict[tuple[str, str, str | None], int], edge: EdgeDef
    ) -> None:
        at = place.setdefault((edge.source, edge.port, edge.target_input), len(edges))
        if at == len(edges):
            edges.append(edge)
        else:
            edges[at] = replace(edges[at], condition=_either(edges[at].condition, edge.condition))

    def _too_long(self, edge: EdgeDef) -> bool:
        if edge.condition is None or len(edge.condition) <= _CONDITION_CHARS:
            return False
        self._lost(edge, "condition_too_long", "the joined conditions of its paths are too long")
        return True

    def _lost(self, edge: EdgeDef, code: str, why: str) -> None:
        target = self.definition.step(edge.target)
        self.problems.append(
            Problem(
                code=code,
                message=f"A path into “{target.label}” is lost while the steps before it are off: {why}.",
                step=target.label,
                step_key=target.key,
                fix="Turn the step before it on, or remove the condition.",
                severity="warning",
            )
        )


def _either(first: str | None, second: str | None) -> str | None:
    """The condition that holds when one of them holds; None always holds."""
    if first is None or second is None:
        return None
    return first if first == second else f"({first}) || ({second})"
