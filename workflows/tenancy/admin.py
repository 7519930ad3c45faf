"""Tenants, people, projects, keys and the audit log in the Django admin, for admins who are no programmers."""

from __future__ import annotations

from typing import Any, TypeVar

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.contrib.auth.models import Group
from django.db import models
from django.db.models import Count, QuerySet
from django.http import HttpRequest

from workflows.lib.clock import utc_now
from workflows.tenancy.actor import Actor
from workflows.tenancy.audit import record
from workflows.tenancy.middleware import client_ip
from workflows.tenancy.models import (
    ApiKey,
    AuditEntry,
    Invitation,
    Membership,
    Project,
    ProviderAccount,
    Tenant,
    User,
)
from workflows.tenancy.roles import Role

M = TypeVar("M", bound=models.Model)

admin.site.site_header = "Stepwell admin"
admin.site.site_title = "Stepwell admin"
admin.site.index_title = "What would you like to look after?"
# What people may do follows from their role in a tenant, so Django's groups would only mislead.
admin.site.unregister(Group)


class AuditedAdmin(admin.ModelAdmin[M]):
    """What is changed here is also in the tenant's own audit log."""

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        _audit(request, "added in the admin", obj, message)
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        _audit(request, "changed in the admin", obj, message)
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        for obj in queryset:
            # A tenant's audit log goes with it.
            if not isinstance(obj, Tenant):
                _audit(request, "deleted in the admin", obj, [])
        return super().log_deletions(request, queryset)


class ReadOnlyAdmin(admin.ModelAdmin[M]):
    """Rows to look at: nothing can be added, changed or deleted here."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def _audit(request: HttpRequest, action: str, obj: models.Model, message: Any) -> None:
    tenant = obj if isinstance(obj, Tenant) else getattr(obj, "tenant", None)
    if isinstance(tenant, Tenant) and isinstance(request.user, User):
        actor = Actor(tenant=tenant, role=Role.OWNER, user=request.user, ip=client_ip(request))
        record(actor, action, obj, after={"changes": message} if message else None)


class MembershipInline(admin.TabularInline[Membership, Tenant]):
    model = Membership
    extra = 1
    fields = ("user", "role")
    autocomplete_fields = ("user",)
    verbose_name_plural = "people and their roles"


class PersonMembershipInline(admin.TabularInline[Membership, User]):
    model = Membership
    extra = 1
    fields = ("tenant", "role")
    autocomplete_fields = ("tenant",)
    verbose_name_plural = "tenants and the role in each"


@admin.register(Tenant)
class TenantAdmin(AuditedAdmin[Tenant]):
    list_display = ("name", "slug", "people", "is_active", "max_running_runs", "created_at")
    list_filter = ("is_active",)
    search_fields = ("name", "slug")
    readonly_fields = ("created_at",)
    prepopulated_fields = {"slug": ("name",)}
    inlines = (MembershipInline,)
    actions = ("switch_off", "switch_on")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Tenant]:
        return super().get_queryset(request).annotate(people_count=Count("memberships"))

    @admin.display(ordering="people_count")
    def people(self, tenant: Any) -> int:
        return int(tenant.people_count)

    @admin.action(description="Switch off: nobody gets in, keys stop working")
    def switch_off(self, request: HttpRequest, tenants: QuerySet[Tenant]) -> None:
        self._switch(request, tenants, active=False)

    @admin.action(description="Switch on again")
    def switch_on(self, request: HttpRequest, tenants: QuerySet[Tenant]) -> None:
        self._switch(request, tenants, active=True)

    def _switch(self, request: HttpRequest, tenants: QuerySet[Tenant], *, active: bool) -> None:
        for tenant in tenants.exclude(is_active=active):
            Tenant.objects.filter(pk=tenant.pk).update(is_active=active)
            _audit(request, "switched on" if active else "switched off", tenant, [])
            self.message_user(request, f"{tenant.name} is {'on' if active else 'off'} now.", messages.SUCCESS)


class PersonCreationForm(AdminUserCreationForm):  # type: ignore[type-arg]  # generic in the stubs only
    class Meta:
        model = User
        fields = ("email", "name")
        field_classes = {"email": forms.EmailField}

    def clean_email(self) -> str:
        email = str(self.cleaned_data["email"]).strip().lower()
        if User.objects.filter(email=email).exists():
            raise forms.ValidationError("There is a person with this address already.")
        return email


class PersonChangeForm(UserChangeForm):  # type: ignore[type-arg]  # generic in the stubs only
    class Meta:
        model = User
        fields = "__all__"
        field_classes = {"email": forms.EmailField}

    def clean_email(self) -> str:
        return str(self.cleaned_data["email"]).strip().lower()


@admin.register(User)
class PersonAdmin(UserAdmin):  # type: ignore[type-arg]  # generic in the stubs only
    form = PersonChangeForm
    add_form = PersonCreationForm
    list_display = ("email", "name", "is_active", "is_staff", "last_login", "date_joined")
    list_filter = ("is_active", "is_staff", "memberships__role", "memberships__tenant")
    search_fields = ("email", "name")
    ordering = ("email",)
    readonly_fields = ("last_login", "date_joined")
    filter_horizontal = ()
    inlines = (PersonMembershipInline,)
    actions = ("switch_off", "switch_on")
    fieldsets = (
        (None, {"fields": ("email", "name", "password")}),
        ("Preferences", {"fields": ("time_zone", "single_keys")}),
        (
            "Access",
            {
                "fields": ("is_active", "is_staff", "is_superuser"),
                "description": "What a person may do in a tenant follows from the role below, not from here.",
            },
        ),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = (
        (
            None,
            {"classes": ("wide",), "fields": ("email", "name", "usable_password", "password1", "password2")},
        ),
    )

    @admin.action(description="Switch off: cannot sign in, sessions end")
    def switch_off(self, request: HttpRequest, people: QuerySet[User]) -> None:
        count = people.exclude(pk=request.user.pk or 0).update(is_active=False)
        self.message_user(
            request, f"Switched off: {count}. You cannot switch off yourself.", messages.SUCCESS
        )

    @admin.action(description="Switch on again")
    def switch_on(self, request: HttpRequest, people: QuerySet[User]) -> None:
        self.message_user(request, f"Switched on: {people.update(is_active=True)}.", messages.SUCCESS)


@admin.register(Membership)
class MembershipAdmin(AuditedAdmin[Membership]):
    list_display = ("user", "tenant", "role", "created_at")
    list_filter = ("role", "tenant")
    search_fields = ("user__email", "user__name", "tenant__name")
    autocomplete_fields = ("user", "tenant")
    list_select_related = ("user", "tenant")
    readonly_fields = ("created_at",)


@admin.register(Project)
class ProjectAdmin(AuditedAdmin[Project]):
    list_display = ("name", "tenant", "created_at")
    list_filter = ("tenant",)
    search_fields = ("name", "description", "tenant__name")
    autocomplete_fields = ("tenant",)
    list_select_related = ("tenant",)
    readonly_fields = ("created_at",)

    def get_readonly_fields(self, request: HttpRequest, obj: Project | None = None) -> tuple[str, ...]:
        # A project moves between tenants by its own command, which takes everything along.
        return ("created_at", "tenant") if obj is not None else ("created_at",)


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin[ApiKey]):
    """Keys are made on the tenant's own page, where they are shown once; here they are seen and ended."""

    list_display = (
        "name",
        "prefix",
        "tenant",
        "role",
        "created_by",
        "created_at",
        "last_used_at",
        "revoked_at",
    )
    list_filter = ("role", "tenant", ("revoked_at", admin.EmptyFieldListFilter))
    search_fields = ("name", "prefix", "tenant__name")
    list_select_related = ("tenant", "created_by")
    exclude = ("hash",)
    actions = ("revoke",)

    @admin.action(description="Revoke: stop working at once", permissions=["revoke"])
    def revoke(self, request: HttpRequest, keys: QuerySet[ApiKey]) -> None:
        live = list(keys.filter(revoked_at=None).select_related("tenant"))
        for key in live:
            ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=utc_now())
            _audit(request, "revoked", key, [])
        self.message_user(request, f"Revoked: {len(live)}.", messages.SUCCESS)

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("tenancy.change_apikey")


