"""What the builder's views answer: partials for htmx with a toast, a redirect with a message without script."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.functional import SimpleLazyObject

from workflows.definition.graph import Definition
from workflows.definition.operations import Edit
from workflows.lib.errors import StepwellError
from workflows.models import Workflow
from workflows.presenters.builder_canvas import CanvasView
from workflows.presenters.builder_page import BuilderPage
from workflows.selectors import visible_workflows
from workflows.services.drafts import apply_operation
from workflows.services.undo_change import possible
from workflows.tenancy.access import TenantRequest, get_or_404
from workflows.tenancy.roles import Permission

OPEN_HEADER: Final = "Stepwell-Open"
FOLDED_HEADER: Final = "Stepwell-Folded"
# What the asking page shows: `canvas`, or (nothing) the step list.
VIEW_HEADER: Final = "Stepwell-View"
REVISION_HEADER: Final = "Stepwell-Revision"
_MOST_OPEN: Final = 20


def the_workflow(request: TenantRequest, pk: uuid.UUID, permission: Permission = Permission.VIEW) -> Workflow:
    """The workflow of this tenant for an actor whose role holds the permission."""
    source = visible_workflows(request.tenant).select_related("tenant")
    return get_or_404(source, request.actor, pk, permission)


def opened(request: TenantRequest) -> tuple[str, ...]:
    """Keys of the cards that are open on the asking page."""
    said = request.headers.get(OPEN_HEADER) or request.GET.get("open", "")
    return tuple(key for key in said.split(",") if key)[:_MOST_OPEN]


def folded(request: TenantRequest) -> tuple[str, ...]:
    """Keys of the containers whose list is folded on the asking page."""
    return tuple(key for key in request.headers.get(FOLDED_HEADER, "").split(",") if key)


def known_revision(request: TenantRequest) -> int | None:
    """The draft's revision that the asking page shows; None when it does not say."""
    said = request.headers.get(REVISION_HEADER) or request.GET.get("since") or request.POST.get("known", "")
    return int(said) if said.isascii() and said.isdigit() else None


def may_edit(request: TenantRequest, workflow: Workflow) -> bool:
    return request.actor.may(Permission.EDIT_WORKFLOWS) and workflow.status != Workflow.Status.ARCHIVED


def builder_context(request: TenantRequest, page: BuilderPage) -> dict[str, Any]:
    """What every template of the builder reads."""
    return {
        "section": "workflows",
        "page": page,
        "workflow": page.workflow,
        "editable": may_edit(request, page.workflow),
        "base_url": reverse("workflows:builder", args=[page.workflow.pk]),
        # Asked for by the templates that show the buttons.
        "history": SimpleLazyObject(lambda: possible(page.workflow, request.actor)),
    }


def builder_url(workflow: Workflow, key: str = "") -> str:
    """The builder's page with one card open and in view."""
    address = reverse("workflows:builder", args=[workflow.pk])
    return f"{address}?open={key}#step-{key}" if key else address


def answer_list(
    request: TenantRequest,
    workflow: Workflow,
    message: str = "",
    *,
    open_key: str = "",
    close_key: str = "",
    focus: str = "",
    definition: Definition | None = None,
    level: str = "ok",
    undo: bool = False,
) -> HttpResponse:
    """The whole list anew, with `message` as a toast; `undo` gives it a button that takes the change back.

    `open_key` is the card to have open (it closes the others); `focus` names the element to focus: `first` is the
    first field that must be filled in, a CSS selector is that element.
    """
    if not request.htmx:
        if message:
            messages.success(request, message)
        return HttpResponseRedirect(builder_url(workflow, open_key or next(iter(opened(request)), "")))
    keys = (open_key,) if open_key else tuple(key for key in opened(request) if key != close_key)
    page = BuilderPage(workflow, keys, definition=definition, folded=folded(request))
    context = builder_context(request, page)
    if request.headers.get(VIEW_HEADER) == "canvas":
        context["view"] = CanvasView(page)
        response = render(request, "workflows/canvas/_answer.html", context)
    else:
        response = render(request, "workflows/builder/_answer_list.html", context)
    changed = {"open": list(keys), "focus": focus, "key": open_key, "revision": workflow.revision}
    back = {
        "action": "Undo",
        "post": reverse("workflows:undo", args=[workflow.pk]),
        "values": {"revision": workflow.revision},
    }
    return _with_triggers(
        response, message, {"builder:changed": changed}, level=level, more=back if undo else {}
    )


def refuse(request: TenantRequest, workflow: Workflow, error: StepwellError, key: str = "") -> HttpResponse:
    """Say why something was not done; nothing on the page changes."""
    if not request.htmx:
        messages.error(request, error.message)
        return HttpResponseRedirect(builder_url(workflow, key))
    response = HttpResponse(status=error.status)
    response["HX-Reswap"] = "none"
    return _with_triggers(response, error.message, {"builder:refused": {}}, level="bad")


def perform(
    request: TenantRequest,
    workflow: Workflow,
    operation: Callable[[Definition], Edit],
    *,
    open_key: str | Callable[[Edit], str] = "",
    close_key: str = "",
    focus: str = "",
) -> HttpResponse:
    """Carry out one edit and answer with the list; a refusal is said in its own words, nothing is written then."""
    try:
        edit = apply_operation(workflow=workflow, actor=request.actor, operation=operation)
    except StepwellError as error:
        if error.status in (403, 404):
            raise
        return refuse(request, workflow, error, close_key)
    key = open_key(edit) if callable(open_key) else open_key
    # A path that went with the edit is said at once: the checks tell only what is wrong, not what is gone.
    lost = [problem.message for problem in edit.effects.checks if problem.code == "lost_path"]
    return answer_list(
        request,
        workflow,
        " ".join([edit.effects.message, *lost[:2]]),
        open_key=key,
        close_key=close_key,
        focus=focus,
        definition=edit.definition,
        undo=True,
    )


def ask(request: TenantRequest, template: str, context: dict[str, Any], *, status: int = 200) -> HttpResponse:
    """A question: a dialog for htmx, a page of its own without script. The template extends `ask_base`."""
    base = "workflows/ask/_dialog.html" if request.htmx else "workflows/ask/_page.html"
    context = {"section": "workflows", "ask_base": base, "action": request.get_full_path(), **context}
    return render(request, template, context, status=status)


def _with_triggers(
    response: HttpResponse,
    message: str,
    events: dict[str, Any],
    *,
    level: str = "ok",
    more: Mapping[str, Any] | None = None,
) -> HttpResponse:
    if message:
        events["toast"] = {"text": message, "kind": level, **(more or {})}
    response["HX-Trigger"] = json.dumps(events)
    return response
