"""The ledger of what left the house: every mail, webhook and changing request, with its key, a copy and a receipt (E11)."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils import timezone

from runs.models.run import Run, StepRun
from workflows.lib.ids import new_id
from workflows.tenancy.managers import TenantQuerySet
from workflows.tenancy.models import Tenant


class Delivery(models.Model):
    """One outward act. `key` is unique per (run, step, scope, round), the same on every attempt.

    `copy` is what was sent as a person may read it, `receipt` what the other side said, `error` why the last try
    brought none. `unknown` until there is a receipt: a crash leaves it so. `asked_at`: when the step stopped to let
    a person decide, `resend`: they have said “send again”, which holds for one try. The rows of test runs are the outbox.
    """

    class Status(models.TextChoices):
        UNKNOWN = "unknown", "Not known"
        SENT = "sent", "Sent"
        OUTBOX = "outbox", "In the outbox"
        SKIPPED = "skipped", "Not sent again"
        FAILED = "failed", "Not sent"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="deliveries")
    step_run = models.ForeignKey(StepRun, on_delete=models.CASCADE, related_name="deliveries")
    key = models.CharField(max_length=400)
    kind = models.CharField(max_length=32)
    target = models.CharField(max_length=500)
    status = models.CharField(max_length=16, choices=Status, default=Status.UNKNOWN)
    copy = models.JSONField(default=dict, blank=True)
    receipt = models.JSONField(null=True, blank=True)
    error = models.JSONField(null=True, blank=True)
    tries = models.PositiveIntegerField(default=1)
    asked_at = models.DateTimeField(null=True, blank=True)
    resend = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now)
    tried_at = models.DateTimeField(default=timezone.now)
    settled_at = models.DateTimeField(null=True, blank=True)

    objects = TenantQuerySet["Delivery"].as_manager()

    class Meta:
        ordering: ClassVar = ["created_at"]
        verbose_name_plural = "deliveries"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["run", "key"], name="delivery_once"),
            models.CheckConstraint(
                condition=models.Q(status__in=["unknown", "sent", "outbox", "skipped", "failed"]),
                name="delivery_status_known",
            ),
            models.CheckConstraint(
                condition=~models.Q(status="sent") | models.Q(receipt__isnull=False),
                name="sent_delivery_has_receipt",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["tenant", "-created_at"], name="delivery_of_tenant")]

    def __str__(self) -> str:
        return f"{self.kind} to {self.target}"
