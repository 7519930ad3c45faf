"""Edits of one step in the builder: its card, its settings, moving, copying, changing its kind, taking it out."""

from __future__ import annotations

import json
import uuid
from functools import partial
from typing import Any

from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render, resolve_url
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from workflows.definition.edits import body_of, step_of
from workflows.definition.graph import Definition, StepDef
from workflows.definition.healing import group_of
from workflows.definition.library import EMAIL_TEMPLATE, PROMPT, email_use, prompt_use
from workflows.definition.operations import (
    Edit,
    OperationRefused,
    change_type,
    duplicate_step,
    move,
    move_down,
    move_to,
    move_up,
    remove,
    rename,
    set_enabled,
    update_step,
)
from workflows.definition.ordering import body_order
from workflows.definition.repairs import repair
from workflows.definition.uses import users_of
from workflows.definition.validation import semantic_problems
from workflows.forms.builder import changed_policies, read_place
from workflows.lib.errors import Invalid, NotFound, Stale, StepwellError
from workflows.lib.jsontypes import JSONObject
from workflows.models import Step, Workflow
from workflows.presenters.builder_controls import shown
from workflows.presenters.builder_page import PILL, BuilderPage, picker_groups
from workflows.services.drafts import apply_operation, compile_draft
from workflows.services.late_edits import refuse_late_card
from workflows.steps import registry
from workflows.steps.catalog import CATALOG, clean_posted, is_structural
from workflows.steps.fields import config_fields
from workflows.tenancy.access import NOT_FOUND, TenantRequest, permission_required, tenant_required
from workflows.tenancy.roles import Permission
from workflows.views.answers import (
    answer_list,
    ask,
    builder_context,
    builder_url,
    folded,
    opened,
    perform,
    refuse,
    the_workflow,
)

EDIT = Permission.EDIT_WORKFLOWS


@require_http_methods(["GET", "POST"])
@tenant_required
def step(request: TenantRequest, pk: uuid.UUID, key: str) -> HttpResponse:
    """GET: the open card and its panel (`?alone`: the others close, `?close`: this one does). POST: save what is sent.

    `field` names the one control that was changed (autosave); `revision` is the card's as the page knows it.
    """
    if request.method == "POST":
        return _save(request, the_workflow(request, pk, EDIT), key)
    workflow = the_workflow(request, pk)
    before = set(opened(request))
    others = before - {key}
    # Only one card is open at a time, unless the others are asked to stay.
    now = {key} if "alone" in request.GET else others if "close" in request.GET else others | {key}
    page = BuilderPage(workflow, now, folded=folded(request))
    start = {PILL, page.start.key if page.start is not None else PILL}
    if key not in page.definition.by_key and key not in start:
        raise NotFound(NOT_FOUND)
    if not request.htmx:
        return HttpResponseRedirect(builder_url(workflow, PILL if key in start else key))
    changed = (before ^ now) | {key}
    context = {
        **builder_context(request, page),
        # A container's card brings the cards inside along.
        "rows": [row for one in page.listed if one.key in changed and (row := page.row(one.key))],
        "start_too": bool(changed & start),
    }
    return render(request, "workflows/builder/_answer_card.html", context)


def _save(request: TenantRequest, workflow: Workflow, key: str) -> HttpResponse:
    field = request.POST.get("field", "")
    before: dict[str, StepDef] = {}

    def operation(definition: Definition) -> Edit:
        now = definition.by_key.get(key)
        if now is None:
            raise OperationRefused("no_step", "That step is not there any more.")
        before["step"] = now
        edit = _saved(definition, now, request.POST)
        said = request.POST.get("revision", "")
        if said.isascii() and said.isdigit():
            # What others changed in the card meanwhile stays, unless this save is about the very same.
            refuse_late_card(workflow, key, definition, edit.definition, int(said))
        return edit

    try:
        edit = apply_operation(workflow=workflow, actor=request.actor, operation=operation)
    except StepwellError as error:
        if error.status in (403, 404):
            raise
        return _not_saved(request, workflow, key, field, error, before.get("step"))
    if not request.htmx:
        return answer_list(request, workflow, edit.effects.message, open_key=key)
    was, now = before["step"], edit.definition.by_key[key]
    page = BuilderPage(workflow, {*opened(request), key}, definition=edit.definition, folded=folded(request))
    # A change of names, ways out or how paths meet shows beyond the card.
    if (
        was.label != now.label
        or CATALOG.ports(was) != CATALOG.ports(now)
        or was.join != now.join
        or CATALOG.has_own_body(was) != CATALOG.has_own_body(now)
    ):
        message = edit.effects.message if was.label != now.label else ""
        return answer_list(request, workflow, message, definition=edit.definition)
    context = {
        **builder_context(request, page),
        "row": page.row(key),
        "start": page.start_row if page.start is not None and page.start.key == key else None,
        "saved_at": timezone.localtime(),
        # Another prompt or mail template has other parameters.
        "drawn_again": field if _other_prompt(field, was, now) else "",
    }
    response = render(request, "workflows/builder/_answer_field.html", context)
    response["HX-Trigger"] = json.dumps({"builder:saved": {"revision": workflow.revision, "key": key}})
    return response


