"""Models of what happens to a workflow."""

from runs.models.delivery import Delivery
from runs.models.figures import StoredFigures
from runs.models.firing import Firing
from runs.models.history import RetentionPolicy, SavedView
from runs.models.item import Item
from runs.models.mailbox import Absence, EarlyDecision, IdempotencyKey, Mail, Review, ReviewVote
from runs.models.notification import Notification, NotificationSend, NotificationSettings
from runs.models.run import DEAD_LETTER_KINDS, Attempt, Blob, Event, Run, RunCounter, StepRun

__all__ = [
    "DEAD_LETTER_KINDS",
    "Absence",
    "Attempt",
    "Blob",
    "Delivery",
    "EarlyDecision",
    "Event",
    "Firing",
    "IdempotencyKey",
    "Item",
    "Mail",
    "Notification",
    "NotificationSend",
    "NotificationSettings",
    "RetentionPolicy",
    "Review",
    "ReviewVote",
    "Run",
    "RunCounter",
    "SavedView",
    "StepRun",
    "StoredFigures",
]
