"""The shape of a workflow as a small rail from left to right: on cards, and where two versions are compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from workflows.definition.lanes import LaneLayout
from workflows.presenters.builder_rails import lane_css

# The art of a card is this wide at most; steps move closer together before the whole is scaled down.
_WIDTH, _MARGIN, _APART, _CLOSEST, _HEIGHT, _LANE = 230, 6, 28, 15, 60, 18


@dataclass(frozen=True, slots=True)
class Mark:
    """A step on the small rail: a dot, or a square where a person is asked; `state` is what a comparison says of it."""

    x: float
    y: float
    css: str
    human: bool
    state: str = ""


@dataclass(frozen=True, slots=True)
class Mini:
    """The small rail: paths as (class, d), marks, and the size of the drawing."""

    width: float
    paths: tuple[tuple[str, str], ...]
    marks: tuple[Mark, ...]
    height: int = _HEIGHT

    @property
    def shown_width(self) -> float:
        return min(self.width, _WIDTH)


def mini_rail(
    lanes: LaneLayout,
    *,
    human: Callable[[str], bool],
    states: Mapping[str, str] | None = None,
) -> Mini:
    """Steps from left to right: as far as their longest way in, and after whatever was drawn on their lane before."""
    ranks: dict[str, int] = {}
    busy: dict[int, int] = {}
    for row in lanes.rows:
        others = [busy.get(strand.lane, -1) for strand in row.leaving if strand.lane != row.lane]
        rank = max(
            [ranks[strand.source] + 1 for strand in row.arriving] + [busy.get(row.lane, -1) + 1, *others, 0]
        )
        ranks[row.key] = rank
        for lane in (row.lane, *(strand.lane for strand in row.arriving)):
            busy[lane] = max(busy.get(lane, -1), rank)
    last = max(ranks.values(), default=0)
    apart = max(_CLOSEST, min(_APART, (_WIDTH - 2 * _MARGIN) / last)) if last else _APART
    highest = max((strand.column for row in lanes.rows for strand in row.leaving), default=0)
    highest = max([highest, *(row.column for row in lanes.rows)])
    # Lanes lie above and below the first in turn: 1 above, 2 below, 3 above that.
    spread = min(_LANE, (_HEIGHT / 2 - _MARGIN) / max(1, (highest + 1) // 2))

    def at(key: str) -> float:
        return round(_MARGIN + apart * ranks[key], 1)

    def y_of(column: int) -> float:
        side = -1 if column % 2 else 1
        return round(_HEIGHT / 2 + side * ((column + 1) // 2) * spread, 1)

    columns = {row.key: row.column for row in lanes.rows}
    paths = []
    for row in lanes.rows:
        for strand in row.leaving:
            a, b = columns[strand.source], columns[strand.target]
            x1, x2, css = at(strand.source), at(strand.target), lane_css(strand.column)
            paths.append((css, _path(x1, y_of(a), y_of(strand.column), x2, y_of(b), apart)))
    marks = tuple(
        Mark(
            at(row.key),
            y_of(row.column),
            lane_css(row.column),
            human(row.key),
            (states or {}).get(row.key, ""),
        )
        for row in lanes.rows
    )
    return Mini(round(2 * _MARGIN + apart * last, 1), tuple(paths), marks)


def _path(x1: float, y1: float, y: float, x2: float, y2: float, apart: float) -> str:
    """From a step onto a lane, along it, and into the next step."""
    start, end = x1, x2
    parts = [f"M{x1:g} {y1:g}"]
    # One gap holds both curves when the steps stand side by side.
    bend = min(apart, (x2 - x1) / 2) if y1 != y and y != y2 else min(apart, x2 - x1)
    if y1 != y:
        start = x1 + bend
        middle = (x1 + start) / 2
        parts.append(f"C{middle:g} {y1:g} {middle:g} {y:g} {start:g} {y:g}")
    if y != y2:
        end = x2 - bend
    if end > start:
        parts.append(f"L{end:g} {y:g}")
    if y != y2:
        middle = (end + x2) / 2
        parts.append(f"C{middle:g} {y:g} {middle:g} {y2:g} {x2:g} {y2:g}")
    return "".join(parts)
