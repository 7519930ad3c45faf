"""The gallery of templates, one template, starting from it, and making one of a workflow."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from templates_app.forms import SaveForm
from templates_app.models import WorkflowTemplate
from templates_app.selectors import categories, gallery_templates, the_template
from templates_app.services.save_as_template import save_as_template
from templates_app.services.use_template import use_template
from templates_app.shapes import Shape, shape_of
from workflows.lib.errors import Conflict, Invalid
from workflows.selectors import visible_workflows
from workflows.tenancy.access import TenantRequest, get_or_404, permission_required, tenant_required
from workflows.tenancy.roles import Permission

PAGE: Final = 24
# The template that is shown wide above the others.
FEATURED: Final = "deep-build-pipeline"
SOURCES: Final = (("", "Everywhere"), ("builtin", "Built in"), ("team", "Your team"))


@dataclass(frozen=True, slots=True)
class Card:
    """A template and its shape."""

    template: WorkflowTemplate
    shape: Shape


@require_safe
@tenant_required
def index(request: TenantRequest) -> HttpResponse:
    known = categories(request.tenant)
    filters = {
        "q": request.GET.get("q", "")[:200].strip(),
        "category": request.GET.get("category", ""),
        "source": request.GET.get("source", ""),
    }
    if filters["category"] not in known:
        filters["category"] = ""
    if filters["source"] not in dict(SOURCES):
        filters["source"] = ""
    found = gallery_templates(request.tenant, **filters)
    page = Paginator(found, PAGE).get_page(request.GET.get("page"))
    cards = [Card(template, shape_of(template.document)) for template in page.object_list]
    wide = next((card for card in cards if _is_featured(card)), None) if page.number == 1 else None
    context = {
        "section": "templates",
        "page": page,
        "wide": wide,
        "cards": [card for card in cards if card is not wide],
        "filters": filters,
        "is_filtered": any(filters.values()),
        "categories": known,
        "sources": SOURCES,
    }
    return render(
        request, "templates_app/_cards.html" if request.htmx else "templates_app/index.html", context
    )


@require_safe
@tenant_required
def detail(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    template = the_template(request.actor, pk)
    context = {"section": "templates", "template": template, "shape": shape_of(template.document)}
    return render(request, "templates_app/detail.html", context)


@require_POST
@permission_required(Permission.EDIT_WORKFLOWS)
def use(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """One click to a draft that runs as it is, opened in the builder."""
    template = the_template(request.actor, pk, Permission.EDIT_WORKFLOWS)
    try:
        workflow = use_template(template=template, actor=request.actor, name=request.POST.get("name", ""))
    except Invalid as error:
        messages.error(request, f"This template cannot be used now: {error.message}")
        return redirect("templates_app:detail", template.pk)
    messages.success(request, f"“{workflow.name}” is made. You can run it as it is.")
    return redirect("workflows:builder", workflow.pk)


@require_http_methods(["GET", "HEAD", "POST"])
@permission_required(Permission.EDIT_WORKFLOWS)
def save(request: TenantRequest) -> HttpResponse:
    """GET asks for the words (`?workflow=` chooses one); POST makes the template and opens it."""
    known = categories(request.tenant)
    if request.method != "POST":
        start = {}
        if chosen := request.GET.get("workflow"):
            workflow = get_or_404(visible_workflows(request.tenant), request.actor, chosen)
            start = {"workflow": workflow, "name": workflow.name, "description": workflow.description[:2000]}
        form = SaveForm(tenant=request.tenant, categories=known, initial=start)
        return _save_page(request, form)
    form = SaveForm(request.POST, tenant=request.tenant, categories=known)
    if form.is_valid():
        words = dict(form.cleaned_data)
        # An emptied description falls back to the workflow's own, as the hint says.
        words["description"] = words["description"] or None
        try:
            template = save_as_template(actor=request.actor, **words)
        except (Invalid, Conflict) as error:
            form.add_error(error.problems[0].field if _has(form, error) else None, error.message)
        else:
            messages.success(request, f"“{template.name}” stands in the gallery of your workspace now.")
            return redirect("templates_app:detail", template.pk)
    return _save_page(request, form, status=HTTPStatus.UNPROCESSABLE_ENTITY)


def _save_page(request: TenantRequest, form: SaveForm, *, status: int = HTTPStatus.OK) -> HttpResponse:
    return render(request, "templates_app/save.html", {"section": "templates", "form": form}, status=status)


def _has(form: SaveForm, error: Invalid | Conflict) -> bool:
    # A problem of a step names a field of that step's form, not of this one.
    first = error.problems[0] if error.problems else None
    return first is not None and first.step is None and first.field in form.fields


def _is_featured(card: Card) -> bool:
    template = card.template
    return template.slug == FEATURED and template.tenant_id is None and bool(card.shape.line)
