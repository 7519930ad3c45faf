"""Why a step or a whole run failed, in words, and what of it is kept."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from runs.engine.cases import ACCOUNT_CODES
from runs.engine.statuses import RunStatus, StepStatus
from runs.models import Attempt, StepRun
from runs.snapshots import words
from runs.snapshots.reading import Reading
from runs.snapshots.shapes import Failure
from workflows.definition.graph import StepDef
from workflows.lib.jsontypes import JSONObject


def failure_of_step(
    read: Reading, step: StepDef, row: StepRun | None, attempts: Sequence[Attempt]
) -> Failure | None:
    if row is None or row.error is None or row.port is not None:
        return None
    error: JSONObject = row.error
    tries = sum(a.counted for a in attempts) or row.attempt or 1
    # Where another model was there to be asked, an attempt says that it was.
    alone = (
        error.get("code") in ACCOUNT_CODES
        and any(a.provider for a in attempts)
        and not any(a.hops for a in attempts)
    )
    return Failure(
        headline=words.cause(error),
        helps=" ".join(
            part for part in (_tried(tries, attempts), words.trying_helps(error, no_fallback=alone)) if part
        ),
        retryable=bool(error.get("retryable")),
        kept=_kept(read, row),
        detail=str(error.get("detail") or ""),
        code=str(error.get("code") or ""),
        field=str(error.get("field") or ""),
        tries=tries,
        kept_cost=_kept_cost(read),
    )


def _tried(tries: int, attempts: Sequence[Attempt]) -> str:
    """Tried 3 times over 14 s."""
    if tries < 2:
        return ""
    ended = [a.ended_at for a in attempts if a.ended_at is not None]
    over = f" over {words.seconds(max(ended) - attempts[0].started_at)}" if ended else ""
    return f"Tried {words.times(tries)}{over}."


def failure_of_the_run(read: Reading) -> Failure | None:
    """A failure that is of no step: a limit of time or money, or nothing that can go on."""
    if read.run.status != RunStatus.FAILED:
        return None
    error: JSONObject = read.run.error or {}
    return Failure(
        headline=words.cause(error),
        helps=words.trying_helps(error),
        retryable=bool(error.get("retryable")),
        kept=words.steps_kept(read.steps_done, approvals=read.approvals),
        detail=str(error.get("detail") or ""),
        code=str(error.get("code") or ""),
        field=str(error.get("field") or ""),
        tries=1,
        kept_cost=_kept_cost(read),
    )


def _kept_cost(read: Reading) -> Decimal:
    """What the finished steps have cost, and will not cost again."""
    return sum((r.cost for r in read.current.values() if r.status == StepStatus.COMPLETED), Decimal(0))


def _kept(read: Reading, row: StepRun) -> str:
    kept = words.steps_kept(read.steps_done, approvals=read.approvals)
    items = read.items.get(row.pk)
    if items is None or not items.completed:
        return kept
    finished = f"{items.completed:,} finished item{'s' if items.completed != 1 else ''}"
    return f"{finished} of {items.total:,} {'are' if items.completed != 1 else 'is'} kept. {kept if read.steps_done else ''}".strip()
