"""Forms of the review desk: its filter, a decision, many decisions, and days out of office."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django import forms
from django.http import QueryDict

from runs.models import Review
from runs.services.decide_review import CHANGES
from runs.services.review_desk import DeskFilter
from runs.snapshots.words import text_of
from workflows.lib.jsontypes import JSONObject
from workflows.tenancy.models import User


class DecisionForm(forms.Form):
    """A decision at a gate. Cleaned: `decision`, `comment`, and of an edit either `edited_text` or `output`."""

    decision = forms.CharField(max_length=64)
    comment = forms.CharField(required=False, max_length=10_000, strip=True)
    edited = forms.CharField(required=False, strip=False, max_length=2_000_000)
    back = forms.CharField(required=False, max_length=16)
    # Of the choice that a rejection opens: why, and whether the work goes back to an earlier step.
    reason = forms.CharField(required=False, max_length=10_000, strip=True)
    then = forms.ChoiceField(required=False, choices=[("stop", ""), ("back", "")])
    to_step = forms.CharField(required=False, max_length=64)

    def __init__(self, *args: Any, review: Review, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.review = review
        for field in review.fields:
            name = f"field_{field.get('name', '')}"
            label = str(field.get("label") or field.get("name"))
            required = bool(field.get("required"))
            match field.get("type"):
                case "number":
                    self.fields[name] = forms.FloatField(required=required, label=label)
                case "boolean":
                    self.fields[name] = forms.BooleanField(required=False, label=label)
                case _:
                    self.fields[name] = forms.CharField(required=required, label=label, max_length=10_000)

    def clean_decision(self) -> str:
        decision: str = self.cleaned_data["decision"]
        known = {str(button.get("decision")) for button in self.review.buttons}
        if decision not in known and not (decision == CHANGES and self.review.kind == Review.Kind.GATE):
            raise forms.ValidationError("This is not one of the decisions of this gate.")
        return decision

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        data["edited_text"], data["output"] = None, None
        if data.get("decision") == "reject":
            data["comment"] = "\n\n".join(filter(None, (data.get("comment"), data.get("reason"))))
            if data.get("then") == "back":
                data["decision"] = CHANGES
        if data.get("decision") != CHANGES:
            data["to_step"] = ""
        sent = str(data.get("edited") or "").replace("\r\n", "\n")
        # A field that was never sent (the gate is not editable, the view was read only) is no edit to nothing.
        if "edited" in self.data and self.review.editable:
            original = text_of(self.review.content)
            if original is not None:
                if sent != original.replace("\r\n", "\n"):
                    data["edited_text"] = sent
            else:
                data["output"] = self._object(sent)
        return data

    def _object(self, sent: str) -> JSONObject | None:
        """The edited data; None when it is what it was."""
        try:
            value = json.loads(sent)
        except ValueError as error:
            self.add_error("edited", f"Your version is not JSON: {error}.")
            return None
        if not isinstance(value, dict):
            self.add_error("edited", "Your version must be a JSON object, in braces.")
            return None
        return value if value != self.review.content else None

    def values(self) -> JSONObject:
        """What the gate's own fields were filled with, by their names; empty ones are left out."""
        names = [str(field.get("name", "")) for field in self.review.fields]
        found = {name: self.cleaned_data.get(f"field_{name}") for name in names}
        return {name: value for name, value in found.items() if value not in (None, "")}

    @property
    def problem(self) -> str:
        """What is wrong, as one sentence."""
        for name, errors in self.errors.items():
            label = self.fields[name].label if name in self.fields else ""
            return f"{label}: {errors[0]}" if name.startswith("field_") else str(errors[0])
        return ""


class DeskForm(forms.Form):
    """The filter of the inbox, as it stands in the address. What cannot be read is left out, not refused."""

    show = forms.ChoiceField(required=False, choices=[("mine", "Mine"), ("overdue", "Overdue")])
    workflow = forms.UUIDField(required=False)

    def wanted(self) -> DeskFilter:
        self.is_valid()
        return DeskFilter(self.cleaned_data.get("show") or "", self.cleaned_data.get("workflow"))


class AbsenceForm(forms.Form):
    """Out of office: from which day to which, and who decides meanwhile."""

    first_day = forms.DateField(
        label="From", widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )
    last_day = forms.DateField(
        label="To", widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"), help_text="Included."
    )
    substitute = forms.ModelChoiceField(
        User.objects.none(), label="Who decides meanwhile", empty_label="Choose a person"
    )

    def __init__(self, *args: Any, people: Sequence[User], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choice = self.fields["substitute"]
        assert isinstance(choice, forms.ModelChoiceField)
        choice.queryset = User.objects.filter(pk__in=[person.pk for person in people]).order_by(
            "name", "email"
        )


class ManyForm(forms.Form):
    """Decisions about many gates at once: one per row, or one for every row that was chosen."""

    MOST = 500

    def __init__(self, *args: Any, reviews: Sequence[Review], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.reviews = reviews

    def wanted(self) -> list[tuple[Review, str, str]]:
        """(review, decision, comment) for every row that is decided; a row's own decision comes first."""
        every = str(self.data.get("every") or "")
        chosen = set(self.data.getlist("pick")) if isinstance(self.data, QueryDict) else set()
        found = []
        for review in self.reviews[: self.MOST]:
            own = str(self.data.get(f"decision-{review.pk}") or "")
            decision = own or (every if str(review.pk) in chosen else "")
            if decision:
                comment = self.data.get(f"comment-{review.pk}") or self.data.get("comment") or ""
                found.append((review, decision, str(comment).strip()[:10_000]))
        return found
