"""Two versions of a workflow side by side, in words: what a person reads before publishing or going back (W4)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from workflows.definition.diff import Change, ChangeKind, FieldChange, Part, changes
from workflows.definition.graph import Definition, StepDef
from workflows.definition.lanes import body_layout
from workflows.definition.ordering import body_order, cycle, list_order
from workflows.definition.textdiff import DiffLine, diff_lines
from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.presenters.mini_rail import Mini, mini_rail
from workflows.steps import registry
from workflows.steps.base import Group, StepType
from workflows.steps.catalog import CATALOG
from workflows.steps.fields import (
    BoolField,
    CasesField,
    ChoiceField,
    ConfigField,
    ExpressionField,
    RowsField,
    config_fields,
)

_LONG: Final = 90
_STATES: Final = {
    ChangeKind.ADDED: "add-node",
    ChangeKind.REMOVED: "del-node",
    ChangeKind.CHANGED: "chg-node",
}
_LABELS: Final = {
    "name": "Name",
    "description": "Description",
    "type": "Kind of step",
    "enabled": "Switched",
    "parent": "Stands inside",
    "retry_policy": "Tries",
    "timeout_s": "Time limit",
    "on_error": "If it fails",
    "join": "Waits for",
    "inputs": "Declared input",
    "outputs": "Declared output",
    "pinned": "Pinned output",
    "note": "Note",
    "condition": "Only if",
    "target_input": "Given as",
    "default_value": "Usual value",
    "kind": "Belongs to",
    "required": "Must be filled in",
    "config": "Settings",
    "input_mapping": "Input",
    "yolo": "Reviews pass by themselves",
    "default_model": "Model",
    "max_run_time_s": "Longest run",
    "error_workflow": "Workflow for failures",
    "fallback": "Other models, in order",
    "fallback_on_refusal": "Another model after a refusal",
    "budget_usd": "Budget of a run",
    "budget_policy": "At the budget",
}
_HIDDEN: Final = frozenset({"position", "order", "generated"})


@dataclass(frozen=True, slots=True)
class Row:
    """One setting: before and after in words (None: not there), or `lines` where it is a text."""

    label: str
    before: str | None
    after: str | None
    lines: tuple[DiffLine, ...] = ()
    mono: bool = False


@dataclass(frozen=True, slots=True)
class Card:
    """One thing that changed. `about` says where a step that came or went stands; `part` and `key` take it back."""

    part: str
    key: str
    kind: str
    title: str
    icon: str
    tile: str
    about: str
    rows: tuple[Row, ...]

    @property
    def plain(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if not row.lines)

    @property
    def texts(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.lines)

    @property
    def tag(self) -> str:
        return {"added": "tag--ok", "removed": "tag--bad"}.get(self.kind, "tag--accent")


@dataclass(frozen=True, slots=True)
class Listed:
    """A step in one of the two lists; `state` is what became of it, empty where nothing did."""

    label: str
    icon: str
    tile: str
    summary: str
    inside: str
    state: str
    enabled: bool


class Comparison:
    """What differs between two definitions, `old` and `new`, as cards, a sentence and a picture."""

    def __init__(self, old: Definition, new: Definition) -> None:
        self.old, self.new = old, new
        self.changes = changes(old, new)

    @cached_property
    def is_empty(self) -> bool:
        return not any(not change.only_layout for change in self.changes)

    @cached_property
    def sentence(self) -> str:
        """“2 steps changed, 1 added, 1 removed, 3 paths changed”."""
        if not self.changes:
            return "Nothing differs"
        if self.is_empty:
            return "Only the places of steps differ"
        words: list[str] = []
        steps = self._count(Part.STEP)
        for kind in (ChangeKind.CHANGED, ChangeKind.ADDED, ChangeKind.REMOVED):
            if count := steps.get(kind, 0):
                noun = f"{'step' if count == 1 else 'steps'} " if not words else ""
                words.append(f"{count} {noun}{kind.value}")
        for part, noun in (
            (Part.EDGE, "path"),
            (Part.VARIABLE, "variable"),
            (Part.TRIGGER, "trigger"),
            (Part.SETTING, "setting"),
        ):
            if count := sum(self._count(part).values()):
                words.append(f"{count} {noun}{'' if count == 1 else 's'} changed")
        return ", ".join(words)

    def _count(self, part: Part) -> dict[ChangeKind, int]:
        found: dict[ChangeKind, int] = {}
        for change in self.changes:
            if change.part is part and not change.only_layout:
                found[change.kind] = found.get(change.kind, 0) + 1
        return found

    @cached_property
    def cards(self) -> tuple[Card, ...]:
        """Steps first, in list order; then paths, variables, triggers and the workflow's settings."""
        return tuple(self._card(change) for change in self.changes if not change.only_layout)

    @property
    def steps(self) -> tuple[Card, ...]:
        return tuple(card for card in self.cards if card.part == Part.STEP)

    @property
    def paths(self) -> tuple[Card, ...]:
        return tuple(card for card in self.cards if card.part == Part.EDGE)

    @property
    def others(self) -> tuple[Card, ...]:
        return tuple(card for card in self.cards if card.part not in (Part.STEP, Part.EDGE))

    @property
    def sides(self) -> tuple[tuple[Listed, ...], tuple[Listed, ...]]:
        """Both lists of steps, each step with what became of it."""
        states = {
            change.key: str(change.kind)
            for change in self.changes
            if change.part is Part.STEP and not change.only_layout
        }
        return _listed(self.old, states), _listed(self.new, states)

    @cached_property
    def shape(self) -> Mini:
        """The new graph with what went drawn in where it stood."""
        union = self._union()
        body = body_order(union, None, CATALOG)
        states = {
            change.key: _STATES[change.kind]
            for change in self.changes
            if change.part is Part.STEP and not change.only_layout
        }
        for step in union.steps:  # what changed inside a container shows on the container
            if step.parent is not None and step.key in states:
                top = step
                while top.parent is not None and top.parent in union.by_key:
                    top = union.step(top.parent)
                states.setdefault(top.key, _STATES[ChangeKind.CHANGED])
        return mini_rail(
            body_layout(union, body),
            human=lambda key: _tile(registry.find(union.step(key).type), union.step(key)) == "human",
            states=states,
        )

    def _union(self) -> Definition:
        gone = tuple(
            step if step.parent in self.new.by_key or step.parent is None else replace(step, parent=None)
            for step in self.old.steps
            if step.key not in self.new.by_key and (step.parent is None or step.parent in self.new.by_key)
        )
        keys = {step.key for step in gone}
        here = keys | set(self.new.by_key)
        edges = tuple(
            edge
            for edge in self.old.edges
            if {edge.source, edge.target} & keys and edge.source in here and edge.target in here
        )
        whole = replace(self.new, steps=(*self.new.steps, *gone), edges=(*self.new.edges, *edges))
        return whole if cycle(whole) is None else replace(whole, edges=self.new.edges)

    # --- cards ---

    def _card(self, change: Change) -> Card:
        definition = self.old if change.kind is ChangeKind.REMOVED else self.new
        if change.part is Part.STEP:
            return self._step_card(change, definition.step(change.key), definition)
        if change.part is Part.EDGE:
            return _other(change, change.label, "arrow-right", _fields(change.fields, self.new))
        if change.part is Part.VARIABLE:
            fields = change.fields or _all_of(change, self.old, self.new)
            return _other(change, f"Variable {change.label}", "braces", _fields(fields, self.new))
        if change.part is Part.TRIGGER:
            fields = change.fields or _all_of(change, self.old, self.new)
            return _other(change, f"Trigger: {change.label}", "zap", _fields(_flat(fields), self.new))
        label = _LABELS.get(change.key, change.key.replace("_", " ").capitalize())
        return _other(
            change, label, "settings", tuple(_row("Was, and is", field, None) for field in change.fields)
        )

    def _step_card(self, change: Change, step: StepDef, definition: Definition) -> Card:
        kind = registry.find(step.type)
        fields: Iterable[FieldChange] = change.fields
        about = ""
        if change.kind is not ChangeKind.CHANGED:
            about = _where(definition, step)
            is_new = change.kind is ChangeKind.ADDED
            fields = [
                FieldChange(f"config.{name}", None if is_new else value, value if is_new else None)
                for name, value in step.config.items()
            ]
        rows = []
        for field in fields:
            if field.name in _HIDDEN:
                continue
            if field.name.startswith("config."):
                row = _config_row(kind, field, change.kind)
            else:
                row = _row(_LABELS.get(field.name, field.name), _named(field, self.old, self.new), None)
            if row is not None:
                rows.append(row)
        return Card(
            Part.STEP,
            change.key,
            str(change.kind),
            step.label,
            kind.icon if kind else "puzzle",
            _tile(kind, step),
            about,
            tuple(rows),
        )


