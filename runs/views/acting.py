"""What pages that act on a run share: the run that a person may touch, and how a deed is answered."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from runs.models import Run
from workflows.lib.errors import Conflict, Invalid, TooLarge
from workflows.tenancy.access import TenantRequest, get_or_404
from workflows.tenancy.roles import Permission


def get_run(request: TenantRequest, pk: uuid.UUID, permission: Permission = Permission.VIEW) -> Run:
    """The run of this tenant with what its page shows, for an actor whose role holds the permission."""
    source = Run.objects.select_related("workflow", "version", "started_by", "api_key").defer(
        "version__document", "workflow__settings"
    )
    return get_or_404(source, request.actor, pk, permission)


def control(
    request: TenantRequest,
    pk: uuid.UUID,
    act: Callable[[Run], Run],
    done: str,
    permission: Permission = Permission.CONTROL_RUNS,
) -> HttpResponse:
    """Do it, then show the run: by redirect, or for script with an empty answer (the socket brings what changed).

    Where `act` gives back another run than the one that was asked for, its page follows.
    """
    run = get_run(request, pk, permission)
    try:
        made = act(run)
    except (Conflict, Invalid, TooLarge) as error:
        if request.htmx:
            return HttpResponse(error.message, status=error.status, content_type="text/plain; charset=utf-8")
        messages.error(request, error.message)
        return redirect("runs:detail", run.pk)
    if request.htmx:
        response = HttpResponse(status=204)
        response["HX-Trigger"] = json.dumps({"toast": {"text": done}})
        if made.pk != run.pk:
            response["HX-Redirect"] = reverse("runs:detail", args=[made.pk])
        return response
    messages.success(request, done)
    return redirect("runs:detail", made.pk)
