"""Pages of the library: prompts with their versions, personas, what uses each, and a persona for many steps at once."""

from __future__ import annotations

import uuid
from http import HTTPStatus
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from workflows.definition.library import PERSONA, PROMPT, persona_use
from workflows.definition.ordering import list_order
from workflows.forms.library import (
    TYPES,
    BulkPersonaForm,
    PersonaForm,
    PromptForm,
    not_yet_parameters,
    parameter_rows,
    read_parameters,
)
from workflows.lib.builtin_personas import builtin
from workflows.lib.errors import Conflict, Invalid, NotFound, StepwellError
from workflows.models import Persona, Prompt, PromptVersion
from workflows.services.change_library_steps import set_persona, takes_persona, use_counts, used_by
from workflows.services.change_persona import remove_persona, save_persona
from workflows.services.change_prompt import (
    Reach,
    change_prompt,
    create_prompt,
    new_version,
    remove_prompt,
)
from workflows.services.drafts import compile_draft
from workflows.services.library import personas_of, prompts_of
from workflows.steps.catalog import CATALOG
from workflows.tenancy.access import (
    NOT_FOUND,
    TenantRequest,
    get_or_404,
    permission_required,
    tenant_required,
)
from workflows.tenancy.roles import Permission
from workflows.views.answers import the_workflow

EDIT = Permission.EDIT_WORKFLOWS
UNPROCESSABLE = HTTPStatus.UNPROCESSABLE_ENTITY


@require_safe
@tenant_required
def index(request: TenantRequest) -> HttpResponse:
    prompts, personas = use_counts(request.tenant, PROMPT), use_counts(request.tenant, PERSONA)
    context = {
        "section": "prompts",
        "personas": [(card, personas[card.name.casefold()]) for card in personas_of(request.tenant)],
        "prompts": [
            (version, prompts[version.prompt.name.casefold()]) for version in prompts_of(request.tenant)
        ],
        "editable": request.actor.may(EDIT),
    }
    return render(request, "workflows/library/index.html", context)


# --- prompts ----------------------------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@permission_required(EDIT)
def prompt_new(request: TenantRequest) -> HttpResponse:
    form = PromptForm(request.POST or None)
    del form.fields["reach"], form.fields["note"]
    rows = parameter_rows()
    status = HTTPStatus.OK
    if request.method == "POST":
        status, given = UNPROCESSABLE, read_parameters(request.POST)
        rows = parameter_rows(given)
        if form.is_valid():
            words = {key: form.cleaned_data[key] for key in ("name", "description", "text")}
            try:
                made = create_prompt(actor=request.actor, parameters=given, **words)
            except (Invalid, Conflict) as error:
                _tell(form, error)
                rows = _offered_rows(form, given)
            else:
                messages.success(request, f"{made.name} is in the library.")
                return redirect("workflows:prompt", made.pk)
    return _prompt_form(request, form, rows, None, status)


