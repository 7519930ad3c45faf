"""Looking into a run that is held: breakpoints, single steps, and changes of variables, inputs and outputs, all as mail."""

from __future__ import annotations

from collections.abc import Collection

from django.db import transaction
from django.db.models import F

from runs import progress
from runs import queue as doorbell
from runs.engine.statuses import Intent, MailKind, RunStatus, StepStatus
from runs.models import Mail, Run, StepRun
from runs.services.control_run import resume_run
from runs.services.prepared import prepared
from runs.services.values import BadValue, checked_output
from workflows.definition.inputs import check_context
from workflows.lib.clock import utc_now
from workflows.lib.errors import Conflict, Invalid, Problem
from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.tenancy import audit
from workflows.tenancy.actor import Actor
from workflows.tenancy.roles import Permission

_OPEN = (RunStatus.PENDING, RunStatus.RUNNING, RunStatus.PAUSED)


def set_breakpoints(*, run: Run, actor: Actor, steps: Collection[str]) -> Run:
    """The run stops before these steps (keys), each time that they begin a new round; an empty list takes all away.

    Raises Conflict for a run that is over, Invalid for a step that its version cannot run.
    """
    return _set(run, actor, steps, once=set(_kept(run, "once")) & set(steps))


def _set(run: Run, actor: Actor, steps: Collection[str], *, once: Collection[str]) -> Run:
    actor.require(Permission.CONTROL_RUNS)
    check_steps(run, steps, "breakpoints")
    wanted = {"breakpoints": sorted(set(steps)), "once": sorted(set(once))}
    post(run, actor, MailKind.DEBUG, wanted, "set breakpoints in")
    return run


def breakpoints_of(run: Run) -> list[str]:
    """The breakpoints of a run, those included that its driver has not obeyed yet."""
    return _kept(run, "breakpoints")


def _kept(run: Run, name: str) -> list[str]:
    unread = Mail.objects.filter(run=run, tenant_id=run.tenant_id, kind=MailKind.DEBUG, read_at=None)
    for payload in unread.order_by("-id").values_list("payload", flat=True):
        if name in payload:
            return list(payload[name])
    return list(run.debug.get(name) or ())


def toggle_breakpoint(*, run: Run, actor: Actor, step: str) -> Run:
    """Stop before this step from now on, or no longer. Raises like `set_breakpoints`."""
    now = breakpoints_of(run)
    wanted = [key for key in now if key != step] if step in now else [*now, step]
    return set_breakpoints(run=run, actor=actor, steps=wanted)


def run_to(*, run: Run, actor: Actor, step: str) -> Run:
    """Go on as far as this step, and stop before it, once; a breakpoint that was there stays. Raises like `set_breakpoints`."""
    now, once = breakpoints_of(run), _kept(run, "once")
    _set(run, actor, [*now, step], once=once if step in now else [*once, step])
    if run.intent == Intent.PAUSE:
        resume_run(run=run, actor=actor)
    return run


def step_run(*, run: Run, actor: Actor) -> Run:
    """Exactly one next step, then the run is held again; steps under way go on to their end.

    Where only people are waited for, the one step comes after their decision. Raises Conflict for a run that is over.
    """
    actor.require(Permission.CONTROL_RUNS)
    post(run, actor, MailKind.DEBUG, {"step": True}, "stepped", goes_on=True)
    return run


def edit_variable(*, run: Run, actor: Actor, name: str, value: JSONValue) -> Run:
    """Set a context variable of a run that is held; later steps that set it win. Raises Conflict, Invalid."""
    actor.require(Permission.CONTROL_RUNS)
    _require_held(run)
    definition = prepared(run.version_id, run.version.content_hash).definition
    if name not in {variable.name for variable in definition.context_variables()}:
        raise _invalid(
            "unknown_variable", f"The version of this run has no context variable “{name}”.", "name"
        )
    checked = check_context(definition, {name: value})
    if checked.problems:
        raise Invalid(checked.problems[0].message, problems=tuple(checked.problems))
    storable({"content": value})
    change: JSONObject = {"what": "variable", "name": name, "value": checked.values[name]}
    post(run, actor, MailKind.EDIT, change, "edited")
    return run


