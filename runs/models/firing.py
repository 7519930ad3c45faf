"""What an event has led to, trigger by trigger: the history of each (X1), and what keeps two keepers from starting twice."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils import timezone

from runs.models.run import Run
from workflows.models import DomainEvent, Workflow
from workflows.tenancy.managers import TenantQuerySet
from workflows.tenancy.models import Tenant


class Firing(models.Model):
    """One trigger's answer to one event. `reason` says in a sentence why no run was started."""

    class Outcome(models.TextChoices):
        STARTED = "started", "Started a run"
        FILTERED = "filtered", "The filter does not hold"
        DUPLICATE = "duplicate", "The same was there already"
        REFUSED = "refused", "Could not start"

    event = models.ForeignKey(DomainEvent, on_delete=models.CASCADE, related_name="firings")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    workflow = models.ForeignKey(Workflow, on_delete=models.CASCADE, related_name="firings")
    trigger_key = models.CharField(max_length=64)
    outcome = models.CharField(max_length=16, choices=Outcome)
    reason = models.TextField(blank=True)
    dedupe_key = models.CharField(max_length=255, blank=True)
    run = models.ForeignKey(Run, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    at = models.DateTimeField(default=timezone.now)

    objects = TenantQuerySet["Firing"].as_manager()

    class Meta:
        ordering: ClassVar = ["-at"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["event", "workflow", "trigger_key"], name="firing_once")
        ]
        indexes: ClassVar = [
            models.Index(fields=["workflow", "trigger_key", "-at"], name="firing_history"),
            models.Index(fields=["tenant", "-at"], name="firing_of_tenant"),
        ]

    def __str__(self) -> str:
        return f"{self.outcome} by {self.event_id}"
