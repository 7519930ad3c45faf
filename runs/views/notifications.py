"""The list behind the bell, and the page on which a person says what they want to be told, where and when."""

from __future__ import annotations

import uuid
from http import HTTPStatus
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from runs.forms.notifications import WishesForm
from runs.models import Notification
from runs.notifications import KINDS
from runs.selectors import told_to, unread_count
from runs.services.notification_settings import mark_read, save_settings, settings_of
from workflows.lib.errors import Invalid
from workflows.tenancy.access import TenantRequest, tenant_required

_PAGE = 25
_LATEST = 6


@require_safe
@tenant_required
def index(request: TenantRequest) -> HttpResponse:
    """Newest first, all or only what was not read, with what became of mails and posts."""
    unread = request.GET.get("show") == "unread"
    rows = told_to(request.actor, unread=unread).prefetch_related("sends")
    page = Paginator(rows, _PAGE).get_page(request.GET.get("page"))
    context = {
        "section": "notifications",
        "page": page,
        "entries": _entries(page.object_list),
        "only_unread": unread,
    }
    return render(request, "notifications/index.html", context)


@require_safe
@never_cache
@tenant_required
def latest(request: TenantRequest) -> HttpResponse:
    """The fragment that opens at the bell; as JSON only the number that was not read."""
    if request.headers.get("Accept") == "application/json":
        return JsonResponse({"unread": unread_count(request.actor)})
    context = {"entries": _entries(told_to(request.actor)[:_LATEST]), "unread": unread_count(request.actor)}
    return render(request, "notifications/_latest.html", context)


@require_POST
@tenant_required
def read(request: TenantRequest) -> HttpResponseBase:
    """Mark one (`id`) or all as read; ids that are not the person's own change nothing."""
    ids = []
    for text in request.POST.getlist("id"):
        try:
            ids.append(uuid.UUID(text))
        except ValueError:
            continue
    mark_read(request.actor, ids if "id" in request.POST else None)
    if request.headers.get("Accept") == "application/json":
        return JsonResponse({"unread": unread_count(request.actor)})
    return redirect(_back(request))


@require_http_methods(["GET", "HEAD", "POST"])
@tenant_required
def preferences(request: TenantRequest) -> HttpResponse:
    """A table of events and ways, quiet hours, digests; it works without script."""
    form = WishesForm(request.POST or None, wishes=settings_of(request.actor), actor=request.actor)
    if request.method == "POST" and form.is_valid():
        try:
            save_settings(actor=request.actor, **form.wanted())
        except Invalid as error:
            for problem in error.problems:
                form.add_error(problem.field if problem.field in form.fields else None, problem.message)
        else:
            messages.success(request, "Your notifications are kept.")
            return redirect("notifications:preferences")
    status = HTTPStatus.UNPROCESSABLE_ENTITY if form.errors else HTTPStatus.OK
    context = {
        "section": "profile",
        "form": form,
        "slack": bool(request.tenant.slack_webhook),
        "zone": request.user.time_zone or "UTC",
    }
    return render(request, "notifications/preferences.html", context, status=status)


def _entries(rows: Any) -> list[dict[str, Any]]:
    return [{"row": row, "look": KINDS[row.kind], "trouble": _trouble(row)} for row in rows]


def _trouble(row: Notification) -> list[str]:
    """What could not be sent, in words; only where the sends were read with the rows."""
    if "sends" not in getattr(row, "_prefetched_objects_cache", {}):
        return []
    return [
        f"{send.get_channel_display()}: {send.words}"
        for send in row.sends.all()
        if send.words and send.status in (send.Status.FAILED, send.Status.UNKNOWN, send.Status.WAITING)
    ]


def _back(request: HttpRequest) -> str:
    to = request.POST.get("next", "")
    if to and url_has_allowed_host_and_scheme(to, allowed_hosts=None):
        return to
    return "notifications:index"
