"""What the command palette finds: workflows, steps and runs of the tenant, as JSON."""

from __future__ import annotations

from django.http import HttpResponse, JsonResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from runs.models import Run
from runs.selectors import runs_of
from workflows.models import Step
from workflows.selectors import visible_workflows
from workflows.tenancy.access import TenantRequest, tenant_required

_MOST_EACH = 6
_LONGEST = 100


@require_safe
@tenant_required
def find(request: TenantRequest) -> HttpResponse:
    """`q`: `{"found": [{kind, label, note, url}]}`, at most six of a kind, in three queries; nothing for no words."""
    text = request.GET.get("q", "").strip()[:_LONGEST]
    if not text:
        return JsonResponse({"found": []})
    workflows = visible_workflows(request.tenant).filter(name__icontains=text).order_by("-updated_at")
    found = [
        {
            "kind": "workflow",
            "label": one.name,
            "note": "workflow",
            "url": reverse("workflows:builder", args=[one.pk]),
        }
        for one in workflows.only("name")[:_MOST_EACH]
    ]
    number = text.casefold().removeprefix("run").strip(" #")
    runs = runs_of(request.tenant).exclude(kind=Run.Kind.STEP).order_by("-created_at")
    runs = (
        runs.filter(number=int(number))
        if number.isascii() and number.isdigit() and len(number) < 10
        else runs.filter(workflow__name__icontains=text)
    )
    found += [
        {
            "kind": "run",
            "label": f"Run {one.number}",
            "note": f"{one.workflow.name} · {one.status.replace('_', ' ')}",
            "url": reverse("runs:detail", args=[one.pk]),
        }
        for one in runs[:_MOST_EACH]
    ]
    steps = Step.objects.for_tenant(request.tenant).filter(workflow__deleted_at=None, label__icontains=text)
    found += [
        {
            "kind": "step",
            "label": one.label,
            "note": f"step of {one.workflow.name}",
            "url": f"{reverse('workflows:builder', args=[one.workflow_id])}?open={one.key}#step-{one.key}",
        }
        for one in steps.select_related("workflow").order_by("-workflow__updated_at", "place")[:_MOST_EACH]
    ]
    return JsonResponse({"found": found})
