"""Who asks, in which tenant (found on first use, at most once a request), and errors as answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone

from workflows.lib.errors import StepwellError
from workflows.tenancy.actor import Actor
from workflows.tenancy.error_pages import answer_to
from workflows.tenancy.models import Membership, Tenant
from workflows.tenancy.roles import Permission

SESSION_KEY = "tenant"


def client_ip(request: HttpRequest) -> str | None:
    """The address the request came from; behind a proxy of ours, the last one that it has added."""
    if getattr(settings, "SECURE_PROXY_SSL_HEADER", None) and (
        chain := request.headers.get("X-Forwarded-For")
    ):
        return chain.split(",")[-1].strip() or None
    # Behind a unix socket there is no address.
    return request.META.get("REMOTE_ADDR") or None


class Tenancy:
    """The person's tenants, and the one that this session works in. Templates use it too: `request.tenancy`."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self.lost = False

    @cached_property
    def memberships(self) -> tuple[Membership, ...]:
        """All memberships in active tenants, oldest first; they are read again with every request, so that a
        changed role or a lost membership counts at once."""
        user = self._request.user
        if not user.is_authenticated:
            return ()
        rows = Membership.objects.filter(user=user, tenant__is_active=True)
        found = tuple(rows.select_related("tenant").order_by("created_at", "pk"))
        for membership in found:
            # The person is known: nobody has to ask the database for them again.
            membership.user = user
        return found

    @cached_property
    def membership(self) -> Membership | None:
        """The one of the session's tenant, else the first; None for a person without any."""
        chosen = self._request.session.get(SESSION_KEY)
        for membership in self.memberships:
            if str(membership.tenant_id) == chosen:
                return membership
        first = self.memberships[0] if self.memberships else None
        if chosen is not None:
            self.lost = True
            if first is not None and self._request.method == "GET":
                messages.info(
                    self._request,
                    f"You are no longer a member of the workspace you worked in. This is {first.tenant.name}.",
                )
                self.choose(first)
        return first

    @property
    def tenant(self) -> Tenant | None:
        return self.membership.tenant if self.membership is not None else None

    @cached_property
    def actor(self) -> Actor | None:
        return self.actor_of(self.membership) if self.membership is not None else None

    @cached_property
    def may(self) -> dict[str, bool]:
        """Permission name → whether the person holds it here: `{% if request.tenancy.may.edit_workflows %}`."""
        actor = self.actor
        return {str(permission): actor is not None and actor.may(permission) for permission in Permission}

    def actor_of(self, membership: Membership) -> Actor:
        return Actor(
            tenant=membership.tenant, role=membership.role, user=membership.user, ip=client_ip(self._request)
        )

    def activate_time_zone(self) -> None:
        """Times of this answer are shown in the person's own zone, where they chose one that exists."""
        zone = getattr(self._request.user, "time_zone", "")
        if zone:
            with suppress(ZoneInfoNotFoundError, ValueError):
                timezone.activate(ZoneInfo(zone))

    def choose(self, membership: Membership) -> None:
        """Work in this tenant from now on."""
        self._request.session[SESSION_KEY] = str(membership.tenant_id)


class TenantMiddleware:
    """Adds `request.tenancy`, and turns errors raised on purpose into pages, fragments or JSON.

    It asks nothing of the database by itself (the views do, in their own thread), so it runs on the event loop.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        request.tenancy = Tenancy(request)  # type: ignore[attr-defined]
        # The thread may have served somebody in another zone before.
        timezone.deactivate()
        answer: HttpResponseBase | Awaitable[HttpResponseBase] = self.get_response(request)
        return answer

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        return answer_to(request, exception) if isinstance(exception, StepwellError) else None
