"""Every edit of a workflow, from list or canvas: pure functions that give a new definition and say what it does.

Each is total: it gives an Edit whose definition has no cycle, no lost step and `order` 0..n-1 in each body, or it
raises OperationRefused with the reason. `ids` makes ids; give a counting one for the same result every time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final

from workflows.definition.bypass import Bypassed, bypass_disabled, off_steps
from workflows.definition.copies import copy_steps, duplicate, duplicate_step, paste, refuse_too_many
from workflows.definition.edits import (
    Edit,
    Effects,
    OperationRefused,
    body_of,
    edge_of,
    finish,
    lost_path_checks,
    names_of,
    step_of,
    where_now,
)
from workflows.definition.graph import (
    Definition,
    EdgeDef,
    StepDef,
)
from workflows.definition.healing import Group, group_of, heal, remove
from workflows.definition.ids import IdMaker, random_id
from workflows.definition.ordering import body_order
from workflows.definition.places import (
    After,
    AsRoot,
    AtEnd,
    Before,
    Between,
    OnEdge,
    Piece,
    Place,
    attach,
    check_parent,
    fresh_edge_id,
    fresh_id,
    parent_of,
    position_at,
    tails_of,
)
from workflows.definition.renaming import rename_references
from workflows.definition.structure import clean_label, label_problem, unique_label
from workflows.definition.types import START, TypeCatalog, main_port
from workflows.expressions.paths import normal
from workflows.lib.jsontypes import JSONObject
from workflows.lib.limits import EDGES_PER_WORKFLOW

__all__ = [
    "After",
    "AsRoot",
    "AtEnd",
    "Before",
    "Between",
    "Bypassed",
    "Edit",
    "Effects",
    "OnEdge",
    "OperationRefused",
    "Place",
    "bypass_disabled",
    "change_type",
    "connect",
    "copy_steps",
    "disconnect",
    "duplicate",
    "duplicate_step",
    "insert",
    "move",
    "move_down",
    "move_to",
    "move_up",
    "off_steps",
    "paste",
    "remove",
    "rename",
    "set_enabled",
    "update_edge",
    "update_step",
]


def insert(
    definition: Definition, step: StepDef, place: Place, catalog: TypeCatalog, ids: IdMaker = random_id
) -> Edit:
    """Add a step at a place. An empty key gets a fresh one; a label in use gets a number; `parent` is the place's."""
    refuse_too_many(definition, 1)
    key = step.key or fresh_id(ids, "s", definition.by_key)
    if key in definition.by_key:
        raise OperationRefused("duplicate_key", f"There is a step with the id {key} already.")
    if not catalog.known(step.type):
        raise OperationRefused("unknown_type", f"There is no step type “{step.type}”.")
    if step.type == START and any(other.type == START for other in definition.steps):
        raise OperationRefused("several_starts", "The workflow has a start already.")
    label = unique_label(step.label or step.type.replace("_", " ").capitalize(), definition)
    _check_label(label)
    step = replace(step, key=key, label=label, order=len(definition.steps))
    parent = parent_of(definition, place)
    check_parent(definition, step, parent, catalog)
    step = replace(step, parent=parent, position=step.position or position_at(definition, place))
    if step.type == START and isinstance(place, AtEnd):
        place = _before_all(definition)
    grown = replace(definition, steps=(*definition.steps, step))
    piece = Piece((key,), tails_of(step, catalog), label)
    placed = attach(grown, piece, place, catalog, ids)
    return finish(
        definition,
        placed,
        catalog,
        lambda new: f"“{label}” added, {where_now(new, key, catalog)}.",
        created=(key,),
    )


def _before_all(definition: Definition) -> Place:
    roots = definition.roots()
    return Before(roots[0].key) if roots else AsRoot()


