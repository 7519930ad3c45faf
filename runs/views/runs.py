"""Pages of runs: one run, a step of it, its controls and its result."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.text import slugify
from django.views.decorators.http import require_GET, require_POST

from runs.engine.scopes import Place
from runs.engine.statuses import Intent, StepStatus
from runs.forms.failures import GivenForm
from runs.forms.items import ItemsForm, RetryItemsForm
from runs.models import Run
from runs.selectors import strips_of
from runs.services.change_version import continue_on_version, continue_without_step
from runs.services.control_run import cancel_run, pause_run, resume_run, retry_run
from runs.services.retry_items import NO_VALUE
from runs.services.retry_items import retry_items as retry_items_of
from runs.services.sample_of_run import input_of
from runs.services.viewing import viewer_of
from runs.snapshots import RunSnapshot, run_snapshot
from runs.snapshots.compare import origin_of
from runs.snapshots.definitions import counted_steps, definitions_of, order_of
from runs.snapshots.edits import edit_desk
from runs.snapshots.inner import InnerPanel, inner_panel
from runs.snapshots.item import ItemPanel, item_panel, items_of_step, parse_scope
from runs.snapshots.step import StepPanel, step_panel
from runs.snapshots.values import as_json, output_view, unpacked
from runs.views.acting import control, get_run
from workflows.definition.types import START
from workflows.lib.errors import NotFound
from workflows.tenancy.access import (
    NOT_FOUND,
    TenantRequest,
    permission_required,
    tenant_required,
)
from workflows.tenancy.roles import Permission

_STRIP_STEPS = 40


def strips(runs: list[Run]) -> list[tuple[list[str], str]]:
    """For each run one status per step in the order of its list, and the words for it. Two queries for all."""
    rows = strips_of(runs)
    definitions = definitions_of({run.version_id for run in runs})
    found: list[tuple[list[str], str]] = []
    for run in runs:
        current = rows[run.pk]
        statuses: list[str] = []
        for step in order_of(definitions[run.version_id]):
            if step.type == START:
                continue
            row = current.get(step.key)
            status = "pending" if row is None else str(row.status)
            if row is not None and row.status == "waiting" and row.wait == "review":
                status = "review"
            elif row is not None and row.status == "completed" and row.attempt > 1:
                status = "retried"
            elif not step.enabled:
                status = "skipped"
            statuses.append(status)
        done, total = counted_steps(run, definitions[run.version_id])
        found.append((statuses[:_STRIP_STEPS], f"{done} of {total or len(statuses)} steps done"))
    return found


@require_GET
@tenant_required
def detail(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    run = get_run(request, pk)
    key = request.GET.get("step", "")
    snapshot = run_snapshot(run)
    return render(request, "runs/detail.html", _page(request, run, snapshot, key, request.GET.get("tab", "")))


def _page(request: TenantRequest, run: Run, snapshot: RunSnapshot, key: str, tab: str = "") -> dict[str, Any]:
    shared: dict[str, Any] = {
        "section": "runs",
        "run": snapshot,
        "viewer": viewer_of(snapshot, request.actor),
        "origin": origin_of(run),
    }
    if (item := item_panel(run, key) if parse_scope(key) is not None else None) is not None:
        return {
            **shared,
            **_item(request, run, item, tab if tab in _ITEM_TABS else "output"),
        }
    if key and (inner := inner_panel(run, key)) is not None:
        return {**shared, **_inner(request, run, inner)}
    panel = step_panel(run, key) if key and key != "input" else None
    if not key and snapshot.failed_key and not snapshot.gates:
        key = snapshot.failed_key
        panel = step_panel(run, key)
    return {
        **shared,
        **_panel(request, run, key, panel, tab or ("attempts" if snapshot.failed_key == key else "output")),
    }


def _panel(request: TenantRequest, run: Run, key: str, panel: StepPanel | None, tab: str) -> dict[str, Any]:
    """The inspector's context: a step, the run's own input (`key` is `input`), or nothing."""
    if key == "input" and panel is None:
        given = [
            (name, value if isinstance(value, str) else as_json(value))
            for name, value in input_of(run).items()
        ]
        may_save = request.actor.may(Permission.EDIT_WORKFLOWS)
        return {"panel": None, "panel_key": "input", "given": given, "may_save_sample": may_save}
    # Why it failed comes first; an output is shown where something of one is there.
    failed = panel is not None and panel.status == StepStatus.FAILED
    empty = failed and panel is not None and not (panel.output or panel.sent or panel.decision)
    attempts = [{"key": "attempts", "label": "Attempts"}]
    tabs = [
        *(attempts if failed else []),
        *([] if empty else [{"key": "output", "label": "Output"}]),
        {"key": "input", "label": "Input"},
        *(
            [{"key": "prompt", "label": "Prompt as sent"}]
            if panel is not None and (panel.uses_model or panel.calls)
            else []
        ),
        *([{"key": "raw", "label": "Raw response"}] if panel is not None and panel.calls else []),
        *([] if failed else attempts),
        {"key": "events", "label": "Events"},
    ]
    known = {str(entry["key"]) for entry in tabs}
    found: dict[str, Any] = {
        "panel": panel,
        "panel_key": panel.key if panel else "",
        "tabs": tabs,
        "no_output": empty,
        "tab": tab if tab in known else str(tabs[0]["key"]),
    }
    if panel is not None and run.is_over and panel.rounds:
        found["may_try_again"] = request.actor.may(Permission.RUN)
    if panel is not None and request.actor.may(Permission.CONTROL_RUNS):
        ahead = not run.is_over and run.intent != Intent.CANCEL and panel.rounds <= 1
        found |= {
            "desk": edit_desk(run, panel.key),
            "breakable": ahead and panel.status == "pending",
            "stops_here": panel.key in (run.debug.get("breakpoints") or ()),
        }
    return found


def _inner(request: TenantRequest, run: Run, inner: InnerPanel) -> dict[str, Any]:
    ahead = not run.is_over and run.intent != Intent.CANCEL and not inner.off and not inner.ended
    return {
        "inner": inner,
        "panel": inner,
        "panel_key": inner.key,
        "breakable": ahead and request.actor.may(Permission.CONTROL_RUNS),
        "stops_here": inner.key in (run.debug.get("breakpoints") or ()),
    }


@require_GET
@tenant_required
def step(request: TenantRequest, pk: uuid.UUID, key: str) -> HttpResponse:
    """The inspector of one step: a fragment for htmx and our script, else the run's page with the step open."""
    run = get_run(request, pk)
    inner = inner_panel(run, key)
    panel = step_panel(run, key) if inner is None else None
    if panel is None and inner is None and key != "input":
        raise NotFound(NOT_FOUND)
    if not request.htmx:
        return HttpResponseRedirect(f"{reverse('runs:detail', args=[run.pk])}?step={key}")
    if inner is not None:
        return render(request, "runs/_inner_panel.html", {"run": run, **_inner(request, run, inner)})
    wanted = request.GET.get("tab", "output")
    context = {"run": run, **_panel(request, run, key, panel, wanted)}
    return render(request, "runs/_panel.html", context)


