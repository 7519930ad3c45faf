"""THE error table of model calls: vendor × status × body → a code, what can help, and a sentence for the person."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from workflows.lib.clock import utc_now
from workflows.lib.errors import Fault, StepwellError

if TYPE_CHECKING:
    from workflows.lib.safe_http import OutboundError

# What is kept of a vendor's own words; enough to read the cause, small enough for a row.
_DETAIL_CHARS: Final = 2_000


class ProviderError(StepwellError):
    """A model call that gave no whole answer.

    `retryable`: trying the same provider again can help. `fallback`: another provider may well answer.
    `retry_after_s`: the wait that the vendor asked for. `detail`: the vendor's own words.
    """

    code = "provider"
    fault = Fault.OUTSIDE

    def __init__(
        self,
        message: str,
        *,
        code: str,
        retryable: bool = False,
        fallback: bool = False,
        retry_after_s: float | None = None,
        detail: str | None = None,
        provider: str = "",
        status: int | None = None,
        fault: Fault | None = None,
        fix: str | None = None,
    ) -> None:
        super().__init__(message, code=code)
        self.retryable = retryable
        self.fallback = fallback
        self.retry_after_s = retry_after_s
        self.detail = detail
        self.provider = provider
        self.http_status = status
        self.fix = fix
        if fault is not None:
            self.fault = fault


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table. It matches when the vendor, the status and one of `words` (in the body, any case) do.

    An empty `vendors`, `statuses` or `words` matches everything; the first row that matches holds.
    """

    code: str
    sentence: str
    retryable: bool
    fallback: bool
    statuses: tuple[int, ...] = ()
    words: tuple[str, ...] = ()
    vendors: tuple[str, ...] = ()
    fix: str | None = None
    fault: Fault = Fault.OUTSIDE

    def matches(self, vendor: str, status: int | None, body: str) -> bool:
        if self.vendors and vendor not in self.vendors:
            return False
        if self.statuses and status not in self.statuses:
            return False
        return not self.words or any(word in body for word in self.words)


_CREDIT = "{label} refused the request: the account has no credit or quota left."
_CREDIT_FIX = "Add credit to the account, or choose another model."
_KEY = "{label} does not accept the key."
_KEY_FIX = "Check the key of this provider."
_MODEL = "{label} has no model named {model}, or the key may not use it."
_MODEL_FIX = "Choose another model."
_LONG = "The prompt is longer than {model} can read."
_LONG_FIX = "Shorten the prompt, or choose a model that reads more."
_REFUSED = "{label} declined to answer because of its content rules."
_BAD = "{label} does not accept the request."

