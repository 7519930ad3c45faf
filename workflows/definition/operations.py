"""Every edit of a workflow, from list or canvas: pure functions that give a new definition and say what it does.

Each is total: it gives an Edit whose definition has no cycle, no lost step and `order` 0..n-1 in each body, or it
raises OperationRefused with the reason. `ids` makes ids; give a counting one for the same result every time.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from workflows.definition.bypass import Bypassed, both, bypass_disabled, off_steps
from workflows.definition.graph import (
    DEFAULT_PORT,
    ERROR_PORT,
    Definition,
    EdgeDef,
    JoinRule,
    Position,
    StepDef,
)
from workflows.definition.ids import IdMaker, random_id
from workflows.definition.ordering import body_order, cycle, list_order, reindex
from workflows.definition.renaming import rename_references
from workflows.definition.structure import clean_label, label_problem, unique_label
from workflows.definition.types import END, START, TypeCatalog, main_port
from workflows.definition.uses import users_of
from workflows.definition.validation import graph_problems
from workflows.expressions.paths import normal
from workflows.lib.errors import Fault, Problem, StepwellError
from workflows.lib.jsontypes import JSONObject
from workflows.lib.limits import EDGES_PER_WORKFLOW, STEPS_PER_WORKFLOW

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
]  # fmt: skip


# The end of a sentence about a text: where in it the fault is.
_PLACE: Final = re.compile(r" \([^()]*line \d+, column \d+\)$")


class OperationRefused(StepwellError):
    """The edit cannot be made; nothing was changed. The message says why, in words for the person."""

    code = "refused"
    fault = Fault.AUTHOR
    status = 409

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message, code=code)


@dataclass(frozen=True, slots=True)
class Effects:
    """What an edit did, for the toast, the screen reader and the checks.

    `message` is one sentence. `problems` are those that were not there before. `created` and `removed` are step
    keys; `added_edges` and `removed_edges` are what changed between steps; `rewritten` names the texts that were
    changed, as (step key or edge id, field); `lost` lists, in words, what the edit takes away for good.
    """

    message: str
    problems: tuple[Problem, ...] = ()
    created: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    added_edges: tuple[EdgeDef, ...] = ()
    removed_edges: tuple[EdgeDef, ...] = ()
    rewritten: tuple[tuple[str, str], ...] = ()
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Edit:
    definition: Definition
    effects: Effects


# --- places ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OnEdge:
    """On the path with this id: it is cut in two, with the step in between."""

    edge_id: str


@dataclass(frozen=True, slots=True)
class Between:
    """On the path from one step to another if there is one, else after the first (02 §3)."""

    source: str
    target: str
    port: str | None = None


@dataclass(frozen=True, slots=True)
class After:
    """On a new path out of a step, by its main port unless one is named."""

    step: str
    port: str | None = None


@dataclass(frozen=True, slots=True)
class Before:
    """In front of a step: every path to it leads to the new one instead."""

    step: str


@dataclass(frozen=True, slots=True)
class AsRoot:
    """On its own in the body of `parent` (None: the top level); it starts with the body."""

    parent: str | None = None


@dataclass(frozen=True, slots=True)
class AtEnd:
    """At the end of the main lane of the body of `parent`, in front of the step that ends it."""

    parent: str | None = None


Place: TypeAlias = OnEdge | Between | After | Before | AsRoot | AtEnd


@dataclass(frozen=True, slots=True)
class _Tail:
    """A loose end of what is being placed: an edge that still wants a target."""

    source: str
    port: str
    condition: str | None = None


@dataclass(frozen=True, slots=True)
class _Piece:
    """Steps that are placed together: where paths go in, and where they come out."""

    heads: tuple[str, ...]
    tails: tuple[_Tail, ...]
    label: str


@dataclass(frozen=True, slots=True)
class _Group:
    """A step and what moves with it. `exits` are the edges that healing replaces; `stay` keep their target."""

    head: str
    members: frozenset[str]
    exits: tuple[EdgeDef, ...]
    tails: tuple[_Tail, ...]
    dropped: tuple[EdgeDef, ...] = ()


# --- inserting --------------------------------------------------------------------------------------


def insert(
    definition: Definition, step: StepDef, place: Place, catalog: TypeCatalog, ids: IdMaker = random_id
) -> Edit:
    """Add a step at a place. An empty key gets a fresh one; a label in use gets a number; `parent` is the place's."""
    _refuse_more_than_the_limit(definition, 1)
    key = step.key or _fresh(ids, "s", definition.by_key)
    if key in definition.by_key:
        raise OperationRefused("duplicate_key", f"There is a step with the id {key} already.")
    if not catalog.known(step.type):
        raise OperationRefused("unknown_type", f"There is no step type “{step.type}”.")
    if step.type == START and any(other.type == START for other in definition.steps):
        raise OperationRefused("several_starts", "The workflow has a start already.")
    label = unique_label(step.label or step.type.replace("_", " ").capitalize(), definition)
    _check_label(label)
    step = replace(step, key=key, label=label, order=len(definition.steps))
    parent = _parent_of(definition, place)
    _check_parent(definition, step, parent, catalog)
    step = replace(step, parent=parent, position=step.position or _position_at(definition, place))
    if step.type == START and isinstance(place, AtEnd):
        place = _before_all(definition)
    grown = replace(definition, steps=(*definition.steps, step))
    piece = _Piece((key,), _tails_of(step, catalog), label)
    placed = _attach(grown, piece, place, catalog, ids)
    return _finish(
        definition,
        placed,
        catalog,
        lambda new: f"“{label}” added, {_where(new, key, catalog)}.",
        created=(key,),
    )


