"""What one change did to a workflow, as JSON that can be turned back: only the touched things, before and after.

A patch: `{"items": {PART: {KEY: {"was": fields | None, "now": fields | None}}}, "lists": {NAME: [was, now]}}`.
PART is `steps`, `edges`, `variables`, `triggers`, `settings` or `about` (the workflow's own fields; key `""`).
Where both sides are there they hold only the fields that differ; a field that one side lacks is missing in it.
`lists` says in which order things stand: `steps`, `edges`, `variables`, `triggers`, and `in:KEY` for a body, each
cut down to the part that differs with one neighbour at either end.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from typing import Any, Final, TypeAlias

from workflows.definition.graph import (
    Definition,
    EdgeDef,
    ErrorChoice,
    ErrorPolicy,
    FieldDecl,
    JoinKind,
    JoinRule,
    Losers,
    Position,
    StepDef,
    TriggerDef,
    VariableDef,
    VariableKind,
    VariableType,
)
from workflows.definition.ordering import reindex
from workflows.definition.retry import RetryPolicy
from workflows.definition.types import TypeCatalog
from workflows.lib.jsontypes import JSONObject, JSONValue

Fields: TypeAlias = dict[str, Any]
Items: TypeAlias = dict[str, Fields]

PARTS: Final = ("steps", "edges", "variables", "triggers", "settings")
ABOUT: Final = "about"
_CONFIG: Final = "config."
_MISSING: Final = object()
# Where a step stands on the canvas is nobody's work: that it was moved since does not stand in the way of its removal.
_LIGHT: Final = frozenset({"position"})


class Side(StrEnum):
    """What happens where somebody else has changed the same thing since."""

    ASK = "ask"
    MINE = "mine"
    THEIRS = "theirs"


@dataclass(frozen=True, slots=True)
class Clash:
    """Something that is not as the change left it. `now` is what it says, `wanted` what turning back would make of it.

    `field` is empty where the whole thing is meant: `why` then says what happened to it.
    """

    part: str
    key: str
    label: str
    field: str = ""
    now: JSONValue = None
    wanted: JSONValue = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Turned:
    """The definition with the change taken back or made again; `about` are the workflow's own fields to be written."""

    definition: Definition
    clashes: tuple[Clash, ...]
    about: Mapping[str, JSONValue]


# --- Things as fields -------------------------------------------------------------------------------------------------


def step_fields(step: StepDef) -> Fields:
    """The step's fields as JSON, each setting by itself (`config.prompt`); its place is in the lists."""
    found: Fields = {
        "type": step.type,
        "label": step.label,
        "description": step.description,
        "enabled": step.enabled,
        "parent": step.parent,
        "position": None if step.position is None else [step.position.x, step.position.y],
        "retry": None if step.retry is None else step.retry.to_json(),
        "timeout_s": step.timeout_s,
        "on_error": {"policy": step.on_error.policy.value, "default": step.on_error.default},
        "join": {"rule": step.join.rule.value, "count": step.join.count, "losers": step.join.losers.value},
        "inputs": [_declared(one) for one in step.inputs],
        "outputs": [_declared(one) for one in step.outputs],
        "pinned": step.pinned,
        "note": step.note,
        "generated": step.generated,
    }
    return found | {f"{_CONFIG}{name}": value for name, value in step.config.items()}


def _declared(one: FieldDecl) -> JSONObject:
    return {"name": one.name, "type": one.type, "required": one.required, "description": one.description}


def _step(key: str, found: Fields) -> StepDef:
    return StepDef(
        key=key,
        type=found["type"],
        label=found["label"],
        description=found["description"],
        config={
            name.removeprefix(_CONFIG): value for name, value in found.items() if name.startswith(_CONFIG)
        },
        enabled=found["enabled"],
        parent=found["parent"],
        position=None if found["position"] is None else Position(*found["position"]),
        retry=None if found["retry"] is None else RetryPolicy.from_json(found["retry"]),
        timeout_s=found["timeout_s"],
        on_error=ErrorPolicy(ErrorChoice(found["on_error"]["policy"]), found["on_error"]["default"]),
        join=JoinRule(
            JoinKind(found["join"]["rule"]), found["join"]["count"], Losers(found["join"]["losers"])
        ),
        inputs=tuple(FieldDecl(**one) for one in found["inputs"]),
        outputs=tuple(FieldDecl(**one) for one in found["outputs"]),
        pinned=found["pinned"],
        note=found["note"],
        generated=found["generated"],
    )


