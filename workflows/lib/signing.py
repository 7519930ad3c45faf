"""Signatures of outgoing webhooks (Standard Webhooks): one key per tenant, derived from the server's encryption keys."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final

from django.conf import settings

_PURPOSE: Final = b"stepwell webhook signing v1:"


def webhook_secrets(tenant_id: object) -> tuple[str, ...]:
    """The tenant's secrets as receivers are given them (`whsec_…`), the current one first.

    There is one for each encryption key, so that a receiver that knows the old one goes on during a rotation.
    """
    return tuple(f"whsec_{base64.b64encode(key).decode()}" for key in _keys(tenant_id))


def webhook_signature(tenant_id: object, message_id: str, at: int, body: bytes) -> str:
    """The `webhook-signature` header: HMAC-SHA256 of `id.timestamp.body`, one entry per secret."""
    signed = b".".join((message_id.encode(), str(at).encode(), body))
    made = (hmac.new(key, signed, hashlib.sha256).digest() for key in _keys(tenant_id))
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in made)


def _keys(tenant_id: object) -> list[bytes]:
    # Bound to its purpose: the key that encrypts connections itself never signs anything.
    purpose = _PURPOSE + str(tenant_id).encode()
    return [hmac.new(key.encode(), purpose, hashlib.sha256).digest() for key in settings.ENCRYPTION_KEYS]
