"""The lanes of the rail: which colour runs where beside a list of steps, row by row. Builder and run page draw the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from workflows.definition.graph import Definition, StepDef

# Lanes 0 to 5 are drawn; what is open beyond them shares one grey lane (design README §4).
LANES = 6
# The row that stands for "the run was started" where the body has no `start` step of its own.
START_ROW = "~start"


@dataclass(frozen=True, slots=True)
class Strand:
    """One or several paths from one step to another, as they lie on a lane between the two rows."""

    lane: int
    source: str
    target: str
    edges: tuple[str, ...]

    @property
    def column(self) -> int:
        """The lane as it is drawn: 0 to 5, or 6 for the folded one."""
        return min(self.lane, LANES)


@dataclass(frozen=True, slots=True)
class Curve:
    """A strand that changes lane within a gap."""

    start: int
    end: int
    strand: Strand


@dataclass(frozen=True, slots=True)
class Gap:
    """The space above a row. `splits` leave the row above, `joins` arrive at the row below, `through` pass straight."""

    through: tuple[Strand, ...] = ()
    splits: tuple[Curve, ...] = ()
    joins: tuple[Curve, ...] = ()

    @property
    def is_curved(self) -> bool:
        return bool(self.splits or self.joins)

    @property
    def strands(self) -> tuple[Strand, ...]:
        """Every strand that touches the gap, from the first lane to the last."""
        found = {*self.through, *(curve.strand for curve in (*self.splits, *self.joins))}
        return tuple(sorted(found, key=lambda strand: (strand.lane, strand.source, strand.target)))


@dataclass(frozen=True, slots=True)
class LaneRow:
    """One row: its own lane, what comes in and goes out on it, and the strands that pass beside it.

    `arriving` are all strands that end here (the one on `lane` among them), `leaving` all that begin here, in list
    order of their targets: the first stays on `lane`. `folded` counts open lanes beyond the sixth.
    """

    key: str
    lane: int
    gap: Gap = Gap()
    above: Strand | None = None
    below: Strand | None = None
    passing: tuple[Strand, ...] = ()
    arriving: tuple[Strand, ...] = ()
    leaving: tuple[Strand, ...] = ()
    folded: int = 0

    @property
    def column(self) -> int:
        return min(self.lane, LANES)


@dataclass(frozen=True, slots=True)
class LaneLayout:
    """All rows of one body, and how many lanes its rail is wide (1 to 7)."""

    rows: tuple[LaneRow, ...]
    width: int


@dataclass(frozen=True, slots=True)
class Link:
    """A path between two rows, by their keys."""

    id: str
    source: str
    target: str


def layout(keys: Sequence[str], links: Iterable[Link]) -> LaneLayout:
    """Hand out lanes to rows in this order.

    1. A row takes the lowest lane of the strands that reach it; a row that nothing reaches takes the lowest free one.
       The other strands that reach it curve into it in the gap above and give their lanes back.
    2. Of the strands that leave it, the one to the row listed first stays on its lane; each other one takes the
       lowest free lane, by a curve in the gap below.

    Links to rows above (a cycle in a draft), or to rows not listed, are not drawn.
    """
    place = {key: index for index, key in enumerate(keys)}
    bundles: dict[str, dict[str, list[str]]] = {}
    for link in links:
        if link.source in place and place[link.source] < place.get(link.target, -1):
            bundles.setdefault(link.source, {}).setdefault(link.target, []).append(link.id)
    rows: list[LaneRow] = []
    open_lanes: dict[int, Strand] = {}
    splits: tuple[Curve, ...] = ()
    width = 1
    for key in keys:
        before = dict(open_lanes)
        arriving = tuple(before[lane] for lane in sorted(before) if before[lane].target == key)
        lane = arriving[0].lane if arriving else _free(open_lanes)
        new = {curve.strand for curve in splits}
        joins = tuple(Curve(strand.lane, lane, strand) for strand in arriving if strand.lane != lane)
        bent = {curve.strand for curve in joins}
        gap = Gap(
            through=tuple(
                before[n] for n in sorted(before) if before[n] not in new and before[n] not in bent
            ),
            splits=splits,
            joins=joins,
        )
        for strand in arriving:
            del open_lanes[strand.lane]
        passing = tuple(open_lanes[n] for n in sorted(open_lanes))
        leaving: list[Strand] = []
        targets = sorted(bundles.get(key, {}).items(), key=lambda item: place[item[0]])
        for target, edges in targets:
            at = lane if not leaving else _free(open_lanes)
            strand = Strand(at, key, target, tuple(edges))
            open_lanes[at] = strand
            leaving.append(strand)
        splits = tuple(Curve(lane, strand.lane, strand) for strand in leaving[1:])
        rows.append(
            LaneRow(
                key=key,
                lane=lane,
                gap=gap,
                above=arriving[0] if arriving else None,
                below=leaving[0] if leaving else None,
                passing=passing,
                arriving=arriving,
                leaving=tuple(leaving),
                folded=sum(n >= LANES for n in {*before, *open_lanes, lane}),
            )
        )
        width = max(width, lane + 1, *(n + 1 for n in (*before, *open_lanes)))
    return LaneLayout(tuple(rows), min(width, LANES + 1))


def body_layout(definition: Definition, order: Sequence[StepDef], *, start_row: bool = False) -> LaneLayout:
    """The layout of one body in list order. With `start_row`, a row START_ROW above leads to every root."""
    keys = [step.key for step in order]
    links = [Link(edge.id, edge.source, edge.target) for edge in definition.edges]
    if start_row:
        inside = set(keys)
        roots = [key for key in keys if not any(edge.source in inside for edge in definition.incoming(key))]
        links = [*(Link(f"{START_ROW}.{key}", START_ROW, key) for key in roots), *links]
        keys = [START_ROW, *keys]
    return layout(keys, links)


def _free(open_lanes: dict[int, Strand]) -> int:
    """The lowest lane that nothing lies on."""
    lane = 0
    while lane in open_lanes:
        lane += 1
    return lane
