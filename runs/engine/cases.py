"""Which failures have one cause: the fingerprint of a failed run. A hundred runs with one fingerprint are one case (R6)."""

from __future__ import annotations

import hashlib
import re
from typing import Final

from workflows.lib.jsontypes import JSONObject

# What is wrong with an account or its vendor stops every workflow that asks it, so it is one case for all of them.
ACCOUNT_CODES: Final = frozenset(
    {
        "quota",
        "bad_key",
        "no_permission",
        "rate_limited",
        "overloaded",
        "paused",
        "network",
        "server_error",
        "out_of_memory",
    }
)
# Codes that say little by themselves: here the sentence, without its figures and names, tells causes apart.
_BROAD: Final = frozenset({"step", "items_failed", "internal", "child_failed", "odd", "unknown"})
_HOST: Final = re.compile(r"\b(?:[a-z0-9-]+\.)+[a-z][a-z0-9-]+\b(?::\d+)?", re.IGNORECASE)
_QUOTED: Final = re.compile(r"“[^”]*”|\"[^\"]*\"|'[^']*'|`[^`]*`")
_FIGURES: Final = re.compile(r"\b[0-9a-f]{8}-[0-9a-f-]{27}\b|\d+(?:[.,:]\d+)*", re.IGNORECASE)


def is_of_account(code: str, source: str) -> bool:
    """Whether the cause lies with an account at a vendor (`source`), not with one step."""
    return bool(source) and code in ACCOUNT_CODES


def case_of(
    error: JSONObject | None, *, workflow: str, step_type: str = "", provider: str = "", account: str = ""
) -> str:
    """The fingerprint of a failed run's error (`Run.error`): sixteen hex digits, never empty.

    `workflow` is its id, in either way of writing; `provider` the vendor that the failed step asked, if any, and
    `account` the name of the account there: one without credit says nothing about another at the same vendor.
    """
    known = error or {}
    code = str(known.get("code") or "unknown")
    if is_of_account(code, provider):
        parts = ["account", code, provider, *([account] if account else [])]
    else:
        message = str(known.get("message") or "")
        host = _HOST.search(message) if step_type in ("http_request", "webhook") else None
        source = provider or (host.group(0).lower() if host else "")
        parts = ["step", workflow.replace("-", ""), str(known.get("step_key") or ""), step_type, code, source]
        if code in _BROAD:
            parts.append(_without_particulars(message))
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:16]


def _without_particulars(message: str) -> str:
    return " ".join(_FIGURES.sub("#", _QUOTED.sub("“”", message)).split())[:200].lower()
