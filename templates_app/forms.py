"""Forms of the gallery: making a template of a workflow, and what is filled in before one is used."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django import forms

from templates_app.models import WorkflowTemplate
from templates_app.services.documents import FIELDS
from workflows.definition.graph import Definition, VariableDef, VariableKind, VariableType
from workflows.forms.builder import read_value
from workflows.lib.jsontypes import JSONObject
from workflows.models import SampleInput, Workflow
from workflows.selectors import visible_workflows
from workflows.services.samples import find_sample, samples_of
from workflows.tenancy.models import Tenant


class SaveForm(forms.Form):
    """Only workflows of the tenant can be chosen; any other answers like one that does not exist."""

    workflow: forms.ModelChoiceField[Workflow] = forms.ModelChoiceField(
        Workflow.objects.none(),
        empty_label="Choose a workflow",
        help_text="Its draft as it is now is copied.",
    )
    renews: forms.ModelChoiceField[WorkflowTemplate] = forms.ModelChoiceField(
        WorkflowTemplate.objects.none(),
        required=False,
        label="As",
        empty_label="A new template",
        help_text="Choosing one gives it a new revision, which its workflows are offered.",
    )
    name = forms.CharField(
        max_length=FIELDS["name"][0], required=False, help_text="Left empty: the workflow’s name."
    )
    category = forms.CharField(
        max_length=FIELDS["category"][0], required=False, help_text="Left empty: Your team."
    )
    description = forms.CharField(
        max_length=FIELDS["description"][0],
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="What it does, in a sentence or two. Left empty: the workflow’s own.",
    )
    outcome = forms.CharField(
        max_length=FIELDS["outcome"][0], required=False, help_text="What one has in hand afterwards."
    )

    def __init__(self, *args: Any, tenant: Tenant, categories: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["workflow"]
        if isinstance(field, forms.ModelChoiceField):
            field.queryset = visible_workflows(tenant).order_by("name", "pk")
        renews = self.fields["renews"]
        if isinstance(renews, forms.ModelChoiceField):
            renews.queryset = WorkflowTemplate.objects.for_tenant(tenant).order_by("name", "pk")
        self.fields["category"].widget.attrs["list"] = "known-categories"
        if samples := self._samples(tenant):
            self.fields["sample"] = forms.ChoiceField(
                choices=[("", "None"), *((str(one.pk), one.name) for one in samples)],
                required=False,
                label="Sample data",
                help_text="People run it once with this, to see it work. Whoever sees the template can read it.",
            )
        self.categories = categories

    def _samples(self, tenant: Tenant) -> list[SampleInput]:
        """Those of the workflow that is chosen; none while none is."""
        chosen = self.data.get("workflow") if self.is_bound else self.initial.get("workflow")
        try:
            pk = chosen.pk if isinstance(chosen, Workflow) else UUID(str(chosen))
        except ValueError:
            return []
        workflow = visible_workflows(tenant).filter(pk=pk).first()
        return list(samples_of(workflow)) if workflow is not None else []

    @property
    def sample_field(self) -> forms.BoundField | None:
        return self["sample"] if "sample" in self.fields else None

    def sample(self) -> SampleInput | None:
        """The sample that was chosen, of the workflow that was chosen."""
        said = self.cleaned_data.get("sample") or ""
        return find_sample(self.cleaned_data["workflow"], said) if said else None


class UseForm(forms.Form):
    """The name of the new workflow, what its variables usually are, and the model that answers."""

    name = forms.CharField(max_length=255, required=False, label="Name of your workflow")

    def __init__(self, *args: Any, definition: Definition, name: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"].widget.attrs["placeholder"] = name
        self.asked = tuple(each for each in definition.variables if each.kind is VariableKind.INPUT)
        for each in self.asked:
            self.fields[f"value_{each.name}"] = _value_field(each)
        self.fields["model"] = forms.CharField(
            label="Model",
            required=False,
            max_length=120,
            help_text="For steps that name none. Empty: what the workspace has chosen.",
            widget=forms.TextInput(attrs={"list": "models", "autocomplete": "off"}),
        )

    def clean(self) -> dict[str, Any]:
        found = super().clean() or {}
        self.values: JSONObject = {}
        for each in self.asked:
            name = f"value_{each.name}"
            text = str(found.get(name) or "")
            if not text.strip() or text.replace("\r\n", "\n") == _shown(each):
                continue
            try:
                self.values[each.name] = read_value(text.replace("\r\n", "\n"), each.type)
            except ValueError as error:
                self.add_error(name, f"“{each.name}” {error}.")
        return found


def _shown(variable: VariableDef) -> str:
    value = variable.default
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _value_field(variable: VariableDef) -> forms.Field:
    words: dict[str, Any] = {
        "label": variable.name.replace("_", " ").capitalize(),
        "required": False,
        "help_text": variable.description,
        "initial": _shown(variable),
    }
    if variable.type is VariableType.BOOLEAN:
        return forms.ChoiceField(choices=[("", "–"), ("true", "Yes"), ("false", "No")], **words)
    if variable.type is VariableType.NUMBER:
        return forms.CharField(widget=forms.TextInput(attrs={"inputmode": "decimal"}), **words)
    return forms.CharField(widget=forms.Textarea(attrs={"rows": 2, "data-autogrow": ""}), **words)
