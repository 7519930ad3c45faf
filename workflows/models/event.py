"""What has happened, as rows that start workflows: events with their data, and the triggers of published versions."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils import timezone

from workflows.lib.ids import new_id
from workflows.models.version import WorkflowVersion
from workflows.models.workflow import Workflow
from workflows.tenancy.managers import TenantQuerySet
from workflows.tenancy.models import Tenant


class DomainEvent(models.Model):
    """A named thing that has happened, written in the transaction in which it did; the keeper fires it.

    `key` makes it one: the same key of a tenant is the same event. `depth` says how many runs stand above those that it
    starts. `source` is `api`, `step` or `stepwell`, `source_run` the run whose step told it.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=200)
    data = models.JSONField(null=True, blank=True)
    key = models.CharField(max_length=400, blank=True)
    source = models.CharField(max_length=16)
    source_run = models.UUIDField(null=True, blank=True)
    by = models.CharField(max_length=200, blank=True)
    depth = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)
    fired_at = models.DateTimeField(null=True, blank=True)
    tries = models.PositiveIntegerField(default=0)

    objects = TenantQuerySet["DomainEvent"].as_manager()

    class Meta:
        ordering: ClassVar = ["-created_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "key"], condition=~models.Q(key=""), name="event_key_once"
            )
        ]
        indexes: ClassVar = [
            models.Index(fields=["tenant", "-created_at"], name="event_history"),
            models.Index(
                fields=["created_at"], name="event_to_fire", condition=models.Q(fired_at__isnull=True)
            ),
        ]

    def __str__(self) -> str:
        return self.name


class PublishedTrigger(models.Model):
    """A trigger of the newest published version: what is looked at when something happens. Replaced by publishing."""

    workflow = models.ForeignKey(Workflow, on_delete=models.CASCADE, related_name="published_triggers")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    version = models.ForeignKey(WorkflowVersion, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=64)
    type = models.CharField(max_length=32)
    config = models.JSONField(default=dict, blank=True)
    input_mapping = models.JSONField(default=dict, blank=True)
    paused_at = models.DateTimeField(
        null=True, blank=True, help_text="Since when a person holds it; the next version keeps it held."
    )

    objects = TenantQuerySet["PublishedTrigger"].as_manager()

    class Meta:
        ordering: ClassVar = ["id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["workflow", "key"], name="published_trigger_once")
        ]
        indexes: ClassVar = [models.Index(fields=["tenant", "type"], name="trigger_of_tenant")]

    def __str__(self) -> str:
        return f"{self.type} of {self.workflow_id}"
