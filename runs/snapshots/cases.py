"""Dead letters: runs that ended in failure and wait for somebody, grouped into cases by their cause (R6, E5).

Every function is a fixed number of queries, answered from the index `run_dead` wherever nothing else is asked.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Count, F, Max, Min, Q, QuerySet, Sum, Window
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import RowNumber
from django.utils import timezone

from runs.engine.statuses import RunStatus
from runs.models import Attempt, Run
from runs.snapshots import words
from workflows.lib.jsontypes import JSONObject
from workflows.tenancy.models import Tenant

# So long a failed run waits for somebody; then it leaves the list and stays in the history.
KEPT = timedelta(days=30)
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class LettersFilter:
    """Which dead letters: of a workflow, with a text in workflow, number or cause. `order`: newest or most."""

    workflow: uuid.UUID | None = None
    text: str = ""
    order: str = "newest"

    @property
    def hides(self) -> bool:
        return bool(self.workflow or self.text)


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead run, as a line of a list."""

    id: uuid.UUID
    number: int
    workflow_id: uuid.UUID
    workflow: str
    version: int | None
    subject: str
    step: str
    headline: str
    kept: str
    cost: Decimal
    since: datetime


@dataclass(frozen=True, slots=True)
class Case:
    """All dead runs of one cause. `first` and `newest` are when they failed; `version` is the oldest among them, None
    where several workflows or only drafts are concerned; `letters` the newest few."""

    key: str
    runs: int
    headline: str
    helps: str
    retryable: bool
    code: str
    step: str
    step_key: str
    detail: str
    workflows: int
    workflow: str
    workflow_id: uuid.UUID
    version: int | None
    first: datetime
    newest: datetime
    cost: Decimal
    letters: tuple[Letter, ...]

    @property
    def others(self) -> int:
        """How many runs `letters` does not show."""
        return self.runs - len(self.letters)


def dead_letters(tenant: Tenant | uuid.UUID) -> QuerySet[Run]:
    """The tenant's dead letters of the last 30 days."""
    of = tenant if isinstance(tenant, uuid.UUID) else tenant.pk
    return Run.objects.filter(tenant_id=of, dead_since__gt=timezone.now() - KEPT)


def count_letters(tenant: Tenant) -> int:
    """How many there are: the number in the navigation. One query, from an index alone."""
    return dead_letters(tenant).count()


def found_letters(tenant: Tenant, wanted: LettersFilter) -> QuerySet[Run]:
    """The dead letters that pass a filter."""
    found = dead_letters(tenant)
    if wanted.workflow is not None:
        found = found.filter(workflow_id=wanted.workflow)
    if wanted.text:
        number = wanted.text.lower().removeprefix("run").strip().lstrip("#")
        if number.isdecimal() and len(number) < 19:
            return found.filter(number=int(number))
        # Some databases escape letters in JSON, so that only the sentence itself can be searched.
        found = found.annotate(said=KeyTextTransform("message", "error")).filter(
            Q(workflow__name__icontains=wanted.text) | Q(said__icontains=wanted.text)
        )
    return found


def grouped(found: QuerySet[Run], order: str = "newest") -> QuerySet[Run, Any]:
    """One row per case: `case`, `runs`, `newest`. To be paged, then filled in by `cases_of`."""
    first = "-runs" if order == "most" else "-newest"
    return (
        found.order_by()
        .values("case")
        .annotate(runs=Count("*"), newest=Max("dead_since"))
        .order_by(first, "-newest", "case")
    )


