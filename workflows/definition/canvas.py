"""The workflow in two dimensions: where each step stands, and the frames of containers.

Positions are absolute pixels of the top left corner. A frame is as large as what stands in it; its own position
counts only while it is empty.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from workflows.definition.graph import Definition, EdgeDef, Position, StepDef
from workflows.definition.layout import GAP_X, GAP_Y, RASTER, Size, layered, snap
from workflows.definition.ordering import body_order
from workflows.definition.types import TypeCatalog

WIDTH: Final = 231.0
HEIGHT: Final = 55.0
# What a frame keeps free around its steps.
FRAME_TOP: Final = 44.0
FRAME_SIDE: Final = 22.0
FRAME_BOTTOM: Final = 33.0
_NODE: Final = Size(WIDTH, HEIGHT)
_MARGIN: Final = 11.0
# Nobody works further out than this; a larger number is a slip or an attack on everybody's browser.
FURTHEST: Final = 100_000.0


@dataclass(frozen=True, slots=True)
class Box:
    """What a step covers on the canvas."""

    x: float
    y: float
    width: float = WIDTH
    height: float = HEIGHT
    is_frame: bool = False

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def bottom(self) -> float:
        return self.y + self.height

    @property
    def middle(self) -> float:
        return self.x + self.width / 2

    def touches(self, other: Box) -> bool:
        """Whether the two are nearer than the margin that keeps them apart."""
        return (
            self.x < other.right + _MARGIN
            and other.x < self.right + _MARGIN
            and self.y < other.bottom + _MARGIN
            and other.y < self.bottom + _MARGIN
        )


def shows_frame(step: StepDef, catalog: TypeCatalog) -> bool:
    """Whether it is drawn as a frame: a container whose steps stand in it (not one whose own prompt does the work)."""
    return catalog.is_container(step.type) and not catalog.has_own_body(step)


def is_placed(definition: Definition) -> bool:
    """Whether somebody has seen the workflow on the canvas: some step has a position."""
    return any(step.position is not None for step in definition.steps)


# --- where everything stands ---


def boxes(definition: Definition, catalog: TypeCatalog) -> dict[str, Box]:
    """The box of every step. What has no position yet gets one without moving the others."""
    spots = positions(definition, catalog)
    found: dict[str, Box] = {}

    def box_of(step: StepDef) -> Box:
        if step.key not in found:
            found[step.key] = (
                _frame(spots[step.key], [box_of(child) for child in definition.children(step.key)])
                if shows_frame(step, catalog)
                else Box(spots[step.key].x, spots[step.key].y)
            )
        return found[step.key]

    for step in definition.steps:
        box_of(step)
    return found


def _frame(spot: Position, inside: Sequence[Box]) -> Box:
    if not inside:
        return Box(spot.x, spot.y, *_frame_size(WIDTH, HEIGHT), is_frame=True)
    left, top = min(box.x for box in inside), min(box.y for box in inside)
    right, bottom = max(box.right for box in inside), max(box.bottom for box in inside)
    width, height = _frame_size(right - left, bottom - top)
    return Box(left - FRAME_SIDE, top - FRAME_TOP, width, height, is_frame=True)


def _frame_size(width: float, height: float) -> tuple[float, float]:
    # Twice the raster: the middle of the frame stays on a line that middles of steps stand on.
    wide = WIDTH + math.ceil((width - WIDTH) / (2 * RASTER)) * 2 * RASTER
    return wide + 2 * FRAME_SIDE, height + FRAME_TOP + FRAME_BOTTOM


def tidy_positions(definition: Definition, catalog: TypeCatalog) -> dict[str, Position]:
    """Every step laid out from the model: the bodies of containers first, as boxes in the body around them."""
    spots: dict[str, Position] = {}
    _lay_out(definition, None, catalog, spots, Position(0.0, 0.0))
    return spots


def _lay_out(
    definition: Definition,
    parent: str | None,
    catalog: TypeCatalog,
    spots: dict[str, Position],
    origin: Position,
) -> Size:
    """Place one body with its top left corner at `origin`; what it takes up."""
    order = body_order(definition, parent, catalog)
    inner: dict[str, dict[str, Position]] = {}
    sizes: dict[str, Size] = {}
    for step in order:
        sizes[step.key] = _NODE
        if catalog.is_container(step.type):
            inner[step.key] = {}
            size = _lay_out(definition, step.key, catalog, inner[step.key], Position(FRAME_SIDE, FRAME_TOP))
            if shows_frame(step, catalog):
                sizes[step.key] = Size(*_frame_size(size.width, size.height))
    links = [(edge.source, edge.target) for step in order for edge in _by_port(definition, step, catalog)]
    corners = layered(sizes, links)
    for key, (x, y) in corners.items():
        spots[key] = Position(origin.x + x, origin.y + y)
        for child, spot in inner.get(key, {}).items():
            spots[child] = Position(spots[key].x + spot.x, spots[key].y + spot.y)
    return Size(
        max((x + sizes[key].width for key, (x, _) in corners.items()), default=WIDTH),
        max((y + sizes[key].height for key, (_, y) in corners.items()), default=HEIGHT),
    )


def _by_port(definition: Definition, step: StepDef, catalog: TypeCatalog) -> list[EdgeDef]:
    ports = {port: index for index, port in enumerate(catalog.ports(step))}
    return sorted(definition.outgoing(step.key), key=lambda edge: ports.get(edge.port, len(ports)))


def positions(definition: Definition, catalog: TypeCatalog) -> dict[str, Position]:
    """A position for every step: its own where it has one, else one that is free near what it is joined to."""
    if not is_placed(definition):
        return tidy_positions(definition, catalog)
    spots = {step.key: step.position for step in definition.steps if step.position is not None}
    if len(spots) == len(definition.steps):
        return spots
    # Parents before their bodies, and steps in the order of the list: each finds what it follows in its place.
    todo: list[str | None] = [None]
    while todo:
        parent = todo.pop(0)
        for step in body_order(definition, parent, catalog):
            if step.key not in spots:
                spots[step.key] = _near(definition, step, spots, catalog)
            if catalog.is_container(step.type):
                todo.append(step.key)
    return spots


def _near(
    definition: Definition, step: StepDef, spots: Mapping[str, Position], catalog: TypeCatalog
) -> Position:
    """A free place for a step without one: between what leads to it and what follows, or below the rest."""
    size = _NODE if not shows_frame(step, catalog) else Size(*_frame_size(WIDTH, HEIGHT))
    before = [spots[edge.source] for edge in definition.incoming(step.key) if edge.source in spots]
    after = [spots[edge.target] for edge in definition.outgoing(step.key) if edge.target in spots]
    beside = [spots[child.key] for child in definition.children(step.parent) if child.key in spots]
    if before:
        wish = Position(
            sum(spot.x for spot in before) / len(before), max(spot.y for spot in before) + HEIGHT + GAP_Y
        )
    elif after:
        wish = Position(
            sum(spot.x for spot in after) / len(after), min(spot.y for spot in after) - size.height - GAP_Y
        )
    elif beside:
        wish = Position(min(spot.x for spot in beside), max(spot.y for spot in beside) + HEIGHT + GAP_Y)
    elif step.parent is not None and step.parent in spots:
        around = spots[step.parent]
        return Position(around.x + FRAME_SIDE, around.y + FRAME_TOP)
    else:
        wish = Position(0.0, 0.0)
    others = [
        covered(definition, other, spots, catalog)
        for other in definition.children(step.parent)
        if other.key != step.key and other.key in spots
    ]
    return free_spot(Position(snap(wish.x), snap(wish.y)), size, others)


def covered(
    definition: Definition, step: StepDef, spots: Mapping[str, Position], catalog: TypeCatalog
) -> Box:
    """The box of a step by the places that are known so far."""
    spot = spots[step.key]
    if not shows_frame(step, catalog):
        return Box(spot.x, spot.y)
    inside = [
        covered(definition, child, spots, catalog)
        for child in definition.children(step.key)
        if child.key in spots
    ]
    return _frame(spot, inside)


def free_spot(wish: Position, size: Size, others: Sequence[Box]) -> Position:
    """The wish, or the nearest free place: to the right, to the left, then further down."""
    aside, below = WIDTH + GAP_X, HEIGHT + GAP_Y
    for row in range(200):
        for column in (0, 1, -1, 2, -2):
            spot = Box(wish.x + column * aside, wish.y + row * below, size.width, size.height)
            if not any(spot.touches(other) for other in others):
                return Position(spot.x, spot.y)
    return wish


def with_positions(definition: Definition, spots: Mapping[str, Position]) -> Definition:
    """The same definition with these steps standing there."""
    return replace(
        definition,
        steps=tuple(
            replace(step, position=spots[step.key]) if step.key in spots else step
            for step in definition.steps
        ),
    )


def frozen(definition: Definition, catalog: TypeCatalog) -> Definition:
    """The definition with a position for every step, those of frames where they are drawn."""
    if not definition.steps:
        return definition
    drawn = boxes(definition, catalog)
    return with_positions(definition, {key: Position(box.x, box.y) for key, box in drawn.items()})
