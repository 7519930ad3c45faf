"""Fields of the settings forms: what each setting means, how it is read from JSON or a posted form, where its texts are."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import Any, ClassVar, Final, TypeAlias

from django import forms
from django.core.exceptions import ValidationError

from workflows.lib.errors import Problem
from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.lib.limits import FALLBACK_MODELS
from workflows.providers.models import BadModel, parse_model

Rewrite: TypeAlias = Callable[[str], str]

# Codes of problems that say the document is malformed: refused when stored. All others may live in a draft.
UNKNOWN_SETTING: Final = "unknown_setting"
WRONG_TYPE: Final = "wrong_type"
BAD_TEXT: Final = "bad_text"
STRUCTURAL: Final = frozenset({UNKNOWN_SETTING, WRONG_TYPE, BAD_TEXT})
REQUIRED: Final = "required"

_UNUSABLE = re.compile("[\x00\ud800-\udfff]")
_NAME = re.compile(r"[^\W\d]\w*")


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


# --- plain ones -----------------------------------------------------------------------------------


class TextField(ConfigField):
    """A line of plain text; `choices` of `suggest` are offered, anything may be written."""

    def __init__(self, *, max_length: int = 500, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_length = max_length

    def read(self, raw: Any) -> JSONValue:
        return str(super().read(raw)).strip()

    def faults(self, value: JSONValue) -> Iterator[tuple[str, str, str | None]]:
        yield from super().faults(value)
        if len(value) > self.max_length:
            yield "too_long", f"{self.called} is longer than {self.max_length:,} characters.", "Shorten it."


class TemplateField(ConfigField):
    """Text that may hold `{{ … }}`; `rows` is the height of its control."""

    kind = "template"

    def __init__(self, *, rows: int = 3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rows = rows

    def is_empty(self, value: JSONValue) -> bool:
        return not str(value or "").strip()

    def templates(self, value: JSONValue) -> Iterator[tuple[str, str]]:
        if value:
            yield "", value

    def rewritten(self, value: JSONValue, template: Rewrite, expression: Rewrite) -> JSONValue:
        return template(value) if value else value


class ExpressionField(ConfigField):
    """One expression."""

    kind = "expression"

    def read(self, raw: Any) -> JSONValue:
        # A bare number or truth value is an expression too.
        if isinstance(raw, bool | int | float):
            return json.dumps(raw)
        return str(super().read(raw)).strip()

    def expressions(self, value: JSONValue) -> Iterator[tuple[str, str]]:
        if value:
            yield "", value

    def rewritten(self, value: JSONValue, template: Rewrite, expression: Rewrite) -> JSONValue:
        return expression(value) if value else value


class NumberField(ConfigField):
    """A number within bounds, or nothing; `whole` for integers."""

    kind = "number"

    def __init__(
        self,
        *,
        least: float | None = None,
        most: float | None = None,
        whole: bool = True,
        unit: str = "",
        step: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.least, self.most, self.whole, self.unit = least, most, whole, unit
        self.step = step if step is not None else (1 if whole else None)

    def nothing(self) -> JSONValue:
        return None

    def read(self, raw: Any) -> JSONValue:
        wanted = "a whole number" if self.whole else "a number"
        if raw is None or (isinstance(raw, str) and not raw.strip()):
            return None
        if isinstance(raw, bool) or not isinstance(raw, int | float | str):
            raise WrongType(wanted)
        try:
            value = float(raw)
        except (ValueError, OverflowError):
            raise WrongType(wanted) from None
        if (
            value != value
            or value in (float("inf"), float("-inf"))
            or (self.whole and not value.is_integer())
        ):
            raise WrongType(wanted)
        return int(value) if value.is_integer() and self.whole else value

    def faults(self, value: JSONValue) -> Iterator[tuple[str, str, str | None]]:
        yield from super().faults(value)
        if value is None:
            return
        if self.least is not None and value < self.least:
            yield "out_of_range", f"{self.called} must be at least {self.least:g}.", None
        if self.most is not None and value > self.most:
            yield "out_of_range", f"{self.called} must be at most {self.most:g}.", None

    def schema(self) -> JSONObject:
        found: JSONObject = {"type": ["integer" if self.whole else "number", "null"]}
        if self.least is not None:
            found["minimum"] = self.least
        if self.most is not None:
            found["maximum"] = self.most
        return found


class BoolField(ConfigField):
    """On or off. In a posted form an unchecked box is absent, so the form sends `NAME__shown` beside it."""

    kind = "bool"
    json_type = {"type": "boolean"}

    def nothing(self) -> JSONValue:
        return False

    def is_empty(self, value: JSONValue) -> bool:
        return False

    def from_post(self, data: Mapping[str, Any], name: str) -> Any:
        if name in data:
            return data.get(name)
        return False if f"{name}__shown" in data else None

    def read(self, raw: Any) -> JSONValue:
        if isinstance(raw, bool):
            return raw
        if isinstance(raw, str) and raw.strip().lower() in ("on", "true", "1", "yes"):
            return True
        if isinstance(raw, str) and raw.strip().lower() in ("off", "false", "0", "no", ""):
            return False
        raise WrongType("true or false")


class ChoiceField(ConfigField):
    """One of a few; `choices` are (value, label)."""

    kind = "choice"

    def __init__(self, *, choices: Iterable[tuple[str, str]], **kwargs: Any) -> None:
        self.choices = tuple(choices)
        kwargs.setdefault("initial", self.choices[0][0])
        super().__init__(**kwargs)

    def read(self, raw: Any) -> JSONValue:
        return str(super().read(raw)).strip() or self.default

    def faults(self, value: JSONValue) -> Iterator[tuple[str, str, str | None]]:
        yield from super().faults(value)
        known = [choice for choice, _ in self.choices]
        if value not in known:
            yield "bad_choice", f"{self.called} cannot be “{value}”.", f"Choose one of: {', '.join(known)}."

    def label_of(self, value: JSONValue) -> str:
        return dict(self.choices).get(value, str(value))

    def schema(self) -> JSONObject:
        return {"type": "string", "enum": [choice for choice, _ in self.choices]}


class ModelField(ConfigField):
    """`provider:model`, or `default` for what the workflow or the workspace has chosen."""

    kind = "model"

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("initial", "default")
        kwargs.setdefault("section", "Model")
        super().__init__(**kwargs)

    def read(self, raw: Any) -> JSONValue:
        return str(super().read(raw)).strip() or "default"


class DurationField(ConfigField):
    """A length of time in words: “2 days”, “1 h 30 min”, or a number of seconds."""

    kind = "duration"

    def read(self, raw: Any) -> JSONValue:
        if isinstance(raw, int | float) and not isinstance(raw, bool):
            return f"{raw:g} seconds"
        return str(super().read(raw)).strip()

    def faults(self, value: JSONValue) -> Iterator[tuple[str, str, str | None]]:
        yield from super().faults(value)
        if value and "{{" not in value:
            try:
                parse_duration(value)
            except ValueError as error:
                yield "bad_duration", str(error), "Write a number and a unit, for example: 2 days."

    def templates(self, value: JSONValue) -> Iterator[tuple[str, str]]:
        if value and "{{" in value:
            yield "", value

    def rewritten(self, value: JSONValue, template: Rewrite, expression: Rewrite) -> JSONValue:
        return template(value) if value and "{{" in value else value


class JSONSchemaField(ConfigField):
    """A JSON Schema, written as JSON."""

    kind = "schema"
    json_type = {"type": ["object", "null"]}

    def nothing(self) -> JSONValue:
        return None

    def read(self, raw: Any) -> JSONValue:
        if raw is None or (isinstance(raw, str) and not raw.strip()):
            return None
        if isinstance(raw, str):
            try:
                raw = json.loads(raw)
            except ValueError as error:
                # What a person types may be half done; a draft holds it, and `faults` says what is wrong.
                return {"$invalid": raw, "$reason": str(error)}
        if not isinstance(raw, dict):
            raise WrongType("a JSON Schema (an object)")
        return raw

    def faults(self, value: JSONValue) -> Iterator[tuple[str, str, str | None]]:
        yield from super().faults(value)
        if value is None:
            return
        if "$invalid" in value:
            yield (
                "bad_schema",
                f"{self.called} is no valid JSON: {value.get('$reason')}.",
                "Correct the JSON.",
            )
            return
        from workflows.steps.schemas import schema_fault

        fault = schema_fault(value)
        if fault:
            yield "bad_schema", f"{self.called} is no valid JSON Schema: {fault}", "Correct the schema."


# --- lists and maps -------------------------------------------------------------------------------


class ListField(ConfigField):
    """A list of texts; in a form one per line, or as repeated controls of the same name."""

    kind = "list"
    json_type = {"type": "array", "items": {"type": "string"}}

    def __init__(self, *, separators: str = "\n", templates: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.separators = separators
        self.holds_templates = templates

    def nothing(self) -> JSONValue:
        return []

    def from_post(self, data: Mapping[str, Any], name: str) -> Any:
        if name not in data:
            return [] if f"{name}__shown" in data else None
        found = _all(data, name)
        return found[0] if len(found) == 1 else found

    def read(self, raw: Any) -> JSONValue:
        if raw is None:
            return []
        if isinstance(raw, str):
            loaded = _json_or_none(raw)
            raw = loaded if isinstance(loaded, list) else re.split(f"[{re.escape(self.separators)}]", raw)
        if not isinstance(raw, list) or not all(isinstance(entry, str) for entry in raw):
            raise WrongType("a list of texts")
        return [entry.strip() for entry in raw if entry.strip()]

    def templates(self, value: JSONValue) -> Iterator[tuple[str, str]]:
        if self.holds_templates:
            yield from ((f"[{place}]", entry) for place, entry in enumerate(value or ()))

    def rewritten(self, value: JSONValue, template: Rewrite, expression: Rewrite) -> JSONValue:
        return [template(entry) for entry in value or ()] if self.holds_templates else value


class FallbackField(ListField):
    """Models, in order, that are asked where the step's own cannot answer: `provider:model`, one per line."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("label", "If it cannot answer")
        kwargs.setdefault(
            "help_text", "provider:model, one per line, in order. Empty: the order of the workflow."
        )
        kwargs.setdefault("section", "Model")
        kwargs.setdefault("more", True)
        super().__init__(separators="\n,", other_names=("fallbacks",), **kwargs)

    def faults(self, value: JSONValue) -> Iterator[tuple[str, str, str | None]]:
        yield from super().faults(value)
        for entry in value or ():
            try:
                parse_model(entry)
            except BadModel as error:
                yield error.code, error.message, "Choose a model from the list."
        if len(value or ()) > FALLBACK_MODELS.value:
            yield "too_many", FALLBACK_MODELS.says(), None


