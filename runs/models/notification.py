"""What people are told: one row for each person and occasion, how it goes out to them, and what they have chosen."""

from __future__ import annotations

from datetime import time
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone

from workflows.lib.ids import new_id
from workflows.tenancy.managers import TenantQuerySet
from workflows.tenancy.models import Tenant


class Notification(models.Model):
    """Something that one person is told once: the same kind, subject and round are the same occasion.

    `subject` is the id of what it is about, `round` which time (a retry that fails again is another). `detail` is
    Markdown for mail. `url` is a path of ours. `in_app` False: it is in no list, only sent.
    """

    class Kind(models.TextChoices):
        RUN_FAILED = "run_failed", "A run failed"
        RUN_LONG = "run_long", "A long run finished"
        REVIEW_ASKED = "review_asked", "A review waits for you"
        REVIEW_REMINDER = "review_reminder", "A review is due"
        REVIEW_ESCALATED = "review_escalated", "A review was escalated to you"
        REVIEW_DELEGATED = "review_delegated", "A review was delegated to you"
        BUDGET_NEAR = "budget_near", "Four fifths of a budget are spent"
        BUDGET_SPENT = "budget_spent", "A budget is spent"
        CREDIT = "credit", "A provider has no credit or refuses the key"
        DIGEST_DAILY = "digest_daily", "Daily digest"
        DIGEST_WEEKLY = "digest_weekly", "Weekly digest"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notifications"
    )
    kind = models.CharField(max_length=24, choices=Kind)
    subject = models.CharField(max_length=120)
    round = models.CharField(max_length=64, blank=True)
    title = models.CharField(max_length=200)
    text = models.CharField(max_length=500, blank=True)
    detail = models.TextField(blank=True)
    url = models.CharField(max_length=500, blank=True)
    action = models.CharField(max_length=60, blank=True, help_text="What the link does, in words.")
    in_app = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now)
    read_at = models.DateTimeField(null=True, blank=True)

    objects = TenantQuerySet["Notification"].as_manager()

    class Meta:
        ordering: ClassVar = ["-created_at", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "person", "kind", "subject", "round"], name="notification_once"
            )
        ]
        indexes: ClassVar = [
            models.Index(fields=["person", "tenant", "-created_at"], name="notification_list"),
            models.Index(
                fields=["person", "tenant"],
                name="notification_unread",
                condition=models.Q(read_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return self.title


class NotificationSend(models.Model):
    """One way out of a notification: a mail to its person, or a post to the workspace's Slack for all who want it.

    `key` makes it one. Claimed by one conditional UPDATE from `waiting` to `sending`; what is found in `sending` after
    its time was cut off by a crash, may have arrived, and is not sent again.
    """

    class Channel(models.TextChoices):
        EMAIL = "email", "Email"
        SLACK = "slack", "Slack"

    class Status(models.TextChoices):
        WAITING = "waiting", "Waiting"
        SENDING = "sending", "Being sent"
        SENT = "sent", "Sent"
        UNKNOWN = "unknown", "May have arrived"
        DROPPED = "dropped", "No longer needed"
        FAILED = "failed", "Not sent"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    notification = models.ForeignKey(Notification, on_delete=models.CASCADE, related_name="sends")
    channel = models.CharField(max_length=8, choices=Channel)
    key = models.CharField(max_length=320, unique=True)
    people = models.JSONField(
        default=list, blank=True, help_text="Slack: how those who want it are addressed."
    )
    status = models.CharField(max_length=8, choices=Status, default=Status.WAITING)
    due_at = models.DateTimeField(default=timezone.now)
    tries = models.PositiveIntegerField(default=0)
    words = models.CharField(max_length=500, blank=True, help_text="What came of the last try.")
    settled_at = models.DateTimeField(null=True, blank=True)

    objects = TenantQuerySet["NotificationSend"].as_manager()

    class Meta:
        ordering: ClassVar = ["due_at"]
        indexes: ClassVar = [
            models.Index(
                fields=["due_at"], name="notification_due", condition=models.Q(settled_at__isnull=True)
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_channel_display()}: {self.get_status_display()}"


class NotificationSettings(models.Model):
    """What one person wants to hear in one workspace, and when. `choices` is {kind: [channel, …]}; else the default.

    Times are of the person's own time zone. Quiet hours may go over midnight; equal or empty ends: there are none.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    choices = models.JSONField(default=dict, blank=True)
    everything = models.BooleanField(
        default=False, help_text="Runs of everybody, not only one's own runs and workflows."
    )
    long_minutes = models.PositiveIntegerField(default=10)
    quiet_from = models.TimeField(null=True, blank=True)
    quiet_to = models.TimeField(null=True, blank=True)
    digest_at = models.TimeField(default=time(8, 0))
    digest_weekday = models.PositiveSmallIntegerField(default=0, help_text="0 is Monday.")
    slack_member = models.CharField(max_length=32, blank=True, help_text="Slack member id, to be mentioned.")
    updated_at = models.DateTimeField(auto_now=True)

    objects = TenantQuerySet["NotificationSettings"].as_manager()

    class Meta:
        verbose_name_plural = "notification settings"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "person"], name="notification_settings_once")
        ]

    def __str__(self) -> str:
        return f"{self.person} in {self.tenant}"
