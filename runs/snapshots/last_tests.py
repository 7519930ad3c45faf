"""How each step of a workflow went when it was last tested or run: what a builder's card shows at its right."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import F, Q

from runs.engine.statuses import StepStatus
from runs.models import Run, StepRun
from workflows.models import Workflow
from workflows.templatetags.ui import look_of

_LOOKED_AT = 60
_TESTS = 20
_OVER = (StepStatus.COMPLETED, StepStatus.FAILED)


@dataclass(frozen=True, slots=True)
class LastTest:
    """`number` of the run, `took_ms` of the last attempt and its waits; `cost` in US dollars, 0 where no model was paid."""

    number: int
    at: datetime
    shape: str
    icon: str
    word: str
    took_ms: int
    cost: Decimal


def last_tests(workflow: Workflow) -> dict[str, LastTest]:
    """By the key of the step, what it did when it last did something itself: in its newest test, in a test of a step
    behind it, or in the newest run. Two queries; only the newest 60 runs are looked at.
    """
    runs = Run.objects.filter(workflow=workflow, tenant_id=workflow.tenant_id, completed_at__isnull=False)
    about: dict[object, tuple[int, datetime]] = {}
    whole = False
    for pk, kind, number, at in runs.order_by("-created_at").values_list(
        "pk", "kind", "number", "created_at"
    )[:_LOOKED_AT]:
        # Tests of one step take over what stands before it, so several of them together know the steps.
        if kind == Run.Kind.STEP and len(about) < _TESTS:
            about[pk] = (number, at)
        elif kind != Run.Kind.STEP and not whole:
            whole = True
            about[pk] = (number, at)
    if not about:
        return {}
    rows = StepRun.objects.filter(
        run__in=list(about), tenant_id=workflow.tenant_id, status__in=_OVER, reused=False, pinned=False
    ).filter(Q(scope="") | Q(step_key=F("run__from_step"), scope__endswith="[0]"))
    found: dict[str, LastTest] = {}
    for run, key, status, attempt, started, ended, cost in rows.order_by("round").values_list(
        "run_id", "step_key", "status", "attempt", "started_at", "completed_at", "cost"
    ):
        number, at = about[run]
        if started is None or ended is None or (key in found and found[key].at > at):
            continue
        look = look_of(status, retried=attempt > 1)
        took = int((ended - started).total_seconds() * 1000)
        found[key] = LastTest(number, at, look.shape, look.icon, look.word.lower(), took, cost)
    return found
