"""What every setting has in common: how it is read from JSON or a posted form, and where its texts are."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Final, TypeAlias

from django import forms
from django.core.exceptions import ValidationError

from workflows.lib.jsontypes import JSONObject, JSONValue

Rewrite: TypeAlias = Callable[[str], str]

# Codes of problems that say the document is malformed: refused when stored. All others may live in a draft.
UNKNOWN_SETTING: Final = "unknown_setting"
WRONG_TYPE: Final = "wrong_type"
BAD_TEXT: Final = "bad_text"
STRUCTURAL: Final = frozenset({UNKNOWN_SETTING, WRONG_TYPE, BAD_TEXT})
REQUIRED: Final = "required"

NAME = re.compile(r"[^\W\d]\w*")


class WrongType(ValueError):
    """The value has not the JSON type of the setting; the message ends the sentence “… must be”."""


class ConfigWidget(forms.Widget):
    """Hands a posted form over to the field, which knows its own shape; drawn by the builder's template of its kind."""

    def __init__(self, field: ConfigField) -> None:
        super().__init__()
        self.field = field

    def value_from_datadict(self, data: Mapping[str, Any], files: object, name: str) -> Any:
        return self.field.from_post(data, name)

    def value_omitted_from_data(self, data: Mapping[str, Any], files: object, name: str) -> bool:
        return not any(key == name or str(key).startswith(f"{name}__") for key in data)


class ConfigField(forms.Field):
    """Base of all settings.

    `kind` says which control draws it; `section` is the part of the card; `more` puts it behind “More settings”;
    `other_names` are spellings that are read as this setting; `placeholder` is a sample for empty fields.
    `shown_when` is (setting, values): the control is of use only then.
    """

    kind: ClassVar[str] = "text"
    json_type: ClassVar[JSONObject] = {"type": "string"}

    def __init__(
        self,
        *,
        section: str = "Settings",
        more: bool = False,
        placeholder: str = "",
        other_names: tuple[str, ...] = (),
        shown_when: tuple[str, tuple[str, ...]] | None = None,
        required: bool = False,
        **kwargs: Any,
    ) -> None:
        self.section = section
        self.more = more
        self.placeholder = placeholder
        self.other_names = other_names
        self.shown_when = shown_when
        kwargs.setdefault("widget", ConfigWidget(self))
        super().__init__(required=required, **kwargs)

    def __deepcopy__(self, memo: dict[int, Any]) -> ConfigField:
        copied: ConfigField = super().__deepcopy__(memo)
        if isinstance(copied.widget, ConfigWidget):
            copied.widget.field = copied
        return copied

    @property
    def default(self) -> JSONValue:
        """The canonical value where the config says nothing."""
        value = self.initial
        return self.nothing() if value is None else value

    def nothing(self) -> JSONValue:
        """The canonical value of an empty control."""
        return ""

    def is_empty(self, value: JSONValue) -> bool:
        return value is None or value == "" or value == [] or value == {}

    # --- reading ---

    def from_post(self, data: Mapping[str, Any], name: str) -> Any:
        """The raw value in a posted form; None when the form did not hold the field."""
        return data.get(name)

    def read(self, raw: Any) -> JSONValue:
        """Raw JSON, or what `from_post` gave, as the canonical value. Raises WrongType."""
        if not isinstance(raw, str):
            raise WrongType("text")
        return raw

    def faults(self, value: JSONValue) -> Iterator[tuple[str, str, str | None]]:
        """(code, sentence, fix) of what is wrong with a canonical value that has the right type."""
        if self.required and self.is_empty(value):
            yield REQUIRED, f"{self.called} is missing.", f"Fill in {self.called}."

    @property
    def called(self) -> str:
        """The label as it stands in a sentence."""
        return f"“{self.label}”"

    # --- the texts inside, for references, renames and the token count ---

    def templates(self, value: JSONValue) -> Iterator[tuple[str, str]]:
        """(path below the field, text) of every `{{ … }}` text in the value; the path is "" for the value itself."""
        return iter(())

    def expressions(self, value: JSONValue) -> Iterator[tuple[str, str]]:
        """(path below the field, text) of every expression in the value."""
        return iter(())

    def rewritten(self, value: JSONValue, template: Rewrite, expression: Rewrite) -> JSONValue:
        """The value with each of those texts put through a function."""
        return value

    def schema(self) -> JSONObject:
        """JSON Schema of the canonical value, for the OpenAPI document and the docs."""
        return dict(self.json_type)

    # --- Django's side ---

    def to_python(self, value: Any) -> Any:
        if value is None:
            return self.default
        try:
            return self.read(value)
        except WrongType as error:
            raise ValidationError(f"{self.called} must be {error}.", code=WRONG_TYPE) from None

    def validate(self, value: Any) -> None:
        problems = [ValidationError(message, code=code) for code, message, _ in self.faults(value)]
        if problems:
            raise ValidationError(problems)


# --- helpers of the fields ------------------------------------------------------------------------


def all_of(data: Mapping[str, Any], name: str) -> list[Any]:
    getlist = getattr(data, "getlist", None)
    if getlist is not None:
        return list(getlist(name))
    value = data.get(name)
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]


def json_or_none(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def texts_in(value: JSONValue, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        if value:
            yield path.lstrip("."), value
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from texts_in(part, f"{path}.{key}")
    elif isinstance(value, list):
        for place, part in enumerate(value):
            yield from texts_in(part, f"{path}[{place}]")