def _edge_fields(edge: EdgeDef) -> Fields:
    return {
        "source": edge.source,
        "target": edge.target,
        "port": edge.port,
        "target_input": edge.target_input,
        "condition": edge.condition,
    }


def _variable_fields(one: VariableDef) -> Fields:
    return {
        "type": one.type.value,
        "kind": one.kind.value,
        "required": one.required,
        "default": one.default,
        "description": one.description,
    }


def _variable(name: str, found: Fields) -> VariableDef:
    return VariableDef(
        name,
        VariableType(found["type"]),
        VariableKind(found["kind"]),
        found["required"],
        found["default"],
        found["description"],
    )


def _things(definition: Definition) -> dict[str, Items]:
    return {
        "steps": {step.key: step_fields(step) for step in definition.steps},
        "edges": {edge.id: _edge_fields(edge) for edge in definition.edges},
        "variables": {one.name: _variable_fields(one) for one in definition.variables},
        "triggers": {
            one.id: {"type": one.type, "config": one.config, "input_mapping": one.input_mapping}
            for one in definition.triggers
        },
        "settings": {"": dict(definition.settings)},
    }


def _bodies(definition: Definition) -> dict[str, list[str]]:
    parents = dict.fromkeys(step.parent for step in definition.steps)
    return {f"in:{parent or ''}": [step.key for step in definition.children(parent)] for parent in parents}


def _orders(definition: Definition) -> dict[str, list[str]]:
    return {
        "steps": [step.key for step in definition.steps],
        "edges": [edge.id for edge in definition.edges],
        "variables": [one.name for one in definition.variables],
        "triggers": [one.id for one in definition.triggers],
        **_bodies(definition),
    }


# --- Making one -------------------------------------------------------------------------------------------------------


def patch_between(
    before: Definition, after: Definition, about: Mapping[str, tuple[JSONValue, JSONValue]] | None = None
) -> JSONObject:
    """What changed; `about` are the workflow's own fields that did, as (before, after). Empty items: nothing did."""
    items: dict[str, dict[str, JSONObject]] = {
        "steps": _compared(
            {step.key: step for step in before.steps}, {step.key: step for step in after.steps}, step_fields
        ),
        "edges": _compared(
            {edge.id: edge for edge in before.edges}, {edge.id: edge for edge in after.edges}, _edge_fields
        ),
        "variables": _compared(
            {one.name: one for one in before.variables},
            {one.name: one for one in after.variables},
            _variable_fields,
        ),
        "triggers": _compared(
            {one.id: one for one in before.triggers},
            {one.id: one for one in after.triggers},
            lambda one: {"type": one.type, "config": one.config, "input_mapping": one.input_mapping},
        ),
        "settings": _compared({"": before.settings}, {"": after.settings}, dict),
    }
    if about:
        items[ABOUT] = {
            "": {
                "was": {name: pair[0] for name, pair in about.items()},
                "now": {name: pair[1] for name, pair in about.items()},
            }
        }
    was, now = _orders(before), _orders(after)
    lists = {
        name: list(_cut(was.get(name, []), now.get(name, [])))
        for name in {**was, **now}
        if was.get(name, []) != now.get(name, [])
    }
    found: dict[str, Any] = {"items": {part: kept for part, kept in items.items() if kept}}
    if lists:
        found["lists"] = lists
    return found


