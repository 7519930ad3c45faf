"""What the types that call other servers share: addresses and headers from the data, the guarded call, and its receipt."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from workflows.expressions.errors import TextError
from workflows.expressions.names import as_json, as_text
from workflows.expressions.template import Literal, parse
from workflows.lib.errors import Fault
from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.providers.errors import wait_asked_for
from workflows.steps.base import DeliveryStatus, NoEffect, OnUnknown, Receipt, StepContext, StepError
from workflows.steps.fields import ChoiceField, MappingField, NumberField, TextField
from workflows.steps.values import as_step_error, text_of, text_scope, usable, value_of

if TYPE_CHECKING:
    from workflows.lib.safe_http import OutboundError, OutboundRequest, OutboundResponse

# Methods that change nothing on the other side: no key, no ledger, free to repeat.
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
# Statuses after which trying again can help (D13), and those after which surely nothing was done.
_PASSING: Final = frozenset({408, 409, 425, 429})
_DONE_NOTHING: Final = frozenset({429, 503})
# Of an answer this much goes into the receipt; a longer one is kept in part and marked so.
_RECEIPT_CHARS: Final = 64_000
_COPY_CHARS: Final = 64_000
# Where keys are sent. Settings are read by everybody who sees the workflow, so a key may not stand there.
_SECRET_HEADERS: Final = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "cookie",
        "x-api-key",
        "api-key",
        "x-auth-token",
        "x-goog-api-key",
    }
)
# Not kept in copies: who has one could replay the message.
_NOT_COPIED: Final = _SECRET_HEADERS | {"webhook-signature"}
_PUT_AWAY: Final = frozenset({"set-cookie", "set-cookie2"})


class NamedValuesField(MappingField):
    """Names and values where a name may hold any sign that is written: query parameters, keys of a JSON body."""

    def faults(self, value: JSONValue) -> Iterator[tuple[str, str, str | None]]:
        if self.required and self.is_empty(value):
            yield "required", f"{self.called} is missing.", f"Fill in {self.called}."
        for key in value or {}:
            if not key:
                yield "bad_name", f"{self.called}: a name is missing.", "Name it, or take the row out."
            elif len(key) > 256 or re.search(r"[\x00-\x1f]", key):
                yield "bad_name", f"{self.called}: “{key[:60]}” is no name.", "Use visible signs."


class HeadersField(NamedValuesField):
    """Headers of a request. Those that carry keys are refused: connections hold them."""

    def faults(self, value: JSONValue) -> Iterator[tuple[str, str, str | None]]:
        yield from super().faults(value)
        for key in value or {}:
            if key.lower() in _SECRET_HEADERS:
                yield (
                    "secret_in_settings",
                    f"{self.called}: {key} carries a key, which everybody who sees the workflow could read.",
                    "Take it out, and name a connection.",
                )
            elif key and not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", key):
                yield (
                    "bad_name",
                    f"{self.called}: “{key[:60]}” is no name of a header.",
                    "Use letters, digits and -.",
                )


def on_unknown_field(default: OnUnknown, section: str) -> ChoiceField:
    """What to do when a try broke off and may have got through all the same."""
    return ChoiceField(
        label="If it may have arrived",
        choices=(
            (OnUnknown.REPEAT.value, "Send it again"),
            (OnUnknown.ASK.value, "Ask a person"),
            (OnUnknown.SKIP.value, "Leave it"),
        ),
        initial=default.value,
        help_text="A crash or a cut connection can hide whether it did. “Ask” makes the run wait for a reviewer who says so.",
        section=section,
        more=True,
    )


def connection_field() -> TextField:
    """The connection whose key is sent, by its name: exports hold the name, never the key."""
    return TextField(
        label="Connection",
        help_text="The name of one under Connections. Its key is sent, to its hosts only. Left empty: none.",
        placeholder="CRM",
        section="Request",
        max_length=120,
    )


def timeout_field(seconds: int = 30) -> NumberField:
    return NumberField(
        label="Time to answer",
        unit="seconds",
        help_text="For the whole answer, redirects included.",
        section="Request",
        least=1,
        most=600,
        initial=seconds,
        more=True,
    )


# --- from the data ------------------------------------------------------------------------------------


def url_of(context: StepContext, text: str, *, field: str) -> str:
    """An address with its references filled in. Raises StepError.

    A reference at the very start may be a whole address; every later one is a piece of it and is escaped, so that
    data never changes host or path.
    """
    try:
        template = parse(text.strip())
        pieces: list[str] = []
        for part in template.parts:
            if isinstance(part, Literal):
                pieces.append(part.text)
            else:
                value = text_of(context, template.text[part.start : part.end], field=field)
                pieces.append(quote(value.strip(), safe="") if any(pieces) else value.strip())
    except TextError as error:
        raise as_step_error(error, field) from error
    from workflows.lib.safe_http import url_fault

    url = "".join(pieces)
    fault = url_fault(url) if url else "The address is empty."
    if fault:
        raise NoEffect(fault, code="bad_url", field=field, fix="Write it as https://example.com/path.")
    return url


def as_parameter(value: JSONValue) -> list[str]:
    """A value as texts of a query or form: a list gives several, null none, an output its content."""
    if isinstance(value, list):
        return [text for entry in value for text in as_parameter(entry)]
    if isinstance(value, dict) and "content" in value:
        value = value["content"]
    if value is None:
        return []
    if isinstance(value, bool):
        return ["true" if value else "false"]
    return [value if isinstance(value, str) else as_text(value)]


def parameters_of(context: StepContext, values: JSONObject, *, field: str) -> list[tuple[str, str]]:
    """Named values as pairs for a query or a form."""
    return [
        (name, text)
        for name, value in values.items()
        for text in as_parameter(value_of(context, value, field=f"{field}.{name}", scope=text_scope(context)))
    ]


def headers_of(context: StepContext, values: JSONObject, *, field: str = "headers") -> list[tuple[str, str]]:
    """Headers from the settings. Raises StepError for what a header cannot carry (a line break from the data)."""
    from workflows.lib.safe_http import header_fault

    found = [(name, text.strip()) for name, text in parameters_of(context, values, field=field)]
    for name, text in found:
        fault = header_fault(name, text)
        if fault:
            raise NoEffect(fault, code="bad_header", field=f"{field}.{name}", fix="Correct the header.")
    return found


# --- the call and its errors ----------------------------------------------------------------------------


def outbound_step_error(error: OutboundError, *, field: str = "url") -> StepError:
    """What the outbound client said, as a fault of the step."""
    kind = StepError if error.reached else NoEffect
    return kind(
        error.message,
        code=error.code,
        retryable=error.retryable,
        fault=error.fault,
        field=field if error.fault is Fault.AUTHOR else None,
        fix=error.fix,
        detail=error.detail,
        retry_after_s=error.retry_after_s,
    )


async def call(
    request: OutboundRequest, context: StepContext | None = None, connection: str = ""
) -> OutboundResponse:
    """One guarded call, with the key of a connection where one is named. Raises StepError; NoEffect where surely
    nothing was sent."""
    if connection and context is not None:
        return await context.call_with(request, connection)
    from workflows.lib.safe_http import OutboundError, send_async

    try:
        return await send_async(request)
    except OutboundError as error:
        raise outbound_step_error(error) from error


def status_error(response: OutboundResponse, *, target: str, expected: str = "") -> StepError:
    """The fault for a status that is not wanted: what it means, and whether trying again can help (D13)."""
    status = response.status
    text = usable(response.text())
    wait = wait_asked_for(dict(response.headers), text)
    retryable = status in _PASSING or 500 <= status <= 599
    kind = (
        NoEffect if status in _DONE_NOTHING or (400 <= status < 500 and status not in _PASSING) else StepError
    )
    meaning = _MEANINGS.get(status) or ("had a fault of its own" if status >= 500 else f"answered {status}")
    code = "rate_limited" if status == 429 else f"http_{status // 100}xx"
    wanted = f" Expected: {expected}." if expected and status < 400 else ""
    return kind(
        f"{target} {meaning} ({status}).{wanted}"
        if status in _MEANINGS or status >= 500
        else f"{target} {meaning}.{wanted}",
        code=code,
        retryable=retryable,
        fault=Fault.OUTSIDE if retryable else Fault.AUTHOR,
        fix=None if retryable else _FIXES.get(status, "Look at the answer below, and correct the request."),
        detail=text[:2_000] or None,
        retry_after_s=wait if retryable else None,
    )


_MEANINGS: Final = {
    400: "does not accept the request",
    401: "wants a key",
    403: "does not allow this",
    404: "has nothing at this address",
    405: "does not take this method here",
    408: "took too long",
    409: "was busy with the same thing",
    410: "has nothing at this address any more",
    413: "says the request is too large",
    415: "does not take this kind of body",
    422: "does not accept the data",
    425: "asks to try later",
    429: "asks to slow down",
    502: "could not reach the server behind it",
    503: "is not available just now",
    504: "waited too long for the server behind it",
    529: "is overloaded",
}
_FIXES: Final = {
    401: "Name a connection that holds the key.",
    403: "Look at what the connection's key may do.",
    404: "Check the address.",
    410: "Check the address.",
}


def place_of(url: str) -> str:
    """The host, as sentences and the ledger name it."""
    from urllib.parse import urlsplit

    return urlsplit(url).netloc or url


# --- receipts -------------------------------------------------------------------------------------------


def receipt_of(response: OutboundResponse) -> JSONObject:
    """What the ledger keeps of an answer: enough to go on with it after a crash, if it is not too long."""
    text = response.text()
    whole = len(text) <= _RECEIPT_CHARS and usable(text) == text and "\ufffd" not in text
    return {
        "status": response.status,
        "url": response.url,
        "headers": shown_headers(response),
        "body": usable(text[:_RECEIPT_CHARS]),
        "whole": whole,
    }


def response_of(receipt: JSONObject) -> OutboundResponse:
    """The answer that a receipt keeps."""
    from workflows.lib.safe_http import OutboundResponse

    headers = {**receipt["headers"]}
    media = str(headers.get("content-type", "")).partition(";")[0]
    if media:
        headers["content-type"] = f"{media}; charset=utf-8"
    return OutboundResponse(
        status=receipt["status"],
        url=receipt["url"],
        headers=tuple((str(name), str(value)) for name, value in headers.items()),
        content=str(receipt["body"]).encode(),
    )


def shown_headers(response: OutboundResponse) -> JSONObject:
    """The answer's headers by name in small letters; cookies stay out, since they are keys."""
    found: dict[str, str] = {}
    for name, value in response.headers:
        key = name.lower()
        if key not in _PUT_AWAY:
            # Any byte may come; what no text may hold is taken out.
            clean = re.sub(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]", "", value)
            found[key] = f"{found[key]}, {clean}" if key in found else clean
    return dict(found)


def copy_of(request: OutboundRequest) -> JSONObject:
    """The request as a person may read it."""
    try:
        body = request.body.decode()
    except UnicodeDecodeError:
        body = f"({len(request.body):,} bytes)"
    return {
        "method": request.method,
        "url": request.url,
        "headers": {name: value for name, value in request.headers if name.lower() not in _NOT_COPIED},
        "body": body if len(body) <= _COPY_CHARS else f"{body[:_COPY_CHARS]}…",
    }


def notes_of(receipt: Receipt, sent: str) -> str:
    """A short fact about a delivery for the run page."""
    if receipt.status is DeliveryStatus.OUTBOX:
        return "Test run: kept in the outbox, not sent"
    if receipt.status is DeliveryStatus.SKIPPED:
        if receipt.detail:
            return "Not sent again: what came back before is kept"
        return "Not sent again: an earlier try may have got through"
    return "Sent by an earlier try; not sent again" if receipt.again else sent


def json_bytes(value: Any) -> bytes:
    """A value as the bytes of JSON: built, never pasted together."""
    return as_json(value).encode()