def _attach(
    definition: Definition, piece: _Piece, place: Place, catalog: TypeCatalog, ids: IdMaker
) -> Definition:
    """Join a piece that stands loose in the definition to its place."""
    match place:
        case AsRoot():
            return definition
        case Between():
            found = _edge_between(definition, place)
            where: Place = OnEdge(found.id) if found is not None else After(place.source, place.port)
            return _attach(definition, piece, where, catalog, ids)
        case AtEnd(parent):
            return _attach(definition, piece, _end_of(definition, piece, parent, catalog), catalog, ids)
        case After(key, port):
            _refuse_start(definition, piece)
            source = _step(definition, key)
            port = port or main_port(source, catalog)
            if port is None or port not in catalog.ports(source):
                raise OperationRefused("no_port", f"Nothing can follow “{source.label}” there.")
            new = [EdgeDef(_edge_id(definition, ids), key, head, port) for head in piece.heads]
            return replace(definition, edges=(*definition.edges, *_distinct_ids(new, definition, ids)))
        case OnEdge(edge_id):
            edge = _edge(definition, edge_id)
            return _splice(definition, piece, (edge,), edge.target, ids)
        case Before(key):
            target = _step(definition, key)
            if target.type == START:
                raise OperationRefused(
                    "before_start", f"“{target.label}” comes first: nothing can stand before it."
                )
            entering = definition.incoming(key)
            joined = _splice(definition, piece, entering, key, ids)
            if len(entering) > 1 and len(piece.heads) == 1:
                # What waited for several paths now waits for one; the new step waits for them in its place.
                joined = joined.with_step(replace(joined.step(piece.heads[0]), join=target.join))
                joined = joined.with_step(replace(joined.step(key), join=JoinRule()))
            return joined


def _splice(
    definition: Definition, piece: _Piece, cut: Sequence[EdgeDef], target: str, ids: IdMaker
) -> Definition:
    """Lead the cut edges into the piece, and the piece's loose ends to the target."""
    if cut:
        _refuse_start(definition, piece)
    if not piece.tails:
        raise OperationRefused(
            "nothing_follows",
            f"Nothing can follow “{piece.label}”, so it cannot stand in the middle of a path.",
        )
    entering = [replace(edge, id="", target=head, target_input=None) for edge in cut for head in piece.heads]
    name = cut[0].target_input if len(cut) == 1 else None
    leaving = [EdgeDef("", tail.source, target, tail.port, name, tail.condition) for tail in piece.tails]
    new = _distinct_ids([*entering, *leaving], definition, ids)
    return _replace_edges(definition, cut, new)


def _end_of(definition: Definition, piece: _Piece, parent: str | None, catalog: TypeCatalog) -> Place:
    """Where the main lane of a body ends: follow the first root by main ports."""
    heads = {*piece.heads, *(tail.source for tail in piece.tails)}
    body = [step for step in body_order(definition, parent, catalog) if step.key not in heads]
    # Steps that came along with the piece do not count as the body's.
    at = next((step for step in body if not definition.incoming(step.key)), None)
    if at is None:
        return AsRoot(parent)
    while True:
        port = main_port(at, catalog)
        if port is None:
            return Before(at.key) if piece.tails else AsRoot(parent)
        following = next((edge for edge in definition.outgoing(at.key) if edge.port == port), None)
        if following is None:
            return After(at.key, port)
        at = definition.step(following.target)


def _before_all(definition: Definition) -> Place:
    roots = definition.roots()
    return Before(roots[0].key) if roots else AsRoot()


# --- taking out -------------------------------------------------------------------------------------


