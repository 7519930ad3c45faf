"""Forms of event triggers: what they wait for, and a sample event."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django import forms

from workflows.lib.errors import Problem
from workflows.lib.jsontypes import JSONObject
from workflows.models import Workflow
from workflows.tenancy.models import Tenant
from workflows.triggers.event import DAY_S

_CODE = {"class": "mono", "spellcheck": "false", "data-autogrow": ""}


class TriggerForm(forms.Form):
    """An event trigger's settings. `config()` and `mapping()` are the definition's; errors of its check come back by
    `tell`."""

    events = forms.CharField(
        label="Events",
        max_length=2_000,
        widget=forms.Textarea({"rows": 2, **_CODE}),
        help_text="One name to a line, such as crm/lead_status.changed; * stands for any part: crm/*.",
    )
    filter = forms.CharField(
        label="Only when",
        required=False,
        max_length=4_000,
        widget=forms.Textarea({"rows": 2, **_CODE}),
        help_text='An expression over the event: trigger.data.status == "qualified". Empty: always.',
    )
    dedupe_key = forms.CharField(
        label="Events are the same when this is",
        required=False,
        max_length=1_000,
        widget=forms.TextInput(_CODE),
        help_text="An expression such as trigger.data.id: the same value starts one run. Empty: every event starts its own.",
    )
    dedupe_for_s = forms.IntegerField(
        label="For how long, in seconds",
        required=False,
        min_value=1,
        max_value=90 * DAY_S,
        help_text=f"A day has {DAY_S:,}; empty means a day.",
    )

    def __init__(
        self, *args: Any, inputs: Sequence[str] = (), kept: JSONObject | None = None, **more: Any
    ) -> None:
        """`inputs` are the names of the workflow's input variables; `kept` is the mapping that there is."""
        super().__init__(*args, **more)
        self.kept = kept or {}
        self.inputs = list(dict.fromkeys((*inputs, *self.kept)))
        for name in self.inputs:
            self.fields[f"map_{name}"] = forms.CharField(
                label=name,
                required=False,
                max_length=8_000,
                initial=_shown(self.kept.get(name)),
                widget=forms.TextInput({"class": "mono", "spellcheck": "false"}),
            )

    @property
    def mapped(self) -> list[forms.BoundField]:
        return [self[f"map_{name}"] for name in self.inputs]

    def config(self) -> JSONObject:
        data = self.cleaned_data
        names = [line.strip() for line in data["events"].replace(",", "\n").splitlines() if line.strip()]
        found: JSONObject = {"event": names[0] if len(names) == 1 else names}
        for name in ("filter", "dedupe_key", "dedupe_for_s"):
            if data.get(name):
                found[name] = data[name]
        return found

    def mapping(self) -> JSONObject:
        found: JSONObject = {}
        for name in self.inputs:
            text = self.cleaned_data.get(f"map_{name}", "")
            if text:
                before = self.kept.get(name)
                found[name] = before if text == _shown(before) else text
        return found

    def tell(self, problems: Sequence[Problem]) -> None:
        """Errors of the check at the fields they are of."""
        for problem in problems:
            field = {"event": "events"}.get(problem.field or "", problem.field or "")
            field = (
                f"map_{field.removeprefix('input_mapping.')}" if field.startswith("input_mapping.") else field
            )
            self.add_error(field if field in self.fields else None, problem.message)


class NewTriggerForm(TriggerForm):
    """The same for a workflow that is chosen here."""

    workflow = forms.ModelChoiceField(
        label="Starts", queryset=Workflow.objects.none(), empty_label="Choose a workflow"
    )
    field_order = ("workflow", "events", "filter", "dedupe_key", "dedupe_for_s")

    def __init__(self, *args: Any, tenant: Tenant, **more: Any) -> None:
        super().__init__(*args, **more)
        field = self.fields["workflow"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = (
            Workflow.objects.for_tenant(tenant)
            .filter(deleted_at__isnull=True)
            .exclude(status=Workflow.Status.ARCHIVED)
            .order_by("name")
        )


class SampleForm(forms.Form):
    """An event to try a trigger with: `sample` is its data as JSON."""

    name = forms.CharField(label="Event", max_length=200, widget=forms.TextInput({"class": "mono"}))
    sample = forms.CharField(
        label="Its data (JSON)",
        required=False,
        max_length=200_000,
        widget=forms.Textarea({"rows": 6, **_CODE}),
    )

    def clean_sample(self) -> Any:
        try:
            return json.loads(self.cleaned_data.get("sample") or "null")
        except ValueError as error:
            raise forms.ValidationError(f"This is no JSON: {error}.") from error


def _shown(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
