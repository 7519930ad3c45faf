"""The form that makes a template of a workflow."""

from __future__ import annotations

from typing import Any

from django import forms

from templates_app.services.documents import FIELDS
from workflows.models import Workflow
from workflows.selectors import visible_workflows
from workflows.tenancy.models import Tenant


class SaveForm(forms.Form):
    """Only workflows of the tenant can be chosen; any other answers like one that does not exist."""

    workflow: forms.ModelChoiceField[Workflow] = forms.ModelChoiceField(
        Workflow.objects.none(),
        empty_label="Choose a workflow",
        help_text="Its draft as it is now is copied.",
    )
    name = forms.CharField(
        max_length=FIELDS["name"][0], required=False, help_text="Left empty: the workflow's name."
    )
    category = forms.CharField(
        max_length=FIELDS["category"][0], required=False, help_text="Left empty: Your team."
    )
    description = forms.CharField(
        max_length=FIELDS["description"][0],
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="What it does, in a sentence or two. Left empty: the workflow's own.",
    )
    outcome = forms.CharField(
        max_length=FIELDS["outcome"][0], required=False, help_text="What one has in hand afterwards."
    )

    def __init__(self, *args: Any, tenant: Tenant, categories: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["workflow"]
        if isinstance(field, forms.ModelChoiceField):
            field.queryset = visible_workflows(tenant).order_by("name", "pk")
        self.fields["category"].widget.attrs["list"] = "known-categories"
        self.categories = categories
