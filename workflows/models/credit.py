"""An account at a provider that cannot pay or is not let in: one open row until it is cured."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils import timezone

from workflows.lib.ids import new_id
from workflows.tenancy.managers import TenantQuerySet
from workflows.tenancy.models import ProviderAccount, Tenant


class CreditAlert(models.Model):
    """`what` is `refused` (a call met used-up credit or a key that is not accepted) or `low` (the stated balance runs
    out). `account` is None for the server's own, `account_key` says which in any case: the id, or `env:PROVIDER`.
    """

    class What(models.TextChoices):
        REFUSED = "refused", "Calls are refused"
        LOW = "low", "Little is left"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    account = models.ForeignKey(
        ProviderAccount, on_delete=models.CASCADE, null=True, blank=True, related_name="alerts"
    )
    account_key = models.CharField(max_length=64)
    provider = models.CharField(max_length=32)
    name = models.CharField(max_length=120)
    what = models.CharField(max_length=8, choices=What, default=What.REFUSED)
    code = models.CharField(max_length=64)
    words = models.CharField(max_length=500)
    run = models.UUIDField(null=True, blank=True, help_text="The run that met it first.")
    raised_at = models.DateTimeField(default=timezone.now)
    told_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_by = models.CharField(max_length=200, blank=True)

    objects = TenantQuerySet["CreditAlert"].as_manager()

    class Meta:
        ordering: ClassVar = ["-raised_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "account_key", "what"],
                condition=models.Q(closed_at__isnull=True),
                name="credit_alert_open_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.name}: {self.words}"
