"""Workflows and their versions in the Django admin: to look at; building them has its own pages."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest

from workflows.models import Workflow, WorkflowVersion
from workflows.tenancy.admin import AuditedAdmin, ReadOnlyAdmin


@admin.register(Workflow)
class WorkflowAdmin(AuditedAdmin[Workflow]):
    list_display = ("name", "tenant", "project", "status", "latest_version", "updated_at", "deleted_at")
    list_filter = ("status", "tenant", ("deleted_at", admin.EmptyFieldListFilter))
    search_fields = ("name", "description", "tenant__name")
    list_select_related = ("tenant", "project")
    fields = (
        "name",
        "description",
        "tags",
        "tenant",
        "project",
        "status",
        "latest_version",
        "created_by",
        "updated_at",
    )
    readonly_fields = ("tenant", "project", "status", "latest_version", "created_by", "updated_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Workflow | None = None) -> bool:
        # Deleting for good would take its runs along; the product's own delete hides it.
        return False


@admin.register(WorkflowVersion)
class WorkflowVersionAdmin(ReadOnlyAdmin[WorkflowVersion]):
    list_display = ("workflow", "number", "tenant", "content_hash", "created_by", "created_at")
    list_filter = ("tenant",)
    search_fields = ("workflow__name", "content_hash", "note")
    list_select_related = ("workflow", "tenant", "created_by")
