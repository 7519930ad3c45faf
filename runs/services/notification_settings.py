"""What a person wants to be told, kept; and what they have read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import time
from uuid import UUID

from django.db import transaction

from runs.models import Notification, NotificationSettings
from runs.notifications import KINDS, Channel, Wishes, announce
from runs.notifications.tell import wishes_from
from workflows.lib.clock import utc_now
from workflows.lib.errors import Invalid, NotAllowed, Problem
from workflows.lib.jsontypes import JSONObject
from workflows.tenancy import audit
from workflows.tenancy.actor import Actor
from workflows.tenancy.models import User
from workflows.tenancy.roles import Permission

LONGEST_MINUTES = 7 * 24 * 60


def settings_of(actor: Actor, person: User | None = None) -> Wishes:
    """What the actor (or a member whom they look after) wants to hear. One query."""
    who = _whose(actor, person)
    row = NotificationSettings.objects.for_tenant(actor.tenant).filter(person=who).first()
    return wishes_from(row, who)


def save_settings(
    *,
    actor: Actor,
    choices: Mapping[str, Sequence[str]],
    everything: bool = False,
    long_minutes: int = 10,
    quiet_from: time | None = None,
    quiet_to: time | None = None,
    digest_at: time = time(8, 0),
    digest_weekday: int = 0,
    slack_member: str = "",
    person: User | None = None,
) -> NotificationSettings:
    """Keep it, for oneself or (owners and admins) for a member, which is audited. Raises NotAllowed, Invalid."""
    who = _whose(actor, person)
    problems = []
    if not 1 <= long_minutes <= LONGEST_MINUTES:
        problems.append(Problem("invalid", "From 1 minute to a week.", field="long_minutes"))
    if (quiet_from is None) != (quiet_to is None):
        problems.append(Problem("required", "Quiet hours have a beginning and an end.", field="quiet_to"))
    if not 0 <= digest_weekday <= 6:
        problems.append(Problem("invalid", "There is no such day.", field="digest_weekday"))
    slack_member = slack_member.strip().upper()
    if slack_member and not re.fullmatch(r"[UW][A-Z0-9]{5,20}", slack_member):
        message = "A member id looks like U012AB3CD. Slack shows it in your profile, under More."
        problems.append(Problem("invalid", message, field="slack_member"))
    if unknown := [kind for kind in choices if kind not in KINDS]:
        problems.append(Problem("invalid", f"There is nothing named “{unknown[0]}”.", field="choices"))
    if problems:
        raise Invalid(problems[0].message, problems=tuple(problems))
    channels = set(Channel)
    values = {
        "choices": {kind: [one for one in named if one in channels] for kind, named in choices.items()},
        "everything": everything,
        "long_minutes": long_minutes,
        "quiet_from": quiet_from,
        "quiet_to": quiet_to,
        "digest_at": digest_at,
        "digest_weekday": digest_weekday,
        "slack_member": slack_member,
    }
    with transaction.atomic():
        before = NotificationSettings.objects.for_tenant(actor.tenant).filter(person=who).first()
        row, _ = NotificationSettings.objects.update_or_create(
            tenant=actor.tenant, person=who, defaults=values
        )
        if actor.user is None or who.pk != actor.user.pk:
            old, new = audit.changes(_facts(before), _facts(row))
            audit.record(actor, "changed", row, before=old, after=new)
    return row


def mark_read(actor: Actor, ids: Sequence[UUID] | None = None) -> int:
    """Mark these of the actor's own notifications as read, or all (None); returns how many were not yet."""
    if actor.user is None:
        return 0
    rows = Notification.objects.for_tenant(actor.tenant).filter(person=actor.user, read_at__isnull=True)
    if ids is not None:
        rows = rows.filter(pk__in=ids)
    done = rows.update(read_at=utc_now())
    if done:
        announce([actor.user.pk])
    return done


def _whose(actor: Actor, person: User | None) -> User:
    if person is None or (actor.user is not None and person.pk == actor.user.pk):
        if actor.user is None:
            raise NotAllowed("A key has no notifications; they are a person's.")
        return actor.user
    actor.require(Permission.MANAGE_PEOPLE)
    return person


def _facts(row: NotificationSettings | None) -> JSONObject:
    if row is None:
        return {}
    return {
        "choices": row.choices,
        "everything": row.everything,
        "long_minutes": row.long_minutes,
        "quiet": f"{row.quiet_from or ''}-{row.quiet_to or ''}",
        "digest": f"{row.digest_weekday} {row.digest_at}",
        "slack_member": row.slack_member,
    }
