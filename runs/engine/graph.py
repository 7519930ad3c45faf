"""A definition made ready for planning: disabled steps taken out, lookups done once. Cached by content hash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from workflows.definition.bypass import bypass_disabled
from workflows.definition.graph import DEFAULT_PORT, Definition, EdgeDef, JoinKind, Losers, StepDef
from workflows.definition.types import ALL_PORTS, PARALLEL, TypeCatalog, main_port


@dataclass(frozen=True)
class Graph:
    """What the planner sees of a definition.

    `definition` is without the steps that are off; `whole` is as it was written. `off`, `dead` and `passed`
    are those of `workflows.definition.bypass.Bypassed`. `order` ranks keys in a topological order, so that one pass
    in that order decides everything that can be decided.
    """

    definition: Definition
    whole: Definition
    off: frozenset[str]
    dead: frozenset[str]
    passed: Mapping[str, tuple[str, ...]]
    order: Mapping[str, int]
    main_ports: Mapping[str, str]

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(step.key for step in self.definition.steps)

    @cached_property
    def top_off(self) -> tuple[str, ...]:
        """Keys of the steps of the top level that are off: their rows say so. Bodies keep no rows for theirs."""
        return tuple(step.key for step in self.whole.children(None) if step.key in self.off)

    @cached_property
    def total(self) -> int:
        """Steps of the top level that a run has to decide, the ones that are off included."""
        return len(self.definition.children(None)) + len(self.top_off)

    @cached_property
    def _bodies(self) -> Mapping[str | None, tuple[str, ...]]:
        found: dict[str | None, list[str]] = {}
        for key in self.order:
            found.setdefault(self.step(key).parent, []).append(key)
        return {parent: tuple(keys) for parent, keys in found.items()}

    def body(self, container: str | None) -> tuple[str, ...]:
        """Keys of a container's body (None: the top level) in topological order."""
        return self._bodies.get(container, ())

    def step(self, key: str) -> StepDef:
        return self.definition.by_key[key]

    def incoming(self, key: str) -> tuple[EdgeDef, ...]:
        return self.definition.incoming(key)

    def outgoing(self, key: str) -> tuple[EdgeDef, ...]:
        return self.definition.outgoing(key)

    def main_port(self, key: str) -> str:
        return self.main_ports.get(key, DEFAULT_PORT)

    @cached_property
    def racing_joins(self) -> tuple[str, ...]:
        """Keys of the joins that may fire before every branch has arrived."""
        return tuple(
            step.key
            for step in self.definition.steps
            if step.join.rule is not JoinKind.ALL and len(self.incoming(step.key)) > 1
        )

    @cached_property
    def losers(self) -> Mapping[str, frozenset[str]]:
        """For each racing join: the steps all of whose forward paths pass it, hence useless once it has fired."""
        return {key: self._losers_of(key) for key in self.racing_joins}

    @cached_property
    def left_behind(self) -> Mapping[str, tuple[str, ...]]:
        """For each step: the racing joins with losers `leave` that it may lose."""
        found: dict[str, list[str]] = {}
        for join, losers in self.losers.items():
            if self.step(join).join.losers is Losers.LEAVE:
                for key in losers:
                    found.setdefault(key, []).append(join)
        return {key: tuple(joins) for key, joins in found.items()}

    def _losers_of(self, join: str) -> frozenset[str]:
        before = self.definition.ancestors(join)
        # A step escapes when some path from it ends without passing the join.
        escapes: set[str] = set()
        for key in sorted(before, key=lambda k: self.order[k], reverse=True):
            targets = {edge.target for edge in self.outgoing(key)}
            if any(target != join and (target not in before or target in escapes) for target in targets):
                escapes.add(key)
        return frozenset(before - escapes)


def compile_graph(definition: Definition, catalog: TypeCatalog) -> Graph:
    """Prepare a checked definition for planning. Raises ValueError on a cycle, which validation refuses before."""
    bypassed = bypass_disabled(definition, catalog)
    rest = _with_own_bodies(bypassed.definition, catalog)
    return Graph(
        definition=rest,
        whole=definition,
        off=bypassed.off,
        dead=bypassed.dead,
        passed=bypassed.passed,
        order=_topological(rest),
        main_ports={step.key: _way_out(step, catalog) for step in rest.steps},
    )


def _way_out(step: StepDef, catalog: TypeCatalog) -> str:
    """The port by which a step leaves that does not say by which."""
    return ALL_PORTS if step.type == PARALLEL else main_port(step, catalog) or DEFAULT_PORT


def _with_own_bodies(definition: Definition, catalog: TypeCatalog) -> Definition:
    """Containers whose settings are their body (a fan-out with a prompt) get it as one hidden step: one mechanism."""
    hidden = [
        body
        for step in definition.steps
        if catalog.is_container(step.type)
        and not definition.children(step.key)
        and (body := catalog.own_body(step)) is not None
    ]
    return replace(definition, steps=(*definition.steps, *hidden)) if hidden else definition


def _topological(definition: Definition) -> dict[str, int]:
    left = {step.key: len(definition.incoming(step.key)) for step in definition.steps}
    ready = [key for key, count in left.items() if count == 0]
    order: dict[str, int] = {}
    for key in ready:
        order[key] = len(order)
        for edge in definition.outgoing(key):
            left[edge.target] -= 1
            if left[edge.target] == 0:
                ready.append(edge.target)
    if len(order) != len(left):
        raise ValueError("the steps wait for each other in a circle")
    return order
