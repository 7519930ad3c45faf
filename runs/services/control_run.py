"""Pause, resume, cancel, retry: one conditional UPDATE of the run with its mail, never a step row (07 §4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q

from runs import progress
from runs import queue as doorbell
from runs.engine.statuses import Intent, MailKind, RunStatus, StepStatus
from runs.models import Mail, Review, Run, StepRun
from runs.services.budget import HELD_BY
from runs.services.child_runs import descendants
from runs.services.prepared import prepared
from workflows.definition.graph import StepDef
from workflows.lib.clock import utc_now
from workflows.lib.errors import Conflict, Invalid, Problem
from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.providers.models import BadModel, parse_model
from workflows.tenancy import audit
from workflows.tenancy.actor import Actor
from workflows.tenancy.roles import Permission

_OPEN = (RunStatus.PENDING, RunStatus.RUNNING, RunStatus.PAUSED)


def pause_run(*, run: Run, actor: Actor) -> Run:
    """Ask the run to hold: steps under way finish, nothing new starts. Already so: the run as it is."""
    actor.require(Permission.CONTROL_RUNS)
    if not _set_intent(run, actor, Intent.PAUSE, replaces=(Intent.NONE,)):
        run.refresh_from_db()
        if run.intent != Intent.PAUSE or run.is_over:
            raise Conflict(f"{run} cannot be paused: {_state_in_words(run)}.")
    return run


def resume_run(*, run: Run, actor: Actor) -> Run:
    """Let a paused run go on; a failed one is retried from the step that failed. Raises Conflict at a gate."""
    actor.require(Permission.CONTROL_RUNS)
    if run.status == RunStatus.FAILED:
        return retry_run(run=run, actor=actor)
    budget = Review.objects.filter(run=run, kind=Review.Kind.BUDGET, status=Review.Status.OPEN).first()
    if budget is not None and _leave_to_budget(run.pk):
        # The person's own pause is over; the question about the budget still stands.
        audit.record(actor, "resumed", run)
        doorbell.ring(run.pk)
        run.refresh_from_db()
        return run
    if budget is None and _set_intent(run, actor, Intent.NONE, replaces=(Intent.PAUSE,)):
        return run
    run.refresh_from_db()
    if run.is_over or run.intent == Intent.CANCEL:
        raise Conflict(f"{run} cannot go on: {_state_in_words(run)}.")
    gate = budget or Review.objects.filter(run=run, status=Review.Status.OPEN).first()
    if gate is not None and (run.status == RunStatus.PAUSED or budget is not None):
        raise Conflict(
            f"{run} waits for a decision at “{gate.title}”. Decide it at /api/reviews/{gate.pk}/decide.",
            code="at_gate",
        )
    return run


def cancel_run(*, run: Run, actor: Actor) -> Run:
    """End the run: waiting work stops at once, work in flight within seconds; finished steps are kept."""
    actor.require(Permission.CONTROL_RUNS)
    if not _set_intent(run, actor, Intent.CANCEL, replaces=(Intent.NONE, Intent.PAUSE)):
        run.refresh_from_db()
        if run.status == RunStatus.FAILED:
            return _cancel_failed(run, actor)
        if run.intent != Intent.CANCEL and run.status != RunStatus.CANCELLED:
            raise Conflict(f"{run} cannot be cancelled: {_state_in_words(run)}.")
    return run


def retry_run(
    *,
    run: Run,
    actor: Actor,
    from_step: str | None = None,
    model: str | None = None,
    items: Mapping[str, Sequence[int]] | None = None,
    values: Mapping[str, Mapping[int, JSONValue]] | None = None,
    input_data: JSONObject | None = None,
) -> Run:
    """Go on after a failure, keeping everything completed; `from_step` also runs that step and what follows again.

    `items` names the items (indexes from 0) of failed containers, by their keys, that alone are done again.
    `values` gives such items another value, by key and index: they begin anew with it. `input_data` is what the step
    `from_step` (left out: the one that failed) gets in place of what arrives. `model` is `provider:model` for the rest of this run only. Of many callers one revives the run, the others get it
    as it is. Raises Conflict for a run that is completed or cancelled, Invalid for an unknown step or model.
    """
    actor.require(Permission.CONTROL_RUNS)
    _check_retry(run, from_step, model)
    payload: JSONObject = {"from_step": from_step, "model": model}
    if items:
        payload["items"] = {key: list(indexes) for key, indexes in items.items()}
    if values:
        payload["values"] = {
            key: {str(index): {"value": value} for index, value in given.items()}
            for key, given in values.items()
        }
    if input_data is not None:
        payload |= {"input": input_data, "input_of": from_step or _the_failed_step(run)}
    with transaction.atomic():
        changed = Run.objects.filter(pk=run.pk, status=RunStatus.FAILED, event_seq=run.event_seq).update(
            status=RunStatus.PENDING,
            intent=Intent.NONE,
            completed_at=None,
            error=None,
            dead_since=None,
            mail_seq=F("mail_seq") + 1,
            wake_at=utc_now(),
        )
        if changed:
            _leave_mail(run, actor, MailKind.RETRY, payload)
            audit.record(actor, "retried", run, after=payload)
    run.refresh_from_db()
    if changed:
        progress.run_changed(run.pk, run.tenant_id, run.event_seq)
        return run
    if run.status in (RunStatus.COMPLETED, RunStatus.CANCELLED):
        raise Conflict(f"{run} cannot be retried: {_state_in_words(run)}. Run the workflow again instead.")
    if run.status == RunStatus.FAILED:
        return retry_run(
            run=run,
            actor=actor,
            from_step=from_step,
            model=model,
            items=items,
            values=values,
            input_data=input_data,
        )
    if from_step is not None or model is not None or input_data is not None:
        _mail_to_open_run(run, actor, payload)
    return run


def _mail_to_open_run(run: Run, actor: Actor, payload: JSONObject) -> None:
    with transaction.atomic():
        if Run.objects.filter(pk=run.pk, status__in=_OPEN).update(
            mail_seq=F("mail_seq") + 1, wake_at=utc_now()
        ):
            _leave_mail(run, actor, MailKind.RETRY, payload)
            audit.record(actor, "retried", run, after=payload)


def _check_retry(run: Run, from_step: str | None, model: str | None) -> None:
    problems: list[Problem] = []
    if from_step is not None:
        known = prepared(run.version_id, run.version.content_hash).graph.order
        step = _step_of(run, from_step)
        if step is not None and step.parent is not None:
            message = (
                f"“{step.label}” stands inside of a container. Name the container, or some of its items."
            )
            problems.append(Problem("inside_container", message, field="from_step"))
        elif from_step not in known:
            message = f"The version of this run has no step “{from_step}” that can be run again."
            problems.append(
                Problem("unknown_step", message, field="from_step", fix="Name the key of one of its steps.")
            )
    if model is not None:
        try:
            parse_model(model)
        except BadModel as error:
            problems.append(Problem("bad_model", error.message, field="model"))
    if problems:
        raise Invalid(problems[0].message, problems=tuple(problems))


def _step_of(run: Run, key: str) -> StepDef | None:
    return prepared(run.version_id, run.version.content_hash).graph.definition.by_key.get(key)


def _the_failed_step(run: Run) -> str:
    """The step whose failure holds the run; Invalid where that is not one step of the top level."""
    failed = StepRun.objects.filter(run=run, tenant_id=run.tenant_id, scope="", status=StepStatus.FAILED)
    later = StepRun.objects.filter(
        run=run, scope="", step_key=OuterRef("step_key"), round__gt=OuterRef("round")
    )
    keys = list(failed.filter(port=None).exclude(Exists(later)).values_list("step_key", flat=True))
    if len(keys) != 1:
        message = "Say for which step the input is."
        problem = Problem("required", message, field="from_step", fix="Name the step in from_step.")
        raise Invalid(message, problems=(problem,))
    return keys[0]


def _cancel_failed(run: Run, actor: Actor) -> Run:
    """A failed run that nobody wants to mend: it is over for good."""
    with transaction.atomic():
        if Run.objects.filter(pk=run.pk, status=RunStatus.FAILED, event_seq=run.event_seq).update(
            status=RunStatus.PENDING,
            intent=Intent.CANCEL,
            intent_by=actor.label,
            dead_since=None,
            mail_seq=F("mail_seq") + 1,
            wake_at=utc_now(),
        ):
            audit.record(actor, "cancelled", run)
            doorbell.ring(run.pk)
    run.refresh_from_db()
    return run


def _set_intent(run: Run, actor: Actor, intent: Intent, *, replaces: tuple[Intent, ...]) -> bool:
    """Set the intent where the run is open and has one of these; with it the mail count, in one UPDATE.

    A person's pause also takes the place of the budget's: who allows more does not let the run go on then.
    """
    held = Q(intent__in=replaces)
    if intent is Intent.PAUSE:
        held |= Q(intent=Intent.PAUSE, intent_by=HELD_BY)
    with transaction.atomic():
        changed = Run.objects.filter(held, pk=run.pk, status__in=_OPEN).update(
            intent=intent, intent_by=actor.label[:200], mail_seq=F("mail_seq") + 1, wake_at=utc_now()
        )
        if changed:
            verb = {Intent.PAUSE: "paused", Intent.CANCEL: "cancelled", Intent.NONE: "resumed"}[intent]
            audit.record(actor, verb, run)
            doorbell.ring(run.pk)
            for below in descendants(run):
                # What a run has started stops and goes on with it.
                if intent is Intent.NONE and _asks_for_more(below):
                    if _leave_to_budget(below):
                        doorbell.ring(below)
                elif Run.objects.filter(held, pk=below, status__in=_OPEN).update(
                    intent=intent, intent_by=actor.label[:200], mail_seq=F("mail_seq") + 1, wake_at=utc_now()
                ):
                    doorbell.ring(below)
    if changed:
        run.refresh_from_db()
        # "Pausing" shows at once; the driver may still be busy with a long step.
        progress.run_changed(run.pk, run.tenant_id, run.event_seq)
    return bool(changed)


def _asks_for_more(run_id: UUID) -> bool:
    asked = Review.objects.filter(run_id=run_id, kind=Review.Kind.BUDGET, status=Review.Status.OPEN)
    return asked.exists()


def _leave_to_budget(run_id: UUID) -> bool:
    """Take a person's pause off a run that its budget holds besides; False where there is none."""
    paused = Run.objects.filter(pk=run_id, status__in=_OPEN, intent=Intent.PAUSE).exclude(intent_by=HELD_BY)
    return bool(paused.update(intent_by=HELD_BY, mail_seq=F("mail_seq") + 1, wake_at=utc_now()))


def _leave_mail(run: Run, actor: Actor, kind: MailKind, payload: dict[str, Any]) -> None:
    Mail.objects.create(
        run=run,
        tenant_id=run.tenant_id,
        kind=kind,
        payload=payload,
        actor=actor.user,
        actor_label=actor.label[:200],
    )
    doorbell.ring(run.pk)


def _state_in_words(run: Run) -> str:
    return (
        "it is being cancelled" if run.intent == Intent.CANCEL and not run.is_over else f"it is {run.status}"
    )