def refusal_field() -> BoolField:
    """Whether a model that declines for its content rules is followed by the next one."""
    return BoolField(
        label="Also when it declines",
        help_text="Ask the next model too when one refuses because of its content rules.",
        section="Model",
        more=True,
    )


class AssigneesField(ListField):
    """Who decides: `user:EMAIL` or `role:ROLE`; a bare address or role is completed."""

    kind = "assignees"
    ROLES: Final = ("owner", "admin", "editor", "reviewer", "viewer")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(separators="\n,;", **kwargs)

    def read(self, raw: Any) -> JSONValue:
        found: list[str] = super().read(raw)
        return list(dict.fromkeys(self._complete(entry) for entry in found))

    def _complete(self, entry: str) -> str:
        if "@" in entry and not entry.startswith("user:"):
            return f"user:{entry}"
        return f"role:{entry.lower()}" if entry.lower() in self.ROLES else entry

    def faults(self, value: JSONValue) -> Iterator[tuple[str, str, str | None]]:
        yield from super().faults(value)
        for entry in value or ():
            kind, _, who = entry.partition(":")
            good = (kind == "user" and re.fullmatch(r"[^@\s]+@[^@\s]+", who)) or (
                kind == "role" and who in self.ROLES
            )
            if not good:
                yield (
                    "bad_assignee",
                    f"{self.called}: “{entry}” is neither a person nor a role.",
                    f"Write an email address or one of: {', '.join(self.ROLES)}.",
                )


