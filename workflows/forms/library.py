"""Forms of the library's pages: a prompt's text with its parameters, a persona, which steps a persona is given to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, Final

from django import forms

from workflows.definition.library import Parameter
from workflows.expressions.names import NAMES
from workflows.models import Persona
from workflows.services.change_prompt import Reach
from workflows.steps.fields.base import all_of

TYPES: Final = (
    ("string", "Text"),
    ("number", "Number"),
    ("boolean", "Yes or no"),
    ("choice", "One of a few"),
    ("array", "List"),
    ("object", "Object"),
)
# Rows to fill in without a script.
EMPTY_ROWS: Final = 2


_LIKE_PARAMETER = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]{0,59})\s*\}\}")
_MOST_OFFERED = 20


class PromptForm(forms.Form):
    """Text of a version. The parameters are rows beside it: `read_parameters`."""

    name = forms.CharField(label="Name", max_length=120)
    description = forms.CharField(label="What it is for", max_length=500, required=False)
    text = forms.CharField(
        label="Prompt",
        widget=forms.Textarea(attrs={"rows": 12, "spellcheck": "true", "data-autogrow": ""}),
        help_text="What the model has to do. Parameters stand in it as {{ name }}; each step says what fills them.",
    )
    note = forms.CharField(
        label="What has changed", max_length=500, required=False, help_text="For the list of versions."
    )
    seen = forms.IntegerField(widget=forms.HiddenInput, required=False)
    reach = forms.ChoiceField(
        label="Steps that use it already",
        required=False,
        widget=forms.RadioSelect,
        choices=(
            (Reach.ALL, "Update all: drafts use the new version"),
            (Reach.NEW, "Only new steps: those that use it today stay with their version"),
        ),
        initial=Reach.ALL,
        help_text="Published workflows keep the text that they were published with, until they are published again.",
    )


class PersonaForm(forms.Form):
    """Who answers, in which colour."""

    name = forms.CharField(label="Name", max_length=80)
    description = forms.CharField(
        label="In one line", max_length=300, required=False, help_text="For the card: how it works."
    )
    colour = forms.TypedChoiceField(label="Colour", coerce=int, choices=Persona.Colour.choices, initial=1)
    text = forms.CharField(
        label="Who it is",
        widget=forms.Textarea(attrs={"rows": 14, "spellcheck": "true", "data-autogrow": ""}),
        help_text="Put before the step's own system prompt, a blank line between.",
    )


class EmailTemplateForm(forms.Form):
    """A mail: its name (fixed once it is there), subject, text, and variables, one a line."""

    name = forms.CharField(label="Name", max_length=80, help_text="Steps name it: letters and _.")
    description = forms.CharField(label="In one line", max_length=300, required=False)
    subject = forms.CharField(
        label="Subject", max_length=250, widget=forms.TextInput(attrs={"autocomplete": "off"})
    )
    text = forms.CharField(
        label="Text",
        widget=forms.Textarea(attrs={"rows": 14, "data-autogrow": ""}),
        help_text="{{ name }} is one of the variables below, {{ text }} the step's own text.",
    )
    as_html = forms.BooleanField(
        label="Markdown: goes out formatted, with the plain text beside it", required=False, initial=True
    )
    variables = forms.CharField(
        label="Variables",
        required=False,
        widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false", "data-autogrow": ""}),
        help_text="One a line: its name, or name = what stands there when a step leaves it empty.",
    )

    def parameters(self) -> list[Parameter]:
        """The lines as parameters; those without a default have to be filled in."""
        found = []
        for line in str(self.cleaned_data["variables"]).splitlines():
            name, equals, default = (part.strip() for part in line.partition("="))
            if name:
                found.append(Parameter(name, required=not equals, default=default if equals else None))
        return found


def variables_in_lines(parameters: Iterable[Parameter]) -> str:
    return "\n".join(
        one.name if one.required and one.default is None else f"{one.name} = {one.default or ''}".rstrip()
        for one in parameters
    )


def parameter_rows(parameters: Iterable[Any] = (), *, empty: int = EMPTY_ROWS) -> list[dict[str, Any]]:
    """The parameters as rows of the form, and some empty ones."""
    rows: list[dict[str, Any]] = []
    for entry in parameters:
        one = Parameter.from_json(entry)
        default = "" if one.default is None else one.default
        rows.append(
            {
                "name": one.name,
                "type": one.type,
                "required": one.required,
                "default": default if isinstance(default, str) else json.dumps(default, ensure_ascii=False),
                "description": one.description,
                "options": ", ".join(one.options),
            }
        )
    return rows + [{"name": "", "type": "string", "required": True} for _ in range(empty)]


def not_yet_parameters(text: str, given: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows for the names that stand in a prompt like parameters and are none yet; what a run's data is called is not."""
    known = {str(one["name"]) for one in given} | set(NAMES)
    names = [name for name in dict.fromkeys(_LIKE_PARAMETER.findall(text)) if name not in known]
    return [Parameter(name, required=True).to_json() for name in names[:_MOST_OFFERED]]


def read_parameters(data: Any) -> list[dict[str, Any]]:
    """The posted rows that have a name: repeated `parameter__name`, `__type`, `__required`, `__default`, …"""
    names = all_of(data, "parameter__name")
    columns = {
        key: all_of(data, f"parameter__{key}")
        for key in ("type", "required", "default", "description", "options")
    }
    found: list[dict[str, Any]] = []
    for place, name in enumerate(names):
        given = {key: values[place] if place < len(values) else "" for key, values in columns.items()}
        if not name.strip() and not given["default"].strip() and not given["description"].strip():
            continue
        found.append(
            {
                "name": name.strip(),
                "type": given["type"] or "string",
                "required": given["required"] != "no",
                "default": given["default"].strip() or None,
                "description": given["description"].strip(),
                "options": [part.strip() for part in given["options"].split(",") if part.strip()],
            }
        )
    return found


class BulkPersonaForm(forms.Form):
    """Which persona answers in which steps of a workflow."""

    persona = forms.ChoiceField(label="Persona", required=False)
    steps = forms.MultipleChoiceField(
        label="Steps",
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="Steps that ask a model.",
    )

    def __init__(
        self, *args: Any, personas: Iterable[str], steps: Iterable[tuple[str, str]], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.fields["persona"].choices = [("", "None"), *((name, name) for name in personas)]  # type: ignore[attr-defined]
        self.fields["steps"].choices = list(steps)  # type: ignore[attr-defined]
