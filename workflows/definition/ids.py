"""Ids of steps, edges and triggers: random for new things, derived where the same input must give the same id."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Callable
from typing import Final, TypeAlias

# Given a prefix ("s" for steps, "e" for edges, "t" for triggers) it gives an id that is not in use.
IdMaker: TypeAlias = Callable[[str], str]

ID_PATTERN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LENGTH: Final = 10


def random_id(prefix: str) -> str:
    """A fresh id: the prefix, `_`, and 10 random base32 characters (50 bits)."""
    return f"{prefix}_{base64.b32encode(secrets.token_bytes(7)).decode().lower()[:_LENGTH]}"


def derived_id(prefix: str, *parts: str | None) -> str:
    """The id that belongs to these parts: the same parts give the same id, in every process."""
    digest = hashlib.sha256(
        "\x1f".join(part or "" for part in parts).encode("utf-8", "surrogatepass")
    ).digest()
    return f"{prefix}_{base64.b32encode(digest).decode().lower()[:_LENGTH]}"


def is_id(text: object) -> bool:
    """Whether this may be the id of a step, an edge or a trigger."""
    return isinstance(text, str) and ID_PATTERN.fullmatch(text) is not None