def edit_input(*, run: Run, actor: Actor, step: str, value: JSONValue, scope: str = "") -> Run:
    """Give a step that has not begun another input than what arrives (its `previous`); all tries of its round get it.

    Raises Conflict for a run that is not held or a step that has begun, Invalid for an unknown step or value.
    """
    actor.require(Permission.CONTROL_RUNS)
    _require_held(run)
    check_steps(run, [step], "step")
    newest = StepRun.objects.filter(run=run, tenant_id=run.tenant_id, step_key=step, scope=scope)
    row = newest.order_by("-round").first()
    if row is not None and row.status != StepStatus.PENDING:
        raise Conflict(f"“{row.label}” has begun already; it is {row.status}.")
    change: JSONObject = {"what": "input", "step": step, "scope": scope, "value": storable(value)}
    post(run, actor, MailKind.EDIT, change, "edited")
    return run


def edit_output(
    *, run: Run, actor: Actor, step: str, value: JSONValue, scope: str = "", rerun: bool = False
) -> Run:
    """Give a completed step another output, as a new round; the one before keeps what the step gave.

    Steps after it that have run already are left as they are, unless `rerun`. Raises like `edit_input`.
    """
    actor.require(Permission.CONTROL_RUNS)
    _require_held(run)
    check_steps(run, [step], "step")
    found = StepRun.objects.filter(run=run, tenant_id=run.tenant_id, step_key=step, scope=scope)
    row = found.order_by("-round").first()
    if row is None or row.status != StepStatus.COMPLETED:
        raise Conflict(f"“{step}” has no output that could be changed.")
    change: JSONObject = {
        "what": "output",
        "step": step,
        "scope": scope,
        "value": storable(value),
        "rerun": rerun,
    }
    post(run, actor, MailKind.EDIT, change, "edited")
    return run


def check_steps(run: Run, steps: Collection[str], field: str) -> None:
    """Raises Invalid where the version of a run has no such step."""
    known = prepared(run.version_id, run.version.content_hash).graph.order
    for key in steps:
        if key not in known:
            message = f"The version of this run has no step “{key}” that can be run."
            raise _invalid("unknown_step", message, field)


def _require_held(run: Run) -> None:
    if run.is_over or (run.intent != Intent.PAUSE and run.status != RunStatus.PAUSED):
        raise Conflict(f"{run} is {run.status}. Pause it first: only a run that is held can be changed.")


def storable(value: JSONValue) -> JSONObject:
    """A value as steps pass it on: an object. Raises Invalid for what no database keeps."""
    try:
        return checked_output(value)[0]
    except BadValue as bad:
        raise _invalid(bad.info.code, bad.info.message, "value") from bad


def post(
    run: Run, actor: Actor, kind: MailKind, payload: JSONObject, verb: str, *, goes_on: bool = False
) -> None:
    """Mail to the run's driver; with `goes_on` the run is let go in the same UPDATE. Raises Conflict when it is over."""
    with transaction.atomic():
        open_ones = Run.objects.filter(pk=run.pk, status__in=_OPEN).exclude(intent=Intent.CANCEL)
        intent = {"intent": Intent.NONE, "intent_by": actor.label[:200]} if goes_on else {}
        if changed := open_ones.update(mail_seq=F("mail_seq") + 1, wake_at=utc_now(), **intent):
            Mail.objects.create(
                run=run,
                tenant_id=run.tenant_id,
                kind=kind,
                payload=payload,
                actor=actor.user,
                actor_label=actor.label[:200],
            )
            audit.record(actor, verb, run, after=payload)
            doorbell.ring(run.pk)
    run.refresh_from_db()
    if not changed:
        raise Conflict(f"{run} is {'being cancelled' if not run.is_over else run.status}.")
    progress.run_changed(run.pk, run.tenant_id, run.event_seq)


def _invalid(code: str, message: str, field: str) -> Invalid:
    return Invalid(message, problems=(Problem(code, message, field=field),))
