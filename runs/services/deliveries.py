"""The shell's side of outward acts: once per key, with a copy and a receipt; test runs write to the outbox instead."""

from __future__ import annotations

import asyncio
import hashlib
import smtplib
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import BadHeaderError, EmailMultiAlternatives, get_connection
from django.db import IntegrityError, close_old_connections, transaction

from runs.models import Delivery
from runs.services.effect_questions import ask_about
from runs.services.values import error_info, error_json
from workflows.lib.clock import utc_now
from workflows.lib.errors import Fault
from workflows.lib.jsontypes import JSONObject
from workflows.lib.safe_http import OutboundRequest, OutboundResponse
from workflows.lib.signing import webhook_signature
from workflows.services.connections import connection_named, send_with
from workflows.steps.base import Act, DeliveryStatus, Effect, Email, NoEffect, OnUnknown, Receipt, StepError

if TYPE_CHECKING:
    from runs.services.execute_step import Work

T = TypeVar("T")

_THREADS = 4
_TARGET_CHARS = 500


class Ledger:
    """The outward acts of one try. The n-th act of a try has the same key as the n-th of every other try."""

    def __init__(self, work: Work, key: str) -> None:
        self._work = work
        self._key = key
        self._acts = 0

    async def deliver(self, effect: Effect, act: Act) -> Receipt:
        """See StepContext. Raises AskEffect where a person is to decide first."""
        key = self._key if self._acts == 0 else f"{self._key}:{self._acts}"
        self._acts += 1
        delivery, known = await _in_thread(lambda: begin(self._work, key, effect))
        if known is not None:
            return known
        try:
            detail = await act()
        except Exception as error:
            # Cancelled or crashed: the row stays as it is, unknown.
            status = Delivery.Status.FAILED if isinstance(error, NoEffect) else Delivery.Status.UNKNOWN
            fault = error_json(error_info(error))
            await _in_thread(lambda: _settle(delivery, status, error=fault))
            raise
        # A receipt that is in hand is written, whatever becomes of the try.
        await asyncio.shield(
            asyncio.ensure_future(_in_thread(lambda: _settle(delivery, Delivery.Status.SENT, receipt=detail)))
        )
        return Receipt(DeliveryStatus.SENT, detail)

    async def send_email(self, email: Email) -> Receipt:
        """Send one mail through Django's mail, through the ledger."""
        message_id = message_id_of(self._key if self._acts == 0 else f"{self._key}:{self._acts}")
        copy: JSONObject = {
            "from": settings.DEFAULT_FROM_EMAIL,
            "to": list(email.to),
            "subject": email.subject,
            "text": email.text,
            "html": email.html,
            "reply_to": email.reply_to,
            "message_id": message_id,
        }
        effect = Effect("email", ", ".join(email.to), copy, email.on_unknown)

        async def act() -> JSONObject:
            await asyncio.get_running_loop().run_in_executor(_pool(), send_mail, email, message_id)
            return {"message_id": message_id, "accepted_at": utc_now().isoformat()}

        return await self.deliver(effect, act)

    async def call_with(self, request: OutboundRequest, connection: str) -> OutboundResponse:
        """One guarded call with the key of the tenant's connection of this name. Raises StepError."""
        tenant_id = self._work.tenant_id
        assert tenant_id is not None
        return await send_with(await _in_thread(lambda: connection_named(tenant_id, connection)), request)

    def sign(self, message_id: str, at: int, body: bytes) -> str:
        """The signature header of a webhook by the tenant's key."""
        return webhook_signature(self._work.tenant_id, message_id, at, body)


def begin(work: Work, key: str, effect: Effect) -> tuple[Delivery, Receipt | None]:
    """The act's row before it is made, and the receipt that already settles it, if there is one."""
    assert work.tenant_id is not None
    now = utc_now()
    to_outbox = work.facts.is_test
    fresh = Delivery(
        tenant_id=work.tenant_id,
        run_id=work.run_id,
        step_run_id=work.task.step_run,
        key=key,
        kind=effect.kind,
        target=effect.target[:_TARGET_CHARS],
        status=Delivery.Status.OUTBOX if to_outbox else Delivery.Status.UNKNOWN,
        copy=effect.copy,
        settled_at=now if to_outbox else None,
    )
    try:
        with transaction.atomic():
            fresh.save(force_insert=True)
    except IntegrityError:
        found = Delivery.objects.get(run_id=work.run_id, key=key)
        return found, _known(found, work, effect)
    if to_outbox:
        return fresh, Receipt(DeliveryStatus.OUTBOX, _outbox_detail(effect))
    return fresh, _of_earlier_round(fresh, work, effect)


