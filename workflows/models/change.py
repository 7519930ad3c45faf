"""The history of a draft: a row for each change, with what it takes to turn it back."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone

from workflows.models.workflow import Workflow
from workflows.tenancy.managers import TenantQuerySet
from workflows.tenancy.models import Tenant


class DraftChange(models.Model):
    """One change of a draft. `patch` is of `workflows.definition.patches`, with `revs`: the steps' revisions after it.

    `revision` is the draft's after the change. Only an `edit` can be undone; an undo or redo is a change of its own
    for everybody else. `dropped`: it cannot be made again, because its author went on with something else.
    """

    class Origin(models.TextChoices):
        EDIT = "edit", "Edit"
        UNDO = "undo", "Undo"
        REDO = "redo", "Redo"

    class State(models.TextChoices):
        DONE = "done", "Done"
        UNDONE = "undone", "Undone"
        DROPPED = "dropped", "Dropped"

    workflow = models.ForeignKey(Workflow, on_delete=models.CASCADE, related_name="changes")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    revision = models.PositiveIntegerField()
    origin = models.CharField(max_length=8, choices=Origin, default=Origin.EDIT)
    state = models.CharField(max_length=8, choices=State, default=State.DONE)
    undone_at_revision = models.PositiveIntegerField(null=True, blank=True)
    message = models.TextField(blank=True)
    patch = models.JSONField()
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    objects = TenantQuerySet["DraftChange"].as_manager()

    class Meta:
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [
            models.Index(fields=["workflow", "-id"], name="draft_change_latest"),
            models.Index(fields=["workflow", "author", "state", "-id"], name="draft_change_of_author"),
        ]

    def __str__(self) -> str:
        return self.message or f"change to revision {self.revision}"
