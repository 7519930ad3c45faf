"""Frozen definitions: what a run executes, whatever happens to the draft."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone

from workflows.models.workflow import Workflow
from workflows.tenancy.managers import TenantQuerySet
from workflows.tenancy.models import Tenant


class WorkflowVersion(models.Model):
    """An immutable definition. Published ones have a number; a draft that was run is kept unnumbered by its hash.

    `document` is canonical JSON *text*: jsonb would reorder keys and change the hash.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    workflow = models.ForeignKey(Workflow, on_delete=models.CASCADE, related_name="versions")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    number = models.PositiveIntegerField(null=True, blank=True)
    document = models.TextField()
    content_hash = models.CharField(max_length=64)
    note = models.TextField(blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    objects = TenantQuerySet["WorkflowVersion"].as_manager()

    class Meta:
        ordering: ClassVar = ["-created_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["workflow", "number"], name="version_number_once"),
            models.UniqueConstraint(
                fields=["workflow", "content_hash"],
                condition=models.Q(number__isnull=True),
                name="draft_version_once",
            ),
        ]

    def __str__(self) -> str:
        return f"version {self.number}" if self.number is not None else f"draft {self.content_hash[:8]}"
