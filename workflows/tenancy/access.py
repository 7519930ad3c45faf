"""The one way to an object: fetch it inside the actor's tenant, and ask whether the role may do what is meant."""

from __future__ import annotations

import functools
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Concatenate, Protocol, TypeVar, cast, overload

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render, resolve_url
from typing_extensions import ParamSpec

from workflows.lib.errors import NotAllowed, NotFound
from workflows.tenancy.actor import Actor
from workflows.tenancy.managers import TenantQuerySet
from workflows.tenancy.models import Membership, Tenant, User
from workflows.tenancy.roles import Permission, Role

if TYPE_CHECKING:
    from django_htmx.middleware import HtmxDetails

    from workflows.tenancy.middleware import Tenancy

M = TypeVar("M", bound=models.Model)
P = ParamSpec("P")

# One sentence for "not there" and "not yours", so that the two cannot be told apart.
NOT_FOUND = "There is nothing here, or it is not yours to see."
LOST = "You are no longer a member of the workspace in which this page was opened. Nothing was changed."


class TenantRequest(HttpRequest):
    """The request of a view behind `tenant_required`: it is known who asks, in which tenant, with which role."""

    user: User
    htmx: HtmxDetails
    tenancy: Tenancy
    tenant: Tenant
    membership: Membership
    actor: Actor


class _Scoped(Protocol):
    """A model whose manager can be narrowed to a tenant."""

    objects: Any


@overload
def get_or_404(
    source: TenantQuerySet[M], actor: Actor, pk: object, permission: Permission = ..., *, field: str = ...
) -> M: ...


@overload
def get_or_404(
    source: type[M], actor: Actor, pk: object, permission: Permission = ..., *, field: str = ...
) -> M: ...


def get_or_404(
    source: type[M] | TenantQuerySet[M],
    actor: Actor,
    pk: object,
    permission: Permission = Permission.VIEW,
    *,
    field: str = "pk",
) -> M:
    """The row of the actor's tenant, for an actor whose role holds the permission.

    A row of another tenant, a missing one and a malformed id raise the same NotFound (404); a visible row and a
    role that may not raise NotAllowed (403).
    """
    queryset = (
        source
        if isinstance(source, models.QuerySet)
        else cast("TenantQuerySet[M]", cast(_Scoped, source).objects)
    )
    try:
        found = queryset.for_tenant(actor.tenant).get(**{field: pk})
    except (ObjectDoesNotExist, ValidationError, ValueError, TypeError) as error:
        raise NotFound(NOT_FOUND) from error
    require(actor, permission)
    return found


def require(actor: Actor, permission: Permission) -> None:
    """Raise NotAllowed (403) with a sentence unless the actor's role holds the permission."""
    actor.require(permission)


def tenant_required(
    view: Callable[Concatenate[TenantRequest, P], Any],
) -> Callable[Concatenate[HttpRequest, P], Any]:
    """The view of a signed-in member: others are sent to the sign-in page; a person without a tenant is told so."""
    return _guarded(view, None)


def permission_required(
    permission: Permission,
) -> Callable[[Callable[Concatenate[TenantRequest, P], Any]], Callable[Concatenate[HttpRequest, P], Any]]:
    """`tenant_required`, and the role must hold the permission (else 403 with a sentence)."""

    def decorate(
        view: Callable[Concatenate[TenantRequest, P], Any],
    ) -> Callable[Concatenate[HttpRequest, P], Any]:
        return _guarded(view, permission)

    return decorate


def _guarded(
    view: Callable[Concatenate[TenantRequest, P], Any], permission: Permission | None
) -> Callable[Concatenate[HttpRequest, P], Any]:
    if iscoroutinefunction(view):

        @functools.wraps(view)
        async def later(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            stopped = await sync_to_async(_admit)(request, permission)
            if stopped is not None:
                return stopped
            answer: HttpResponseBase = await view(cast(TenantRequest, request), *args, **kwargs)
            return answer

        return later

    @functools.wraps(view)
    def now(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        stopped = _admit(request, permission)
        if stopped is not None:
            return stopped
        answer: HttpResponseBase = view(cast(TenantRequest, request), *args, **kwargs)
        return answer

    return now


def _admit(request: HttpRequest, permission: Permission | None) -> HttpResponse | None:
    """Put tenant, membership and actor on the request; the answer instead of the view when there is no way in."""
    known = cast(TenantRequest, request)
    if not request.user.is_authenticated:
        return sign_in_first(request)
    tenancy = known.tenancy
    membership = tenancy.membership
    if membership is None:
        return render(request, "accounts/no_tenant.html", status=HTTPStatus.FORBIDDEN)
    if tenancy.lost and request.method not in ("GET", "HEAD", "OPTIONS"):
        # The page was opened in a tenant that this person has left: doing it in the next one would surprise.
        raise NotAllowed(LOST)
    tenancy.activate_time_zone()
    known.membership = membership
    known.tenant = membership.tenant
    known.actor = tenancy.actor_of(membership)
    if permission is not None:
        known.actor.require(permission)
    return None


def sign_in_first(request: HttpRequest) -> HttpResponse:
    """To the sign-in page and back again; a fragment's request reloads the whole page instead."""
    if getattr(request, "htmx", False):
        response = HttpResponse(status=HTTPStatus.UNAUTHORIZED)
        response["HX-Redirect"] = resolve_url(settings.LOGIN_URL)
        return response
    # A POST cannot be repeated by a redirect, so it comes back to the start.
    return redirect_to_login(request.get_full_path() if request.method in ("GET", "HEAD") else "/")


def may_grant(actor: Actor, role: str) -> bool:
    """Whether the actor may give or take this role: only owners make and unmake owners."""
    return actor.may(Permission.MANAGE_PEOPLE) and (role != Role.OWNER or actor.role == Role.OWNER)
