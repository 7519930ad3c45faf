"""One control for many runs at once: what matches a filter, or those that were picked; in one bounded batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal
from uuid import UUID

from django.db.models import QuerySet

from runs.engine.statuses import Intent, RunStatus
from runs.models import Run
from runs.selectors import OPEN_STATUSES, HistoryFilter, matching_runs
from runs.services.control_run import cancel_run, retry_run
from workflows.lib.errors import Conflict, Invalid
from workflows.tenancy.actor import Actor
from workflows.tenancy.roles import Permission

AT_ONCE: Final = 200
Deed = Literal["retry", "cancel"]
# Which runs each can be done to; the others of a selection are left as they are.
FITTING: Final[dict[str, tuple[RunStatus, ...]]] = {
    "retry": (RunStatus.FAILED,),
    "cancel": (*OPEN_STATUSES, RunStatus.FAILED),
}


@dataclass(frozen=True, slots=True)
class Done:
    """`done`: it was asked of these; `refused`: sentences with how many runs said them; `left`: more of the same match."""

    done: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    left: int = 0


def control_many(
    *, actor: Actor, deed: Deed, picked: Sequence[UUID] = (), matching: HistoryFilter | None = None
) -> Done:
    """Retry or cancel the picked runs, or those that match: the oldest AT_ONCE of those that it fits.

    Each run is asked as from its own page (rights, audit, mail to its driver); one that refuses does not stop the others.
    """
    actor.require(Permission.CONTROL_RUNS)
    runs: QuerySet[Run] = Run.objects.for_tenant(actor.tenant)
    if matching is not None:
        runs = matching_runs(runs, actor.tenant, matching)
    else:
        runs = runs.filter(pk__in=list(picked)[:AT_ONCE])
    # What is being cancelled already would else come again at the next press.
    fitting = runs.filter(status__in=FITTING[deed]).exclude(intent=Intent.CANCEL)
    total = fitting.count()
    part = fitting.select_related("version").order_by("created_at", "pk")[:AT_ONCE]
    done, refused = 0, Counter[str]()
    for run in list(part):
        try:
            if deed == "retry":
                retry_run(run=run, actor=actor)
            else:
                cancel_run(run=run, actor=actor)
            done += 1
        except (Conflict, Invalid) as error:
            refused[error.message.replace(str(run), "It")] += 1
    return Done(done, refused, max(total - AT_ONCE, 0))
