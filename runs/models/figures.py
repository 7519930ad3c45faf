"""What a finished hour or day came to: the dashboards' memory, made from rows that may be pruned later."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils import timezone

from workflows.tenancy.managers import TenantQuerySet
from workflows.tenancy.models import Tenant


class StoredFigures(models.Model):
    """The figures of one UTC hour or day of one tenant (`document`: see runs/metrics/figures.py).

    `ended` and `calls` count the rows it was made of, which tells when it has to be made again (a failed run that was
    retried no longer ended then). `sealed`: rows of the time have been pruned; the document stays as it is.
    """

    class Length(models.IntegerChoices):
        HOUR = 1, "Hour"
        DAY = 24, "Day"

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    hours = models.PositiveSmallIntegerField(choices=Length)
    start = models.DateTimeField()
    document = models.JSONField()
    brief = models.JSONField(
        null=True, blank=True, help_text="Of a day: {workflow id: [completed, failed, money]}, for lists."
    )
    ended = models.PositiveIntegerField(default=0)
    calls = models.PositiveIntegerField(default=0)
    sealed = models.BooleanField(default=False)
    made_at = models.DateTimeField(default=timezone.now)

    objects = TenantQuerySet["StoredFigures"].as_manager()

    class Meta:
        ordering: ClassVar = ["start"]
        verbose_name_plural = "stored figures"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "hours", "start"], name="figures_once"),
        ]

    def __str__(self) -> str:
        return f"{self.get_hours_display()} of {self.start:%Y-%m-%d %H:%M}"
