"""Documents in and out of the pages: a file to download, and a text or file that is looked through and then taken over."""

from __future__ import annotations

import uuid
from http import HTTPStatus
from typing import Any, Final

from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_http_methods, require_safe

from workflows.definition.lanes import body_layout
from workflows.definition.ordering import body_order
from workflows.lib.documents import DOCUMENT_BYTES
from workflows.lib.errors import Invalid, NotFound, Problem, StepwellError
from workflows.presenters.mini_rail import Mini, mini_rail
from workflows.services.export_workflows import Exported, export_workflow, export_workflows
from workflows.services.import_workflows import Done, Entry, IfThere, import_document, look_through
from workflows.steps import registry
from workflows.steps.base import Group
from workflows.steps.catalog import CATALOG
from workflows.tenancy.access import (
    NOT_FOUND,
    TenantRequest,
    get_or_404,
    permission_required,
    tenant_required,
)
from workflows.tenancy.models import Project
from workflows.tenancy.roles import Permission
from workflows.views.answers import the_workflow

_TYPES: Final = {"yaml": "application/yaml; charset=utf-8", "json": "application/json; charset=utf-8"}
_MOST_SHOWN: Final = 100


@require_safe
@tenant_required
def export_one(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """The draft as a file, or with `?version=3` a published version; `?format=json`."""
    workflow = the_workflow(request, pk)
    asked = request.GET.get("version", "")
    if asked and not (asked.isascii() and asked.isdecimal() and len(asked) < 10):
        raise NotFound(NOT_FOUND)
    return _file(
        export_workflow(
            workflow=workflow,
            actor=request.actor,
            version=int(asked) if asked else None,
            format=_format(request),
        ),
        _format(request),
    )


@require_safe
@tenant_required
def export_all(request: TenantRequest) -> HttpResponse:
    """Every workflow of the workspace as one file; with `?project=` those of one project."""
    asked = request.GET.get("project")
    project = get_or_404(Project, request.actor, asked) if asked else None
    return _file(
        export_workflows(actor=request.actor, project=project, format=_format(request)), _format(request)
    )


@require_http_methods(["GET", "HEAD", "POST"])
@permission_required(Permission.EDIT_WORKFLOWS)
def import_(request: TenantRequest) -> HttpResponse:
    """GET: where to paste. POST: what would be made of the document; with `sure` it is made."""
    if request.method != "POST":
        return _page(request)
    text = ""
    try:
        text = _text(request)
        if not text.strip():
            message = "Choose a file or paste a document first."
            raise Invalid(message, problems=(Problem("missing", message, field="document"),))
        entries = look_through(actor=request.actor, text=text)
        if request.POST.get("sure") and request.POST.get("back") is None:
            return _taken_over(request, text, entries)
    except StepwellError as error:
        if error.status in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND):
            raise
        return _page(request, text, error=error)
    if request.POST.get("back") is not None:
        return _page(request, text)
    return _page(request, text, entries=entries)


def _taken_over(request: TenantRequest, text: str, entries: tuple[Entry, ...]) -> HttpResponse:
    choices = {
        entry.text.name: request.POST.get(f"choice_{index}", IfThere.NEW)
        for index, entry in enumerate(entries)
    }
    made = import_document(
        actor=request.actor, text=text, choices=choices, with_texts="without_texts" not in request.POST
    )
    done = [one for one in made if one.done is not Done.SKIPPED]
    skipped = len(made) - len(done)
    left = f" {skipped} left as {'it was' if skipped == 1 else 'they were'}." if skipped else ""
    if not done:
        messages.success(request, f"Nothing was taken over.{left}")
        return redirect("workflows:index")
    if len(done) == 1:
        words = "is here, as a draft" if done[0].done is Done.CREATED else "has a new draft"
        messages.success(request, f"“{done[0].workflow.name}” {words}.{left}")
        return redirect("workflows:builder", done[0].workflow.pk)
    messages.success(request, f"{len(done)} workflows are here, as drafts.{left}")
    return redirect("workflows:index")


def _text(request: TenantRequest) -> str:
    sent = request.FILES.get("file")
    if not isinstance(sent, UploadedFile):
        # A browser sends lines with CR LF; the lines that problems name stay the same.
        return request.POST.get("document", "").replace("\r\n", "\n")
    if (sent.size or 0) > DOCUMENT_BYTES.value:
        raise Invalid(DOCUMENT_BYTES.says(), problems=(Problem("too_large", DOCUMENT_BYTES.says()),))
    try:
        return str(sent.read(), "utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        message = f"The file is not a text in UTF-8 (byte {error.start + 1})."
        raise Invalid(
            message, problems=(Problem("bad_document", message, fix="Save it as UTF-8."),)
        ) from error


def _page(
    request: TenantRequest,
    text: str = "",
    *,
    entries: tuple[Entry, ...] = (),
    error: StepwellError | None = None,
) -> HttpResponse:
    context: dict[str, Any] = {
        "section": "workflows",
        "document": text,
        "entries": [(entry, _mini(entry)) for entry in entries],
        "brings": _brought(entries),
        "error": error,
        "problems": error.problems[:_MOST_SHOWN] if error is not None else (),
        "more_problems": max(0, len(error.problems) - _MOST_SHOWN) if error is not None else 0,
        "projects": Project.objects.for_tenant(request.tenant),
    }
    status = error.status if error is not None else HTTPStatus.OK
    return render(request, "workflows/import.html", context, status=status)


def _brought(entries: tuple[Entry, ...]) -> dict[str, list[str]]:
    """Names of the prompts and personas that the document brings and the workspace has not, each once."""
    prompts = {one.name.casefold(): one.name for entry in entries for one in entry.brings.prompts}
    personas = {one.name.casefold(): one.name for entry in entries for one in entry.brings.personas}
    found = {"prompts": sorted(prompts.values()), "personas": sorted(personas.values())}
    return found if any(found.values()) else {}


def _mini(entry: Entry) -> Mini:
    definition = entry.text.definition

    def human(key: str) -> bool:
        kind = registry.find(definition.step(key).type)
        return kind is not None and kind.group is Group.ASK

    return mini_rail(body_layout(definition, body_order(definition, None, CATALOG)), human=human)


def _format(request: TenantRequest) -> str:
    return "json" if request.GET.get("format") == "json" else "yaml"


def _file(found: Exported, format: str) -> HttpResponse:
    response = HttpResponse(found.text, content_type=_TYPES[format])
    response.headers["Content-Disposition"] = content_disposition_header(True, found.filename) or "attachment"
    return response
