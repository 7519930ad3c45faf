"""How step types ask a model: one request, a whole and non-empty answer, and JSON where a schema asks for it."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from workflows.lib.errors import Fault, StepwellError
from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.providers.base import ChatAnswer, ChatMessage, ChatRequest
from workflows.providers.errors import ProviderError
from workflows.steps.base import StepContext, StepError
from workflows.steps.schemas import value_faults
from workflows.steps.values import usable

_FENCE = re.compile(r"```[a-zA-Z0-9_-]*[ \t]*\r?\n(.*?)\r?\n?[ \t]*```", re.DOTALL)


async def ask(
    context: StepContext,
    prompt: str,
    *,
    system: str = "",
    model: str | None = None,
    temperature: float | None = 0.7,
    max_tokens: int | None = 2_000,
    schema: JSONObject | None = None,
    aside: bool = False,
) -> ChatAnswer:
    """Ask the model once (the shell retries and falls back). Raises StepError; an empty answer is one (D12)."""
    messages = [ChatMessage("system", usable(system))] if system.strip() else []
    messages.append(ChatMessage("user", usable(prompt)))
    request = ChatRequest(
        messages=tuple(messages),
        model=None if not model or model == "default" else model,
        temperature=temperature,
        max_tokens=max_tokens,
        response_schema=schema,
        idempotency_key=context.idempotency_key,
        aside=aside,
    )
    try:
        answer = await context.chat(request)
    except ProviderError as error:
        raise StepError(
            error.message,
            code=error.code,
            retryable=error.retryable,
            fault=error.fault,
            fix=error.fix,
            detail=error.detail,
            retry_after_s=error.retry_after_s,
        ) from error
    except StepError:
        raise
    except StepwellError as error:
        raise StepError(error.message, code=error.code, fault=error.fault, field="model") from error
    if not answer.text.strip():
        raise StepError(
            "The model gave an empty answer.", code="empty_answer", retryable=True, fault=Fault.OUTSIDE
        )
    if answer.finish_reason in ("refusal", "content_filter"):
        raise StepError(
            "The model declined to answer because of its content rules.",
            code="refused",
            fault=Fault.OUTSIDE,
            detail=answer.text[:2_000],
            fix="Change the prompt or the text it is given.",
        )
    return answer


def json_in(answer: ChatAnswer, schema: JSONObject, *, field: str = "response_schema") -> JSONValue:
    """The JSON value in an answer, fenced or bare, valid by the schema. Raises StepError, which may be tried again."""
    value = read_json(answer.text)
    if value is _NOTHING:
        cut = answer.finish_reason == "length"
        raise StepError(
            "The model's answer was cut off before its JSON was whole."
            if cut
            else "The model was asked for JSON, and its answer is none.",
            code="invalid_json",
            retryable=not cut,
            fault=Fault.AUTHOR if cut else Fault.OUTSIDE,
            field="max_tokens" if cut else field,
            fix="Allow more tokens." if cut else "Try again, or choose a model that follows schemas.",
            detail=answer.text[:2_000],
        )
    faults = value_faults(value, schema)
    if faults:
        raise StepError(
            f"The model's answer does not fit the schema: {'; '.join(faults)}.",
            code="invalid_answer",
            retryable=True,
            fault=Fault.OUTSIDE,
            field=field,
            fix="Try again, loosen the schema, or choose a model that follows schemas.",
            detail=answer.text[:2_000],
        )
    return value


_NOTHING: Final[Any] = object()


def read_json(text: str) -> JSONValue:
    """The JSON value that a text is, or that stands in its fence; `_NOTHING` when there is none."""
    candidates = [text.strip(), *(found.strip() for found in _FENCE.findall(text))]
    # An object or list with words around it: from the first bracket to the last of its kind.
    for opening, closing in ("{}", "[]"):
        first, last = text.find(opening), text.rfind(closing)
        if 0 <= first < last:
            candidates.append(text[first : last + 1])
    for candidate in candidates:
        try:
            return json.loads(candidate, parse_constant=_refuse)
        except (ValueError, RecursionError):
            continue
    return _NOTHING


def found_json(text: str) -> tuple[JSONValue, bool]:
    """The JSON value that a text is, or that stands in it; and whether there is one."""
    value = read_json(text)
    return (None, False) if value is _NOTHING else (value, True)


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def answer_notes(answer: ChatAnswer) -> str:
    """Short facts about an answer for the run page."""
    notes = []
    if answer.finish_reason == "length":
        notes.append("Cut at the token limit")
    if answer.is_demo:
        notes.append("Demonstration text, no model was asked")
    return "; ".join(notes)