# --- items ---------------------------------------------------------------------------------------


@require_GET
@tenant_required
def item(request: TenantRequest, pk: uuid.UUID, scope: str) -> HttpResponse:
    """The panel of one item, named by its scope (`f[3]`): a fragment for our script, else the run's page with it open."""
    run = get_run(request, pk)
    panel = item_panel(run, scope)
    if panel is None:
        raise NotFound(NOT_FOUND)
    if not request.htmx:
        address = reverse("runs:detail", args=[run.pk])
        return HttpResponseRedirect(f"{address}?{urlencode({'step': scope})}")
    wanted = request.GET.get("tab", "output")
    context = {"run": run, **_item(request, run, panel, wanted if wanted in _ITEM_TABS else "output")}
    return render(request, "runs/_item_panel.html", context)


_ITEM_TABS = {"output": "Result", "input": "Input", "prompt": "Prompt as sent", "attempts": "Attempts"}


def _item(request: TenantRequest, run: Run, panel: ItemPanel, tab: str) -> dict[str, Any]:
    return {
        "item": panel,
        "panel": panel,
        "panel_key": panel.scope,
        "tabs": [{"key": key, "label": label} for key, label in _ITEM_TABS.items()],
        "tab": tab,
        "may_control": request.actor.may(Permission.CONTROL_RUNS),
    }


@require_GET
@tenant_required
def items(request: TenantRequest, pk: uuid.UUID, key: str) -> HttpResponse:
    """The items of a container, filtered and paged here: a fragment for our script, else a page of its own."""
    run = get_run(request, pk)
    form = ItemsForm(request.GET)
    place = Place(key, request.GET.get("scope", "")[:255])
    found = items_of_step(run, place, form.wanted())
    if found is None:
        raise NotFound(NOT_FOUND)
    page, step_of = found
    context = {"section": "runs", "run": run, "page": page, "name": step_of.label}
    return render(request, "runs/_items.html" if request.htmx else "runs/items.html", context)


# --- controls ------------------------------------------------------------------------------------