def remove(
    definition: Definition, keys: str | Iterable[str], catalog: TypeCatalog, ids: IdMaker = random_id
) -> Edit:
    """Delete steps, containers with their bodies, and heal the edges around each (07 §3)."""
    wanted = (keys,) if isinstance(keys, str) else tuple(dict.fromkeys(keys))
    gone: dict[str, StepDef] = {}
    for key in wanted:
        for step in (_step(definition, key), *_body(definition, key)):
            gone[step.key] = step
    new = definition
    checks: list[EdgeDef] = []
    for key in wanted:
        if key not in new.by_key:
            continue
        new, lost = _heal(new, _plain_group(new, key, catalog), ids)
        checks.extend(edge for edge in lost if edge.target not in gone)
        inside = {key, *(step.key for step in _body(new, key))}
        new = replace(
            new,
            steps=tuple(step for step in new.steps if step.key not in inside),
            edges=tuple(
                edge for edge in new.edges if edge.source not in inside and edge.target not in inside
            ),
        )
    users = users_of(definition, catalog, gone)
    lost_words = [
        f"{_names([user for user in users[key] if user.key not in gone])} used the output of “{step.label}”."
        for key, step in gone.items()
        if any(user.key not in gone for user in users[key])
    ]
    message = (
        f"“{definition.step(wanted[0]).label}” removed."
        if len(wanted) == 1
        else f"{len(wanted)} steps removed."
    )
    return _finish(
        definition,
        new,
        catalog,
        message,
        removed=tuple(gone),
        checks=_lost_paths(definition, new, checks),
        lost=tuple(lost_words),
    )


def _plain_group(definition: Definition, key: str, catalog: TypeCatalog) -> _Group:
    """The step alone: its main edges are healed, those of other ports dropped."""
    step = _step(definition, key)
    main = main_port(step, catalog)
    out = definition.outgoing(key)
    return _Group(
        key,
        frozenset({key}),
        exits=tuple(edge for edge in out if edge.port == main),
        tails=_tails_of(step, catalog),
        dropped=tuple(edge for edge in out if edge.port != main),
    )


def _heal(definition: Definition, group: _Group, ids: IdMaker) -> tuple[Definition, tuple[EdgeDef, ...]]:
    """Loosen a group: each edge into it goes, with its port and condition, to the targets of its exits.

    Gives the definition with the group standing loose, and the edges that found no replacement.
    """
    entering = definition.incoming(group.head)
    there = {(edge.source, edge.port, edge.target, edge.condition) for edge in definition.edges}
    new: list[EdgeDef] = []
    place: dict[str, list[int]] = {}
    exits = {exit.target: exit for exit in reversed(group.exits)}
    for exit in [edge for edge in group.exits if exits[edge.target] is edge]:
        # A group's exits meet in one step; their own conditions chose inside the group. A lone step's count.
        own = exit.condition if len(group.members) == 1 else None
        for edge in entering:
            condition = both(edge.condition, own)
            what = (edge.source, edge.port, exit.target, condition)
            if what in there:
                continue
            there.add(what)
            place.setdefault(exit.id, []).append(len(new))
            new.append(EdgeDef("", edge.source, exit.target, edge.port, exit.target_input, condition))
    new = _distinct_ids(new, definition, ids)
    gone = {edge.id for edge in (*entering, *group.exits, *group.dropped)}
    edges: list[EdgeDef] = []
    for edge in definition.edges:
        edges.extend(new[index] for index in place.get(edge.id, ()))
        if edge.id not in gone:
            edges.append(edge)
    return replace(definition, edges=tuple(edges)), group.dropped


# --- moving -----------------------------------------------------------------------------------------


def move(
    definition: Definition, key: str, place: Place, catalog: TypeCatalog, ids: IdMaker = random_id
) -> Edit:
    """Take a step out (heal) and put it somewhere else, also into or out of a container.

    A step whose branches are wired moves with all of them, up to where they meet; where other steps lead into
    those branches, or they leave to several places, the move is refused.
    """
    if _stays(definition, key, place, catalog):
        return Edit(definition, Effects(f"“{_step(definition, key).label}” stays where it is."))
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
    body = _step(definition, key).parent if same_body else parent

    def gap(healed: Definition, group: _Group) -> Place:
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
    cards = len(definition.children(step.parent)) - len(_group(definition, key, catalog).members)
    if at >= cards:
        raise OperationRefused("last", f"“{step.label}” is the last step already.")
    return move_to(definition, key, at + 1, catalog, ids)


