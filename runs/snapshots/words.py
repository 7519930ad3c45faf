"""Sentences of the run page: what a step did, why it failed, who is waited for. No figures of our own, no markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from html import unescape
from itertools import groupby, pairwise
from typing import Any

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import strip_tags

from runs.models import Attempt, Review
from workflows.lib.jsontypes import JSONObject
from workflows.providers import registry

_COUNTS = {1: "once", 2: "twice", 3: "three times", 4: "four times", 5: "five times"}
# The end of "OpenAI …" for the codes of the error table; any other code is told with the error's own sentence.
_TROUBLES = {
    "rate_limited": "was rate limited",
    "overloaded": "was overloaded",
    "conflict": "was busy",
    "server_error": "had a fault of its own",
    "timeout": "took too long",
    "network": "could not be reached",
    "cut_stream": "broke off its answer",
    "empty_answer": "gave an empty answer",
    "not_an_answer": "gave something that is no answer",
    "quota": "has no credit left",
    "bad_key": "did not accept the key",
}
_DECISIONS = {
    "approve": "Approved",
    "reject": "Rejected",
    "request_changes": "Sent back",
    "changes": "Sent back",
    "send_again": "Sent again",
    "skip": "Not sent again",
}
_MARKUP = re.compile(
    r"^\s{0,3}(#{1,6}\s+|[-*+]\s+|>\s+|\d+[.)]\s+)|[*_`]{1,3}|\[([^\]]*)\]\([^)]*\)", re.MULTILINE
)
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>|<!--|<!doctype", re.IGNORECASE)
_UNSEEN = re.compile(
    r"<(script|style|head|svg)\b.*?(</\1\s*>|\Z)|<!--.*?(-->|\Z)|<[a-zA-Z/!][^<>]*\Z",
    re.IGNORECASE | re.DOTALL,
)
# A page has a head before its first words.
_LOOKED_AT = 20_000


def times(count: int) -> str:
    return _COUNTS.get(count, f"{count} times")


def provider_name(provider: str) -> str:
    """The provider's own label; one that has gone keeps its name."""
    if provider and registry.is_known(provider):
        return registry.get(provider).label
    return provider.replace("_", " ").capitalize()


def model_words(provider: str, model: str) -> str:
    """`gpt-4o-mini` for a model, a plain statement for the demonstration."""
    if provider == "demo":
        return "Demonstration, no real model"
    return model or provider_name(provider)


def one_line(text: str | None, limit: int = 140) -> str:
    """The first words of a text in one line, without Markdown's marks."""
    if not text:
        return ""
    if _TAG.search(text[:_LOOKED_AT]):
        # A pasted page: its words, not its markup.
        text = unescape(strip_tags(_UNSEEN.sub(" ", text[:_LOOKED_AT]).replace("<", " <")))
    plain = " ".join(_MARKUP.sub(lambda match: match.group(2) or "", text).split())
    return plain if len(plain) <= limit else f"{plain[: limit - 1].rsplit(' ', 1)[0].rstrip('.,;:')}…"


def seconds(wait: timedelta) -> str:
    """2 s · 1.5 s · 3 min: a wait as people say it."""
    whole = wait.total_seconds()
    if whole >= 90:
        return f"{round(whole / 60)} min"
    return f"{whole:.0f} s" if whole >= 2 or whole == int(whole) else f"{whole:.1f} s"


def clock(moment: datetime) -> str:
    local = timezone.localtime(moment)
    today = timezone.localtime()
    return date_format(local, "H:i:s" if local.date() == today.date() else "j M H:i")


def story(attempts: Sequence[Attempt], *, answered: bool) -> tuple[str, str]:
    """(headline, the rest) of tries that failed: who, how often, how long it waited, who answered; empty for none.

    "OpenAI was rate limited twice." "Waited 2 s, then 4 s."
    """
    failed = [a for a in attempts if a.error and a.status in ("failed", "interrupted")]
    # The try that was answered may have asked several models.
    hops = [] if not attempts or attempts[-1] in failed else list(attempts[-1].hops or ())
    if not failed and not hops:
        return "", ""
    told: list[str] = []
    for trouble, group in groupby([*map(_trouble, failed), *map(_hop_trouble, hops)]):
        count = len(list(group))
        told.append(f"{trouble} {times(count)}" if count > 1 else trouble)
    headline = ", then ".join(told)
    waits = [
        seconds(later.started_at - earlier.ended_at)
        for earlier, later in pairwise(attempts)
        if earlier.ended_at is not None
        and earlier in failed
        and later.started_at - earlier.ended_at >= timedelta(seconds=0.3)
    ]
    rest = f"Waited {', then '.join(waits)}." if waits else ""
    last = attempts[-1]
    if answered and last.provider and (hops or last.provider != failed[-1].provider):
        rest = f"{rest} Then {provider_name(last.provider)} answered.".strip()
    elif answered:
        rest = f"{rest} Then it worked.".strip()
    elif last.status == "open" and last.provider and hops:
        rest = f"{rest} {provider_name(last.provider)} is answering.".strip()
    return f"{headline[:1].upper()}{headline[1:]}.", rest


