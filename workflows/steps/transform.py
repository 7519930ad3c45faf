"""Reshapes data without a model: an expression, a map of fields, or a text."""

from __future__ import annotations

from django import forms

from workflows.definition.graph import StepDef
from workflows.lib.errors import Problem
from workflows.lib.jsontypes import JSONObject
from workflows.steps.base import Completed, Group, Outcome, StepContext, StepType
from workflows.steps.fields import ChoiceField, ExpressionField, MappingField, TemplateField
from workflows.steps.registry import register
from workflows.steps.results import mode_of, result_faults, result_of
from workflows.steps.values import clip, plural


@register
class TransformStep(StepType):
    """Makes new data out of what is there: reckons, picks, renames and joins, without a model."""

    name, label, icon, group = "transform", "Transform", "braces", Group.DO
    tagline = "Reshape, no model"
    aliases = ("data_transform",)

    class ConfigForm(forms.Form):
        mode = ChoiceField(
            label="The result is",
            choices=(("expression", "An expression"), ("fields", "Fields"), ("template", "A text")),
            section="Result",
        )
        expression = ExpressionField(
            label="Expression",
            help_text="For example: size(input.items) * 2",
            section="Result",
            shown_when=("mode", ("expression",)),
        )
        fields = MappingField(  # type: ignore[assignment] # a setting, not the form's own list
            label="Fields",
            help_text="Each is text with {{ … }}, or an expression after =.",
            section="Result",
            shown_when=("mode", ("fields",)),
        )
        template = TemplateField(label="Text", section="Result", rows=4, shown_when=("mode", ("template",)))

    def adopt(self, config: JSONObject) -> JSONObject:
        config = dict(config)
        for other, ours in (("mapping", "fields"), ("field_map", "fields")):
            if other in config and ours not in config:
                config[ours] = config.pop(other)
        return mode_of(config, default="expression")

    def check(self, step: StepDef) -> tuple[Problem, ...]:
        return result_faults(step.config, default="expression")

    def summary(self, config: JSONObject) -> str:
        mode = config.get("mode", "expression")
        if mode == "fields" and config.get("fields"):
            return f"Makes {plural(len(config['fields']), 'field')}: {clip(', '.join(config['fields']))}"
        if mode == "expression" and config.get("expression"):
            return f"Works out {clip(config['expression'])}"
        if mode == "template" and config.get("template"):
            return f"Writes “{clip(config['template'])}”"
        return "Reshapes the data"

    def output_fields(self, config: JSONObject) -> tuple[tuple[str, str], ...]:
        if config.get("mode") == "fields":
            return (
                ("content", "string"),
                *((name, "any") for name in config.get("fields") or {} if name != "content"),
            )
        return (("content", "string" if config.get("mode") == "template" else "any"),)

    def execute(self, context: StepContext) -> Outcome:
        """The result as an output object: an object keeps its fields, everything else is the content."""
        return Completed(result_of(context, default="expression"))
