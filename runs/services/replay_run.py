"""A run that is over, done again as a new run: from a step, with other input, settings or version; the origin stays.

Completed runs are never reopened (07 §4). What stands of the origin is there from the start, marked `reused`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Literal

from django.db import transaction

from runs import progress
from runs import queue as doorbell
from runs.engine.compare import changed_steps
from runs.engine.statuses import EventType, RunStatus
from runs.models import Event, Run
from runs.services.copied_rows import Again, CopiedRows
from runs.services.prepared import prepared
from runs.services.start_run import check_rate, next_number
from workflows.definition.edits import Edit
from workflows.definition.graph import Definition
from workflows.definition.inputs import check_context, check_input
from workflows.definition.operations import update_step
from workflows.lib.clock import utc_now
from workflows.lib.errors import Conflict, Invalid, Problem, TooLarge
from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.lib.limits import RUN_INPUT_BYTES
from workflows.models import Workflow, WorkflowVersion
from workflows.services.choose_version import frozen_version, version_for_run
from workflows.services.definitions import load_definition
from workflows.services.drafts import apply_operation
from workflows.steps import registry
from workflows.steps.catalog import CATALOG, clean_config
from workflows.steps.fields import is_structural
from workflows.tenancy import audit
from workflows.tenancy.actor import Actor
from workflows.tenancy.roles import Permission

_TESTS = (Run.Kind.TEST, Run.Kind.STEP)


def replay_run(
    *,
    run: Run,
    actor: Actor,
    from_step: str | None = None,
    input_data: JSONObject | None = None,
    variables: JSONObject | None = None,
    config_overrides: Mapping[str, JSONObject] | None = None,
    version: int | Literal["draft"] | None = None,
    test: bool | None = None,
    breakpoints: Collection[str] = (),
) -> Run:
    """Do a run that is over again, in a new run whose `origin` it is.

    Done again: `from_step`, every step whose settings or paths differ from the origin's, what follows them, and what
    did not come to an end there; the rest is reused. With neither `from_step` nor other settings: everything.
    `input_data` replaces the input; `variables` are laid over those of the origin's start. `config_overrides` is
    {step key: {setting: value}} (`prompt`, `model`, …) for this run only. `version`: a number or the draft in place of
    the origin's. `test` None: as the origin; test runs send nothing out. `breakpoints` are keys of steps.
    Raises Conflict for a run that is under way, Invalid (`problems` name step and field), TooLarge.
    """
    actor.require(Permission.RUN)
    workflow, frozen = run.workflow, run.version
    if not run.is_over:
        raise Conflict(f"{run} is {run.status}; only a run that is over can be done again as a new one.")
    if version is not None:
        frozen = version_for_run(workflow=workflow, actor=actor, version=version)
    overrides = {key: dict(fields) for key, fields in (config_overrides or {}).items() if fields}
    if overrides:
        definition = with_overrides(load_definition(frozen), overrides)
        frozen = frozen_version(workflow=workflow, actor=actor, definition=definition)
    elif workflow.status == Workflow.Status.ARCHIVED:
        raise Conflict(f"“{workflow.name}” is archived, so it takes no new runs. Unarchive it first.")
    ready, before = (
        prepared(frozen.pk, frozen.content_hash),
        prepared(run.version_id, run.version.content_hash),
    )
    known = ready.graph.order
    for field, wanted in (("from_step", [from_step] if from_step else []), ("breakpoints", breakpoints)):
        for key in wanted:
            if key not in known:
                raise _invalid("unknown_step", f"The version has no step “{key}” that can be run.", field)
    changed = changed_steps(before.graph, ready.graph)
    steps = changed | {from_step} if from_step else changed
    if not steps or (input_data is not None and not from_step):
        steps = frozenset(known)
    data, context = _checked(ready.definition, run, input_data, variables)
    with transaction.atomic():
        origin = Run.objects.select_for_update().select_related("workflow", "version").get(pk=run.pk)
        if not origin.is_over:
            raise Conflict(f"{origin} was taken up again meanwhile; it is {origin.status}.")
        check_rate(workflow)
        fresh = _new_run(
            origin,
            actor,
            from_step or next((key for key in known if key in overrides), ""),
            version=frozen,
            data=data,
            variables=context,
            test=test,
            overrides=overrides if version is not None else _laid_over(origin.overrides, overrides),
            breakpoints=breakpoints,
        )
        reused = CopiedRows(origin, fresh, ready.graph, Again(steps)).write()
        _say(fresh, actor, origin, {"changed": sorted(overrides), "reused": reused})
        audit.record(
            actor,
            "replayed",
            origin,
            after={
                "run": str(fresh.pk),
                "from_step": from_step,
                "overrides": overrides,
                "version": frozen.number,
                "input": input_data is not None,
            },
        )
        doorbell.ring(fresh.pk)
    progress.run_changed(fresh.pk, fresh.tenant_id, fresh.event_seq)
    return fresh


def replay_items(
    *,
    run: Run,
    actor: Actor,
    step: str,
    items: Collection[int],
    model: str | None = None,
    values: Mapping[int, JSONValue] | None = None,
) -> Run:
    """Do these items of a container of a completed run again, and what follows it, in a new run.

    Everything else that was finished is there from the start, marked `reused`, without tokens or cost. `values` gives
    items another value. While such a run of the same step is under way, that one is given back. Raises Conflict for a
    run that is not completed.
    """
    actor.require(Permission.CONTROL_RUNS)
    with transaction.atomic():
        origin = Run.objects.select_for_update().select_related("workflow", "version").get(pk=run.pk)
        if origin.status != RunStatus.COMPLETED:
            raise Conflict(f"{origin} is {origin.status}; only a completed run is run again as a new one.")
        if not values and (under_way := _under_way(origin, step)) is not None:
            return under_way
        check_rate(origin.workflow)
        fresh = _new_run(origin, actor, step, model=model, overrides=origin.overrides)
        graph = prepared(origin.version_id, origin.version.content_hash).graph
        again = Again(items={step: frozenset(items)}, values={step: values or {}})
        reused = CopiedRows(origin, fresh, graph, again).write()
        _say(fresh, actor, origin, {"items": len(items), "reused": reused})
        audit.record(
            actor, "retried", origin, after={"step": step, "items": sorted(items), "run": str(fresh.pk)}
        )
        doorbell.ring(fresh.pk)
    progress.run_changed(fresh.pk, fresh.tenant_id, fresh.event_seq)
    return fresh


def adopt_as_draft(*, run: Run, actor: Actor, expected_revision: int | None = None) -> Workflow:
    """Write what a replay changed into the draft, by the same edit as the builder's; the draft's other settings stay.

    Raises Conflict where the replay changed nothing, Invalid where the draft has no such step any more, Stale.
    """
    actor.require(Permission.EDIT_WORKFLOWS)
    if not run.overrides:
        raise Conflict(f"{run} ran with the settings of its version, so there is nothing to adopt.")
    workflow = run.workflow
    with transaction.atomic():
        for key, fields in run.overrides.items():

            def change(definition: Definition, key: str = key, fields: JSONObject = fields) -> Edit:
                return update_step(definition, key, CATALOG, config=_changed_config(definition, key, fields))

            apply_operation(
                workflow=workflow, actor=actor, operation=change, expected_revision=expected_revision
            )
            # Only the first edit is measured against what the person saw; the others follow it.
            expected_revision = None
        audit.record(actor, "adopted", run, after={"overrides": run.overrides})
    return workflow


def with_overrides(definition: Definition, overrides: Mapping[str, JSONObject]) -> Definition:
    """The definition with other settings of some steps. Raises Invalid, naming step and setting."""
    for key, fields in overrides.items():
        definition = update_step(
            definition, key, CATALOG, config=_changed_config(definition, key, fields)
        ).definition
    return definition


def _changed_config(definition: Definition, key: str, fields: JSONObject) -> JSONObject:
    if key not in definition.by_key:
        raise _invalid("unknown_step", f"There is no step “{key}” in this version.", "config_overrides")
    step = definition.step(key)
    kind = registry.get(step.type)
    for name in fields:
        if name not in kind.ConfigForm.base_fields:
            message = f"“{step.label}” has no setting “{name}”."
            known = ", ".join(kind.ConfigForm.base_fields)
            raise Invalid(
                message,
                problems=(
                    Problem(
                        "unknown_field",
                        message,
                        step=key,
                        field=name,
                        path=f"config_overrides.{key}.{name}",
                        fix=f"Its settings are {known}.",
                    ),
                ),
            )
    config, problems = clean_config(kind, {**step.config, **fields})
    if structural := tuple(problem for problem in problems if is_structural(problem)):
        raise Invalid(structural[0].message, problems=structural)
    return config


def _laid_over(before: JSONObject, overrides: Mapping[str, JSONObject]) -> JSONObject:
    """A replay of a replay keeps what the first one changed."""
    found: JSONObject = {key: dict(fields) for key, fields in before.items()}
    for key, fields in overrides.items():
        found[key] = {**found.get(key, {}), **fields}
    return found


def _checked(
    definition: Definition, run: Run, input_data: JSONObject | None, variables: JSONObject | None
) -> tuple[JSONObject, JSONObject]:
    """Input and variables of the new run; what the person did not give is the origin's."""
    data: JSONObject = run.input
    problems: tuple[Problem, ...] = ()
    if input_data is not None:
        if len(json.dumps(input_data, ensure_ascii=False).encode("utf-8", "replace")) > RUN_INPUT_BYTES.value:
            raise TooLarge(RUN_INPUT_BYTES.says("input_data"))
        checked = check_input(definition, input_data)
        data, problems = checked.values, tuple(checked.problems)
    context: JSONObject = dict(run.variables)
    if variables:
        set_now = check_context(definition, variables)
        problems += tuple(set_now.problems)
        context |= {name: value for name, value in set_now.values.items() if name in variables}
    if problems:
        raise Invalid(problems[0].message, code="invalid_input", problems=problems)
    return data, context


