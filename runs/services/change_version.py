"""A failed or held run goes on with another version of its workflow, where what it has finished stands there too."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction
from django.db.models import F, QuerySet

from runs import progress
from runs import queue as doorbell
from runs.engine.compare import why_changed
from runs.engine.graph import Graph
from runs.engine.scopes import Place
from runs.engine.statuses import Intent, MailKind, RunStatus, StepStatus
from runs.models import Item, Mail, Run, StepRun
from runs.services.prepared import prepared, prepared_all
from workflows.definition.graph import ErrorChoice, ErrorPolicy
from workflows.definition.operations import set_enabled, update_step
from workflows.lib.clock import utc_now
from workflows.lib.errors import Conflict, Invalid, Problem
from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.models import WorkflowVersion
from workflows.services.choose_version import frozen_version, version_for_run
from workflows.services.definitions import load_definition
from workflows.steps.catalog import CATALOG
from workflows.tenancy import audit
from workflows.tenancy.actor import Actor
from workflows.tenancy.roles import Permission

# What has been decided, or is under way and would be lost.
_DONE = (
    StepStatus.COMPLETED,
    StepStatus.SKIPPED,
    StepStatus.RUNNING,
    StepStatus.QUEUED,
    StepStatus.WAITING,
)
_OFFERED = 10


@dataclass(frozen=True, slots=True)
class Offer:
    """A version with which a run may go on; `reason` says why not, None that it may."""

    version: int
    reason: str | None


def versions_to_continue(run: Run) -> list[Offer]:
    """The published versions but the run's own, newest first (ten at most), each with what stands against it.

    Empty for runs that neither failed nor are held. Three queries, whatever their number.
    """
    if not _may_change(run):
        return []
    rows = WorkflowVersion.objects.filter(
        workflow_id=run.workflow_id, tenant_id=run.tenant_id, number__isnull=False
    ).exclude(pk=run.version_id)
    found = list(rows.defer("document").order_by("-number")[:_OFFERED])
    ready = prepared_all({row.pk: row.content_hash for row in found})
    old = prepared(run.version_id, run.version.content_hash).graph
    done = _done_keys(run)
    return [Offer(row.number or 0, _why_not(old, ready[row.pk].graph, done)) for row in found]


def continue_on_version(*, run: Run, actor: Actor, version: int) -> Run:
    """Go on with this published version: a failed run is retried on it, a held one stays held.

    Completed work is kept. Raises Conflict for a run in another state, one that a driver has in hand, and, naming the
    step, where what was finished differs in that version; Invalid for a number that there is not.
    """
    actor.require(Permission.CONTROL_RUNS)
    if not _may_change(run):
        raise Conflict(f"{run} is {run.status}; only a run that failed or is paused changes its version.")
    wanted = version_for_run(workflow=run.workflow, actor=actor, version=version)
    if wanted.pk == run.version_id:
        message = f"{run} runs on version {version} already."
        raise Invalid(message, problems=(Problem("bad_value", message, field="version"),))
    return _go_on(run, actor, wanted, f"version {version}", "changed the version of", {"version": version})


def continue_without_step(*, run: Run, actor: Actor, step: str, value: JSONValue = None) -> Run:
    """Go on after a failed step as if it were off: what came in passes through it; with `value` that stands for it.

    For this run alone, by an unnumbered version; the workflow and its draft stay as they are. With a value the step is
    tried once more, and gives the value where it fails again. Raises Conflict for a run that did not fail, Invalid for
    a step that did not, or that cannot be off.
    """
    actor.require(Permission.CONTROL_RUNS)
    if run.status != RunStatus.FAILED:
        raise Conflict(f"{run} is {run.status}; a step is left out of a run that failed.")
    definition = load_definition(run.version)
    if definition.by_key.get(step) is None or not _failed_rows(run).filter(step_key=step).exists():
        message = f"“{step}” is not the step that failed in {run}."
        raise Invalid(message, problems=(Problem("unknown_step", message, field="step"),))
    label = definition.step(step).label
    if value is None:
        changed = set_enabled(definition, step, False, CATALOG).definition
    else:
        policy = ErrorPolicy(ErrorChoice.CONTINUE, value)
        changed = update_step(definition, step, CATALOG, on_error=policy).definition
    wanted = frozen_version(workflow=run.workflow, actor=actor, definition=changed)
    note = {"without": label} if value is None else {"default_for": label}
    return _go_on(run, actor, wanted, f"“{label}” left out", "left a step out of", {"version": None, **note})


def _failed_rows(run: Run) -> QuerySet[StepRun]:
    return StepRun.objects.filter(
        run=run, tenant_id=run.tenant_id, scope="", status=StepStatus.FAILED, port=None
    )


def _go_on(
    run: Run, actor: Actor, wanted: WorkflowVersion, with_what: str, action: str, after: JSONObject
) -> Run:
    old = prepared(run.version_id, run.version.content_hash).graph
    ready = prepared(wanted.pk, wanted.content_hash)
    failed = run.status == RunStatus.FAILED
    now = utc_now()
    with transaction.atomic():
        # Nobody drives the run, and nothing has happened in it since it was looked at.
        free = Run.objects.filter(pk=run.pk, event_seq=run.event_seq, lease_token="", status=run.status)
        common = {
            "version": wanted,
            "steps_total": len(ready.definition.children(None)),
            "mail_seq": F("mail_seq") + 1,
            "wake_at": now,
        }
        revived = {"status": RunStatus.PENDING, "intent": Intent.NONE, "completed_at": None, "error": None}
        revived["dead_since"] = None
        if not failed:
            free = free.filter(intent=Intent.PAUSE)
        if not free.update(**common, **(revived if failed else {})):
            raise Conflict(f"{run} is being worked on. Try again when it rests.")
        # Read behind the UPDATE: from here on no driver changes the rows.
        if (reason := _why_not(old, ready.graph, _done_keys(run))) is not None:
            raise Conflict(f"{run} cannot go on with {with_what}: {reason}", code="version_differs")
        payload = {"from_step": None, "model": None, "version": wanted.number}
        Mail.objects.create(
            run=run,
            tenant_id=run.tenant_id,
            kind=MailKind.RETRY if failed else MailKind.RESUME,
            payload=payload,
            actor=actor.user,
            actor_label=actor.label[:200],
        )
        audit.record(
            actor,
            action,
            run,
            before={"version": run.version.number},
            after=after,
        )
        doorbell.ring(run.pk)
    run.refresh_from_db()
    progress.run_changed(run.pk, run.tenant_id, run.event_seq)
    return run


def _may_change(run: Run) -> bool:
    return run.status == RunStatus.FAILED or (run.status == RunStatus.PAUSED and run.intent == Intent.PAUSE)


def _done_keys(run: Run) -> list[str]:
    """Keys of the steps whose current rows, anywhere, are done or under way, and of containers that have items."""
    rows: dict[Place, StepRun] = {}
    found = StepRun.objects.filter(run=run, tenant_id=run.tenant_id).order_by("round")
    for row in found.only("id", "run_id", "step_key", "scope", "round", "status", "port"):
        rows[Place(row.step_key, row.scope)] = row
    with_items = set(Item.objects.filter(run=run).order_by().values_list("step_run_id", flat=True).distinct())
    done = {
        row.step_key: None
        for row in rows.values()
        if row.status in _DONE
        or (row.status == StepStatus.FAILED and row.port is not None)
        or row.pk in with_items
    }
    return list(done)


def _why_not(old: Graph, new: Graph, done: list[str]) -> str | None:
    ordered = sorted(done, key=lambda key: old.order.get(key, 0))
    return next((reason for key in ordered if (reason := why_changed(old, new, key)) is not None), None)
