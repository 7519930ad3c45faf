"""Several people in one draft: who is here and what they do, and what they changed since this page last looked."""

from __future__ import annotations

import json
import uuid
from typing import Any, Final

from django.http import HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_POST

from workflows.definition import patches
from workflows.models import DraftChange
from workflows.presenters.builder_page import BuilderPage
from workflows.presenters.people import hue_of, initials
from workflows.services.draft_history import changes_since
from workflows.services.presence import Here, be_here, leave
from workflows.tenancy.access import TenantRequest, permission_required, tenant_required
from workflows.tenancy.roles import Permission
from workflows.views.answers import builder_context, folded, known_revision, opened, the_workflow

EDIT: Final = Permission.EDIT_WORKFLOWS
# With more touched cards than this the whole list is not more to send.
_MOST_CARDS: Final = 12


@require_POST
@permission_required(EDIT)
def here(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """POST `tab`, `key`, `field`, `typing` (present: yes), or `leaves`. JSON: the draft's revision, and the others."""
    workflow = the_workflow(request, pk, EDIT)
    tab = request.POST.get("tab", "")
    if "leaves" in request.POST:
        leave(workflow_id=workflow.pk, tab=tab)
        return HttpResponse(status=204)
    others = be_here(
        workflow_id=workflow.pk,
        actor=request.actor,
        tab=tab,
        key=request.POST.get("key", ""),
        field=request.POST.get("field", ""),
        typing="typing" in request.POST,
    )
    return JsonResponse({"revision": workflow.revision, "people": [_person(request, one) for one in others]})


def _person(request: TenantRequest, one: Here) -> dict[str, Any]:
    mine = request.actor.user is not None and one.user_id == str(request.actor.user.pk)
    return {
        "id": one.user_id,
        "name": "You, in another tab" if mine else one.name,
        "initials": initials(one.name),
        "hue": hue_of(one.user_id),
        "key": one.key,
        "field": one.field,
        "typing": one.typing,
    }


@require_GET
@tenant_required
def changes(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """What happened after `?since=REVISION`, as fragments: the touched cards, or the list where it looks different.

    Nothing happened: 204. Pages of people who may only look ask for this alone.

    The event `builder:caught-up` tells the new revision, and which steps (and fields) whose hand changed.
    """
    workflow = the_workflow(request, pk)
    since = known_revision(request) or 0
    if since >= workflow.revision:
        return HttpResponse(status=204)
    found = changes_since(workflow, since)
    page = BuilderPage(workflow, opened(request), folded=folded(request))
    touched = _touched(found or [])
    only_cards = found is not None and all(patches.only_fields(change.patch) for change in found)
    start = page.start.key if page.start is not None else ""
    keys = [key for key in touched if key in page.definition.by_key]
    whole = not only_cards or len(keys) > _MOST_CARDS or start in keys
    context = {
        **builder_context(request, page),
        "rows": [] if whole else [row for key in keys if (row := page.row(key))],
    }
    template = "_answer_list" if whole else "_answer_changes"
    response = render(request, f"workflows/builder/{template}.html", context)
    event = {"revision": workflow.revision, "touched": by_whom(request, found or [])}
    response["HX-Trigger"] = json.dumps({"builder:caught-up": event})
    return response


def _touched(found: list[DraftChange]) -> list[str]:
    return list(dict.fromkeys(key for change in found for key in patches.touched_steps(change.patch)))


def by_whom(request: TenantRequest, found: list[DraftChange]) -> dict[str, Any]:
    """For each touched step: who changed it last (unless it was this person), and its changed fields."""
    told: dict[str, Any] = {}
    for change in found:
        author = change.author
        mine = author is not None and author == request.actor.user
        for key in patches.touched_steps(change.patch):
            known = told.setdefault(key, {"fields": [], "name": "", "initials": "", "hue": 1})
            fields = patches.touched_fields(change.patch, key) or ()
            known["fields"] = sorted({*known["fields"], *(name.removeprefix("config.") for name in fields)})
            if not mine:
                name = str(author) if author is not None else "Somebody"
                known.update(name=name, initials=initials(name), hue=hue_of(change.author_id or 0))
    return told
