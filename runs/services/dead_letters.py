"""Dead letters by the case: tried again, or discarded with a reason. In batches, each of which can be the last."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db import transaction
from django.db.models import QuerySet

from runs.engine.statuses import RunStatus
from runs.models import Run
from runs.services.control_run import retry_run
from runs.snapshots.cases import dead_letters
from workflows.lib.clock import utc_now
from workflows.lib.errors import Conflict, Invalid, Problem
from workflows.lib.jsontypes import JSONObject
from workflows.providers.models import BadModel, parse_model
from workflows.tenancy import audit
from workflows.tenancy.actor import Actor
from workflows.tenancy.roles import Permission

# So many in one go: some seconds of writing, in a transaction for each run.
BATCH: Final = 200
_REASON_CHARS: Final = 500


@dataclass(frozen=True, slots=True)
class Done:
    """What a batch did. `runs` were retried or discarded; `left` wait still, of those that were meant; `until` names
    them for the next batch: what failed again since is not among them. `refused` could not be retried, with why."""

    runs: int
    left: int
    until: datetime
    refused: tuple[str, ...] = ()


def retry_case(
    *,
    actor: Actor,
    case: str,
    runs: Collection[uuid.UUID] | None = None,
    model: str | None = None,
    until: datetime | None = None,
    most: int = BATCH,
) -> Done:
    """Retry the dead letters of a case, or `runs` of them, oldest first, `most` at a time (200 at the most).

    Each run is revived in a transaction of its own, so a batch that is cut off is gone on with by asking again. `model`
    is `provider:model` for these runs only. Those that failed after `until` (None: now) are left out.
    Raises Conflict where none waits, Invalid for a model that is none.
    """
    actor.require(Permission.CONTROL_RUNS)
    if model:
        try:
            parse_model(model)
        except BadModel as error:
            raise Invalid(
                error.message, problems=(Problem("bad_model", error.message, field="model"),)
            ) from error
    until = until or utc_now()
    wanted = _wanted(actor, case, runs, until)
    batch = list(
        wanted.select_related("workflow", "version").order_by("dead_since", "number")[: min(most, BATCH)]
    )
    if not batch:
        raise Conflict(
            "None of these runs waits any more: they were retried or discarded.", code="no_letters"
        )
    began, refused = 0, []
    for run in batch:
        try:
            retry_run(run=run, actor=actor, model=model or None)
            began += 1
        except (Conflict, Invalid) as error:
            refused.append(error.message)
    return Done(began, wanted.count() - len(refused), until, tuple(dict.fromkeys(refused)))


def discard_case(
    *,
    actor: Actor,
    case: str,
    reason: str,
    runs: Collection[uuid.UUID] | None = None,
    until: datetime | None = None,
    most: int = BATCH,
) -> Done:
    """Take the dead letters of a case, or `runs` of them, out of the list for good; they stay failed in the history.

    `reason` is required, and kept with each run and in the audit log. Raises Conflict where none waits.
    """
    actor.require(Permission.CONTROL_RUNS)
    reason = reason.strip()
    if not reason or len(reason) > _REASON_CHARS:
        message = (
            "Say why it is discarded." if not reason else f"A reason has at most {_REASON_CHARS} characters."
        )
        raise Invalid(message, problems=(Problem("required", message, field="reason"),))
    now = utc_now()
    until = until or now
    wanted = _wanted(actor, case, runs, until)
    said: JSONObject = {"reason": reason, "by": actor.label[:200], "at": now.isoformat()}
    gone = 0
    with transaction.atomic():
        batch = list(wanted.order_by("dead_since", "number")[: min(most, BATCH)])
        for run in batch:
            # Conditional: somebody may be retrying it.
            if Run.objects.filter(
                pk=run.pk, status=RunStatus.FAILED, dead_since=run.dead_since, event_seq=run.event_seq
            ).update(dead_since=None, discarded=said):
                audit.record(actor, "discarded", run, after={"reason": reason})
                gone += 1
    if not batch:
        raise Conflict(
            "None of these runs waits any more: they were retried or discarded.", code="no_letters"
        )
    return Done(gone, wanted.count(), until)


def _wanted(actor: Actor, case: str, runs: Collection[uuid.UUID] | None, until: datetime) -> QuerySet[Run]:
    found = dead_letters(actor.tenant).filter(case=case, dead_since__lte=until)
    return found.filter(pk__in=list(runs)) if runs is not None else found
