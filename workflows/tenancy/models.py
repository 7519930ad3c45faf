"""Tenants, people, their memberships and roles, projects and API keys."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

from workflows.tenancy.encrypted import SecretField
from workflows.tenancy.managers import TenantQuerySet
from workflows.tenancy.roles import Role


class UserManager(BaseUserManager["User"]):
    """Makes people; the email address is the name they sign in with, kept in lower case."""

    use_in_migrations = True

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        user = self.model(email=self.normalize_email(email).strip().lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email=(username or "").strip().lower())


class User(AbstractBaseUser, PermissionsMixin):
    """A person, of any number of tenants."""

    email = models.EmailField(unique=True)
    name = models.CharField(max_length=120, blank=True)
    is_staff = models.BooleanField(default=False, help_text="May use the Django admin.")
    is_active = models.BooleanField(default=True)
    date_joined = models.DateTimeField(default=timezone.now)
    time_zone = models.CharField(max_length=64, blank=True)
    single_keys = models.BooleanField(default=True, help_text="Single-key shortcuts are on.")

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects = UserManager()

    def __str__(self) -> str:
        return self.name or self.email

    def get_full_name(self) -> str:
        return str(self)

    def get_short_name(self) -> str:
        return (self.name or self.email.split("@")[0]).split(" ")[0]

    @property
    def initials(self) -> str:
        words = (self.name or self.email.split("@")[0].replace(".", " ")).split()
        return "".join(word[0] for word in words[:2]).upper() or "?"


class BudgetPolicy(models.TextChoices):
    """What a spent budget does to a run. It is told at four fifths in any case."""

    WARN = "warn", "Say so and go on"
    PAUSE = "pause", "Pause and ask a person"
    STOP = "stop", "Stop the run"


class Tenant(models.Model):
    """A hard border: nothing of one tenant is ever seen from another."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    slug = models.SlugField(max_length=63, unique=True)
    name = models.CharField(max_length=120)
    is_active = models.BooleanField(default=True)
    default_model = models.CharField(
        max_length=120,
        blank=True,
        help_text="provider:model that steps on “default” follow; empty = the server's.",
    )
    fallback = models.JSONField(
        default=list,
        blank=True,
        help_text="Models (provider:model) that answer, in order, where a step's own cannot and the step and its workflow name none.",
    )
    max_running_runs = models.PositiveIntegerField(
        default=20, help_text="Runs of this tenant worked on at one time."
    )
    monthly_budget_usd = models.DecimalField(
        max_digits=12,
        decimal_places=2,
        null=True,
        blank=True,
        help_text="US dollars that all runs of one calendar month (UTC) may spend on models; empty = no limit.",
    )
    budget_policy = models.CharField(
        max_length=8,
        choices=BudgetPolicy,
        default=BudgetPolicy.PAUSE,
        help_text="What happens to a run when the month's budget is spent.",
    )
    slack_webhook = SecretField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """A person's role in one tenant."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role, default=Role.VIEWER)
    created_at = models.DateTimeField(default=timezone.now)

    objects = TenantQuerySet["Membership"].as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "user"], name="membership_once_per_tenant"),
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="membership_role_known"),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.tenant} ({self.get_role_display()})"


class Invitation(models.Model):
    """An offer of a role by email. Its link works once; only the link's hash is kept."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="invitations")
    email = models.EmailField()
    role = models.CharField(max_length=16, choices=Role, default=Role.VIEWER)
    hash = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the link's secret, hex.")
    invited_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)

    objects = TenantQuerySet["Invitation"].as_manager()

    class Meta:
        ordering: ClassVar = ["-created_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "email"],
                condition=models.Q(accepted_at__isnull=True),
                name="invitation_open_once",
            ),
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="invitation_role_known"),
        ]

    def __str__(self) -> str:
        return f"{self.email} as {self.get_role_display()}"


