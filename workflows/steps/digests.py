"""The short version of a long output, which later steps may use instead: `{{steps.Label.digest}}`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from workflows.providers.base import ChatAnswer
from workflows.steps.asking import ask
from workflows.steps.base import StepContext, StepError
from workflows.steps.fields import BoolField
from workflows.steps.language import sentences_of

# What is no longer than this is its own short version, and no model is asked.
SHORT_CHARS: Final = 600
_SENTENCES: Final = 5
_TASK: Final = (
    "Write a short version of the text below in at most five sentences, in the text's own language: what somebody has to "
    "know who goes on without reading it. Use only what the text says. Answer with the short version only."
)


@dataclass(frozen=True, slots=True)
class Digest:
    """A short version; `answers` are the calls that it took, `notes` what to say of it."""

    text: str
    answers: tuple[ChatAnswer, ...] = ()
    notes: str = ""


def digest_field() -> BoolField:
    """The setting that asks for a short version beside the answer."""
    return BoolField(
        label="Also a short version",
        help_text="A second, short call. Later steps use it as {{steps.Label.digest}} where the whole is too long.",
        section="Answer",
        more=True,
    )


async def digest_of(context: StepContext, text: str, *, model: str | None) -> Digest:
    """The short version of an answer that is there already.

    An answer that is paid for is not thrown away because its short version could not be had: then the first sentences
    of the text stand for it, and the notes say so.
    """
    if len(text) <= SHORT_CHARS:
        return Digest(text)
    # Its own key, or a provider that knows keys would give the first answer again.
    own = replace(context, idempotency_key=f"{context.idempotency_key}:digest")
    try:
        answer = await ask(
            own,
            f"{_TASK}\n\nText:\n{text}",
            model=model,
            temperature=0.2,
            max_tokens=400,
            aside=True,
        )
    except StepError as error:
        first = " ".join(sentences_of(text)[:_SENTENCES])[:2_000] or text[:SHORT_CHARS]
        return Digest(first, notes=f"The short version is its first sentences: {error.info.message}")
    return Digest(answer.text.strip(), (answer,))
