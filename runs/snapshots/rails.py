"""The rail beside the steps as figures: which line runs from where to where, in which colour, solid or dotted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from workflows.definition.lanes import LANES, Gap, LaneRow, Strand

# Lane n sits at 10 + 14 n px (design README §4); a step's mark is at 21 px, where its line changes.
_FIRST, _APART, _MARK = 10, 14, 21
# The line that stands for folded steps keeps its distance from the card above, so its mark is lower.
_FOLD_MARK = 32
STRAIGHT, CURVED, TALL = 10, 24, 34


class Way(StrEnum):
    """What is known of a path: the run went along it, not yet, or never will. The values are CSS classes."""

    TAKEN = ""
    AHEAD = "off"
    CLOSED = "off closed"


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line on one lane; `y1` and `y2` are pixels or a percentage."""

    css: str
    x: int
    y1: str
    y2: str


@dataclass(frozen=True, slots=True)
class Bend:
    """A curve of a gap."""

    css: str
    d: str


@dataclass(frozen=True, slots=True)
class Rail:
    """Everything to draw in one cell. `column` is where the row's mark stands; `height` only gaps have."""

    lines: tuple[Line, ...] = ()
    bends: tuple[Bend, ...] = ()
    column: int = 0
    x: int = _FIRST
    height: int = 0
    folded: int = 0


Ways = Callable[[Strand], Way]


def x_of(column: int) -> int:
    return _FIRST + _APART * column


def step_rail(row: LaneRow, way: Ways) -> Rail:
    """Straight lines that stretch with the row: what passes, what arrives, what leaves."""
    lines = [_line(strand.column, way(strand), "0", "100%") for strand in row.passing]
    above = way(row.above) if row.above is not None else None
    below = way(row.below) if row.below is not None else None
    if above is not None and above == below:
        lines.append(_line(row.column, above, "0", "100%"))
    else:
        if below is not None:
            lines.append(_line(row.column, below, str(_MARK), "100%"))
        if above is not None:
            lines.append(_line(row.column, above, "0", str(_MARK)))
    return Rail(_quiet_first(lines), (), row.column, x_of(row.column), 0, row.folded)


def gap_rail(gap: Gap, way: Ways, *, tall: bool) -> Rail:
    """The fixed height above a row, the only place with curves."""
    height = TALL if tall else CURVED if gap.is_curved else STRAIGHT
    lines = [_line(strand.column, way(strand), "0", "100%") for strand in gap.through]
    bends = [_bend(curve.start, curve.end, curve.end, way(curve.strand), height) for curve in gap.splits] + [
        _bend(curve.start, curve.end, curve.start, way(curve.strand), height) for curve in gap.joins
    ]
    return Rail(_quiet_first(lines), tuple(bends), height=height)


def fold_rail(gap: Gap | None, way: Ways) -> Rail:
    """The lines beside folded rows: from the first lane to every lane on which the gap below begins; None: nothing."""
    lines = [Line("lane0", x_of(0), "0", str(_FOLD_MARK))]
    bends: list[Bend] = []
    if gap is not None:
        entering = [(strand.column, way(strand)) for strand in gap.through]
        entering += [(min(curve.start, LANES), way(curve.strand)) for curve in (*gap.splits, *gap.joins)]
        best: dict[int, Way] = {}
        for column, one in entering:
            # Of several paths on one lane the one that was taken is drawn.
            best[column] = one if best.get(column) is not Way.TAKEN else Way.TAKEN
        for column, one in sorted(best.items()):
            if not column:
                lines.append(_line(0, one, str(_FOLD_MARK), "100%"))
                continue
            x, half, end = x_of(column), _FOLD_MARK + 9, _FOLD_MARK + 18
            bends.append(
                Bend(_css(column, one), f"M{_FIRST} {_FOLD_MARK}C{_FIRST} {half} {x} {half} {x} {end}")
            )
            lines.append(_line(column, one, str(end), "100%"))
    return Rail(_quiet_first(lines), tuple(bends))


def lane_css(column: int) -> str:
    """The colour of a column; the folded one is grey."""
    return f"lane{column}" if column < LANES else "lane-off"


def _line(column: int, way: Way, y1: str, y2: str) -> Line:
    return Line(_css(column, way), x_of(column), y1, y2)


def _bend(start: int, end: int, colour: int, way: Way, height: int) -> Bend:
    a, b, half = x_of(min(start, LANES)), x_of(min(end, LANES)), height / 2
    return Bend(_css(min(colour, LANES), way), f"M{a} 0C{a} {half:g} {b} {half:g} {b} {height}")


def _css(column: int, way: Way) -> str:
    return f"{lane_css(column)} {way}".strip()


def _quiet_first(lines: list[Line]) -> tuple[Line, ...]:
    """Dotted lines below solid ones, each once (folded lanes lie on each other)."""
    return tuple(sorted(dict.fromkeys(lines), key=lambda line: " " not in line.css))
