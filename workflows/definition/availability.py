"""Which steps have surely run when a step starts: what references are checked against and completed from."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Final, TypeAlias

from workflows.definition.bypass import Bypassed, bypass_disabled
from workflows.definition.graph import ERROR_PORT, Definition, EdgeDef, JoinKind, StepDef
from workflows.definition.ordering import list_order
from workflows.definition.types import ALL_PORTS, PARALLEL, TypeCatalog

# Facts that decide whether a step runs: "that step left by this port", "that path's condition held".
_Fact: TypeAlias = tuple[str, str]
_Facts: TypeAlias = frozenset[_Fact]

_MOST_ALTERNATIVES: Final = 12


class Verdict(StrEnum):
    """Whether a step's output is there when another step starts."""

    SURE = "sure"
    MAYBE = "maybe"  # on a branch that may not be taken, or a loser of a join
    OFF = "off"  # its value is what passed through it
    LATER = "later"  # it comes after
    ASIDE = "aside"  # it is on another branch, or nothing joins the two
    SELF = "self"
    INSIDE = "inside"  # it is in the body of a container that the other is not in
    AROUND = "around"  # it is the container that the other is in


class Availability:
    """Answers for one definition; building it walks the graph once.

    For each step three things are kept: `before` (steps surely decided when it starts, as a bit set),
    `needs` (facts that hold whenever it runs) and `ways` (sets of facts, each enough to make it run).
    A step Y is sure at X when Y is before X and some way of Y lies within the needs of X. The answer errs on
    the side of MAYBE: conditions are compared as text, not understood.
    """

    def __init__(
        self, definition: Definition, catalog: TypeCatalog, bypassed: Bypassed | None = None
    ) -> None:
        self.definition = definition
        self.catalog = catalog
        self.bypassed = bypassed if bypassed is not None else bypass_disabled(definition, catalog)
        self.never: set[str] = set(self.bypassed.dead)
        self._graph = self.bypassed.definition
        self._bit = {step.key: 1 << index for index, step in enumerate(definition.steps)}
        self._raw: dict[str, int] = {}
        self._after: dict[str, int] = {}
        self._before: dict[str, int] = {}
        self._needs: dict[str, _Facts] = {}
        self._ways: dict[str, tuple[_Facts, ...]] = {}
        self._ports = {step.key: _exits(step, catalog) for step in definition.steps}
        for step in list_order(definition, catalog):
            self._raw[step.key] = _union(
                self._raw.get(edge.source, 0) | self._bit.get(edge.source, 0)
                for edge in definition.incoming(step.key)
            )
        for step in list_order(self._graph, catalog):
            self._learn(step)

    def verdict(self, user: str, wanted: str) -> Verdict:
        """Whether the output of step `wanted` is there when step `user` starts."""
        if user == wanted:
            return Verdict.SELF
        at = self._level(user, self.definition.step(wanted).parent)
        if at is None:
            return Verdict.INSIDE
        if at == wanted:
            return Verdict.AROUND
        if not self._raw[at] & self._bit[wanted]:
            return Verdict.LATER if self._raw[wanted] & self._bit[at] else Verdict.ASIDE
        if wanted in self.bypassed.off:
            return Verdict.OFF
        if at in self.bypassed.off:
            return Verdict.SURE
        return Verdict.SURE if self._is_sure(at, wanted) else Verdict.MAYBE

    def before(self, user: str) -> Iterator[tuple[StepDef, Verdict]]:
        """Steps whose output may be used in this step's texts, nearest body first, latest step first."""
        level: str | None = user
        seen: set[str] = set()
        listed = list_order(self.definition, self.catalog)
        while level is not None and level not in seen:
            seen.add(level)
            parent = self.definition.step(level).parent
            for step in reversed(listed):
                if step.parent == parent and self._raw[level] & self._bit[step.key]:
                    yield step, self.verdict(user, step.key)
            level = parent

    def never_together(self, first: str, second: str) -> bool:
        """Whether the two steps are on branches of which only one is taken."""
        taken = dict(self._needs.get(first, frozenset()))
        return any(taken.get(source, port) != port for source, port in self._needs.get(second, frozenset()))

    def one_after_other(self, first: str, second: str) -> bool:
        """Whether one of two steps of a body always comes after the other."""
        return bool(self._raw[first] & self._bit[second] or self._raw[second] & self._bit[first])

    def common_level(self, first: str, second: str) -> tuple[str, str] | None:
        """The two steps of one body in which these stand (or which they are); None when one holds the other."""
        at: str | None = first
        seen: set[str] = set()
        while at is not None and at not in seen and at in self.definition.by_key:
            seen.add(at)
            parent = self.definition.step(at).parent
            other = self._level(second, parent)
            if other is not None:
                return None if other == at else (at, other)
            at = parent
        return None

    def _level(self, key: str, parent: str | None) -> str | None:
        """The step itself or the container around it that stands in the body of `parent`."""
        at: str | None = key
        seen: set[str] = set()
        while at is not None and at not in seen:
            seen.add(at)
            step = self.definition.by_key.get(at)
            if step is None:
                return None
            if step.parent == parent:
                return at
            at = step.parent
        return None

    def _is_sure(self, at: str, wanted: str) -> bool:
        needs = self._needs.get(at, frozenset())
        if not self._before.get(at, 0) & self._bit[wanted]:
            return False
        ports = self._ports[wanted]
        if ERROR_PORT in ports:
            # It also goes on when it fails, and then it has no output.
            others = [port for port in ports if port != ERROR_PORT]
            if not any((wanted, port) in needs for port in others):
                return False
        return any(way <= needs for way in self._ways.get(wanted, ()))

    def _facts(self, edge: EdgeDef) -> _Facts:
        facts: set[_Fact] = set()
        source = self.definition.by_key.get(edge.source)
        if len(self._ports.get(edge.source, ())) > 1 and source is not None:
            together = source.type == PARALLEL and edge.port != ERROR_PORT
            facts.add((edge.source, ALL_PORTS if together else edge.port))
        if edge.condition is not None:
            facts.add((f"{edge.source}?{edge.condition}", ""))
        return frozenset(facts)

    def _learn(self, step: StepDef) -> None:
        key = step.key
        edges = [edge for edge in self._graph.incoming(key) if edge.source not in self.never]
        if not self._graph.incoming(key):
            self._before[key], self._needs[key], self._ways[key] = 0, frozenset(), (frozenset(),)
            return
        if not edges:
            self.never.add(key)
            return
        before = [self._before.get(edge.source, 0) | self._bit.get(edge.source, 0) for edge in edges]
        needs = [self._needs.get(edge.source, frozenset()) | self._facts(edge) for edge in edges]
        ways = [[way | self._facts(edge) for way in self._ways.get(edge.source, ())] for edge in edges]
        join = step.join
        if join.rule is JoinKind.COUNT and join.count >= len(edges):
            # Every path must be live: all of their facts hold.
            self._before[key] = _union(before)
            self._needs[key] = frozenset().union(*needs)
            self._ways[key] = (frozenset().union(*(way[0] for way in ways if way)),)
            return
        self._before[key] = _union(before) if join.rule is JoinKind.ALL else _meet(before)
        self._needs[key] = frozenset.intersection(*needs)
        if join.rule is JoinKind.COUNT and join.count > 1:
            self._ways[key] = (frozenset().union(*(way[0] for way in ways if way)),)
        else:
            self._ways[key] = self._simpler({way for group in ways for way in group})

    def _simpler(self, ways: set[_Facts]) -> tuple[_Facts, ...]:
        """Fewer ways that say the same: "left by true" or "left by false" is no condition at all."""
        if len(ways) < 2:
            # Behind thirty gates the one way is long, and every step of a chain would be asked about all of it.
            return tuple(ways)
        changed = True
        while changed:
            changed = False
            for way in sorted(ways, key=len, reverse=True):
                for source, port in way:
                    ports = self._ports.get(source, ())
                    if not port or not 0 < len(ports) <= len(ways):
                        continue
                    rest = way - {(source, port)}
                    if all(rest | {(source, other)} in ways for other in ports):
                        ways -= {rest | {(source, other)} for other in ports}
                        ways.add(rest)
                        changed = True
                        break
                if changed:
                    break
        small = sorted(ways, key=lambda way: (len(way), sorted(way)))
        kept: list[_Facts] = []
        for way in small:
            if not any(other <= way for other in kept):
                kept.append(way)
        return tuple(kept[:_MOST_ALTERNATIVES])


def availability_of(
    definition: Definition, catalog: TypeCatalog, bypassed: Bypassed | None = None
) -> Availability:
    """The definition's Availability, built once for it."""
    return definition.work_out("availability", catalog, lambda: Availability(definition, catalog, bypassed))


def _exits(step: StepDef, catalog: TypeCatalog) -> tuple[str, ...]:
    """The ports of which a step takes one; a parallel takes all of its branches at once, as if they were one."""
    ports = catalog.ports(step)
    if step.type != PARALLEL:
        return ports
    return (ALL_PORTS, ERROR_PORT) if ERROR_PORT in ports else (ALL_PORTS,)


def _union(sets: Iterator[int] | list[int]) -> int:
    found = 0
    for entry in sets:
        found |= entry
    return found


def _meet(sets: list[int]) -> int:
    found = sets[0]
    for entry in sets[1:]:
        found &= entry
    return found
