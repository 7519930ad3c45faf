"""What people were told of is over: it is unread by nobody any more, so the bell counts only what is still news."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from uuid import UUID

from runs.models import Notification
from runs.notifications.tell import announce
from workflows.lib.clock import utc_now
from workflows.tenancy.models import Membership, User

REVIEW_KINDS: Final = frozenset(
    {
        *(Notification.Kind.REVIEW_ASKED, Notification.Kind.REVIEW_REMINDER),
        *(Notification.Kind.REVIEW_ESCALATED, Notification.Kind.REVIEW_DELEGATED),
    }
)


def settle_reviews(tenant_id: UUID, reviews: Iterable[UUID], *, person: User | None = None) -> None:
    """These reviews are decided: whoever has not read of them need not. In the transaction of the decision; one query,
    two where somebody had it unread. Their open pages hear of it after the commit. `person`: only theirs; they have
    voted, the others have not."""
    people = Membership.objects.filter(tenant_id=tenant_id)
    if person is not None:
        people = people.filter(user=person)
    unread = Notification.objects.filter(
        tenant_id=tenant_id,
        # Who they are leads to the rows by the index; their subject alone would read them all.
        person__in=people.values("user_id"),
        kind__in=REVIEW_KINDS,
        subject__in=[str(pk) for pk in reviews],
        read_at__isnull=True,
    )
    found = list(unread.values_list("pk", "person_id"))
    if found:
        Notification.objects.filter(pk__in=[pk for pk, _ in found]).update(read_at=utc_now())
        announce(person for _, person in found)
