"""Mail about accounts, sent beside the answer: how long it takes must not tell whether an address is known."""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor

import structlog
from django.core.cache import cache
from django.core.mail import EmailMessage
from django.db import transaction
from django.template.loader import render_to_string

log = structlog.get_logger(__name__)
_senders = ThreadPoolExecutor(max_workers=2, thread_name_prefix="mail")


def send_mail_soon(to: str, template: str, context: dict[str, object]) -> None:
    """Send `templates/accounts/mail/TEMPLATE.txt` (first line: the subject) once the transaction has committed."""
    subject, _, body = render_to_string(f"accounts/mail/{template}.txt", context).strip().partition("\n")
    send_soon(EmailMessage(subject=subject.strip(), body=body.strip() + "\n", to=[to]))


def is_first_in_a_minute(kind: str, address: str) -> bool:
    """Whether such a mail may go to this address now: nobody's inbox is filled by asking again and again."""
    digest = hashlib.sha256(address.strip().lower().encode()).hexdigest()
    try:
        return bool(cache.add(f"mail:{kind}:{digest}", 1, timeout=60))
    except Exception:
        # Without the cache a mail too many is the lesser harm.
        log.exception("mail_limit_not_asked")
        return True


def send_soon(message: EmailMessage) -> None:
    """Send after commit, in a thread; a failure is logged, the person may ask again."""
    transaction.on_commit(lambda: submit(message))


def submit(message: EmailMessage) -> Future[None]:
    return _senders.submit(_send, message)


def _send(message: EmailMessage) -> None:
    try:
        message.send()
    except Exception:
        # The mail server's trouble is not the visitor's; the log has it.
        log.exception("mail_not_sent")
