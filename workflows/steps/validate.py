"""Checks data against a JSON Schema: two ways out, or a failure."""

from __future__ import annotations

import json
from typing import Final

from django import forms

from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.steps.asking import found_json
from workflows.steps.base import (
    Completed,
    ExecutionKind,
    Group,
    Outcome,
    Port,
    StepContext,
    StepError,
    StepType,
)
from workflows.steps.fields import ChoiceField, JSONSchemaField, TemplateField, filled
from workflows.steps.registry import register
from workflows.steps.schemas import value_faults
from workflows.steps.values import PREVIOUS, check_output, clip, plural, value_of

_BRANCH: Final = "branch"
_MOST_FAULTS: Final = 50


@register
class ValidateStep(StepType):
    """Checks that data has the shape of a JSON Schema, and says of each fault where it is."""

    name, label, icon, group = "validate", "Validate", "shield-check", Group.STEER
    tagline = "Does the data fit?"
    aliases = ("json_schema", "validation")

    class ConfigForm(forms.Form):
        value = TemplateField(
            label="Data",
            help_text="Text that is JSON is read as JSON.",
            section="Data",
            rows=2,
            initial=PREVIOUS,
            required=True,
            other_names=("input", "data"),
        )
        schema = JSONSchemaField(
            label="JSON Schema", section="Rule", required=True, other_names=("json_schema", "response_schema")
        )
        on_invalid = ChoiceField(
            label="If it does not fit",
            choices=((_BRANCH, "Take the path “not valid”"), ("fail", "The step fails")),
            section="Rule",
        )

    def kind(self, config: JSONObject) -> ExecutionKind:
        # A large document against a large schema is work for a thread, not for the driver.
        return ExecutionKind.CPU

    def ports(self, config: JSONObject) -> tuple[Port, ...]:
        if config.get("on_invalid", _BRANCH) == _BRANCH:
            return (Port("valid", "Valid"), Port("invalid", "Not valid"))
        return (Port(),)

    def summary(self, config: JSONObject) -> str:
        schema = config.get("schema") or {}
        fields = schema.get("properties")
        named = f": {', '.join(map(str, fields))}" if isinstance(fields, dict) and fields else ""
        return clip(f"Checks the data{named}", 80) if schema else "No schema yet"

    def output_fields(self, config: JSONObject) -> tuple[tuple[str, str], ...]:
        return (("content", "any"), ("valid", "boolean"), ("faults", "array"))

    def execute(self, context: StepContext) -> Outcome:
        """The data as `content`, whether it is `valid`, and its `faults`. Raises StepError where it must fit."""
        setting = filled(self.ConfigForm, context.config)
        schema = setting["schema"]
        if not schema:
            raise StepError(
                "There is no schema to check by.", code="required", field="schema", fix="Write a JSON Schema."
            )
        value = _data(value_of(context, setting["value"], field="value"))
        try:
            faults = value_faults(value, schema, most=_MOST_FAULTS)
        except ValueError as error:
            raise StepError(
                f"The schema cannot be used: {error}.", code="bad_schema", field="schema"
            ) from error
        branches = setting["on_invalid"] == _BRANCH
        if faults and not branches:
            raise StepError(
                f"The data does not fit the schema: {'; '.join(faults[:5])}.",
                code="invalid_data",
                field="value",
                fix="Look at what the step before gives.",
                detail="\n".join(faults),
            )
        port = ("invalid" if faults else "valid") if branches else "out"
        notes = plural(len(faults), "fault") if faults else "Valid"
        output: JSONObject = {"content": value, "valid": not faults, "faults": list(faults)}
        return Completed(check_output(output), port=port, notes=notes)


def _data(value: JSONValue) -> JSONValue:
    """What is meant by a value: a step's output by its content, a text by the JSON that it is."""
    if isinstance(value, dict) and "content" in value:
        content = _read(value["content"])
        if not isinstance(content, str):
            return content
        # A step with fields beside its text (a model's answer, an extraction) means those fields.
        return {name: part for name, part in value.items() if name != "content"} or content
    return _read(value)


def _read(value: JSONValue) -> JSONValue:
    """A text that is JSON as a whole, or in one fence, as that JSON; everything else as it is."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.startswith("```") and text.endswith("```"):
        read, found = found_json(text)
        return read if found else value
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return value


def _no_constant(name: str) -> JSONValue:
    raise ValueError(f"{name} is no JSON")
