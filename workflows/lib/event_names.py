"""Names of events such as `crm/lead_status.changed`: which are allowed, and which a pattern with `*` takes in."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

# What the product itself says stands under this; nobody else may send it, and a bare `*` does not take it in.
OWN: Final = "stepwell/"
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./:-]{0,199}")
_PATTERN: Final = re.compile(r"[A-Za-z0-9_*][A-Za-z0-9_./:*-]{0,199}")


def name_fault(name: str) -> str:
    """Why this may not be the name of an event that is sent, as a sentence; empty when it may."""
    if not _NAME.fullmatch(name):
        return f"“{name[:60]}” is no name of an event: use letters, digits and . _ - / : (up to 200)."
    if name.startswith(OWN):
        return f"Events under {OWN} are told by Stepwell itself."
    return ""


def pattern_fault(pattern: str) -> str:
    """Why this may not be waited for; empty when it may."""
    if not _PATTERN.fullmatch(pattern):
        return (
            f"“{pattern[:60]}” is no name of an event: use letters, digits and . _ - / :, and * for any part."
        )
    return ""


def takes_in(pattern: str, name: str) -> bool:
    """Whether a pattern means this name. `*` stands for any signs; the product's own events must be named as such."""
    if name.startswith(OWN) and not pattern.startswith(OWN):
        return False
    return bool(_compiled(pattern).fullmatch(name))


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in re.split(r"\*+", pattern)), re.DOTALL)
