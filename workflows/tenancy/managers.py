"""The scoped manager: every query of a tenant's data says whose it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, TypeVar

from django.db import models

if TYPE_CHECKING:
    from workflows.tenancy.models import Tenant

M = TypeVar("M", bound=models.Model)


class TenantQuerySet(models.QuerySet[M]):
    """A queryset that can be narrowed to one tenant."""

    def for_tenant(self, tenant: Tenant) -> Self:
        """Rows of this tenant only. Pages, API, sockets and jobs start every query with it."""
        return self.filter(tenant=tenant)
