"""Telling people: what may be told, who wants to hear it where and when, and the rows that say so. `tell` is the one door."""

from runs.notifications.kinds import GROUPS, KINDS, Channel, KindInfo
from runs.notifications.quiet import Wishes, latest_slot, send_at
from runs.notifications.settle import REVIEW_KINDS, settle_reviews
from runs.notifications.tell import Occasion, announce, tell, wishes_of

__all__ = [
    "GROUPS",
    "KINDS",
    "REVIEW_KINDS",
    "Channel",
    "KindInfo",
    "Occasion",
    "Wishes",
    "announce",
    "latest_slot",
    "send_at",
    "settle_reviews",
    "tell",
    "wishes_of",
]
