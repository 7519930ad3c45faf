"""When somebody is told: quiet hours and digests in the person's own time zone, also where clocks change. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from runs.notifications.kinds import KINDS, Channel

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What one person wants to hear. `choices`: channels by kind, where the person has said so."""

    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    choices: dict[str, tuple[str, ...]] = field(default_factory=dict)
    everything: bool = False
    long_minutes: int = 10
    quiet_from: time | None = None
    quiet_to: time | None = None
    digest_at: time = time(8, 0)
    digest_weekday: int = 0
    slack_member: str = ""

    def wants(self, kind: str, channel: Channel) -> bool:
        said = self.choices.get(kind)
        return channel in (KINDS[kind].default if said is None else said)


def send_at(now: datetime, wishes: Wishes) -> datetime:
    """`now` (aware), or the end of the quiet hours in which it falls, in UTC.

    An end that the clocks skip comes when they have been put forward; of an hour that comes twice, the first counts.
    """
    start, end = wishes.quiet_from, wishes.quiet_to
    if start is None or end is None or start == end:
        return now
    local = now.astimezone(wishes.zone)
    clock = local.time().replace(tzinfo=None)
    over_midnight = start > end
    quiet = (clock >= start or clock < end) if over_midnight else start <= clock < end
    if not quiet:
        return now
    day = local.date() + DAY if over_midnight and clock >= start else local.date()
    until = _at(datetime.combine(day, end), wishes.zone)
    # The first of two equal clock times may be past already, in the hour that comes twice.
    return max(until, now)


def latest_slot(now: datetime, wishes: Wishes, *, weekly: bool) -> datetime:
    """The last moment, not after `now`, at which the person's digest was due, in UTC."""
    local = now.astimezone(wishes.zone)
    day = local.date()
    if weekly:
        day -= timedelta(days=(day.weekday() - wishes.digest_weekday) % 7)
    slot = _at(datetime.combine(day, wishes.digest_at), wishes.zone)
    if slot > now:
        day -= timedelta(days=7 if weekly else 1)
        slot = _at(datetime.combine(day, wishes.digest_at), wishes.zone)
    return slot


def _at(local: datetime, zone: ZoneInfo) -> datetime:
    """A time on the wall as a moment. One that does not exist is reckoned with the offset before the change."""
    return local.replace(tzinfo=zone, fold=0).astimezone(UTC)