def _gap_of(definition: Definition, key: str, catalog: TypeCatalog) -> int:
    step = _step(definition, key)
    members = _group(definition, key, catalog).members
    before = 0
    for other in body_order(definition, step.parent, catalog):
        if other.key == key:
            break
        before += other.key not in members
    return before


def _stays(definition: Definition, key: str, place: Place, catalog: TypeCatalog) -> bool:
    """Whether the place is where the step is."""
    step = _step(definition, key)
    match place:
        case OnEdge(edge_id):
            edge = _edge(definition, edge_id)
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
            port = port or main_port(_step(definition, source), catalog)
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
    choose: Callable[[Definition, _Group], Place],
    catalog: TypeCatalog,
    ids: IdMaker,
) -> Edit:
    step = _step(definition, key)
    group = _group(definition, key, catalog)
    inside = {*group.members, *(child.key for member in group.members for child in _body(definition, member))}
    healed, lost = _heal(definition, group, ids)
    place = choose(healed, group)
    _refuse_own_branch(definition, healed, step, place, inside)
    parent = _parent_of(healed, place)
    if parent in inside:
        raise OperationRefused("into_itself", f"“{step.label}” cannot be moved into itself.")
    for member in group.members:
        _check_parent(healed, healed.step(member), parent, catalog)
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
    placed = _attach(moved, _Piece((key,), group.tails, step.label), place, catalog, ids)

    def words(new: Definition) -> str:
        with_it = len(group.members) - 1
        also = (
            ""
            if not with_it
            else " with its branch"
            if with_it == 1
            else f" with the {with_it} steps of its branches"
        )
        return f"“{step.label}” moved{also}, {_where(new, key, catalog)}."

    return _finish(definition, placed, catalog, words, checks=_lost_paths(definition, placed, lost))


def _refuse_own_branch(
    definition: Definition, healed: Definition, step: StepDef, place: Place, inside: set[str]
) -> None:
    anchors: tuple[str, ...] = ()
    match place:
        case OnEdge(edge_id):
            edge = next((edge for edge in healed.edges if edge.id == edge_id), None) or _edge(
                definition, edge_id
            )
            anchors = (edge.source, edge.target)
        case Between(source, target):
            anchors = (source, target)
        case After(anchor) | Before(anchor):
            anchors = (anchor,)
    if any(anchor in inside for anchor in anchors):
        raise OperationRefused("own_branch", f"“{step.label}” cannot be moved into its own branches.")


def _group(definition: Definition, key: str, catalog: TypeCatalog) -> _Group:
    """What moves with a step (07 §3: "a branching step moves with its exclusive descendants or is refused").

    1. One wired port (the error port apart): the step alone; its error branch comes along as far as it is its own.
    2. Several wired ports: everything between it and the step where all branches meet. That step stays, and
       healing leads there. Branches that never meet come along to their ends.
    3. Refused when another step leads into what would move, or when it leaves to more than the meeting step.
    """
    step = _step(definition, key)
    out = definition.outgoing(key)
    used = list(dict.fromkeys(edge.port for edge in out if edge.port != ERROR_PORT))
    own = _own_descendants(definition, key)
    if len(used) < 2:
        plain = _plain_group(definition, key, catalog)
        error = {edge.target for edge in out if edge.port == ERROR_PORT}
        if not error:
            return plain
        main_lane = _reached(definition, {edge.target for edge in out if edge.port != ERROR_PORT})
        side = (_reached(definition, error) & own) - main_lane
        kept = tuple(edge for edge in plain.dropped if edge.port == ERROR_PORT and edge.target in side)
        dropped = tuple(edge for edge in plain.dropped if edge not in kept)
        return replace(plain, members=frozenset({key, *side}), dropped=dropped) if side else plain
    lanes = [_reached(definition, {edge.target for edge in out if edge.port == port}) for port in used]
    shared = frozenset.intersection(*lanes)
    meeting = next(
        (other.key for other in body_order(definition, step.parent, catalog) if other.key in shared), None
    )
    beyond = _reached(definition, {meeting}) if meeting is not None else frozenset()
    between = _reached(definition, {edge.target for edge in out}) - beyond
    for other_key in between - own:
        other = definition.step(other_key)
        stranger = next(
            (edge.source for edge in definition.incoming(other_key) if edge.source not in between | {key}),
            None,
        )
        also = f"“{definition.step(stranger).label}”" if stranger else "another step"
        raise OperationRefused(
            "shared_branch",
            f"“{step.label}” splits into branches and would move with them, but {also} leads to “{other.label}” too.",
        )
    members = frozenset({key, *between})
    exits = tuple(edge for edge in definition.edges if edge.source in members and edge.target not in members)
    astray = next((edge for edge in exits if edge.target != meeting), None)
    if astray is not None:
        raise OperationRefused(
            "shared_branch",
            f"“{step.label}” splits into branches that lead on to different steps, "
            f"among them “{definition.step(astray.target).label}”.",
        )
    tails = tuple(_Tail(edge.source, edge.port, edge.condition) for edge in exits)
    if not exits:
        ends = (definition.step(member) for member in sorted(members) if not definition.outgoing(member))
        tails = tuple(tail for end in ends for tail in _tails_of(end, catalog))
    return _Group(key, members, exits, tails)


