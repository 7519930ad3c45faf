"""The page of what left the house, and of what a test run would have sent."""

from __future__ import annotations

from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from runs.forms.outbox import OutboxForm
from runs.selectors import deliveries
from runs.snapshots.outbox import sent_of
from workflows.tenancy.access import TenantRequest, tenant_required

PAGE = 25


@require_safe
@tenant_required
def index(request: TenantRequest) -> HttpResponse:
    """Newest first, by state, kind and address; each with its copy and its receipt."""
    form = OutboxForm(request.GET)
    found = deliveries(request.tenant, **form.wanted())
    page = Paginator(found, PAGE).get_page(request.GET.get("page"))
    context = {
        "section": "outbox",
        "form": form,
        "page": page,
        "entries": [(row, sent_of(row)) for row in page.object_list],
        "filtered": any(form.wanted().values()),
    }
    return render(request, "runs/outbox.html", context)
