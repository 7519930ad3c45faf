"""The run's input: its JSON Schema from the input variables, and the check of what was sent."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from workflows.definition.graph import Definition, VariableDef, VariableType
from workflows.expressions.paths import nearest
from workflows.lib.errors import Problem
from workflows.lib.jsontypes import JSONObject, JSONValue

_SAID: Final = {
    VariableType.STRING: "text",
    VariableType.NUMBER: "a number",
    VariableType.BOOLEAN: "true or false",
    VariableType.OBJECT: "an object",
    VariableType.ARRAY: "a list",
}
_EXAMPLE: Final = {
    VariableType.STRING: '"some text"',
    VariableType.NUMBER: "12.5",
    VariableType.BOOLEAN: "true",
    VariableType.OBJECT: '{"name": "value"}',
    VariableType.ARRAY: '["first", "second"]',
}


@dataclass(frozen=True, slots=True)
class CheckedInput:
    """`values`: what was sent with the defaults filled in, other keys kept. Use it only without `problems`."""

    values: JSONObject
    problems: tuple[Problem, ...]


def input_schema(definition: Definition) -> JSONObject:
    """JSON Schema (draft 2020-12) of the run's input. A workflow without input variables takes any object."""
    variables = definition.input_variables()
    return variables_schema(variables, closed=bool(variables))


def variables_schema(variables: Iterable[VariableDef], *, closed: bool = False) -> JSONObject:
    """The schema of an object with these values; `closed`: it may hold no others."""
    properties: JSONObject = {}
    required: list[str] = []
    for variable in variables:
        about: JSONObject = {"type": variable.type.value}
        if variable.description:
            about["description"] = variable.description
        if variable.default is not None:
            about["default"] = variable.default
        if variable.required and variable.type is VariableType.STRING:
            about["minLength"] = 1
        properties[variable.name] = about
        if variable.required and variable.default is None:
            required.append(variable.name)
    schema: JSONObject = {"type": "object", "properties": properties, "additionalProperties": not closed}
    if required:
        schema["required"] = required
    return schema


def check_input(
    definition: Definition, data: JSONValue, *, path: str = "input_data", strict: bool = True
) -> CheckedInput:
    """Check a run's input against the input variables. `None` is an empty input.

    A missing value takes its default; a missing required one, empty text for a required one and a wrong type are errors
    that name the field and the fix; null counts as missing. `strict`: so is a name that no variable declares, where the
    workflow declares any. Sizes are the caller's to check (`lib.limits`).
    """
    variables = definition.input_variables()
    checked = _check(variables, data, path, "input")
    if not strict or not variables:
        return checked
    known = {variable.name for variable in variables}
    return CheckedInput(
        checked.values,
        (*checked.problems, *(_strange(name, known, path) for name in checked.values if name not in known)),
    )


def _strange(name: str, known: set[str], path: str) -> Problem:
    near = nearest(name, known)
    names = ", ".join(sorted(known))
    return Problem(
        "unknown_input",
        f"The workflow has no input “{name}”.",
        field=name,
        path=f"{path}.{name}",
        fix=f"Did you mean “{near}”? Its inputs are: {names}." if near else f"Its inputs are: {names}.",
    )


def check_context(definition: Definition, data: JSONValue, *, path: str = "variables") -> CheckedInput:
    """The same for context variables given at the start of a run; here unknown names are errors."""
    checked = _check(definition.context_variables(), data, path, "variable")
    known = {variable.name for variable in definition.context_variables()}
    strange = [name for name in checked.values if name not in known]
    more = tuple(
        Problem(
            "unknown_variable",
            f"The workflow has no context variable “{name}”.",
            field=name,
            path=f"{path}.{name}",
            fix=f"Its context variables are: {', '.join(sorted(known))}."
            if known
            else "It has none: leave it out.",
        )
        for name in strange
    )
    return CheckedInput(checked.values, (*checked.problems, *more))


def _check(variables: Iterable[VariableDef], data: JSONValue, path: str, word: str) -> CheckedInput:
    if data is None:
        data = {}
    if not isinstance(data, Mapping):
        message = f"The {word} must be an object with one value for each name, not {said_type(data)}."
        fix = 'Send an object such as {"name": "value"}.'
        return CheckedInput({}, (Problem("bad_input", message, field=path, path=path, fix=fix),))
    values: JSONObject = dict(data)
    problems: list[Problem] = []
    for variable in variables:
        name, value = variable.name, values.get(variable.name)
        at = f"{path}.{name}"
        if value is None:
            if variable.default is not None:
                values[name] = copy.deepcopy(variable.default)
            elif variable.required:
                message = f"The {word} “{name}” is missing."
                fix = f"Send {_SAID[variable.type]}, such as {_EXAMPLE[variable.type]}."
                problems.append(Problem("missing_input", message, field=name, path=at, fix=fix))
        elif not fits(value, variable.type):
            message = f"The {word} “{name}” must be {_SAID[variable.type]}, not {said_type(value)}."
            fix = f"Send {_SAID[variable.type]}, such as {_EXAMPLE[variable.type]}."
            problems.append(Problem("bad_input", message, field=name, path=at, fix=fix))
        elif value == "" and variable.required:
            message = f"The {word} “{name}” is empty."
            fix = f"Send some text, such as {_EXAMPLE[VariableType.STRING]}."
            problems.append(Problem("missing_input", message, field=name, path=at, fix=fix))
    return CheckedInput(values, tuple(problems))


def fits(value: JSONValue, kind: VariableType) -> bool:
    """Whether a JSON value is of a variable's type; true and false are not numbers."""
    match kind:
        case VariableType.STRING:
            return isinstance(value, str)
        case VariableType.NUMBER:
            return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        case VariableType.BOOLEAN:
            return isinstance(value, bool)
        case VariableType.OBJECT:
            return isinstance(value, Mapping)
        case VariableType.ARRAY:
            return isinstance(value, list | tuple)


def said_type(value: JSONValue) -> str:
    """What a value is, in words."""
    if value is None:
        return "null"
    for kind in (VariableType.BOOLEAN, VariableType.NUMBER, VariableType.STRING, VariableType.ARRAY):
        if fits(value, kind):
            return _SAID[kind]
    return "an object" if isinstance(value, Mapping) else "something JSON cannot hold"
