"""Which paths a run took: the rails beside its steps, the names of its branches, and what phones fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from runs.engine.statuses import StepStatus
from runs.snapshots.rails import Rail, Way, fold_rail
from runs.snapshots.reading import Reading
from workflows.definition.graph import EdgeDef, StepDef
from workflows.definition.lanes import START_ROW, LaneRow, Strand
from workflows.definition.types import START, leaves_by


class Paths:
    """What became of every path of one run."""

    def __init__(self, read: Reading) -> None:
        self.read = read

    @cached_property
    def fold_keys(self) -> frozenset[str]:
        """Steps that phones fold: the finished ones from the top on, without a hole, so that no rail ends in the air.

        One or two are no longer than the line that would stand for them.
        """
        found: list[str] = []
        done = 0
        for step in self.read.steps:
            row = self.read.current.get(step.key)
            if row is None or row.status not in (StepStatus.COMPLETED, StepStatus.SKIPPED):
                if step.type == START:
                    continue
                break
            found.append(step.key)
            done += row.status == StepStatus.COMPLETED and step.key in self.read.numbers
        return frozenset(found) if done > 2 else frozenset()

    def fold_rail_of(self, lanes: Mapping[str, LaneRow]) -> Rail:
        """The lines beside the folded steps: in on the first lane, out on all that enter the next row's gap."""
        after = next(
            (s.key for s in self.read.steps if s.key not in self.fold_keys and s.type != START), None
        )
        return fold_rail(lanes[after].gap if after is not None else None, self.way)

    @cached_property
    def _edge_ways(self) -> Mapping[str, Way]:
        """What became of every edge, in list order so that a step that is off can pass on what reached it."""
        ways: dict[str, Way] = {}
        for step in self.read.steps:
            arrived = [ways[edge.id] for edge in self.read.definition.incoming(step.key) if edge.id in ways]
            for edge in self.read.definition.outgoing(step.key):
                ways[edge.id] = self._edge_way(step, edge, arrived)
        return ways

    def _edge_way(self, step: StepDef, edge: EdgeDef, arrived: Sequence[Way]) -> Way:
        row = self.read.current.get(step.key)
        if not step.enabled:
            if not arrived:
                return Way.TAKEN if self.read.run.started_at else Way.AHEAD
            return self._together(arrived)
        if row is None:
            return Way.AHEAD
        if row.status in (StepStatus.COMPLETED, StepStatus.FAILED) and row.port is not None:
            took = leaves_by(row.port, edge.port) and row.edges.get(edge.id, True) is not False
            return Way.TAKEN if took else Way.CLOSED
        if row.status in (StepStatus.SKIPPED, StepStatus.CANCELLED):
            return Way.CLOSED
        return Way.AHEAD

    @staticmethod
    def _together(ways: Sequence[Way]) -> Way:
        if Way.TAKEN in ways:
            return Way.TAKEN
        return Way.CLOSED if ways and all(way is Way.CLOSED for way in ways) else Way.AHEAD

    def way(self, strand: Strand) -> Way:
        if strand.source == START_ROW:
            return Way.TAKEN if self.read.run.started_at or self.read.current else Way.AHEAD
        return self._together([self._edge_ways.get(edge, Way.AHEAD) for edge in strand.edges])

    def branch(self, lane: LaneRow) -> tuple[tuple[str, str], int | None, str]:
        """What stands in the gap above: the answer whose branch begins here, or how many begin at once; its lane's
        colour; and the same for the row's name ("on Yes of Worth a call?")."""
        for strand in lane.arriving:
            if strand.source not in self.read.definition.by_key or len(lane.arriving) > 1:
                continue
            source = self.read.definition.step(strand.source)
            answers = self.read.answers(source)
            edge = next(e for e in self.read.definition.outgoing(source.key) if e.id in strand.edges)
            wired = {other.port for other in self.read.definition.outgoing(source.key)}
            # One path alone is no branch: its answer says nothing that the row above does not say.
            if edge.port in answers and (len(wired) > 1 or edge.port != next(iter(answers))):
                way = self.way(strand)
                said = answers[edge.port]
                after = {Way.TAKEN: ", taken", Way.CLOSED: ", not taken"}.get(way, "")
                return (said, after), strand.column, f"on {said} of {source.label}"
        first = lane.gap.splits[0].strand if lane.gap.splits else None
        if first is not None and first.source in self.read.definition.by_key:
            ports = [edge.port for edge in self.read.definition.outgoing(first.source)]
            if len(set(ports)) == 1:
                return ("", f"{len(ports)} branches, at the same time"), None, ""
        if first is not None and first.source == START_ROW:
            return ("", f"{len(self.read.layout.rows[0].leaving)} branches, at the same time"), None, ""
        return ("", ""), None, ""