def _other_prompt(field: str, was: StepDef, now: StepDef) -> bool:
    if field not in (PROMPT, EMAIL_TEMPLATE):
        return False
    use = prompt_use if field == PROMPT else email_use
    before, after = use(was), use(now)
    return (before and (before.name, before.version)) != (after and (after.name, after.version))


def _saved(definition: Definition, now: StepDef, data: Any) -> Edit:
    """The step with what was posted: its name, note, settings, and what every step has."""
    kind = registry.find(now.type)
    changes: dict[str, Any] = {}
    for name in ("note", "description"):
        if name in data:
            changes[name] = str(data[name])[:10_000]
    if kind is not None:
        changes |= changed_policies(now, kind, data)
        config, problems = clean_posted(kind, data, old=now.config)
        structural = tuple(problem for problem in problems if is_structural(problem))
        if structural:
            raise Invalid(structural[0].message, problems=structural)
        changes["config"] = config
    renamed = None
    if "label" in data and str(data["label"]).strip() != now.label:
        renamed = rename(definition, now.key, str(data["label"]), CATALOG)
        definition = renamed.definition
        if set(data) <= {"label", "revision", "field", "csrfmiddlewaretoken"}:
            return renamed
    edit = update_step(definition, now.key, CATALOG, **changes)
    return edit if renamed is None else Edit(edit.definition, renamed.effects)


def _not_saved(
    request: TenantRequest,
    workflow: Workflow,
    key: str,
    field: str,
    error: StepwellError,
    now: StepDef | None,
) -> HttpResponse:
    """Why the text was not saved, beside its field; the text stays on the page."""
    if not request.htmx or now is None or not field:
        return refuse(request, workflow, error, key)
    stale = isinstance(error, Stale)
    context: JSONObject = {
        "key": key,
        "field": field,
        "error": error,
        "problems": error.problems,
        "stale": stale,
        "revision": _revision(workflow, key) if stale else None,
        "theirs": _value_of(now, field) if stale else "",
    }
    return render(request, "workflows/builder/_answer_refused.html", context, status=error.status)


def _revision(workflow: Workflow, key: str) -> int | None:
    return Step.objects.filter(workflow=workflow, key=key).values_list("revision", flat=True).first()


def _value_of(step: StepDef, field: str) -> str:
    """What the field holds now, as text, to be compared with what was typed."""
    if field == "label":
        return step.label
    kind = registry.find(step.type)
    declared = config_fields(kind.ConfigForm).get(field) if kind else None
    if declared is None:
        return ""
    value = step.config.get(field, declared.default)
    return "" if value is None else shown(value)


@require_POST
@permission_required(EDIT)
def enable(request: TenantRequest, pk: uuid.UUID, key: str) -> HttpResponse:
    """POST `on` (present: on)."""
    workflow = the_workflow(request, pk, EDIT)
    on = "on" in request.POST
    return perform(request, workflow, lambda definition: set_enabled(definition, key, on, CATALOG))


@require_http_methods(["GET", "POST"])
@permission_required(EDIT)
def move_step(request: TenantRequest, pk: uuid.UUID, key: str) -> HttpResponse:
    """GET asks where to. POST `direction` (up, down, out), `into` (a container), `place` (a path), or `before`.

    `before` is a card's key, `end:KEY` the end of a container's list, `end:` that of the workflow, empty that of its own.
    """
    workflow = the_workflow(request, pk, EDIT)
    if request.method == "GET":
        page = BuilderPage(workflow)
        row = page.row(key)
        if row is None:
            raise NotFound(NOT_FOUND)
        inside = {key, *(child.key for child in body_of(page.definition, key))}
        others = [
            other for one in page.listed if one.key not in inside and (other := page.row(one.key)) is not None
        ]
        containers = [other for other in others if other.nest is not None and not other.nest.prompt_only]
        return ask(
            request,
            "workflows/ask/move.html",
            {**builder_context(request, page), "row": row, "others": others, "containers": containers},
        )

    def operation(definition: Definition) -> Edit:
        direction, place = request.POST.get("direction"), request.POST.get("place")
        if direction == "up":
            return move_up(definition, key, CATALOG)
        if direction == "down":
            return move_down(definition, key, CATALOG)
        if direction == "out":
            return _moved_out(definition, key)
        if into := request.POST.get("into"):
            return moved_before(definition, key, f"end:{into}")
        if place:
            return move(definition, key, read_place(place), CATALOG)
        return moved_before(definition, key, request.POST.get("before", ""))

    answer = perform(request, workflow, operation, focus=f"#step-{key} .grip")
    return answer


