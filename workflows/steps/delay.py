"""Waits a length of time, or until a moment; nothing is held meanwhile and a restart loses nothing."""

from __future__ import annotations

from datetime import UTC, datetime

from django import forms

from workflows.definition.graph import StepDef
from workflows.lib.errors import Problem
from workflows.lib.jsontypes import JSONObject
from workflows.steps.base import Group, Outcome, StepContext, StepError, StepType, WaitUntil
from workflows.steps.fields import REQUIRED, ChoiceField, DurationField, TemplateField, parse_duration
from workflows.steps.registry import register
from workflows.steps.values import clip, passed_on, text_of


@register
class DelayStep(StepType):
    """Holds the run for a while, or until a time. The input passes through."""

    name, label, icon, group = "delay", "Delay", "hourglass", Group.STEER
    tagline = "Hold for a while"
    aliases = ("wait", "sleep")

    class ConfigForm(forms.Form):
        mode = ChoiceField(
            label="Wait", choices=(("for", "For a while"), ("until", "Until a time")), section="Time"
        )
        duration = DurationField(
            label="How long",
            help_text="A number and a unit: 30 minutes, 2 days, 1 week. May use {{ … }}.",
            placeholder="2 days",
            section="Time",
            other_names=("seconds", "delay"),
            shown_when=("mode", ("for",)),
        )
        until = TemplateField(
            label="Until",
            help_text="A date, or date and time: 2026-12-24 09:00+01:00. Without an offset it is UTC. May use {{ … }}.",
            placeholder="{{input.due}}",
            section="Time",
            rows=1,
            shown_when=("mode", ("until",)),
        )

    def adopt(self, config: JSONObject) -> JSONObject:
        if "mode" not in config and config.get("until") and not config.get("duration"):
            return {**config, "mode": "until"}
        return config

    def check(self, step: StepDef) -> tuple[Problem, ...]:
        mode = step.config.get("mode", "for")
        name, label = (
            ("until", "The time to wait for") if mode == "until" else ("duration", "The length of the wait")
        )
        given = str(step.config.get(name) or "").strip()
        if not given:
            return (
                Problem(REQUIRED, f"{label} is missing.", field=name, fix="Fill it in, for example: 2 days."),
            )
        if name == "until" and "{{" not in given:
            try:
                _moment(given)
            except ValueError as error:
                return (Problem("bad_time", str(error), field=name, fix="Write it like 2026-12-24 09:00."),)
        return ()

    def summary(self, config: JSONObject) -> str:
        if config.get("mode") == "until":
            return f"Waits until {clip(config.get('until') or '…')}"
        return f"Waits {clip(str(config.get('duration') or '…'))}"

    def execute(self, context: StepContext) -> Outcome:
        """A wait with the input as its output. A moment that has passed is due at once."""
        config = context.config
        name = "until" if config.get("mode") == "until" else "duration"
        said = text_of(context, str(config.get(name) or ""), field=name).strip()
        try:
            at = _moment(said) if name == "until" else context.now + parse_duration(said)
        except (ValueError, OverflowError) as error:
            raise StepError(
                str(error), code="bad_time", field=name, fix="Write it like 2 days, or 2026-12-24 09:00."
            ) from None
        return WaitUntil(max(at, context.now), passed_on(context))


def _moment(text: str) -> datetime:
    """The moment in an ISO date or time, in UTC. Raises ValueError with a sentence."""
    try:
        found = datetime.fromisoformat(text.strip().replace(" UTC", "+00:00"))
    except ValueError:
        raise ValueError(
            f"“{clip(text)}” is no date and time." if text.strip() else "The time is missing."
        ) from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
