"""The rail beside the builder's list as figures: rows stretch with their card, gaps have a fixed height and the curves."""

from __future__ import annotations

from dataclasses import dataclass

from workflows.definition.lanes import LANES, Gap, LaneRow

# Lane n stands at 10 + 14 n px; a card's mark at the middle of its head (design README §4).
_FIRST, _APART, MARK = 10, 14, 26
# Heads inside a container are lower.
NESTED_MARK = 22
STRAIGHT, TALL = 32, 46


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line on one lane; `y1` and `y2` are pixels or a percentage."""

    css: str
    x: int
    y1: str
    y2: str


@dataclass(frozen=True, slots=True)
class Rail:
    """One cell: its lines, its curves as (css, path), and `height` where it is a gap's."""

    lines: tuple[Line, ...] = ()
    bends: tuple[tuple[str, str], ...] = ()
    height: int = 0


def x_of(column: int) -> int:
    return _FIRST + _APART * column


def lane_css(column: int) -> str:
    """The colour of a column; the folded one is grey."""
    return f"lane{column}" if column < LANES else "lane-off"


def step_rail(row: LaneRow, *, mark: int = MARK) -> Rail:
    """What passes the card, what arrives at its mark, what leaves it."""
    lines = [_line(strand.column) for strand in row.passing]
    if row.above is not None and row.below is not None:
        lines.append(_line(row.column))
    elif row.below is not None:
        lines.append(_line(row.column, str(mark), "100%"))
    elif row.above is not None:
        lines.append(_line(row.column, "0", str(mark)))
    return Rail(_once(lines))


def gap_rail(gap: Gap, *, tall: bool) -> Rail:
    """The fixed height above a card."""
    height = TALL if tall or gap.is_curved else STRAIGHT
    lines = [_line(strand.column) for strand in gap.through]
    bends = [_bend(curve.start, curve.end, curve.end, height) for curve in gap.splits]
    bends += [_bend(curve.start, curve.end, curve.start, height) for curve in gap.joins]
    return Rail(_once(lines), tuple(dict.fromkeys(bends)), height)


def end_rail(row: LaneRow) -> Rail:
    """Beside the line that offers a step's free way out: everything that goes on below the card."""
    columns = [strand.column for strand in row.passing]
    if row.below is not None:
        columns.append(row.column)
    return Rail(_once([_line(column) for column in columns]), (), STRAIGHT)


def _line(column: int, y1: str = "0", y2: str = "100%") -> Line:
    return Line(lane_css(column), x_of(column), y1, y2)


def _bend(start: int, end: int, colour: int, height: int) -> tuple[str, str]:
    a, b, half = x_of(min(start, LANES)), x_of(min(end, LANES)), height / 2
    return lane_css(min(colour, LANES)), f"M{a} 0C{a} {half:g} {b} {half:g} {b} {height}"


def _once(lines: list[Line]) -> tuple[Line, ...]:
    """Each line once: folded lanes lie on each other."""
    return tuple(dict.fromkeys(lines))