class MappingField(ConfigField):
    """Names and what they stand for: text with `{{ … }}`, an expression after `=`, or (from the API) any JSON value.

    In a form: repeated `NAME__name` and `NAME__value`. The order is kept. `plain` maps hold no templates:
    their values are paths or words as they are.
    """

    kind = "mapping"
    json_type = {"type": "object"}

    def __init__(
        self, *, plain: bool = False, names: str = "Name", values: str = "Value", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.plain, self.names, self.values = plain, names, values

    def nothing(self) -> JSONValue:
        return {}

    def from_post(self, data: Mapping[str, Any], name: str) -> Any:
        if name in data:
            return data.get(name)
        names, values = _all(data, f"{name}__name"), _all(data, f"{name}__value")
        if not names and f"{name}__shown" not in data:
            return None
        return [{"name": key, "value": value} for key, value in zip(names, values, strict=False)]

    def read(self, raw: Any) -> JSONValue:
        if raw is None:
            return {}
        if isinstance(raw, str):
            raw = _json_or_none(raw) if raw.strip() else {}
        if isinstance(raw, list):
            pairs: JSONObject = {}
            for entry in raw:
                if not isinstance(entry, dict) or not isinstance(entry.get("name", ""), str):
                    raise WrongType("an object of names and values")
                key = entry.get("name", "").strip()
                if key or str(entry.get("value", "")).strip():
                    pairs[key] = entry.get("value", "")
            return pairs
        if not isinstance(raw, dict):
            raise WrongType("an object of names and values")
        if self.plain and not all(isinstance(value, str) for value in raw.values()):
            raise WrongType("an object of names and texts")
        return {str(key).strip(): value for key, value in raw.items()}

    def faults(self, value: JSONValue) -> Iterator[tuple[str, str, str | None]]:
        yield from super().faults(value)
        for key in value or {}:
            if not _NAME.fullmatch(key):
                said = f"“{key}” is no name" if key else "a name is missing"
                yield (
                    "bad_name",
                    f"{self.called}: {said}.",
                    "A name has letters, digits and _, and starts with a letter.",
                )

    def _texts(self, value: JSONValue) -> Iterator[tuple[str, str]]:
        if not self.plain:
            for key, entry in (value or {}).items():
                yield from _texts_in(entry, f".{key}")

    def templates(self, value: JSONValue) -> Iterator[tuple[str, str]]:
        return ((path, text) for path, text in self._texts(value) if not text.startswith("="))

    def expressions(self, value: JSONValue) -> Iterator[tuple[str, str]]:
        return ((path, text[1:].strip()) for path, text in self._texts(value) if text.startswith("="))

    def rewritten(self, value: JSONValue, template: Rewrite, expression: Rewrite) -> JSONValue:
        def change(entry: JSONValue) -> JSONValue:
            if isinstance(entry, str):
                return f"= {expression(entry[1:].strip())}" if entry.startswith("=") else template(entry)
            if isinstance(entry, dict):
                return {key: change(part) for key, part in entry.items()}
            return [change(part) for part in entry] if isinstance(entry, list) else entry

        return value if self.plain else {key: change(entry) for key, entry in (value or {}).items()}


class CategoriesField(ConfigField):
    """Categories, each with the words that speak for it: `[{"name", "terms": […]}]`.

    Also read: a list of names, an object name → terms, lines “Name: word, word”.
    In a form: repeated `NAME__name` and `NAME__terms` (commas between the terms).
    """

    kind = "categories"
    json_type = {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "terms": {"type": "array", "items": {"type": "string"}},
            },
        },
    }

    def nothing(self) -> JSONValue:
        return []

    def from_post(self, data: Mapping[str, Any], name: str) -> Any:
        if name in data:
            return data.get(name)
        names, terms = _all(data, f"{name}__name"), _all(data, f"{name}__terms")
        if not names and f"{name}__shown" not in data:
            return None
        return [{"name": key, "terms": words} for key, words in zip(names, terms, strict=False)]

    def read(self, raw: Any) -> JSONValue:
        if raw is None:
            return []
        if isinstance(raw, str):
            loaded = _json_or_none(raw)
            if loaded is None:
                lines = [line.partition(":") for line in raw.splitlines() if line.strip()]
                loaded = [{"name": name, "terms": terms} for name, _, terms in lines]
            raw = loaded
        if isinstance(raw, dict):
            raw = [{"name": name, "terms": terms} for name, terms in raw.items()]
        if not isinstance(raw, list):
            raise WrongType("a list of categories")
        found = [self._one(entry) for entry in raw]
        return [entry for entry in found if entry["name"] or entry["terms"]]

    def _one(self, entry: Any) -> JSONObject:
        if isinstance(entry, str):
            return {"name": entry.strip(), "terms": []}
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise WrongType("a list of categories, each with a name and its terms")
        extra = set(entry) - {"name", "terms"}
        if extra:
            raise WrongType(f"a list of categories, which have no “{sorted(extra)[0]}”")
        terms = entry.get("terms") or []
        if isinstance(terms, str):
            terms = re.split(r"[,;\n]", terms)
        if not isinstance(terms, list) or not all(isinstance(term, str) for term in terms):
            raise WrongType("a list of categories whose terms are texts")
        return {"name": entry["name"].strip(), "terms": [term.strip() for term in terms if term.strip()]}

    def faults(self, value: JSONValue) -> Iterator[tuple[str, str, str | None]]:
        yield from super().faults(value)
        seen: set[str] = set()
        for entry in value or ():
            if not entry["name"]:
                yield "bad_category", f"{self.called}: a category has no name.", "Name it, or take it out."
            elif entry["name"].casefold() in seen:
                yield "bad_category", f"{self.called}: “{entry['name']}” is there twice.", "Take one out."
            seen.add(entry["name"].casefold())