def move(
    definition: Definition, key: str, place: Place, catalog: TypeCatalog, ids: IdMaker = random_id
) -> Edit:
    """Take a step out (heal) and put it somewhere else, also into or out of a container.

    A step whose branches are wired moves with all of them, up to where they meet; where other steps lead into
    those branches, or they leave to several places, the move is refused.
    """
    if _stays(definition, key, place, catalog):
        return Edit(definition, Effects(f"“{step_of(definition, key).label}” stays where it is."))
    return _relocate(definition, key, lambda healed, group: place, catalog, ids)


def move_to(
    definition: Definition,
    key: str,
    index: int,
    catalog: TypeCatalog,
    ids: IdMaker = random_id,
    *,
    parent: str | None = None,
    same_body: bool = True,
) -> Edit:
    """Put a step into a gap of the list: before the step that stands at `index` once this one is taken out.

    The step goes onto the path into the next card, the one from the card above if there is one.
    `same_body=False` takes the list of `parent` instead of the step's own.
    """
    body = step_of(definition, key).parent if same_body else parent

    def gap(healed: Definition, group: Group) -> Place:
        cards = [step for step in body_order(healed, body, catalog) if step.key not in group.members]
        at = min(max(index, 0), len(cards))
        above = cards[at - 1] if at else None
        if at == len(cards):
            if above is None:
                return AsRoot(body)
            return After(above.key) if main_port(above, catalog) else Before(above.key)
        below = cards[at]
        entering = healed.incoming(below.key)
        if not entering:
            # A gap above a step that starts by itself: at the top of the list, or between two lanes.
            if above is None or main_port(above, catalog) is None or healed.outgoing(above.key):
                return Before(below.key)
            return After(above.key)
        chosen = next(
            (edge for edge in entering if above is not None and edge.source == above.key), entering[0]
        )
        return OnEdge(chosen.id)

    return _relocate(definition, key, gap, catalog, ids)


def move_up(definition: Definition, key: str, catalog: TypeCatalog, ids: IdMaker = random_id) -> Edit:
    """One gap up in the list of its body."""
    at = _gap_of(definition, key, catalog)
    if at == 0:
        raise OperationRefused("first", f"“{definition.step(key).label}” is the first step already.")
    return move_to(definition, key, at - 1, catalog, ids)


def move_down(definition: Definition, key: str, catalog: TypeCatalog, ids: IdMaker = random_id) -> Edit:
    """One gap down in the list of its body."""
    at = _gap_of(definition, key, catalog)
    step = definition.step(key)
    cards = len(definition.children(step.parent)) - len(group_of(definition, key, catalog).members)
    if at >= cards:
        raise OperationRefused("last", f"“{step.label}” is the last step already.")
    return move_to(definition, key, at + 1, catalog, ids)


def _gap_of(definition: Definition, key: str, catalog: TypeCatalog) -> int:
    step = step_of(definition, key)
    members = group_of(definition, key, catalog).members
    before = 0
    for other in body_order(definition, step.parent, catalog):
        if other.key == key:
            break
        before += other.key not in members
    return before


def _stays(definition: Definition, key: str, place: Place, catalog: TypeCatalog) -> bool:
    """Whether the place is where the step is."""
    step = step_of(definition, key)
    match place:
        case OnEdge(edge_id):
            edge = edge_of(definition, edge_id)
            return edge.target == key or (edge.source == key and edge.port == main_port(step, catalog))
        case Between(source, target, port):
            before = definition.incoming(key)
            return (
                len(before) == 1
                and before[0].source == source
                and port in (None, before[0].port)
                and any(edge.target == target for edge in definition.outgoing(key))
            )
        case After(source, port):
            port = port or main_port(step_of(definition, source), catalog)
            before = definition.incoming(key)
            alone = len(before) == 1 and before[0].source == source and before[0].port == port
            return alone and not definition.outgoing(key)
        case Before(target):
            out = definition.outgoing(key)
            return (
                len(out) == 1
                and definition.incoming(target) == out
                and out[0].port == main_port(step, catalog)
            )
    return False


