"""Quiet hours and digests by the clock on the person's wall, also where it is put forward and back."""

from __future__ import annotations

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest

from runs.notifications import Wishes, latest_slot, send_at

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def quiet(start: str, end: str, zone: ZoneInfo = BERLIN) -> Wishes:
    return Wishes(zone=zone, quiet_from=time.fromisoformat(start), quiet_to=time.fromisoformat(end))


@pytest.mark.parametrize(
    ("now", "start", "end", "due"),
    [
        # Winter: Berlin is one hour ahead.
        ("2026-11-20 12:00", "22:00", "07:00", "2026-11-20 12:00"),
        ("2026-11-20 21:00", "22:00", "07:00", "2026-11-21 06:00"),
        ("2026-11-21 05:59", "22:00", "07:00", "2026-11-21 06:00"),
        ("2026-11-21 06:00", "22:00", "07:00", "2026-11-21 06:00"),
        ("2026-11-20 11:30", "12:00", "13:00", "2026-11-20 12:00"),
        # The night in which clocks go forward (01:00 UTC): the morning comes an hour earlier.
        ("2026-03-28 22:00", "22:00", "07:00", "2026-03-29 05:00"),
        # An end that does not exist, 02:30: when the clock has been put forward, at 03:30.
        ("2026-03-28 23:00", "22:00", "02:30", "2026-03-29 01:30"),
        # The night in which they go back: an hour later.
        ("2026-10-24 21:00", "22:00", "07:00", "2026-10-25 06:00"),
        # An end that comes twice, 02:30: the first time.
        ("2026-10-24 21:00", "22:00", "02:30", "2026-10-25 00:30"),
        # Between the two it is the second time: over, not a day later.
        ("2026-10-25 01:10", "22:00", "02:30", "2026-10-25 01:10"),
    ],
)
def test_what_falls_into_quiet_hours_comes_at_their_end(now: str, start: str, end: str, due: str) -> None:
    assert send_at(at(now), quiet(start, end)) == at(due)


def test_without_hours_or_with_empty_ones_nothing_waits() -> None:
    now = at("2026-11-20 23:00")
    assert send_at(now, Wishes()) == now
    assert send_at(now, quiet("22:00", "22:00")) == now


def test_every_moment_of_a_year_waits_less_than_a_day_and_never_goes_back() -> None:
    wishes = quiet("22:00", "02:30")
    for hour in range(365 * 24):
        now = datetime.fromtimestamp(at("2026-01-01 00:10").timestamp() + hour * 3_600, UTC)
        due = send_at(now, wishes)
        assert now <= due
        assert (due - now).total_seconds() <= 6 * 3_600, now


@pytest.mark.parametrize(
    ("now", "weekly", "slot"),
    [
        ("2026-11-20 07:30", False, "2026-11-20 07:00"),
        ("2026-11-20 06:59", False, "2026-11-19 07:00"),
        # The 20th is a Friday; the week's is on Monday.
        ("2026-11-20 07:30", True, "2026-11-16 07:00"),
        ("2026-11-16 06:30", True, "2026-11-09 07:00"),
        # Summer time: eight o'clock in Berlin is six in UTC.
        ("2026-07-01 06:00", False, "2026-07-01 06:00"),
    ],
)
def test_the_digest_is_due_by_the_clock_on_the_wall(now: str, weekly: bool, slot: str) -> None:
    assert latest_slot(at(now), Wishes(zone=BERLIN), weekly=weekly) == at(slot)
