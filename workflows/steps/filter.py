"""Ends the run early, as completed, unless a condition holds."""

from __future__ import annotations

from django import forms

from workflows.expressions.errors import TextError
from workflows.lib.jsontypes import JSONObject
from workflows.steps.base import Completed, EndRun, Group, Outcome, StepContext, StepType
from workflows.steps.conditions import holds, in_words
from workflows.steps.fields import RowsField, TemplateField
from workflows.steps.registry import register
from workflows.steps.values import as_step_error, clip, passed_on, text_of


@register
class FilterStep(StepType):
    """Lets the run go on only if a condition holds. If not, the run ends here, completed, and nothing has failed."""

    name, label, icon, group = "filter", "Filter", "filter", Group.STEER
    tagline = "Go on only if…"

    class ConfigForm(forms.Form):
        condition = RowsField(label="Go on if", section="Condition", required=True)
        reason = TemplateField(
            label="Reason to show",
            help_text="Said on the run's page when it ends here. Left empty: the condition in words.",
            section="Condition",
            rows=1,
            more=True,
        )

    def adopt(self, config: JSONObject) -> JSONObject:
        """A bare `expression` or `rows` is the condition."""
        if "condition" in config:
            return config
        parts = {name: config[name] for name in ("expression", "rows", "match") if name in config}
        rest = {name: value for name, value in config.items() if name not in parts}
        return {**rest, "condition": parts} if parts else config

    def summary(self, config: JSONObject) -> str:
        words = in_words(config.get("condition") or {})
        return f"Goes on only if {clip(words)}" if words else "No condition yet"

    def execute(self, context: StepContext) -> Outcome:
        """The input, unchanged; or the end of the run with it."""
        condition = context.config.get("condition") or {}
        try:
            goes_on = holds(condition, context.scope)
        except TextError as error:
            raise as_step_error(error, "condition") from error
        if goes_on:
            return Completed(passed_on(context))
        said = text_of(context, context.config.get("reason", ""), field="reason").strip()
        return EndRun(
            passed_on(context), said or f"“{context.step.label}” does not hold: {in_words(condition)}."
        )
