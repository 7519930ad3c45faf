"""Workflow templates: ready definitions that a new workflow can begin with."""

from __future__ import annotations

import uuid
from typing import ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from workflows.models import Workflow
from workflows.tenancy.managers import TenantQuerySet
from workflows.tenancy.models import Tenant


class TemplateQuerySet(TenantQuerySet["WorkflowTemplate"]):
    """Templates, narrowed to those that somebody may start from."""

    def visible_to(self, tenant: Tenant) -> Self:
        """The published templates of everybody and of this tenant."""
        everybody = Q(tenant=None)
        return self.filter(everybody | Q(tenant=tenant), status=WorkflowTemplate.Status.PUBLISHED)


class WorkflowTemplate(models.Model):
    """A definition with the words that help to choose it. Without a tenant it is everybody's.

    `document` is the definition as canonical JSON text. `loaded_hash` is the SHA-256 of the file that a built-in
    template was last loaded from (empty when that file has gone): the loader writes only when the file has changed,
    so that what an admin changed in between stays.
    """

    class Status(models.TextChoices):
        DRAFT = "draft", "Draft"
        PUBLISHED = "published", "Published"
        WITHDRAWN = "withdrawn", "Withdrawn"

    class Source(models.TextChoices):
        FILE = "file", "Built in"
        PEOPLE = "people", "Made by people"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(
        Tenant,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="workflow_templates",
        help_text="Whose it is; empty = every tenant sees it.",
    )
    slug = models.SlugField(max_length=80)
    name = models.CharField(max_length=255)
    category = models.CharField(max_length=60)
    icon = models.CharField(max_length=40, default="layers", help_text="A name of static/icons.txt.")
    description = models.TextField(
        max_length=2000, blank=True, help_text="What it does, in a sentence or two."
    )
    outcome = models.CharField(max_length=300, blank=True, help_text="What one has in hand afterwards.")
    document = models.TextField(help_text="The definition as JSON.")
    content_hash = models.CharField(max_length=64, editable=False)
    source = models.CharField(max_length=8, choices=Source, default=Source.PEOPLE, editable=False)
    loaded_hash = models.CharField(max_length=64, blank=True, editable=False)
    status = models.CharField(max_length=16, choices=Status, default=Status.DRAFT)
    sample = models.JSONField(
        default=dict, blank=True, help_text="Input for a first try: {name of a variable: value}."
    )
    revision = models.PositiveIntegerField(
        default=1,
        editable=False,
        help_text="Rises with every new definition; those who use it are offered it.",
    )
    origin = models.ForeignKey(
        "self",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="shared",
        help_text="The workspace's template that this one for everybody was made of.",
    )
    submitted_at = models.DateTimeField(
        "offered to everybody",
        null=True,
        blank=True,
        editable=False,
        help_text="Waits for an admin's answer.",
    )
    answer = models.CharField(
        max_length=300, blank=True, help_text="What an admin answered to the offer; the workspace reads it."
    )
    install_count = models.PositiveIntegerField("uses", default=0, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = TemplateQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["name", "id"]
        indexes: ClassVar = [models.Index(fields=["status", "tenant", "name"], name="template_gallery")]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "slug"], name="template_slug_once_per_tenant"),
            # NULLs differ from each other in a unique constraint, so everybody's templates have their own.
            models.UniqueConstraint(
                fields=["slug"], condition=Q(tenant__isnull=True), name="template_slug_once_for_all"
            ),
            models.CheckConstraint(
                condition=Q(status__in=["draft", "published", "withdrawn"]), name="template_status_known"
            ),
            models.CheckConstraint(condition=Q(source__in=["file", "people"]), name="template_source_known"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_builtin(self) -> bool:
        return self.source == self.Source.FILE


class TemplateInstall(models.Model):
    """A workflow that was made from a template: at which revision, and what it said then (`document`, canonical JSON).

    What the template says later is compared with `document`, so that people's own changes are told from news.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    template = models.ForeignKey(WorkflowTemplate, on_delete=models.CASCADE, related_name="installs")
    workflow = models.OneToOneField(Workflow, on_delete=models.CASCADE, related_name="install")
    revision = models.PositiveIntegerField(default=1)
    document = models.TextField()
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = TenantQuerySet["TemplateInstall"].as_manager()

    class Meta:
        ordering: ClassVar = ["-created_at", "-pk"]
        indexes: ClassVar = [models.Index(fields=["tenant", "template"], name="install_of_template")]

    def __str__(self) -> str:
        return f"{self.workflow_id} from {self.template_id}"


class FirstSteps(models.Model):
    """How far a person is on the first steps in a tenant. What runs and accounts say themselves is not kept here."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="first_steps")
    stays_with_demo = models.BooleanField(default=False)
    workflow = models.ForeignKey(Workflow, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    skipped_at = models.DateTimeField(null=True, blank=True)

    objects = TenantQuerySet["FirstSteps"].as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "user"], name="first_steps_once_per_person"),
        ]

    def __str__(self) -> str:
        return f"First steps of {self.user_id} in {self.tenant_id}"
