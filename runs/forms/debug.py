"""Forms that look into a run: a change while it is held, and what if a step had other settings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from django import forms

from runs.forms.inputs import input_field
from workflows.definition.graph import Definition, StepDef
from workflows.lib.jsontypes import JSONObject
from workflows.steps import registry
from workflows.steps.fields import ConfigField, WrongType, config_fields


class EditForm(forms.Form):
    """A change of a run that is held. Cleaned: `what` (variable, input, output), `step`, `name`, `value`, `rerun`.

    `kind` says how `value` is written: `text`, or `json` for anything else.
    """

    what = forms.ChoiceField(choices=[(name, name) for name in ("variable", "input", "output")])
    step = forms.CharField(required=False, max_length=64)
    name = forms.CharField(required=False, max_length=120)
    kind = forms.ChoiceField(choices=[("text", "text"), ("json", "json")])
    value = forms.CharField(required=False, strip=False, max_length=2_000_000)
    rerun = forms.BooleanField(required=False)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        text = str(data.get("value") or "").replace("\r\n", "\n")
        data["value"] = text
        if data.get("kind") == "json":
            try:
                data["value"] = json.loads(text)
            except ValueError as error:
                self.add_error("value", f"This is not JSON: {error}.")
        return data


class WhatIfForm(forms.Form):
    """A step once more with other settings, input of the run, or a stop before it. Only what differs is passed on.

    `step` is as the run's version has it, `given` the run's input. Settings are shown as fields of text.
    """

    stop = forms.BooleanField(
        required=False,
        label="Stop before this step",
        help_text="Then what comes in can be looked at and changed before it begins.",
    )
    KINDS = ("template", "expression", "model", "number", "choice", "text")

    def __init__(
        self,
        *args: Any,
        step: StepDef,
        settings: Mapping[str, ConfigField],
        definition: Definition,
        given: JSONObject,
        models: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.step, self.definition, self.given, self.models = step, definition, given, models
        self.settings = {
            name: field
            for name, field in settings.items()
            if field.kind in self.KINDS and self._is_of_use(field)
        }
        for name, field in self.settings.items():
            self.fields[f"set_{name}"] = self._setting(field, step.config.get(name, field.default))
        for variable in definition.input_variables():
            # What the origin was given stands in it; a required one that was empty there may stay so.
            asked = input_field(variable)
            asked.required, asked.initial = False, given.get(variable.name, variable.default)
            self.fields[f"input_{variable.name}"] = asked

    def _is_of_use(self, field: ConfigField) -> bool:
        """Not for a way in which the step does not work."""
        if field.shown_when is None:
            return True
        other, values = field.shown_when
        asked = config_fields(registry.get(self.step.type).ConfigForm).get(other)
        return self.step.config.get(other, asked.default if asked is not None else "") in values

    def _setting(self, field: ConfigField, value: Any) -> forms.Field:
        common: dict[str, Any] = {
            "label": field.label,
            "help_text": field.help_text if field.kind != "choice" else "",
            "required": False,
            "initial": "" if value is None else value,
        }
        if field.kind == "choice":
            return forms.ChoiceField(choices=getattr(field, "choices", ()), **common)
        if field.kind in ("template", "expression"):
            rows = 10 if "\n" in str(value) or len(str(value)) > 120 else 3
            return forms.CharField(
                widget=forms.Textarea(attrs={"rows": rows, "data-autogrow": ""}), strip=False, **common
            )
        attributes = {"list": "known-models"} if field.kind == "model" else {}
        return forms.CharField(widget=forms.TextInput(attrs=attributes), **common)

    def first(self) -> list[forms.BoundField]:
        """The settings that matter most: what is asked, and who is asked."""
        return [self[f"set_{name}"] for name in self._ordered if not self.settings[name].more]

    def more(self) -> list[forms.BoundField]:
        return [self[f"set_{name}"] for name in self._ordered if self.settings[name].more]

    @property
    def _ordered(self) -> list[str]:
        order = {"template": 0, "expression": 0, "model": 1}
        return sorted(self.settings, key=lambda name: order.get(self.settings[name].kind, 2))

    def asked(self) -> list[forms.BoundField]:
        return [self[f"input_{variable.name}"] for variable in self.definition.input_variables()]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        data["overrides"] = {}
        for name, field in self.settings.items():
            sent = str(data.get(f"set_{name}") or "").replace("\r\n", "\n")
            before = self.step.config.get(name, field.default)
            try:
                value = field.nothing() if sent == "" else field.read(sent)
            except WrongType as wrong:
                self.add_error(f"set_{name}", f"This must be {wrong}.")
                continue
            if value != before and not (field.is_empty(value) and field.is_empty(before)):
                data["overrides"][name] = value
        values = dict(self.given)
        for variable in self.definition.input_variables():
            value = data.get(f"input_{variable.name}")
            if isinstance(value, str):
                value = value.replace("\r\n", "\n")
            if value not in (None, "") or variable.name in values:
                values[variable.name] = value
        same = {k: _unixed(v) for k, v in values.items()} == {k: _unixed(v) for k, v in self.given.items()}
        data["input_data"] = None if same else values
        return data


def _unixed(value: Any) -> Any:
    """Browsers send lines of their own kind."""
    return value.replace("\r\n", "\n") if isinstance(value, str) else value
