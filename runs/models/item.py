"""Items of loops and fan-outs: one row each, with its own state, input and result (D11)."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from runs.engine.items import ItemStatus
from runs.models.run import Run, StepRun
from workflows.lib.ids import new_id
from workflows.tenancy.managers import TenantQuerySet
from workflows.tenancy.models import Tenant


class Item(models.Model):
    """One item of a container's current round; progress is counted from these rows.

    `container` and `scope` say where the container runs, `index` counts from 0 in the input's order. `value` is what
    the body sees as `{{item}}`, `result` an output object. Tokens, cost and provider are sums over the body's tries.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="items")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    step_run = models.ForeignKey(StepRun, on_delete=models.CASCADE, related_name="items")
    container = models.CharField(max_length=64)
    scope = models.CharField(max_length=255, default="", blank=True)
    index = models.PositiveIntegerField()
    heading = models.CharField(max_length=255, blank=True)
    value = models.JSONField(null=True, blank=True)
    status = models.CharField(max_length=16, default=ItemStatus.PENDING)
    result = models.JSONField(null=True, blank=True)
    error = models.JSONField(null=True, blank=True)
    reused = models.BooleanField(default=False)
    provider = models.CharField(max_length=32, blank=True)
    input_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)
    cost = models.DecimalField(max_digits=14, decimal_places=8, default=0)
    started_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)

    objects = TenantQuerySet["Item"].as_manager()

    class Meta:
        ordering: ClassVar = ["index"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["step_run", "index"], name="item_once"),
            models.CheckConstraint(
                condition=~models.Q(status=ItemStatus.COMPLETED) | models.Q(result__isnull=False),
                name="completed_item_has_result",
            ),
            models.CheckConstraint(
                condition=models.Q(status__in=[status.value for status in ItemStatus]),
                name="item_status_known",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["step_run", "status"], name="item_by_status")]

    def __str__(self) -> str:
        return self.heading or f"item {self.index + 1}"

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    @property
    def item_scope(self) -> str:
        """The scope of the rows that did this item's work."""
        own = f"{self.container}[{self.index}]"
        return f"{self.scope}.{own}" if self.scope else own