def _own_descendants(definition: Definition, key: str) -> frozenset[str]:
    """Steps that can only be reached through this one."""
    own = {key}
    below = definition.descendants(key)
    waiting = {other: len(definition.incoming(other)) for other in below}
    todo = [key]
    while todo:
        for edge in definition.outgoing(todo.pop()):
            if edge.target not in waiting:
                continue
            waiting[edge.target] -= 1
            if waiting[edge.target] == 0 and edge.target not in own:
                own.add(edge.target)
                todo.append(edge.target)
    return frozenset(own - {key})


def _reached(definition: Definition, keys: Iterable[str]) -> frozenset[str]:
    """These steps and everything after them."""
    found = set(keys)
    todo = list(found)
    while todo:
        for edge in definition.outgoing(todo.pop()):
            if edge.target not in found:
                found.add(edge.target)
                todo.append(edge.target)
    return frozenset(found)


# --- paths ------------------------------------------------------------------------------------------


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
    start, end = _step(definition, source), _step(definition, target)
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
        _edge_id(definition, ids),
        source,
        target,
        port,
        target_input or None,
        (condition or "").strip() or None,
    )
    new = replace(definition, edges=(*definition.edges, edge))
    return _finish(definition, new, catalog, f"“{start.label}” now leads to “{end.label}”.")


def disconnect(definition: Definition, edge_id: str, catalog: TypeCatalog) -> Edit:
    """Remove a path; the steps stay where they are."""
    edge = _edge(definition, edge_id)
    new = replace(definition, edges=tuple(other for other in definition.edges if other.id != edge_id))
    message = (
        f"Path from “{definition.step(edge.source).label}” to “{definition.step(edge.target).label}” removed."
    )
    return _finish(definition, new, catalog, message, checks=_lost_paths(definition, new, [edge]))


def update_edge(
    definition: Definition,
    edge_id: str,
    catalog: TypeCatalog,
    *,
    condition: str | None = None,
    target_input: str | None = None,
) -> Edit:
    """Set a path's condition and the name of its value in the target; None takes them off."""
    edge = _edge(definition, edge_id)
    changed = replace(edge, condition=(condition or "").strip() or None, target_input=target_input or None)
    if any(replace(other, id=edge_id) == changed for other in definition.edges if other.id != edge_id):
        raise OperationRefused("duplicate_edge", "There is a path like that already.")
    new = replace(
        definition, edges=tuple(changed if other.id == edge_id else other for other in definition.edges)
    )
    return _finish(definition, new, catalog, f"Path to “{definition.step(edge.target).label}” changed.")


# --- one step's own things --------------------------------------------------------------------------


def set_enabled(
    definition: Definition, keys: str | Iterable[str], enabled: bool, catalog: TypeCatalog
) -> Edit:
    """Turn steps on or off. What is off lets its input pass through; start and end cannot be off."""
    wanted = (keys,) if isinstance(keys, str) else tuple(dict.fromkeys(keys))
    steps = [_step(definition, key) for key in wanted]
    for step in steps:
        if not enabled and not catalog.can_disable(step.type):
            raise OperationRefused("cannot_disable", f"“{step.label}” cannot be turned off.")
    new = definition
    for step in steps:
        new = new.with_step(replace(step, enabled=enabled))
    word = "on" if enabled else "off"
    message = f"“{steps[0].label}” is {word}." if len(steps) == 1 else f"{len(steps)} steps are {word}."
    return _finish(definition, new, catalog, message)


def rename(definition: Definition, key: str, label: str, catalog: TypeCatalog) -> Edit:
    """Give a step another label and rewrite every reference to it (W7)."""
    step = _step(definition, key)
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
    return _finish(definition, new, catalog, f"“{step.label}” is now “{label}”{also}.", rewritten=rewritten)


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
    step = _step(definition, key)
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
    return _finish(definition, new, catalog, f"“{step.label}” saved.")


