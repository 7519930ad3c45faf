"""What a run will probably cost and take, as a line beside the draft and in the dialog that starts a run."""

from __future__ import annotations

import uuid
from statistics import median

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from runs.engine.statuses import RunStatus
from runs.models import Run
from runs.services.estimate_run import estimate_run
from workflows.lib.errors import NotFound
from workflows.models import Workflow
from workflows.tenancy.access import NOT_FOUND, TenantRequest, get_or_404, tenant_required

# So many of the last good runs say how long one takes.
_RUNS = 20


@require_GET
@tenant_required
def estimate(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """`?version=n`, else the draft; `boxes`: as three figures."""
    workflow = get_or_404(Workflow.objects.filter(deleted_at__isnull=True), request.actor, pk)
    wanted = request.GET.get("version", "draft")
    if not (wanted == "draft" or (wanted.isascii() and wanted.isdecimal() and len(wanted) < 10)):
        raise NotFound(NOT_FOUND)
    found = estimate_run(workflow=workflow, version="draft" if wanted == "draft" else int(wanted))
    times = [
        took
        for run in Run.objects.for_tenant(request.tenant)
        .filter(workflow=workflow, kind=Run.Kind.LIVE, status=RunStatus.COMPLETED)
        .only("started_at", "completed_at")
        .order_by("-created_at")[:_RUNS]
        if (took := run.duration_ms) is not None
    ]
    context = {
        "estimate": found,
        "tokens": [
            sum(step.input_tokens[end] + step.output_tokens[end] for step in found.steps) for end in (0, 1)
        ],
        "boxes": "boxes" in request.GET,
        "took": median(times) if times else None,
    }
    return render(request, "runs/_estimate.html", context)
