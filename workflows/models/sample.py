"""Sample inputs that are kept with a workflow, for tests and first runs."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

from workflows.definition.samples import SAMPLE_NAME_CHARS
from workflows.lib.ids import new_id
from workflows.models.workflow import Workflow
from workflows.tenancy.managers import TenantQuerySet
from workflows.tenancy.models import Tenant


class SampleInput(models.Model):
    """The input of a run under a name. A removed one stays until its name is needed again, so that it can come back."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    workflow = models.ForeignKey(Workflow, on_delete=models.CASCADE, related_name="samples")
    name = models.CharField(max_length=SAMPLE_NAME_CHARS)
    input = models.JSONField(default=dict, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    removed_at = models.DateTimeField(null=True, blank=True)

    objects = TenantQuerySet["SampleInput"].as_manager()

    class Meta:
        ordering: ClassVar = [Lower("name")]
        constraints: ClassVar = [
            models.UniqueConstraint(
                "workflow",
                Lower("name"),
                condition=models.Q(removed_at__isnull=True),
                name="sample_name_once_per_workflow",
            )
        ]

    def __str__(self) -> str:
        return self.name