def change_type(
    definition: Definition, key: str, type_name: str, config: JSONObject, catalog: TypeCatalog
) -> Edit:
    """Make a step another type with these settings; `effects.lost` lists what goes (call it to ask first).

    Paths by the main port stay on the main port, ports of the same name stay, other paths and a body are lost.
    """
    step = _step(definition, key)
    canonical = catalog.canonical(type_name)
    if canonical is None:
        raise OperationRefused("unknown_type", f"There is no step type “{type_name}”.")
    if canonical == START and any(other.type == START and other.key != key for other in definition.steps):
        raise OperationRefused("several_starts", "The workflow has a start already.")
    if canonical == START and definition.incoming(key):
        raise OperationRefused(
            "into_start", f"Other steps lead to “{step.label}”, so it cannot be the start."
        )
    _check_parent(definition, replace(step, type=canonical), step.parent, catalog)
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
    body = () if catalog.is_container(canonical) else _body(definition, key)
    gone = {child.key for child in body}
    if body:
        lost.append(f"The steps inside it: {_names(body)}.")
    new = replace(
        definition.with_step(changed),
        edges=tuple(_unique(edge for edge in edges if edge.source not in gone and edge.target not in gone)),
    )
    new = replace(new, steps=tuple(other for other in new.steps if other.key not in gone))
    return _finish(
        definition,
        new,
        catalog,
        f"“{step.label}” has another type now.",
        removed=tuple(gone),
        checks=_lost_paths(definition, new, dropped),
        lost=tuple(lost),
    )


# --- copies -----------------------------------------------------------------------------------------


def duplicate_step(definition: Definition, key: str, catalog: TypeCatalog, ids: IdMaker = random_id) -> Edit:
    """Copy a step, with its body, to right after itself: the copy leads on by the main port."""
    step = _step(definition, key)
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
        for step in (_step(definition, key), *_body(definition, key)):
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
    where: Place | Callable[[Definition, _Piece], Place],
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
    _refuse_more_than_the_limit(definition, len(fragment.steps))
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
    tails = tuple(tail for step in tops if not fresh.outgoing(step.key) for tail in _tails_of(step, catalog))
    heads = tuple(step.key for step in tops if not fresh.incoming(step.key))
    piece = _Piece(heads, tails, tops[0].label)
    count = len(definition.steps)
    place = where(definition, piece) if callable(where) else where
    parent = _parent_of(definition, place)
    for step in tops:
        _check_parent(definition, step, parent, catalog)
    added = tuple(
        replace(step, order=count + index, parent=parent if step.parent is None else step.parent)
        for index, step in enumerate(list_order(fresh, catalog))
    )
    if isinstance(place, AtEnd):
        place = _end_of(definition, piece, place.parent, catalog)
    grown = replace(definition, steps=(*definition.steps, *added), edges=(*definition.edges, *fresh.edges))
    placed = _attach(grown, piece, place, catalog, ids)
    first = tops[0]

    def words(new: Definition) -> str:
        what = f"“{new.step(first.key).label}”" if len(tops) == 1 else f"{len(added)} steps"
        return f"{what} {word}, {_where(new, first.key, catalog)}."

    return _finish(
        definition, placed, catalog, words, created=tuple(step.key for step in added), rewritten=rewritten
    )


def _after_taking_over(
    definition: Definition, step: StepDef, catalog: TypeCatalog
) -> Callable[[Definition, _Piece], Place]:
    """Right after the step: on its main path where there is one, else at its end, else beside it."""

    def choose(grown: Definition, piece: _Piece) -> Place:
        port = main_port(step, catalog)
        if port is None or not piece.tails:
            before = definition.incoming(step.key)
            return After(before[0].source, before[0].port) if before else AsRoot(step.parent)
        main = [edge for edge in definition.outgoing(step.key) if edge.port == port]
        return OnEdge(main[0].id) if main else After(step.key, port)

    return choose


def duplicate(definition: Definition, catalog: TypeCatalog, ids: IdMaker = random_id) -> Edit:
    """A clean copy of the whole (W5): fresh keys, edges and triggers, order 0..n-1, generated steps left out."""
    clean = definition
    for step in definition.steps:
        if step.generated and step.key in clean.by_key:
            clean = remove(clean, step.key, catalog, ids).definition
    copy = _with_fresh_keys(clean, ids, taken=definition)
    taken = {trigger.id for trigger in definition.triggers}
    triggers = []
    for trigger in copy.triggers:
        new_id = _fresh(ids, "t", taken)
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
        keys[step.key] = _fresh(ids, "s", used)
        used.add(keys[step.key])
    edge_ids = {edge.id for edge in taken.edges}
    edges: list[EdgeDef] = []
    for edge in definition.edges:
        new_id = _fresh(ids, "e", edge_ids)
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


