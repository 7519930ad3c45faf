"""One step of the draft tested by itself: a run of kind “step” of the workflow cut behind it, with data of an earlier run."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import transaction

from runs import progress
from runs import queue as doorbell
from runs.engine.statuses import StepStatus
from runs.models import Run, StepRun
from runs.services.copied_rows import Again, CopiedRows
from runs.services.prepared import prepared
from runs.services.start_run import check_rate, create_run
from runs.services.values import BadValue, checked_output, stored
from workflows.definition.cut import cut_at
from workflows.definition.graph import Definition
from workflows.definition.inputs import check_context, check_input
from workflows.lib.errors import Conflict, Invalid, NotFound, Problem
from workflows.lib.jsontypes import JSONObject
from workflows.models import Workflow
from workflows.services.choose_version import frozen_version
from workflows.services.drafts import compile_draft
from workflows.tenancy.access import NOT_FOUND
from workflows.tenancy.actor import Actor
from workflows.tenancy.audit import record
from workflows.tenancy.roles import Permission


def try_step(
    *,
    workflow: Workflow,
    actor: Actor,
    step: str,
    origin: Run | None = None,
    input_data: JSONObject | None = None,
    values: Mapping[str, JSONObject] | None = None,
    rerun: bool = False,
    definition: Definition | None = None,
) -> Run:
    """Run this step of the draft and, of what leads to it, only what has no value yet; nothing behind it.

    With `origin`, an earlier run of the workflow, the outputs of the steps before are those of that run, and so is the
    input unless `input_data` is given. Without it everything up to the step runs with `input_data`. Pinned outputs of
    the steps before are used; the step's own pin is not. `values` are outputs, by key, that steps before it are to
    have; with `rerun` what stands between them and the step runs again too.
    Raises NotAllowed, NotFound, Conflict (archived, or the origin is under way), Invalid, TooManyRuns.
    """
    actor.require(Permission.RUN)
    if workflow.tenant_id != actor.tenant.pk or workflow.deleted_at is not None:
        raise NotFound(NOT_FOUND)
    if workflow.status == Workflow.Status.ARCHIVED:
        raise Conflict(f"“{workflow.name}” is archived, so it takes no new runs. Unarchive it first.")
    whole = definition if definition is not None else compile_draft(workflow)
    if step not in whole.by_key:
        raise NotFound(NOT_FOUND)
    if origin is not None and (origin.workflow_id != workflow.pk or origin.tenant_id != actor.tenant.pk):
        raise NotFound(NOT_FOUND)
    if origin is not None and not origin.is_over:
        raise Conflict(f"{origin} is {origin.status}; only a run that is over can give its data.")
    given = _known_values(whole, step, values or {})
    cut = cut_at(whole, step, given)
    frozen = frozen_version(workflow=workflow, actor=actor, definition=cut)
    ready = prepared(frozen.pk, frozen.content_hash)
    data, variables = _data(cut, origin, input_data)
    again = {step}
    if rerun:
        again |= {edge.target for key in given for edge in cut.outgoing(key)}
    with transaction.atomic():
        check_rate(workflow)
        run = create_run(
            workflow,
            frozen,
            actor,
            data=data,
            variables=variables,
            test=True,
            yolo=False,
            trigger_type="api" if actor.api_key is not None else "manual",
            trigger_data=origin.trigger_data if origin is not None else None,
            steps_total=len(cut.children(None)),
        )
        run.kind, run.from_step, run.origin = Run.Kind.STEP, step, origin
        run.save(update_fields=["kind", "from_step", "origin"])
        if origin is not None:
            container = cut.step(step).parent
            # A step inside of a container is tested in its first item; the other items stay as they are.
            items = {container: frozenset({0})} if container is not None else {}
            CopiedRows(origin, run, ready.graph, Again(frozenset(again), items)).write()
            _lay_over(run, cut, step)
        record(
            actor,
            "tested",
            workflow,
            after={"step": step, "run": str(run.pk), "origin": str(origin.pk) if origin else None},
        )
        doorbell.ring(run.pk)
    progress.run_changed(run.pk, run.tenant_id, run.event_seq)
    return run


def _known_values(
    definition: Definition, step: str, values: Mapping[str, JSONObject]
) -> dict[str, JSONObject]:
    """The values for steps that lead to this one. Raises Invalid for others, and for what cannot be an output."""
    before = cut_at(definition, step).by_key.keys() - {step}
    found: dict[str, JSONObject] = {}
    for key, value in values.items():
        if key not in before:
            message = "Only steps that come before the tested one can be given a value."
            raise Invalid(message, problems=(Problem("unknown_step", message, field="values"),))
        try:
            found[key], _ = checked_output(value)
        except BadValue as error:
            message = f"The value of “{definition.step(key).label}” cannot be used: {error}"
            raise Invalid(message, problems=(Problem("bad_value", message, field="values"),)) from error
    return found


def _data(
    cut: Definition, origin: Run | None, input_data: JSONObject | None
) -> tuple[JSONObject, JSONObject]:
    variables: JSONObject = dict(origin.variables or {}) if origin is not None else {}
    known = {variable.name for variable in cut.context_variables()}
    variables = {name: value for name, value in variables.items() if name in known}
    if input_data is None and origin is not None:
        return origin.input, variables
    checked = check_input(cut, input_data or {}, strict=False)
    problems = (*checked.problems, *check_context(cut, variables).problems)
    if problems:
        raise Invalid(problems[0].message, code="invalid_input", problems=problems)
    return checked.values, variables


def _lay_over(run: Run, cut: Definition, step: str) -> None:
    """Outputs that are pinned in place of those of the origin, in the rows that were taken over."""
    pins = {one.key: one.pinned for one in cut.steps if one.pinned is not None and one.key != step}
    if not pins:
        return
    rows = StepRun.objects.filter(
        run=run, tenant_id=run.tenant_id, step_key__in=pins, scope="", status=StepStatus.COMPLETED
    )
    for row in rows:
        output, size = checked_output(pins[row.step_key])
        row.output, blob = stored(run, output, size)
        if blob is not None:
            blob.save()
        row.pinned = True
    StepRun.objects.bulk_update(rows, ["output", "pinned"])
