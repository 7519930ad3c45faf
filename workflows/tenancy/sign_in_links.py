"""One-time sign-in links: signed, short-lived, and void after the person's next sign-in of any kind."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.core import signing
from django.utils.crypto import constant_time_compare, salted_hmac

from workflows.lib.clock import utc_now
from workflows.tenancy.models import User

SALT = "stepwell.sign-in-link"
LIFE = timedelta(minutes=30)


def make_token(user: User, *, life: timedelta = LIFE, now: datetime | None = None) -> str:
    """The text of a link that signs this person in once within `life`."""
    until = int(((now or utc_now()) + life).timestamp())
    return signing.dumps({"user": user.pk, "until": until, "state": _state(user)}, salt=SALT)


def person_of(token: str, *, now: datetime | None = None) -> User | None:
    """Whom the link signs in; None when it is forged, too old, or has been used. Changes nothing."""
    try:
        data = signing.loads(token, salt=SALT)
        user = User.objects.get(pk=data["user"], is_active=True)
    except (signing.BadSignature, User.DoesNotExist, KeyError, TypeError, ValueError):
        return None
    fresh = int(data["until"]) > (now or utc_now()).timestamp()
    return user if fresh and constant_time_compare(str(data["state"]), _state(user)) else None


def use_token(token: str, *, now: datetime | None = None) -> User | None:
    """Spend the link: of two uses at once one gets the person, the other None."""
    user = person_of(token, now=now)
    if user is None:
        return None
    at = now or utc_now()
    won = User.objects.filter(pk=user.pk, last_login=user.last_login).update(last_login=at)
    return user if won else None


def _state(user: User) -> str:
    # Signing in sets last_login (to the microsecond) and a new password changes the hash: either ends the link.
    return salted_hmac(SALT, f"{user.pk}|{user.password}|{user.last_login}|{user.email}").hexdigest()
