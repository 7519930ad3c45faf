"""Stored keys for requests of steps: encrypted, write-only, of one tenant, sent to the hosts they were entered for only."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

from workflows.lib.ids import new_id
from workflows.tenancy.encrypted import SecretField
from workflows.tenancy.managers import TenantQuerySet
from workflows.tenancy.models import Tenant


class Connection(models.Model):
    """A key that `http_request` and `webhook` send by its name. `label` is the header's, parameter's or user's name.

    `hosts` lists `host` or `host:port`; `*.example.com` takes in every host below. `test_url` is asked by a test.
    """

    class Kind(models.TextChoices):
        BEARER = "bearer", "Bearer token"
        BASIC = "basic", "User name and password"
        HEADER = "header", "Key in a header"
        QUERY = "query", "Key in the address"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="connections")
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=16, choices=Kind)
    label = models.CharField(max_length=120, blank=True)
    secret = SecretField()
    hosts = models.JSONField(default=list)
    test_url = models.CharField(max_length=500, blank=True)
    checked_at = models.DateTimeField(null=True, blank=True)
    checked_ok = models.BooleanField(null=True, blank=True)
    checked_words = models.CharField(max_length=500, blank=True)
    rotated_at = models.DateTimeField(default=timezone.now)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    objects = TenantQuerySet["Connection"].as_manager()

    class Meta:
        ordering: ClassVar = ["name"]
        constraints: ClassVar = [
            models.UniqueConstraint("tenant", Lower("name"), name="connection_name_once_per_tenant")
        ]

    def __str__(self) -> str:
        return self.name