class FormField(ConfigField):
    """Fields that a person fills in at a review: `[{"name", "label", "type", "required", "options"}]`."""

    kind = "form"
    json_type = {"type": "array", "items": {"type": "object"}}
    TYPES: Final = ("text", "long_text", "number", "boolean", "choice", "date")

    def nothing(self) -> JSONValue:
        return []

    def from_post(self, data: Mapping[str, Any], name: str) -> Any:
        if name in data:
            return data.get(name)
        labels = _all(data, f"{name}__label")
        if not labels and f"{name}__shown" not in data:
            return None
        types, names = _all(data, f"{name}__type"), _all(data, f"{name}__name")
        options, needed = _all(data, f"{name}__options"), _all(data, f"{name}__required")
        return [
            {
                "label": label,
                "name": names[place] if place < len(names) else "",
                "type": types[place] if place < len(types) else "text",
                "options": options[place] if place < len(options) else "",
                # A select (yes/no), not a box: unchecked boxes would shift the rows.
                "required": place < len(needed) and needed[place] in ("on", "true", "yes", "1"),
            }
            for place, label in enumerate(labels)
            if label.strip()
        ]

    def read(self, raw: Any) -> JSONValue:
        if raw is None:
            return []
        if isinstance(raw, str):
            raw = _json_or_none(raw) if raw.strip() else []
        if not isinstance(raw, list) or not all(isinstance(entry, dict) for entry in raw):
            raise WrongType("a list of fields")
        return [self._one(entry) for entry in raw]

    def _one(self, entry: JSONObject) -> JSONObject:
        extra = set(entry) - {"name", "label", "type", "required", "options", "help"}
        if extra:
            raise WrongType(f"a list of fields, which have no “{sorted(extra)[0]}”")
        for key in ("name", "label", "type", "help"):
            if not isinstance(entry.get(key, ""), str):
                raise WrongType(f"a list of fields whose {key} is text")
        if not isinstance(entry.get("required", False), bool):
            raise WrongType("a list of fields whose required is true or false")
        label = entry.get("label", "").strip() or entry.get("name", "").strip()
        name = entry.get("name", "").strip() or re.sub(r"\W+", "_", label.lower()).strip("_")
        options = entry.get("options") or []
        if isinstance(options, str):
            options = [part.strip() for part in re.split(r"[,\n]", options) if part.strip()]
        if not isinstance(options, list) or not all(isinstance(option, str) for option in options):
            raise WrongType("a list of fields whose options are texts")
        made: JSONObject = {
            "name": name,
            "label": label,
            "type": entry.get("type", "").strip() or "text",
            "required": entry.get("required", False),
        }
        if options:
            made["options"] = options
        if entry.get("help"):
            made["help"] = entry["help"].strip()
        return made

    def faults(self, value: JSONValue) -> Iterator[tuple[str, str, str | None]]:
        yield from super().faults(value)
        seen: set[str] = set()
        for entry in value or ():
            name = entry["name"]
            if not _NAME.fullmatch(name):
                yield (
                    "bad_name",
                    f"{self.called}: “{name or entry['label']}” is no name.",
                    "Use letters, digits and _.",
                )
            elif name in seen:
                yield "bad_name", f"{self.called}: “{name}” is there twice.", "Rename one of them."
            seen.add(name)
            if entry["type"] not in self.TYPES:
                known = ", ".join(self.TYPES)
                yield (
                    "bad_choice",
                    f"{self.called}: “{name}” cannot be “{entry['type']}”.",
                    f"Choose one of: {known}.",
                )
            if entry["type"] == "choice" and not entry.get("options"):
                yield (
                    "bad_choice",
                    f"{self.called}: “{name}” has nothing to choose from.",
                    "List its options.",
                )


