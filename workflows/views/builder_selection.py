"""Several steps at once in the builder: on and off, model, moving, copying as text, pasting, deleting."""

from __future__ import annotations

import json
import uuid
from typing import Any, Final

from django.http import HttpResponse, JsonResponse
from django.views.decorators.http import require_GET, require_http_methods

from workflows.definition.edits import body_of
from workflows.definition.graph import Definition, StepDef
from workflows.definition.many import configure_many, in_list_order, move_many
from workflows.definition.operations import (
    AtEnd,
    Edit,
    OperationRefused,
    copy_steps,
    remove,
    set_enabled,
    update_step,
)
from workflows.definition.operations import paste as paste_fragment
from workflows.definition.ordering import list_order
from workflows.definition.uses import users_of
from workflows.lib.errors import Invalid, StepwellError
from workflows.presenters.builder_controls import known_models
from workflows.presenters.builder_page import BuilderPage
from workflows.services.drafts import compile_draft
from workflows.services.export_workflows import copy_as_text
from workflows.services.paste_document import paste_document, place_after
from workflows.steps import registry
from workflows.steps.catalog import CATALOG, clean_posted
from workflows.steps.fields import config_fields
from workflows.tenancy.access import TenantRequest, permission_required, tenant_required
from workflows.tenancy.roles import Permission
from workflows.views.answers import (
    answer_list,
    ask,
    builder_context,
    builder_url,
    perform,
    refuse,
    the_workflow,
)
from workflows.views.builder_steps import moved_before

EDIT: Final = Permission.EDIT_WORKFLOWS
_LONGEST_TEXT: Final = 2_000_000


def _keys(source: Any) -> list[str]:
    return [key for said in source.getlist("keys") for key in said.split(",") if key]


