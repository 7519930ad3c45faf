"""The data that can have a value at a step, as the editor offers it: nearest first, in groups."""

from __future__ import annotations

from dataclasses import dataclass

from workflows.definition.availability import Verdict, availability_of
from workflows.definition.graph import Definition, FieldDecl, StepDef, VariableDef
from workflows.definition.ordering import cycle
from workflows.definition.types import START
from workflows.steps import registry
from workflows.steps.catalog import CATALOG


@dataclass(frozen=True, slots=True)
class Reference:
    """Data that can be used in a step: what is inserted, and what it is. `value` is what it was in a run, cut."""

    path: str
    note: str = ""
    sure: bool = True
    value: str = ""


Groups = tuple[tuple[str, tuple[Reference, ...]], ...]


def data_groups(definition: Definition, step: StepDef) -> Groups:
    """What can be used in this step, nearest first: (title, references). No query."""
    groups: list[tuple[str, tuple[Reference, ...]]] = []
    earlier: list[Reference] = []
    if cycle(definition) is None:
        for other, verdict in availability_of(definition, CATALOG).before(step.key):
            if other.type == START or verdict not in (Verdict.SURE, Verdict.MAYBE, Verdict.OFF):
                continue
            note = "" if verdict is Verdict.SURE else "off" if verdict is Verdict.OFF else "maybe"
            for name, type_name in _fields(other):
                earlier.append(Reference(f"steps.{other.label}.{name}", note or _type(type_name), not note))
    entering = definition.incoming(step.key)
    if entering:
        names = " or ".join(dict.fromkeys(definition.step(edge.source).label for edge in entering))
        earlier.insert(0, Reference("previous", f"from {names}"))
    groups.append(("From earlier steps", tuple(earlier)))
    if step.parent is not None and (around := definition.by_key.get(step.parent)) is not None:
        groups.append((f"From {around.label}", _item_references(around, first=not entering)))
    inputs = definition.input_variables()
    groups.append(("From the run form", tuple(_variable_reference("input", one) for one in inputs)))
    named = dict.fromkeys(edge.target_input for edge in entering if edge.target_input)
    declared = {one.name: one for one in step.inputs}
    both = {**{name: declared.get(name) for name in named}, **declared}
    groups.append(("Named for this step", tuple(_named(name, one) for name, one in both.items())))
    context = definition.context_variables()
    groups.append(("Variables", tuple(_variable_reference("vars", one) for one in context)))
    about = [Reference("run.id", "text"), Reference("trigger.type", "text")]
    if definition.ancestors(step.key):
        about.append(Reference("run.feedback", "what a reviewer asked to change"))
    groups.append(("About the run", tuple(about)))
    return tuple((title, references) for title, references in groups if references)


def _fields(step: StepDef) -> tuple[tuple[str, str], ...]:
    """The output's known fields: those of its type, and those that the step declares."""
    kind = registry.find(step.type)
    found = dict(kind.output_fields(step.config)) if kind else {}
    found.update((one.name, one.type) for one in step.outputs if one.name not in found)
    return tuple(found.items())


def _named(name: str, declared: FieldDecl | None) -> Reference:
    if declared is None:
        return Reference(f"inputs.{name}")
    return Reference(f"inputs.{name}", declared.description or _type(declared.type))


def _variable_reference(root: str, variable: VariableDef) -> Reference:
    return Reference(f"{root}.{variable.name}", variable.description or _type(variable.type.value))


def _type(name: str) -> str:
    words = {"string": "text", "array": "list", "boolean": "yes or no", "any": ""}
    return words.get(name, name)


def _item_references(around: StepDef, *, first: bool) -> tuple[Reference, ...]:
    """What a container gives to the steps inside it."""
    found = [Reference("item", "the item of this time"), Reference("index", "its number, from 0")]
    if first:
        passes = around.type == "loop" and around.config.get("mode", "for_each") != "for_each"
        found.insert(0, Reference("previous", "the result of the time before" if passes else "the item"))
    return tuple(found)
