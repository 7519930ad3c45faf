"""What people keep about the history: their views of it, and how long the tenant keeps runs at all."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone

from workflows.lib.ids import new_id
from workflows.tenancy.managers import TenantQuerySet
from workflows.tenancy.models import Tenant

LONGEST_KEPT_DAYS = 3_650
# The month's budget is counted from its runs, and hours are shown from their rows.
LEAST_KEPT_DAYS = 31


class SavedView(models.Model):
    """Filters of the history under a name, one person's own. `query` is the part of the address after the `?`."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=80)
    query = models.CharField(max_length=2_000, blank=True)
    is_default = models.BooleanField(default=False, help_text="What the person sees first.")
    created_at = models.DateTimeField(default=timezone.now)

    objects = TenantQuerySet["SavedView"].as_manager()

    class Meta:
        ordering: ClassVar = ["name"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "user", "name"], name="view_name_once"),
            models.UniqueConstraint(
                fields=["tenant", "user"], name="one_default_view", condition=models.Q(is_default=True)
            ),
        ]

    def __str__(self) -> str:
        return self.name


class RetentionPolicy(models.Model):
    """How many days a tenant keeps what is over; NULL: for ever. No row: for ever, all of it.

    `runs_days` deletes whole runs; `texts_days` what models were sent and answered (prompts and raw answers of attempts).
    """

    _days: ClassVar = [MinValueValidator(1), MaxValueValidator(LONGEST_KEPT_DAYS)]

    tenant = models.OneToOneField(
        Tenant, on_delete=models.CASCADE, primary_key=True, related_name="run_retention"
    )
    runs_days = models.PositiveIntegerField(null=True, blank=True, validators=_days)
    texts_days = models.PositiveIntegerField(null=True, blank=True, validators=_days)
    changed_at = models.DateTimeField(default=timezone.now)

    objects = TenantQuerySet["RetentionPolicy"].as_manager()

    class Meta:
        verbose_name_plural = "retention policies"

    def __str__(self) -> str:
        return f"How long {self.tenant} keeps runs"
