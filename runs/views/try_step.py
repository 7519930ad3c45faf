"""The builder's parts that need runs: the data of a step with real values, its texts as sent, testing and pinning it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django.http import HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from runs.engine.statuses import RunStatus, StepStatus
from runs.models import Run, StepRun
from runs.services.sample_of_run import earlier_run_with, input_of
from runs.services.try_step import try_step
from runs.snapshots.data import data_list, resolved_texts, step_data
from runs.snapshots.step import step_panel
from runs.snapshots.values import as_json, unpacked
from runs.snapshots.words import subject
from workflows.definition.graph import Definition, StepDef, VariableType
from workflows.definition.operations import Edit, OperationRefused, update_step
from workflows.lib.errors import Invalid, NotFound, StepwellError
from workflows.lib.jsontypes import JSONObject
from workflows.models import SampleInput, Workflow
from workflows.presenters.fields import FieldShown, fields_shown
from workflows.services.drafts import apply_operation, compile_draft
from workflows.services.library import with_library
from workflows.services.samples import find_sample, samples_of, save_sample
from workflows.steps.catalog import CATALOG
from workflows.tenancy.access import NOT_FOUND, TenantRequest, permission_required, tenant_required
from workflows.tenancy.roles import Permission
from workflows.views.answers import may_edit, the_workflow

_RUNS_OFFERED = 8


@dataclass(frozen=True, slots=True)
class Source:
    """What a test begins with: an earlier run, or a sample with (if there is one) a run that had its input before."""

    run: Run | None = None
    sample: SampleInput | None = None

    @property
    def input(self) -> JSONObject | None:
        return self.sample.input if self.sample is not None else input_of(self.run) if self.run else None

    @property
    def said(self) -> str:
        """As the form and addresses name it."""
        if self.sample is not None:
            return f"sample:{self.sample.pk}"
        return f"run:{self.run.pk}" if self.run is not None else "input"

    def __str__(self) -> str:
        return f"“{self.sample}”" if self.sample is not None else str(self.run) if self.run else ""


@require_GET
@tenant_required
def data(request: TenantRequest, pk: uuid.UUID, key: str) -> JsonResponse:
    """JSON for the editor: `groups` of `{path, note, value, sure}` that can be used in the step, `labels` of all steps,
    with the values of `?run=` or the newest run that is over."""
    workflow = the_workflow(request, pk)
    definition, step = _step(workflow, key)
    run = _chosen(request, workflow, request.GET.get("run", ""))
    groups = [
        {
            "title": title,
            "items": [
                {"path": one.path, "note": one.note, "value": one.value, "sure": one.sure}
                for one in references
            ],
        }
        for title, references in data_list(definition, step, run)
    ]
    return JsonResponse(
        {
            "revision": workflow.revision,
            "run": {"id": str(run.pk), "label": str(run)} if run is not None else None,
            "groups": groups,
            "labels": [other.label for other in definition.steps if other.key != key],
            "anyInput": not definition.input_variables(),
            "inside": step.parent is not None,
            "after": bool(definition.incoming(key)),
            "vars": sorted({name for one in definition.steps for _, name in CATALOG.sets_variables(one)}),
        }
    )


@require_GET
@tenant_required
def preview(request: TenantRequest, pk: uuid.UUID, key: str) -> HttpResponse:
    """The step's texts as they would be sent, with the data of `?run=` or the newest run."""
    workflow = the_workflow(request, pk)
    definition, step = _step(workflow, key)
    source = _source(request, workflow, definition, step, request.GET.get("source", ""))
    whole = with_library(definition, request.tenant)
    values = step_data(whole, step, source.run, source.input)
    texts = resolved_texts(whole, step, source.run, data=values)
    context = {"section": "workflows", "workflow": workflow, "step": step, "source": source, "texts": texts}
    return render(request, "runs/try/_preview.html" if request.htmx else "runs/try/preview.html", context)


