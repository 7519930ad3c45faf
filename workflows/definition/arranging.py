"""What edits do to places on the canvas, and the edits that only a canvas makes: dropping steps, tidying up, re-routing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from workflows.definition.canvas import (
    FURTHEST,
    covered,
    free_spot,
    frozen,
    is_placed,
    positions,
    tidy_positions,
    with_positions,
)
from workflows.definition.edits import (
    Edit,
    Effects,
    OperationRefused,
    body_of,
    edge_of,
    finish,
    step_of,
)
from workflows.definition.graph import Definition, Position, StepDef
from workflows.definition.ids import IdMaker, random_id
from workflows.definition.layout import GAP_Y, Size, snap
from workflows.definition.operations import connect, move, move_to
from workflows.definition.ordering import body_order
from workflows.definition.places import AtEnd
from workflows.definition.types import TypeCatalog


def place_new(before: Definition, edit: Edit, catalog: TypeCatalog) -> Edit:
    """After any edit of a workflow that stands on the canvas: new and reparented steps get a free place, others stay."""
    after = edit.definition
    if not is_placed(after):
        return edit
    if any(step.position is None and step.key in before.by_key for step in after.steps) and not is_placed(
        before
    ):
        # Copies that bring their places along do not put a workflow on the canvas that nobody has seen there.
        bare = tuple(replace(step, position=None) for step in after.steps)
        return Edit(replace(after, steps=bare), edit.effects)
    loose: list[StepDef] = []
    created = {step.key for step in after.steps if step.key not in before.by_key}
    for step in after.steps:
        old = before.by_key.get(step.key)
        if old is None:
            # What comes in a container that is new comes along in its place.
            taken = step.position is not None and not _is_free(after, step, catalog, created)
            if taken and step.parent not in created:
                loose.append(step)
        elif old.parent != step.parent and old.position == step.position:
            loose.append(step)
    if not loose and all(step.position is not None for step in after.steps):
        return edit
    emptied = after
    for step in loose:
        for one in (step, *body_of(after, step.key)):
            emptied = emptied.with_step(replace(emptied.step(one.key), position=None))
    placed = with_positions(emptied, positions(emptied, catalog))
    return Edit(placed, edit.effects)


def _is_free(definition: Definition, step: StepDef, catalog: TypeCatalog, created: set[str]) -> bool:
    spots = {one.key: one.position for one in definition.steps if one.position is not None}
    mine = covered(definition, step, spots, catalog)
    return not any(
        mine.touches(covered(definition, other, spots, catalog))
        for other in definition.children(step.parent)
        if other.key != step.key and other.key in spots and other.key not in created
    )


def arrange(
    definition: Definition,
    spots: Mapping[str, Position],
    catalog: TypeCatalog,
    *,
    keys: Iterable[str] = (),
    into: str | None = None,
    reparent: bool = False,
    ids: IdMaker = random_id,
) -> Edit:
    """Put steps where they were dropped. With `reparent`, those of `keys` go into the container `into` (None: out of it)."""
    for key, spot in spots.items():
        step_of(definition, key)
        if not (abs(spot.x) <= FURTHEST and abs(spot.y) <= FURTHEST):
            raise OperationRefused("too_far", "That is too far from the other steps.")
    now = frozen(definition, catalog)
    messages: list[str] = []
    moved: Edit | None = None
    if reparent:
        wanted = set(keys)
        for step in [step for step in now.steps if step.key in wanted]:
            if now.step(step.key).parent == into:
                continue  # it came along with a step whose branches it stands on
            moved = _moved(now, step, into, catalog, ids)
            now = moved.definition
            messages.append(moved.effects.message)
    now = with_positions(now, {key: Position(snap(spot.x), snap(spot.y)) for key, spot in spots.items()})
    now = frozen(now, catalog)
    if reparent:
        now = _apart(now, [key for key in spots if key in set(keys)], catalog)
    if moved is not None:
        message = messages[0] if len(messages) == 1 else f"{len(messages)} steps moved."
        return finish(definition, now, catalog, message)
    message = (
        f"“{definition.step(next(iter(spots))).label}” moved on the canvas."
        if len(spots) == 1
        else f"{len(spots)} steps moved on the canvas."
    )
    return Edit(now, Effects(message))


def _apart(definition: Definition, keys: Iterable[str], catalog: TypeCatalog) -> Definition:
    """Steps that were dropped into a body on top of others stand below those: a frame leaves little room to aim at."""
    for key in keys:
        step = definition.step(key)
        spots = {one.key: one.position for one in definition.steps if one.position is not None}
        mine = covered(definition, step, spots, catalog)
        others = [
            covered(definition, one, spots, catalog)
            for one in definition.children(step.parent)
            if one.key != key
        ]
        under = [box for box in others if mine.touches(box)]
        if not under:
            continue
        wish = Position(mine.x, snap(max(box.bottom for box in under) + GAP_Y))
        free = free_spot(wish, Size(mine.width, mine.height), others)
        across, down = free.x - mine.x, free.y - mine.y
        along = [step, *body_of(definition, key)]
        definition = with_positions(
            definition,
            {one.key: Position(spots[one.key].x + across, spots[one.key].y + down) for one in along},
        )
    return definition


def _moved(
    definition: Definition, step: StepDef, into: str | None, catalog: TypeCatalog, ids: IdMaker
) -> Edit:
    if into is not None:
        return move(definition, step.key, AtEnd(into), catalog, ids)
    # Out of all containers: below the outermost one that it was in, as in the list.
    around = step_of(definition, step.parent or "")
    while around.parent is not None:
        around = definition.step(around.parent)
    cards = [one.key for one in body_order(definition, None, catalog)]
    return move_to(
        definition, step.key, cards.index(around.key) + 1, catalog, ids, parent=None, same_body=False
    )


def tidy(definition: Definition, catalog: TypeCatalog) -> Edit:
    """Lay everything out from the model."""
    spots = tidy_positions(definition, catalog)
    return Edit(with_positions(definition, spots), Effects("Tidied up."))


def reroute(
    definition: Definition,
    edge_id: str,
    catalog: TypeCatalog,
    *,
    source: str | None = None,
    port: str | None = None,
    target: str | None = None,
) -> Edit:
    """Lead a path from or to another step; it stays the same path, with its condition and the name of its value."""
    edge = edge_of(definition, edge_id)
    at = definition.edges.index(edge)
    without = replace(definition, edges=tuple(other for other in definition.edges if other.id != edge_id))
    start = source or edge.source
    leaving = port or (edge.port if start == edge.source else None)
    drawn = connect(without, start, target or edge.target, catalog, lambda prefix: edge_id, port=leaving)
    new = next(other for other in drawn.definition.edges if other.id == edge_id)
    new = replace(new, condition=edge.condition, target_input=edge.target_input)
    edges = (*without.edges[:at], new, *without.edges[at:])
    before, after = definition.step(edge.target), definition.step(new.target)
    words = (
        f"The path from “{definition.step(new.source).label}” now leads to “{after.label}”."
        if before.key != after.key
        else f"The path to “{after.label}” now comes from “{definition.step(new.source).label}”."
    )
    return finish(definition, replace(definition, edges=edges), catalog, words)