def _relocate(
    definition: Definition,
    key: str,
    choose: Callable[[Definition, Group], Place],
    catalog: TypeCatalog,
    ids: IdMaker,
) -> Edit:
    step = step_of(definition, key)
    group = group_of(definition, key, catalog)
    inside = {
        *group.members,
        *(child.key for member in group.members for child in body_of(definition, member)),
    }
    healed, lost = heal(definition, group, ids)
    place = choose(healed, group)
    _refuse_own_branch(definition, healed, step, place, inside)
    parent = parent_of(healed, place)
    if parent in inside:
        raise OperationRefused("into_itself", f"“{step.label}” cannot be moved into itself.")
    for member in group.members:
        check_parent(healed, healed.step(member), parent, catalog)
    leaving = [
        edge
        for edge in healed.edges
        if (edge.source in group.members) != (edge.target in group.members) and parent != step.parent
    ]
    if leaving:
        other = healed.step(leaving[0].target)
        raise OperationRefused(
            "crosses_border",
            f"A branch of “{step.label}” leads to “{other.label}”, which would stay outside.",
        )
    moved = replace(
        healed,
        steps=tuple(replace(one, parent=parent) if one.key in group.members else one for one in healed.steps),
    )
    # Reparented or hung in the air, a step comes last among equals until its paths place it.
    last = len(moved.steps)
    moved = replace(
        moved,
        steps=tuple(
            replace(one, order=last + one.order) if one.key in group.members else one for one in moved.steps
        ),
    )
    placed = attach(moved, Piece((key,), group.tails, step.label), place, catalog, ids)

    def words(new: Definition) -> str:
        with_it = len(group.members) - 1
        also = (
            ""
            if not with_it
            else " with its branch"
            if with_it == 1
            else f" with the {with_it} steps of its branches"
        )
        return f"“{step.label}” moved{also}, {where_now(new, key, catalog)}."

    return finish(definition, placed, catalog, words, checks=lost_path_checks(definition, placed, lost))


def _refuse_own_branch(
    definition: Definition, healed: Definition, step: StepDef, place: Place, inside: set[str]
) -> None:
    anchors: tuple[str, ...] = ()
    match place:
        case OnEdge(edge_id):
            edge = next((edge for edge in healed.edges if edge.id == edge_id), None) or edge_of(
                definition, edge_id
            )
            anchors = (edge.source, edge.target)
        case Between(source, target):
            anchors = (source, target)
        case After(anchor) | Before(anchor):
            anchors = (anchor,)
    if any(anchor in inside for anchor in anchors):
        raise OperationRefused("own_branch", f"“{step.label}” cannot be moved into its own branches.")


def connect(
    definition: Definition,
    source: str,
    target: str,
    catalog: TypeCatalog,
    ids: IdMaker = random_id,
    *,
    port: str | None = None,
    target_input: str | None = None,
    condition: str | None = None,
) -> Edit:
    """Draw a path from a step's port (the main one unless named) to a step of the same body."""
    start, end = step_of(definition, source), step_of(definition, target)
    port = port or main_port(start, catalog)
    if port is None or port not in catalog.ports(start):
        raise OperationRefused(
            "no_port",
            f"“{start.label}” has no way out “{port}”." if port else f"Nothing can follow “{start.label}”.",
        )
    if start.parent != end.parent:
        raise OperationRefused(
            "crosses_border",
            f"“{start.label}” and “{end.label}” are not in the same body: a path cannot cross its border.",
        )
    if end.type == START:
        raise OperationRefused(
            "into_start", f"“{end.label}” is where the workflow starts: no path leads to it."
        )
    if source == target or target in definition.ancestors(source):
        raise OperationRefused(
            "cycle",
            f"“{end.label}” comes before “{start.label}”: they would wait for each other. To repeat steps, use a loop.",
        )
    if any(edge.target == target and edge.port == port for edge in definition.outgoing(source)):
        raise OperationRefused(
            "duplicate_edge", f"That path from “{start.label}” to “{end.label}” is there already."
        )
    if len(definition.edges) >= EDGES_PER_WORKFLOW.value:
        raise OperationRefused("too_many", EDGES_PER_WORKFLOW.says())
    edge = EdgeDef(
        fresh_edge_id(definition, ids),
        source,
        target,
        port,
        target_input or None,
        (condition or "").strip() or None,
    )
    new = replace(definition, edges=(*definition.edges, edge))
    return finish(definition, new, catalog, f"“{start.label}” now leads to “{end.label}”.")


