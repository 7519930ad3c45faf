"""Joins branches: makes one value of what they bring."""

from __future__ import annotations

from django import forms

from workflows.definition.graph import StepDef
from workflows.lib.errors import Problem
from workflows.lib.jsontypes import JSONObject
from workflows.steps.base import Completed, Group, Outcome, StepContext, StepType
from workflows.steps.fields import REQUIRED, ChoiceField, ExpressionField, TextField
from workflows.steps.registry import register
from workflows.steps.values import arrivals, as_output, clip, expression_value, passed_on, plain_text, plural

_WORDS = {
    "object": "one object, a field for each branch",
    "list": "one list",
    "text": "one text",
    "expression": "an expression",
}


@register
class MergeStep(StepType):
    """Waits for branches and makes one value of them. What comes from a single branch passes through."""

    name, label, icon, group = "merge", "Merge", "merge", Group.STEER
    tagline = "Wait for branches"

    class ConfigForm(forms.Form):
        mode = ChoiceField(
            label="Make",
            choices=(
                ("object", "One object, a field for each branch"),
                ("list", "One list"),
                ("text", "One text"),
                ("expression", "An expression"),
            ),
            section="Result",
        )
        separator = TextField(
            label="Between the texts",
            help_text="\\n is a new line. Left empty: a blank line.",
            placeholder="\\n\\n",
            section="Result",
            more=True,
            shown_when=("mode", ("text",)),
        )
        expression = ExpressionField(
            label="Expression",
            help_text="{{previous}} holds the branches by the label of their last step.",
            section="Result",
            shown_when=("mode", ("expression",)),
        )

    def check(self, step: StepDef) -> tuple[Problem, ...]:
        if step.config.get("mode") == "expression" and not step.config.get("expression"):
            return (Problem(REQUIRED, "The expression is missing.", field="expression", fix="Fill it in."),)
        return ()

    def summary(self, config: JSONObject) -> str:
        mode = config.get("mode", "object")
        if mode == "expression" and config.get("expression"):
            return f"Joins them by {clip(config['expression'])}"
        return f"Joins them into {_WORDS.get(mode, mode)}"

    def output_fields(self, config: JSONObject) -> tuple[tuple[str, str], ...]:
        mode = config.get("mode", "object")
        return (
            ("content", "any" if mode == "expression" else "string"),
            *((("items", "array"),) if mode == "list" else ()),
        )

    def execute(self, context: StepContext) -> Outcome:
        """One output of the live branches, in the order of their paths."""
        config, arrived = context.config, arrivals(context)
        mode = config.get("mode", "object")
        if mode == "expression":
            value = expression_value(config.get("expression", ""), context.scope, field="expression")
            return Completed(as_output(value))
        if len(arrived) < 2:
            return Completed(passed_on(context), notes="One branch arrived and passes through")
        texts = [plain_text(output) for _, output in arrived]
        notes = (
            f"{plural(len(arrived), 'branch', 'branches')} joined: {', '.join(label for label, _ in arrived)}"
        )
        if mode == "list":
            items = [output.get("content") for _, output in arrived]
            return Completed({"content": "\n\n".join(texts), "items": items}, notes=notes)
        if mode == "text":
            separator = str(config.get("separator") or "\\n\\n").replace("\\n", "\n").replace("\\t", "\t")
            return Completed({"content": separator.join(texts)}, notes=notes)
        joined = {label: output for label, output in arrived if label != "content"}
        return Completed({**joined, "content": "\n\n".join(texts)}, notes=notes)