class ButtonsField(ConfigField):
    """More ways to decide at a review, beside approve and reject: `[{"decision", "label", "port"}]`."""

    kind = "buttons"
    json_type = {"type": "array", "items": {"type": "object"}}

    def nothing(self) -> JSONValue:
        return []

    def from_post(self, data: Mapping[str, Any], name: str) -> Any:
        if name in data:
            return data.get(name)
        labels, decisions = _all(data, f"{name}__label"), _all(data, f"{name}__decision")
        ports = _all(data, f"{name}__port")
        if not labels and f"{name}__shown" not in data:
            return None
        return [
            {
                "label": label,
                "decision": decisions[place] if place < len(decisions) else "",
                "port": ports[place] if place < len(ports) else "",
            }
            for place, label in enumerate(labels)
            if label.strip()
        ]

    def read(self, raw: Any) -> JSONValue:
        if raw is None:
            return []
        if isinstance(raw, str):
            raw = _json_or_none(raw) if raw.strip() else []
        if not isinstance(raw, list) or not all(isinstance(entry, dict | str) for entry in raw):
            raise WrongType("a list of buttons")
        return [self._one(entry) for entry in raw]

    def _one(self, entry: JSONObject | str) -> JSONObject:
        found = {"label": entry} if isinstance(entry, str) else entry
        if set(found) - {"label", "decision", "port"} or not all(
            isinstance(part, str) for part in found.values()
        ):
            raise WrongType("a list of buttons, each with label, decision and port")
        label = found.get("label", "").strip() or found.get("decision", "").strip()
        decision = found.get("decision", "").strip() or re.sub(r"\W+", "_", label.lower()).strip("_")
        return {"label": label, "decision": decision, "port": found.get("port", "").strip() or decision}

    def faults(self, value: JSONValue) -> Iterator[tuple[str, str, str | None]]:
        yield from super().faults(value)
        taken = {"approved", "rejected", "error", "approve", "reject"}
        for entry in value or ():
            for part in {entry["decision"], entry["port"]}:
                if not part or part in taken:
                    yield (
                        "bad_button",
                        f"{self.called}: “{entry['label']}” needs a decision of its own.",
                        "Rename it.",
                    )
            taken |= {entry["decision"], entry["port"]}


# --- conditions -----------------------------------------------------------------------------------


class RowsField(ConfigField):
    """One condition: rows of field, operator and value (`match` all or any of them), or an expression.

    Canonical: `{"match": "all", "rows": [{"field", "operator", "value"}]}` or `{"expression": "…"}`.
    A bare text is an expression. In a form: `NAME__match`, repeated `NAME__field`, `NAME__operator`, `NAME__value`,
    and `NAME__expression`, which holds when there are no rows.
    """

    kind = "rows"
    json_type = {
        "type": "object",
        "properties": {
            "match": {"type": "string", "enum": ["all", "any"]},
            "rows": {"type": "array", "items": {"type": "object"}},
            "expression": {"type": "string"},
        },
    }

    def nothing(self) -> JSONValue:
        return {}

    def is_empty(self, value: JSONValue) -> bool:
        return not (value and (value.get("expression") or value.get("rows")))

    def from_post(self, data: Mapping[str, Any], name: str) -> Any:
        if name in data:
            return data.get(name)
        return _posted_condition(data, name)

    def read(self, raw: Any) -> JSONValue:
        if raw is None or (isinstance(raw, str) and not raw.strip()):
            return {}
        if isinstance(raw, str) and raw.lstrip().startswith("{") and isinstance(_json_or_none(raw), dict):
            raw = _json_or_none(raw)
        return read_condition(raw)

    def faults(self, value: JSONValue) -> Iterator[tuple[str, str, str | None]]:
        yield from super().faults(value)
        yield from condition_faults(value or {}, self.called)

    def expressions(self, value: JSONValue) -> Iterator[tuple[str, str]]:
        return condition_expressions(value or {}, "")

    def rewritten(self, value: JSONValue, template: Rewrite, expression: Rewrite) -> JSONValue:
        return rewritten_condition(value or {}, expression)


