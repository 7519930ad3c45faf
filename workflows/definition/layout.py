"""Draws one body from top to bottom: rows by longest path, few crossings, parents centred above what they lead to.

Pure geometry in pixels: boxes of given sizes and links between them give top left corners on the canvas's raster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

# Everything on the canvas stands on this raster (design README §4).
RASTER: Final = 11
GAP_X: Final = 33
GAP_Y: Final = 44
# Where paths part, their curves and names need more room.
GAP_Y_SPLIT: Final = 66
_SWEEPS: Final = 8
_RELAX: Final = 12
_THIN: Final = 22.0

Link: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Size:
    width: float
    height: float


@dataclass(slots=True)
class _Cell:
    """A box in a row, or a point where a long link passes the row (`key` None). `x` is its middle."""

    key: str | None
    width: float
    rank: int
    up: list[tuple[_Cell, float]] = field(default_factory=list)
    down: list[tuple[_Cell, float]] = field(default_factory=list)
    at: int = 0
    x: float = 0.0


def snap(value: float) -> float:
    """The nearest line of the raster."""
    return float(round(value / RASTER) * RASTER)


def layered(sizes: Mapping[str, Size], links: Sequence[Link]) -> dict[str, tuple[float, float]]:
    """The top left corner of each box; the leftmost and highest stand at 0. Links against the given order are ignored.

    `sizes` is in topological order; the order of `links` says which branch stands left of which.
    """
    place = {key: index for index, key in enumerate(sizes)}
    down: dict[str, list[str]] = {key: [] for key in sizes}
    for source, target in links:
        if source in place and place[source] < place.get(target, -1) and target not in down[source]:
            down[source].append(target)
    ranks = _ranks(down)
    rows = _rows(sizes, down, ranks)
    _order(rows)
    _middles(rows)
    return _corners(rows, sizes, down)


def _ranks(down: Mapping[str, Sequence[str]]) -> dict[str, int]:
    ranks = dict.fromkeys(down, 0)
    for key, targets in down.items():
        for target in targets:
            ranks[target] = max(ranks[target], ranks[key] + 1)
    return ranks


def _rows(
    sizes: Mapping[str, Size], down: Mapping[str, Sequence[str]], ranks: Mapping[str, int]
) -> list[list[_Cell]]:
    """The cells of every row in the order a walk along the links finds them: branches stand in the order of their ports."""
    rows: list[list[_Cell]] = [[] for _ in range(max(ranks.values(), default=-1) + 1)]
    cells: dict[str, _Cell] = {}

    def cell_of(key: str) -> _Cell:
        if key not in cells:
            cells[key] = _Cell(key, sizes[key].width, ranks[key])
            rows[ranks[key]].append(cells[key])
        return cells[key]

    done: set[str] = set()
    todo = [key for key in reversed(list(sizes)) if ranks[key] == 0]
    while todo:
        key = todo.pop()
        if key in done:
            continue
        done.add(key)
        last = cell_of(key)
        for target in down[key]:
            above, strength = last, 1.0
            for rank in range(ranks[key] + 1, ranks[target]):
                point = _Cell(None, _THIN, rank)
                rows[rank].append(point)
                _join(above, point, strength)
                above, strength = point, 6.0
            _join(above, cell_of(target), 2.0 if above.key is None else 1.0)
        todo.extend(target for target in reversed(down[key]) if target not in done)
    for row in rows:
        _number(row)
    return rows


def _join(above: _Cell, below: _Cell, weight: float) -> None:
    above.down.append((below, weight))
    below.up.append((above, weight))


def _number(row: Sequence[_Cell]) -> None:
    for at, cell in enumerate(row):
        cell.at = at


# --- order in the rows ---


def _order(rows: list[list[_Cell]]) -> None:
    """Sort each row by the middle of what it is joined to, down and up, and keep the order with fewest crossings."""
    best, least = [list(row) for row in rows], _crossings(rows)
    for sweep in range(_SWEEPS):
        if least == 0:
            break
        downward = sweep % 2 == 0
        for row in rows[1:] if downward else reversed(rows[:-1]):
            middles = {id(cell): _mean_place(cell, downward) for cell in row}
            row.sort(key=lambda cell, middles=middles: middles[id(cell)])  # type: ignore[misc]
            _number(row)
        now = _crossings(rows)
        if now < least:
            best, least = [list(row) for row in rows], now
    for row, order in zip(rows, best, strict=True):
        row[:] = order
        _number(row)


def _mean_place(cell: _Cell, downward: bool) -> float:
    joined = cell.up if downward else cell.down
    return sum(other.at for other, _ in joined) / len(joined) if joined else float(cell.at)


def _crossings(rows: Sequence[Sequence[_Cell]]) -> int:
    count = 0
    for row in rows:
        ends = [other.at for cell in row for other in sorted((one for one, _ in cell.down), key=_at)]
        seen: list[int] = []
        for end in ends:
            # Rows are short; how many of those seen lie to the right of this one.
            count += sum(1 for one in seen if one > end)
            seen.append(end)
    return count


def _at(cell: _Cell) -> int:
    return cell.at


# --- where across ---


def _middles(rows: Sequence[Sequence[_Cell]]) -> None:
    """Pull each cell to the middle of its neighbours, row by row, without changing an order or a distance."""
    for row in rows:
        _settle(row, [0.0] * len(row))
    for turn in range(_RELAX):
        both = turn >= _RELAX // 2
        for row in rows[1:]:
            _pull(row, both, up=True)
        for row in reversed(rows[:-1]):
            _pull(row, both, up=False)
    # Last from above: a straight main line matters most.
    for row in rows[1:]:
        _pull(row, both=True, up=True)


def _pull(row: Sequence[_Cell], both: bool, *, up: bool) -> None:
    wishes: list[float] = []
    for cell in row:
        joined = [*cell.up, *cell.down] if both else cell.up if up else cell.down
        weight = sum(one for _, one in joined)
        wishes.append(sum(other.x * one for other, one in joined) / weight if weight else cell.x)
    _settle(row, wishes)


def _settle(row: Sequence[_Cell], wishes: Sequence[float]) -> None:
    """The places nearest to the wishes (least squares) that keep order and distance: neighbours that collide share."""
    shift, offsets = 0.0, []
    for index, cell in enumerate(row):
        if index:
            shift += (row[index - 1].width + cell.width) / 2 + GAP_X
        offsets.append(shift)
    groups: list[tuple[float, int]] = []  # sum of what its cells wish, and how many they are
    for wish, offset in zip(wishes, offsets, strict=True):
        total, count = wish - offset, 1
        while groups and groups[-1][0] / groups[-1][1] > total / count:
            before, more = groups.pop()
            total, count = total + before, count + more
        groups.append((total, count))
    spots = (total / count for total, count in groups for _ in range(count))
    for cell, offset, spot in zip(row, offsets, spots, strict=True):
        cell.x = spot + offset


# --- onto the raster ---


def _corners(
    rows: Sequence[Sequence[_Cell]], sizes: Mapping[str, Size], down: Mapping[str, Sequence[str]]
) -> dict[str, tuple[float, float]]:
    left: dict[str, float] = {}
    for row in rows:
        end: float | None = None
        for cell in row:
            if cell.key is None:
                continue
            x = snap(cell.x - cell.width / 2)
            x = x if end is None else max(x, end + GAP_X)
            left[cell.key] = x
            end = x + cell.width
    _straighten(rows, left)
    first = min(left.values(), default=0.0)
    corners: dict[str, tuple[float, float]] = {}
    y = 0.0
    for row in rows:
        keys = [cell.key for cell in row if cell.key is not None]
        for key in keys:
            corners[key] = (left[key] - first, y)
        tallest = max((sizes[key].height for key in keys), default=0.0)
        y += tallest + (GAP_Y_SPLIT if any(len(down[key]) > 1 for key in keys) else GAP_Y)
    return {key: corners[key] for key in sizes}


def _straighten(rows: Sequence[Sequence[_Cell]], left: dict[str, float]) -> None:
    """A step that stands almost below one that leads to it stands exactly below it, where there is room."""
    for row in rows[1:]:
        boxes = [cell for cell in row if cell.key is not None]
        for index, cell in enumerate(boxes):
            key = cell.key or ""
            wishes = [
                left[above.key] + (above.width - cell.width) / 2
                for above, _ in cell.up
                if above.key is not None
            ]
            if not wishes:
                continue
            alone = len(cell.up) == 1 and len(cell.up[0][0].down) == 1
            wish = min(wishes, key=lambda x, now=left[key]: abs(x - now))  # type: ignore[misc]
            if not alone and abs(wish - left[key]) > 2 * RASTER:
                continue
            before = boxes[index - 1] if index else None
            after = boxes[index + 1] if index + 1 < len(boxes) else None
            if before is not None and wish < left[before.key or ""] + before.width + GAP_X:
                continue
            if after is not None and wish + cell.width + GAP_X > left[after.key or ""]:
                continue
            left[key] = wish
