"""The form that a run is started with."""

from __future__ import annotations

from typing import Any, Literal

from django import forms

from runs.forms.inputs import input_field
from workflows.definition.graph import Definition, VariableType
from workflows.lib.errors import StepwellError
from workflows.lib.jsontypes import JSONObject

# Steps that the start form offers to stop before; on the run page every step can be chosen.
_STOPS = 60


# Beyond this not every whole number can be told from its neighbour.
_EXACT = 2**53


class StartForm(forms.Form):
    """What a run is started with: one field per input variable, as its type asks. The service checks the values.

    Cleaned: `version` (number, "draft" or None), `test`, `yolo` (None where the choice was not shown).
    """

    version = forms.CharField(required=False, max_length=20)
    test = forms.BooleanField(
        required=False,
        label="Test run",
        help_text="Kept apart: it does not count in the figures of the workflow.",
    )
    yolo = forms.BooleanField(
        required=False, label="Pass every review by itself (YOLO)", help_text="Nobody is asked in this run."
    )

    def __init__(self, *args: Any, definition: Definition, may_yolo: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.definition = definition
        has_gate = any(step.type == "review" and step.enabled for step in definition.steps)
        if may_yolo and has_gate:
            self.fields["yolo"].initial = bool(definition.settings.get("yolo"))
        else:
            del self.fields["yolo"]
        steps = [step for step in definition.children(None) if step.enabled and step.type != "start"]
        self.fields["stops"] = forms.MultipleChoiceField(
            required=False,
            label="Stop before",
            choices=[(step.key, step.label) for step in steps[:_STOPS]],
            widget=forms.CheckboxSelectMultiple,
        )
        asked = definition.input_variables()
        for variable in asked:
            field = self.fields[f"input_{variable.name}"] = input_field(variable)
            if len(asked) > 2 and variable.type is VariableType.STRING:
                # Many of them are names and addresses; each grows with what is written into it.
                field.widget.attrs |= {"rows": 1, "data-low": ""}

    def asked(self) -> list[forms.BoundField]:
        """The fields of the input variables, in their order."""
        return [self[f"input_{variable.name}"] for variable in self.definition.input_variables()]

    @property
    def pins(self) -> int:
        """How many steps have a pinned output, which test runs take."""
        return sum(step.pinned is not None for step in self.definition.steps)

    def choices(self) -> list[forms.BoundField]:
        return [self[name] for name in ("test", "yolo") if name in self.fields]

    def wanted_version(self) -> int | Literal["draft"] | None:
        chosen = str(self.cleaned_data.get("version") or "")
        if chosen == "draft":
            return "draft"
        return int(chosen) if chosen.isdecimal() else None

    def input_data(self) -> JSONObject:
        """The values by name; what was left empty is left out, so that defaults and "required" hold."""
        found: JSONObject = {}
        for variable in self.definition.input_variables():
            value = self.cleaned_data.get(f"input_{variable.name}")
            if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
                value = int(value)  # a text that names it says 30000, not 30000.0
            if value not in (None, "") or variable.type is VariableType.BOOLEAN:
                found[variable.name] = value
        return found

    def yolo_choice(self) -> bool | None:
        return bool(self.cleaned_data["yolo"]) if "yolo" in self.fields else None

    def refuse(self, error: StepwellError) -> None:
        """Put what the service says is wrong beside the fields it names, the rest above the form."""
        for problem in error.problems:
            # A step's setting may have the name of an input.
            name = None if problem.step else f"input_{problem.field}"
            fix = f" {problem.fix}" if problem.fix else ""
            self.add_error(name if name in self.fields else None, f"{problem.says}{fix}")
        if not error.problems:
            self.add_error(None, error.message)
