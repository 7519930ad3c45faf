"""What a step declares to need and to give (`inputs`, `outputs`), checked against the values of one run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from workflows.definition.graph import FieldDecl, StepDef, VariableType
from workflows.definition.inputs import fits, said_type
from workflows.lib.errors import Problem
from workflows.lib.jsontypes import JSONObject, JSONValue

_SAID: Final = {
    "string": "text",
    "number": "a number",
    "boolean": "true or false",
    "object": "an object",
    "array": "a list",
}


def declared_inputs(step: StepDef, *places: JSONValue) -> JSONObject:
    """The values of the declared inputs that are there. Each is looked for in the `places` in turn: what named paths
    bring, the fields of what comes in, the run's input, the variables. What is no object has no names to look for."""
    found: JSONObject = {}
    for declared in step.inputs:
        for place in places:
            if isinstance(place, Mapping) and place.get(declared.name) is not None:
                found[declared.name] = place[declared.name]
                break
    return found


def input_problem(step: StepDef, values: JSONValue) -> Problem | None:
    """The first declared input that is missing or of another type; None when the step may begin."""
    for declared, value, came in _wrong(step.inputs, values):
        if value is None:
            return Problem(
                "declared_input",
                f"“{step.label}” needs the input “{declared.name}”{_as(declared)}, and nothing brings it.",
                step=step.label,
                step_key=step.key,
                field=declared.name,
                fix=f"Name a path to this step “{declared.name}”, or let the step before, the run's input or a variable"
                " have a value of this name; or take the declaration away.",
            )
        return Problem(
            "declared_input",
            f"“{step.label}” declares the input “{declared.name}” as {_SAID[declared.type]}, and {came} came.",
            step=step.label,
            step_key=step.key,
            field=declared.name,
            fix=f"Bring {_SAID[declared.type]}, or declare another type.",
        )
    return None


def output_problem(step: StepDef, output: JSONObject) -> Problem | None:
    """The first declared output that the step did not give, or gave as another type; None when all is as declared."""
    for declared, value, came in _wrong(step.outputs, output):
        if value is None:
            given = ", ".join(f"“{name}”" for name in list(output)[:8]) or "nothing"
            return Problem(
                "declared_output",
                f"“{step.label}” declares the output “{declared.name}”{_as(declared)}, and did not give it: it gave {given}.",
                step=step.label,
                step_key=step.key,
                field=declared.name,
                fix="Change the step so that its output has this field, or take the declaration away.",
            )
        return Problem(
            "declared_output",
            f"“{step.label}” declares the output “{declared.name}” as {_SAID[declared.type]}, and gave {came}.",
            step=step.label,
            step_key=step.key,
            field=declared.name,
            fix="Change the step so that it gives this type, or declare another one.",
        )
    return None


def _as(declared: FieldDecl) -> str:
    said = _SAID.get(declared.type)
    return f" ({said})" if said else ""


def _wrong(declared: Iterable[FieldDecl], values: JSONValue) -> Iterable[tuple[FieldDecl, JSONValue, str]]:
    """Each field that is missing (value None) or of another type, with what came instead in words."""
    known = values if isinstance(values, Mapping) else {}
    for entry in declared:
        value = known.get(entry.name)
        if value is None:
            if entry.required:
                yield entry, None, ""
        elif entry.type in _SAID and not _is(value, entry.type):
            yield entry, value, said_type(value)


def _is(value: JSONValue, type: str) -> bool:
    """Whether a value is of the declared type. An object that stands for its `content` counts as that too."""
    kind = VariableType(type)
    if fits(value, kind):
        return True
    return isinstance(value, Mapping) and "content" in value and fits(value["content"], kind)