def _of_earlier_round(fresh: Delivery, work: Work, effect: Effect) -> Receipt | None:
    """A new round has a new key, by which no receiver knows it for a copy. What has a receipt from an earlier round is
    asked about, however the step treats doubt (07 §4); doubt itself is what its policy is about."""
    if work.task.round == 0:
        return None
    earlier = _earlier(work, effect)
    if earlier is None:
        return None
    if effect.on_unknown is OnUnknown.REPEAT and earlier.status != Delivery.Status.SENT:
        return None
    if effect.on_unknown is OnUnknown.SKIP:
        _change(fresh, status=Delivery.Status.SKIPPED, settled_at=utc_now())
        return _skipped(work, effect)
    _change(fresh, status=Delivery.Status.FAILED, asked_at=utc_now())
    raise ask_about(fresh, earlier, effect)


def _earlier(work: Work, effect: Effect) -> Delivery | None:
    """What the same step has sent in an earlier round, newest first; else what it may have sent."""
    rows = Delivery.objects.filter(
        run_id=work.run_id,
        step_run__step_key=work.task.place.key,
        step_run__scope=work.task.place.scope,
        step_run__round__lt=work.task.round,
        kind=effect.kind,
    ).order_by("-step_run__round")
    doubt = (Delivery.Status.UNKNOWN, Delivery.Status.SKIPPED)
    return rows.filter(status=Delivery.Status.SENT).first() or rows.filter(status__in=doubt).first()


def _skipped(work: Work, effect: Effect) -> Receipt:
    """Nothing goes out; where an earlier round has its receipt, the step goes on with that."""
    earlier = _earlier(work, effect) if work.task.round else None
    receipt: JSONObject = (earlier.receipt if earlier is not None else None) or {}
    return Receipt(DeliveryStatus.SKIPPED, receipt if receipt.get("whole", True) else {}, again=True)


def _known(found: Delivery, work: Work, effect: Effect) -> Receipt | None:
    """What an earlier try has left: a receipt, or None when the act is to be made (again)."""
    if found.status == Delivery.Status.OUTBOX:
        return Receipt(DeliveryStatus.OUTBOX, _outbox_detail(effect), again=True)
    if found.status == Delivery.Status.SKIPPED:
        return _skipped(work, effect)
    receipt: JSONObject = found.receipt or {}
    if found.status == Delivery.Status.SENT and receipt.get("whole", True):
        return Receipt(DeliveryStatus.SENT, receipt, again=True)
    unsure = found.status != Delivery.Status.FAILED
    if unsure and effect.on_unknown is OnUnknown.SKIP:
        _change(found, status=Delivery.Status.SKIPPED, settled_at=utc_now())
        return _skipped(work, effect)
    # Asked already and not answered: the worker stopped before the question stood.
    asks = found.asked_at is not None or (unsure and effect.on_unknown is OnUnknown.ASK)
    if asks and not found.resend:
        _change(found, asked_at=found.asked_at or utc_now())
        raise ask_about(found, found if unsure else _earlier(work, effect) or found, effect)
    # A person has said so, the policy says repeat, or surely nothing was sent: the same key goes out once more.
    _change(
        found,
        status=Delivery.Status.UNKNOWN,
        copy=effect.copy,
        receipt=None,
        tries=found.tries + 1,
        tried_at=utc_now(),
        asked_at=None,
        resend=False,
    )
    return None


def _outbox_detail(effect: Effect) -> JSONObject:
    return {"message_id": effect.copy["message_id"]} if "message_id" in effect.copy else {}


