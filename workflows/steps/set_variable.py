"""Sets variables that later steps read as `{{vars.name}}`."""

from __future__ import annotations

from django import forms

from workflows.lib.jsontypes import JSONObject
from workflows.steps.base import Completed, Group, Outcome, StepContext, StepType
from workflows.steps.fields import MappingField
from workflows.steps.registry import register
from workflows.steps.values import clip, passed_on, value_of


@register
class SetVariableStep(StepType):
    """Keeps values under a name for the rest of the run. The input passes through."""

    name, label, icon, group = "set_variable", "Set variable", "variable", Group.DO
    tagline = "Keep a value for later"

    class ConfigForm(forms.Form):
        variables = MappingField(
            label="Variables",
            help_text="Each is text with {{ … }}, or an expression after =. A text that is one {{ … }} keeps its type.",
            section="Variables",
            required=True,
        )

    def adopt(self, config: JSONObject) -> JSONObject:
        """`name` and `value` (or `expression`) are one variable."""
        if "variables" in config or "name" not in config:
            return config
        rest = {key: value for key, value in config.items() if key not in ("name", "value", "expression")}
        expression = config.get("expression")
        return {
            **rest,
            "variables": {str(config["name"]): f"= {expression}" if expression else config.get("value", "")},
        }

    def sets_variables(self, config: JSONObject) -> tuple[tuple[str, str], ...]:
        return tuple((f"variables.{name}", name) for name in config.get("variables") or {})

    def summary(self, config: JSONObject) -> str:
        names = list(config.get("variables") or {})
        return f"Sets {clip(', '.join(names))}" if names else "Sets no variable yet"

    def execute(self, context: StepContext) -> Outcome:
        """The input, unchanged, with the variables; all are worked out before any is set."""
        wanted = context.config.get("variables") or {}
        variables = {
            name: value_of(context, value, field=f"variables.{name}") for name, value in wanted.items()
        }
        return Completed(
            passed_on(context), variables=variables, notes=f"Set {', '.join(variables)}" if variables else ""
        )