def disconnect(definition: Definition, edge_id: str, catalog: TypeCatalog) -> Edit:
    """Remove a path; the steps stay where they are."""
    edge = edge_of(definition, edge_id)
    new = replace(definition, edges=tuple(other for other in definition.edges if other.id != edge_id))
    message = (
        f"Path from “{definition.step(edge.source).label}” to “{definition.step(edge.target).label}” removed."
    )
    return finish(definition, new, catalog, message, checks=lost_path_checks(definition, new, [edge]))


def update_edge(
    definition: Definition,
    edge_id: str,
    catalog: TypeCatalog,
    *,
    condition: str | None = None,
    target_input: str | None = None,
) -> Edit:
    """Set a path's condition and the name of its value in the target; None takes them off."""
    edge = edge_of(definition, edge_id)
    changed = replace(edge, condition=(condition or "").strip() or None, target_input=target_input or None)
    if any(replace(other, id=edge_id) == changed for other in definition.edges if other.id != edge_id):
        raise OperationRefused("duplicate_edge", "There is a path like that already.")
    new = replace(
        definition, edges=tuple(changed if other.id == edge_id else other for other in definition.edges)
    )
    return finish(definition, new, catalog, f"Path to “{definition.step(edge.target).label}” changed.")


def set_enabled(
    definition: Definition, keys: str | Iterable[str], enabled: bool, catalog: TypeCatalog
) -> Edit:
    """Turn steps on or off. What is off lets its input pass through; start and end cannot be off."""
    wanted = (keys,) if isinstance(keys, str) else tuple(dict.fromkeys(keys))
    steps = [step_of(definition, key) for key in wanted]
    for step in steps:
        if not enabled and not catalog.can_disable(step.type):
            raise OperationRefused("cannot_disable", f"“{step.label}” cannot be turned off.")
    new = definition
    for step in steps:
        new = new.with_step(replace(step, enabled=enabled))
    word = "on" if enabled else "off"
    message = f"“{steps[0].label}” is {word}." if len(steps) == 1 else f"{len(steps)} steps are {word}."
    return finish(definition, new, catalog, message)


def rename(definition: Definition, key: str, label: str, catalog: TypeCatalog) -> Edit:
    """Give a step another label and rewrite every reference to it (W7)."""
    step = step_of(definition, key)
    label = clean_label(label)
    _check_label(label)
    if any(other.key != key and normal(other.label) == normal(label) for other in definition.steps):
        raise OperationRefused("duplicate_label", f"There is a step called “{label}” already.")
    if label == step.label:
        return Edit(definition, Effects(f"“{label}” keeps its name."))
    new, rewritten = rename_references(definition, {step.label: label}, catalog)
    new = new.with_step(replace(new.step(key), label=label))
    count = len(rewritten)
    also = "" if not count else f", and {count} {'text that uses' if count == 1 else 'texts that use'} it"
    return finish(definition, new, catalog, f"“{step.label}” is now “{label}”{also}.", rewritten=rewritten)


_UPDATABLE: Final = frozenset(
    {"description", "config", "position", "retry", "timeout_s", "on_error", "join", "inputs", "outputs", "pinned", "note"}
)  # fmt: skip