def _compared(
    before: Mapping[str, Any], after: Mapping[str, Any], fields: Callable[[Any], Fields]
) -> dict[str, JSONObject]:
    found: dict[str, JSONObject] = {}
    for key in {**before, **after}:
        one, other = before.get(key), after.get(key)
        # Most of a big workflow is the very same object or equal to it.
        if one is other or (one is not None and other is not None and _equal_things(one, other)):
            continue
        was = None if one is None else fields(one)
        now = None if other is None else fields(other)
        if was is not None and now is not None:
            differing = [
                name for name in {**was, **now} if not same(was.get(name, _MISSING), now.get(name, _MISSING))
            ]
            if not differing:
                continue
            was = {name: was[name] for name in differing if name in was}
            now = {name: now[name] for name in differing if name in now}
        found[key] = {"was": was, "now": now}
    return found


def _equal_things(one: Any, other: Any) -> bool:
    # Equality takes True for 1; text tells them apart, and is only asked for where they could be.
    return one == other and repr(one) == repr(other)


def same(one: Any, other: Any) -> bool:
    """Equal as JSON: true and 1 are not, 1 and 1.0 are."""
    if one is _MISSING or other is _MISSING or one != other:
        return one is other
    if isinstance(one, dict):
        return all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return all(same(first, second) for first, second in zip(one, other, strict=True))
    return isinstance(one, bool) == isinstance(other, bool)


def _cut(was: list[str], now: list[str]) -> tuple[list[str], list[str]]:
    """Both without what they share at either end, but for one neighbour."""
    least = min(len(was), len(now))
    head = 0
    while head < least and was[head] == now[head]:
        head += 1
    tail = 0
    while tail < least - head and was[-1 - tail] == now[-1 - tail]:
        tail += 1
    first, last = max(head - 1, 0), max(tail - 1, 0)
    return was[first : len(was) - last], now[first : len(now) - last]


# --- Reading one ------------------------------------------------------------------------------------------------------


def touched_fields(patch: JSONObject, key: str) -> frozenset[str] | None:
    """Names of the fields that the patch changed in a step (`config.prompt`); None when it made or removed the step."""
    change = patch["items"].get("steps", {}).get(key)
    if change is None:
        return frozenset()
    if change["was"] is None or change["now"] is None:
        return None
    return frozenset(change["was"]) | frozenset(change["now"])


def touched_steps(patch: JSONObject) -> tuple[str, ...]:
    """Keys of the steps that it made, changed or removed."""
    return tuple(patch["items"].get("steps", {}))


def only_fields(patch: JSONObject) -> bool:
    """Whether it changed nothing but settings inside of steps: the list around the cards stays as it was."""
    return (
        "lists" not in patch
        and set(patch["items"]) <= {"steps"}
        and all(
            change["was"] is not None
            and change["now"] is not None
            and not {"label", "type", "parent", "join", "enabled", "position"}
            & {*change["was"], *change["now"]}
            for change in patch["items"].get("steps", {}).values()
        )
    )


def same_place(one: JSONObject, other: JSONObject) -> bool:
    """Whether both changed the same fields of the same one step, and nothing else: one burst of typing."""

    def place(patch: JSONObject) -> tuple[str, frozenset[str]] | None:
        items = patch["items"]
        if "lists" in patch or len(items) != 1:
            return None
        part, changes = next(iter(items.items()))
        if len(changes) != 1:
            return None
        key, change = next(iter(changes.items()))
        if change["was"] is None or change["now"] is None:
            return None
        return f"{part} {key}", frozenset({*change["was"], *change["now"]})

    found = place(one)
    return found is not None and found == place(other)


def joined(first: JSONObject, second: JSONObject) -> JSONObject:
    """Two patches of the same place as one: what the first found, what the second left."""
    part, changes = next(iter(second["items"].items()))
    key, change = next(iter(changes.items()))
    was = first["items"][part][key]["was"]
    return {"items": {part: {key: {"was": was, "now": change["now"]}}}}


# --- Turning it -------------------------------------------------------------------------------------------------------


