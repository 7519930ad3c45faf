"""What every page's shell knows: the tenant, the role, what it may do, and the person's other workspaces."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from workflows.tenancy.middleware import Tenancy


def tenancy(request: HttpRequest) -> dict[str, Any]:
    """`tenants` (the person's workspaces, more than one or none listed) and `may` (permission → bool); both lazy."""
    known = getattr(request, "tenancy", None)
    if not isinstance(known, Tenancy):
        return {}
    return {
        "tenants": SimpleLazyObject(lambda: _choices(known)),
        "may": SimpleLazyObject(lambda: known.may),
    }


def _choices(known: Tenancy) -> list[Any]:
    # With one workspace there is nothing to switch.
    found = [membership.tenant for membership in known.memberships]
    return found if len(found) > 1 else []