def _under_way(origin: Run, step: str) -> Run | None:
    """Who asks twice gets the run that the first asking has started."""
    copies = Run.objects.filter(origin=origin, tenant_id=origin.tenant_id, from_step=step)
    open_ones = copies.filter(status__in=[RunStatus.PENDING, RunStatus.RUNNING, RunStatus.PAUSED])
    return open_ones.order_by("-created_at").first()


def _new_run(
    origin: Run,
    actor: Actor,
    step: str,
    *,
    version: WorkflowVersion | None = None,
    data: JSONObject | None = None,
    variables: JSONObject | None = None,
    model: str | None = None,
    test: bool | None = None,
    overrides: JSONObject | None = None,
    breakpoints: Collection[str] = (),
) -> Run:
    now = utc_now()
    version = version or origin.version
    definition = prepared(version.pk, version.content_hash).definition
    if test is None:
        # What a test run does not send, its replay does not send either.
        test = origin.kind in _TESTS
    return Run.objects.create(
        tenant_id=origin.tenant_id,
        workflow=origin.workflow,
        version=version,
        number=next_number(origin.workflow),
        kind=Run.Kind.TEST if test else Run.Kind.REPLAY,
        origin=origin,
        from_step=step,
        status=RunStatus.PENDING,
        trigger_type="api" if actor.api_key is not None else "manual",
        started_by=actor.user,
        api_key=actor.api_key,
        input=origin.input if data is None else data,
        variables=origin.variables if variables is None else variables,
        yolo=origin.yolo and actor.may(Permission.REVIEW),
        model_override=model or origin.model_override,
        overrides=overrides or {},
        debug={"breakpoints": list(breakpoints)} if breakpoints else {},
        steps_total=len(definition.children(None)),
        event_seq=1,
        wake_at=now,
        created_at=now,
    )


def _say(fresh: Run, actor: Actor, origin: Run, facts: JSONObject) -> None:
    Event.objects.create(
        run=fresh,
        tenant_id=fresh.tenant_id,
        seq=1,
        type=EventType.RUN_STARTED,
        at=fresh.created_at,
        data={
            "by": actor.label,
            "trigger": fresh.trigger_type,
            "version": fresh.version.number,
            "yolo": fresh.yolo,
            "test": fresh.kind == Run.Kind.TEST,
            "origin": str(origin.pk),
            "fromStep": fresh.from_step,
            **facts,
        },
    )


def _invalid(code: str, message: str, field: str) -> Invalid:
    return Invalid(
        message,
        problems=(Problem(code, message, field=field, fix="Name the key of one of the version's steps."),),
    )