class CasesField(ConfigField):
    """The cases of a condition in order: each a condition as in RowsField, with `name` and `port`.

    A port keeps its name when the case is renamed, so paths stay connected. In a form the case's number stands
    in the name: `NAME__0__name`, `NAME__0__port`, `NAME__0__match`, `NAME__0__field`, …
    """

    kind = "cases"
    json_type = {"type": "array", "items": {"type": "object"}}
    RESERVED: Final = frozenset({"else", "error"})

    def nothing(self) -> JSONValue:
        return []

    def from_post(self, data: Mapping[str, Any], name: str) -> Any:
        if name in data:
            return data.get(name)
        pattern = re.compile(rf"{re.escape(name)}__(\d+)__")
        places = sorted({int(found.group(1)) for key in data if (found := pattern.match(str(key)))})
        if not places and f"{name}__shown" not in data:
            return None
        return [
            {
                "name": data.get(f"{name}__{place}__name") or "",
                "port": data.get(f"{name}__{place}__port") or "",
                **(_posted_condition(data, f"{name}__{place}") or {}),
            }
            for place in places
        ]

    def read(self, raw: Any) -> JSONValue:
        if raw is None or (isinstance(raw, str) and not raw.strip()):
            return []
        if isinstance(raw, str):
            loaded = _json_or_none(raw)
            raw = loaded if isinstance(loaded, list) else [raw]
        if isinstance(raw, dict):
            raw = [raw]
        if not isinstance(raw, list):
            raise WrongType("a list of cases")
        return [self._one(entry) for entry in raw]

    def _one(self, entry: Any) -> JSONObject:
        if isinstance(entry, str):
            return read_condition(entry)
        if not isinstance(entry, dict):
            raise WrongType("a list of cases")
        for key in ("name", "port"):
            if not isinstance(entry.get(key, ""), str):
                raise WrongType(f"a list of cases whose {key} is text")
        name, port = entry.get("name", "").strip(), entry.get("port", "").strip()
        rest = {key: value for key, value in entry.items() if key not in ("name", "port")}
        head: JSONObject = {"name": name} if name else {}
        if port or name:
            head["port"] = port or name
        return {**head, **read_condition(rest)}

    def faults(self, value: JSONValue) -> Iterator[tuple[str, str, str | None]]:
        yield from super().faults(value)
        ports: set[str] = set()
        for place, case in enumerate(value or (), start=1):
            called = f"“{case['name']}”" if case.get("name") else f"case {place}"
            port = case.get("port") or ""
            if port.lower() in self.RESERVED:
                yield (
                    "bad_case",
                    f"{self.called}: {called} may not be named “{port}”.",
                    "Give it another name.",
                )
            if port and port in ports:
                yield "bad_case", f"{self.called}: two cases are named “{port}”.", "Rename one of them."
            if not port and len(value) > 1:
                yield (
                    "bad_case",
                    f"{self.called}: {called} has no name.",
                    "Name every case when there are several.",
                )
            ports.add(port)
            if not (case.get("expression") or case.get("rows")):
                yield (
                    REQUIRED,
                    f"{self.called}: {called} says nothing.",
                    "Add a row or an expression, or take it out.",
                )
            yield from condition_faults(case, f"{self.called}, {called}")

    def expressions(self, value: JSONValue) -> Iterator[tuple[str, str]]:
        for place, case in enumerate(value or ()):
            yield from condition_expressions(case, f"[{place}]")

    def rewritten(self, value: JSONValue, template: Rewrite, expression: Rewrite) -> JSONValue:
        return [
            {
                **{key: case[key] for key in ("name", "port") if key in case},
                **rewritten_condition(case, expression),
            }
            for case in value or ()
        ]


