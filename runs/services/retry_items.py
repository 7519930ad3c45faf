"""Failed items again: in the run itself where it failed, in a new one where it was completed (07 §4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from runs.engine.items import ItemStatus
from runs.engine.statuses import MailKind, RunStatus, StepStatus, Wait
from runs.models import Item, Run, StepRun
from runs.services.control_run import retry_run
from runs.services.debug_run import post
from runs.services.replay_run import replay_items
from workflows.lib.errors import Conflict, Invalid, Problem
from workflows.lib.jsontypes import JSONObject
from workflows.tenancy.actor import Actor
from workflows.tenancy.roles import Permission

# null is a value that an item may have.
NO_VALUE: Final = object()


def retry_items(
    *,
    run: Run,
    actor: Actor,
    items: Sequence[int] | None = None,
    step: str | None = None,
    model: str | None = None,
    value: Any = NO_VALUE,
) -> Run:
    """Do the failed items again, or only those with these indexes (from 0), and then what follows.

    A failed run is revived and given back; of a completed one comes a new, linked run; where the container is still open
    its failed and skipped items begin again beside the others. `value` is another value for the one item that `items`
    then has to name: it begins anew with it, also where it was done. `step` names the container, needed where items of several failed. `model` is `provider:model` for these.
    Raises Conflict for a cancelled run and where no item failed, Invalid for items that there are not or that are done.
    """
    actor.require(Permission.CONTROL_RUNS)
    if run.status == RunStatus.CANCELLED:
        raise Conflict(f"{run} was cancelled; its items are not done again. Run the workflow again instead.")
    given = value is not NO_VALUE
    if given and len(set(items or ())) != 1:
        raise _invalid("items", "Another input is for one item.", "Name the one item.")
    if run.status == RunStatus.FAILED and items is None and step is None:
        return retry_run(run=run, actor=actor, model=model)
    if run.status not in (RunStatus.FAILED, RunStatus.COMPLETED):
        return _again_beside_others(run, actor, items, step, value)
    container = _container(run, step, anew=given)
    chosen = _chosen(container, items, anew=given and run.status == RunStatus.COMPLETED)
    if run.status == RunStatus.COMPLETED:
        values = {chosen[0]: value} if given else None
        return replay_items(
            run=run, actor=actor, step=container.step_key, items=chosen, model=model, values=values
        )
    if items is None:
        return retry_run(run=run, actor=actor, model=model)
    return retry_run(
        run=run,
        actor=actor,
        model=model,
        items={container.step_key: chosen},
        values={container.step_key: {chosen[0]: value}} if given else None,
    )


def _again_beside_others(
    run: Run, actor: Actor, items: Sequence[int] | None, step: str | None, value: Any
) -> Run:
    """Mail to the driver, where a container of the run is open; else the run as it is."""
    open_ones = _open_containers(run, step, "")
    if len(open_ones) != 1:
        if len(open_ones) > 1:
            raise _invalid("from_step", "Several containers are at work.", "Name one of them in from_step.")
        return run
    container = open_ones[0]
    if items is None:
        failed = Item.objects.filter(step_run=container, status=ItemStatus.FAILED)
        chosen = list(failed.values_list("index", flat=True))
    else:
        chosen = _chosen(container, items, anew=value is not NO_VALUE)
    if not chosen:
        return run
    payload: JSONObject = {"op": "again", "step": container.step_key, "scope": "", "items": chosen}
    if value is not NO_VALUE:
        payload["values"] = {str(chosen[0]): {"value": value}}
    post(run, actor, MailKind.ITEMS, payload, "retried")
    return run


def stop_items(
    *, run: Run, actor: Actor, step: str, scope: str = "", items: Sequence[int] | None = None
) -> Run:
    """End the rest of a loop or fan-out that is at work, or leave out only the items with these indexes (from 0).

    Finished items stay; what is open is cancelled, and the container is closed by its own rules: stopped items have no
    result and are no failures. Raises Conflict where the container is not at work, Invalid for unknown items.
    """
    actor.require(Permission.CONTROL_RUNS)
    found = _open_containers(run, step, scope)
    if run.is_over or not found:
        raise Conflict(f"“{step}” is not at work on items in {run}.", code="not_open")
    if items is not None:
        _chosen(found[0], items)
    chosen = None if items is None else sorted(set(items))
    payload: JSONObject = {"op": "stop", "step": step, "scope": scope, "items": chosen}
    post(run, actor, MailKind.ITEMS, payload, "stopped items of" if items is None else "skipped items of")
    return run


def _open_containers(run: Run, step: str | None, scope: str) -> list[StepRun]:
    rows = StepRun.objects.filter(
        run=run, tenant_id=run.tenant_id, scope=scope, status=StepStatus.RUNNING, wait=Wait.ITEMS
    )
    return list(rows.filter(step_key=step) if step is not None else rows)


def _container(run: Run, step: str | None, *, anew: bool = False) -> StepRun:
    """The current row of the container whose items are meant."""
    rows: dict[str, StepRun] = {}
    found = StepRun.objects.filter(run=run, tenant_id=run.tenant_id, scope="").defer("output", "variables")
    for row in found.order_by("round"):
        rows[row.step_key] = row
    with_failed = set(
        Item.objects.filter(run=run, step_run__in=list(rows.values()), status=ItemStatus.FAILED)
        .order_by()
        .values_list("step_run_id", flat=True)
        .distinct()
    )
    if step is None:
        failed = [row for row in rows.values() if row.pk in with_failed]
        if len(failed) == 1:
            return failed[0]
        if not failed:
            raise Conflict(f"No item failed in {run}.", code="nothing_failed")
        names = " and ".join(f"“{row.label}”" for row in failed)
        raise _invalid("from_step", f"Items failed in {names}.", "Name one of them in from_step.")
    if step not in rows or not Item.objects.filter(step_run=rows[step]).exists():
        raise _invalid(
            "from_step", f"The step “{step}” has no items in this run.", "Name a loop or a for each."
        )
    row = rows[step]
    if row.pk not in with_failed and run.status == RunStatus.COMPLETED and not anew:
        raise Conflict(f"No item of “{row.label}” failed.", code="nothing_failed")
    return row


def _chosen(container: StepRun, items: Sequence[int] | None, *, anew: bool = False) -> list[int]:
    statuses: dict[int, str] = dict(
        Item.objects.filter(step_run=container).order_by("index").values_list("index", "status")
    )
    if items is None:
        return [index for index, status in statuses.items() if status == ItemStatus.FAILED]
    for index in items:
        if index not in statuses:
            count = len(statuses)
            raise _invalid(
                "items", f"“{container.label}” has no item {index}.", f"They count from 0 to {count - 1}."
            )
        if statuses[index] == ItemStatus.COMPLETED and not anew:
            raise _invalid(
                "items",
                f"Item {index} of “{container.label}” is done already.",
                "Leave it out, or retry from the step.",
            )
    if not items:
        raise _invalid("items", "No item is named.", "Name some, or say “failed”.")
    return sorted(set(items))


def _invalid(field: str, message: str, fix: str) -> Invalid:
    return Invalid(message, problems=(Problem("bad_value", message, field=field, fix=fix),))
