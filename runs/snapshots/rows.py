"""One step of a run as a row of its page."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from runs.engine.statuses import AttemptStatus, StepStatus, Wait
from runs.models import StepRun
from runs.snapshots import words
from runs.snapshots.definitions import step_type_of, tile_of
from runs.snapshots.failures import failure_of_step
from runs.snapshots.items import ItemsView
from runs.snapshots.paths import Paths
from runs.snapshots.rails import gap_rail, step_rail
from runs.snapshots.reading import Reading
from runs.snapshots.shapes import Inside, Row, Stream
from runs.snapshots.summaries import aside_of, status_of, summary_of
from workflows.definition.graph import StepDef
from workflows.definition.lanes import LaneRow


def row_of(read: Reading, paths: Paths, step: StepDef, lane: LaneRow) -> Row:
    row = read.current.get(step.key)
    kind = read.types[step.key]
    attempts = read.attempts.get(row.pk, []) if row is not None else []
    review = read.reviews.get(row.pk) if row is not None else None
    status = status_of(read, step, row)
    waits_for_person = row is not None and row.status == StepStatus.WAITING and row.wait == Wait.REVIEW
    retried = status == StepStatus.COMPLETED and any(a.counted and a.error for a in attempts)
    running = row is not None and row.started_at is not None and row.completed_at is None
    failure = failure_of_step(read, step, row, attempts) if status == StepStatus.FAILED else None
    branch, branch_column, of_what = paths.branch(lane)
    items = read.items.get(row.pk) if row is not None else None
    tokens, cost = (row.tokens, row.cost) if row is not None else (0, Decimal(0))
    if items is not None:
        tokens, cost = items.tokens, items.cost
    spent = bool(tokens or cost)
    open_attempt = next((a for a in reversed(attempts) if a.status == AttemptStatus.OPEN), None)
    return Row(
        key=step.key,
        number=read.numbers.get(step.key, 0),
        label=step.label,
        icon=kind.icon if kind is not None else "puzzle",
        tile=tile_of(step, kind),
        status=status,
        retried=retried,
        review=waits_for_person,
        summary=summary_of(read, step, row, kind, review, attempts),
        took_ms=None if row is None or running or row.completed_at is None else row.duration_ms,
        since=row.started_at if row is not None and running and status not in (StepStatus.PENDING,) else None,
        tokens=tokens if spent else None,
        cost=cost if row is not None and spent and row.cost_known else None,
        aside="" if spent else aside_of(step, row, kind),
        demo=row is not None and (row.provider == "demo" or (items is not None and items.demo)),
        story=words.story(attempts, answered=status == StepStatus.COMPLETED) if failure is None else ("", ""),
        failure=failure,
        stream=Stream(str(row.pk), str(open_attempt.pk))
        if row is not None
        and row.status == StepStatus.RUNNING
        and open_attempt is not None
        and kind is not None
        and kind.uses_model(step.config)
        else None,
        off=not step.enabled,
        fold=step.key in paths.fold_keys,
        branch=branch,
        branch_column=branch_column,
        on_branch=of_what,
        rail=step_rail(lane, paths.way),
        gap=gap_rail(lane.gap, paths.way, tall=any(branch)),
        revision=_revision(row, len(attempts), items) if row is not None else "",
        items=items,
        inside=inside_of(
            read,
            step.key,
            open_ahead=read.is_open and step.enabled and (row is None or row.completed_at is None),
            total=items.total if items is not None else 0,
        ),
        item_cases=read.item_cases.get(row.pk, ()) if row is not None else (),
        breakpoint=read.is_open and step.key in read.breakpoints,
        breakable=read.is_open
        and step.enabled
        and status in (StepStatus.PENDING, StepStatus.QUEUED)
        and (row is None or row.started_at is None),
    )


def inside_of(read: Reading, parent: str, *, open_ahead: bool, total: int = 0) -> tuple[Inside, ...]:
    """The steps in a container's body, in the order of their list; `total`: how many items it has so far."""
    found = []
    for step in read.bodies.get(parent, ()):
        kind = step_type_of(step.type)
        found.append(
            Inside(
                key=step.key,
                label=step.label,
                icon=kind.icon if kind is not None else "puzzle",
                tile=tile_of(step, kind),
                does=kind.summary(step.config) if kind is not None else "",
                off=not step.enabled,
                inside=inside_of(read, step.key, open_ahead=open_ahead),
                hidden=step.generated,
                breakpoint=read.is_open and step.key in read.breakpoints,
                breakable=open_ahead and step.enabled,
                progress=read.progress(step.key, total),
            )
        )
    return tuple(found)


def _revision(row: StepRun, attempts: int, items: ItemsView | None) -> str:
    said = f"{row.status}:{row.attempt}:{row.round}:{attempts}"
    return said if items is None else f"{said}:{items.completed}:{items.failed}"


def folded(rows: Sequence[Row]) -> tuple[str, str]:
    """What the folded line of a phone says: "6 steps done" "1 retried"; empty when nothing folds."""
    done = sum(row.fold and row.status == StepStatus.COMPLETED for row in rows)
    if not done:
        return "", ""
    retried = sum(row.fold and row.retried for row in rows)
    return f"{done} step{'s' if done != 1 else ''} done", f"{retried} retried" if retried else ""
