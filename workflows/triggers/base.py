"""What a trigger type is: the check of its settings, and what an occasion (an event, a call, a time) makes of them."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from workflows.expressions.errors import TextError
from workflows.expressions.language import compile_expression, evaluate
from workflows.expressions.names import Scope
from workflows.expressions.template import render_value, scan
from workflows.lib.errors import Problem
from workflows.lib.jsontypes import JSONObject, JSONValue


@dataclass(frozen=True, slots=True)
class Occasion:
    """What has happened: its name, the data that came with it, and its own id."""

    name: str
    data: JSONValue
    id: str = ""

    def scope(self, type: str) -> Scope:
        """What filters and input mappings may name: `trigger` (type, name, id, data), and the data as `input`."""
        facts = {"type": type, "name": self.name, "id": self.id, "data": self.data}
        return Scope(
            input=self.data if isinstance(self.data, Mapping) else {"data": self.data}, trigger=facts
        )


class TriggerType(ABC):
    """A kind of trigger, declared in one file of `workflows/triggers`."""

    name: ClassVar[str]
    label: ClassVar[str]
    icon: ClassVar[str]

    def check(self, config: JSONObject) -> Iterator[Problem]:
        """What is wrong with the settings; `field` names the setting."""
        return iter(())

    def matches(self, config: JSONObject, occasion: Occasion) -> bool:
        """Whether this trigger is meant at all. No error."""
        return False

    def passes(self, config: JSONObject, occasion: Occasion) -> bool:
        """Whether the filter lets it through. Raises TextError."""
        return True

    def dedupe_key(self, config: JSONObject, occasion: Occasion) -> str:
        """Two occasions with one key within `dedupe_for` start one run; empty: every one starts its own."""
        return ""


def mapped(mapping: JSONObject, occasion: Occasion, type: str) -> JSONObject:
    """The run's input: each value is text with `{{ … }}` or an expression after `=`. Empty: the occasion's data.

    Raises TextError.
    """
    scope = occasion.scope(type)
    if not mapping:
        return dict(scope.input) if isinstance(scope.input, Mapping) else {}
    return {name: _value(value, scope) for name, value in mapping.items()}


def mapping_problems(mapping: JSONObject) -> Iterator[Problem]:
    """Texts of a mapping that cannot be read."""
    for name, value in mapping.items():
        if not isinstance(value, str):
            continue
        if value.startswith("="):
            yield from expression_problem(value[1:].strip(), f"input_mapping.{name}")
        elif "{{" in value:
            for fault in scan(value).errors:
                yield Problem(fault.code, fault.message, field=f"input_mapping.{name}")


def expression_problem(text: str, field: str) -> Iterator[Problem]:
    """What is wrong with an expression, if anything is."""
    try:
        compile_expression(text, frozenset())
    except TextError as error:
        yield Problem(error.code, str(error), field=field, fix="Correct the expression.")


def _value(value: Any, scope: Scope) -> JSONValue:
    if isinstance(value, str) and value.startswith("="):
        return evaluate(value[1:].strip(), scope)
    if isinstance(value, dict):
        return {key: _value(part, scope) for key, part in value.items()}
    if isinstance(value, list):
        return [_value(part, scope) for part in value]
    return render_value(value, scope)