@require_http_methods(["GET", "HEAD", "POST"])
@tenant_required
def prompt(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """GET: the prompt (`?version=`: as it was), its versions and what uses it. POST: its next version."""
    found = _prompt(request, pk, EDIT if request.method == "POST" else Permission.VIEW)
    number = request.GET.get("version", "")
    version = _version(found, int(number) if number.isdecimal() and len(number) < 9 else found.latest)
    initial = {
        "name": found.name,
        "description": found.description,
        "text": version.text,
        "seen": found.latest,
        "reach": Reach.ALL,
    }
    form = PromptForm(request.POST if request.method == "POST" else None, initial=initial)
    uses = used_by(request.tenant, PROMPT, found.name)
    rows, status = parameter_rows(version.parameters), HTTPStatus.OK
    if request.method == "POST":
        status, given = UNPROCESSABLE, read_parameters(request.POST)
        rows = parameter_rows(given)
        if form.is_valid() and _saved(request, form, found, given):
            return redirect("workflows:prompt", found.pk)
        rows = _offered_rows(form, given)
    context = {
        "section": "prompts",
        "prompt": found,
        "version": version,
        "versions": found.versions.select_related("created_by"),
        "form": form,
        "rows": rows,
        "types": TYPES,
        "uses": uses,
        "editable": request.actor.may(EDIT),
    }
    return render(request, "workflows/library/prompt.html", context, status=status)


def _offered_rows(form: PromptForm, given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows as they were sent, and one for each name of the text that is no parameter yet: saving again makes it one."""
    more = not_yet_parameters(str(form.data.get("text", "")), given)
    if more and "text" in form.errors:
        names = ", ".join(f"“{one['name']}”" for one in more)
        form.add_error("text", f"{names} {'stand' if len(more) > 1 else 'stands'} below now: save once more.")
    return parameter_rows([*given, *more])


def _saved(request: TenantRequest, form: PromptForm, found: Prompt, given: list[dict[str, Any]]) -> bool:
    """Whether anything was kept: another name or line, a new version, or both."""
    words, said = form.cleaned_data, []
    try:
        if (words["name"], words["description"]) != (found.name, found.description):
            change_prompt(
                actor=request.actor, prompt=found, name=words["name"], description=words["description"]
            )
            said.append(f"{found.name} is kept.")
        try:
            version = new_version(
                actor=request.actor,
                prompt=found,
                text=words["text"],
                parameters=given,
                note=words["note"],
                reach=Reach(words["reach"] or Reach.ALL),
                expected=words["seen"],
            )
        except Conflict as error:
            if error.code != "unchanged" or not said:
                raise
        else:
            said.append(f"Version {version.number} of {found.name} is the newest.")
    except (Invalid, Conflict) as error:
        _tell(form, error)
        return False
    messages.success(request, said[-1])
    return True


def _prompt_form(
    request: TenantRequest, form: PromptForm, rows: list[dict[str, Any]], found: Prompt | None, status: int
) -> HttpResponse:
    context = {
        "section": "prompts",
        "form": form,
        "rows": rows,
        "types": TYPES,
        "prompt": found,
        "editable": True,
    }
    return render(request, "workflows/library/prompt_new.html", context, status=status)


@require_POST
@tenant_required
def prompt_remove(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    found = _prompt(request, pk, EDIT)
    remove_prompt(actor=request.actor, prompt=found)
    messages.success(request, f"{found.name} is out of the library. Published workflows keep its text.")
    return redirect("workflows:prompts")


def _prompt(request: TenantRequest, pk: uuid.UUID, permission: Permission) -> Prompt:
    return get_or_404(
        Prompt.objects.for_tenant(request.tenant).filter(removed_at=None), request.actor, pk, permission
    )


def _version(prompt: Prompt, number: int) -> PromptVersion:
    found = prompt.versions.select_related("created_by").filter(number=number).first()
    if found is None:
        raise NotFound(NOT_FOUND)
    return found


# --- personas ---------------------------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@permission_required(EDIT)
def persona_new(request: TenantRequest) -> HttpResponse:
    """A new persona; `?like=NAME` begins with a built-in one, whose place the new one takes."""
    like = builtin(request.GET.get("like", ""))
    initial = (
        {"name": like.name, "description": like.description, "colour": like.colour, "text": like.text}
        if like
        else {}
    )
    form = PersonaForm(request.POST if request.method == "POST" else None, initial=initial)
    return _persona(request, form, None, like.name if like else "")


@require_http_methods(["GET", "HEAD", "POST"])
@tenant_required
def persona(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    row = get_or_404(Persona, request.actor, pk, EDIT if request.method == "POST" else Permission.VIEW)
    initial = {key: getattr(row, key) for key in ("name", "description", "colour", "text")}
    return _persona(
        request,
        PersonaForm(request.POST if request.method == "POST" else None, initial=initial),
        row,
        row.name,
    )


def _persona(request: TenantRequest, form: PersonaForm, row: Persona | None, name: str) -> HttpResponse:
    status = HTTPStatus.OK
    if request.method == "POST":
        status = UNPROCESSABLE
        if form.is_valid():
            try:
                made = save_persona(actor=request.actor, persona=row, **form.cleaned_data)
            except (Invalid, Conflict) as error:
                _tell(form, error)
            else:
                messages.success(request, f"{made.name} is kept.")
                return redirect("workflows:prompts")
    context = {
        "section": "prompts",
        "form": form,
        "persona": row,
        "name": name,
        "builtin": builtin(name) if name else None,
        "uses": used_by(request.tenant, PERSONA, name) if name else [],
        "editable": request.actor.may(EDIT),
    }
    return render(request, "workflows/library/persona.html", context, status=status)


@require_POST
@tenant_required
def persona_remove(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    row = get_or_404(Persona, request.actor, pk, EDIT)
    remove_persona(actor=request.actor, persona=row)
    back = " The built-in one is there again." if builtin(row.name) else ""
    messages.success(request, f"{row.name} is removed.{back}")
    return redirect("workflows:prompts")


@require_http_methods(["GET", "HEAD", "POST"])
@tenant_required
def persona_bulk(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """One persona for several steps of a workflow: choose it, tick the steps."""
    workflow = the_workflow(request, pk, EDIT)
    definition = compile_draft(workflow)
    asking = [step for step in list_order(definition, CATALOG) if takes_persona(step)]
    steps = [
        (step.key, f"{step.label}: {persona_use(step)}" if persona_use(step) else step.label)
        for step in asking
    ]
    form = BulkPersonaForm(
        request.POST if request.method == "POST" else None,
        personas=[card.name for card in personas_of(request.tenant)],
        steps=steps,
        initial={"steps": [step.key for step in asking]},
    )
    status = HTTPStatus.OK
    if request.method == "POST":
        status = UNPROCESSABLE
        if form.is_valid():
            name = form.cleaned_data["persona"]
            try:
                count = set_persona(
                    actor=request.actor, workflow=workflow, persona=name, steps=form.cleaned_data["steps"]
                )
            except StepwellError as error:
                if error.status in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND):
                    raise
                form.add_error(None, error.message)
            else:
                who = f"answered by {name}" if name else "without a persona"
                messages.success(request, f"{count} step{'' if count == 1 else 's'} now {who}.")
                return redirect("workflows:builder", workflow.pk)
    context = {"section": "workflows", "workflow": workflow, "form": form, "steps": steps}
    return render(request, "workflows/library/persona_bulk.html", context, status=status)


def _tell(form: forms.Form, error: Invalid | Conflict) -> None:
    """The service's problems beside their fields."""
    if not error.problems:
        form.add_error("name" if error.code == "name_taken" else None, error.message)
    for problem in error.problems:
        field = problem.field if problem.field in form.fields else None
        form.add_error(field, f"{problem.message} {problem.fix or ''}".strip())
