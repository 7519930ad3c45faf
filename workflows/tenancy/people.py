"""Who belongs to a tenant: invite, accept, change a role, remove. Only owners make and unmake owners; one stays."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.urls import reverse

from workflows.lib.clock import utc_now
from workflows.lib.errors import Conflict, Invalid, NotAllowed, NotFound, Problem
from workflows.tenancy.access import may_grant
from workflows.tenancy.actor import Actor
from workflows.tenancy.audit import record
from workflows.tenancy.live import rights_changed
from workflows.tenancy.mail import send_mail_soon
from workflows.tenancy.models import Invitation, Membership, User
from workflows.tenancy.roles import Permission, Role

INVITATION_LIFE = timedelta(days=7)


def invite_person(*, actor: Actor, email: str, role: str, now: datetime | None = None) -> Invitation:
    """Offer a role by email, with a link that works once. Whether the address has an account is not told.

    An open invitation of the same address is replaced (its old link ends). Raises Invalid, NotAllowed, and
    Conflict for a member.
    """
    _may_manage(actor, role)
    at = now or utc_now()
    email = email.strip().lower()
    try:
        validate_email(email)
    except ValidationError as error:
        message = "That is not an email address."
        raise Invalid(message, problems=(Problem("invalid", message, field="email"),)) from error
    secret = secrets.token_urlsafe(32)
    with transaction.atomic():
        if Membership.objects.for_tenant(actor.tenant).filter(user__email=email).exists():
            message = f"{email} is a member already."
            raise Conflict(message, problems=(Problem("conflict", message, field="email"),))
        Invitation.objects.for_tenant(actor.tenant).filter(email=email, accepted_at=None).delete()
        invitation = Invitation.objects.create(
            tenant=actor.tenant,
            email=email,
            role=role,
            hash=_hash(secret),
            invited_by=actor.user,
            created_at=at,
            expires_at=at + INVITATION_LIFE,
        )
        record(actor, "invited", invitation, after={"email": email, "role": role})
        send_mail_soon(
            email,
            "invitation",
            {
                "tenant": actor.tenant,
                "inviter": actor.label,
                "role": invitation.get_role_display(),
                "url": settings.PUBLIC_URL + reverse("accounts:invitation", args=[secret]),
                "until": invitation.expires_at,
            },
        )
    return invitation


def open_invitation(secret: str, *, now: datetime | None = None) -> Invitation:
    """The invitation behind a link; NotFound when it is unknown, used, withdrawn or too old."""
    at = now or utc_now()
    found = Invitation.objects.select_related("tenant", "invited_by").filter(
        hash=_hash(secret), accepted_at=None
    )
    invitation = found.filter(expires_at__gt=at, tenant__is_active=True).first()
    if invitation is None:
        raise NotFound(
            "This invitation has been used, withdrawn, or is older than a week. Ask for a new one."
        )
    return invitation


def accept_invitation(
    *,
    invitation: Invitation,
    user: User | None = None,
    name: str = "",
    password: str = "",
    now: datetime | None = None,
) -> Membership:
    """Join the tenant: as `user`, whose address must be the invited one, or with a new account.

    The link's holder proves the address, so a new account needs nothing more; an account that exists is never
    opened by a link alone (NotAllowed: sign in first).
    """
    at = now or utc_now()
    with transaction.atomic():
        if user is None:
            if User.objects.filter(email=invitation.email).exists():
                raise NotAllowed(f"There is an account for {invitation.email}. Sign in with it, then accept.")
            user = User.objects.create_user(invitation.email, password, name=name.strip())
        elif user.email != invitation.email:
            raise NotAllowed(
                f"This invitation is for {invitation.email}. Sign in with that account to accept it."
            )
        won = Invitation.objects.filter(pk=invitation.pk, accepted_at=None, expires_at__gt=at).update(
            accepted_at=at
        )
        if not won:
            raise Conflict("This invitation has been used or withdrawn.")
        membership, _ = Membership.objects.get_or_create(
            tenant=invitation.tenant, user=user, defaults={"role": invitation.role}
        )
        acting = Actor(tenant=invitation.tenant, role=membership.role, user=user)
        record(acting, "joined", membership, after={"role": membership.role})
    return membership


def withdraw_invitation(*, actor: Actor, invitation: Invitation) -> None:
    """Take an open invitation back: its link ends."""
    _may_manage(actor, invitation.role)
    with transaction.atomic():
        record(actor, "withdrew", invitation, before={"email": invitation.email, "role": invitation.role})
        Invitation.objects.for_tenant(actor.tenant).filter(pk=invitation.pk, accepted_at=None).delete()


def change_role(*, actor: Actor, membership: Membership, role: str) -> Membership:
    """Give a member another role; it holds from their next request on."""
    _may_manage(actor, role)
    _may_manage(actor, membership.role)
    with transaction.atomic():
        before = membership.role
        if before == role:
            return membership
        changed = (
            Membership.objects.for_tenant(actor.tenant)
            .filter(pk=membership.pk, role=before)
            .update(role=role)
        )
        if not changed:
            raise Conflict(
                "Somebody changed this person's role a moment ago. Reload the page and look again."
            )
        if before == Role.OWNER:
            _keep_an_owner(actor)
        membership.role = role
        record(actor, "changed the role of", membership, before={"role": before}, after={"role": role})
        rights_changed(membership.user_id)
    return membership


def remove_member(*, actor: Actor, membership: Membership) -> None:
    """End the membership; the person's next request here finds nothing. People may also leave by themselves."""
    if actor.user is None or actor.user.pk != membership.user_id:
        _may_manage(actor, membership.role)
    with transaction.atomic():
        before = {"email": membership.user.email, "role": membership.role}
        record(actor, "removed", membership, before=before)
        Membership.objects.for_tenant(actor.tenant).filter(pk=membership.pk).delete()
        rights_changed(membership.user_id)
        if membership.role == Role.OWNER:
            _keep_an_owner(actor)


def ensure_member(
    *, actor: Actor, email: str, role: str, name: str = "", password: str | None = None
) -> Membership:
    """The membership of this address with this role, person and all, made or changed as needed (demo data, admin)."""
    actor.require(Permission.MANAGE_PEOPLE)
    with transaction.atomic():
        user = User.objects.filter(email=email.strip().lower()).first()
        if user is None:
            user = User.objects.create_user(email, password, name=name)
        try:
            with transaction.atomic():
                membership, _ = Membership.objects.update_or_create(
                    tenant=actor.tenant, user=user, defaults={"role": role}
                )
        except IntegrityError as error:
            raise Invalid(f"There is no role called {role}.") from error
    return membership


def _may_manage(actor: Actor, role: str) -> None:
    actor.require(Permission.MANAGE_PEOPLE)
    if role not in Role.values:
        message = f"There is no role called {role}."
        raise Invalid(message, problems=(Problem("invalid", message, field="role"),))
    if not may_grant(actor, role):
        raise NotAllowed("Only an owner may add, change or remove an owner.")


def _keep_an_owner(actor: Actor) -> None:
    # Asked after the write, inside its transaction: two owners who demote each other cannot both win on SQLite
    # (one writer), and on PostgreSQL the tenant's row is locked first.
    type(actor.tenant).objects.select_for_update().get(pk=actor.tenant.pk)
    if not Membership.objects.for_tenant(actor.tenant).filter(role=Role.OWNER, user__is_active=True).exists():
        raise Conflict(f"{actor.tenant.name} needs an owner. Make somebody else an owner first.")


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
