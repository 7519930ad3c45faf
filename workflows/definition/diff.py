"""What changed between two definitions, step by step and field by field, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from workflows.definition.graph import DEFAULT_PORT, Definition, EdgeDef, StepDef, TriggerDef
from workflows.definition.schema import step_to_json, variable_to_json
from workflows.lib.jsontypes import JSONObject, JSONValue


class ChangeKind(StrEnum):
    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


class Part(StrEnum):
    STEP = "step"
    EDGE = "edge"
    VARIABLE = "variable"
    TRIGGER = "trigger"
    SETTING = "setting"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field before and after; `name` as in the API, settings of a step as `config.NAME`. None: not there."""

    name: str
    before: JSONValue
    after: JSONValue


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that was added, removed or changed.

    `key` is its id (a variable's and a setting's is its name), `label` what people call it now, or called it
    last; `fields` are there for changed things.
    """

    kind: ChangeKind
    part: Part
    key: str
    label: str
    fields: tuple[FieldChange, ...] = ()

    @property
    def only_layout(self) -> bool:
        """Whether only places moved, on the canvas or in the list."""
        return bool(self.fields) and all(field.name in _LAYOUT for field in self.fields)


_LAYOUT: Final = ("position", "order")
_Thing = TypeVar("_Thing")


def changes(old: Definition, new: Definition) -> tuple[Change, ...]:
    """Every difference: steps in the new order with the removed ones last, then paths, variables, triggers, settings.

    A path that was only given another id is no change.
    """
    return (
        *_compared(Part.STEP, _steps(old), _steps(new), lambda step: step.label, _step_fields),
        *_edges(old, new),
        *_compared(
            Part.VARIABLE,
            {variable.name: variable for variable in old.variables},
            {variable.name: variable for variable in new.variables},
            lambda variable: variable.name,
            variable_to_json,
        ),
        *_compared(
            Part.TRIGGER,
            {trigger.id: trigger for trigger in old.triggers},
            {trigger.id: trigger for trigger in new.triggers},
            lambda trigger: trigger.type,
            _trigger_fields,
        ),
        *_settings(old.settings, new.settings),
    )


def summary_sentence(found: Iterable[Change]) -> str:
    """The changes in one sentence: "“Draft” changed (prompt), 1 step added, 2 paths changed."; layout is left out."""
    found = tuple(found)
    counted = [change for change in found if not change.only_layout]
    parts: list[str] = []
    steps = [change for change in counted if change.part is Part.STEP]
    for kind in ChangeKind:
        some = [change for change in steps if change.kind is kind]
        if len(some) == 1:
            named = f" ({_field_words(some[0].fields)})" if some[0].fields else ""
            parts.append(f"“{some[0].label}” {kind.value}{named}")
        elif some:
            parts.append(f"{len(some)} steps {kind.value}")
    for part, one, many in (
        (Part.EDGE, "path", "paths"),
        (Part.VARIABLE, "variable", "variables"),
        (Part.TRIGGER, "trigger", "triggers"),
        (Part.SETTING, "setting", "settings"),
    ):
        count = sum(change.part is part for change in counted)
        if count:
            parts.append(f"{count} {one if count == 1 else many} changed")
    if not parts:
        return (
            "Only the layout changed." if any(change.only_layout for change in found) else "Nothing changed."
        )
    sentence = ", ".join(parts) + "."
    return sentence[0].upper() + sentence[1:]


def _steps(definition: Definition) -> dict[str, StepDef]:
    return {step.key: step for step in definition.steps}


def _compared(
    part: Part,
    old: Mapping[str, _Thing],
    new: Mapping[str, _Thing],
    label: Callable[[_Thing], str],
    fields: Callable[[_Thing], JSONObject],
) -> Iterator[Change]:
    for key, thing in new.items():
        before = old.get(key)
        if before is None:
            yield Change(ChangeKind.ADDED, part, key, label(thing))
        elif before != thing and (differing := _differing(fields(before), fields(thing))):
            yield Change(ChangeKind.CHANGED, part, key, label(thing), differing)
    for key, thing in old.items():
        if key not in new:
            yield Change(ChangeKind.REMOVED, part, key, label(thing))


def _differing(before: JSONObject, after: JSONObject) -> tuple[FieldChange, ...]:
    names = dict.fromkeys((*before, *after))
    return tuple(
        FieldChange(name, before.get(name), after.get(name))
        for name in names
        if before.get(name) != after.get(name) or (name in before) != (name in after)
    )


def _step_fields(step: StepDef) -> JSONObject:
    fields = step_to_json(step)
    config = fields.pop("config")
    return {**fields, **{f"config.{name}": value for name, value in config.items()}}


def _trigger_fields(trigger: TriggerDef) -> JSONObject:
    return {"type": trigger.type, "config": trigger.config, "input_mapping": trigger.input_mapping}


def _edges(old: Definition, new: Definition) -> Iterator[Change]:
    """Paths by what they join; where several join the same, those that are quite the same belong together first."""
    before: dict[tuple[str, str, str], list[EdgeDef]] = {}
    for edge in old.edges:
        before.setdefault(_joins(edge), []).append(edge)
    unmatched: list[EdgeDef] = []
    for edge in new.edges:
        same = next(
            (was for was in before.get(_joins(edge), ()) if _edge_fields(was) == _edge_fields(edge)), None
        )
        if same is None:
            unmatched.append(edge)
        else:
            before[_joins(edge)].remove(same)
    for edge in unmatched:
        left = before.get(_joins(edge))
        if not left:
            yield Change(ChangeKind.ADDED, Part.EDGE, edge.id, _edge_label(edge, new))
        else:
            differing = _differing(_edge_fields(left.pop(0)), _edge_fields(edge))
            yield Change(ChangeKind.CHANGED, Part.EDGE, edge.id, _edge_label(edge, new), differing)
    gone = {edge.id for edges in before.values() for edge in edges}
    for edge in old.edges:
        if edge.id in gone:
            yield Change(ChangeKind.REMOVED, Part.EDGE, edge.id, _edge_label(edge, old))


def _joins(edge: EdgeDef) -> tuple[str, str, str]:
    return edge.source, edge.port, edge.target


def _edge_fields(edge: EdgeDef) -> JSONObject:
    return {"condition": edge.condition, "target_input": edge.target_input}


def _edge_label(edge: EdgeDef, definition: Definition) -> str:
    source, target = definition.by_key.get(edge.source), definition.by_key.get(edge.target)
    by = "" if edge.port == DEFAULT_PORT else f" ({edge.port})"
    return f"{source.label if source else edge.source}{by} → {target.label if target else edge.target}"


def _settings(old: JSONObject, new: JSONObject) -> Iterator[Change]:
    for field in _differing(old, new):
        kind = (
            ChangeKind.ADDED
            if field.name not in old
            else ChangeKind.REMOVED
            if field.name not in new
            else ChangeKind.CHANGED
        )
        yield Change(kind, Part.SETTING, field.name, field.name.replace("_", " "), (field,))


def _field_words(fields: Sequence[FieldChange]) -> str:
    names = [
        field.name.removeprefix("config.").replace("_", " ") for field in fields if field.name not in _LAYOUT
    ]
    return ", ".join(names) if len(names) <= 3 else f"{', '.join(names[:2])} and {len(names) - 2} more"
