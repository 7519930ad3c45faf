"""How the API knows who calls: a key in `Authorization: Bearer`, or the browser's session with its CSRF token."""

from __future__ import annotations

from typing import cast

from django.http import HttpRequest
from ninja.security.base import AuthBase
from ninja.utils import check_csrf

from workflows.lib.errors import NotAllowed
from workflows.tenancy.access import LOST
from workflows.tenancy.actor import Actor
from workflows.tenancy.keys import verify_key
from workflows.tenancy.middleware import Tenancy, client_ip
from workflows.tenancy.models import Tenant

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class ApiRequest(HttpRequest):
    """The request of an API operation: `actor` says who calls, in which tenant, with which role."""

    auth: Actor
    actor: Actor
    tenant: Tenant
    tenancy: Tenancy


def actor_of(request: HttpRequest) -> Actor | None:
    """The caller, or None (401). A session without its CSRF token may read and raises NotAllowed on writes.

    A header with a key decides alone: a wrong key is never made good by a session.
    """
    header = request.headers.get("Authorization", "")
    if header:
        scheme, _, text = header.partition(" ")
        key = verify_key(text.strip()) if scheme.lower() == "bearer" else None
        return (
            Actor(tenant=key.tenant, role=key.role, api_key=key, ip=client_ip(request))
            if key is not None
            else None
        )
    tenancy = cast(ApiRequest, request).tenancy
    if not request.user.is_authenticated or tenancy.actor is None:
        return None
    if request.method not in SAFE_METHODS:
        if check_csrf(request) is not None:
            raise NotAllowed(
                "The request carries no valid CSRF token. Send X-CSRFToken, or use an API key.", code="csrf"
            )
        if tenancy.lost:
            raise NotAllowed(LOST)
    return tenancy.actor


class ApiAuth(AuthBase):
    """`NinjaAPI(auth=ApiAuth())`; for operations that are coroutines too, ninja asks it in a thread."""

    openapi_type = "http"
    openapi_scheme = "bearer"

    def __call__(self, request: HttpRequest) -> Actor | None:
        actor = actor_of(request)
        if actor is not None:
            known = cast(ApiRequest, request)
            known.actor = actor
            known.tenant = actor.tenant
        return actor
