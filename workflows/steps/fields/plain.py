"""Settings that are one value: text, text with `{{ … }}`, an expression, a number, a switch, a choice, a schema."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.steps.fields.base import ConfigField, Rewrite, WrongType


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
    """Text that may hold `{{ … }}`; `rows` is the height of its control; `wanted`: it is what people fill in first."""

    kind = "template"

    def __init__(self, *, rows: int = 3, wanted: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rows, self.wanted = rows, wanted

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