def turn(
    definition: Definition,
    about: Mapping[str, JSONValue],
    patch: JSONObject,
    *,
    back: bool,
    side: Side,
    catalog: TypeCatalog,
) -> Turned:
    """Take a change back (or make it again), whatever others did in the meantime.

    Where they changed the same, `side` decides; with ASK the definition is as with THEIRS, for the question. `about`
    are the workflow's own fields as they are.
    """
    here, there = ("now", "was") if back else ("was", "now")
    things: dict[str, Items] = _things(definition)
    things[ABOUT] = {"": dict(about)}
    clashes: list[Clash] = []
    for part, changes in patch["items"].items():
        for key, change in changes.items():
            _turn_one(part, things[part], key, change[here], change[there], side, clashes)
    _leave_whole(things, definition, side, clashes)
    lists, exact = _turned_lists(definition, things, patch.get("lists", {}), back)
    made = _assembled(things, lists)
    # Among other people's changes the old order need not be one any more.
    made = made if exact else reindex(made, catalog)
    return Turned(made, tuple(clashes), things[ABOUT][""])


def _turn_one(
    part: str,
    items: Items,
    key: str,
    expected: Fields | None,
    wanted: Fields | None,
    side: Side,
    clashes: list[Clash],
) -> None:
    current = items.get(key)
    label = (current or expected or wanted or {}).get("label") or key
    if expected is None:
        if current is None and wanted is not None:
            items[key] = dict(wanted)
        return
    if wanted is None:
        if current is None:
            return
        differing = [
            name
            for name in {**expected, **current}
            if name not in _LIGHT and not same(expected.get(name, _MISSING), current.get(name, _MISSING))
        ]
        if differing:
            clashes.append(Clash(part, key, label, why="changed"))
        if not differing or side is Side.MINE:
            del items[key]
        return
    if current is None:
        clashes.append(Clash(part, key, wanted.get("label") or key, why="gone"))
        return
    for name in {**expected, **wanted}:
        now, aim = current.get(name, _MISSING), wanted.get(name, _MISSING)
        if same(now, aim):
            continue
        if not same(now, expected.get(name, _MISSING)):
            clashes.append(
                Clash(
                    part,
                    key,
                    label,
                    name,
                    None if now is _MISSING else now,
                    None if aim is _MISSING else aim,
                )
            )
            if side is not Side.MINE:
                continue
        if aim is _MISSING:
            current.pop(name, None)
        else:
            current[name] = aim


def _leave_whole(things: dict[str, Items], definition: Definition, side: Side, clashes: list[Clash]) -> None:
    """No path and no body hangs on a step that is gone; whose they are is said."""
    steps, edges = things["steps"], things["edges"]
    before = {edge.id for edge in definition.edges}
    labels = {step.key: step.label for step in definition.steps}
    gone = [key for key in labels if key not in steps]
    for key in gone:
        held = [
            edge
            for edge, found in edges.items()
            if edge in before and key in (found["source"], found["target"])
        ]
        inside = [child for child, found in steps.items() if found["parent"] == key]
        if (held or inside) and side is not Side.MINE:
            # Somebody has built on it since: it stays, and they are told.
            original = definition.by_key[key]
            steps[key] = step_fields(original)
            if not any(clash.part == "steps" and clash.key == key for clash in clashes):
                clashes.append(Clash("steps", key, labels[key], why="built_on"))
        elif inside:
            around = definition.by_key[key].parent
            for child in inside:
                steps[child]["parent"] = around if around in steps else None
    for key, found in steps.items():
        if found["parent"] is not None and found["parent"] not in steps:
            found["parent"] = None
            clashes.append(Clash("steps", key, found["label"], why="homeless"))
    for edge in [
        one for one, found in edges.items() if not {found["source"], found["target"]} <= steps.keys()
    ]:
        del edges[edge]
    # Two paths of the same way would be one too many: the older one stays.
    seen: set[tuple[str, str, str]] = set()
    for edge in sorted(edges, key=lambda one: one not in before):
        way = edges[edge]["source"], edges[edge]["port"], edges[edge]["target"]
        if way in seen:
            del edges[edge]
        seen.add(way)
    for key, found in steps.items():
        for edge in [one for one, way in edges.items() if way["source"] == key]:
            if steps[edges[edge]["target"]]["parent"] != found["parent"]:
                del edges[edge]


