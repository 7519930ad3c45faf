"""Connections: entering, rotating and removing stored keys; putting one on a request, and taking it out of the answer."""

from __future__ import annotations

import asyncio
import base64
import re
from dataclasses import replace
from typing import Final
from urllib.parse import quote, quote_plus, urlencode, urlsplit, urlunsplit
from uuid import UUID

from django.db import IntegrityError, transaction

from workflows.lib.clock import utc_now
from workflows.lib.encryption import Secret, Undecipherable
from workflows.lib.errors import Conflict, Fault, Invalid, Problem
from workflows.lib.jsontypes import JSONObject
from workflows.lib.safe_http import (
    OutboundError,
    OutboundRequest,
    OutboundResponse,
    header_fault,
    send_async,
    url_fault,
)
from workflows.models import Connection, Step, Workflow
from workflows.steps.base import NoEffect, StepError
from workflows.steps.outward import outbound_step_error
from workflows.tenancy import audit
from workflows.tenancy.actor import Actor
from workflows.tenancy.roles import Permission

_HOST: Final = re.compile(
    r"(\*\.)?[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:\d{1,5})?|\[[0-9a-f:.]+\](:\d{1,5})?"
)
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,120}")
# A shorter one could stand in an answer by chance, and could not be taken out of it.
LEAST_CHARS: Final = 6
HIDDEN: Final = "(key)"


def save_connection(
    *,
    actor: Actor,
    connection: Connection | None = None,
    name: str = "",
    kind: str,
    label: str = "",
    secret: str = "",
    hosts: list[str],
    test_url: str = "",
) -> Connection:
    """Enter a connection, or change one; an empty `secret` keeps the stored one, a new one replaces it (rotation).

    The name stays, since steps refer to it; further hosts ask for the key again, so that who cannot read it cannot
    send it elsewhere. Raises Invalid, Conflict (`name_taken`).
    """
    actor.require(Permission.MANAGE_KEYS)
    row = connection or Connection(tenant=actor.tenant, name=name.strip(), created_by=actor.user)
    before = _facts(row) if connection is not None else None
    known, kind_before = set(row.hosts), row.kind
    row.kind, row.label, row.test_url = kind, label.strip(), test_url.strip()
    row.hosts = list(dict.fromkeys(host.strip().lower() for host in hosts if host.strip()))
    secret = secret.strip()
    problems = _problems(row, secret)
    elsewhere = set(row.hosts) - known or row.kind != kind_before
    if connection is not None and not secret and elsewhere:
        message = "The stored key was entered for other hosts. Enter it again for these."
        problems.append(Problem("key_needed", message, field="secret"))
    if connection is None and not secret:
        problems.append(Problem("required", "The key is missing.", field="secret"))
    if problems:
        raise Invalid(problems[0].message, problems=tuple(problems))
    if secret:
        row.secret, row.rotated_at = Secret.of(secret), utc_now()
    row.checked_at = row.checked_ok = None
    row.checked_words = ""
    try:
        with transaction.atomic():
            row.save()
            if before is None:
                audit.record(actor, "created", row, after=_facts(row))
            else:
                old, new = audit.changes(before, _facts(row))
                if secret:
                    old, new = {**old, "secret": "(hidden)"}, {**new, "secret": "(changed)"}
                audit.record(actor, "changed", row, before=old, after=new)
    except IntegrityError:
        raise Conflict(f"There is a connection named “{row.name}” already.", code="name_taken") from None
    return row


def delete_connection(*, actor: Actor, connection: Connection) -> None:
    """Remove a connection and its key for good; steps that name it fail with that reason."""
    actor.require(Permission.MANAGE_KEYS)
    with transaction.atomic():
        audit.record(actor, "deleted", connection, before=_facts(connection))
        connection.delete()


def check_connection(*, actor: Actor, connection: Connection) -> Connection:
    """Call the test address with the key, and keep what came of it. It takes up to 15 s. Raises Invalid without one."""
    actor.require(Permission.MANAGE_KEYS)
    if not connection.test_url:
        message = "Name an address to test first."
        raise Invalid(message, problems=(Problem("required", message, field="test_url"),))
    request = OutboundRequest("GET", connection.test_url, total_s=15, read_s=15, max_bytes=200_000)
    try:
        answer = asyncio.run(send_with(connection, request))
        ok, words = answer.status < 400, f"{urlsplit(connection.test_url).netloc} answered {answer.status}."
    except StepError as error:
        ok, words = False, error.message
    connection.checked_at, connection.checked_ok, connection.checked_words = utc_now(), ok, words[:500]
    connection.save(update_fields=["checked_at", "checked_ok", "checked_words"])
    return connection


def used_by(connections: list[Connection]) -> dict[UUID, list[Workflow]]:
    """The workflows whose drafts name each connection. One query for all."""
    names = {row.name.lower(): row.pk for row in connections}
    found: dict[UUID, dict[UUID, Workflow]] = {row.pk: {} for row in connections}
    if not names:
        return {}
    steps = Step.objects.filter(
        tenant_id=connections[0].tenant_id,
        type__in=("http_request", "webhook"),
        workflow__deleted_at__isnull=True,
    )
    for step in steps.select_related("workflow").only("config", "workflow__name"):
        pk = names.get(str(step.config.get("connection") or "").strip().lower())
        if pk is not None:
            found[pk][step.workflow_id] = step.workflow
    return {pk: list(rows.values()) for pk, rows in found.items()}


# --- on a request ----------------------------------------------------------------------------------


def connection_named(tenant_id: UUID, name: str) -> Connection:
    """The tenant's connection of this name. Raises NoEffect."""
    found = Connection.objects.filter(tenant_id=tenant_id, name__iexact=name.strip()).first()
    if found is None:
        raise NoEffect(
            f"There is no connection “{name}” in this workspace.",
            code="no_connection",
            field="connection",
            fix="Enter it under Connections, or choose another.",
        )
    return found


