"""The library of a tenant: prompts with their numbered versions, personas, and which published steps use them."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

from workflows.models.version import WorkflowVersion
from workflows.models.workflow import Workflow
from workflows.tenancy.managers import TenantQuerySet
from workflows.tenancy.models import Tenant


class Prompt(models.Model):
    """A prompt that steps use by its name. Its text is that of its versions, the newest of which is `latest`.

    `removed_at`: it is offered no more, and steps that follow it get a problem; versions that were published have its text.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="prompts")
    name = models.CharField(max_length=120)
    description = models.CharField(max_length=500, blank=True)
    latest = models.PositiveIntegerField(default=0, help_text="Number of the newest version.")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    removed_at = models.DateTimeField(null=True, blank=True)
    trials = models.OneToOneField(
        Workflow,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        help_text="The hidden workflow under which it is run alone.",
    )

    objects = TenantQuerySet["Prompt"].as_manager()

    class Meta:
        ordering: ClassVar = ["name"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                "tenant", Lower("name"), name="prompt_name_once", condition=models.Q(removed_at__isnull=True)
            )
        ]

    def __str__(self) -> str:
        return self.name


class PromptVersion(models.Model):
    """An immutable text of a prompt. `parameters` lists `{name, type, required, default, description, options}`."""

    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="versions")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    number = models.PositiveIntegerField()
    text = models.TextField()
    parameters = models.JSONField(default=list, blank=True)
    note = models.CharField(max_length=500, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    objects = TenantQuerySet["PromptVersion"].as_manager()

    class Meta:
        ordering: ClassVar = ["-number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["prompt", "number"], name="prompt_version_once")
        ]

    def __str__(self) -> str:
        return f"{self.prompt}, version {self.number}"


class Persona(models.Model):
    """A named system prompt with a colour. One of a built-in persona's name stands in its place."""

    class Colour(models.IntegerChoices):
        BLUE = 1, "Blue"
        ORANGE = 2, "Orange"
        PINK = 3, "Pink"
        GREEN = 4, "Green"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="personas")
    name = models.CharField(max_length=80)
    colour = models.PositiveSmallIntegerField(choices=Colour, default=Colour.BLUE)
    description = models.CharField(
        max_length=300, blank=True, help_text="A line for the card: how it works and what it is for."
    )
    text = models.TextField(
        help_text="Who the model is, and how it works. Put before a step's system prompt."
    )
    updated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    objects = TenantQuerySet["Persona"].as_manager()

    class Meta:
        ordering: ClassVar = ["name"]
        constraints: ClassVar = [
            models.UniqueConstraint("tenant", Lower("name"), name="persona_name_once"),
            models.CheckConstraint(condition=models.Q(colour__range=(1, 4)), name="persona_colour_known"),
        ]

    def __str__(self) -> str:
        return self.name


class LibraryUse(models.Model):
    """A step of a published version that uses a prompt or a persona; written when it is published, to be found again."""

    class Kind(models.TextChoices):
        PROMPT = "prompt", "Prompt"
        PERSONA = "persona", "Persona"

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    workflow = models.ForeignKey(Workflow, on_delete=models.CASCADE, related_name="library_uses")
    version = models.ForeignKey(WorkflowVersion, on_delete=models.CASCADE, related_name="library_uses")
    kind = models.CharField(max_length=8, choices=Kind)
    name = models.CharField(max_length=120, help_text="As it was when the version was published.")
    number = models.PositiveIntegerField(default=0, help_text="The prompt's version; 0 for personas.")
    step_key = models.CharField(max_length=64)
    step_label = models.CharField(max_length=255)

    objects = TenantQuerySet["LibraryUse"].as_manager()

    class Meta:
        ordering: ClassVar = ["id"]
        indexes: ClassVar = [models.Index(fields=["tenant", "kind", "name"], name="library_use_by_name")]

    def __str__(self) -> str:
        return f"{self.name} in {self.step_label}"
