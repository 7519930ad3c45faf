"""The fields of a run's input, one for each input variable as its type asks."""

from __future__ import annotations

import json
from typing import Any

from django import forms

from workflows.definition.graph import VariableDef, VariableType


class _JSONText(forms.CharField):
    """Data written as JSON; `kind` is what it must be."""

    def __init__(self, *, kind: type, **kwargs: Any) -> None:
        super().__init__(widget=forms.Textarea(attrs={"rows": 6, "class": "mono"}), **kwargs)
        self.kind = kind

    def prepare_value(self, value: Any) -> Any:
        return (
            value
            if isinstance(value, str) or value is None
            else json.dumps(value, ensure_ascii=False, indent=2)
        )

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        if not text:
            return None
        try:
            found = json.loads(text)
        except ValueError as error:
            raise forms.ValidationError(f"This is not JSON: {error}.") from error
        if not isinstance(found, self.kind):
            wanted = "a list, in brackets" if self.kind is list else "an object, in braces"
            raise forms.ValidationError(f"This must be {wanted}.")
        return found


def input_field(variable: VariableDef) -> forms.Field:
    """The field for an input variable. A default stands in it, so "required" asks only where nothing else would hold."""
    common: dict[str, Any] = {
        "label": variable.name.replace("_", " ").capitalize(),
        "help_text": variable.description,
        "initial": variable.default,
        "required": variable.required and variable.default is None,
    }
    match variable.type:
        case VariableType.NUMBER:
            return forms.FloatField(**common)
        case VariableType.BOOLEAN:
            return forms.BooleanField(**(common | {"required": False}))
        case VariableType.OBJECT:
            return _JSONText(kind=dict, **common)
        case VariableType.ARRAY:
            return _JSONText(kind=list, **common)
        case _:
            return forms.CharField(widget=forms.Textarea(attrs={"rows": 5}), strip=False, **common)