def _change(found: Delivery, **values: Any) -> None:
    """One conditional update: of two workers that hold the same try, one goes on."""
    seen = Delivery.objects.filter(
        pk=found.pk, status=found.status, tries=found.tries, asked_at=found.asked_at
    )
    if not seen.update(**values):
        raise StepError(
            "Another worker is sending the same at this moment.",
            code="conflict",
            retryable=True,
            fault=Fault.INTERNAL,
        )
    for name, value in values.items():
        setattr(found, name, value)


def _settle(
    delivery: Delivery, status: str, *, receipt: JSONObject | None = None, error: JSONObject | None = None
) -> None:
    """Write what came of the try; only while it is still the newest one."""
    Delivery.objects.filter(pk=delivery.pk, tries=delivery.tries, status=Delivery.Status.UNKNOWN).update(
        status=status,
        receipt=receipt,
        error=error,
        settled_at=None if status == Delivery.Status.UNKNOWN else utc_now(),
    )


# --- mail ----------------------------------------------------------------------------------------


def message_id_of(key: str) -> str:
    """The Message-ID of a key: the same on every try, so that receivers see a copy for what it is."""
    host = urlsplit(settings.PUBLIC_URL).hostname or "localhost"
    return f"<{hashlib.sha256(key.encode()).hexdigest()[:40]}@{host}>"


def send_mail(email: Email, message_id: str) -> None:
    """Hand one mail to the mail server. Raises NoEffect where surely none went out, else StepError."""
    connection = get_connection()
    message = EmailMultiAlternatives(
        subject=email.subject,
        body=email.text,
        to=list(email.to),
        reply_to=[email.reply_to] if email.reply_to else None,
        headers={"Message-ID": message_id, "Auto-Submitted": "auto-generated"},
        connection=connection,
    )
    if email.html:
        message.attach_alternative(email.html, "text/html")
    try:
        message.message()
    except (BadHeaderError, ValueError, UnicodeError) as error:
        raise NoEffect(
            "The mail cannot be written down.", code="bad_mail", field="subject", detail=str(error)
        ) from error
    try:
        connection.open()
    except (smtplib.SMTPException, OSError) as error:
        raise _mail_fault(error, NoEffect) from error
    try:
        connection.send_messages([message])
    except (smtplib.SMTPException, OSError) as error:
        raise _mail_fault(error, StepError) from error
    finally:
        connection.close()


def _mail_fault(error: Exception, otherwise: type[StepError]) -> StepError:
    """The mail server's no, as a fault of the step; an answer in words means that it took nothing."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = [code for code, _ in error.recipients.values()]
        passing = bool(codes) and all(400 <= code < 500 for code in codes)
        who = ", ".join(map(str, error.recipients))
        return NoEffect(
            f"The mail server does not take mail for {who[:200]}.",
            code="bad_recipient",
            retryable=passing,
            fault=Fault.OUTSIDE if passing else Fault.AUTHOR,
            field="to",
            fix=None if passing else "Check the address.",
            detail=str(error)[:2_000],
        )
    if isinstance(error, smtplib.SMTPResponseException):
        passing = 400 <= error.smtp_code < 500
        return NoEffect(
            "The mail server refuses the mail for now." if passing else "The mail server refuses the mail.",
            code="mail_refused",
            retryable=passing,
            fault=Fault.OUTSIDE,
            detail=str(error)[:2_000],
            fix=None if passing else "Ask the operator to look at the mail server's words.",
        )
    away = isinstance(error, ConnectionRefusedError | socket.gaierror) or otherwise is NoEffect
    return (NoEffect if away else StepError)(
        "The mail server could not be reached."
        if away
        else "The mail server broke off while it took the mail.",
        code="mail_server_away" if away else "mail_unknown",
        retryable=True,
        fault=Fault.OUTSIDE,
        detail=str(error)[:2_000],
    )


# --- threads with a database connection -----------------------------------------------------------


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="ledger")


async def _in_thread(do: Callable[[], T]) -> T:
    """Run database work off the loop, on which other steps stream."""

    def work() -> T:
        try:
            return do()
        finally:
            close_old_connections()

    return await asyncio.get_running_loop().run_in_executor(_pool(), work)
