"""“Describe it”: what is wanted in words, the draft a model makes of it, and taking it over or dropping it."""

from __future__ import annotations

import uuid
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from runs.models import Run
from runs.services.describe_workflow import (
    LONGEST_WISH,
    answering_model,
    describe_workflow,
    needs_a_model,
    read_drafted,
    take_drafted,
)
from workflows.lib.errors import Stale, StepwellError
from workflows.models import Workflow
from workflows.presenters.builder_controls import known_models
from workflows.selectors import visible_workflows
from workflows.tenancy.access import TenantRequest, get_or_404, permission_required
from workflows.tenancy.roles import Permission

EDIT = Permission.EDIT_WORKFLOWS


class DescribeForm(forms.Form):
    """The wish, and who is asked."""

    wish = forms.CharField(
        label="What should it do?",
        max_length=LONGEST_WISH,
        widget=forms.Textarea(attrs={"rows": 7, "data-autogrow": ""}),
        help_text="What comes in, what is done with it, who decides, where it goes.",
    )
    model = forms.CharField(
        label="Model",
        required=False,
        max_length=120,
        help_text="provider:model. Empty: the workspace's default.",
        widget=forms.TextInput(attrs={"list": "models", "autocomplete": "off"}),
    )


@require_http_methods(["GET", "POST"])
@permission_required(EDIT)
def page(request: TenantRequest) -> HttpResponse:
    """GET: the form, with `?workflow=` for a change of that draft. POST: ask, and to the draft."""
    asked = (request.POST if request.method == "POST" else request.GET).get("workflow", "")
    workflow: Workflow | None = None
    if asked:
        workflow = get_or_404(visible_workflows(request.tenant), request.actor, asked, EDIT)
    form = DescribeForm(request.POST if request.method == "POST" else None)
    status = 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            try:
                run = describe_workflow(
                    actor=request.actor,
                    wish=form.cleaned_data["wish"],
                    workflow=workflow,
                    model=form.cleaned_data["model"],
                )
            except StepwellError as error:
                if error.status in (403, 404):
                    raise
                form.add_error("model" if "model" in error.message.lower() else None, error.message)
                status = error.status
            else:
                return redirect("runs:described", run.pk)
    context: dict[str, Any] = {
        "section": "workflows",
        "workflow": workflow,
        "form": form,
        "models": known_models(),
        "needs_model": needs_a_model(request.tenant),
        "model": answering_model(request.tenant),
    }
    return render(request, "runs/describe.html", context, status=status)


@require_GET
@permission_required(EDIT)
def described(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """The draft as it would be, beside what is there; while it is written the page asks again."""
    found = read_drafted(actor=request.actor, run=_run(request, pk))
    context: dict[str, Any] = {
        "section": "workflows",
        "drafted": found,
        "run": found.run,
        "workflow": found.workflow,
        "comparison": found.comparison,
        "editable": False,
        "errors": sum(problem.is_error for problem in found.problems),
    }
    return render(request, "runs/_described.html" if request.htmx else "runs/described.html", context)


@require_POST
@permission_required(EDIT)
def take(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """POST `act`: take the draft over, or `again`: ask once more, with what is wrong and maybe another `wish`."""
    run = _run(request, pk)
    try:
        if request.POST.get("act") == "again":
            found = read_drafted(actor=request.actor, run=run)
            mends = bool(found.refused or found.problems) and "wish" not in request.POST
            again = describe_workflow(
                actor=request.actor,
                wish=request.POST.get("wish") or found.wish,
                workflow=found.workflow,
                model=found.model,
                again=run if mends else None,
            )
            return redirect("runs:described", again.pk)
        workflow = take_drafted(actor=request.actor, run=run)
    except Stale:
        messages.error(request, "The draft has changed since the model saw it. Ask again.")
        return redirect("runs:described", pk)
    except StepwellError as error:
        if error.status in (403, 404):
            raise
        messages.error(request, error.message)
        return redirect("runs:described", pk)
    messages.success(request, "Taken over into the draft. Nothing runs until you say so.")
    return redirect("workflows:builder", workflow.pk)


def _run(request: TenantRequest, pk: uuid.UUID) -> Run:
    return get_or_404(
        Run.objects.for_tenant(request.tenant).select_related("workflow", "version"), request.actor, pk, EDIT
    )