def update_step(definition: Definition, key: str, catalog: TypeCatalog, **changes: Any) -> Edit:
    """Set fields of a step: description, config, position, retry, timeout_s, on_error, join, inputs, outputs, pinned, note.

    When settings rename a way out (a case of a condition, a branch), the paths that leave by it go along.
    """
    unknown = set(changes) - _UPDATABLE
    if unknown:
        raise TypeError(f"update_step cannot set {', '.join(sorted(unknown))}")
    step = step_of(definition, key)
    changed = replace(step, **changes)
    old_ports, new_ports = catalog.ports(step), catalog.ports(changed)
    new = definition.with_step(changed)
    if len(old_ports) == len(new_ports) and old_ports != new_ports:
        renamed = {
            old: now
            for old, now in zip(old_ports, new_ports, strict=True)
            if old != now and old not in new_ports and now not in old_ports
        }
        new = replace(
            new,
            edges=tuple(
                replace(edge, port=renamed.get(edge.port, edge.port)) if edge.source == key else edge
                for edge in new.edges
            ),
        )
    return finish(definition, new, catalog, f"“{step.label}” saved.")


def change_type(
    definition: Definition, key: str, type_name: str, config: JSONObject, catalog: TypeCatalog
) -> Edit:
    """Make a step another type with these settings; `effects.lost` lists what goes (call it to ask first).

    Paths by the main port stay on the main port, ports of the same name stay, other paths and a body are lost.
    """
    step = step_of(definition, key)
    canonical = catalog.canonical(type_name)
    if canonical is None:
        raise OperationRefused("unknown_type", f"There is no step type “{type_name}”.")
    if canonical == START and any(other.type == START and other.key != key for other in definition.steps):
        raise OperationRefused("several_starts", "The workflow has a start already.")
    if canonical == START and definition.incoming(key):
        raise OperationRefused(
            "into_start", f"Other steps lead to “{step.label}”, so it cannot be the start."
        )
    check_parent(definition, replace(step, type=canonical), step.parent, catalog)
    changed = replace(
        step, type=canonical, config=config, enabled=step.enabled or not catalog.can_disable(canonical)
    )
    old_main, new_main, ports = main_port(step, catalog), main_port(changed, catalog), catalog.ports(changed)
    lost: list[str] = [
        f"The setting “{name.replace('_', ' ')}”."
        for name, value in step.config.items()
        if name not in config and value not in (None, "", [], {})
    ]
    dropped: list[EdgeDef] = []
    edges: list[EdgeDef] = []
    for edge in definition.edges:
        if edge.source != key or edge.port in ports:
            edges.append(edge)
        elif edge.port == old_main and new_main is not None:
            edges.append(replace(edge, port=new_main))
        else:
            dropped.append(edge)
            lost.append(f"The path “{edge.port}” to “{definition.step(edge.target).label}”.")
    body = () if catalog.is_container(canonical) else body_of(definition, key)
    gone = {child.key for child in body}
    if body:
        lost.append(f"The steps inside it: {names_of(body)}.")
    new = replace(
        definition.with_step(changed),
        edges=tuple(_unique(edge for edge in edges if edge.source not in gone and edge.target not in gone)),
    )
    new = replace(new, steps=tuple(other for other in new.steps if other.key not in gone))
    return finish(
        definition,
        new,
        catalog,
        f"“{step.label}” has another type now.",
        removed=tuple(gone),
        checks=lost_path_checks(definition, new, dropped),
        lost=tuple(lost),
    )


def _check_label(label: str) -> None:
    if (why := label_problem(label)) is not None:
        raise OperationRefused("bad_label", why)


def _unique(edges: Iterable[EdgeDef]) -> list[EdgeDef]:
    seen: dict[tuple[str, str, str, str | None, str | None], EdgeDef] = {}
    for edge in edges:
        seen.setdefault((edge.source, edge.port, edge.target, edge.target_input, edge.condition), edge)
    return list(seen.values())
