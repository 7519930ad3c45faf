"""Failed items again: in the run itself where it failed, in a new one where it was completed (07 §4)."""

from __future__ import annotations

from collections.abc import Sequence

from runs.engine.items import ItemStatus
from runs.engine.statuses import RunStatus
from runs.models import Item, Run, StepRun
from runs.services.control_run import retry_run
from runs.services.replay_run import replay_items
from workflows.lib.errors import Conflict, Invalid, Problem
from workflows.tenancy.actor import Actor
from workflows.tenancy.roles import Permission


def retry_items(
    *,
    run: Run,
    actor: Actor,
    items: Sequence[int] | None = None,
    step: str | None = None,
    model: str | None = None,
) -> Run:
    """Do the failed items again, or only those with these indexes (from 0), and then what follows.

    A failed run is revived and given back; of a completed one comes a new, linked run; one under way is given back as
    it is. `step` names the container, needed where items of several failed. `model` is `provider:model` for these.
    Raises Conflict for a cancelled run and where no item failed, Invalid for items that there are not or that are done.
    """
    actor.require(Permission.CONTROL_RUNS)
    if run.status == RunStatus.CANCELLED:
        raise Conflict(f"{run} was cancelled; its items are not done again. Run the workflow again instead.")
    if run.status not in (RunStatus.FAILED, RunStatus.COMPLETED):
        return run
    if run.status == RunStatus.FAILED and items is None and step is None:
        return retry_run(run=run, actor=actor, model=model)
    container = _container(run, step)
    chosen = _chosen(container, items)
    if run.status == RunStatus.COMPLETED:
        return replay_items(run=run, actor=actor, step=container.step_key, items=chosen, model=model)
    if items is None:
        return retry_run(run=run, actor=actor, model=model)
    return retry_run(run=run, actor=actor, model=model, items={container.step_key: chosen})


def _container(run: Run, step: str | None) -> StepRun:
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
    if row.pk not in with_failed and run.status == RunStatus.COMPLETED:
        raise Conflict(f"No item of “{row.label}” failed.", code="nothing_failed")
    return row


def _chosen(container: StepRun, items: Sequence[int] | None) -> list[int]:
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
        if statuses[index] == ItemStatus.COMPLETED:
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