def _tile(kind: StepType | None, step: StepDef) -> str:
    if kind is None:
        return ""
    return "human" if kind.group is Group.ASK else "ai" if kind.uses_model(step.config) else ""


def _listed(definition: Definition, states: dict[str, str]) -> tuple[Listed, ...]:
    found = []
    for step in list_order(definition, CATALOG):
        kind = registry.find(step.type)
        found.append(
            Listed(
                step.label,
                kind.icon if kind else "puzzle",
                _tile(kind, step),
                kind.summary(step.config) if kind else step.type,
                _inside(definition, step),
                states.get(step.key, ""),
                step.enabled,
            )
        )
    return tuple(found)


def _where(definition: Definition, step: StepDef) -> str:
    """“after Research and Notes, in For each lead”."""
    before = [definition.step(edge.source).label for edge in definition.incoming(step.key)]
    words = f"after {' and '.join(dict.fromkeys(before))}" if before else "at the beginning"
    inside = _inside(definition, step)
    return f"{words}, in {inside}" if inside else words


def _inside(definition: Definition, step: StepDef) -> str:
    holder = definition.by_key.get(step.parent or "")
    return holder.label if holder is not None else ""


def _other(change: Change, title: str, icon: str, rows: tuple[Row, ...]) -> Card:
    return Card(change.part, change.key, str(change.kind), title, icon, "", "", rows)


