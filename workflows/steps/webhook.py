"""Tells another system what has happened: a signed POST of data of the run."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from django import forms

from workflows.definition.graph import StepDef
from workflows.definition.retry import THREE_TIMES
from workflows.expressions.names import MISSING
from workflows.lib.errors import Problem
from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.steps.base import (
    Completed,
    DeliveryStatus,
    Effect,
    ExecutionKind,
    Group,
    OnUnknown,
    Outcome,
    StepContext,
    StepType,
)
from workflows.steps.fields import ChoiceField, TemplateField, TextField, filled
from workflows.steps.outward import (
    HeadersField,
    NamedValuesField,
    call,
    connection_field,
    copy_of,
    headers_of,
    json_bytes,
    notes_of,
    on_unknown_field,
    place_of,
    receipt_of,
    status_error,
    timeout_field,
    url_of,
)
from workflows.steps.registry import register
from workflows.steps.values import check_output, clip, value_of
from workflows.steps.words import address_words

if TYPE_CHECKING:
    from workflows.lib.safe_http import OutboundRequest

_PREVIOUS: Final = "previous"
_DATA: Final = (
    (_PREVIOUS, "The result of the step before"),
    ("context", "Everything: input, variables, all results"),
    ("fields", "Fields"),
)


@register
class WebhookStep(StepType):
    """Posts data of the run to an address, signed, so that the receiver can prove who sent it. The signature and the
    headers follow Standard Webhooks; the workspace's secret comes from `manage.py webhook_secret`."""

    name, label, icon, group = "webhook", "Webhook", "webhook", Group.DO
    tagline = "Tell another system"
    aliases = ("webhook_out", "call_webhook")
    is_outward = True
    default_retry = THREE_TIMES

    class ConfigForm(forms.Form):
        url = TemplateField(
            label="Address",
            help_text="https://… with {{ … }}. It gets a POST; redirects are not followed.",
            section="Request",
            rows=1,
            required=True,
            placeholder="https://example.com/hooks/orders",
        )
        connection = connection_field()
        event = TextField(
            label="Name of the event",
            help_text="Stands in the message as its type.",
            section="Message",
            initial="step.reached",
            max_length=120,
        )
        send = ChoiceField(label="Data", choices=_DATA, section="Message", other_names=("data",))
        fields = NamedValuesField(  # type: ignore[assignment] # a setting, not the form's own list
            label="Fields",
            help_text="Each is text with {{ … }}, or an expression after =. A single reference keeps its type.",
            section="Message",
            shown_when=("send", ("fields",)),
        )
        headers = HeadersField(label="Headers", names="Header", section="Request", more=True)
        timeout = timeout_field(20)
        on_unknown = on_unknown_field(OnUnknown.REPEAT, "Request")

    def kind(self, config: JSONObject) -> ExecutionKind:
        return ExecutionKind.ASYNC

    def adopt(self, config: JSONObject) -> JSONObject:
        return (
            {**config, "send": "fields"}
            if config.get("fields") and not {"send", "data"} & set(config)
            else config
        )

    def summary(self, config: JSONObject) -> str:
        url = str(config.get("url") or "")
        return clip(f"Posts to {address_words(url)}", 80) if url.strip() else "No address yet"

    def output_fields(self, config: JSONObject) -> tuple[tuple[str, str], ...]:
        return (("content", "string"), ("status", "number"), ("id", "string"), ("delivery", "string"))

    def check(self, step: StepDef) -> tuple[Problem, ...]:
        problems = []
        url = str(step.config.get("url") or "").strip()
        if url and "{{" not in url:
            from workflows.lib.safe_http import url_fault

            fault = url_fault(url)
            if fault:
                problems.append(
                    Problem("bad_url", fault, field="url", fix="Write it as https://example.com/path.")
                )
        if step.config.get("send") == "fields" and not step.config.get("fields"):
            problems.append(
                Problem(
                    "required",
                    "The data is to be fields, and there are none.",
                    field="fields",
                    fix="Add fields.",
                )
            )
        return tuple(problems)

    async def execute_async(self, context: StepContext) -> Outcome:
        """The receiver's answer as `content`, with `status`, the message's `id`, and what became of it. Raises StepError."""
        setting = filled(self.ConfigForm, context.config)
        message_id = message_id_of(context.idempotency_key)
        request = self._request(context, setting, message_id)
        target = place_of(request.url)

        async def act() -> JSONObject:
            response = await call(request, context, setting["connection"])
            if not 200 <= response.status <= 299:
                # A redirect is no delivery: the signed message may go nowhere but where the author said.
                raise status_error(response, target=target, expected="200-299")
            return {**receipt_of(response), "id": message_id}

        effect = Effect("webhook", f"POST {target}", copy_of(request), OnUnknown(setting["on_unknown"]))
        receipt = await context.deliver(effect, act)
        output: JSONObject = {
            "content": str(receipt.detail.get("body") or ""),
            "status": receipt.detail.get("status"),
            "id": receipt.detail.get("id", message_id),
            "delivery": receipt.status.value,
        }
        status = output["status"] if receipt.status is DeliveryStatus.SENT else ""
        return Completed(check_output(output), notes=notes_of(receipt, f"Delivered ({status})"))

    def _request(self, context: StepContext, setting: JSONObject, message_id: str) -> OutboundRequest:
        from workflows.lib.safe_http import OutboundRequest

        # The run's start, not the time of this try: every try sends the same bytes.
        body = json_bytes(
            {
                "id": message_id,
                "type": setting["event"] or "step.reached",
                "timestamp": context.run.started_at.isoformat(),
                "run": {"id": context.run.id, "test": context.run.is_test},
                "step": context.step.label,
                "data": self._data(context, setting),
            }
        )
        at = int(context.now.timestamp())
        headers = [
            *headers_of(context, setting["headers"]),
            ("Content-Type", "application/json"),
            ("webhook-id", message_id),
            ("webhook-timestamp", str(at)),
            ("webhook-signature", context.sign(message_id, at, body)),
            ("Idempotency-Key", context.idempotency_key or message_id),
        ]
        seconds = float(setting["timeout"] or 20)
        return OutboundRequest(
            "POST",
            url_of(context, setting["url"], field="url"),
            _last_of_each(headers),
            body,
            follow=False,
            read_s=seconds,
            connect_s=min(10.0, seconds),
            total_s=seconds,
            max_bytes=200_000,
            max_decoded_bytes=200_000,
        )

    def _data(self, context: StepContext, setting: JSONObject) -> JSONValue:
        if setting["send"] == "fields":
            return value_of(context, setting["fields"], field="fields")
        if setting["send"] == "context":
            scope = context.scope
            return {
                "input": None if scope.input is MISSING else scope.input,
                "vars": {} if scope.vars is MISSING else scope.vars,
                "steps": dict(scope.steps),
            }
        return None if context.previous is MISSING else context.previous


def message_id_of(key: str) -> str:
    """The message's id, the same on every try; without the signs that the signature puts between its parts."""
    return f"msg_{hashlib.sha256(key.encode()).hexdigest()[:32]}"


def _last_of_each(headers: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Each header once: an author's may not stand beside ours of the same name."""
    return tuple({name.lower(): (name, value) for name, value in headers}.values())
