"""Taking back one change between two definitions: the newer one again as the older one in this one thing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from workflows.definition.diff import Part
from workflows.definition.edits import Edit, OperationRefused, body_of, finish
from workflows.definition.graph import Definition, EdgeDef, StepDef
from workflows.definition.healing import remove
from workflows.definition.ids import IdMaker, random_id
from workflows.definition.places import check_parent, fresh_edge_id
from workflows.definition.renaming import rename_references
from workflows.definition.structure import unique_label
from workflows.definition.types import START, TypeCatalog


def revert(
    draft: Definition, base: Definition, part: Part, key: str, catalog: TypeCatalog, ids: IdMaker = random_id
) -> Edit:
    """The draft with this step (path, variable, trigger, setting) as it is in `base`; all else stays.

    A step that came goes and its neighbours are joined; one that went comes back with its body and its paths; one that
    was changed gets its old settings where it stands now. `key` as in `diff.Change`. Raises OperationRefused.
    """
    match part:
        case Part.STEP:
            return _step(draft, base, key, catalog, ids)
        case Part.EDGE:
            return _edge(draft, base, key, catalog, ids)
        case Part.VARIABLE:
            return _listed(draft, base, "variables", "name", key, f"The variable “{key}”", catalog)
        case Part.TRIGGER:
            return _listed(draft, base, "triggers", "id", key, "The trigger", catalog)
        case Part.SETTING:
            settings = {name: value for name, value in draft.settings.items() if name != key}
            if key in base.settings:
                settings[key] = base.settings[key]
            after = replace(draft, settings=settings)
            return finish(draft, after, catalog, f"{key.replace('_', ' ').capitalize()} is as it was.")


def _step(draft: Definition, base: Definition, key: str, catalog: TypeCatalog, ids: IdMaker) -> Edit:
    now, was = draft.by_key.get(key), base.by_key.get(key)
    if now is None and was is None:
        raise OperationRefused("no_step", "That step is in neither of the two any more.")
    if was is None:
        return remove(draft, key, catalog, ids)
    if not catalog.known(was.type):
        raise OperationRefused(
            "unknown_type", f"“{was.label}” is of the type “{was.type}”, which does not exist any more."
        )
    if was.type == START and any(step.type == START and step.key != key for step in draft.steps):
        raise OperationRefused("several_starts", "A workflow has one start, and there is another one now.")
    if now is None:
        return _back(draft, base, was, catalog, ids)
    if draft.children(key) and not catalog.is_container(was.type):
        raise OperationRefused(
            "has_steps", f"“{now.label}” holds steps now, and could not as it was. Move them out first."
        )
    check_parent(draft, was, now.parent, catalog)
    taken = frozenset(step.label.casefold() for step in draft.steps if step.key != key)
    label = now.label if was.label.casefold() in taken else was.label
    changed = replace(
        was, label=label, parent=now.parent, order=now.order, position=now.position, generated=now.generated
    )
    grown = draft
    rewritten: tuple[tuple[str, str], ...] = ()
    if label != now.label:
        grown, rewritten = rename_references(draft, {now.label: label}, catalog)
    ports = catalog.ports(changed)
    edges = tuple(edge for edge in grown.edges if edge.source != key or edge.port in ports)
    after = replace(grown.with_step(changed), edges=edges)
    return finish(draft, after, catalog, f"“{label}” is as it was.", rewritten=rewritten)


def _back(draft: Definition, base: Definition, was: StepDef, catalog: TypeCatalog, ids: IdMaker) -> Edit:
    back = [step for step in (was, *body_of(base, was.key)) if step.key not in draft.by_key]
    grown, labels = draft, dict[str, str]()
    for step in back:
        label = unique_label(step.label, grown, taken=frozenset(labels.values()))
        labels[step.label] = label
        holder = grown.by_key.get(step.parent or "")
        parent = step.parent if holder is not None and catalog.is_container(holder.type) else None
        check_parent(grown, step, parent, catalog)
        grown = replace(grown, steps=(*grown.steps, replace(step, label=label, parent=parent)))
    keys = {step.key for step in back}
    around = {edge.source for edge in base.edges if edge.target in keys} | keys
    after_it = {edge.target for edge in base.edges if edge.source in keys} | keys
    old = {(edge.source, edge.port, edge.target) for edge in base.edges}
    # What was joined over the gap when the step went is cut again.
    edges = [
        edge
        for edge in grown.edges
        if not (
            edge.source in around
            and edge.target in after_it
            and (edge.source, edge.port, edge.target) not in old
        )
    ]
    here = {(edge.source, edge.port, edge.target) for edge in edges}
    for edge in base.edges:
        if not {edge.source, edge.target} & keys or (edge.source, edge.port, edge.target) in here:
            continue
        source, target = grown.by_key.get(edge.source), grown.by_key.get(edge.target)
        if source is None or target is None or source.parent != target.parent:
            continue
        if edge.port in catalog.ports(source):
            edges.append(_free(edge, replace(grown, edges=tuple(edges)), ids))
    after = replace(grown, edges=tuple(edges))
    return finish(
        draft,
        after,
        catalog,
        f"“{labels[was.label]}” is back.",
        created=tuple(step.key for step in back),
    )


def _edge(draft: Definition, base: Definition, key: str, catalog: TypeCatalog, ids: IdMaker) -> Edit:
    now = next((edge for edge in draft.edges if edge.id == key), None)
    if now is not None:
        here = {_whole(edge) for edge in draft.edges}
        was = next(
            (edge for edge in base.edges if _joins(edge) == _joins(now) and _whole(edge) not in here), None
        )
        if was is None:
            edges = tuple(edge for edge in draft.edges if edge.id != key)
        else:
            edges = tuple(replace(was, id=now.id) if edge.id == key else edge for edge in draft.edges)
        return finish(draft, replace(draft, edges=edges), catalog, "The path is as it was.")
    gone = next((edge for edge in base.edges if edge.id == key), None)
    if gone is None:
        raise OperationRefused("no_edge", "That path is in neither of the two any more.")
    source, target = draft.by_key.get(gone.source), draft.by_key.get(gone.target)
    if source is None or target is None:
        raise OperationRefused(
            "no_step", "One of the steps that it joined is gone. Bring the step back, its paths come with it."
        )
    if any(_whole(edge) == _whole(gone) for edge in draft.edges):  # it came back with one of its steps
        return finish(draft, draft, catalog, "The path is as it was.")
    if source.parent != target.parent or gone.port not in catalog.ports(source):
        raise OperationRefused("no_port", f"No such path can lead from “{source.label}” any more.")
    after = replace(draft, edges=(*draft.edges, _free(gone, draft, ids)))
    return finish(draft, after, catalog, "The path is back.")


def _joins(edge: EdgeDef) -> tuple[str, str, str]:
    return edge.source, edge.port, edge.target


def _whole(edge: EdgeDef) -> tuple[str, str, str, str | None, str | None]:
    return edge.source, edge.port, edge.target, edge.target_input, edge.condition


def _free(edge: EdgeDef, definition: Definition, ids: IdMaker) -> EdgeDef:
    taken = any(other.id == edge.id for other in definition.edges)
    return replace(edge, id=fresh_edge_id(definition, ids)) if taken else edge


def _listed(
    draft: Definition, base: Definition, field: str, name: str, key: str, called: str, catalog: TypeCatalog
) -> Edit:
    """A variable or trigger by its name or id; one that comes back comes last."""
    entries = list(getattr(draft, field))
    was = next((entry for entry in getattr(base, field) if getattr(entry, name) == key), None)
    at = next((index for index, entry in enumerate(entries) if getattr(entry, name) == key), None)
    if was is None and at is None:
        raise OperationRefused("gone", f"{called} is in neither of the two any more.")
    if at is None:
        entries.append(was)
    elif was is None:
        del entries[at]
    else:
        entries[at] = was
    words = "is gone again" if was is None else "is back" if at is None else "is as it was"
    given: dict[str, Any] = {field: tuple(entries)}
    return finish(draft, replace(draft, **given), catalog, f"{called} {words}.")
