"""Forms about the items of a container: their filter, and which are done again."""

from __future__ import annotations

from django import forms

from runs.engine.items import ItemStatus
from runs.snapshots.items import ItemsQuery


class ItemsForm(forms.Form):
    """The filter of a container's items, as it stands in the address. What cannot be read is left out, not refused."""

    status = forms.ChoiceField(
        required=False, choices=[("", "All"), *((status.value, status.value) for status in ItemStatus)]
    )
    q = forms.CharField(required=False, max_length=200)
    page = forms.IntegerField(required=False, min_value=1, max_value=100_000)

    def wanted(self) -> ItemsQuery:
        self.full_clean()
        data = self.cleaned_data
        return ItemsQuery(data.get("status") or "", (data.get("q") or "").strip(), data.get("page") or 1)


class RetryItemsForm(forms.Form):
    """Which items of which step are to be done again. Cleaned: `step` (None: the one that failed), `items` (indexes
    from 0; None: all that failed)."""

    step = forms.CharField(required=False, max_length=64)
    items = forms.RegexField(
        r"^(failed|\d{1,6}(,\d{1,6}){0,4999})$", error_messages={"invalid": "These are no items."}
    )

    def clean_step(self) -> str | None:
        return self.cleaned_data["step"] or None

    def clean_items(self) -> list[int] | None:
        said: str = self.cleaned_data["items"]
        return None if said == "failed" else [int(part) for part in said.split(",")]
