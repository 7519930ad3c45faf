"""Undo and redo in the builder: one's own changes, kept by the server, asked about where others changed the same."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from django.http import HttpResponse
from django.views.decorators.http import require_POST

from workflows.definition.patches import Clash, Side
from workflows.lib.errors import StepwellError
from workflows.lib.jsontypes import JSONValue
from workflows.services.undo_change import Clashing, Undone, redo, undo
from workflows.steps import registry
from workflows.steps.fields import config_fields
from workflows.tenancy.access import TenantRequest, permission_required
from workflows.tenancy.roles import Permission
from workflows.views.answers import answer_list, ask, builder_url, refuse, the_workflow

EDIT = Permission.EDIT_WORKFLOWS
_WORDS: Final = {
    "label": "name",
    "on_error": "what happens when it fails",
    "timeout_s": "time limit",
    "join": "how its paths meet",
    "enabled": "whether it is on",
    "type": "kind of step",
    "parent": "where it stands",
    "position": "place on the canvas",
    "pinned": "pinned data",
}
_WHY: Final = {
    "changed": "was changed",
    "gone": "is not there any more",
    "built_on": "has got new paths or steps of somebody else",
    "homeless": "has lost the step that it was in",
}
_MOST_SHOWN: Final = 600


@dataclass(frozen=True, slots=True)
class ClashView:
    """One line of the question; the values are shown where there are some."""

    words: str
    now: str
    wanted: str
    shows_values: bool


@require_POST
@permission_required(EDIT)
def undo_last(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """POST `revision` (which change, as the draft's revision after it), `side` (mine, theirs) once it was asked."""
    return _turn(request, pk, undo)


@require_POST
@permission_required(EDIT)
def redo_last(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """POST `side` once it was asked."""
    return _turn(request, pk, redo)


def _turn(request: TenantRequest, pk: uuid.UUID, act: Callable[..., Undone]) -> HttpResponse:
    workflow = the_workflow(request, pk, EDIT)
    said, side = request.POST.get("revision", ""), request.POST.get("side", "")
    try:
        done = act(
            workflow=workflow,
            actor=request.actor,
            side=Side(side) if side in (Side.MINE, Side.THEIRS) else Side.ASK,
            of_revision=int(said) if said.isascii() and said.isdigit() else None,
        )
    except Clashing as clash:
        context: dict[str, Any] = {
            "workflow": workflow,
            "what": clash.change.message or "The last change.",
            "clashes": [_view(one) for one in clash.clashes[:12]],
            "undoing": clash.back,
            "back": builder_url(workflow),
        }
        # A dialog is put in its place by any answer that is not refused.
        return ask(request, "workflows/ask/clash.html", context)
    except StepwellError as error:
        if error.status in (403, 404):
            raise
        return refuse(request, workflow, error)
    shown = [key for key in done.keys if key in done.definition.by_key]
    focus = f"#step-{shown[0]} [data-toggle]" if shown else ""
    response = answer_list(request, workflow, done.message, definition=done.definition, focus=focus)
    return response


def _view(clash: Clash) -> ClashView:
    name = f"“{clash.label}”" if clash.label else "The workflow"
    if not clash.field:
        what = {"edges": "A path", "variables": f"The variable {name}", "triggers": "A trigger"}.get(
            clash.part, name
        )
        return ClashView(f"{what} {_WHY.get(clash.why, 'was changed')}.", "", "", shows_values=False)
    field = clash.field.removeprefix("config.")
    words = _WORDS.get(field) or _label(clash, field)
    return ClashView(
        f"{words[:1].upper()}{words[1:]} of {name}", _text(clash.now), _text(clash.wanted), shows_values=True
    )


def _label(clash: Clash, field: str) -> str:
    for kind in registry.all_types():
        declared = config_fields(kind.ConfigForm).get(field)
        if declared is not None:
            return str(declared.label or field).lower()
    return field.replace("_", " ")


def _text(value: JSONValue) -> str:
    text = (
        value
        if isinstance(value, str)
        else ""
        if value is None
        else json.dumps(value, ensure_ascii=False, indent=1)
    )
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