@require_http_methods(["GET", "POST"])
@tenant_required
def test(request: TenantRequest, pk: uuid.UUID, key: str) -> HttpResponse:
    """GET: the form and the newest test (`?run=`: that one; `?part=result`: only it). POST: test the step.

    POST `source` (`run:ID`, `sample:ID` or `input`), `input` (JSON), `up_to` (everything up to here runs anew),
    `value__KEY` (JSON in place of what a step before gave) and `rerun` (what follows those values runs again too);
    with `save_sample` the input is kept as a sample called `sample_name`, and nothing runs.
    """
    if request.method == "POST":
        request.actor.require(Permission.RUN)
    workflow = the_workflow(request, pk, Permission.RUN if request.method == "POST" else Permission.VIEW)
    definition, step = _step(workflow, key)
    if request.method == "GET":
        if request.GET.get("part") == "result":
            tested = _tested(workflow, key, request.GET.get("run", ""))
            found = _result(request, workflow, step, tested)
            if said := request.GET.get("source", ""):
                # The steps before had no data when the test began; now they have some, which the form offers.
                source = _source(request, workflow, definition, step, said)
                found |= {"chosen": source, "fresh": True, "before_now": not found["is_under_way"]}
                outputs = step_data(definition, step, source.run, source.input).outputs
                found["before"] = _before(request, definition, outputs)
            return render(request, "runs/try/_result.html", found)
        return _shown(request, workflow, definition, step)
    sent = request.POST
    problem, saved = "", None
    try:
        source = _source(request, workflow, definition, step, sent.get("source", ""), strict=True)
        given = source.input if source.run is None or "up_to" in sent else None
        if source.said == "input" or "input" in sent.getlist("with"):
            given = _object(sent.get("input", ""), "The input")
        if "save_sample" in sent:
            kept = _object(sent.get("input", ""), "The input")
            name = sent.get("sample_name", "")
            saved = save_sample(
                workflow=workflow, actor=request.actor, name=name, data=kept, definition=definition
            )
        else:
            up_to = "up_to" in sent
            try_step(
                workflow=workflow,
                actor=request.actor,
                step=key,
                origin=None if up_to else source.run,
                input_data=given,
                values={} if up_to else _edited(request, definition, step, source),
                rerun="rerun" in sent,
            )
    except StepwellError as error:
        if error.status in (403, 404):
            raise
        problem = " ".join(f"{one.says} {one.fix or ''}".strip() for one in error.problems) or error.message
    if not request.htmx and not problem:
        address = reverse("runs:step_test", args=[workflow.pk, key])
        said = f"sample:{saved.pk}" if saved is not None else sent.get("source", "")
        return HttpResponseRedirect(f"{address}?{urlencode({'source': said})}")
    response = _shown(
        request,
        workflow,
        definition,
        step,
        problem,
        422 if problem else 200,
        source=f"sample:{saved.pk}" if saved is not None else "",
    )
    if saved is not None:
        response["HX-Trigger"] = json.dumps({"toast": {"text": f"“{saved.name}” is kept as a sample."}})
    return response


@require_POST
@permission_required(Permission.EDIT_WORKFLOWS)
def pin(request: TenantRequest, pk: uuid.UUID, key: str) -> HttpResponse:
    """POST `run` (pin what the step gave there), `value` (JSON, pin that), or `remove`."""
    workflow = the_workflow(request, pk, Permission.EDIT_WORKFLOWS)
    problem = ""
    try:
        value = None if "remove" in request.POST else _to_pin(request, workflow, key)

        def operation(definition: Definition) -> Edit:
            if key not in definition.by_key:
                raise OperationRefused("no_step", "That step is not there any more.")
            edit = update_step(definition, key, CATALOG, pinned=value)
            label = definition.step(key).label
            said = (
                f"The output of “{label}” is pinned."
                if value is not None
                else f"“{label}” is not pinned any more."
            )
            return Edit(edit.definition, replace(edit.effects, message=said))

        apply_operation(workflow=workflow, actor=request.actor, operation=operation)
    except StepwellError as error:
        if error.status in (403, 404):
            raise
        problem = error.message
    if not request.htmx:
        return HttpResponseRedirect(reverse("runs:step_test", args=[workflow.pk, key]))
    definition, step = _step(workflow, key)
    return _shown(request, workflow, definition, step, problem, 422 if problem else 200, changed=not problem)


def _to_pin(request: TenantRequest, workflow: Workflow, key: str) -> JSONObject:
    if "value" in request.POST:
        return _object(request.POST["value"], "The pinned output")
    run = _chosen(request, workflow, request.POST.get("run", ""), strict=True)
    definition = compile_draft(workflow)
    if run is None or key not in definition.by_key:
        raise NotFound(NOT_FOUND)
    found = step_output(run, definition.step(key))
    if found is None:
        raise Invalid("The step gave nothing in that run, so there is nothing to pin.")
    return found


