"""The one door: an occasion and its people become rows, each at most once, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import structlog
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import transaction

from runs.models import Notification, NotificationSend, NotificationSettings
from runs.notifications.kinds import KINDS, Channel
from runs.notifications.quiet import Wishes, send_at
from workflows.lib.clock import utc_now
from workflows.lib.ids import new_id
from workflows.tenancy.live import person_group
from workflows.tenancy.models import Membership, User
from workflows.tenancy.roles import Permission, may

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Occasion:
    """Something to be told. `subject` is the id of what it is about; a new `round` of it is told anew.

    `text` is one sentence; `detail` Markdown that only mail shows; `url` a path of ours, `action` its words.
    """

    tenant_id: UUID
    kind: str
    subject: str
    title: str
    text: str = ""
    detail: str = ""
    url: str = ""
    action: str = "Open"
    round: str = ""


def tell(
    occasion: Occasion, people: Iterable[User | None], *, now: datetime | None = None
) -> list[Notification]:
    """Write the rows of this occasion for these people, as each of them wishes; who was told already is left out.

    Only members of the tenant are told, and of what is for owners and admins only those. Call it in the transaction
    of the cause: the rows are there with it or not at all. Returns the new rows. Three to five queries.
    """
    at = now or utc_now()
    info = KINDS[occasion.kind]
    wanted = list(dict.fromkeys(person.pk for person in people if person is not None))
    members = {
        row.user_id: row
        for row in Membership.objects.filter(
            tenant_id=occasion.tenant_id, user_id__in=wanted, user__is_active=True, tenant__is_active=True
        ).select_related("user")
        if not info.managers or may(row.role, Permission.MANAGE_KEYS)
    }
    if not members:
        return []
    users = [members[pk].user for pk in wanted if pk in members]
    wishes = wishes_of(occasion.tenant_id, users)
    rows: list[Notification] = []
    for user in users:
        mine = wishes[user.pk]
        channels = [channel for channel in Channel if mine.wants(occasion.kind, channel)]
        if channels:
            rows.append(_row(occasion, user, Channel.APP in channels, at))
    told = set(
        Notification.objects.filter(
            tenant_id=occasion.tenant_id,
            kind=occasion.kind,
            subject=occasion.subject[:120],
            round=occasion.round[:64],
            person__in=users,
        ).values_list("person_id", flat=True)
    )
    fresh = [row for row in rows if row.person_id not in told]
    if not fresh:
        return []
    Notification.objects.bulk_create(fresh, ignore_conflicts=True)
    # Of two who told the same at once, one has written each row; only its own goes on from here.
    mine_ids = set(Notification.objects.filter(pk__in=[row.pk for row in fresh]).values_list("pk", flat=True))
    fresh = [row for row in fresh if row.pk in mine_ids]
    sends = _sends(occasion, fresh, wishes, {user.pk: user for user in users}, at)
    if sends:
        NotificationSend.objects.bulk_create(sends, ignore_conflicts=True)
    announce(row.person_id for row in fresh if row.in_app)
    return fresh


def _row(occasion: Occasion, user: User, in_app: bool, at: datetime) -> Notification:
    return Notification(
        id=new_id(),
        tenant_id=occasion.tenant_id,
        person=user,
        kind=occasion.kind,
        subject=occasion.subject[:120],
        round=occasion.round[:64],
        title=_line(occasion.title, 200),
        text=_line(occasion.text, 500),
        detail=occasion.detail,
        url=occasion.url[:500],
        action=occasion.action[:60],
        in_app=in_app,
        created_at=at,
    )


def _sends(
    occasion: Occasion,
    rows: Sequence[Notification],
    wishes: dict[int, Wishes],
    users: dict[int, User],
    at: datetime,
) -> list[NotificationSend]:
    """A mail for each who wants one; one post to Slack for all who want it, when the first of them may be disturbed."""
    found = [
        NotificationSend(
            id=new_id(),
            tenant_id=occasion.tenant_id,
            notification=row,
            channel=Channel.EMAIL,
            key=f"email:{row.pk.hex}",
            due_at=send_at(at, wishes[row.person_id]),
        )
        for row in rows
        if wishes[row.person_id].wants(occasion.kind, Channel.EMAIL)
    ]
    posted = [row for row in rows if wishes[row.person_id].wants(occasion.kind, Channel.SLACK)]
    if posted:
        names = [
            f"<@{member}>" if (member := wishes[row.person_id].slack_member) else str(users[row.person_id])
            for row in posted
        ]
        key = f"slack:{occasion.tenant_id.hex}:{occasion.kind}:{occasion.subject[:120]}:{occasion.round[:64]}"
        found.append(
            NotificationSend(
                id=new_id(),
                tenant_id=occasion.tenant_id,
                notification=posted[0],
                channel=Channel.SLACK,
                key=key,
                people=names,
                due_at=min(send_at(at, wishes[row.person_id]) for row in posted),
            )
        )
    return found


def wishes_of(tenant_id: UUID, users: Sequence[User]) -> dict[int, Wishes]:
    """What these people want to hear in this workspace, by their id; the defaults for those who have not said. One query."""
    rows = {
        row.person_id: row
        for row in NotificationSettings.objects.filter(tenant_id=tenant_id, person__in=users)
    }
    return {user.pk: wishes_from(rows.get(user.pk), user) for user in users}


def wishes_from(row: NotificationSettings | None, user: User) -> Wishes:
    zone = zone_of(user)
    if row is None:
        return Wishes(zone=zone)
    return Wishes(
        zone=zone,
        choices={kind: tuple(channels) for kind, channels in row.choices.items() if kind in KINDS},
        everything=row.everything,
        long_minutes=row.long_minutes,
        quiet_from=row.quiet_from,
        quiet_to=row.quiet_to,
        digest_at=row.digest_at,
        digest_weekday=row.digest_weekday,
        slack_member=row.slack_member,
    )


def zone_of(user: User) -> ZoneInfo:
    try:
        return ZoneInfo(user.time_zone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):  # of another release of the time zones
        return ZoneInfo("UTC")


def announce(people: Iterable[int]) -> None:
    """Tell open pages of these people, after the commit, that the number at their bell has changed."""
    ids = list(dict.fromkeys(people))
    if ids:
        transaction.on_commit(lambda: _announce(ids), robust=True)


def _announce(people: list[int]) -> None:
    layer = get_channel_layer()
    for person in people:
        try:
            async_to_sync(layer.group_send)(person_group(person), {"type": "notifications.changed"})
        except Exception as error:  # Redis may be away; the number is right again with the next page
            log.warning("bell_not_rung", person=person, error=str(error))
            return


def _line(text: str, most: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
