"""The workspace's Slack: an incoming webhook that owners and admins enter, encrypted, and one post to it."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

from django.db import transaction

from workflows.lib.encryption import Secret
from workflows.lib.errors import Invalid, Problem
from workflows.lib.jsontypes import JSONObject
from workflows.lib.safe_http import OutboundError, OutboundRequest, send, url_fault
from workflows.tenancy import audit
from workflows.tenancy.actor import Actor
from workflows.tenancy.models import Tenant
from workflows.tenancy.roles import Permission


def set_slack_webhook(*, actor: Actor, url: str) -> Tenant:
    """Keep the address (write-only), or with an empty one forget it. Raises NotAllowed, Invalid."""
    actor.require(Permission.MANAGE_KEYS)
    url = url.strip()
    fault = url_fault(url) if url else None
    if not fault and url and urlsplit(url).scheme != "https":
        fault = "The address of a webhook begins with https://."
    if fault or len(url) > 500:
        message = fault or "The address is too long."
        raise Invalid(message, problems=(Problem("bad_url", message, field="url"),))
    tenant = actor.tenant
    with transaction.atomic():
        had = bool(tenant.slack_webhook)
        tenant.slack_webhook = Secret.of(url)
        tenant.save(update_fields=["slack_webhook"])
        if url or had:
            after = {"slack": "(changed)" if had else "(entered)"} if url else {"slack": ""}
            audit.record(actor, "changed", tenant, before={"slack": "(hidden)" if had else ""}, after=after)
    return tenant


def post_to_slack(tenant: Tenant, message: JSONObject) -> None:
    """Post once, over the guarded client. Raises OutboundError; `reached` says whether it may have got through."""
    address = tenant.slack_webhook.reveal()
    body = json.dumps(message, ensure_ascii=False).encode()
    headers = (("Content-Type", "application/json"),)
    answer = send(
        OutboundRequest(
            "POST", address, headers, body, follow=False, read_s=15.0, total_s=20.0, max_bytes=10_000
        )
    )
    if answer.status < 300:
        return
    # Slack answers in a word: no_service, invalid_token, channel_is_archived. It posts nothing then.
    said = " ".join(answer.text().split())[:80]
    if answer.status in (429, 503):
        wait = answer.header("retry-after")
        raise OutboundError(
            "Slack asks to wait.",
            code="slack_busy",
            retryable=True,
            retry_after_s=float(wait) if wait.isdigit() else None,
        )
    if answer.status >= 500:
        raise OutboundError(f"Slack failed ({answer.status}).", code="slack_failed", reached=True)
    raise OutboundError(
        f"Slack refuses the post ({answer.status}{f', {said}' if said else ''}).",
        code="slack_refused",
        fix="Enter the webhook's address anew under Connections.",
    )


def try_slack(*, actor: Actor) -> None:
    """Post a line that says that it works. Raises NotAllowed, Invalid (no address), OutboundError."""
    actor.require(Permission.MANAGE_KEYS)
    if not actor.tenant.slack_webhook:
        raise Invalid("There is no address yet.")
    post_to_slack(actor.tenant, {"text": f"Stepwell can write here. {actor.label} has tried it."})
