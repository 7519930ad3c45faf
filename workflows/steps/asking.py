"""How step types ask a model: one request, a whole and non-empty answer, and JSON where a schema asks for it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from workflows.lib.errors import Fault, StepwellError
from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.providers.base import ChatAnswer, ChatMessage, ChatRequest
from workflows.providers.errors import ProviderError
from workflows.steps.base import StepContext, StepError
from workflows.steps.prompts import library_facts, system_of
from workflows.steps.schemas import value_faults
from workflows.steps.values import clip, usable

_REPAIR: Final = "Your answer cannot be used: {fault}. Answer again with the whole corrected JSON only: no fence, no words around it."
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
    """Ask the model once (the shell retries and falls back). Raises StepError; an empty answer is one (D12).

    The persona's text is put before `system`, except for a call aside, which is not the step's own.
    """
    system = system if aside else system_of(context, system)
    messages = [ChatMessage("system", usable(system))] if system.strip() else []
    messages.append(ChatMessage("user", usable(prompt)))
    return await _send(
        context,
        ChatRequest(
            messages=tuple(messages),
            model=None if not model or model == "default" else model,
            temperature=temperature,
            max_tokens=max_tokens,
            response_schema=schema,
            idempotency_key=context.idempotency_key,
            aside=aside,
            facts={} if aside else library_facts(context),
        ),
    )


async def _send(context: StepContext, request: ChatRequest) -> ChatAnswer:
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


@dataclass(frozen=True, slots=True)
class Fields:
    """A valid answer: its JSON value, the answer that holds it, all answers that it took, and what to say of it."""

    value: JSONValue
    answer: ChatAnswer
    answers: tuple[ChatAnswer, ...]
    notes: str = ""


async def ask_fields(
    context: StepContext,
    prompt: str,
    schema: JSONObject,
    *,
    field: str = "response_schema",
    system: str = "",
    model: str | None = None,
    temperature: float | None = 0.7,
    max_tokens: int | None = 2_000,
) -> Fields:
    """Ask for JSON of a schema. The rule: JSON in a fence or with words around it is taken; an answer that is no JSON or
    does not fit is sent back once, with what the validator says; if that does not fit either, the step fails.

    An answer that was cut off is not sent back: a second one would be cut too. Raises StepError.
    """
    first = await ask(
        context,
        prompt,
        system=system,
        model=model,
        temperature=temperature,
        max_tokens=max_tokens,
        schema=schema,
    )
    value, fault = judge(first, schema)
    if not fault:
        return Fields(value, first, (first,))
    if first.finish_reason == "length":
        raise _unfit(first, fault, field)
    own = system_of(context, system)
    request = ChatRequest(
        messages=(
            *((ChatMessage("system", usable(own)),) if own.strip() else ()),
            ChatMessage("user", usable(prompt)),
            ChatMessage("assistant", usable(first.text)),
            ChatMessage("user", _REPAIR.format(fault=fault)),
        ),
        model=None if not model or model == "default" else model,
        temperature=0.0,
        max_tokens=max_tokens,
        response_schema=schema,
        # Its own key, or a provider that knows keys would give the first answer again.
        idempotency_key=f"{context.idempotency_key}:repair" if context.idempotency_key else "",
        aside=True,
        facts={**library_facts(context), "repairs": fault[:500]},
    )
    second = await _send(context, request)
    value, left = judge(second, schema)
    if left:
        raise _unfit(second, left, field, repaired=True)
    return Fields(
        value,
        second,
        (first, second),
        f"Asked once more, as the first answer did not fit: {clip(fault, 120)}",
    )


def judge(answer: ChatAnswer, schema: JSONObject) -> tuple[JSONValue, str]:
    """The JSON value in an answer, fenced or bare, and what is wrong with it (empty: nothing)."""
    value = read_json(answer.text)
    if value is _NOTHING:
        return None, "it is no JSON"
    faults = value_faults(value, schema)
    return (None, "; ".join(faults)) if faults else (value, "")


def _unfit(answer: ChatAnswer, fault: str, field: str, *, repaired: bool = False) -> StepError:
    no_json = read_json(answer.text) is _NOTHING
    if answer.finish_reason == "length":
        message, cut = "The model's answer was cut off before its JSON was whole.", True
    else:
        cut = False
        message = (
            "The model was asked for JSON, and its answer is none."
            if no_json
            else f"The model's answer does not fit the schema: {fault}."
        )
    return StepError(
        f"{message} It was asked once more, in vain." if repaired else message,
        code="invalid_json" if no_json else "invalid_answer",
        retryable=not cut,
        fault=Fault.AUTHOR if cut else Fault.OUTSIDE,
        field="max_tokens" if cut else field,
        fix="Allow more tokens." if cut else "Loosen the schema, or choose a model that follows schemas.",
        detail=answer.text[:2_000],
    )


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


def answer_notes(found: ChatAnswer | Fields) -> str:
    """Short facts about an answer for the run page."""
    answer = found.answer if isinstance(found, Fields) else found
    notes = [found.notes] if isinstance(found, Fields) and found.notes else []
    if answer.finish_reason == "length":
        notes.append("Cut at the token limit")
    if answer.is_demo:
        notes.append("Demonstration text, no model was asked")
    return "; ".join(notes)
