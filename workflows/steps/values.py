"""What executors share: reading their texts from the data, and the shape of an output (a JSON object with `content`)."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Final

from workflows.definition.graph import StepDef
from workflows.expressions.errors import ExpressionError, TemplateError, TextError
from workflows.expressions.language import evaluate
from workflows.expressions.names import MISSING, Scope, as_json, as_text
from workflows.expressions.template import render, render_value
from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.lib.limits import STEP_OUTPUT_BYTES
from workflows.steps.base import StepContext, StepError

PREVIOUS: Final = "{{previous}}"
_UNUSABLE = re.compile("[\x00\ud800-\udfff]")


def text_of(context: StepContext, text: str, *, field: str, scope: Scope | None = None) -> str:
    """A template filled in. Raises StepError that names the field and the reference."""
    try:
        return render(text, scope or text_scope(context))
    except TextError as error:
        raise as_step_error(error, field) from error


def needed_text(context: StepContext, text: str, *, field: str, label: str) -> str:
    """A template filled in that may not come out empty."""
    found = text_of(context, text, field=field)
    if not found.strip():
        raise StepError(
            f"“{label}” is empty: there is nothing to work on.",
            code="empty_input",
            field=field,
            fix="Look at what the step before gives, or choose other data.",
        )
    return found


def value_of(context: StepContext, value: JSONValue, *, field: str, scope: Scope | None = None) -> JSONValue:
    """A setting's value from the data: text with `{{ … }}`, an expression after `=`, or JSON with such texts inside."""
    scope = scope or context.scope
    if isinstance(value, str) and value.startswith("="):
        return expression_value(value[1:].strip(), scope, field=field)
    if isinstance(value, dict):
        return {
            key: value_of(context, part, field=f"{field}.{key}", scope=scope) for key, part in value.items()
        }
    if isinstance(value, list):
        return [
            value_of(context, part, field=f"{field}[{place}]", scope=scope)
            for place, part in enumerate(value)
        ]
    try:
        return render_value(value, scope)
    except TextError as error:
        raise as_step_error(error, field) from error


def expression_value(text: str, scope: Scope, *, field: str) -> JSONValue:
    """An expression's value. Raises StepError that names the field and the place."""
    try:
        return evaluate(text, scope)
    except TextError as error:
        raise as_step_error(error, field) from error


def as_step_error(error: TextError, field: str) -> StepError:
    """A fault of a text as a fault of the step."""
    fix = getattr(error, "fix", "") or None
    suggestion = getattr(error, "suggestion", None)
    if fix is None and suggestion:
        fix = f"Did you mean {suggestion}?"
    message = error.message if isinstance(error, TemplateError) else str(error)
    if isinstance(error, ExpressionError):
        message = f"{error.message} (line {error.position.line}, column {error.position.column})."
    return StepError(message, code=error.code, field=field, fix=fix)


def text_scope(context: StepContext) -> Scope:
    """The scope of texts in which `{{previous}}` is one text, whatever came before.

    Several predecessors: their contents, a blank line between. The run's input: its main text.
    Their fields stay reachable (`{{previous.Label.content}}`, `{{previous.field}}`).
    """
    previous = context.scope.previous
    if not isinstance(previous, dict) or "content" in previous:
        return context.scope
    return replace(context.scope, previous=_with_text(context, previous))


def _with_text(context: StepContext, previous: JSONObject) -> JSONObject:
    several = arrivals(context)
    if len(several) > 1:
        return {**previous, "content": "\n\n".join(plain_text(output) for _, output in several)}
    return {**previous, "content": main_text(previous)}


def arrivals(context: StepContext) -> tuple[tuple[str, JSONObject], ...]:
    """(label, output) of each live predecessor where there are several, or of the one that is told; else empty."""
    if context.arrived:
        return context.arrived
    # Without the shell's word: several outputs come as an object by label, a single one has its own content.
    found = context.previous
    if not isinstance(found, dict) or "content" in found or len(found) < 2:
        return ()
    outputs = all(isinstance(output, dict) and "content" in output for output in found.values())
    return tuple(found.items()) if outputs else ()


def main_text(data: JSONObject) -> JSONValue:
    """What of an input object goes on as the text: its content, else its only text, else all of it as JSON."""
    if "content" in data:
        return data["content"]
    texts = [value for value in data.values() if isinstance(value, str)]
    return texts[0] if len(texts) == 1 else as_json(data)


def plain_text(value: JSONValue) -> str:
    """A value as text: an object's `content`, else JSON; nothing for null."""
    if isinstance(value, dict) and "content" in value:
        value = value["content"]
    return "" if value is None else as_text(value)


def passed_on(context: StepContext) -> JSONObject:
    """The step's input as its output, unchanged; what has no content (several branches, the run's input) gets one."""
    previous = context.previous
    if isinstance(previous, dict) and "content" not in previous:
        return _with_text(context, previous)
    return as_output(previous)


def as_output(value: JSONValue) -> JSONObject:
    """Any JSON value as an output object with `content`; an object keeps its fields beside it."""
    if value is MISSING:
        return {"content": None}
    if not isinstance(value, dict):
        return {"content": value}
    return value if "content" in value else {**value, "content": as_json(value)}


def check_output(output: JSONValue, *, step: StepDef | None = None) -> JSONObject:
    """The output, or StepError where it breaks the contract: object, `content`, usable characters, size."""
    if not isinstance(output, dict) or "content" not in output:
        raise StepError("The step gave no output with a content.", code="bad_output")
    try:
        text = json.dumps(output, ensure_ascii=False, allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        raise StepError(
            "The step gave an output that is no JSON.", code="bad_output", detail=str(error)
        ) from error
    if _UNUSABLE.search(text) or "\\u0000" in text:
        raise StepError(
            "The step's output holds characters that no text may have (NUL or half of a sign).",
            code="bad_text",
            fix="Put a “Clean text” step before it.",
        )
    if len(text) * 4 > STEP_OUTPUT_BYTES.value and len(text.encode()) > STEP_OUTPUT_BYTES.value:
        raise StepError(STEP_OUTPUT_BYTES.says(), code="too_large")
    return output


def usable(text: str) -> str:
    """The text without NUL and lone surrogates, which no database takes."""
    return _UNUSABLE.sub("", text)


def clip(text: str, most: int = 60) -> str:
    """One line of at most so many characters, for summaries."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}…"


def plural(count: int, one: str, many: str | None = None) -> str:
    """“1 sentence”, “3 sentences”."""
    return f"{count} {one if count == 1 else many or one + 's'}"
