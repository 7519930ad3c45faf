"""The start of a workflow: its run form, and the run's input as output."""

from __future__ import annotations

from typing import Any

from django import forms

from workflows.definition.graph import StepDef
from workflows.expressions.names import MISSING
from workflows.lib.errors import Problem
from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.steps.base import Completed, Group, Outcome, StepContext, StepError, StepType
from workflows.steps.fields import JSONSchemaField, TextField
from workflows.steps.registry import register
from workflows.steps.schemas import value_faults
from workflows.steps.values import main_text


@register
class StartStep(StepType):
    """Where a run begins. Its form is made from the workflow's input variables; what was filled in is its output."""

    name, label, icon, group = "start", "Start", "play", Group.STEER
    tagline = "The form a run starts with"
    can_disable = False

    class ConfigForm(forms.Form):
        main_field = TextField(
            label="Main field",
            help_text="The input that goes on as the text. Left empty: the only text among the inputs, else all of them.",
            placeholder="text",
            section="Input",
        )
        input_schema = JSONSchemaField(
            label="Input schema",
            help_text="What the input must look like, beyond the types of the variables.",
            section="Input",
            more=True,
        )

    def summary(self, config: JSONObject) -> str:
        main = config.get("main_field")
        return f"Starts with the run form; “{main}” goes on" if main else "Starts with the run form"

    def check(self, step: StepDef) -> tuple[Problem, ...]:
        main, schema = step.config.get("main_field"), step.config.get("input_schema") or {}
        known = schema.get("properties") if schema.get("additionalProperties") is False else None
        if main and isinstance(known, dict) and main not in known:
            return (
                Problem(
                    "unknown_field",
                    f"The input schema has no field “{main}”.",
                    field="main_field",
                    fix="Choose a field of the schema.",
                ),
            )
        return ()

    def execute(self, context: StepContext) -> Outcome:
        """The run's input object with its main text as `content`."""
        data: Any = context.scope.input
        if data is MISSING or data is None:
            data = {}
        if not isinstance(data, dict):
            return Completed({"content": data})
        schema = context.config.get("input_schema")
        faults = value_faults(data, schema) if schema else ()
        if faults:
            raise StepError(
                f"The input does not fit the input schema: {'; '.join(faults)}.",
                code="bad_input",
                field="input_schema",
                fix="Start the run with other input.",
            )
        return Completed({**data, "content": self._content(context, data)})

    def _content(self, context: StepContext, data: JSONObject) -> JSONValue:
        main = context.config.get("main_field")
        if main:
            if main not in data:
                raise StepError(
                    f"The input has no “{main}”, which is the main field.",
                    code="bad_input",
                    field="main_field",
                )
            return data[main]
        return main_text(data)
