"""A workflow and its draft graph as rows: steps, edges, variables, triggers."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

from workflows.definition.graph import DEFAULT_PORT
from workflows.tenancy.managers import TenantQuerySet
from workflows.tenancy.models import Project, Tenant


class Workflow(models.Model):
    """What people build: a draft that is edited, and numbered versions that are run.

    `revision` rises with every change of the draft (`If-Match`, stale tabs). `deleted_at` hides it; runs finish.
    """

    class Status(models.TextChoices):
        DRAFT = "draft", "Draft"
        ACTIVE = "active", "Active"
        ARCHIVED = "archived", "Archived"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="workflows")
    project = models.ForeignKey(
        Project, on_delete=models.SET_NULL, null=True, blank=True, related_name="workflows"
    )
    name = models.CharField(max_length=255)
    description = models.TextField(blank=True)
    tags = models.JSONField(default=list, blank=True)
    status = models.CharField(max_length=16, choices=Status, default=Status.DRAFT)
    settings = models.JSONField(default=dict, blank=True)
    revision = models.PositiveIntegerField(default=1)
    latest_version = models.PositiveIntegerField(
        default=0, help_text="Number of the newest published version; 0 = none."
    )
    created_by = models.ForeignKey(
        "tenancy.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    deleted_at = models.DateTimeField(null=True, blank=True)

    objects = TenantQuerySet["Workflow"].as_manager()

    class Meta:
        ordering: ClassVar = ["-updated_at"]
        indexes: ClassVar = [
            models.Index(fields=["tenant", "deleted_at", "-updated_at"], name="workflow_list")
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(status__in=["draft", "active", "archived"]), name="workflow_status_known"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_published(self) -> bool:
        return self.latest_version > 0


class Step(models.Model):
    """One step of the draft. Field meanings are those of `workflows.definition.graph.StepDef`."""

    workflow = models.ForeignKey(Workflow, on_delete=models.CASCADE, related_name="steps")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=64)
    type = models.CharField(max_length=64)
    label = models.CharField(max_length=255)
    description = models.TextField(blank=True)
    config = models.JSONField(default=dict, blank=True)
    enabled = models.BooleanField(default=True)
    parent = models.ForeignKey(
        "self", on_delete=models.CASCADE, null=True, blank=True, related_name="children"
    )
    order = models.PositiveIntegerField(default=0)
    place = models.IntegerField(
        default=0, help_text="Place in the definition's list of steps; gaps are fine."
    )
    x = models.FloatField(null=True, blank=True)
    y = models.FloatField(null=True, blank=True)
    retry = models.JSONField(null=True, blank=True)
    timeout_s = models.FloatField(null=True, blank=True)
    on_error = models.JSONField(default=dict, blank=True)
    join = models.JSONField(default=dict, blank=True)
    inputs = models.JSONField(default=list, blank=True)
    outputs = models.JSONField(default=list, blank=True)
    pinned = models.JSONField(null=True, blank=True)
    note = models.TextField(blank=True)
    generated = models.BooleanField(default=False)
    revision = models.PositiveIntegerField(default=1, help_text="Rises with every change of this step.")

    objects = TenantQuerySet["Step"].as_manager()

    class Meta:
        ordering: ClassVar = ["place", "id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["workflow", "key"], name="step_key_once"),
            models.UniqueConstraint("workflow", Lower("label"), name="step_label_once"),
        ]

    def __str__(self) -> str:
        return self.label


class Edge(models.Model):
    """A path of the draft from a step's port to a step."""

    workflow = models.ForeignKey(Workflow, on_delete=models.CASCADE, related_name="edges")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=64)
    source = models.ForeignKey(Step, on_delete=models.CASCADE, related_name="outgoing")
    port = models.TextField(default=DEFAULT_PORT)
    target = models.ForeignKey(Step, on_delete=models.CASCADE, related_name="incoming")
    target_input = models.TextField(null=True, blank=True)  # noqa: DJ001 - None and "" differ
    condition = models.TextField(null=True, blank=True)  # noqa: DJ001 - None and "" differ
    order = models.IntegerField(default=0, help_text="Place in the definition's list; gaps are fine.")

    objects = TenantQuerySet["Edge"].as_manager()

    class Meta:
        ordering: ClassVar = ["order", "id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["workflow", "key"], name="edge_key_once"),
        ]

    def __str__(self) -> str:
        return f"{self.source_id}.{self.port} → {self.target_id}"


class Variable(models.Model):
    """A variable of the draft: part of the run form (`input`) or living through the run (`context`)."""

    workflow = models.ForeignKey(Workflow, on_delete=models.CASCADE, related_name="variables")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=100)
    type = models.CharField(max_length=16, default="string")
    kind = models.CharField(max_length=16, default="input")
    required = models.BooleanField(default=False)
    default = models.JSONField(null=True, blank=True)
    description = models.TextField(blank=True)
    order = models.IntegerField(default=0)

    objects = TenantQuerySet["Variable"].as_manager()

    class Meta:
        ordering: ClassVar = ["order", "id"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["workflow", "name"], name="variable_once")]

    def __str__(self) -> str:
        return self.name


class Trigger(models.Model):
    """What starts runs of a workflow; the schedule, webhook and event types come with their own rows later."""

    workflow = models.ForeignKey(Workflow, on_delete=models.CASCADE, related_name="triggers")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=64)
    type = models.CharField(max_length=32)
    config = models.JSONField(default=dict, blank=True)
    input_mapping = models.JSONField(default=dict, blank=True)
    order = models.IntegerField(default=0)

    objects = TenantQuerySet["Trigger"].as_manager()

    class Meta:
        ordering: ClassVar = ["order", "id"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["workflow", "key"], name="trigger_key_once")]

    def __str__(self) -> str:
        return f"{self.type} of {self.workflow_id}"