TABLE: Final[tuple[Rule, ...]] = (
    # --- words that outrank the status they come with ---
    Rule(
        "quota",
        _CREDIT,
        False,
        True,
        words=(
            "insufficient_quota",
            "billing_hard_limit",
            "credit balance is too low",
            "insufficient balance",
            "insufficient credits",
            "billing_error",
            "billing_not_active",
            "billing_disabled",
            "requires billing to be enabled",
            "your account is not active, please check your billing",
            "credits are depleted",
            "used all available credits",
            "reached your specified api usage limits",
            # Ollama's own cloud: by the hour or week, so that waiting minutes is no use.
            "hourly usage limit",
            "weekly usage limit",
        ),
        fix=_CREDIT_FIX,
    ),
    Rule("quota", _CREDIT, False, True, (402,), fix=_CREDIT_FIX),
    # Google answers 429 for the minute (wait) and for the day or a plan without any quota (do not wait).
    Rule(
        "quota",
        _CREDIT,
        False,
        True,
        (429,),
        ("perday", "per_day", "limit: 0", "daily limit"),
        ("google",),
        _CREDIT_FIX,
    ),
    # One request that is over the minute's allowance by itself: no waiting makes it smaller.
    Rule(
        "too_long",
        "The prompt is larger than this {label} account may send in a minute.",
        False,
        True,
        (413, 429),
        ("request too large for",),
        fix="Shorten the prompt, or choose another model.",
        fault=Fault.AUTHOR,
    ),
    Rule(
        "bad_key",
        _KEY,
        False,
        True,
        (400, 401, 403),
        (
            "api key not valid",
            "api_key_invalid",
            "invalid_api_key",
            "incorrect api key",
            "authentication_error",
        ),
        fix=_KEY_FIX,
        fault=Fault.AUTHOR,
    ),
    # What a key or a project may not do is sometimes said in the words of the content rules.
    Rule(
        "no_permission",
        "The key may not do this at {label}.",
        False,
        True,
        (400, 403),
        (
            "service_blocked",
            "referrer_blocked",
            "ip_address_blocked",
            "service_disabled",
            "reported as leaked",
            "organization must be verified",
        ),
        fix=_KEY_FIX,
        fault=Fault.AUTHOR,
    ),
    Rule(
        "too_long",
        _LONG,
        False,
        True,
        (400, 413, 422, 500),
        (
            "context_length_exceeded",
            "maximum context length",
            "prompt is too long",
            "input token count",
            "context window",
            "request_too_large",
            "exceeds the maximum number of tokens",
        ),
        fix=_LONG_FIX,
        fault=Fault.AUTHOR,
    ),
    Rule(
        "refused",
        _REFUSED,
        False,
        True,
        (400, 403, 422),
        (
            "content_filter",
            "content_policy",
            "content management policy",
            "safety",
            "prohibited_content",
            "usage policy",
            "usage policies",
            "blocked",
        ),
        fix="Change the prompt or the text it is given.",
        fault=Fault.AUTHOR,
    ),
    Rule(
        "no_permission",
        "{label} does not serve this account from this place.",
        False,
        True,
        (400, 403),
        ("unsupported_country", "user location is not supported", "failed_precondition"),
    ),
    Rule(
        "model_missing",
        _MODEL,
        False,
        True,
        (400, 403, 404),
        (
            "model_not_found",
            "does not exist or you do not have access",
            "try pulling it",
            "invalid model",
            "model not found",
        ),
        fix=_MODEL_FIX,
        fault=Fault.AUTHOR,
    ),
    Rule(
        "out_of_memory",
        "{label} has not enough memory for {model}.",
        False,
        True,
        (500, 503),
        ("requires more system memory", "out of memory"),
        fix="Choose a smaller model, or give the server more memory.",
    ),
    Rule("overloaded", "{label} is still loading the model.", True, True, (500, 503), ("loading model",)),
    # Servers of the OpenAI kind sometimes put an overload in a status that says otherwise.
    Rule("overloaded", "{label} is overloaded.", True, True, words=("overloaded_error", "engine_overloaded")),
    # --- by status ---
    Rule("bad_key", _KEY, False, True, (401,), fix=_KEY_FIX, fault=Fault.AUTHOR),
    Rule(
        "no_permission",
        "The key may not do this at {label}.",
        False,
        True,
        (403,),
        fix=_KEY_FIX,
        fault=Fault.AUTHOR,
    ),
    Rule("model_missing", _MODEL, False, True, (404,), fix=_MODEL_FIX, fault=Fault.AUTHOR),
    Rule("timeout", "{label} took too long to begin.", True, True, (408, 504, 524)),
    Rule("conflict", "{label} was busy with the same request.", True, True, (409, 425)),
    Rule("too_long", _LONG, False, True, (413,), fix=_LONG_FIX, fault=Fault.AUTHOR),
    Rule("rate_limited", "{label} asks to slow down: too many requests at once.", True, True, (429,)),
    Rule("overloaded", "{label} is overloaded.", True, True, (503, 529)),
    Rule("bad_request", _BAD, False, False, (400, 405, 406, 410, 411, 415, 422), fault=Fault.AUTHOR),
    Rule("server_error", "{label} had a fault of its own.", True, True, tuple(range(500, 600))),
    # --- an error inside a stream that began well has no status: its own type says what it was ---
    Rule(
        "rate_limited",
        "{label} asks to slow down: too many requests at once.",
        True,
        True,
        words=("rate_limit",),
    ),
    Rule("overloaded", "{label} is overloaded.", True, True, words=("overloaded", "unavailable")),
    Rule(
        "bad_request",
        _BAD,
        False,
        False,
        words=("invalid_request_error", "invalid_argument"),
        fault=Fault.AUTHOR,
    ),
)
_LAST: Final = Rule("server_error", "{label} broke off with an error.", True, True)


def error_from_answer(
    *,
    provider: str,
    label: str,
    model: str,
    status: int | None,
    body: object,
    headers: Mapping[str, str] | None = None,
    now: datetime | None = None,
) -> ProviderError:
    """The error for a vendor's answer: `status` None for an error inside a stream; `body` parsed JSON or text."""
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False, default=str)
    low = text.lower()
    if status is None:
        status = _status_inside(body)
    rule = next((rule for rule in TABLE if rule.matches(provider, status, low)), _LAST)
    if rule is _LAST and status is not None and 300 <= status < 500:
        rule = Rule("bad_request", _BAD, False, False, fault=Fault.AUTHOR)
    return ProviderError(
        rule.sentence.format(label=label, model=model),
        code=rule.code,
        retryable=rule.retryable,
        fallback=rule.fallback,
        retry_after_s=wait_asked_for(headers or {}, body, now=now) if rule.retryable else None,
        detail=_vendor_words(body, text),
        provider=provider,
        status=status,
        fault=rule.fault,
        fix=rule.fix,
    )


def _status_inside(body: object) -> int | None:
    """The status that an error inside a stream carries itself (Google's and the routers' `code`)."""
    found: object = body[0] if isinstance(body, list) and body else body
    if isinstance(found, dict):
        found = found.get("error", found)
    code = found.get("code") if isinstance(found, dict) else None
    try:
        number = int(str(code))
    except ValueError:
        return None
    return number if 400 <= number < 600 else None


_IN_WORDS: Final = re.compile(
    r"(?:try again|retry|retry after|available) (?:in|after) (?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?) ?(ms|s)(?:ec\w*)?\b)?",
    re.IGNORECASE,
)


