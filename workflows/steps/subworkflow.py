"""Runs another workflow and waits for it."""

from __future__ import annotations

from datetime import timedelta

from django import forms

from workflows.lib.jsontypes import JSONObject
from workflows.steps.base import Group, Outcome, StartChild, StepContext, StepError, StepType
from workflows.steps.fields import MappingField, TextField
from workflows.steps.registry import register
from workflows.steps.values import clip, value_of


@register
class SubworkflowStep(StepType):
    """Runs another workflow of the workspace with its newest published version, and waits for its result."""

    name, label, icon, group = "subworkflow", "Run a workflow", "workflow", Group.DO
    tagline = "Use another workflow"
    aliases = ("sub_workflow", "call_workflow", "execute_workflow")
    default_timeout = timedelta(days=30)

    class ConfigForm(forms.Form):
        workflow = TextField(
            label="Workflow",
            help_text="Its name, or its id. The newest published version is run, and recorded.",
            section="Workflow",
            required=True,
            other_names=("workflow_id",),
        )
        input = MappingField(
            label="Input",
            help_text="What the other workflow is given. Left empty: the fields of what came before.",
            section="Workflow",
            names="Input",
            values="Value",
            other_names=("input_mapping",),
        )

    def summary(self, config: JSONObject) -> str:
        name = config.get("workflow")
        return f"Runs “{clip(name)}” and waits for it" if name else "No workflow chosen yet"

    def output_fields(self, config: JSONObject) -> tuple[tuple[str, str], ...]:
        return (("content", "any"), ("run", "object"))

    def execute(self, context: StepContext) -> Outcome:
        """The request for the other run; the engine starts it and completes this step with its output."""
        config = context.config
        mapping = config.get("input")
        if mapping:
            data = value_of(context, mapping, field="input")
        else:
            data = context.previous if isinstance(context.previous, dict) else {"content": context.previous}
        if not isinstance(data, dict):
            raise StepError(
                "The input of the other workflow has to be fields.", code="bad_value", field="input"
            )
        return StartChild(workflow=str(config.get("workflow") or "").strip(), input=data)
