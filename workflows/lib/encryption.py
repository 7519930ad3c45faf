"""Keeps secrets unreadable in the database: Fernet with the first of STEPWELL_ENCRYPTION_KEYS, readable with all of them."""

from __future__ import annotations

import base64
from functools import lru_cache
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from workflows.lib.errors import Fault, StepwellError

HIDDEN: Final = "••••••••"


class Undecipherable(StepwellError):
    """A stored secret that none of the server's keys opens."""

    code = "secret_unreadable"
    fault = Fault.OUTSIDE

    def __init__(self) -> None:
        super().__init__(
            "A stored key cannot be read: the server's encryption key has changed. Enter the key again, or give the"
            " server its former STEPWELL_ENCRYPTION_KEYS."
        )


@lru_cache(maxsize=4)
def _box(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(_fernet_key(key)) for key in keys])


def _fernet_key(text: str) -> bytes:
    """Any long text is a key: 32 bytes are derived from it (it is random already, so no slow hash is needed)."""
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"stepwell stored secrets").derive(
        text.encode()
    )
    return base64.urlsafe_b64encode(derived)


def _current() -> MultiFernet:
    return _box(tuple(settings.ENCRYPTION_KEYS))


def encrypt(text: str) -> str:
    """The text sealed with the newest key; empty stays empty."""
    return _current().encrypt(text.encode()).decode() if text else ""


def decrypt(token: str) -> str:
    """The text in a token. Raises Undecipherable."""
    if not token:
        return ""
    try:
        return _current().decrypt(token.encode()).decode()
    except InvalidToken as error:
        raise Undecipherable from error


def rotate(token: str) -> str:
    """The same text sealed with the newest key. Raises Undecipherable."""
    if not token:
        return ""
    try:
        return _current().rotate(token.encode()).decode()
    except InvalidToken as error:
        raise Undecipherable from error


class Secret:
    """A stored secret: it says whether it is there, and gives its text only to `reveal`."""

    __slots__ = ("token",)

    def __init__(self, token: str = "") -> None:
        self.token = token

    @classmethod
    def of(cls, text: str) -> Secret:
        return cls(encrypt(text))

    def reveal(self) -> str:
        """The text. Raises Undecipherable."""
        return decrypt(self.token)

    def __bool__(self) -> bool:
        return bool(self.token)

    def __str__(self) -> str:
        return HIDDEN if self.token else ""

    def __repr__(self) -> str:
        return f"Secret({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.token == other.token

    def __hash__(self) -> int:
        return hash(self.token)