def _wait_in_words(text: str) -> float | None:
    """“Please try again in 6m0.5s”, “in 120ms”, “retry after 6 seconds”: only the body says it there."""
    found = _IN_WORDS.search(text)
    if found is None or not any(found.group(1, 2, 3)):
        return None
    hours, minutes, last, unit = found.groups()
    seconds = float(last or 0) / (1_000 if unit and unit.lower() == "ms" else 1)
    return int(hours or 0) * 3_600 + int(minutes or 0) * 60 + seconds


def wait_asked_for(headers: Mapping[str, str], body: object, *, now: datetime | None = None) -> float | None:
    """Seconds to wait: `Retry-After` (seconds or a date), `retry-after-ms`, Google's `retryDelay`, or words in the body."""
    lowered = {name.lower(): value for name, value in headers.items()}
    milliseconds = _number(lowered.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    asked = lowered.get("retry-after", "").strip()
    seconds = _number(asked)
    if seconds is not None:
        return seconds
    if asked:
        try:
            at = parsedate_to_datetime(asked)
        except (TypeError, ValueError):
            at = None
        if at is not None:
            at = at if at.tzinfo else at.replace(tzinfo=UTC)
            return max(0.0, (at - (now or utc_now())).total_seconds())
    text = body if isinstance(body, str) else json.dumps(body, default=str)
    found = re.search(r'"retryDelay"\s*:\s*"(\d+(?:\.\d+)?)s"', text)
    return float(found.group(1)) if found else _wait_in_words(text)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _vendor_words(body: object, text: str) -> str | None:
    """The message inside the usual shapes (`{"error": {"message"}}`, also in a list), else the text itself."""
    found: object = body[0] if isinstance(body, list) and body else body
    if isinstance(found, dict):
        found = found.get("error", found)
    if isinstance(found, dict):
        found = found.get("message", found)
    words = found if isinstance(found, str) else text
    return words.strip()[:_DETAIL_CHARS] or None


# --- faults that have no answer to read -----------------------------------------------------------


def cut_stream(*, provider: str, label: str, detail: str | None = None) -> ProviderError:
    """The text stopped without the provider's word that it is whole."""
    return ProviderError(
        f"{label} broke off in the middle of its answer.",
        code="cut_stream",
        retryable=True,
        fallback=True,
        provider=provider,
        detail=detail,
    )


def empty_answer(*, provider: str, label: str, used_up: bool = False) -> ProviderError:
    """A well-formed answer with nothing in it; `used_up` = all tokens went into thinking, so more are needed."""
    if used_up:
        return ProviderError(
            f"{label} used all its tokens before it wrote a word.",
            code="empty_answer",
            fallback=True,
            provider=provider,
            fault=Fault.AUTHOR,
            fix="Allow more tokens for the answer.",
        )
    return ProviderError(
        f"{label} gave an empty answer.",
        code="empty_answer",
        retryable=True,
        fallback=True,
        provider=provider,
    )


def not_an_answer(*, provider: str, label: str, content_type: str, body: str) -> ProviderError:
    """A page instead of an answer: a proxy, a portal or a wrong address."""
    kind = "a web page" if "html" in content_type or body.lstrip()[:1] == "<" else "something unreadable"
    return ProviderError(
        f"{label} answered with {kind} instead of a model's answer; something stands between us, or the address is wrong.",
        code="not_an_answer",
        retryable=True,
        fallback=True,
        provider=provider,
        detail=body.strip()[:_DETAIL_CHARS] or None,
        fix="Check the address of this provider and the network's proxy.",
    )


def network(*, provider: str, label: str, detail: str | None = None) -> ProviderError:
    return ProviderError(
        f"{label} could not be reached.",
        code="network",
        retryable=True,
        fallback=True,
        provider=provider,
        detail=detail,
    )


def timed_out(*, provider: str, label: str, seconds: float | None = None) -> ProviderError:
    after = f" after {seconds:g} seconds" if seconds else ""
    return ProviderError(
        f"{label} did not finish{after}.", code="timeout", retryable=True, fallback=True, provider=provider
    )


def outbound(error: OutboundError, *, provider: str) -> ProviderError:
    """What the outbound guard or its limits said about an address that a tenant typed."""
    return ProviderError(
        error.message,
        code=error.code,
        retryable=error.retryable,
        fallback=True,
        provider=provider,
        fault=error.fault,
        fix=error.fix,
        detail=error.detail,
    )


def refused(*, provider: str, label: str, detail: str | None = None) -> ProviderError:
    return ProviderError(
        _REFUSED.format(label=label),
        code="refused",
        fallback=True,
        provider=provider,
        detail=detail,
        fix="Change the prompt or the text it is given.",
        fault=Fault.AUTHOR,
    )


def no_account(*, provider: str, label: str, variable: str) -> ProviderError:
    return ProviderError(
        f"There is no account for {label} yet.",
        code="no_account",
        fallback=True,
        provider=provider,
        fault=Fault.AUTHOR,
        fix=f"Set {variable} where Stepwell runs, or choose another model.",
    )
