"""Common patterns in the builder: which there are, the short form of one, and putting its steps into the draft."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from workflows.forms.builder import read_place
from workflows.lib.errors import NotFound, StepwellError
from workflows.services.paste_document import paste_document
from workflows.services.patterns import BY_NAME, PATTERNS, pattern_text
from workflows.tenancy.access import NOT_FOUND, TenantRequest, permission_required
from workflows.tenancy.roles import Permission
from workflows.views.answers import builder_url, the_workflow

EDIT = Permission.EDIT_WORKFLOWS


@require_GET
@permission_required(EDIT)
def index(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """The patterns; `?place=` says where in the draft they go (else at the end)."""
    context = {
        "section": "workflows",
        "workflow": the_workflow(request, pk, EDIT),
        "patterns": PATTERNS,
        "place": request.GET.get("place", "")[:200],
    }
    return render(request, "workflows/patterns.html", context)


@require_http_methods(["GET", "POST"])
@permission_required(EDIT)
def one(request: TenantRequest, pk: uuid.UUID, name: str) -> HttpResponse:
    """GET: the form of one pattern. POST: its steps go into the draft."""
    workflow = the_workflow(request, pk, EDIT)
    pattern = BY_NAME.get(name)
    if pattern is None:
        raise NotFound(NOT_FOUND)
    sent = request.POST if request.method == "POST" else None
    place = (sent or request.GET).get("place", "")[:200]
    error: StepwellError | None = None
    if sent is not None:
        try:
            edit = paste_document(
                workflow=workflow,
                actor=request.actor,
                text=pattern_text(pattern, {key: str(value) for key, value in sent.items()}),
                place=read_place(place) if place else None,
            )
        except StepwellError as caught:
            if caught.status in (403, 404):
                raise
            error = caught
        else:
            messages.success(request, f"“{pattern.label}” is in the draft. Undo takes it back.")
            return redirect(builder_url(workflow, next(iter(edit.effects.created), "")))
    said = {problem.field: problem.message for problem in error.problems} if error is not None else {}
    lines: list[dict[str, Any]] = [
        {
            "ask": ask,
            "value": sent.get(ask.name, "") if sent is not None else ask.usual,
            "error": said.get(ask.name, ""),
        }
        for ask in pattern.asks
    ]
    context = {
        "section": "workflows",
        "workflow": workflow,
        "pattern": pattern,
        "lines": lines,
        "place": place,
        "error": error.message if error is not None and not any(line["error"] for line in lines) else "",
    }
    return render(
        request, "workflows/pattern.html", context, status=error.status if error is not None else 200
    )