def cases_of(found: QuerySet[Run], groups: Sequence[Mapping[str, Any]]) -> list[Case]:
    """The cases of these groups, in their order, with their newest letters. Two queries, and one for names."""
    keys = [group["case"] for group in groups]
    if not keys:
        return []
    mine = found.filter(case__in=keys).order_by()
    facts = {
        row["case"]: row
        for row in mine.values("case").annotate(
            first=Min("dead_since"),
            workflows=Count("workflow_id", distinct=True),
            version=Min("version__number"),
            spent=Sum("cost"),
        )
    }
    place = Window(RowNumber(), partition_by=[F("case")], order_by=[F("dead_since").desc()])
    newest = mine.annotate(place=place).filter(place__lte=_SHOWN).values("pk")
    letters: dict[str, list[Run]] = {}
    rows = _with_names(Run.objects.filter(pk__in=list(newest.values_list("pk", flat=True))))
    for run in rows.order_by("-dead_since", "-number"):
        letters.setdefault(run.case, []).append(run)
    return [
        _case(group, facts[group["case"]], letters[group["case"]])
        for group in groups
        # One that was retried in this moment is gone.
        if group["case"] in facts and group["case"] in letters
    ]


def the_case(tenant: Tenant | uuid.UUID, key: str) -> Case | None:
    """One case of the tenant; None where it has no dead letters (any more)."""
    found = dead_letters(tenant).filter(case=key)
    made = cases_of(found, list(grouped(found)))
    return made[0] if made else None


def case_is_known(tenant: Tenant, key: str) -> bool:
    """Whether a run of this tenant that failed of this cause stands in the history, dead or discarded."""
    return (
        dead_letters(tenant).filter(case=key).exists()
        or Run.objects.for_tenant(tenant).filter(case=key, status=RunStatus.FAILED).exists()
    )


def asked_providers(tenant: Tenant, runs: Sequence[uuid.UUID]) -> dict[uuid.UUID, str]:
    """Whom each of these runs asked last, where it asked a model at all. One query."""
    rows = Attempt.objects.filter(tenant_id=tenant.pk, run__in=runs).exclude(provider="")
    return dict(rows.order_by("started_at", "id").values_list("run_id", "provider"))


def letters_page(tenant: Tenant, key: str) -> QuerySet[Run]:
    """The dead letters of a case, newest first."""
    return _with_names(dead_letters(tenant).filter(case=key)).order_by("-dead_since", "-number")


def letter_of(run: Run) -> Letter:
    error: JSONObject = run.error or {}
    # The failed step has come to an end too, but nothing of it is kept.
    kept = max(0, run.steps_done - bool(error.get("step_key")))
    done = f"{kept} of {run.steps_total} steps are kept" if kept else "nothing was finished"
    return Letter(
        id=run.pk,
        number=run.number,
        workflow_id=run.workflow_id,
        workflow=run.workflow.name,
        version=run.version.number,
        subject=words.subject(run.input),
        step=str(error.get("step") or ""),
        headline=words.cause(error),
        kept=done,
        cost=run.cost,
        since=run.dead_since or run.completed_at or run.created_at,
    )


def letters(runs: Iterable[Run]) -> list[Letter]:
    return [letter_of(run) for run in runs]


def _with_names(found: QuerySet[Run]) -> QuerySet[Run]:
    return found.select_related("workflow", "version").only(
        "id", "number", "case", "error", "input", "cost", "steps_done", "steps_total", "dead_since", "completed_at",
        "created_at", "workflow__name", "workflow__deleted_at", "version__number",
    )  # fmt: skip


def _case(group: Mapping[str, Any], facts: Mapping[str, Any], runs: Sequence[Run]) -> Case:
    newest = runs[0]
    error: JSONObject = newest.error or {}
    alone = facts["workflows"] == 1
    return Case(
        key=group["case"],
        runs=group["runs"],
        headline=words.cause(error),
        helps=words.trying_helps(error),
        retryable=bool(error.get("retryable")),
        code=str(error.get("code") or ""),
        step=str(error.get("step") or ""),
        step_key=str(error.get("step_key") or ""),
        detail=str(error.get("detail") or ""),
        workflows=facts["workflows"],
        workflow=newest.workflow.name,
        workflow_id=newest.workflow_id,
        version=facts["version"] if alone else None,
        first=facts["first"],
        newest=group["newest"],
        cost=facts["spent"] or Decimal(0),
        letters=tuple(letter_of(run) for run in runs),
    )
