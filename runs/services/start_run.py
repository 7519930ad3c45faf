"""Starts a run: checks, one transaction with the run, its first event and its idempotency key, then the doorbell."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from datetime import timedelta
from typing import Final, Literal
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F

from runs import progress
from runs import queue as doorbell
from runs.engine.statuses import EventType, RunStatus
from runs.models import Event, IdempotencyKey, Run, RunCounter
from runs.services.prepared import prepared
from workflows.definition.inputs import check_context, check_input
from workflows.lib.clock import utc_now
from workflows.lib.errors import Conflict, Fault, Invalid, NotAllowed, Problem, StepwellError, TooLarge
from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.lib.limits import RUN_INPUT_BYTES, RUNS_PER_MINUTE
from workflows.models import Workflow, WorkflowVersion
from workflows.services.choose_version import version_for_run
from workflows.tenancy.actor import Actor
from workflows.tenancy.roles import Permission

_SAID_BY_NAME: Final = frozenset({"manual", "api"})


class TooManyRuns(StepwellError):
    """The tenant has started too many runs in the last minute."""

    code = "too_many_runs"
    fault = Fault.AUTHOR
    status = 429


def start_run(
    *,
    workflow: Workflow,
    actor: Actor,
    input_data: JSONObject | None = None,
    variables: JSONObject | None = None,
    version: int | Literal["draft"] | None = None,
    test: bool = False,
    yolo: bool | None = None,
    idempotency_key: str = "",
    trigger_type: str = "manual",
    trigger_data: JSONValue = None,
    breakpoints: Collection[str] = (),
    depth: int = 0,
) -> Run:
    """Start a run of a workflow and ring for a worker.

    `version` None: the latest published one, else the validated draft. `variables` set context variables.
    `yolo` overrides the workflow's setting; turning it on takes a role that may approve. `breakpoints` are keys of steps
    before which it stops. `depth` is how many runs stand above one that an event has started.
    With `idempotency_key` the same body within 24 hours gives the same run.
    Raises NotAllowed, Conflict (archived), TooLarge, Invalid (`problems` name each field), TooManyRuns.
    """
    actor.require(Permission.RUN)
    if yolo and not actor.may(Permission.REVIEW):
        raise NotAllowed("Reviews can only approve themselves in runs of people who may approve.")
    if workflow.status == Workflow.Status.ARCHIVED:
        raise Conflict(f"“{workflow.name}” is archived, so it takes no new runs. Unarchive it first.")
    data = input_data if input_data is not None else {}
    body: JSONObject = {"input": data, "variables": variables, "version": version, "test": test, "yolo": yolo}
    if breakpoints:
        body["breakpoints"] = list(breakpoints)
    body_text = _text_of(body)
    digest = hashlib.sha256(body_text.encode()).hexdigest()
    if idempotency_key and (earlier := _earlier(workflow, idempotency_key, digest)) is not None:
        return earlier
    frozen = version_for_run(workflow=workflow, actor=actor, version=version)
    definition = prepared(frozen.pk, frozen.content_hash).definition
    # People and programs hear of a name that nothing reads; what a trigger's outside world sends may hold more.
    strict = trigger_type in _SAID_BY_NAME
    checked = check_input(definition, data, strict=strict)
    context = check_context(definition, variables or {})
    known = prepared(frozen.pk, frozen.content_hash).graph.order
    unknown = tuple(
        Problem("unknown_step", f"There is no step “{key}” to stop before.", field="breakpoints")
        for key in breakpoints
        if key not in known
    )
    if problems := (*checked.problems, *context.problems, *unknown):
        raise Invalid(problems[0].message, code="invalid_input", problems=problems)
    check_rate(workflow)
    try:
        with transaction.atomic():
            run = create_run(
                workflow,
                frozen,
                actor,
                data=checked.values,
                variables={
                    name: value for name, value in context.values.items() if name in (variables or {})
                },
                test=test,
                yolo=bool(definition.settings.get("yolo")) if yolo is None else yolo,
                trigger_type=trigger_type,
                trigger_data=trigger_data,
                steps_total=len(definition.children(None)),
                breakpoints=breakpoints,
                depth=depth,
            )
            if idempotency_key:
                IdempotencyKey.objects.create(
                    tenant_id=workflow.tenant_id,
                    workflow=workflow,
                    key=idempotency_key,
                    body_hash=digest,
                    run=run,
                )
            doorbell.ring(run.pk)
    except IntegrityError:
        # Two requests with one key at the same time: the other one's run is ours too.
        if idempotency_key and (earlier := _earlier(workflow, idempotency_key, digest)) is not None:
            return earlier
        raise
    progress.run_changed(run.pk, run.tenant_id, run.event_seq)
    return run


def _text_of(body: JSONObject) -> str:
    try:
        text = json.dumps(body, ensure_ascii=False, sort_keys=True, allow_nan=False)
        size = len(text.encode())
    except (TypeError, ValueError) as error:
        raise Invalid(f"The input is not JSON that can be stored: {error}.", code="invalid_input") from error
    if size > RUN_INPUT_BYTES.value:
        raise TooLarge(RUN_INPUT_BYTES.says("input_data"))
    return text


def _earlier(workflow: Workflow, key: str, digest: str) -> Run | None:
    found = (
        IdempotencyKey.objects.filter(
            tenant_id=workflow.tenant_id,
            workflow=workflow,
            key=key,
            created_at__gt=utc_now() - timedelta(hours=24),
        )
        .select_related("run")
        .first()
    )
    if found is None:
        IdempotencyKey.objects.filter(tenant_id=workflow.tenant_id, workflow=workflow, key=key).delete()
        return None
    if found.body_hash != digest:
        raise Invalid(
            "This Idempotency-Key was used with another body. Use a new key for a new request.",
            code="idempotency_key",
        )
    return found.run


def check_rate(workflow: Workflow) -> None:
    """Raises TooManyRuns when the tenant has started as many runs in this minute as it may."""
    recent = Run.objects.filter(
        tenant_id=workflow.tenant_id, created_at__gt=utc_now() - timedelta(minutes=1)
    ).count()
    if recent >= RUNS_PER_MINUTE.value:
        raise TooManyRuns(RUNS_PER_MINUTE.says())


def create_run(
    workflow: Workflow,
    version: WorkflowVersion,
    actor: Actor,
    *,
    data: JSONObject,
    variables: JSONObject,
    test: bool,
    yolo: bool,
    trigger_type: str,
    trigger_data: JSONValue,
    steps_total: int,
    breakpoints: Collection[str] = (),
    parent: Run | None = None,
    parent_step: UUID | None = None,
    depth: int = 0,
) -> Run:
    """The rows of a new run: itself and its first event. The caller has checked everything and rings afterwards."""
    now = utc_now()
    run = Run.objects.create(
        tenant_id=workflow.tenant_id,
        workflow=workflow,
        version=version,
        number=next_number(workflow),
        kind=Run.Kind.TEST if test else Run.Kind.LIVE,
        status=RunStatus.PENDING,
        trigger_type=trigger_type,
        trigger_data=trigger_data,
        started_by=actor.user,
        api_key=actor.api_key,
        input=data,
        variables=variables,
        yolo=yolo,
        steps_total=steps_total,
        parent=parent,
        parent_step_id=parent_step,
        debug={"breakpoints": sorted(set(breakpoints))} if breakpoints else {},
        depth=parent.depth + 1 if parent is not None else depth,
        event_seq=1,
        wake_at=now,
        created_at=now,
    )
    Event.objects.create(
        run=run,
        tenant_id=run.tenant_id,
        seq=1,
        type=EventType.RUN_STARTED,
        at=now,
        data={
            "by": actor.label,
            "trigger": trigger_type,
            "version": version.number,
            "yolo": yolo,
            "test": test,
        },
    )
    return run


def next_number(workflow: Workflow) -> int:
    """The next run number of the workflow's tenant, given out in the transaction of the caller."""
    counters = RunCounter.objects.filter(tenant_id=workflow.tenant_id)
    if counters.update(last=F("last") + 1) == 0:
        RunCounter.objects.get_or_create(tenant_id=workflow.tenant_id, defaults={"last": 0})
        counters.update(last=F("last") + 1)
    return counters.values_list("last", flat=True).get()