def _trouble(attempt: Attempt) -> str:
    error: JSONObject = attempt.error or {}
    if not attempt.counted:
        return "the worker stopped"
    who = provider_name(attempt.provider)
    known = _TROUBLES.get(str(error.get("code", "")))
    if who and known:
        return f"{who} {known}"
    return str(error.get("message") or "the try failed").rstrip(".")


def _hop_trouble(hop: JSONObject) -> str:
    provider, _, model = str(hop.get("from", "")).partition(":")
    known = _TROUBLES.get(str(hop.get("code", "")))
    if known:
        return f"{provider_name(provider) or model} {known}"
    return str(hop.get("reason") or "a model did not answer").rstrip(".")


def decided(review: Review) -> str:
    """Approved with edits by Nadia Osei, 1 comment."""
    word = _DECISIONS.get(review.decision, "")
    if not word:
        word = next(
            (str(b.get("label")) for b in review.buttons if b.get("decision") == review.decision), "Decided"
        )
    edits = " with edits" if review.edited is not None else ""
    who = f" by {review.decided_by_label}" if review.decided_by_label else ""
    return f"{word}{edits}{who}{', with a comment' if review.comment else ''}"


def cause(error: JSONObject) -> str:
    """The error's own sentence as a headline; whether a retry helps is said below it."""
    message = str(error.get("message") or "The step failed")
    # Failures of earlier releases said the second sentence themselves.
    return message.removesuffix("Trying again will not help.").strip().rstrip(".")


# What has to be done before another try can end otherwise, where the error's own advice does not say it as well.
_UNTIL = {
    "quota": "until credit is added",
    "bad_key": "until the key is mended under Connections",
    "no_permission": "until the key may do this",
    "no_account": "until there is an account",
    "model_missing": "until another model is chosen",
}
_AS_IT_IS = {
    "items_failed": "The failed items will most likely fail again as they are; change one, or let some fail.",
    "budget": "The run may go on as soon as somebody allows it more.",
    "out_of_time": "A retry gives the run the same time once more, and finished steps are kept.",
    "crashed": "It stops its worker whenever it runs; look at what it does before trying again.",
}


def trying_helps(error: JSONObject, *, no_fallback: bool = False) -> str:
    """Whether a retry can help, in a sentence; then what can be done about it. `no_fallback`: nobody else was asked."""
    code, fix = str(error.get("code") or ""), str(error.get("fix") or "").rstrip(".")
    advice = f" {fix[:1].upper()}{fix[1:]}." if fix else ""
    alone = ", and this step has no fallback" if no_fallback else ""
    if code in _AS_IT_IS:
        return _AS_IT_IS[code]
    if error.get("retryable"):
        return f"Trying again can help{alone and f'; {alone[6:]}'}.{advice}"
    if code in _UNTIL:
        return f"Trying again will not help {_UNTIL[code]}{alone}."
    return f"Trying the same again will not help.{advice}" if fix else "Trying the same again will not help."


def steps_kept(numbers: Iterable[int], *, approvals: int) -> str:
    """What a failed or cancelled run keeps: "Steps 1 to 7 are kept, with both approvals."."""
    done = sorted(numbers)
    if not done:
        return "Nothing was finished before it."
    if len(done) == 1:
        said = f"Step {done[0]} is kept"
    elif done == list(range(done[0], done[-1] + 1)):
        said = f"Steps {done[0]} to {done[-1]} are kept"
    else:
        said = f"{len(done)} finished steps are kept"
    with_approvals = {0: "", 1: ", with the approval", 2: ", with both approvals"}.get(
        approvals, f", with all {approvals} approvals"
    )
    return f"{said}{with_approvals}."


def subject(values: JSONObject) -> str:
    """What a run was about, from its input: the first text, else the first value."""
    for value in values.values():
        if isinstance(value, str) and value.strip():
            return one_line(value, 90)
    for value in values.values():
        if value not in (None, "", [], {}):
            return one_line(str(value), 90)
    return ""


def text_of(value: Any) -> str | None:
    """The main text of an output, or None when it is data."""
    content = value.get("content") if isinstance(value, dict) else value
    return content if isinstance(content, str) else None