# --- shared -----------------------------------------------------------------------------------------


def _finish(
    before: Definition,
    after: Definition,
    catalog: TypeCatalog,
    message: str | Callable[[Definition], str],
    *,
    created: tuple[str, ...] = (),
    removed: tuple[str, ...] = (),
    rewritten: tuple[tuple[str, str], ...] = (),
    lost: tuple[str, ...] = (),
    checks: Sequence[Problem] = (),
) -> Edit:
    """Order the steps, refuse a cycle, and say what changed."""
    if (found := cycle(after)) is not None and cycle(before) is None:
        names = " → ".join(f"“{after.step(key).label}”" for key in (*found[:5], found[0]))
        raise OperationRefused("cycle", f"These steps would wait for each other: {names}.")
    after = reindex(after, catalog)
    new_problems = _new_problems(graph_problems(before, catalog), graph_problems(after, catalog))
    old_edges, new_edges = set(before.edges), set(after.edges)
    return Edit(
        after,
        Effects(
            message if isinstance(message, str) else message(after),
            (*checks, *new_problems),
            created,
            removed,
            tuple(edge for edge in after.edges if edge not in old_edges),
            tuple(edge for edge in before.edges if edge not in new_edges),
            rewritten,
            lost,
        ),
    )


def _new_problems(before: Iterable[Problem], after: Iterable[Problem]) -> list[Problem]:
    """Problems that the edit brought: those of a kind and place that had fewer before.

    Sentences alone do not tell, since a rename or a longer text changes them.
    """
    counts: Counter[tuple[str, str | None, str | None]] = Counter()
    said: set[str] = set()
    for problem in before:
        counts[problem.code, problem.step_key, problem.field] += 1
        said.add(_PLACE.sub("", problem.message))
    new: list[Problem] = []
    # Those whose sentence is known use up the count first.
    for problem in sorted(after, key=lambda problem: _PLACE.sub("", problem.message) not in said):
        what = problem.code, problem.step_key, problem.field
        counts[what] -= 1
        if counts[what] < 0:
            new.append(problem)
    return new


def _lost_paths(before: Definition, after: Definition, edges: Iterable[EdgeDef]) -> tuple[Problem, ...]:
    """A check for every step that lost a path and got none in its place."""
    found: list[Problem] = []
    for edge in edges:
        target = after.by_key.get(edge.target)
        source = before.by_key.get(edge.source)
        if target is None or source is None:
            continue
        by = "" if edge.port == DEFAULT_PORT else f" by “{edge.port}”"
        alone = " Nothing leads to it now." if not after.incoming(target.key) else ""
        found.append(
            Problem(
                "lost_path",
                f"“{target.label}” was reached from “{source.label}”{by}; that path is gone.{alone}",
                target.label,
                target.key,
                fix="Draw a path to it, or remove it.",
                severity="warning",
            )
        )
    return tuple(found)


def _where(definition: Definition, key: str, catalog: TypeCatalog) -> str:
    """The place in words: "position 3 of 13, after “Research”, in “For each lead”"."""
    listed = list_order(definition, catalog)
    at = next(index for index, step in enumerate(listed) if step.key == key) + 1
    words = f"position {at} of {len(listed)}"
    entering = definition.incoming(key)
    if entering:
        source = definition.step(entering[0].source)
        by = "" if entering[0].port == main_port(source, catalog) else f" on its branch “{entering[0].port}”"
        words += f", after “{source.label}”{by}"
    parent = definition.step(key).parent
    if parent is not None:
        words += f", in “{definition.step(parent).label}”"
    return words


def _step(definition: Definition, key: str) -> StepDef:
    step = definition.by_key.get(key)
    if step is None:
        raise OperationRefused("no_step", "That step is not there any more.")
    return step


def _edge(definition: Definition, edge_id: str) -> EdgeDef:
    for edge in definition.edges:
        if edge.id == edge_id:
            return edge
    raise OperationRefused("no_edge", "That path is not there any more.")


def _edge_between(definition: Definition, place: Between) -> EdgeDef | None:
    return next(
        (
            edge
            for edge in definition.outgoing(place.source)
            if edge.target == place.target and place.port in (None, edge.port)
        ),
        None,
    )


def _body(definition: Definition, key: str) -> tuple[StepDef, ...]:
    """Everything inside a container, deep."""
    found: dict[str, StepDef] = {}
    todo = list(definition.children(key))
    while todo:
        step = todo.pop()
        if step.key not in found and step.key != key:
            found[step.key] = step
            todo.extend(definition.children(step.key))
    return tuple(step for step in definition.steps if step.key in found)


