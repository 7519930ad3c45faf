"""The gallery of templates, one template, starting from it, making one of a workflow, and offering it to everybody."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from templates_app.forms import SaveForm, UseForm
from templates_app.models import WorkflowTemplate
from templates_app.selectors import categories, gallery_templates, the_template
from templates_app.services.change_template import submit_template, withdraw_own
from templates_app.services.expectations import Expected, expectations
from templates_app.services.save_as_template import save_as_template
from templates_app.services.take_update import has_news, look_at_update, pending_installs, take_update
from templates_app.services.use_template import use_template
from templates_app.shapes import Shape, shape_of
from workflows.definition.schema import from_stored
from workflows.lib.errors import Conflict, Invalid, Stale
from workflows.presenters.builder_controls import known_models
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
    expected: Expected


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
    listed = list(page.object_list)
    expected = expectations(request.tenant, listed)
    cards = [Card(one, shape_of(one.document), expected[one.pk]) for one in listed]
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
    return _detail_page(request, template, None)


def _detail_page(
    request: TenantRequest,
    template: WorkflowTemplate,
    form: UseForm | None,
    *,
    error: str = "",
    status: int = HTTPStatus.OK,
) -> HttpResponse:
    installs = pending_installs(request.actor, template)
    if form is None:
        form = UseForm(definition=from_stored(json.loads(template.document)), name=template.name)
    context = {
        "section": "templates",
        "template": template,
        "shape": shape_of(template.document),
        "expected": expectations(request.tenant, [template])[template.pk],
        "form": form,
        "error": error,
        "models": known_models(),
        "installs": [(install, has_news(install)) for install in installs],
        "is_own": template.tenant_id == request.tenant.pk,
    }
    return render(request, "templates_app/detail.html", context, status=status)


@require_POST
@permission_required(Permission.EDIT_WORKFLOWS)
def use(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """One click to a draft that runs as it is, opened in the builder; with `filled` the form of its page is read."""
    template = the_template(request.actor, pk, Permission.EDIT_WORKFLOWS)
    form = UseForm(request.POST, definition=from_stored(json.loads(template.document)), name=template.name)
    if not form.is_valid():
        return _detail_page(request, template, form, status=HTTPStatus.UNPROCESSABLE_ENTITY)
    try:
        workflow = use_template(
            template=template,
            actor=request.actor,
            name=form.cleaned_data["name"],
            values=form.values if "filled" in request.POST else {},
            model=form.cleaned_data["model"],
        )
    except Invalid as error:
        return _detail_page(
            request, template, form, error=error.message, status=HTTPStatus.UNPROCESSABLE_ENTITY
        )
    messages.success(request, f"“{workflow.name}” is made. You can run it as it is.")
    return redirect("workflows:builder", workflow.pk)


@require_POST
@permission_required(Permission.EDIT_WORKFLOWS)
def submit(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """Offer the workspace's template to everybody; an admin of the catalogue answers."""
    template = the_template(request.actor, pk, Permission.EDIT_WORKFLOWS)
    try:
        submit_template(template=template, actor=request.actor)
    except Conflict as error:
        messages.error(request, error.message)
    else:
        messages.success(request, f"“{template.name}” is offered. An admin looks at it before others see it.")
    return redirect("templates_app:detail", template.pk)


@require_POST
@permission_required(Permission.EDIT_WORKFLOWS)
def withdraw(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """Take the workspace's template out of its gallery; workflows made from it stay."""
    template = the_template(request.actor, pk, Permission.EDIT_WORKFLOWS)
    withdraw_own(template=template, actor=request.actor)
    messages.success(request, f"“{template.name}” is out of the gallery.")
    return redirect("templates_app:index")


@require_http_methods(["GET", "HEAD", "POST"])
@permission_required(Permission.EDIT_WORKFLOWS)
def update(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """What a template's new revision brings to the workflow `pk`. POST `take` (repeated): into the draft."""
    workflow = get_or_404(visible_workflows(request.tenant), request.actor, pk, Permission.EDIT_WORKFLOWS)
    if request.method == "POST":
        try:
            failed = take_update(
                workflow=workflow,
                actor=request.actor,
                chosen=request.POST.getlist("take"),
                expected_revision=_number(request.POST.get("revision", "")),
            )
        except (Conflict, Invalid, Stale) as error:
            messages.error(request, error.message)
            return redirect("templates_app:update", workflow.pk)
        for said in failed:
            messages.warning(request, f"Not taken over. {said}")
        messages.success(request, "The draft has what you chose. Undo takes it back.")
        return redirect("workflows:builder", workflow.pk)
    found = look_at_update(workflow=workflow, actor=request.actor)
    context = {
        "section": "templates",
        "workflow": workflow,
        "update": found,
        "has_news": has_news(found.install),
    }
    return render(request, "templates_app/update.html", context)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


@require_http_methods(["GET", "HEAD", "POST"])
@permission_required(Permission.EDIT_WORKFLOWS)
def save(request: TenantRequest) -> HttpResponse:
    """GET asks for the words (`?workflow=` chooses one); POST makes the template and opens it."""
    known = categories(request.tenant)
    if request.method != "POST":
        start: dict[str, Any] = {"renews": request.GET.get("renews", "")[:40]}
        if chosen := request.GET.get("workflow"):
            workflow = get_or_404(visible_workflows(request.tenant), request.actor, chosen)
            start |= {"workflow": workflow, "name": workflow.name, "description": workflow.description[:2000]}
        form = SaveForm(tenant=request.tenant, categories=known, initial=start)
        return _save_page(request, form)
    form = SaveForm(request.POST, tenant=request.tenant, categories=known)
    if form.is_valid():
        words = dict(form.cleaned_data)
        # An emptied description falls back to the workflow's own, as the hint says.
        words["description"] = words["description"] or None
        words["sample"] = form.sample()
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