class Project(models.Model):
    """A group of workflows and what belongs to them."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="projects")
    name = models.CharField(max_length=120)
    description = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    objects = TenantQuerySet["Project"].as_manager()

    class Meta:
        ordering: ClassVar = ["name"]
        constraints: ClassVar = [
            models.UniqueConstraint("tenant", Lower("name"), name="project_name_once_per_tenant"),
        ]

    def __str__(self) -> str:
        return self.name


class ApiKey(models.Model):
    """A key of the REST API: only its hash is kept; `prefix` finds it and lets people tell keys apart."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=120)
    prefix = models.CharField(max_length=16, unique=True)
    hash = models.CharField(max_length=64, help_text="SHA-256 of the whole key, hex.")
    role = models.CharField(max_length=16, choices=Role, default=Role.EDITOR)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)

    objects = TenantQuerySet["ApiKey"].as_manager()

    class Meta:
        ordering: ClassVar = ["-created_at"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="api_key_role_known"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class ProviderAccount(models.Model):
    """A tenant's own account at a model provider: where it is called, with which key, how much at one time.

    `key` is encrypted and write-only. `base_url` empty = the vendor's own address. Of several accounts of one provider
    the first by `position` is called, the next where it cannot answer. `checked_*` is what the last test said.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="provider_accounts")
    provider = models.CharField(max_length=32, help_text="openai, anthropic, google, ollama, custom, …")
    name = models.CharField(max_length=120)
    base_url = models.URLField(max_length=500, blank=True, help_text="Empty = the vendor's own address.")
    key = SecretField()
    position = models.PositiveIntegerField(default=0)
    is_active = models.BooleanField(default=True)
    max_concurrency = models.PositiveIntegerField(
        null=True, blank=True, help_text="Calls at one time; empty = no limit."
    )
    requests_per_minute = models.PositiveIntegerField(null=True, blank=True, help_text="Empty = no limit.")
    checked_at = models.DateTimeField(null=True, blank=True)
    checked_ok = models.BooleanField(null=True, blank=True)
    checked_ms = models.PositiveIntegerField(null=True, blank=True)
    checked_code = models.CharField(max_length=64, blank=True)
    checked_words = models.CharField(max_length=500, blank=True)
    stated_balance_usd = models.DecimalField(
        max_digits=12, decimal_places=2, null=True, blank=True, help_text="What was left at stated_at."
    )
    stated_at = models.DateTimeField(null=True, blank=True)
    warn_below_usd = models.DecimalField(
        max_digits=12,
        decimal_places=2,
        null=True,
        blank=True,
        help_text="Owners and admins are told below it.",
    )
    spent_since_usd = models.DecimalField(
        max_digits=14,
        decimal_places=8,
        default=0,
        help_text="Of the stated balance, counted up to spent_until.",
    )
    spent_until = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    objects = TenantQuerySet["ProviderAccount"].as_manager()

    class Meta:
        ordering: ClassVar = ["position", "created_at"]
        constraints: ClassVar = [
            models.UniqueConstraint("tenant", Lower("name"), name="provider_account_name_once_per_tenant"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.provider})"

    @property
    def left_usd(self) -> Decimal | None:
        """About what is left of the stated balance; below zero when more was spent. None: nobody stated one."""
        if self.stated_balance_usd is None:
            return None
        return Decimal(self.stated_balance_usd) - Decimal(self.spent_since_usd)


class AuditEntry(models.Model):
    """Who did what to what, when and from where; written once, never changed."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="audit_entries")
    at = models.DateTimeField(default=timezone.now)
    actor = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    api_key = models.ForeignKey(ApiKey, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    actor_label = models.CharField(max_length=200, blank=True)
    action = models.CharField(max_length=64)
    object_type = models.CharField(max_length=64)
    object_id = models.CharField(max_length=64)
    object_label = models.CharField(max_length=255, blank=True)
    ip = models.GenericIPAddressField(null=True, blank=True)
    before = models.JSONField(null=True, blank=True)
    after = models.JSONField(null=True, blank=True)

    objects = TenantQuerySet["AuditEntry"].as_manager()

    class Meta:
        ordering: ClassVar = ["-at", "-id"]
        verbose_name_plural = "audit entries"
        indexes: ClassVar = [models.Index(fields=["tenant", "-at"], name="audit_by_time")]

    def __str__(self) -> str:
        return f"{self.actor_label} {self.action} {self.object_type} {self.object_label}"