def _turned_lists(
    definition: Definition, things: dict[str, Items], lists: Mapping[str, Sequence[list[str]]], back: bool
) -> tuple[dict[str, list[str]], bool]:
    """In which order everything stands; and whether all of it is just as it was."""
    now = _orders(definition)
    bodies: dict[str, list[str]] = {}
    for key, found in things["steps"].items():
        bodies.setdefault(f"in:{found['parent'] or ''}", []).append(key)
    there: dict[str, Iterable[str]] = {
        **{part: things[part] for part in ("steps", "edges", "variables", "triggers")},
        **bodies,
    }
    turned: dict[str, list[str]] = {}
    exact = True
    for name, members in there.items():
        was, new = lists.get(name, ([], []))
        left, aim = (new, was) if back else (was, new)
        current = now.get(name, [])
        placed = _ordered(current, left, aim, set(members))
        exact = exact and _holds(current, left) and _holds(placed, aim)
        turned[name] = [*placed, *(key for key in members if key not in set(placed))]
        exact = exact and len(placed) == len(turned[name])
    return turned, exact


def _holds(whole: Sequence[str], piece: Sequence[str]) -> bool:
    """Whether the piece stands in the whole without a gap."""
    if not piece:
        return True
    if piece[0] not in whole:
        return False
    at = list(whole).index(piece[0])
    return list(whole[at : at + len(piece)]) == list(piece)


def _ordered(current: Sequence[str], left: Sequence[str], aim: Sequence[str], members: set[str]) -> list[str]:
    """The list with those put where `aim` has them that stand elsewhere in `left`, or are new."""
    place = {key: index for index, key in enumerate(left)}
    known = set(current)
    staying = _rising([key for key in aim if key in place and key in known], place)
    moved = [key for key in aim if key not in staying and key in members]
    found = [key for key in current if key in members and key not in set(moved)]
    followers = dict(pairwise(aim))
    before = dict(pairwise(reversed(aim)))
    for key in moved:
        neighbour: str | None = before.get(key)
        while neighbour is not None and neighbour not in found:
            neighbour = before.get(neighbour)
        if neighbour is not None:
            found.insert(found.index(neighbour) + 1, key)
            continue
        neighbour = followers.get(key)
        while neighbour is not None and neighbour not in found:
            neighbour = followers.get(neighbour)
        found.insert(found.index(neighbour) if neighbour is not None else 0, key)
    return found


def _rising(keys: Sequence[str], place: Mapping[str, int]) -> frozenset[str]:
    """The most keys that stand in the same order in both lists (longest rising run)."""
    tops: list[int] = []
    ends: list[int] = []
    previous: list[int] = []
    for index, key in enumerate(keys):
        at = bisect_left(tops, place[key])
        previous.append(ends[at - 1] if at else -1)
        if at == len(tops):
            tops.append(place[key])
            ends.append(index)
        else:
            tops[at], ends[at] = place[key], index
    found: set[str] = set()
    walk = ends[-1] if ends else -1
    while walk >= 0:
        found.add(keys[walk])
        walk = previous[walk]
    return frozenset(found)


def _assembled(things: dict[str, Items], lists: Mapping[str, Sequence[str]]) -> Definition:
    order = {
        key: index for name, keys in lists.items() if name.startswith("in:") for index, key in enumerate(keys)
    }
    return Definition(
        steps=tuple(replace(_step(key, things["steps"][key]), order=order[key]) for key in lists["steps"]),
        edges=tuple(EdgeDef(id=key, **things["edges"][key]) for key in lists["edges"]),
        variables=tuple(_variable(key, things["variables"][key]) for key in lists["variables"]),
        triggers=tuple(TriggerDef(id=key, **things["triggers"][key]) for key in lists["triggers"]),
        settings=things["settings"][""],
    )