def _all_of(change: Change, old: Definition, new: Definition) -> tuple[FieldChange, ...]:
    """Everything a variable or trigger that came or went says, as changes from or to nothing."""
    is_new = change.kind is ChangeKind.ADDED
    one = new if is_new else old
    if change.part is Part.VARIABLE:
        variable = next(each for each in one.variables if each.name == change.key)
        values: JSONObject = {
            "type": variable.type.value,
            "kind": variable.kind.value,
            "required": variable.required,
            "default_value": variable.default,
            "description": variable.description,
        }
    else:
        trigger = next(each for each in one.triggers if each.id == change.key)
        values = {"config": trigger.config, "input_mapping": trigger.input_mapping}
    return tuple(
        FieldChange(name, None if is_new else value, value if is_new else None)
        for name, value in values.items()
        if value not in (None, "", {}, [])
    )


def _flat(fields: Iterable[FieldChange]) -> tuple[FieldChange, ...]:
    """Settings of a trigger one by one."""
    found: list[FieldChange] = []
    for field in fields:
        before = field.before if isinstance(field.before, dict) else {}
        after = field.after if isinstance(field.after, dict) else {}
        if not before and not after:
            found.append(field)
            continue
        prefix = "" if field.name == "config" else f"{_LABELS.get(field.name, field.name)}: "
        found += [
            FieldChange(f"{prefix}{name}", before.get(name), after.get(name))
            for name in dict.fromkeys((*before, *after))
            if before.get(name) != after.get(name)
        ]
    return tuple(found)


def _fields(fields: Iterable[FieldChange], new: Definition) -> tuple[Row, ...]:
    rows = (
        _row(
            "Type"
            if field.name == "type"
            else _LABELS.get(field.name, field.name.replace("_", " ").capitalize()),
            field,
            None,
        )
        for field in fields
    )
    return tuple(rows)


# --- values in words --------------------------------------------------------------------------------------------------


def _config_row(kind: StepType | None, field: FieldChange, what: ChangeKind) -> Row | None:
    name = field.name.removeprefix("config.")
    known = config_fields(kind.ConfigForm).get(name) if kind else None
    label = str(known.label or name) if known is not None else name.replace("_", " ").capitalize()
    if known is not None and what is ChangeKind.CHANGED:
        # What is not set stands at its default: “Brief → Long” says more than “nothing → Long”.
        field = FieldChange(
            field.name,
            known.default if field.before is None else field.before,
            known.default if field.after is None else field.after,
        )
        if field.before == field.after:
            return None
    return _row(label, field, known)


