"""The question whether something goes out again that may have got through: what a person is shown, and their answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from runs.models import Delivery
from workflows.lib.errors import Fault
from workflows.lib.jsontypes import JSONObject
from workflows.steps.base import Effect, ReviewRequest, StepError

SEND_AGAIN: Final = "send_again"
SKIP: Final = "skip"

_WORDS: Final = {"email": "mail", "webhook": "webhook", "http": "request"}
_SHOWN_CHARS: Final = 4_000


@dataclass(frozen=True, slots=True)
class EffectQuestion:
    """What a try answers that stopped before a second sending: the gate, and the row of the ledger it is about."""

    delivery: UUID
    asked: ReviewRequest


class AskEffect(StepError):
    """Nothing was sent: a person has to say whether it goes out again."""

    def __init__(self, message: str, question: EffectQuestion) -> None:
        super().__init__(message, code="unknown_effect", fault=Fault.OUTSIDE)
        self.question = question


def ask_about(delivery: Delivery, earlier: Delivery, effect: Effect) -> AskEffect:
    """The question about `delivery`, which is held back because of what `earlier` has done or may have done."""
    what = _WORDS.get(earlier.kind, earlier.kind)
    when = f"{earlier.tried_at:%d %b at %H:%M} UTC"
    if earlier.status == Delivery.Status.SENT:
        said = f"The {what} to {earlier.target} went out on {when} already."
    else:
        said = f"Whether the {what} to {earlier.target} went out on {when} is not known: that try broke off."
    asked = ReviewRequest(
        title=f"Send the {what} to {effect.target} again?"[:200],
        instructions=f"{said} Nothing was sent since. Ask the receiver if you are not sure.",
        content={"content": _shown(effect), "delivery": str(delivery.pk), "key": delivery.key},
        editable=False,
        buttons=((SEND_AGAIN, "Send again", ""), (SKIP, "Do not send again", "")),
    )
    return AskEffect(f"{said} It was not sent again.", EffectQuestion(delivery.pk, asked))


def _shown(effect: Effect) -> str:
    """What would go out, as a person reads it. It is printed as Markdown, so foreign text stands in a block of code."""
    copy: JSONObject = effect.copy
    if effect.kind == "email":
        head = [f"To: {', '.join(copy.get('to') or ())}", f"Subject: {copy.get('subject') or ''}", ""]
        text = "\n".join([*head, str(copy.get("text") or "")])
    else:
        head = [f"{copy.get('method', 'POST')} {copy.get('url') or effect.target}", ""]
        text = "\n".join([*head, str(copy.get("body") or "")])
    cut = text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"
    return "\n".join(f"    {line}" for line in cut.splitlines())
