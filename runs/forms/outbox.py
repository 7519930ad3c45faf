"""The filters of the outbox."""

from __future__ import annotations

from django import forms

from runs.models import Delivery


class OutboxForm(forms.Form):
    """Filters of the outbox; an unknown value filters nothing."""

    q = forms.CharField(required=False, max_length=200)
    status = forms.ChoiceField(required=False, choices=[("", "Any state"), *Delivery.Status.choices])
    kind = forms.ChoiceField(
        required=False,
        choices=[
            ("", "Any kind"),
            ("email", "Mails"),
            ("webhook", "Webhooks"),
            ("http", "Requests"),
            ("event", "Events"),
        ],
    )

    def wanted(self) -> dict[str, str]:
        self.is_valid()
        return {name: str(self.cleaned_data.get(name) or "") for name in ("q", "status", "kind")}
