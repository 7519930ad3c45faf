"""An outward act as people read it: what was sent, to whom, what came of it. No markup."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from runs.models import Delivery

# (shape of the status, icon) by state, as the status tags have them.
_LOOKS: Final = {
    Delivery.Status.SENT: ("done", "circle-check"),
    Delivery.Status.OUTBOX: ("wait", "inbox"),
    Delivery.Status.UNKNOWN: ("retry", "circle-alert"),
    Delivery.Status.SKIPPED: ("cancel", "ban"),
    Delivery.Status.FAILED: ("failed", "octagon-x"),
}
_ICONS: Final = {"email": "mail", "webhook": "webhook", "http": "globe", "event": "zap"}
_KINDS: Final = {"email": "Mail", "webhook": "Webhook", "http": "Request", "event": "Event"}


@dataclass(frozen=True, slots=True)
class Sent:
    """One line of the ledger. `head` are (name, value) of the copy, `body` its text; `receipt` what the other side said."""

    kind: str
    icon: str
    target: str
    status: str
    shape: str
    status_icon: str
    head: tuple[tuple[str, str], ...]
    body: str
    receipt: str
    error: str
    key: str
    tries: int
    at: datetime


def sent_of(row: Delivery) -> Sent:
    shape, icon = _LOOKS[Delivery.Status(row.status)]
    copy: dict[str, Any] = row.copy
    head: list[tuple[str, str]] = []
    if row.kind == "email":
        head = [("To", ", ".join(copy.get("to") or ())), ("Subject", str(copy.get("subject") or ""))]
        body = str(copy.get("text") or "")
    elif row.kind == "event":
        head, body = [("Event", str(copy.get("name") or ""))], _json(copy.get("data"))
    else:
        head = [("Call", f"{copy.get('method', 'POST')} {copy.get('url') or row.target}")]
        head += [(name, str(value)) for name, value in (copy.get("headers") or {}).items()]
        body = str(copy.get("body") or "")
    return Sent(
        kind=_KINDS.get(row.kind, row.kind.capitalize()),
        icon=_ICONS.get(row.kind, "send"),
        target=row.target,
        status=Delivery.Status(row.status).label,
        shape=shape,
        status_icon=icon,
        head=tuple((name, value) for name, value in head if value),
        body=body,
        receipt=_json(row.receipt) if row.receipt else "",
        error=str((row.error or {}).get("message") or ""),
        key=row.key,
        tries=row.tries,
        at=row.settled_at or row.tried_at,
    )


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)
