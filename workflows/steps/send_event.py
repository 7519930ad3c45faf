"""Tells an event, by which other workflows may be started."""

from __future__ import annotations

from django import forms

from workflows.definition.graph import StepDef
from workflows.lib.errors import Problem
from workflows.lib.event_names import name_fault
from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.steps.base import Completed, Emit, Group, Outcome, StepContext, StepError, StepType
from workflows.steps.fields import MappingField, TemplateField, filled
from workflows.steps.registry import register
from workflows.steps.values import check_output, clip, text_of, value_of


@register
class SendEventStep(StepType):
    """Tells an event of a name with data. Every workflow whose event trigger takes the name in is started, once."""

    name, label, icon, group = "send_event", "Send event", "zap", Group.DO
    tagline = "Let other workflows start"
    aliases = ("emit_event", "trigger_event", "publish_event")

    class ConfigForm(forms.Form):
        event = TemplateField(
            label="Event",
            help_text="A name such as crm/lead.changed. Event triggers wait for it, also as crm/* .",
            placeholder="orders/order.ready",
            section="Event",
            rows=1,
            required=True,
            other_names=("event_name",),
        )
        payload = MappingField(
            label="Data",
            help_text="Each is text with {{ … }}, or an expression after =. Left empty: the fields of what came before.",
            section="Event",
            names="Field",
            values="Value",
            other_names=("data",),
        )

    def summary(self, config: JSONObject) -> str:
        name = str(config.get("event") or "").strip()
        return f"Tells “{clip(name)}”" if name else "No event named yet"

    def output_fields(self, config: JSONObject) -> tuple[tuple[str, str], ...]:
        return (("content", "string"), ("event", "string"), ("data", "object"), ("delivery", "string"))

    def check(self, step: StepDef) -> tuple[Problem, ...]:
        name = str(step.config.get("event") or "").strip()
        if not name or "{{" in name:
            return ()
        fault = name_fault(name)
        return (
            (Problem("bad_name", fault, field="event", fix="Write it like crm/lead.changed."),)
            if fault
            else ()
        )

    def execute(self, context: StepContext) -> Outcome:
        """The event, told in the transaction in which this step completes; a test run keeps it in the outbox."""
        setting = filled(self.ConfigForm, context.config)
        name = text_of(context, setting["event"], field="event").strip()
        if fault := name_fault(name):
            raise StepError(fault, code="bad_name", field="event", fix="Write it like crm/lead.changed.")
        data: JSONValue
        if setting["payload"]:
            data = value_of(context, setting["payload"], field="payload")
        else:
            data = context.previous if isinstance(context.previous, dict) else {"content": context.previous}
        delivery = "outbox" if context.run.is_test else "sent"
        output: JSONObject = {"content": name, "event": name, "data": data, "delivery": delivery}
        notes = "Test run: kept in the outbox, not told" if context.run.is_test else f"Told “{clip(name)}”"
        return Completed(check_output(output), notes=notes, emits=(Emit(name, data),))