def _tails_of(step: StepDef, catalog: TypeCatalog) -> tuple[_Tail, ...]:
    port = main_port(step, catalog)
    return () if port is None else (_Tail(step.key, port),)


def _parent_of(definition: Definition, place: Place) -> str | None:
    match place:
        case OnEdge(edge_id):
            return _step(definition, _edge(definition, edge_id).source).parent
        case Between(source):
            return _step(definition, source).parent
        case After(key) | Before(key):
            return _step(definition, key).parent
        case AsRoot(parent) | AtEnd(parent):
            if parent is not None:
                _step(definition, parent)
            return parent


def _check_parent(definition: Definition, step: StepDef, parent: str | None, catalog: TypeCatalog) -> None:
    if parent is None:
        return
    container = _step(definition, parent)
    if not catalog.is_container(container.type):
        raise OperationRefused("not_a_container", f"“{container.label}” cannot hold steps.")
    if step.type in (START, END):
        raise OperationRefused(
            "start_in_body", f"“{step.label}” belongs to the workflow, not into “{container.label}”."
        )


def _check_label(label: str) -> None:
    if (why := label_problem(label)) is not None:
        raise OperationRefused("bad_label", why)


def _refuse_start(definition: Definition, piece: _Piece) -> None:
    for head in piece.heads:
        step = definition.step(head)
        if step.type == START:
            raise OperationRefused(
                "into_start", f"“{step.label}” is where the workflow starts: no path leads to it."
            )


def _refuse_more_than_the_limit(definition: Definition, more: int) -> None:
    if len(definition.steps) + more > STEPS_PER_WORKFLOW.value:
        raise OperationRefused("too_many", STEPS_PER_WORKFLOW.says())


def _position_at(definition: Definition, place: Place) -> Position | None:
    """A spot on the canvas near the place, without moving anything else; None where nothing has a position."""
    anchor: str | None = None
    match place:
        case OnEdge(edge_id):
            edge = _edge(definition, edge_id)
            first, second = definition.step(edge.source).position, definition.step(edge.target).position
            if first is not None and second is not None:
                return Position(round((first.x + second.x) / 2), round((first.y + second.y) / 2))
            anchor = edge.source
        case Between(source) | After(source):
            anchor = source
        case Before(target):
            anchor = target
    if anchor is not None and (near := _step(definition, anchor).position) is not None:
        return Position(near.x, near.y + (-110 if isinstance(place, Before) else 110))
    spots = [step.position for step in definition.steps if step.position is not None]
    return Position(min(spot.x for spot in spots), max(spot.y for spot in spots) + 110) if spots else None


def _fresh(ids: IdMaker, prefix: str, taken: Mapping[str, object] | set[str]) -> str:
    for _ in range(10_000):
        made = ids(prefix)
        if made not in taken:
            return made
    raise OperationRefused("no_id", "No free id was found.")


def _edge_id(definition: Definition, ids: IdMaker) -> str:
    return _fresh(ids, "e", {edge.id for edge in definition.edges})


def _distinct_ids(edges: Sequence[EdgeDef], definition: Definition, ids: IdMaker) -> list[EdgeDef]:
    taken = {edge.id for edge in definition.edges}
    named: list[EdgeDef] = []
    for edge in edges:
        new_id = _fresh(ids, "e", taken)
        taken.add(new_id)
        named.append(replace(edge, id=new_id))
    return named


def _replace_edges(definition: Definition, cut: Sequence[EdgeDef], new: Sequence[EdgeDef]) -> Definition:
    """Put new edges where the last cut one stood, so that the inputs of a join keep their order."""
    gone = {edge.id for edge in cut}
    edges: list[EdgeDef] = []
    placed = False
    for edge in reversed(definition.edges):
        if edge.id in gone:
            if not placed:
                edges.extend(reversed(new))
                placed = True
            continue
        edges.append(edge)
    edges.reverse()
    return replace(definition, edges=tuple(edges) if placed else (*edges, *new))


def _unique(edges: Iterable[EdgeDef]) -> list[EdgeDef]:
    seen: dict[tuple[str, str, str, str | None, str | None], EdgeDef] = {}
    for edge in edges:
        seen.setdefault((edge.source, edge.port, edge.target, edge.target_input, edge.condition), edge)
    return list(seen.values())


def _names(steps: Iterable[StepDef]) -> str:
    labels = [f"“{step.label}”" for step in steps]
    if len(labels) > 4:
        return f"{', '.join(labels[:3])} and {len(labels) - 3} more"
    return " and ".join(filter(None, [", ".join(labels[:-1]), labels[-1]])) if labels else ""