def read_condition(raw: Any) -> JSONObject:
    """A condition in canonical form. Raises WrongType."""
    if isinstance(raw, bool):
        raw = "true" if raw else "false"
    if isinstance(raw, str):
        return {"expression": raw.strip()} if raw.strip() else {}
    if isinstance(raw, list):
        raw = {"rows": raw}
    if not isinstance(raw, dict):
        raise WrongType("a condition: rows or an expression")
    extra = set(raw) - {"match", "rows", "expression"}
    if extra:
        raise WrongType(f"a condition, which has no “{sorted(extra)[0]}”")
    if not isinstance(raw.get("expression") or "", str):
        raise WrongType("a condition whose expression is text")
    rows = raw.get("rows") or []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise WrongType("a condition whose rows are a list")
    read = [_row(row) for row in rows]
    read = [row for row in read if row["field"] or row["value"] not in ("", None)]
    if read:
        match = raw.get("match") or "all"
        if match not in ("all", "any"):
            raise WrongType("a condition that matches “all” or “any”")
        return {"match": match, "rows": read}
    expression = (raw.get("expression") or "").strip()
    return {"expression": expression} if expression else {}


def _row(row: JSONObject) -> JSONObject:
    if not isinstance(row.get("field", ""), str) or not isinstance(row.get("operator", ""), str):
        raise WrongType("a condition whose rows have field, operator and value")
    extra = set(row) - {"field", "operator", "value"}
    if extra:
        raise WrongType(f"a condition whose rows have no “{sorted(extra)[0]}”")
    operator = row.get("operator", "").strip() or "equals"
    return {
        "field": re.sub(r"^\{\{|\}\}$", "", row.get("field", "").strip()).strip(),
        "operator": _SIGNS.get(operator, operator),
        "value": row.get("value", ""),
    }


# Signs that people send for the operators of rows.
_SIGNS: Final = {
    "==": "equals",
    "=": "equals",
    "eq": "equals",
    "!=": "not_equals",
    "ne": "not_equals",
    ">": "greater",
    "gt": "greater",
    ">=": "greater_or_equal",
    "gte": "greater_or_equal",
    "<": "less",
    "lt": "less",
    "<=": "less_or_equal",
    "lte": "less_or_equal",
    "in": "is_one_of",
    "not_in": "is_not_one_of",
}


def value_from_control(text: str) -> JSONValue:
    """What a person wrote into a row's value: a number, true or false as such, all else as text; quotes make text."""
    written = text.strip()
    if re.fullmatch(r"-?\d{1,15}(\.\d{1,15})?", written):
        return float(written) if "." in written else int(written)
    if written in ("true", "false"):
        return written == "true"
    if len(written) >= 2 and written[0] == written[-1] == '"':
        return written[1:-1]
    return written


def value_for_control(value: JSONValue) -> str:
    """A row's value as it stands in the control, such that `value_from_control` reads it back."""
    if isinstance(value, str):
        return value if value_from_control(value) == value else f'"{value}"'
    return (
        ", ".join(map(str, value))
        if isinstance(value, list)
        else json.dumps(value)
        if value is not None
        else ""
    )


def condition_faults(condition: JSONObject, called: str) -> Iterator[tuple[str, str, str | None]]:
    """What is wrong with the rows; expressions are checked with all others, where their place is known."""
    from workflows.steps.conditions import row_fault

    for place, row in enumerate(condition.get("rows") or (), start=1):
        fault = row_fault(row)
        if fault:
            yield "bad_row", f"{called}, row {place}: {fault}", "Choose a field and an operator."


def condition_expressions(condition: JSONObject, path: str) -> Iterator[tuple[str, str]]:
    """(path, expression): rows are given as the expression that they stand for."""
    from workflows.steps.conditions import expression_of_row

    if condition.get("rows"):
        for place, row in enumerate(condition["rows"]):
            text = expression_of_row(row)
            if text:
                yield f"{path}.rows[{place}]", text
    elif condition.get("expression"):
        yield f"{path}.expression", condition["expression"]


def rewritten_condition(condition: JSONObject, expression: Rewrite) -> JSONObject:
    """The condition with its references rewritten: a row's field is a path, which is an expression too."""
    if condition.get("rows"):
        rows = [
            {**row, "field": expression(row["field"]) if row["field"] else ""} for row in condition["rows"]
        ]
        return {"match": condition.get("match", "all"), "rows": rows}
    if condition.get("expression"):
        return {"expression": expression(condition["expression"])}
    return {}


# --- durations ------------------------------------------------------------------------------------

_UNITS: Final[Mapping[str, float]] = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3_600),
    **dict.fromkeys(("d", "day", "days"), 86_400),
    **dict.fromkeys(("w", "week", "weeks"), 604_800),
}
_PART = re.compile(r"\s*(?:,|and\s)?\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*")
MAX_DURATION: Final = timedelta(days=3_650)


def parse_duration(text: str) -> timedelta:
    """The length of time in “2 days”, “1 h 30 min”, “90” (seconds). Raises ValueError with a sentence."""
    text = text.strip()
    total, at = 0.0, 0
    while at < len(text):
        found = _PART.match(text, at)
        unit = (found.group(2).lower() or "s") if found else ""
        if not found or unit not in _UNITS:
            raise ValueError(f"“{text}” is no length of time.")
        total += float(found.group(1)) * _UNITS[unit]
        at = found.end()
        if total > MAX_DURATION.total_seconds():
            raise ValueError("A length of time is at most ten years.")
    if not text:
        raise ValueError("The length of time is missing.")
    return timedelta(seconds=total)


