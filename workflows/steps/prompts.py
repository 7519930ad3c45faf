"""What a step takes from the library: its persona's text, and a library prompt filled with the step's parameters."""

from __future__ import annotations

import json

from workflows.definition.library import Parameter, PromptText, persona_use, prompt_use
from workflows.expressions.errors import TextError
from workflows.expressions.names import Scope
from workflows.expressions.template import render
from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.steps.base import StepContext, StepError
from workflows.steps.values import as_step_error, value_of


class BadParameter(ValueError):
    """A value does not fit its parameter; the message is a sentence."""


def system_of(context: StepContext, system: str) -> str:
    """The system prompt as it is sent: the persona's text, a blank line, the step's own. Raises StepError."""
    name = persona_use(context.step)
    if not name:
        return system
    found = context.library.persona(name)
    if found is None:
        raise StepError(
            f"There is no persona “{name}”.",
            code="unknown_persona",
            field="persona",
            fix="Choose one of the library, or none.",
        )
    return "\n\n".join(part for part in (found.text.strip(), system.strip()) if part)


def prompt_of(context: StepContext, own: str, *, scope: Scope | None = None) -> str:
    """The prompt as it is sent: the library's, its parameters filled in, a blank line, the step's own (`own`, filled)."""
    use = prompt_use(context.step)
    if use is None:
        return own
    found = context.library.prompt(use)
    if found is None:
        raise StepError(
            f"There is no prompt “{use.said}” in the library.",
            code="unknown_prompt",
            field="library_prompt",
            fix="Choose another one.",
        )
    values = {
        name: value_of(context, value, field=f"library_prompt.parameters.{name}", scope=scope)
        for name, value in use.parameters.items()
    }
    try:
        text = filled_prompt(found, values)
    except BadParameter as error:
        raise StepError(str(error), code="bad_parameter", field="library_prompt") from error
    except TextError as error:
        raise as_step_error(error, "library_prompt") from error
    return "\n\n".join(part for part in (text.strip(), own.strip()) if part)


def filled_prompt(prompt: PromptText, values: JSONObject) -> str:
    """The text with its parameters filled in, each read by its type. Raises BadParameter, and TextError of the text."""
    given: JSONObject = {}
    for parameter in prompt.parameters:
        value = values.get(parameter.name)
        if value is None or value == "":
            value = parameter.default
        if (value is None or value == "") and parameter.required:
            raise BadParameter(f"“{prompt.name}” needs a value for “{parameter.name}”.")
        given[parameter.name] = "" if value is None else read_value(parameter, value)
    return render(prompt.text, Scope(parameters=given))


def read_value(parameter: Parameter, value: JSONValue) -> JSONValue:
    """The value as the parameter's type has it: texts of forms and templates are read. Raises BadParameter."""
    name = parameter.name
    if isinstance(value, dict) and "content" in value and parameter.type not in ("object", "array"):
        value = value["content"]
    match parameter.type:
        case "number":
            return _number(name, value)
        case "boolean":
            said = str(value).strip().lower()
            if said in ("true", "yes", "on", "1"):
                return True
            if said in ("false", "no", "off", "0"):
                return False
            raise BadParameter(f"“{name}” must be yes or no, not “{_short(value)}”.")
        case "choice":
            if str(value) in parameter.options:
                return str(value)
            raise BadParameter(
                f"“{name}” must be one of {', '.join(parameter.options)}, not “{_short(value)}”."
            )
        case "array" | "object":
            kind: type = list if parameter.type == "array" else dict
            if isinstance(value, str):
                try:
                    value = json.loads(value)
                except ValueError:
                    value = None
            if isinstance(value, kind):
                return value
            raise BadParameter(f"“{name}” must be {'a list' if kind is list else 'an object'}, as JSON.")
    return value


def _number(name: str, value: JSONValue) -> JSONValue:
    try:
        number = float(value) if not isinstance(value, bool) else None
    except (TypeError, ValueError):
        number = None
    if number is None or number != number or number in (float("inf"), float("-inf")):
        raise BadParameter(f"“{name}” must be a number, not “{_short(value)}”.")
    return int(number) if number.is_integer() else number


def _short(value: JSONValue) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:39]}…"


def library_facts(context: StepContext) -> JSONObject:
    """What the call's record says of the library: the prompt with its version, the persona."""
    facts: JSONObject = {}
    use = prompt_use(context.step)
    found = context.library.prompt(use) if use is not None else None
    if found is not None:
        facts |= {"prompt": found.name, "version": found.number}
    if persona := persona_use(context.step):
        facts["persona"] = persona
    return facts
