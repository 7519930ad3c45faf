"""The end of a workflow: names the run's output."""

from __future__ import annotations

from django import forms

from workflows.definition.graph import StepDef
from workflows.lib.errors import Problem
from workflows.lib.jsontypes import JSONObject
from workflows.steps.base import Completed, Group, Outcome, Port, StepContext, StepType
from workflows.steps.fields import ChoiceField, ExpressionField, MappingField, TemplateField
from workflows.steps.registry import register
from workflows.steps.results import RESULT_MODES, mode_of, result_faults, result_of
from workflows.steps.values import clip, passed_on, plural


@register
class EndStep(StepType):
    """Names what the run gives back. Other branches go on; several ends may stand in one workflow."""

    name, label, icon, group = "end", "End", "flag", Group.STEER
    tagline = "Name the result of the run"
    can_disable = False

    class ConfigForm(forms.Form):
        mode = ChoiceField(
            label="The result is",
            choices=(("previous", "The output of the step before"), *RESULT_MODES),
            section="Result",
        )
        template = TemplateField(
            label="Text",
            section="Result",
            rows=4,
            placeholder="{{steps.Summary.content}}",
            shown_when=("mode", ("template",)),
        )
        fields = MappingField(  # type: ignore[assignment] # a setting, not the form's own list
            label="Fields",
            help_text="Each is text with {{ … }}, or an expression after =.",
            section="Result",
            shown_when=("mode", ("fields",)),
        )
        expression = ExpressionField(
            label="Expression", section="Result", shown_when=("mode", ("expression",))
        )

    def ports(self, config: JSONObject) -> tuple[Port, ...]:
        return ()

    def adopt(self, config: JSONObject) -> JSONObject:
        return mode_of(config, default="previous")

    def check(self, step: StepDef) -> tuple[Problem, ...]:
        return result_faults(step.config, default="previous")

    def summary(self, config: JSONObject) -> str:
        mode = config.get("mode", "previous")
        if mode == "fields" and config.get("fields"):
            return f"Gives back {plural(len(config['fields']), 'field')}: {clip(', '.join(config['fields']))}"
        if mode == "template" and config.get("template"):
            return f"Gives back “{clip(config['template'])}”"
        if mode == "expression" and config.get("expression"):
            return f"Gives back {clip(config['expression'])}"
        return "Gives back the output of the step before"

    def execute(self, context: StepContext) -> Outcome:
        """The chosen result as the step's output, which the run takes as its own."""
        if context.config.get("mode", "previous") == "previous":
            return Completed(passed_on(context))
        return Completed(result_of(context))