# --- the two doorways -----------------------------------------------------------------------------


@lru_cache(maxsize=512)  # asked several times for every step whenever a workflow is read or checked
def config_fields(form: type[forms.Form]) -> Mapping[str, ConfigField]:
    """The settings of a type's form, in order. The form is never instantiated: that would copy every field."""
    return MappingProxyType(
        {name: field for name, field in form.base_fields.items() if isinstance(field, ConfigField)}
    )


def filled(form: type[forms.Form], config: JSONObject) -> JSONObject:
    """The config with every setting that it leaves out at its default."""
    return {name: config.get(name, field.default) for name, field in config_fields(form).items()}


def clean_fields(form: type[forms.Form], data: Mapping[str, Any]) -> tuple[JSONObject, tuple[Problem, ...]]:
    """Raw JSON config as the canonical one, with its problems; `is_structural` tells which refuse it.

    What the data leaves out stays out (it is at its default); unknown settings are named and dropped.
    """
    fields = config_fields(form)
    names = {other: name for name, field in fields.items() for other in field.other_names}
    config: JSONObject = {}
    problems: list[Problem] = []
    for key, raw in data.items():
        name = names.get(key, key) if key not in fields else key
        found = fields.get(name)
        if found is None:
            known = ", ".join(fields) or "none"
            problems.append(
                Problem(
                    UNKNOWN_SETTING,
                    f"There is no setting “{key}”.",
                    field=key,
                    fix=f"Known settings: {known}.",
                )
            )
            continue
        if raw is None:
            continue
        if _has_unusable(raw):
            problems.append(
                Problem(
                    BAD_TEXT,
                    f"{found.called} holds characters that no text may have.",
                    field=name,
                    fix="Take them out.",
                )
            )
            continue
        try:
            config[name] = found.read(raw)
        except WrongType as error:
            problems.append(Problem(WRONG_TYPE, f"{found.called} must be {error}.", field=name))
    bad = {problem.field for problem in problems}
    for name, field in fields.items():
        if name not in bad:
            value = config.get(name, field.default)
            problems += [
                Problem(code, message, field=name, fix=fix) for code, message, fix in field.faults(value)
            ]
    return config, tuple(problems)


def posted_fields(form: type[forms.Form], data: Mapping[str, Any], *, prefix: str = "") -> JSONObject:
    """The raw config in a posted form (a QueryDict): give it to `clean_fields`. Settings that were not sent are left out."""
    found: JSONObject = {}
    for name, field in config_fields(form).items():
        raw = field.from_post(data, f"{prefix}{name}")
        if raw is not None:
            found[name] = raw
    return found


def without_defaults(form: type[forms.Form], config: JSONObject) -> JSONObject:
    """The config without what only repeats a default: a form sends every field, a document should say what was chosen.

    Settings that decide which others are of use stay: left out, they would be guessed from what is filled in.
    """
    fields = config_fields(form)
    deciders = {field.shown_when[0] for field in fields.values() if field.shown_when}
    return {
        name: value
        for name, value in config.items()
        if name in deciders or name not in fields or value != fields[name].default
    }


def is_structural(problem: Problem) -> bool:
    """Whether the problem makes the document malformed, so that it is not stored at all."""
    return problem.code in STRUCTURAL


# --- helpers --------------------------------------------------------------------------------------


def _all(data: Mapping[str, Any], name: str) -> list[Any]:
    getlist = getattr(data, "getlist", None)
    if getlist is not None:
        return list(getlist(name))
    value = data.get(name)
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]


def _posted_condition(data: Mapping[str, Any], name: str) -> JSONObject | None:
    fields, operators, values = (_all(data, f"{name}__{part}") for part in ("field", "operator", "value"))
    expression = data.get(f"{name}__expression")
    if not fields and expression is None and f"{name}__shown" not in data:
        return None
    rows = [
        {
            "field": field,
            "operator": operator,
            "value": value_from_control(values[place] if place < len(values) else ""),
        }
        for place, (field, operator) in enumerate(zip(fields, operators, strict=False))
    ]
    found: JSONObject = {
        "match": data.get(f"{name}__match") or "all",
        "rows": rows,
        "expression": expression or "",
    }
    # The control says which of its two forms is shown; without it, rows go first.
    if data.get(f"{name}__mode") == "expression":
        found["rows"] = []
    elif data.get(f"{name}__mode") == "rows":
        found["expression"] = ""
    return found


def _json_or_none(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _texts_in(value: JSONValue, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        if value:
            yield path.lstrip("."), value
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _texts_in(part, f"{path}.{key}")
    elif isinstance(value, list):
        for place, part in enumerate(value):
            yield from _texts_in(part, f"{path}[{place}]")


def _has_unusable(value: JSONValue) -> bool:
    if isinstance(value, str):
        return _UNUSABLE.search(value) is not None
    if isinstance(value, dict):
        return any(_has_unusable(key) or _has_unusable(part) for key, part in value.items())
    return any(_has_unusable(part) for part in value) if isinstance(value, list) else False