@admin.register(ProviderAccount)
class ProviderAccountAdmin(ReadOnlyAdmin[ProviderAccount]):
    """Accounts are entered on the tenant's own page; here they are seen, without their keys, and switched off."""

    list_display = ("name", "provider", "tenant", "is_active", "checked_ok", "checked_at", "created_at")
    list_filter = ("provider", "is_active", "checked_ok", "tenant")
    search_fields = ("name", "provider", "tenant__name")
    list_select_related = ("tenant",)
    exclude = ("key",)
    actions = ("switch_off",)

    @admin.action(description="Switch off: no calls go to it any more", permissions=["switch"])
    def switch_off(self, request: HttpRequest, accounts: QuerySet[ProviderAccount]) -> None:
        live = list(accounts.filter(is_active=True).select_related("tenant"))
        for account in live:
            ProviderAccount.objects.filter(pk=account.pk).update(is_active=False)
            _audit(request, "disabled", account, [])
        self.message_user(request, f"Switched off: {len(live)}.", messages.SUCCESS)

    def has_switch_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("tenancy.change_provideraccount")


@admin.register(Invitation)
class InvitationAdmin(ReadOnlyAdmin[Invitation]):
    list_display = ("email", "tenant", "role", "invited_by", "created_at", "expires_at", "accepted_at")
    list_filter = ("tenant", "role")
    search_fields = ("email", "tenant__name")
    list_select_related = ("tenant", "invited_by")
    exclude = ("hash",)


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin[AuditEntry]):
    list_display = ("at", "tenant", "actor_label", "action", "object_type", "object_label", "ip")
    list_filter = ("tenant", "action", "object_type")
    search_fields = ("actor_label", "object_label", "object_id", "action")
    date_hierarchy = "at"
    list_select_related = ("tenant",)
