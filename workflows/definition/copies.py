"""Copies: of steps, of fragments between workflows, of a whole workflow."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from workflows.definition.edits import Edit, Effects, OperationRefused, body_of, finish, step_of, where_now
from workflows.definition.graph import (
    Definition,
    EdgeDef,
    StepDef,
)
from workflows.definition.healing import remove
from workflows.definition.ids import IdMaker, random_id
from workflows.definition.ordering import body_order, list_order, reindex
from workflows.definition.places import (
    After,
    AsRoot,
    AtEnd,
    OnEdge,
    Piece,
    Place,
    attach,
    check_parent,
    end_of,
    fresh_id,
    parent_of,
    tails_of,
)
from workflows.definition.renaming import rename_references
from workflows.definition.structure import unique_label
from workflows.definition.types import START, TypeCatalog, main_port
from workflows.lib.limits import STEPS_PER_WORKFLOW


def duplicate_step(definition: Definition, key: str, catalog: TypeCatalog, ids: IdMaker = random_id) -> Edit:
    """Copy a step, with its body, to right after itself: the copy leads on by the main port."""
    step = step_of(definition, key)
    if step.type == START:
        raise OperationRefused("several_starts", "A workflow has one start: it cannot be copied.")
    return _paste(
        definition,
        copy_steps(definition, [key]),
        _after_taking_over(definition, step, catalog),
        catalog,
        ids,
        "copied",
    )


def copy_steps(definition: Definition, keys: Iterable[str]) -> Definition:
    """The fragment of these steps, their bodies and the paths between them, to be pasted anywhere."""
    wanted: dict[str, StepDef] = {}
    for key in keys:
        for step in (step_of(definition, key), *body_of(definition, key)):
            wanted[step.key] = step
    return Definition(
        steps=tuple(
            step if step.parent in wanted else replace(step, parent=None)
            for step in definition.steps
            if step.key in wanted
        ),
        edges=tuple(edge for edge in definition.edges if edge.source in wanted and edge.target in wanted),
    )


def paste(
    definition: Definition,
    fragment: Definition,
    place: Place,
    catalog: TypeCatalog,
    ids: IdMaker = random_id,
) -> Edit:
    """Put a fragment in: fresh keys, labels made unique with the references inside it rewritten.

    Its first steps are joined to the place, its last ones lead on. A second start is left out.
    """
    return _paste(definition, fragment, lambda grown, piece: place, catalog, ids, "pasted")


def _paste(
    definition: Definition,
    fragment: Definition,
    where: Place | Callable[[Definition, Piece], Place],
    catalog: TypeCatalog,
    ids: IdMaker,
    word: str,
) -> Edit:
    if any(step.type == START for step in definition.steps):
        for step in fragment.steps:
            if step.type == START:
                fragment = replace(
                    fragment,
                    steps=tuple(other for other in fragment.steps if other.key != step.key),
                    edges=tuple(
                        edge for edge in fragment.edges if step.key not in (edge.source, edge.target)
                    ),
                )
    if not fragment.steps:
        raise OperationRefused("nothing_to_paste", "There is nothing to paste.")
    refuse_too_many(definition, len(fragment.steps))
    for step in fragment.steps:
        if not catalog.known(step.type):
            raise OperationRefused(
                "unknown_type", f"“{step.label}” is of the type “{step.type}”, which does not exist."
            )
    fresh = _with_fresh_keys(fragment, ids, taken=definition)
    labels: dict[str, str] = {}
    for step in fresh.steps:
        others = frozenset(label for label in (*fresh.labels(), *labels.values()) if label != step.label)
        labels[step.label] = unique_label(step.label, definition, taken=others)
    changed = {old: new for old, new in labels.items() if old != new}
    fresh, rewritten = rename_references(fresh, changed, catalog)
    fresh = replace(fresh, steps=tuple(replace(step, label=labels[step.label]) for step in fresh.steps))
    tops = list(body_order(fresh, None, catalog))
    tails = tuple(tail for step in tops if not fresh.outgoing(step.key) for tail in tails_of(step, catalog))
    heads = tuple(step.key for step in tops if not fresh.incoming(step.key))
    piece = Piece(heads, tails, tops[0].label)
    count = len(definition.steps)
    place = where(definition, piece) if callable(where) else where
    parent = parent_of(definition, place)
    for step in tops:
        check_parent(definition, step, parent, catalog)
    added = tuple(
        replace(step, order=count + index, parent=parent if step.parent is None else step.parent)
        for index, step in enumerate(list_order(fresh, catalog))
    )
    if isinstance(place, AtEnd):
        place = end_of(definition, piece, place.parent, catalog)
    grown = replace(definition, steps=(*definition.steps, *added), edges=(*definition.edges, *fresh.edges))
    placed = attach(grown, piece, place, catalog, ids)
    first = tops[0]

    def words(new: Definition) -> str:
        what = f"“{new.step(first.key).label}”" if len(tops) == 1 else f"{len(added)} steps"
        return f"{what} {word}, {where_now(new, first.key, catalog)}."

    return finish(
        definition, placed, catalog, words, created=tuple(step.key for step in added), rewritten=rewritten
    )


def _after_taking_over(
    definition: Definition, step: StepDef, catalog: TypeCatalog
) -> Callable[[Definition, Piece], Place]:
    """Right after the step: on its main path where there is one, else at its end, else beside it."""

    def choose(grown: Definition, piece: Piece) -> Place:
        port = main_port(step, catalog)
        if port is None or not piece.tails:
            before = definition.incoming(step.key)
            return After(before[0].source, before[0].port) if before else AsRoot(step.parent)
        main = [edge for edge in definition.outgoing(step.key) if edge.port == port]
        return OnEdge(main[0].id) if main else After(step.key, port)

    return choose


def without_generated(definition: Definition, catalog: TypeCatalog, ids: IdMaker = random_id) -> Definition:
    """The definition without the steps that runs have made, their neighbours joined; keys stay."""
    clean = definition
    for step in definition.steps:
        if step.generated and step.key in clean.by_key:
            clean = remove(clean, step.key, catalog, ids).definition
    return reindex(clean, catalog)


def duplicate(definition: Definition, catalog: TypeCatalog, ids: IdMaker = random_id) -> Edit:
    """A clean copy of the whole (W5): fresh keys, edges and triggers, order 0..n-1, generated steps left out."""
    clean = without_generated(definition, catalog, ids)
    copy = _with_fresh_keys(clean, ids, taken=definition)
    taken = {trigger.id for trigger in definition.triggers}
    triggers = []
    for trigger in copy.triggers:
        new_id = fresh_id(ids, "t", taken)
        taken.add(new_id)
        triggers.append(replace(trigger, id=new_id))
    copy = reindex(replace(copy, triggers=tuple(triggers)), catalog)
    left = len(definition.steps) - len(copy.steps)
    also = "" if not left else f" {left} generated {'step was' if left == 1 else 'steps were'} left out."
    return Edit(
        copy,
        Effects(f"Copied {len(copy.steps)} steps.{also}", created=tuple(step.key for step in copy.steps)),
    )


def _with_fresh_keys(definition: Definition, ids: IdMaker, *, taken: Definition) -> Definition:
    keys: dict[str, str] = {}
    used = set(taken.by_key)
    for step in definition.steps:
        keys[step.key] = fresh_id(ids, "s", used)
        used.add(keys[step.key])
    edge_ids = {edge.id for edge in taken.edges}
    edges: list[EdgeDef] = []
    for edge in definition.edges:
        new_id = fresh_id(ids, "e", edge_ids)
        edge_ids.add(new_id)
        edges.append(replace(edge, id=new_id, source=keys[edge.source], target=keys[edge.target]))
    return replace(
        definition,
        steps=tuple(
            replace(step, key=keys[step.key], parent=keys.get(step.parent) if step.parent else None)
            for step in definition.steps
        ),
        edges=tuple(edges),
    )


def refuse_too_many(definition: Definition, more: int) -> None:
    if len(definition.steps) + more > STEPS_PER_WORKFLOW.value:
        raise OperationRefused("too_many", STEPS_PER_WORKFLOW.says())
