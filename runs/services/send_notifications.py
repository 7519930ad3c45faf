"""The one place that mails and posts notifications: what is due, each once, tried again where surely nothing went out."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any, Final

import structlog
from django.conf import settings
from django.db import connections
from django.db.models import F, QuerySet
from django.db.models.functions import Now
from django.template.loader import render_to_string
from django.urls import reverse

from runs.models import Notification, NotificationSend, Review
from runs.notifications import KINDS, REVIEW_KINDS, Channel
from runs.services.deliveries import message_id_of, send_mail
from workflows.lib.clock import utc_now
from workflows.lib.errors import StepwellError
from workflows.lib.markdown import render_markdown
from workflows.lib.safe_http import OutboundError
from workflows.models import CreditAlert
from workflows.services.slack import post_to_slack
from workflows.steps.base import Email, NoEffect, StepError
from workflows.tenancy.models import Membership

log = structlog.get_logger(__name__)

MOST_TRIES: Final = 6
# Minutes until the next try after the n-th one that surely brought nothing out.
BACKOFF_MINUTES: Final = (1, 5, 15, 60, 240)
# A mail server and Slack answer in 20 s each; what is still being sent after this was cut off.
_CLAIM: Final = timedelta(minutes=5)
_MOST_TOGETHER: Final = 500
_Status = NotificationSend.Status

_pool: ThreadPoolExecutor | None = None
_working: Future[int] | None = None
_lock = threading.Lock()


def send_in_background(limit: int = 50) -> int:
    """Have what is due sent by a thread of this process; 1 when it began. Ringing runs must not wait for a mail server."""
    global _pool, _working
    with _lock:
        if _working is not None and not _working.done():
            return 0
        if not _due().exists():
            return 0
        if _pool is None:
            _pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="notifications")
        _working = _pool.submit(_send_and_close, limit)
    return 1


def _send_and_close(limit: int) -> int:
    try:
        return send_due(limit)
    except Exception as error:
        # The rows stand as they are; the next round looks again.
        log.warning("notifications_not_sent", error=str(error), kind=type(error).__name__)
        return 0
    finally:
        connections.close_all()


def send_due(limit: int = 50) -> int:
    """Send up to `limit` that are due, oldest first; returns how many were tried. Two keepers may do so at once."""
    tried = 0
    for send in _due().order_by("due_at")[:limit]:
        tried += _one(send)
    return tried


def _due() -> QuerySet[NotificationSend]:
    return NotificationSend.objects.filter(settled_at__isnull=True, due_at__lte=Now())


def _one(seen: NotificationSend) -> int:
    if seen.status == _Status.SENDING:
        # Whoever sent it was stopped in the middle: nobody knows, and nothing is sent twice.
        words = "The server was stopped while it was being sent; it may have arrived."
        return _settle(seen, _Status.UNKNOWN, words, was=_Status.SENDING)
    send = _claimed(seen)
    if send is None:
        return 0
    if reason := _moot(send):
        return _settle(send, _Status.DROPPED, reason)
    together = [send, *_due_with(send)]
    settle = _sent(send, together[1:])
    return sum(settle(one) for one in together)


def _claimed(seen: NotificationSend) -> NotificationSend | None:
    """The row, if it is ours to send now."""
    claimed = NotificationSend.objects.filter(
        pk=seen.pk, status=_Status.WAITING, settled_at__isnull=True, due_at__lte=Now()
    ).update(status=_Status.SENDING, due_at=Now() + _CLAIM, tries=F("tries") + 1)
    if not claimed:
        return None
    return NotificationSend.objects.select_related("notification__person", "tenant").get(pk=seen.pk)


def _due_with(send: NotificationSend) -> list[NotificationSend]:
    """Other mails to the same person that ask for reviews of the same run and are due as well, claimed: a fan-out that
    asks thirteen times at once is one mail."""
    told = send.notification
    if send.channel != Channel.EMAIL or told.kind != Notification.Kind.REVIEW_ASKED:
        return []
    run = Review.objects.filter(pk=told.subject).values("run_id")
    waiting = Review.objects.filter(run_id__in=run, status=Review.Status.OPEN).exclude(pk=told.subject)
    asked = [str(pk) for pk in waiting.values_list("pk", flat=True)[:_MOST_TOGETHER]]
    if not asked:
        return []
    rows = _due().filter(
        channel=Channel.EMAIL,
        status=_Status.WAITING,
        notification__tenant_id=send.tenant_id,
        notification__person_id=told.person_id,
        notification__kind=told.kind,
        notification__subject__in=asked,
        notification__read_at__isnull=True,
    )
    found = [_claimed(row) for row in rows.order_by("notification__created_at", "notification_id")]
    return [row for row in found if row is not None]


def _sent(send: NotificationSend, also: Sequence[NotificationSend]) -> Callable[[NotificationSend], int]:
    """Send it, with what goes out in the same mail; how each of their rows is settled."""
    try:
        if also:
            _mail_of_many(send, also)
        else:
            _WAYS[send.channel](send)
    except NoEffect as error:
        return partial(_failed, error=error, again=error.info.retryable)
    except StepError as error:
        words = f"{error.message} It may have arrived."
        return partial(_settle, status=_Status.UNKNOWN, words=words)
    except OutboundError as error:
        if error.reached:
            return partial(_settle, status=_Status.UNKNOWN, words=f"{error.message} It may have arrived.")
        return partial(_failed, error=error, again=error.retryable, wait_s=error.retry_after_s)
    except StepwellError as error:
        return partial(_failed, error=error, again=False)
    return partial(_settle, status=_Status.SENT, words="")


def _failed(send: NotificationSend, error: StepwellError, *, again: bool, wait_s: float | None = None) -> int:
    fix = error.info.fix if isinstance(error, StepError) else getattr(error, "fix", None)
    words = f"{error.message} {fix}" if fix else error.message
    if not again or send.tries >= MOST_TRIES:
        return _settle(send, _Status.FAILED, words)
    wait = timedelta(minutes=BACKOFF_MINUTES[min(send.tries, len(BACKOFF_MINUTES)) - 1])
    wait = max(wait, timedelta(seconds=min(wait_s or 0, 3_600)))
    return NotificationSend.objects.filter(pk=send.pk, status=_Status.SENDING, tries=send.tries).update(
        status=_Status.WAITING, due_at=Now() + wait, words=words[:500]
    )


def _settle(send: NotificationSend, status: str, words: str, *, was: str = _Status.SENDING) -> int:
    mine = NotificationSend.objects.filter(pk=send.pk, status=was, tries=send.tries)
    return mine.update(status=status, words=words[:500], settled_at=utc_now())


def _moot(send: NotificationSend) -> str:
    """Why nobody needs this any more; empty when it is still news."""
    told = send.notification
    if not Membership.objects.filter(
        tenant_id=send.tenant_id, user_id=told.person_id, user__is_active=True
    ).exists():
        return "The person is no member any more."
    if send.channel == Channel.EMAIL and told.read_at is not None and send.tries == 1:
        return "It was read here before."
    if told.kind in REVIEW_KINDS:
        waits = Review.objects.filter(pk=told.subject, status=Review.Status.OPEN).exists()
        return "" if waits else "The review has been decided."
    if told.kind == Notification.Kind.CREDIT:
        open_ = CreditAlert.objects.filter(pk=told.subject, closed_at__isnull=True).exists()
        return "" if open_ else "The account answers again."
    return ""


# --- ways out -----------------------------------------------------------------------------------------------------


def _mail(send: NotificationSend) -> None:
    _mail_words(send, _words(send))


def _mail_of_many(send: NotificationSend, also: Sequence[NotificationSend]) -> None:
    """One mail for several reviews of a run: what they are, and the table in which they are decided."""
    run = Review.objects.select_related("run__workflow").get(pk=send.notification.subject).run
    told = [one.notification for one in (send, *also)]
    told.sort(
        key=lambda row: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", row.text)]
    )
    words = _words(send) | {
        "title": f"{len(told)} reviews wait for you: {run.workflow.name}, run {run.number}",
        "text": "Decide them all in a table, or one by one.",
        "detail": "\n".join(f"- {row.title} {row.text}" for row in told),
        "url": settings.PUBLIC_URL + reverse("reviews:table", args=[run.pk]),
        "action": "Look at them and decide",
    }
    _mail_words(send, words)


def _mail_words(send: NotificationSend, words: dict[str, Any]) -> None:
    context = {**words, "detail_html": render_markdown(words["detail"]) if words["detail"] else ""}
    email = Email(
        to=(send.notification.person.email,),
        subject=words["title"][:200],
        text=render_to_string("notifications/mail.txt", context).strip() + "\n",
        html=render_to_string("notifications/mail.html", context),
    )
    send_mail(email, message_id_of(send.key))


def _slack(send: NotificationSend) -> None:
    if not send.tenant.slack_webhook:
        raise NoEffect("The workspace has no Slack webhook.", code="no_webhook")
    words = _words(send)
    lines = [f"*{_plain(words['title'])}*", _plain(words["text"])]
    if words["url"]:
        lines.append(f"<{words['url']}|{_plain(words['action'])}>")
    # A member id is ours to write as a mention; a name is text.
    names = [who if who.startswith("<@") else _plain(who) for who in send.people]
    lines.append(f"For {', '.join(names)}")
    post_to_slack(
        send.tenant,
        {"text": _plain(words["title"]), "blocks": [_section("\n".join(line for line in lines if line))]},
    )


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text[:2_900]}}


def _plain(text: str) -> str:
    """Text that Slack shows as it is: its three signs are written out, so that nobody is mentioned by data."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _words(send: NotificationSend) -> dict[str, Any]:
    told = send.notification
    return {
        "title": told.title,
        "text": told.text,
        "detail": told.detail,
        "url": f"{settings.PUBLIC_URL}{told.url}" if told.url else "",
        "action": told.action or "Open",
        "tenant": send.tenant.name,
        "kind": KINDS[told.kind].label,
        "settings_url": settings.PUBLIC_URL + reverse("notifications:preferences"),
    }


_WAYS: Final[dict[str, Callable[[NotificationSend], None]]] = {Channel.EMAIL: _mail, Channel.SLACK: _slack}
