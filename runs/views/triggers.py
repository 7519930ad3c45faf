"""What starts runs: the list, one trigger with its last answers, a sample event, and its switch."""

from __future__ import annotations

import json
import uuid
from http import HTTPStatus
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from runs.forms.triggers import NewTriggerForm, SampleForm, TriggerForm
from runs.models import Firing
from runs.services.try_trigger import Tried, send_sample, would_start
from runs.snapshots.triggers import TriggerView, firings_of, sample_event, the_trigger, triggers_of
from workflows.lib.errors import Invalid, NotFound, StepwellError
from workflows.models import Workflow
from workflows.services.change_triggers import remove_trigger, save_event_trigger, switch_trigger
from workflows.services.drafts import compile_draft
from workflows.tenancy.access import (
    NOT_FOUND,
    TenantRequest,
    get_or_404,
    permission_required,
    tenant_required,
)
from workflows.tenancy.roles import Permission

EDIT = Permission.EDIT_WORKFLOWS


@require_safe
@tenant_required
def index(request: TenantRequest) -> HttpResponse:
    context = {
        "section": "triggers",
        "triggers": triggers_of(request.tenant),
        "editable": request.actor.may(EDIT),
    }
    return render(request, "runs/triggers.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@permission_required(EDIT)
def create(request: TenantRequest) -> HttpResponse:
    """A new trigger for the draft of a workflow (`?workflow=` chooses it); what goes into the run is said on its page."""
    initial = {"workflow": request.GET.get("workflow", "")}
    form = NewTriggerForm(request.POST or None, tenant=request.tenant, initial=initial)
    status = HTTPStatus.OK
    if request.method == "POST":
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        if form.is_valid():
            workflow: Workflow = form.cleaned_data["workflow"]
            try:
                key = save_event_trigger(
                    workflow=workflow, actor=request.actor, config=form.config(), input_mapping={}
                )
            except Invalid as error:
                form.tell(error.problems)
            except StepwellError as error:
                form.add_error(None, error.message)
            else:
                messages.success(
                    request, "The trigger is in the draft. It starts runs once the workflow is published."
                )
                return redirect("triggers:detail", workflow.pk, key)
    context = {"section": "triggers", "form": form}
    return render(request, "runs/trigger_new.html", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@tenant_required
def detail(request: TenantRequest, pk: uuid.UUID, key: str) -> HttpResponse:
    """GET: settings, last answers, and an event to try it with. POST: other settings, for the draft."""
    workflow, trigger = _the_trigger(request, pk, key, EDIT if request.method == "POST" else Permission.VIEW)
    form, status = _form(request, workflow, trigger), HTTPStatus.OK
    if request.method == "POST":
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        if trigger.is_event and form.is_valid():
            try:
                save_event_trigger(
                    workflow=workflow,
                    actor=request.actor,
                    key=key,
                    config=form.config(),
                    input_mapping=form.mapping(),
                )
            except Invalid as error:
                form.tell(error.problems)
            except StepwellError as error:
                form.add_error(None, error.message)
            else:
                messages.success(request, "Kept in the draft. Publish the workflow to use it.")
                return redirect("triggers:detail", pk, key)
    return _page(request, workflow, trigger, form, status=status)


@require_POST
@permission_required(Permission.RUN)
def attempt(request: TenantRequest, pk: uuid.UUID, key: str) -> HttpResponse:
    """A sample event: checked against the trigger, or (`act=send`) sent as the API would."""
    workflow, trigger = _the_trigger(request, pk, key, Permission.RUN)
    sample = SampleForm(request.POST)
    form = _form(request, workflow, trigger, bound=False)
    if not sample.is_valid():
        return _page(request, workflow, trigger, form, sample=sample, status=HTTPStatus.UNPROCESSABLE_ENTITY)
    name, data = sample.cleaned_data["name"], sample.cleaned_data["sample"]
    if request.POST.get("act") == "send":
        try:
            _, answers = send_sample(actor=request.actor, name=name, data=data)
        except StepwellError as error:
            sample.add_error(None, error.message)
            return _page(request, workflow, trigger, form, sample=sample, status=error.status)
        messages.success(request, _told(answers))
        return redirect("triggers:detail", pk, key)
    config, mapping = trigger.live or (trigger.config, trigger.mapping)
    tried = would_start(config=config, input_mapping=mapping, name=name, data=data)
    return _page(request, workflow, trigger, form, sample=sample, tried=tried)


@require_POST
@permission_required(EDIT)
def switch(request: TenantRequest, pk: uuid.UUID, key: str) -> HttpResponse:
    """`on` 1 or 0; `next` list or the trigger's own page."""
    workflow, trigger = _the_trigger(request, pk, key, EDIT)
    on = request.POST.get("on") == "1"
    switch_trigger(workflow=workflow, actor=request.actor, key=key, on=on)
    state = "on" if on else "off: what happens meanwhile starts nothing"
    messages.success(request, f"{trigger.title} is {state}.")
    if request.POST.get("next") == "page":
        return redirect("triggers:detail", pk, key)
    return redirect("triggers:index")


@require_POST
@permission_required(EDIT)
def remove(request: TenantRequest, pk: uuid.UUID, key: str) -> HttpResponse:
    workflow, trigger = _the_trigger(request, pk, key, EDIT)
    try:
        remove_trigger(workflow=workflow, actor=request.actor, key=key)
    except StepwellError as error:
        messages.error(request, error.message)
        return redirect("triggers:detail", pk, key)
    rest = " The published version keeps it until the next one." if trigger.live else ""
    messages.success(request, f"{trigger.title} is out of the draft.{rest}")
    return redirect("triggers:index")


def _the_trigger(
    request: TenantRequest, pk: uuid.UUID, key: str, permission: Permission
) -> tuple[Workflow, TriggerView]:
    workflow: Workflow = get_or_404(
        Workflow.objects.filter(deleted_at__isnull=True), request.actor, pk, permission
    )
    trigger = the_trigger(request.tenant, workflow.pk, key)
    if trigger is None:
        raise NotFound(NOT_FOUND)
    return workflow, trigger


def _form(
    request: TenantRequest, workflow: Workflow, trigger: TriggerView, bound: bool = True
) -> TriggerForm:
    config = trigger.config
    initial = {
        "events": "\n".join(trigger.names),
        "filter": config.get("filter", ""),
        "dedupe_key": config.get("dedupe_key", ""),
        "dedupe_for_s": config.get("dedupe_for_s"),
    }
    inputs = [variable.name for variable in compile_draft(workflow).input_variables()]
    given = request.POST if bound and request.method == "POST" else None
    return TriggerForm(given, initial=initial, inputs=inputs, kept=trigger.mapping)


def _page(
    request: TenantRequest,
    workflow: Workflow,
    trigger: TriggerView,
    form: TriggerForm,
    *,
    sample: SampleForm | None = None,
    tried: Tried | None = None,
    status: int = HTTPStatus.OK,
) -> HttpResponse:
    if sample is None:
        name, data = sample_event(request.tenant, trigger.names, form.inputs)
        sample = SampleForm(initial={"name": name, "sample": _json(data)}, auto_id="sample_%s")
    context: dict[str, Any] = {
        "section": "triggers",
        "workflow": workflow,
        "trigger": trigger,
        "form": form,
        "sample": sample,
        "tried": tried,
        "tried_input": _json(tried.input) if tried is not None and tried.input is not None else "",
        "firings": firings_of(request.tenant, trigger),
        "editable": request.actor.may(EDIT) and not trigger.leaving,
        "may_run": request.actor.may(Permission.RUN),
        "may_switch": request.actor.may(EDIT),
    }
    return render(request, "runs/trigger.html", context, status=status)


def _told(answers: list[Firing]) -> str:
    """What came of an event that was sent by hand."""
    if not answers:
        return "The event was sent. Nothing that is published waits for it."
    parts = []
    for firing in answers:
        if firing.run is not None:
            parts.append(f"{firing.workflow.name}: run {firing.run.number} has started.")
        else:
            reason = f" {firing.reason}" if firing.reason else ""
            parts.append(f"{firing.workflow.name}: {firing.get_outcome_display().lower()}.{reason}")
    return " ".join(parts)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)
