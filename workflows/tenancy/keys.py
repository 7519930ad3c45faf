"""API keys: made once, shown once, kept as a hash, found by their prefix."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from workflows.lib.clock import utc_now
from workflows.lib.errors import Invalid, NotAllowed, Problem
from workflows.tenancy.actor import Actor
from workflows.tenancy.audit import record
from workflows.tenancy.models import ApiKey
from workflows.tenancy.roles import Permission, Role

MARK = "sw_"
PREFIX_CHARS = len(MARK) + 10
# "Last used" is for people; once a minute is exact enough and spares a write per call.
LAST_USED_EVERY = timedelta(minutes=1)
_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"


def key_hash(key: str) -> str:
    """SHA-256 of the whole key, hex. The key holds over 200 random bits, so a slow hash would add nothing."""
    return hashlib.sha256(key.encode()).hexdigest()


def create_key(
    *, actor: Actor, name: str, role: str, expires_at: datetime | None = None
) -> tuple[ApiKey, str]:
    """A new key of the actor's tenant and its secret text, which is never shown again.

    Raises NotAllowed when the actor may not manage keys or gives the key more than they hold themselves.
    """
    actor.require(Permission.MANAGE_KEYS)
    if role == Role.OWNER and actor.role != Role.OWNER:
        raise NotAllowed("Only an owner may make a key with the owner's role.")
    name = name.strip()
    if role not in Role.values or not 0 < len(name) <= 120:
        field = "role" if role not in Role.values else "name"
        message = (
            f"There is no role called {role}." if field == "role" else "A key's name has 1 to 120 characters."
        )
        raise Invalid(message, problems=(Problem("invalid", message, field=field),))
    prefix = MARK + "".join(secrets.choice(_ALPHABET) for _ in range(PREFIX_CHARS - len(MARK)))
    text = f"{prefix}_{secrets.token_urlsafe(32)}"
    with transaction.atomic():
        key = ApiKey.objects.create(
            tenant=actor.tenant,
            name=name,
            prefix=prefix,
            hash=key_hash(text),
            role=role,
            created_by=actor.user,
            expires_at=expires_at,
        )
        record(actor, "created", key, after={"name": name, "role": role, "prefix": prefix})
    return key, text


def verify_key(text: str, *, now: datetime | None = None) -> ApiKey | None:
    """The live key with this text, its tenant loaded; None when unknown, revoked, expired, or its tenant is off."""
    at = now or utc_now()
    if not text.startswith(MARK) or len(text) > 200:
        return None
    key = ApiKey.objects.select_related("tenant").filter(prefix=text[:PREFIX_CHARS]).first()
    # An unknown prefix is compared too, with nothing, so that it takes the same time.
    same = hmac.compare_digest(key_hash(text), key.hash if key is not None else "0" * 64)
    if key is None or not same or not is_live(key, at):
        return None
    if key.last_used_at is None or key.last_used_at <= at - LAST_USED_EVERY:
        late = Q(last_used_at=None) | Q(last_used_at__lte=at - LAST_USED_EVERY)
        ApiKey.objects.filter(late, pk=key.pk).update(last_used_at=at)
        key.last_used_at = at
    return key


def is_live(key: ApiKey, now: datetime) -> bool:
    return (
        key.revoked_at is None and (key.expires_at is None or key.expires_at > now) and key.tenant.is_active
    )


def revoke_key(*, actor: Actor, key: ApiKey, now: datetime | None = None) -> ApiKey:
    """End the key now; a key that has ended already stays as it is."""
    actor.require(Permission.MANAGE_KEYS)
    if key.role == Role.OWNER and actor.role != Role.OWNER:
        raise NotAllowed("Only an owner may revoke a key with the owner's role.")
    with transaction.atomic():
        ended = ApiKey.objects.for_tenant(actor.tenant).filter(pk=key.pk, revoked_at=None)
        if ended.update(revoked_at=now or utc_now()):
            record(actor, "revoked", key, before={"name": key.name, "role": key.role})
    key.refresh_from_db()
    return key