@require_POST
@permission_required(Permission.CONTROL_RUNS)
def pause(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    return control(
        request,
        pk,
        lambda run: pause_run(run=run, actor=request.actor),
        "Pausing: steps under way finish first",
    )


@require_POST
@permission_required(Permission.CONTROL_RUNS)
def resume(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    return control(request, pk, lambda run: resume_run(run=run, actor=request.actor), "The run goes on")


@require_POST
@permission_required(Permission.CONTROL_RUNS)
def cancel(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    return control(
        request,
        pk,
        lambda run: cancel_run(run=run, actor=request.actor),
        "Cancelled; what is finished is kept",
    )


@require_POST
@permission_required(Permission.CONTROL_RUNS)
def retry(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    model = request.POST.get("model", "").strip()[:120] or None
    from_step = request.POST.get("from_step", "").strip()[:64] or None
    given = None
    if "input" in request.POST:
        form = GivenForm({"kind": request.POST.get("kind", ""), "value": request.POST["input"]})
        if not form.is_valid():
            return _no_value(request, pk, form)
        given = form.given()
        given = given if isinstance(given, dict) else {"content": given or ""}
    return control(
        request,
        pk,
        lambda run: retry_run(
            run=run, actor=request.actor, from_step=from_step, model=model, input_data=given
        ),
        f"Trying again with {model}" if model else "Trying again",
    )


@require_POST
@permission_required(Permission.CONTROL_RUNS)
def continue_on(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """A failed run goes on with another published version of its workflow."""
    said = request.POST.get("version", "")
    if not said.isdecimal() or len(said) > 9:
        return HttpResponse("Name a version.", status=422, content_type="text/plain; charset=utf-8")
    version = int(said)
    return control(
        request,
        pk,
        lambda run: continue_on_version(run=run, actor=request.actor, version=version),
        f"The run goes on with version {version}",
    )


@require_POST
@permission_required(Permission.CONTROL_RUNS)
def without(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """A failed run goes on without the step that failed, or with a value in place of its answer."""
    step = request.POST.get("step", "")[:64]
    form = GivenForm({"kind": "text", "value": request.POST.get("value", "")})
    if not form.is_valid():
        return _no_value(request, pk, form)
    value = form.given()
    return control(
        request,
        pk,
        lambda run: continue_without_step(run=run, actor=request.actor, step=step, value=value),
        "The run goes on without the step",
    )


def _no_value(request: TenantRequest, pk: uuid.UUID, form: GivenForm) -> HttpResponse:
    """What was written cannot be read: said at once, and nothing is begun."""
    message = str(next(iter(form.errors.values()))[0])
    if request.htmx:
        return HttpResponse(message, status=422, content_type="text/plain; charset=utf-8")
    messages.error(request, message)
    return redirect("runs:detail", get_run(request, pk).pk)


@require_POST
@permission_required(Permission.CONTROL_RUNS)
def retry_items(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """The failed items again, or those named: in this run where it failed, in a new one where it was completed."""
    form = RetryItemsForm(request.POST)
    if not form.is_valid():
        message = next(iter(form.errors.values()))[0]
        return HttpResponse(message, status=422, content_type="text/plain; charset=utf-8")
    wanted = form.cleaned_data
    changed = GivenForm(request.POST)
    if "value" in request.POST and not changed.is_valid():
        return _no_value(request, pk, changed)
    value = changed.given() if "value" in request.POST else NO_VALUE
    return control(
        request,
        pk,
        lambda run: retry_items_of(
            run=run, actor=request.actor, items=wanted["items"], step=wanted["step"], value=value
        ),
        "Trying the items again",
    )


# --- result --------------------------------------------------------------------------------------


@require_GET
@tenant_required
def output(request: TenantRequest, pk: uuid.UUID) -> HttpResponse:
    """The run's result as a file: `?format=md` or `json`; with `?step=KEY` that step's output."""
    run = get_run(request, pk)
    key = request.GET.get("step", "")
    value = run.output
    name = f"run-{run.number}-{slugify(run.workflow.name)}"
    if key:
        row = run.step_runs.filter(step_key=key, scope="", tenant_id=run.tenant_id).order_by("-round").first()
        value = row.output if row is not None else None
        name = f"{name}-{slugify(row.label)}" if row is not None else name
    if value is None:
        raise NotFound(NOT_FOUND)
    whole = unpacked(value, run)
    if request.GET.get("format") == "md":
        body, kind, ending = output_view(whole).text, "text/markdown", "md"
    else:
        body, kind, ending = as_json(whole), "application/json", "json"
    response = HttpResponse(body, content_type=f"{kind}; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name[:80]}.{ending}"'
    return response