@require_safe
@permission_required(EDIT)
def connect_step(request: TenantRequest, pk: uuid.UUID, key: str) -> HttpResponse:
    """Ask which step this one shall lead to as well; the form goes to `workflows:add_path`."""
    page = BuilderPage(the_workflow(request, pk, EDIT))
    row = page.row(key)
    if row is None:
        raise NotFound(NOT_FOUND)
    asked = {
        "row": row,
        "ports": page.ports_of(row.step),
        "targets": page.gaps.targets_of(row.step),
        "action": resolve_url("workflows:add_path", pk),
    }
    return ask(request, "workflows/ask/connect.html", {**builder_context(request, page), **asked})


def moved_before(definition: Definition, key: str, before: str) -> Edit:
    """The step put above a card, or at the end of a list, of its own body or another."""
    moved = step_of(definition, key)
    ends, _, inside = before.partition(":")
    parent = moved.parent
    if ends == "end" and ":" in before:
        parent, before = inside or None, ""
    elif before:
        parent = step_of(definition, before).parent
    if parent is not None:
        step_of(definition, parent)
    if parent in {key, *(child.key for child in body_of(definition, key))}:
        raise OperationRefused("into_itself", f"“{moved.label}” cannot be moved into itself.")
    members = group_of(definition, key, CATALOG).members
    if before in members and before != key:
        raise OperationRefused("own_branch", f"“{moved.label}” cannot be moved into its own branches.")
    # The number of the gap, once the moved step (with its branches) is taken out.
    cards = [step.key for step in body_order(definition, parent, CATALOG)]
    above = cards[: cards.index(before)] if before else cards
    at = sum(card not in members for card in above)
    return move_to(definition, key, at, CATALOG, parent=parent, same_body=False)


def _moved_out(definition: Definition, key: str) -> Edit:
    """The step put below the container that it is in."""
    moved = step_of(definition, key)
    if moved.parent is None:
        raise OperationRefused("not_inside", f"“{moved.label}” is in no other step.")
    container = step_of(definition, moved.parent)
    cards = [step.key for step in body_order(definition, container.parent, CATALOG)]
    at = cards.index(container.key) + 1
    return move_to(definition, key, at, CATALOG, parent=container.parent, same_body=False)


@require_POST
@permission_required(EDIT)
def duplicate(request: TenantRequest, pk: uuid.UUID, key: str) -> HttpResponse:
    workflow = the_workflow(request, pk, EDIT)
    return perform(
        request,
        workflow,
        lambda definition: duplicate_step(definition, key, CATALOG),
        open_key=lambda edit: edit.effects.created[0],
        focus="name",
    )


@require_http_methods(["GET", "POST"])
@permission_required(EDIT)
def delete(request: TenantRequest, pk: uuid.UUID, key: str) -> HttpResponse:
    """GET: who uses the step's output (W7). POST takes it out and joins the paths around it."""
    workflow = the_workflow(request, pk, EDIT)
    if request.method == "POST":
        return perform(request, workflow, lambda definition: remove(definition, key, CATALOG), close_key=key)
    definition = compile_draft(workflow)
    if key not in definition.by_key:
        raise NotFound(NOT_FOUND)
    users = users_of(definition, CATALOG, [key])[key]
    checks: tuple[Any, ...] = ()
    refusal = ""
    try:
        checks = remove(definition, key, CATALOG).effects.checks
    except OperationRefused as error:
        refusal = error.message
    context = {
        "workflow": workflow,
        "step": definition.by_key[key],
        "users": users,
        "checks": [check for check in checks if check.code == "lost_path"],
        "inside": body_of(definition, key),
        "refusal": refusal,
        "back": builder_url(workflow, key),
    }
    return ask(request, "workflows/ask/delete.html", context)