def _row(label: str, field: FieldChange, known: ConfigField | None) -> Row:
    before, after = _said(field.before, field.name, known), _said(field.after, field.name, known)
    if any(text is not None and ("\n" in text or len(text) > _LONG) for text in (before, after)):
        return Row(label, before, after, diff_lines(before or "", after or ""))
    mono = isinstance(known, ExpressionField | CasesField | RowsField) or field.name == "condition"
    return Row(label, before, after, (), mono)


def _said(value: JSONValue, name: str, known: ConfigField | None) -> str | None:
    """A value in words; None for nothing."""
    if value is None or value == "" or value == [] or value == {}:
        return None
    if isinstance(known, ChoiceField) and isinstance(value, str):
        return known.label_of(value)
    if name == "enabled":
        return "on" if value else "off"
    if isinstance(known, BoolField) or isinstance(value, bool):
        return "yes" if value else "no"
    if name == "retry_policy" and isinstance(value, dict):
        return _tries(value)
    if name == "on_error" and isinstance(value, dict):
        return _on_error(value)
    if name == "join" and isinstance(value, dict):
        return _join(value)
    if name in ("timeout_s", "max_run_time_s"):
        return f"{value:g} seconds" if isinstance(value, int | float) else str(value)
    if name == "budget_usd":
        return f"${value}"
    if isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return f"{value:g}" if abs(value) < 1e6 else str(value)
    if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
        return ", then ".join(value) if name.endswith(("fallback", "fallbacks")) else "\n".join(value)
    return _in_words(value)


def _in_words(value: JSONValue) -> str:
    """Data as lines that people read: an entry a line, its name in front."""
    if isinstance(value, dict):
        return "\n".join(f"{name}: {_on_one_line(entry)}" for name, entry in value.items())
    if isinstance(value, list):
        return "\n".join(_on_one_line(entry) for entry in value)
    return _on_one_line(value)


def _on_one_line(value: JSONValue) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return ", ".join(_on_one_line(entry) for entry in value)
    if isinstance(value, dict):
        if len(value) == 1:
            return _on_one_line(next(iter(value.values())))
        name = next((key for key in ("name", "label", "title", "id") if isinstance(value.get(key), str)), "")
        rest = [
            (key, entry) for key, entry in value.items() if key != name and entry not in (None, "", [], {})
        ]
        said = (
            _on_one_line(rest[0][1])
            if len(rest) == 1
            else "; ".join(f"{key.replace('_', ' ')} {_on_one_line(entry)}" for key, entry in rest)
        )
        return f"{value[name]}: {said}" if name and said else value[name] if name else said
    return json.dumps(value, ensure_ascii=False)


def _tries(value: JSONObject) -> str:
    count = value.get("max_attempts", 1)
    if count == 1:
        return "tried once"
    waits = f"{value.get('delay_ms', 0) / 1000:g} s apart, {value.get('backoff_multiplier', 1):g}× as long each time"
    codes = value.get("retry_on_errors") or []
    return f"{count} tries, {waits}" + (f", only after {', '.join(codes)}" if codes else "")


def _on_error(value: JSONObject) -> str:
    match value.get("policy"):
        case "continue":
            return f"carry on with {json.dumps(value.get('default'), ensure_ascii=False)}"
        case "route":
            return "leave by the error path"
    return "stop the run"


def _join(value: JSONObject) -> str:
    rule = {"any": "the first path", "count": f"{value.get('count')} paths"}.get(
        str(value.get("rule")), "all paths"
    )
    return rule + (", the others go on" if value.get("losers") == "leave" and rule != "all paths" else "")


def _named(field: FieldChange, old: Definition, new: Definition) -> FieldChange:
    """Keys of steps as their names, types as the words of the picker."""
    if field.name == "parent":
        return FieldChange(field.name, _label(old, field.before), _label(new, field.after))
    if field.name == "type":
        return FieldChange(field.name, _type(field.before), _type(field.after))
    return field


def _label(definition: Definition, key: JSONValue) -> str:
    step = definition.by_key.get(str(key)) if key else None
    return step.label if step is not None else "the workflow itself"


def _type(name: JSONValue) -> str:
    kind = registry.find(str(name))
    return kind.label if kind else str(name)