def step_output(run: Run, step: StepDef) -> JSONObject | None:
    """What the step gave in this run (of a container's step: in its first item); None when nothing."""
    row = (
        StepRun.objects.filter(
            run=run, tenant_id=run.tenant_id, step_key=step.key, scope=_scope(step), output__isnull=False
        )
        .order_by("-round")
        .first()
    )
    value = unpacked(row.output, run) if row is not None and row.output is not None else None
    return value if isinstance(value, dict) else None


# --- parts ---------------------------------------------------------------------------------------


def _scope(step: StepDef) -> str:
    """Where a test shows a step: of a container's step the first item."""
    return f"{step.parent}[0]" if step.parent is not None else ""


def _step(workflow: Workflow, key: str) -> tuple[Definition, StepDef]:
    definition = compile_draft(workflow)
    if key not in definition.by_key:
        raise NotFound(NOT_FOUND)
    return definition, definition.step(key)


def _over(workflow: Workflow) -> Any:
    return Run.objects.filter(
        workflow=workflow, tenant_id=workflow.tenant_id, completed_at__isnull=False
    ).order_by("-created_at")


def _chosen(request: TenantRequest, workflow: Workflow, said: str, *, strict: bool = False) -> Run | None:
    """The run that is named; without `strict` else the newest one that is over, if there is one."""
    if said == "input":
        return None
    try:
        wanted = uuid.UUID(said)
    except ValueError:
        return None if strict else _over(workflow).first()
    found = Run.objects.filter(workflow=workflow, tenant_id=request.tenant.pk, pk=wanted).first()
    if found is None:
        raise NotFound(NOT_FOUND)
    return found


def _source(
    request: TenantRequest,
    workflow: Workflow,
    definition: Definition,
    step: StepDef,
    said: str,
    *,
    strict: bool = False,
) -> Source:
    """What `said` names (`run:ID`, `sample:ID`, `input`); without `strict` else the newest run, else the first sample.

    NotFound for what is not there.
    """
    kind, _, name = said.partition(":")
    if kind == "sample":
        sample = find_sample(workflow, name)
        if sample is None:
            raise NotFound(NOT_FOUND)
        run = earlier_run_with(workflow=workflow, definition=definition, step=step.key, data=sample.input)
        return Source(run, sample)
    run = _chosen(request, workflow, name if kind == "run" else said, strict=strict)
    if run is None and said != "input" and not strict and (first := samples_of(workflow).first()):
        return Source(None, first)
    return Source(run)


def _tested(workflow: Workflow, key: str, said: str = "") -> Run | None:
    found = Run.objects.filter(
        workflow=workflow, tenant_id=workflow.tenant_id, kind=Run.Kind.STEP, from_step=key
    )
    try:
        return found.filter(pk=uuid.UUID(said)).first()
    except ValueError:
        return found.order_by("-created_at").first()


