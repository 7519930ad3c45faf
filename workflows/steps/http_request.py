"""Calls an address of the web and gives the answer on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode, urlsplit, urlunsplit

from django import forms

from workflows.definition.graph import StepDef
from workflows.definition.retry import THREE_TIMES
from workflows.expressions.errors import PathError, TextError
from workflows.expressions.names import Scope
from workflows.expressions.paths import parse_path, resolve
from workflows.lib.errors import Fault, Problem
from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.steps.base import (
    Completed,
    DeliveryStatus,
    Effect,
    ExecutionKind,
    Group,
    NoEffect,
    OnUnknown,
    Outcome,
    Receipt,
    StepContext,
    StepError,
    StepType,
)
from workflows.steps.fields import (
    ChoiceField,
    ExpressionField,
    MappingField,
    NumberField,
    TemplateField,
    TextField,
    filled,
)
from workflows.steps.outward import (
    SAFE_METHODS,
    HeadersField,
    NamedValuesField,
    call,
    connection_field,
    copy_of,
    headers_of,
    json_bytes,
    notes_of,
    on_unknown_field,
    parameters_of,
    place_of,
    receipt_of,
    response_of,
    shown_headers,
    status_error,
    timeout_field,
    url_of,
)
from workflows.steps.registry import register
from workflows.steps.values import check_output, clip, expression_value, text_of, usable, value_of
from workflows.steps.words import address_words

if TYPE_CHECKING:
    from workflows.lib.safe_http import OutboundRequest, OutboundResponse

_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
_WITH_BODY: Final = ("POST", "PUT", "PATCH", "DELETE")
_BODIES: Final = (
    ("none", "Nothing"),
    ("fields", "JSON, from fields"),
    ("expression", "JSON, from an expression"),
    ("form", "A form, from fields"),
    ("text", "A text"),
)
_READ_AS: Final = (
    ("auto", "By its kind"),
    ("json", "JSON"),
    ("text", "Text"),
    ("none", "Not at all, only status and headers"),
)
_OWN: Final = frozenset({"content", "status", "headers", "json", "delivery"})
_MEGABYTE: Final = 1_000_000


@register
class HttpRequestStep(StepType):
    """Calls a public address of the web and gives its answer on as data or text. Keys stand in connections, which are
    named here: settings are no place for a key."""

    name, label, icon, group = "http_request", "HTTP request", "globe", Group.DO
    tagline = "Call a web address"
    aliases = ("http", "api_call", "rest")
    is_outward = True
    default_retry = THREE_TIMES

    class ConfigForm(forms.Form):
        method = ChoiceField(
            label="Method", choices=tuple((name, name) for name in _METHODS), section="Request"
        )
        url = TemplateField(
            label="Address",
            help_text="https://… with {{ … }}. Inserted values are escaped; only one at the very start may be a whole address.",
            section="Request",
            rows=1,
            required=True,
            placeholder="https://api.example.com/orders/{{input.id}}",
        )
        connection = connection_field()
        query = NamedValuesField(
            label="Query",
            help_text="Added to the address. A list gives one entry for each.",
            section="Request",
        )
        headers = HeadersField(label="Headers", names="Header", section="Request", more=True)
        body = ChoiceField(label="Body", choices=_BODIES, section="Body", shown_when=("method", _WITH_BODY))
        body_fields = NamedValuesField(
            label="Fields",
            help_text="Each is text with {{ … }}, or an expression after =. A single reference keeps its type.",
            section="Body",
            shown_when=("body", ("fields", "form")),
        )
        body_expression = ExpressionField(
            label="Expression",
            help_text="Its value is sent as JSON.",
            section="Body",
            shown_when=("body", ("expression",)),
        )
        body_text = TemplateField(label="Text", section="Body", rows=4, shown_when=("body", ("text",)))
        content_type = TextField(
            label="Kind of text",
            help_text="The Content-Type, for example text/csv.",
            section="Body",
            initial="text/plain; charset=utf-8",
            shown_when=("body", ("text",)),
            more=True,
        )
        read_as = ChoiceField(
            label="Read the answer",
            choices=_READ_AS,
            section="Answer",
            other_names=("response_type",),
            more=True,
        )
        expected = TextField(
            label="Good statuses",
            help_text="Numbers and ranges with commas between. Every other status is an error.",
            section="Answer",
            initial="200-299",
            other_names=("expected_status", "expected_statuses"),
            more=True,
        )
        response_mapping = MappingField(
            label="Keep as fields",
            help_text="A name, and the part of the answer that it takes: json.data[0].id, headers.etag or status.",
            names="Field",
            values="Part",
            plain=True,
            section="Answer",
        )
        max_size = NumberField(
            label="Longest answer",
            unit="MB",
            section="Answer",
            whole=False,
            least=0.001,
            most=7,
            step=0.5,
            initial=2,
            more=True,
        )
        timeout = timeout_field()
        on_unknown = on_unknown_field(OnUnknown.REPEAT, "Request")

    def kind(self, config: JSONObject) -> ExecutionKind:
        return ExecutionKind.ASYNC

    def adopt(self, config: JSONObject) -> JSONObject:
        # `get` is what people write, and a filled-in body says which kind it is.
        method = config.get("method")
        found = {**config, "method": method.upper()} if isinstance(method, str) else dict(config)
        if "body" not in found:
            given = [kind for kind in ("fields", "expression", "text") if found.get(f"body_{kind}")]
            if len(given) == 1:
                found["body"] = given[0]
        return found

    def summary(self, config: JSONObject) -> str:
        url = str(config.get("url") or "")
        return (
            clip(f"{config.get('method', 'GET')} {address_words(url)}", 80)
            if url.strip()
            else "No address yet"
        )

    def output_fields(self, config: JSONObject) -> tuple[tuple[str, str], ...]:
        own = (("content", "string"), ("status", "number"), ("headers", "object"), ("json", "any"))
        return (*own, *((name, "any") for name in config.get("response_mapping") or {} if name not in _OWN))

    def check(self, step: StepDef) -> tuple[Problem, ...]:
        config = step.config
        problems = []
        try:
            statuses(config.get("expected", "200-299"))
        except ValueError as error:
            problems.append(
                Problem("bad_status", str(error), field="expected", fix="Write for example: 200-299, 404.")
            )
        url = str(config.get("url") or "").strip()
        if url and "{{" not in url:
            from workflows.lib.safe_http import url_fault

            fault = url_fault(url)
            if fault:
                problems.append(
                    Problem("bad_url", fault, field="url", fix="Write it as https://example.com/path.")
                )
        for name, path in (config.get("response_mapping") or {}).items():
            if name in _OWN:
                problems.append(
                    Problem(
                        "bad_name",
                        f"The field “{name}” is there already.",
                        field=f"response_mapping.{name}",
                        fix="Give it another name.",
                    )
                )
            try:
                parse_path(f"input.{path}")
            except PathError as error:
                problems.append(
                    Problem(
                        "bad_reference",
                        f"The field “{name}” takes “{path}”, which is no part of an answer: {error.message}",
                        field=f"response_mapping.{name}",
                        fix="Write for example json.data[0].id.",
                    )
                )
        return tuple(problems)

    async def execute_async(self, context: StepContext) -> Outcome:
        """The answer: `status`, `headers`, its text as `content`, and `json` where it is JSON. Raises StepError."""
        setting = filled(self.ConfigForm, context.config)
        good = self._good(setting)
        request = self._request(context, setting)
        if request.method in SAFE_METHODS:
            response = await call(request, context, setting["connection"])
            receipt = Receipt(DeliveryStatus.SENT)
        else:
            receipt, at_hand = await self._delivered(context, setting, request, good)
            # Left out because an earlier round has sent it: that answer is the step's.
            kept = receipt.status is DeliveryStatus.SKIPPED and "status" in receipt.detail
            if receipt.status is not DeliveryStatus.SENT and not kept:
                return Completed(
                    {"content": "", "status": None, "headers": {}, "delivery": receipt.status.value},
                    notes=notes_of(receipt, ""),
                )
            # A receipt may hold a part only of an answer that is at hand as a whole.
            response = at_hand or response_of(receipt.detail)
        if response.status not in good:
            raise status_error(response, target=place_of(request.url), expected=setting["expected"])
        output = self._output(setting, response, request)
        if receipt.status is DeliveryStatus.SKIPPED:
            output["delivery"] = receipt.status.value
        for name, path in setting["response_mapping"].items():
            output[name] = _part(output, name, path)
        size = len(str(output["content"]))
        notes = notes_of(receipt, f"{response.status}, {size:,} characters")
        return Completed(check_output(output), notes=notes)

    async def _delivered(
        self, context: StepContext, setting: JSONObject, request: OutboundRequest, good: frozenset[int]
    ) -> tuple[Receipt, OutboundResponse | None]:
        """The request through the ledger, with the answer if this try got one.

        A bad status is raised inside, so that it does not count as delivered.
        """
        target = place_of(request.url)
        whole: list[OutboundResponse] = []

        async def act() -> JSONObject:
            response = await call(request, context, setting["connection"])
            if response.status >= 400 and response.status not in good:
                raise status_error(response, target=target)
            whole.append(response)
            return receipt_of(response)

        effect = Effect(
            "http", f"{request.method} {target}", copy_of(request), OnUnknown(setting["on_unknown"])
        )
        receipt = await context.deliver(effect, act)
        return receipt, whole[0] if whole else None

    def _good(self, setting: JSONObject) -> frozenset[int]:
        try:
            return statuses(setting["expected"])
        except ValueError as error:
            raise NoEffect(
                str(error), code="bad_status", field="expected", fix="Write for example: 200-299, 404."
            ) from error

    def _request(self, context: StepContext, setting: JSONObject) -> OutboundRequest:
        from workflows.lib.safe_http import OutboundRequest

        method = setting["method"]
        url = with_query(
            url_of(context, setting["url"], field="url"),
            parameters_of(context, setting["query"], field="query"),
        )
        headers = headers_of(context, setting["headers"])
        body, content_type = b"", ""
        if method in _WITH_BODY:
            body, content_type = self._body(context, setting)
        named = {name.lower() for name, _ in headers}
        if content_type and "content-type" not in named:
            headers.append(("Content-Type", content_type))
        if method not in SAFE_METHODS and context.idempotency_key and "idempotency-key" not in named:
            headers.append(("Idempotency-Key", context.idempotency_key))
        size = int(setting["max_size"] * _MEGABYTE) if setting["max_size"] else 2 * _MEGABYTE
        seconds = float(setting["timeout"] or 30)
        return OutboundRequest(
            method,
            url,
            tuple(headers),
            body,
            read_s=seconds,
            connect_s=min(10.0, seconds),
            total_s=seconds,
            max_bytes=size,
            max_decoded_bytes=size,
        )

    def _body(self, context: StepContext, setting: JSONObject) -> tuple[bytes, str]:
        kind = setting["body"]
        if kind == "fields":
            return json_bytes(
                value_of(context, setting["body_fields"], field="body_fields")
            ), "application/json"
        if kind == "expression":
            value = expression_value(setting["body_expression"], context.scope, field="body_expression")
            return json_bytes(value), "application/json"
        if kind == "form":
            pairs = parameters_of(context, setting["body_fields"], field="body_fields")
            return urlencode(pairs).encode(), "application/x-www-form-urlencoded"
        if kind == "text":
            text = text_of(context, setting["body_text"], field="body_text")
            return usable(text).encode(), setting["content_type"] or "text/plain; charset=utf-8"
        return b"", ""

    def _output(
        self, setting: JSONObject, response: OutboundResponse, request: OutboundRequest
    ) -> JSONObject:
        output: JSONObject = {"content": "", "status": response.status, "headers": shown_headers(response)}
        if setting["read_as"] == "none" or request.method == "HEAD":
            return output
        media = response.content_type
        is_json = media == "application/json" or media.endswith("+json")
        if setting["read_as"] != "json" and _is_binary(media, response.content):
            raise StepError(
                f"{place_of(request.url)} answered with {media or 'bytes'}, which is no text.",
                code="binary_answer",
                fault=Fault.OUTSIDE,
                field="read_as",
                fix="Read the answer not at all, or call another address.",
            )
        text = usable(response.text())
        output["content"] = text
        if setting["read_as"] == "json" or (setting["read_as"] == "auto" and is_json and text.strip()):
            output["json"] = _json(text, place_of(request.url))
        return output


def with_query(url: str, pairs: list[tuple[str, str]]) -> str:
    """The address with parameters added to those that it has."""
    if not pairs:
        return url
    parts = urlsplit(url)
    added = urlencode(pairs)
    return urlunsplit(parts._replace(query=f"{parts.query}&{added}" if parts.query else added))


def statuses(text: str) -> frozenset[int]:
    """The statuses in “200-299, 404”. Raises ValueError with a sentence."""
    found: set[int] = set()
    for part in (part.strip() for part in text.split(",")):
        if not part:
            continue
        low, dash, high = (piece.strip() for piece in part.partition("-"))
        if not low.isdecimal() or (dash and not high.isdecimal()):
            raise ValueError(f"“{part[:40]}” is no status.")
        first, last = int(low), int(high or low)
        if not 100 <= first <= last <= 599:
            raise ValueError(f"“{part[:40]}” is no status: they go from 100 to 599.")
        found |= set(range(first, last + 1))
    return frozenset(found or range(200, 300))


def _is_binary(media: str, content: bytes) -> bool:
    if media.startswith(("image/", "audio/", "video/", "font/")) and media != "image/svg+xml":
        return True
    # Text of two bytes a sign holds NULs; who says that it is text is believed.
    says_text = media.startswith("text/") or media.endswith(("json", "xml"))
    return not says_text and b"\0" in content[:4_096]


def _json(text: str, place: str) -> JSONValue:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise StepError(
            f"{place} answered with what should be JSON and is none.",
            code="invalid_json",
            retryable=True,
            fault=Fault.OUTSIDE,
            field="read_as",
            fix="Read the answer as text, and look at what comes.",
            detail=text[:2_000],
        ) from error


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _part(output: JSONObject, name: str, path: str) -> JSONValue:
    try:
        return resolve(parse_path(f"input.{path}"), Scope(input=output))
    except TextError as error:
        raise StepError(
            f"The answer has no “{path}”, which the field “{name}” takes.",
            code="not_in_answer",
            fault=Fault.OUTSIDE,
            field=f"response_mapping.{name}",
            fix="Look at the answer, and correct the part.",
            detail=str(output["content"])[:2_000],
        ) from error
