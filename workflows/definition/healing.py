"""Taking steps out of the graph: what moves together, and how the edges around it heal (07 §3)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from workflows.definition.bypass import both
from workflows.definition.edits import (
    Edit,
    OperationRefused,
    body_of,
    finish,
    lost_path_checks,
    names_of,
    reached,
    step_of,
)
from workflows.definition.graph import (
    ERROR_PORT,
    Definition,
    EdgeDef,
    StepDef,
)
from workflows.definition.ids import IdMaker, random_id
from workflows.definition.ordering import body_order
from workflows.definition.places import Tail, tails_of, with_distinct_ids
from workflows.definition.types import TypeCatalog, main_port
from workflows.definition.uses import users_of


@dataclass(frozen=True, slots=True)
class Group:
    """A step and what moves with it. `exits` are the edges that healing replaces; `stay` keep their target."""

    head: str
    members: frozenset[str]
    exits: tuple[EdgeDef, ...]
    tails: tuple[Tail, ...]
    dropped: tuple[EdgeDef, ...] = ()


def remove(
    definition: Definition, keys: str | Iterable[str], catalog: TypeCatalog, ids: IdMaker = random_id
) -> Edit:
    """Delete steps, containers with their bodies, and heal the edges around each (07 §3)."""
    wanted = (keys,) if isinstance(keys, str) else tuple(dict.fromkeys(keys))
    gone: dict[str, StepDef] = {}
    for key in wanted:
        for step in (step_of(definition, key), *body_of(definition, key)):
            gone[step.key] = step
    new = definition
    checks: list[EdgeDef] = []
    for key in wanted:
        if key not in new.by_key:
            continue
        new, lost = heal(new, _plain_group(new, key, catalog), ids)
        checks.extend(edge for edge in lost if edge.target not in gone)
        inside = {key, *(step.key for step in body_of(new, key))}
        new = replace(
            new,
            steps=tuple(step for step in new.steps if step.key not in inside),
            edges=tuple(
                edge for edge in new.edges if edge.source not in inside and edge.target not in inside
            ),
        )
    users = users_of(definition, catalog, gone)
    lost_words = [
        f"{names_of([user for user in users[key] if user.key not in gone])} used the output of “{step.label}”."
        for key, step in gone.items()
        if any(user.key not in gone for user in users[key])
    ]
    message = (
        f"“{definition.step(wanted[0]).label}” removed."
        if len(wanted) == 1
        else f"{len(wanted)} steps removed."
    )
    return finish(
        definition,
        new,
        catalog,
        message,
        removed=tuple(gone),
        checks=lost_path_checks(definition, new, checks),
        lost=tuple(lost_words),
    )


def _plain_group(definition: Definition, key: str, catalog: TypeCatalog) -> Group:
    """The step alone: its main edges are healed, those of other ports dropped."""
    step = step_of(definition, key)
    main = main_port(step, catalog)
    out = definition.outgoing(key)
    return Group(
        key,
        frozenset({key}),
        exits=tuple(edge for edge in out if edge.port == main),
        tails=tails_of(step, catalog),
        dropped=tuple(edge for edge in out if edge.port != main),
    )


def heal(definition: Definition, group: Group, ids: IdMaker) -> tuple[Definition, tuple[EdgeDef, ...]]:
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
    new = with_distinct_ids(new, definition, ids)
    gone = {edge.id for edge in (*entering, *group.exits, *group.dropped)}
    edges: list[EdgeDef] = []
    for edge in definition.edges:
        edges.extend(new[index] for index in place.get(edge.id, ()))
        if edge.id not in gone:
            edges.append(edge)
    return replace(definition, edges=tuple(edges)), group.dropped


def group_of(definition: Definition, key: str, catalog: TypeCatalog) -> Group:
    """What moves with a step (07 §3: "a branching step moves with its exclusive descendants or is refused").

    1. One wired port (the error port apart): the step alone; its error branch comes along as far as it is its own.
    2. Several wired ports: everything between it and the step where all branches meet. That step stays, and
       healing leads there. Branches that never meet come along to their ends.
    3. Its main port free and only another wired: the branch of that port comes along to its end; the main port is
       what goes on from the new place.
    4. Refused when another step leads into what would move, or when it leaves to more than the meeting step.
    """
    step = step_of(definition, key)
    out = definition.outgoing(key)
    used = list(dict.fromkeys(edge.port for edge in out if edge.port != ERROR_PORT))
    own = _own_descendants(definition, key)
    if len(used) == 1 and used[0] != main_port(step, catalog):
        return _side_branch(definition, step, own, catalog)
    if len(used) < 2:
        plain = _plain_group(definition, key, catalog)
        error = {edge.target for edge in out if edge.port == ERROR_PORT}
        if not error:
            return plain
        main_lane = reached(definition, {edge.target for edge in out if edge.port != ERROR_PORT})
        side = (reached(definition, error) & own) - main_lane
        kept = tuple(edge for edge in plain.dropped if edge.port == ERROR_PORT and edge.target in side)
        dropped = tuple(edge for edge in plain.dropped if edge not in kept)
        return replace(plain, members=frozenset({key, *side}), dropped=dropped) if side else plain
    lanes = [reached(definition, {edge.target for edge in out if edge.port == port}) for port in used]
    shared = frozenset.intersection(*lanes)
    meeting = next(
        (other.key for other in body_order(definition, step.parent, catalog) if other.key in shared), None
    )
    beyond = reached(definition, {meeting}) if meeting is not None else frozenset()
    between = reached(definition, {edge.target for edge in out}) - beyond
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
    tails = tuple(Tail(edge.source, edge.port, edge.condition) for edge in exits)
    if not exits:
        ends = (definition.step(member) for member in sorted(members) if not definition.outgoing(member))
        tails = tuple(tail for end in ends for tail in tails_of(end, catalog))
    return Group(key, members, exits, tails)


def _side_branch(definition: Definition, step: StepDef, own: frozenset[str], catalog: TypeCatalog) -> Group:
    """The step with everything below it, where nothing leaves by its main port."""
    below = reached(definition, {edge.target for edge in definition.outgoing(step.key)})
    for other in body_order(definition, step.parent, catalog):
        if other.key not in below - own:
            continue
        stranger = next(
            definition.step(edge.source)
            for edge in definition.incoming(other.key)
            if edge.source != step.key and edge.source not in own
        )
        raise OperationRefused(
            "shared_branch",
            f"“{step.label}” would move with its branch, but that leads on to “{other.label}”, "
            f"and so does “{stranger.label}”.",
        )
    return Group(step.key, frozenset({step.key, *below}), exits=(), tails=tails_of(step, catalog))


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
