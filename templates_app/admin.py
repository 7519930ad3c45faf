"""The template catalogue in the Django admin, for admins who are no programmers."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from templates_app.models import WorkflowTemplate
from templates_app.services.change_template import (
    approve_template,
    duplicate_template,
    publish_template,
    refuse_template,
    set_definition,
    withdraw_template,
)
from templates_app.services.documents import as_yaml, read_definition
from templates_app.shapes import shape_of
from workflows.definition.graph import Definition
from workflows.lib.errors import StepwellError
from workflows.templatetags.ui import icon_names
from workflows.tenancy.admin import AuditedAdmin
from workflows.tenancy.models import User


class TemplateForm(forms.ModelForm[WorkflowTemplate]):
    """The template's words, and its definition as YAML or JSON, read and checked before anything is saved."""

    icon = forms.ChoiceField(help_text="The small picture of the template.")
    document = forms.CharField(
        label="Definition",
        strip=False,  # the spaces before the first line say how deep it is
        widget=forms.Textarea(
            attrs={"rows": 28, "cols": 110, "spellcheck": "false", "class": "vLargeTextField"}
        ),
        help_text="As YAML or JSON: variables, nodes (the steps) and edges (the paths). It is checked on saving.",
    )
    definition: Definition

    class Meta:
        model = WorkflowTemplate
        fields = (
            "name",
            "slug",
            "tenant",
            "category",
            "icon",
            "description",
            "outcome",
            "status",
            "answer",
            "sample",
            "document",
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = sorted(icon_names() | {self.instance.icon})
        field = self.fields.get("icon")
        if isinstance(field, forms.ChoiceField):
            field.choices = [(name, name) for name in names]
        if self.instance.document and not self.is_bound:
            # One line of canonical text is for hashes, not for eyes.
            self.initial["document"] = as_yaml(self.instance.document)

    def clean_document(self) -> str:
        text = str(self.cleaned_data["document"])
        try:
            self.definition = read_definition(text)
        except StepwellError as error:
            lines = [
                " ".join(
                    part for part in (f"{each.path}:" if each.path else "", each.message, each.fix) if part
                )
                for each in error.problems
            ]
            raise forms.ValidationError(lines or [error.message]) from error
        return text


@admin.register(WorkflowTemplate)
class WorkflowTemplateAdmin(AuditedAdmin[WorkflowTemplate]):
    form = TemplateForm
    list_display = ("name", "category", "whose", "status", "offered", "steps", "install_count", "updated_at")
    list_filter = (
        ("submitted_at", admin.EmptyFieldListFilter),
        "status",
        "source",
        "category",
        ("tenant", admin.RelatedOnlyFieldListFilter),
    )
    search_fields = ("name", "slug", "category", "description", "tenant__name")
    list_select_related = ("tenant",)
    autocomplete_fields = ("tenant",)
    prepopulated_fields = {"slug": ("name",)}
    readonly_fields = (
        "preview",
        "source",
        "revision",
        "origin",
        "submitted_at",
        "install_count",
        "created_by",
        "created_at",
        "updated_at",
    )
    actions = ("approve", "send_back", "publish", "withdraw", "duplicate")
    fieldsets = (
        (None, {"fields": ("name", "slug", "tenant", "status")}),
        ("Words in the gallery", {"fields": ("category", "icon", "description", "outcome", "sample")}),
        ("Steps", {"fields": ("preview",)}),
        (
            "Definition",
            {
                "fields": ("document",),
                "description": "What is changed in a built-in template stays until an update of Stepwell brings a new "
                "text for it. Duplicate it to keep your own.",
            },
        ),
        ("Offered to everybody", {"fields": ("submitted_at", "answer", "origin")}),
        (
            "About",
            {"fields": ("source", "revision", "install_count", "created_by", "created_at", "updated_at")},
        ),
    )

    @admin.display(description="Whose", ordering="tenant__name")
    def whose(self, template: WorkflowTemplate) -> str:
        if template.tenant is not None:
            return template.tenant.name
        return "Everybody's, built in" if template.is_builtin else "Everybody's"

    @admin.display(description="Steps")
    def steps(self, template: WorkflowTemplate) -> str:
        shape = shape_of(template.document)
        return f"{shape.steps}, {shape.gates} review{'' if shape.gates == 1 else 's'}"

    @admin.display(description="Preview")
    def preview(self, template: WorkflowTemplate) -> str | SafeString:
        """The steps as a list, with where each leads."""
        if not template.document:
            return "The steps are listed here once the definition is saved."
        rows = [
            (
                row.step.label,
                row.step.type_label,
                "" if row.step.enabled else " (off)",
                row.step.description or row.step.summary,
                "".join(f" · {way} → {target}" for way, target in row.step.ways),
            )
            for row in shape_of(template.document).rows
        ]
        return format_html("<ol>{}</ol>", format_html_join("", "<li><b>{}</b> – {}{}: {}{}</li>", rows))

    @admin.display(description="Offered", boolean=True)
    def offered(self, template: WorkflowTemplate) -> bool:
        return template.submitted_at is not None

    @admin.action(description="Approve an offer: publish to all workspaces", permissions=["change"])
    def approve(self, request: HttpRequest, templates: QuerySet[WorkflowTemplate]) -> None:
        for template in templates:
            try:
                shared = approve_template(template)
            except StepwellError as error:
                self.message_user(request, error.message, messages.ERROR)
            else:
                self.log_change(request, template, "Approved for everybody.")
                said = f"{shared.name} stands in everybody's gallery now, revision {shared.revision}."
                self.message_user(request, said, messages.SUCCESS)

    @admin.action(description="Send an offer back (the answer is what stands there)", permissions=["change"])
    def send_back(self, request: HttpRequest, templates: QuerySet[WorkflowTemplate]) -> None:
        for template in templates:
            try:
                refuse_template(template)
            except StepwellError as error:
                self.message_user(request, error.message, messages.ERROR)
            else:
                self.log_change(request, template, f"Sent back: {template.answer}")
                self.message_user(request, f"{template.name} was sent back.", messages.SUCCESS)

    @admin.action(description="Publish: show in the gallery", permissions=["change"])
    def publish(self, request: HttpRequest, templates: QuerySet[WorkflowTemplate]) -> None:
        for template in templates.exclude(status=WorkflowTemplate.Status.PUBLISHED):
            try:
                publish_template(template)
            except StepwellError as error:
                self.message_user(
                    request, f"{template.name} was not published: {error.message}", messages.ERROR
                )
            else:
                self.log_change(request, template, "Published.")
                self.message_user(request, f"{template.name} stands in the gallery now.", messages.SUCCESS)

    @admin.action(description="Withdraw: take out of the gallery", permissions=["change"])
    def withdraw(self, request: HttpRequest, templates: QuerySet[WorkflowTemplate]) -> None:
        for template in templates.exclude(status=WorkflowTemplate.Status.WITHDRAWN):
            withdraw_template(template)
            self.log_change(request, template, "Withdrawn.")
            self.message_user(request, f"{template.name} is out of the gallery.", messages.SUCCESS)

    @admin.action(description="Duplicate as a draft", permissions=["add"])
    def duplicate(self, request: HttpRequest, templates: QuerySet[WorkflowTemplate]) -> None:
        for template in templates:
            copy = duplicate_template(template, by=request.user if isinstance(request.user, User) else None)
            self.log_addition(request, copy, f"Duplicated from {template.name}.")
            self.message_user(request, f"{copy.name} is made, as a draft.", messages.SUCCESS)

    def save_model(
        self,
        request: HttpRequest,
        obj: WorkflowTemplate,
        form: forms.ModelForm[WorkflowTemplate],
        change: bool,
    ) -> None:
        if isinstance(form, TemplateForm):
            set_definition(obj, form.definition)
        if not change and isinstance(request.user, User):
            obj.created_by = request.user
        super().save_model(request, obj, form, change)

    def has_delete_permission(self, request: HttpRequest, obj: WorkflowTemplate | None = None) -> bool:
        # A built-in one would come back with the next start; withdrawing it lasts.
        return super().has_delete_permission(request, obj) and not (obj is not None and obj.is_builtin)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)  # it would not ask for each of them
        return actions

    def get_readonly_fields(
        self, request: HttpRequest, obj: WorkflowTemplate | None = None
    ) -> tuple[str, ...]:
        # The file of a built-in template is found again by its slug; moving one to a tenant would double it.
        fixed = ("slug", "tenant") if obj is not None and obj.is_builtin else ()
        return (*self.readonly_fields, *fixed)

    def get_prepopulated_fields(
        self, request: HttpRequest, obj: WorkflowTemplate | None = None
    ) -> dict[str, Any]:
        return {} if obj is not None else {"slug": ("name",)}
