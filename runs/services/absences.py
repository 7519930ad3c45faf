"""Out of office: who is away from when to when, and who decides reviews for them meanwhile."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from runs.models import Absence
from workflows.lib.errors import Invalid, Problem
from workflows.tenancy import audit
from workflows.tenancy.actor import Actor
from workflows.tenancy.models import Membership, User
from workflows.tenancy.roles import Permission, may


def stands_in_for(actor: Actor) -> frozenset[str]:
    """Addresses of the people who are away today and whose substitute this actor is. One query."""
    if actor.user is None:
        return frozenset()
    today = timezone.localdate()
    rows = Absence.objects.for_tenant(actor.tenant).filter(
        substitute=actor.user, first_day__lte=today, last_day__gte=today, person__is_active=True
    )
    return frozenset(rows.values_list("person__email", flat=True))


def names_stood_for(actor: Actor) -> list[str]:
    """The same people by name. One query."""
    rows = User.objects.filter(email__in=stands_in_for(actor))
    return sorted((str(person) for person in rows), key=str.casefold)


def substitutes_of(tenant_id: UUID, emails: Iterable[str]) -> list[User]:
    """Who decides today for those of these people who are away. One query."""
    today = timezone.localdate()
    rows = Absence.objects.filter(
        tenant_id=tenant_id,
        person__email__in=list(emails),
        first_day__lte=today,
        last_day__gte=today,
        substitute__is_active=True,
    ).select_related("substitute")
    return list(dict.fromkeys(row.substitute for row in rows))


def absence_of(actor: Actor) -> Absence | None:
    """This person's own absence, unless it is over."""
    if actor.user is None:
        return None
    rows = Absence.objects.for_tenant(actor.tenant).select_related("substitute")
    return rows.filter(person=actor.user, last_day__gte=timezone.localdate()).first()


def colleagues(actor: Actor) -> list[User]:
    """Everybody else of the workspace who may review, by name. One query."""
    rows = Membership.objects.for_tenant(actor.tenant).filter(user__is_active=True).select_related("user")
    found = [row.user for row in rows if may(row.role, Permission.REVIEW) and row.user_id != _id(actor)]
    return sorted(found, key=lambda user: str(user).casefold())


def set_absence(*, actor: Actor, substitute: User, first_day: date, last_day: date) -> Absence:
    """Say that the actor is away, both days included; replaces what they said before. Raises Invalid."""
    if actor.user is None:
        raise Invalid("An API key is not a person.")
    problems: list[Problem] = []
    if last_day < first_day:
        problems.append(Problem("bad_value", "The last day is before the first.", field="last_day"))
    if last_day < timezone.localdate():
        problems.append(Problem("bad_value", "These days are over.", field="last_day"))
    if substitute not in colleagues(actor):
        problems.append(
            Problem("unknown_person", "The substitute has to be another reviewer here.", field="substitute")
        )
    if problems:
        raise Invalid(problems[0].message, problems=tuple(problems))
    days = {"substitute": substitute, "first_day": first_day, "last_day": last_day}
    with transaction.atomic():
        absence, _ = Absence.objects.update_or_create(tenant=actor.tenant, person=actor.user, defaults=days)
        after = {"from": str(first_day), "to": str(last_day), "substitute": substitute.email}
        audit.record(actor, "set out of office", absence, after=after)
    return absence


def end_absence(*, actor: Actor) -> bool:
    """The actor is back; False when they were not away."""
    absence = absence_of(actor)
    if absence is None:
        return False
    with transaction.atomic():
        audit.record(actor, "ended out of office", absence)
        absence.delete()
    return True


def _id(actor: Actor) -> int | None:
    return actor.user.pk if actor.user is not None else None
