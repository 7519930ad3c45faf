"""Forms of failures: a value in place of another, and what is done with dead letters."""

from __future__ import annotations

import json
import uuid
from typing import Any

from django import forms
from django.http import QueryDict

from runs.forms.history import is_uuid
from runs.snapshots.cases import LettersFilter
from workflows.models import Workflow
from workflows.tenancy.models import Tenant


class GivenForm(forms.Form):
    """A value that a person wrote in place of another: `given()` is it, None where nothing was written."""

    kind = forms.ChoiceField(required=False, choices=[("text", "text"), ("json", "json")])
    value = forms.CharField(required=False, max_length=200_000, strip=False)

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        text = data.get("value") or ""
        if data.get("kind") == "json" and text.strip():
            try:
                data["read"] = json.loads(text)
            except ValueError as error:
                raise forms.ValidationError(f"This is no JSON: {error}.") from error
        return data

    def given(self) -> Any:
        data = self.cleaned_data
        return data.get("read") if data.get("kind") == "json" else data.get("value") or None


class LettersForm(forms.Form):
    """The filters of the dead letters, as they stand in the address. What cannot be read is left out, not refused."""

    q = forms.CharField(required=False, max_length=200, label="Find dead letters")
    workflow = forms.ChoiceField(required=False)
    sort = forms.ChoiceField(
        required=False, choices=[("newest", "Newest first"), ("most", "Most runs first")], label="Order"
    )

    def __init__(self, *args: Any, tenant: Tenant, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = Workflow.objects.for_tenant(tenant).filter(deleted_at__isnull=True).order_by("name")
        choices = [(str(pk), name) for pk, name in names.values_list("pk", "name")[:500]]
        self.fields["workflow"].choices = [("", "Any workflow"), *choices]  # type: ignore[attr-defined]

    def wanted(self) -> LettersFilter:
        self.is_valid()
        data = self.cleaned_data
        return LettersFilter(
            workflow=uuid.UUID(data["workflow"]) if data.get("workflow") else None,
            text=(data.get("q") or "").strip(),
            order=data.get("sort") or "newest",
        )


class LettersActForm(forms.Form):
    """Which dead letters of a case are meant: those ticked, or with none all until a moment."""

    model = forms.CharField(required=False, max_length=120)
    reason = forms.CharField(required=False, max_length=500)
    until = forms.DateTimeField(
        required=False, input_formats=["%Y-%m-%dT%H:%M:%S.%f%z", "%Y-%m-%dT%H:%M:%S%z"]
    )
    runs = forms.TypedMultipleChoiceField(required=False, coerce=uuid.UUID)

    def __init__(self, data: QueryDict) -> None:
        super().__init__(data)
        said = [text for text in data.getlist("runs") if is_uuid(text)][:200]
        self.fields["runs"].choices = [(text, text) for text in said]  # type: ignore[attr-defined]
