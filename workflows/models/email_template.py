"""Named texts of mails: what `email` steps send, by name, with variables that a step fills."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

from workflows.lib.ids import new_id
from workflows.tenancy.managers import TenantQuerySet
from workflows.tenancy.models import Tenant


class EmailTemplate(models.Model):
    """Subject and text see only the variables in `parameters` (list of `{name, required, default, description}`) and
    `text`, the step's own. One with a built-in's name stands in its place.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="email_templates")
    name = models.CharField(max_length=80)
    description = models.CharField(max_length=300, blank=True)
    subject = models.CharField(max_length=250)
    text = models.TextField()
    as_html = models.BooleanField(
        default=True,
        verbose_name="Formatted",
        help_text="The text is Markdown and goes out formatted, with the plain text beside it.",
    )
    parameters = models.JSONField(default=list, blank=True)
    updated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    updated_at = models.DateTimeField(default=timezone.now)

    objects = TenantQuerySet["EmailTemplate"].as_manager()

    class Meta:
        ordering: ClassVar = [Lower("name")]
        constraints: ClassVar = [
            models.UniqueConstraint("tenant", Lower("name"), name="email_template_name_once_per_tenant")
        ]

    def __str__(self) -> str:
        return self.name
