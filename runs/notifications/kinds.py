"""The kinds of things that people are told: their words, their look, and where they go unless somebody says otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from runs.models import Notification

Kind = Notification.Kind


class Channel(StrEnum):
    """Where somebody is told: in the list behind the bell, by mail, in the workspace's Slack."""

    APP = "app"
    EMAIL = "email"
    SLACK = "slack"


@dataclass(frozen=True, slots=True)
class KindInfo:
    """`shape` and `icon` are those of states (docs/ui.md). `managers`: only owners and admins ever hear of it."""

    label: str
    help: str
    shape: str
    icon: str
    default: tuple[Channel, ...]
    managers: bool = False


_BOTH: Final = (Channel.APP, Channel.EMAIL)
_APP: Final = (Channel.APP,)

KINDS: Final[Mapping[str, KindInfo]] = {
    Kind.REVIEW_ASKED: KindInfo(
        "A review waits for you", "As soon as a run reaches it.", "review", "hand", _BOTH
    ),
    Kind.REVIEW_REMINDER: KindInfo(
        "A review is due", "Before or when its time is up.", "review", "clock", _BOTH
    ),
    Kind.REVIEW_ESCALATED: KindInfo(
        "A review was escalated to you", "Nobody has decided it in time.", "review", "hand", _BOTH
    ),
    Kind.REVIEW_DELEGATED: KindInfo(
        "A review was delegated to you", "Somebody has passed it on.", "review", "hand", _BOTH
    ),
    Kind.RUN_FAILED: KindInfo(
        "A run failed", "Of yours: one you started, or of a workflow you made.", "failed", "octagon-x", _BOTH
    ),
    Kind.RUN_LONG: KindInfo(
        "A long run finished", "One that took longer than you say below.", "done", "circle-check", _APP
    ),
    Kind.BUDGET_NEAR: KindInfo("Four fifths of a budget are spent", "", "paused", "triangle-alert", _APP),
    Kind.BUDGET_SPENT: KindInfo(
        "A budget is spent", "Runs pause, stop, or go on, as set.", "failed", "octagon-x", _BOTH
    ),
    Kind.CREDIT: KindInfo(
        "A provider has no credit or refuses the key",
        "Also when a stated balance runs out.",
        "failed",
        "key-round",
        _BOTH,
        managers=True,
    ),
    Kind.DIGEST_DAILY: KindInfo(
        "Daily digest", "Runs, failures, reviews and spending of a day.", "done", "list-checks", ()
    ),
    Kind.DIGEST_WEEKLY: KindInfo("Weekly digest", "The same of a week.", "done", "list-checks", ()),
}

GROUPS: Final = (
    ("Reviews", (Kind.REVIEW_ASKED, Kind.REVIEW_REMINDER, Kind.REVIEW_ESCALATED, Kind.REVIEW_DELEGATED)),
    ("Runs", (Kind.RUN_FAILED, Kind.RUN_LONG)),
    ("Money", (Kind.BUDGET_NEAR, Kind.BUDGET_SPENT, Kind.CREDIT)),
    ("Digests", (Kind.DIGEST_DAILY, Kind.DIGEST_WEEKLY)),
)