def _object(text: str, what: str) -> JSONObject:
    try:
        value = json.loads(text) if text.strip() else {}
    except ValueError as error:
        raise Invalid(f"{what} is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise Invalid(f"{what} must be a JSON object, in braces.")
    return value


def _edited(
    request: TenantRequest, definition: Definition, step: StepDef, source: Source
) -> dict[str, JSONObject]:
    """The values that differ from what the form showed: of the source's run, or none."""
    known = step_data(definition, step, source.run, source.input).outputs
    found: dict[str, JSONObject] = {}
    for name, text in request.POST.items():
        before = name.removeprefix("value__")
        if name == before or not str(text).strip() or before not in definition.by_key:
            continue
        value = _object(str(text), f"The data of “{definition.step(before).label}”")
        if value != known.get(before):
            found[before] = value
    return found


def _before(
    request: TenantRequest, definition: Definition, outputs: Mapping[str, JSONObject]
) -> list[tuple[StepDef, str]]:
    """What the steps before gave, or what has just been written in its place."""
    return [
        (definition.step(key), request.POST.get(f"value__{key}") or as_json(value))
        for key, value in outputs.items()
    ]


def _result(request: TenantRequest, workflow: Workflow, step: StepDef, tested: Run | None) -> dict[str, Any]:
    panel = step_panel(tested, step.key, scope=_scope(step)) if tested is not None else None
    output = step_output(tested, step) if tested is not None else None
    fields, has_text = _fields_of(output)
    return {
        "workflow": workflow,
        "step": step,
        "tested": tested,
        "panel": panel,
        "output": as_json(output) if output is not None else "",
        "fields": fields,
        "has_text": has_text,
        "failed_before": _failed_before(tested, step),
        "waits_before": _waits_before(tested, step),
        "is_under_way": tested is not None and not tested.is_over,
        "editable": may_edit(request, workflow),
        "pinned": as_json(step.pinned) if step.pinned is not None else "",
        "with_card": bool(request.htmx),
    }


def _fields_of(output: JSONObject | None) -> tuple[tuple[FieldShown, ...], bool]:
    """The fields that an output has beside its text, and whether the text says more than they do."""
    if output is None:
        return (), True
    content = output.get("content")
    if isinstance(content, dict):
        return fields_shown(content), False
    beside = fields_shown({name: value for name, value in output.items() if name != "content"})
    # With a schema the text is those fields once more, as JSON.
    return beside, not beside or (isinstance(content, str) and not content.lstrip().startswith(("{", "```")))


def _failed_before(tested: Run | None, step: StepDef) -> str:
    """The label of the step before this one at which the test failed."""
    if tested is None or tested.status != RunStatus.FAILED:
        return ""
    failed = StepRun.objects.filter(run=tested, tenant_id=tested.tenant_id, status=StepStatus.FAILED)
    keys = dict(failed.order_by("completed_at").values_list("step_key", "label"))
    return "" if step.key in keys else next(iter(keys.values()), "")


def _waits_before(tested: Run | None, step: StepDef) -> str:
    """The label of the step before this one at which the test waits for a person."""
    if tested is None or tested.is_over:
        return ""
    rows = StepRun.objects.filter(
        run=tested, tenant_id=tested.tenant_id, status=StepStatus.WAITING, wait="review"
    ).exclude(step_key=step.key)
    return rows.values_list("label", flat=True).first() or ""


def _asked_for(definition: Definition) -> JSONObject:
    """An input to begin with: every variable with what it usually is."""
    empty = {
        VariableType.STRING: "",
        VariableType.NUMBER: 0,
        VariableType.BOOLEAN: False,
        VariableType.OBJECT: {},
        VariableType.ARRAY: [],
    }
    return {
        each.name: each.default if each.default is not None else empty[each.type]
        for each in definition.input_variables()
    }


def _shown(
    request: TenantRequest,
    workflow: Workflow,
    definition: Definition,
    step: StepDef,
    problem: str = "",
    status: int = 200,
    *,
    changed: bool = False,
    source: str = "",
) -> HttpResponse:
    offered = list(_over(workflow).defer("output")[:_RUNS_OFFERED])
    said = source or request.POST.get("source") or request.GET.get("source") or ""
    if not said:
        newest = next((run for run in offered if run.kind != Run.Kind.STEP), next(iter(offered), None))
        said = f"run:{newest.pk}" if newest is not None else ""
    try:
        chosen = _source(request, workflow, definition, step, said)
    except NotFound:
        chosen = Source(next(iter(offered), None))
    if chosen.sample is None and chosen.run is not None and chosen.run not in offered:
        offered.append(chosen.run)
    known = step_data(definition, step, chosen.run, chosen.input).outputs
    edited = any(
        request.POST.get(f"value__{key}", as_json(value)).split() != as_json(value).split()
        for key, value in known.items()
    )
    typed = request.POST.get("input", "") if problem or chosen.said == "input" else ""
    context = {
        "section": "workflows",
        **_result(request, workflow, step, _tested(workflow, step.key)),
        "problem": problem,
        "offered": [(run, subject(run.input), f"run:{run.pk}" == chosen.said) for run in offered],
        "samples": list(samples_of(workflow)),
        "chosen": chosen,
        "before": _before(request, definition, known),
        "edited": edited,
        "rerun": "rerun" in request.POST,
        "fresh": chosen.sample is not None and chosen.run is None,
        "given": typed or as_json(chosen.input if chosen.input is not None else _asked_for(definition)),
        "sample_name": request.POST.get("sample_name", "") if problem else "",
        "sampling": bool(problem) and "save_sample" in request.POST,
        "pins": sum(one.pinned is not None for one in definition.steps),
        "may_run": request.actor.may(Permission.RUN) and workflow.status != Workflow.Status.ARCHIVED,
    }
    response = render(
        request, "runs/try/_test.html" if request.htmx else "runs/try/test.html", context, status=status
    )
    if changed:
        response["HX-Trigger"] = json.dumps(
            {
                "builder:pinned": {
                    "key": step.key,
                    "revision": workflow.revision,
                    "pinned": step.pinned is not None,
                }
            }
        )
    return response