@require_http_methods(["GET", "POST"])
@permission_required(EDIT)
def selection(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """`keys` (repeated, or with commas) and `act`: enable, disable, duplicate, delete, model, move.

    GET asks what has to be asked (delete: who uses them; model: which; move: where to). POST does it.
    """
    workflow = the_workflow(request, pk, EDIT)
    source = request.POST if request.method == "POST" else request.GET
    keys, act = _keys(source), source.get("act", "")
    if request.method == "GET" or (act in ("delete", "model", "move") and "sure" not in request.POST):
        return _ask(request, workflow.pk, keys, act)

    def operation(definition: Definition) -> Edit:
        match act:
            case "enable" | "disable":
                wanted = [key for key in keys if CATALOG.can_disable(_type(definition, key))]
                return set_enabled(definition, wanted, act == "enable", CATALOG)
            case "duplicate":
                chosen = in_list_order(definition, keys, CATALOG)
                return paste_steps(definition, [step.key for step in chosen])
            case "delete":
                chosen = in_list_order(definition, keys, CATALOG)
                return remove(definition, [step.key for step in chosen], CATALOG)
            case "model":
                return _with_model(definition, keys, request.POST.get("model", "").strip())
            case "move":
                before = request.POST.get("before", "")
                # Each goes before the same card, so they come to stand in their own order.
                return move_many(
                    definition, keys, CATALOG, lambda now, key, _: moved_before(now, key, before)
                )
        raise OperationRefused("unknown", "There is no such action.")

    return perform(request, workflow, operation)


def paste_steps(definition: Definition, keys: list[str]) -> Edit:
    """A copy of these steps with the paths between them, after the last of them."""
    place = place_after(definition, keys[-1], CATALOG) or AtEnd()
    return paste_fragment(definition, copy_steps(definition, keys), place, CATALOG)


def _type(definition: Definition, key: str) -> str:
    step = definition.by_key.get(key)
    return step.type if step is not None else ""


def _with_model(definition: Definition, keys: list[str], model: str) -> Edit:
    def change(now: Definition, step: StepDef) -> Edit | None:
        kind = registry.find(step.type)
        if kind is None or "model" not in config_fields(kind.ConfigForm):
            return None
        config, problems = clean_posted(kind, {"model": model}, old=step.config)
        if found := [problem for problem in problems if problem.field == "model" and problem.is_error]:
            raise Invalid(found[0].message)
        return update_step(now, step.key, CATALOG, config=config)

    return configure_many(
        definition, keys, CATALOG, change, f"{{count}} answer with {model or 'default'} now."
    )


def _ask(request: TenantRequest, pk: uuid.UUID, keys: list[str], act: str) -> HttpResponse:
    workflow = the_workflow(request, pk, EDIT)
    page = BuilderPage(workflow)
    try:
        chosen = in_list_order(page.definition, keys, CATALOG)
    except StepwellError as error:
        return refuse(request, workflow, error)
    inside = {child.key for step in chosen for child in body_of(page.definition, step.key)}
    gone = {step.key for step in chosen} | inside
    others = [row for one in page.listed if one.key not in gone and (row := page.row(one.key)) is not None]
    context: dict[str, Any] = {
        **builder_context(request, page),
        "act": act,
        "keys": ",".join(step.key for step in chosen),
        "chosen": chosen,
        "inside": len(inside),
        "models": known_models(),
        "others": others,
        "containers": [row for row in others if row.nest is not None and not row.nest.prompt_only],
        "back": builder_url(workflow),
        "action": request.path,
    }
    if act == "delete":
        users = users_of(page.definition, CATALOG, sorted(gone))
        context["users"] = list(
            {user.key: user for found in users.values() for user in found if user.key not in gone}.values()
        )
        try:
            remove(page.definition, [step.key for step in chosen], CATALOG)
        except OperationRefused as error:
            context["refusal"] = error.message
    return ask(request, "workflows/ask/selection.html", context)


@require_GET
@tenant_required
def copy(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """`keys`: these steps as text (YAML), for the clipboard; without script a page of text to copy from."""
    workflow = the_workflow(request, pk)
    text = copy_as_text(workflow=workflow, actor=request.actor, keys=_keys(request.GET))
    return HttpResponse(text, content_type="text/plain; charset=utf-8")


@require_http_methods(["GET", "POST"])
@permission_required(EDIT)
def paste(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """GET asks for the text. POST `text`, `after` (a step): what was copied, from here or another workflow."""
    workflow = the_workflow(request, pk, EDIT)
    text, after = request.POST.get("text", "")[:_LONGEST_TEXT], request.POST.get("after", "")
    context: dict[str, Any] = {
        "workflow": workflow,
        "text": text,
        "after": after,
        "back": builder_url(workflow),
    }
    if request.method == "GET":
        context["after"] = request.GET.get("after", "")
        return ask(request, "workflows/ask/paste.html", context)
    try:
        edit = paste_document(workflow=workflow, actor=request.actor, text=text, after=after)
    except StepwellError as error:
        if error.status in (403, 404):
            raise
        # The text stays where it can be corrected, with every problem beside it.
        context["refusal"] = error
        return ask(request, "workflows/ask/paste.html", context, status=200 if request.htmx else 422)
    first = edit.effects.created[0] if edit.effects.created else ""
    return answer_list(
        request,
        workflow,
        edit.effects.message,
        definition=edit.definition,
        undo=True,
        focus=f"#step-{first} [data-toggle]" if first else "",
    )


@require_GET
@tenant_required
def find(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """`q`: the steps whose name, note or texts hold all of its words, in list order, as JSON `[{key, label, where}]`."""
    workflow = the_workflow(request, pk)
    words = request.GET.get("q", "")[:200].casefold().split()
    definition = compile_draft(workflow)
    hits = []
    for step in list_order(definition, CATALOG) if words else ():
        texts = {"name": step.label, "note": f"{step.note} {step.description}"}
        texts |= {name: json.dumps(value, ensure_ascii=False) for name, value in step.config.items()}
        folded = {name: text.casefold() for name, text in texts.items()}
        if all(any(word in text for text in folded.values()) for word in words):
            where = next((name for name, text in folded.items() if words[0] in text), "name")
            hits.append({"key": step.key, "label": step.label, "where": where})
    return JsonResponse({"steps": hits})
