"""Whom a review waits for, as people: the named, those of named roles, and the substitutes of who is out of office."""

from __future__ import annotations

from collections.abc import Sequence

from runs.models import Review, Run
from runs.services.absences import substitutes_of
from runs.services.eligibility import why_not_eligible
from workflows.tenancy.models import Membership, User


def people_of(
    review: Review, run: Run, *, named: Sequence[str] | None = None, but_voters: bool = False
) -> list[User]:
    """Everybody who is asked to decide the review now. Two queries, three with `but_voters`.

    `named`: only these of its assignees (`user:EMAIL`, `role:ROLE`). An owner may decide what is for others, but is
    not asked for it.
    """
    asked = [str(entry) for entry in (review.assignees if named is None else named) or ()]
    gate = {"assignees": asked, "bar_starter": review.bar_starter}
    rows = Membership.objects.filter(tenant_id=review.tenant_id, user__is_active=True).select_related("user")
    roles = {row.user_id: row.role for row in rows}
    found = [
        row.user
        for row in rows
        if why_not_eligible(gate, run, row.user, row.role) is None
        and (not asked or f"user:{row.user.email}" in asked or f"role:{row.role}" in asked)
    ]
    emails = [entry.removeprefix("user:") for entry in asked if entry.startswith("user:")]
    if emails:
        anybody = {"assignees": [], "bar_starter": review.bar_starter}
        found += [
            person
            for person in substitutes_of(review.tenant_id, emails)
            if person not in found
            and why_not_eligible(anybody, run, person, roles.get(person.pk, "")) is None
        ]
    if but_voters:
        voted = set(review.votes.values_list("person_id", flat=True))
        found = [person for person in found if person.pk not in voted]
    return found
