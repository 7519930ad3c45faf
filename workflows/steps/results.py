"""Ways to say what a value is made of: a text, fields, or an expression. Shared by the types that make one."""

from __future__ import annotations

from typing import Final

from workflows.lib.errors import Problem
from workflows.lib.jsontypes import JSONObject
from workflows.steps.base import StepContext
from workflows.steps.fields import REQUIRED
from workflows.steps.values import as_output, expression_value, text_of, value_of

RESULT_MODES: Final = (("template", "A text"), ("fields", "Fields"), ("expression", "An expression"))
_NAMES: Final = {"template": "the text", "fields": "the fields", "expression": "the expression"}


def mode_of(config: JSONObject, *, default: str) -> JSONObject:
    """The config with its mode said, where only one of the ways is filled in."""
    if config.get("mode"):
        return config
    given = [name for name in ("expression", "fields", "template") if config.get(name)]
    return {**config, "mode": given[0]} if given and given[0] != default else config


def result_faults(config: JSONObject, *, default: str) -> tuple[Problem, ...]:
    """The chosen way must be filled in."""
    mode = config.get("mode", default)
    if mode not in _NAMES or config.get(mode):
        return ()
    message = f"The result is to be {_NAMES[mode]}, and that is missing."
    return (Problem(REQUIRED, message, field=mode, fix="Fill it in, or choose another kind of result."),)


def result_of(context: StepContext, *, default: str = "template") -> JSONObject:
    """The value that the settings describe, as an output object. Raises StepError."""
    config = context.config
    mode = config.get("mode", default)
    if mode == "expression":
        return as_output(expression_value(config.get("expression", ""), context.scope, field="expression"))
    if mode == "fields":
        return as_output(value_of(context, config.get("fields") or {}, field="fields"))
    return as_output(text_of(context, config.get("template", ""), field="template"))
