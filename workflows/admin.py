"""Workflows and their versions in the Django admin: to look at; building them has its own pages."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest

from workflows.models import EmailTemplate, Persona, Prompt, PromptVersion, Workflow, WorkflowVersion
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


@admin.register(Persona)
class PersonaAdmin(AuditedAdmin[Persona]):
    """Personas of the tenants; the nine built-in ones stand here once somebody has changed them."""

    list_display = ("name", "tenant", "colour", "description", "updated_at")
    list_filter = ("tenant", "colour")
    search_fields = ("name", "description", "text")
    list_select_related = ("tenant",)
    fields = ("tenant", "name", "colour", "description", "text")

    def get_readonly_fields(self, request: HttpRequest, obj: Persona | None = None) -> tuple[str, ...]:
        # Steps name it: another name is given on its page, where they follow.
        return ("tenant", "name") if obj is not None else ()


@admin.register(EmailTemplate)
class EmailTemplateAdmin(AuditedAdmin[EmailTemplate]):
    """Mails of the tenants by name; the built-in ones stand here once somebody has changed them."""

    list_display = ("name", "tenant", "subject", "as_html", "updated_at")
    list_filter = ("tenant",)
    search_fields = ("name", "description", "subject", "text")
    list_select_related = ("tenant",)
    fields = ("tenant", "name", "description", "subject", "text", "as_html", "parameters")

    def get_readonly_fields(self, request: HttpRequest, obj: EmailTemplate | None = None) -> tuple[str, ...]:
        # Steps name it. Its variables are checked against the text on its page.
        return ("tenant", "name") if obj is not None else ()


class PromptVersions(admin.StackedInline[PromptVersion, Prompt]):
    """The versions, to be read: they never change, and the next one is written on the prompt's page."""

    model = PromptVersion
    fields = ("number", "text", "parameters", "note", "created_by", "created_at")
    readonly_fields = fields
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Prompt | None = None) -> bool:
        return False


@admin.register(Prompt)
class PromptAdmin(AuditedAdmin[Prompt]):
    list_display = ("name", "tenant", "latest", "created_by", "updated_at", "removed_at")
    list_filter = ("tenant", ("removed_at", admin.EmptyFieldListFilter))
    search_fields = ("name", "description", "versions__text")
    list_select_related = ("tenant", "created_by")
    fields = ("name", "description", "tenant", "latest", "created_by", "removed_at")
    readonly_fields = ("name", "tenant", "latest", "created_by")
    inlines = (PromptVersions,)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False