@require_http_methods(["GET", "POST"])
@permission_required(EDIT)
def change_kind(request: TenantRequest, pk: uuid.UUID, key: str) -> HttpResponse:
    """GET: the kinds; with `?type=` what would be lost. POST `type`."""
    workflow = the_workflow(request, pk, EDIT)
    definition = compile_draft(workflow)
    now = definition.by_key.get(key)
    if now is None:
        raise NotFound(NOT_FOUND)
    asked = request.POST.get("type") or request.GET.get("type") or ""
    kind = registry.find(asked)
    if request.method == "POST" and kind is not None and (kind.name == now.type or "sure" in request.POST):
        kept = _kept_config(now, kind.name)
        return perform(
            request,
            workflow,
            lambda current: change_type(current, key, kind.name, kept, CATALOG),
            open_key=key,
            focus="first",
        )
    lost: tuple[str, ...] = ()
    refusal = ""
    if kind is not None:
        try:
            lost = change_type(definition, key, kind.name, _kept_config(now, kind.name), CATALOG).effects.lost
        except OperationRefused as error:
            refusal = error.message
        else:
            if request.method == "POST" and not lost:
                return perform(
                    request,
                    workflow,
                    lambda current: change_type(
                        current, key, kind.name, _kept_config(now, kind.name), CATALOG
                    ),
                    open_key=key,
                    focus="first",
                )
    context = {
        "workflow": workflow,
        "step": now,
        "kind": kind,
        "lost": lost,
        "refusal": refusal,
        "groups": picker_groups(),
        "back": builder_url(workflow, key),
    }
    return ask(request, "workflows/ask/kind.html", context, status=422 if refusal else 200)


def _kept_config(step: StepDef, type_name: str) -> JSONObject:
    """The settings that the other type has too, under the same name and of the same kind."""
    old, new = registry.find(step.type), registry.find(type_name)
    if new is None:
        return {}
    declared = config_fields(new.ConfigForm)
    before = config_fields(old.ConfigForm) if old is not None else {}
    return {
        name: value
        for name, value in step.config.items()
        if name in declared and name in before and declared[name].kind == before[name].kind
    }


@require_POST
@permission_required(EDIT)
def fix(request: TenantRequest, pk: uuid.UUID, key: str) -> HttpResponse:
    """Mend a problem in one press. POST `field`, `wrong`, `meant`: write the right spelling of some data in place of the
    wrong one. POST `code`, `message`, `repair`: do what the problem with these words offers under that name."""
    workflow = the_workflow(request, pk, EDIT)
    if "repair" in request.POST:
        return perform(request, workflow, partial(_repaired, request, key), open_key=key)
    field, wrong, meant = (request.POST.get(name, "") for name in ("field", "wrong", "meant"))

    def operation(definition: Definition) -> Edit:
        now = definition.by_key.get(key)
        if now is None or not wrong or not meant:
            raise OperationRefused("no_step", "That is not there any more.")
        config = _replaced(now.config, field, wrong, meant)
        if config == now.config:
            raise OperationRefused("no_text", "That text has changed in the meantime.")
        edit = update_step(definition, key, CATALOG, config=config)
        return edit

    return perform(request, workflow, operation, open_key=key)


def _repaired(request: TenantRequest, key: str, definition: Definition) -> Edit:
    about = (request.POST.get("code"), request.POST.get("message"))
    for problem in semantic_problems(definition, CATALOG):
        if problem.step_key == key and (problem.code, problem.message) == about:
            return repair(problem, request.POST.get("repair", ""), definition, CATALOG)
    raise OperationRefused("solved", "That is solved already.")


def _replaced(config: JSONObject, field: str, wrong: str, meant: str) -> JSONObject:
    """The config with the reference corrected in this field (`prompt`, `headers.X`, `cases[0].expression`)."""
    name = field.split(".")[0].split("[")[0]
    if name not in config:
        return config
    text = json.dumps(config[name], ensure_ascii=False)
    # A label is corrected with its path, a name where it stands after its root.
    right = json.dumps(meant, ensure_ascii=False)[1:-1]
    old = json.dumps(wrong, ensure_ascii=False)[1:-1]
    if meant.startswith("steps."):
        label = meant.removeprefix("steps.").split(".")[0]
        found = text.replace(f"steps.{old}", f"steps.{json.dumps(label, ensure_ascii=False)[1:-1]}")
    else:
        found = text.replace(f"input.{old}", f"input.{right}").replace(f"vars.{old}", f"vars.{right}")
    return {**config, name: json.loads(found)}