async def send_with(connection: Connection, request: OutboundRequest) -> OutboundResponse:
    """One guarded call with the connection's key, which no answer and no error shows. Raises StepError.

    No redirect is followed to another address than the key's hosts: the client leaves the headers behind, and a key in
    the address is not passed on.
    """
    host = _host_of(request.url)
    if not any(_takes_in(pattern, host, urlsplit(request.url).scheme) for pattern in connection.hosts):
        raise NoEffect(
            f"The connection “{connection.name}” may not be sent to {host}.",
            code="host_not_allowed",
            field="connection",
            fix="An owner or admin can add the host under Connections.",
        )
    try:
        secret = connection.secret.reveal()
    except Undecipherable as error:
        raise NoEffect(error.message, code="bad_key", fault=Fault.OUTSIDE, field="connection") from error
    authorized, shown = _authorized(connection, request, secret)
    try:
        return _clean_response(await send_async(authorized), shown)
    except OutboundError as error:
        found = outbound_step_error(error)
        raise _clean_error(found, shown) from None


def _authorized(
    connection: Connection, request: OutboundRequest, secret: str
) -> tuple[OutboundRequest, tuple[str, ...]]:
    """The request with the key, and every spelling in which the key could come back."""
    shown = [secret, quote(secret, safe=""), quote_plus(secret)]
    url, name, value = request.url, "Authorization", f"Bearer {secret}"
    if connection.kind == Connection.Kind.BASIC:
        pair = base64.b64encode(f"{connection.label}:{secret}".encode()).decode()
        value = f"Basic {pair}"
        shown.append(pair)
    elif connection.kind == Connection.Kind.HEADER:
        name, value = connection.label, secret
    elif connection.kind == Connection.Kind.QUERY:
        parts = urlsplit(url)
        pair = urlencode({connection.label: secret})
        url = urlunsplit(parts._replace(query=f"{parts.query}&{pair}" if parts.query else pair))
        return replace(request, url=url, follow=False), _longest_first(shown)
    headers = tuple((key, text) for key, text in request.headers if key.lower() != name.lower())
    return replace(request, url=url, headers=(*headers, (name, value))), _longest_first(shown)


def _longest_first(shown: list[str]) -> tuple[str, ...]:
    return tuple(sorted(set(shown), key=len, reverse=True))


def _clean(text: str, shown: tuple[str, ...]) -> str:
    for spelling in shown:
        text = text.replace(spelling, HIDDEN)
    return text


def _clean_response(response: OutboundResponse, shown: tuple[str, ...]) -> OutboundResponse:
    content = response.content
    for spelling in shown:
        content = content.replace(spelling.encode(), HIDDEN.encode())
    return replace(
        response,
        url=_clean(response.url, shown),
        headers=tuple((name, _clean(value, shown)) for name, value in response.headers),
        content=content,
        hops=tuple(_clean(hop, shown) for hop in response.hops),
    )


def _clean_error(error: StepError, shown: tuple[str, ...]) -> StepError:
    info = error.info
    return type(error)(
        _clean(info.message, shown),
        code=info.code,
        retryable=info.retryable,
        fault=info.fault,
        field=info.field,
        fix=info.fix,
        detail=_clean(info.detail, shown) if info.detail else None,
        retry_after_s=info.retry_after_s,
    )


def _host_of(url: str) -> str:
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    return host if parts.port is None else f"{host}:{parts.port}"


def _takes_in(pattern: str, host: str, scheme: str) -> bool:
    """`example.com` means its usual port; a key goes out unencrypted only where a port says so (`lab:8080`)."""
    if pattern.startswith("*."):
        return scheme == "https" and host.endswith(pattern[1:])
    if pattern.endswith(":443") and scheme == "https":
        pattern = pattern.removesuffix(":443")
    usual = ":" not in pattern.rpartition("]")[2]
    return pattern == host and (scheme == "https" or not usual)


def _problems(row: Connection, secret: str) -> list[Problem]:
    found: list[Problem] = []
    if not row.name:
        found.append(Problem("required", "A connection needs a name.", field="name"))
    if not row.hosts:
        found.append(Problem("required", "Say to which hosts the key may go.", field="hosts"))
    for host in row.hosts:
        if not _HOST.fullmatch(host):
            message = f"“{host[:60]}” is no host. Write api.example.com, lab.lan:8080 or *.example.com."
            found.append(Problem("bad_host", message, field="hosts"))
    if row.kind != Connection.Kind.BEARER and not row.label:
        what = {"basic": "user name", "header": "header's name", "query": "parameter's name"}.get(
            row.kind, "name"
        )
        found.append(Problem("required", f"The {what} is missing.", field="label"))
    elif row.kind == Connection.Kind.HEADER and not _NAME.fullmatch(row.label):
        found.append(Problem("bad_name", f"“{row.label[:60]}” is no name of a header.", field="label"))
    if secret and len(secret) < LEAST_CHARS:
        message = f"The key has at least {LEAST_CHARS} signs."
        found.append(Problem("bad_value", message, field="secret"))
    if secret and (fault := header_fault("X-Key", secret)):
        found.append(Problem("bad_value", fault, field="secret"))
    if row.test_url and (fault := url_fault(row.test_url)):
        found.append(Problem("bad_url", fault, field="test_url"))
    return found


def _facts(row: Connection) -> JSONObject:
    return {
        "name": row.name,
        "kind": row.kind,
        "label": row.label,
        "hosts": list(row.hosts),
        "test_url": row.test_url,
    }
