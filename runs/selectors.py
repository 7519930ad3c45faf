"""Questions about runs and reviews, each answered in a fixed number of queries inside one tenant."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any

from django.db.models import CharField, Count, F, FloatField, Func, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Substr
from django.utils import timezone

from runs.engine.statuses import RunStatus
from runs.models import Attempt, Delivery, Event, Notification, Review, Run, StepRun
from workflows.definition.graph import Definition
from workflows.lib.jsontypes import JSONObject
from workflows.models import Workflow
from workflows.tenancy.actor import Actor
from workflows.tenancy.models import ApiKey, Membership, Tenant

# Enough for one line beside a step's name.
EXCERPT_CHARS = 280

HISTORY_ORDERS = {
    "newest": ("-created_at", "-number"),
    "oldest": ("created_at", "number"),
    "cost": ("-cost", "-number"),
    "tokens": ("-all_tokens", "-number"),
    "longest": ("-took", "-number"),
}


# Words are looked for in so many of the newest runs that pass the other filters; all of them would be a walk over every
# input and output that was ever kept.
TEXT_LOOKS = 10_000
OPEN_STATUSES = (RunStatus.PENDING, RunStatus.RUNNING, RunStatus.PAUSED)


@dataclass(frozen=True, slots=True)
class HistoryFilter:
    """What the history shows; empty = everything. `version` is a number or `draft`; `status` a RunStatus, `review` (a gate
    waits) or `open` (not over); `person` a user's id, `key:` and an API key's id, or `none`; `until` is not included;
    costs are US dollars, both included."""

    workflow: uuid.UUID | None = None
    status: str = ""
    version: str = ""
    trigger: str = ""
    person: str = ""
    kind: str = ""
    cause: str = ""
    text: str = ""
    since: datetime | None = None
    until: datetime | None = None
    cost_from: Decimal | None = None
    cost_to: Decimal | None = None
    order: str = "newest"

    @property
    def count(self) -> int:
        """How many filters hide something."""
        parts = (self.workflow, self.status, self.version, self.trigger, self.person, self.kind, self.cause)
        costs = (self.cost_from is not None, self.cost_to is not None)
        return sum(bool(part) for part in (*parts, self.text, self.since, self.until, *costs))

    @property
    def words(self) -> str:
        """The text, where words are looked for; empty where it is a run's number."""
        return "" if self.number is not None else self.text

    @property
    def number(self) -> int | None:
        """The run's number that the text is: "1284", "#1284", "run 1284"."""
        text = self.text.lower().removeprefix("run").strip().lstrip("#")
        return int(text) if text.isdecimal() and len(text) < 19 else None


def runs_of(tenant: Tenant, ids: Sequence[uuid.UUID] | None = None) -> QuerySet[Run]:
    """Runs without their large values, with what a list shows of workflow, version and starter.

    `ids` of runs that are known to be the tenant's are looked up by their key alone: beside it the tenant leads SQLite to
    walk through all of its runs.
    """
    runs = Run.objects.for_tenant(tenant) if ids is None else Run.objects.filter(pk__in=ids)
    return runs.select_related("workflow", "version", "started_by", "api_key").defer(
        "version__document",
        "output",
        "variables",
        "trigger_data",
        "workflow__settings",
        "workflow__description",
    )


def run_history(tenant: Tenant, wanted: HistoryFilter) -> QuerySet[Run]:
    """Runs of the tenant's history that pass the filters, in the wanted order, with what a list shows. At most one query
    of its own, where words are looked for (see TEXT_LOOKS)."""
    return in_order(matching_runs(runs_of(tenant), tenant, wanted), wanted)


class _Took(Func):
    """How long an ended run took, to be sorted by. SQLite's own arithmetic: Django's there is a function in Python."""

    arity = 2
    output_field = FloatField()

    def __init__(self) -> None:
        super().__init__("completed_at", "started_at")

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return self.as_sql(
            compiler,
            connection,
            template="(julianday(%(expressions)s))",
            arg_joiner=") - julianday(",
            **extra,
        )

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        template = "EXTRACT(EPOCH FROM (%(expressions)s))"
        return self.as_sql(compiler, connection, template=template, arg_joiner=" - ", **extra)


def in_order(found: QuerySet[Run], wanted: HistoryFilter) -> QuerySet[Run]:
    if wanted.order == "longest":
        found = found.filter(started_at__isnull=False, completed_at__isnull=False).annotate(took=_Took())
    if wanted.order == "tokens":
        found = found.annotate(all_tokens=F("input_tokens") + F("output_tokens"))
    return found.order_by(*HISTORY_ORDERS.get(wanted.order, HISTORY_ORDERS["newest"]))


def matching_runs(found: QuerySet[Run], tenant: Tenant, wanted: HistoryFilter) -> QuerySet[Run]:
    """Those of these runs of the tenant that pass the filters; tests of single steps never do unless asked for."""
    found = found.filter(kind=wanted.kind) if wanted.kind else found.exclude(kind=Run.Kind.STEP)
    if wanted.workflow is not None:
        found = found.filter(workflow_id=wanted.workflow)
    if wanted.status == "review":
        found = found.filter(pk__in=runs_in_review(tenant))
    elif wanted.status == "open":
        found = found.filter(status__in=OPEN_STATUSES)
    elif wanted.status:
        found = found.filter(status=wanted.status)
    if wanted.version == "draft":
        found = found.filter(version__number__isnull=True)
    elif wanted.version:
        found = found.filter(version__number=int(wanted.version))
    if wanted.trigger:
        found = found.filter(trigger_type=wanted.trigger)
    if wanted.person == "none":
        found = found.filter(started_by__isnull=True, api_key__isnull=True)
    elif wanted.person.startswith("key:"):
        found = found.filter(api_key_id=uuid.UUID(wanted.person.removeprefix("key:")))
    elif wanted.person:
        found = found.filter(started_by_id=int(wanted.person))
    if wanted.cause:
        found = found.filter(status=RunStatus.FAILED, error__code=wanted.cause)
    if wanted.since is not None:
        found = found.filter(created_at__gte=wanted.since)
    if wanted.until is not None:
        found = found.filter(created_at__lt=wanted.until)
    if wanted.cost_from is not None:
        found = found.filter(cost__gte=wanted.cost_from)
    if wanted.cost_to is not None:
        found = found.filter(cost__lte=wanted.cost_to)
    if wanted.number is not None:
        return found.filter(number=wanted.number)
    return _with_words(found, tenant, wanted.text) if wanted.text else found


def runs_in_review(tenant: Tenant) -> QuerySet[Review, Any]:
    """Ids of runs at which a gate waits."""
    waiting = Review.objects.for_tenant(tenant).filter(status=Review.Status.OPEN)
    return waiting.exclude(run__status__in=[RunStatus.FAILED, RunStatus.CANCELLED]).values("run_id")


def _with_words(found: QuerySet[Run], tenant: Tenant, text: str) -> QuerySet[Run]:
    """Of the newest runs those whose workflow's name, input or output holds the text."""
    newest = found.order_by("-created_at").values_list("created_at", flat=True)
    oldest = newest[TEXT_LOOKS : TEXT_LOOKS + 1].first()
    if oldest is not None:
        found = found.filter(created_at__gt=oldest)
    # SQLite keeps JSON as it was written, with letters beyond ASCII as \uXXXX.
    forms = {text, json.dumps(text)[1:-1]}
    named = Workflow.objects.for_tenant(tenant).filter(name__icontains=text).values("pk")
    holds = Q(workflow_id__in=named)
    for form in forms:
        holds |= Q(input_text__icontains=form) | Q(output_text__icontains=form)
    return found.annotate(
        input_text=Cast("input", CharField()), output_text=Cast("output", CharField())
    ).filter(holds)


def starters(tenant: Tenant) -> list[tuple[str, str]]:
    """Who may have started runs, as (value of HistoryFilter.person, name). Two queries."""
    members = Membership.objects.for_tenant(tenant).select_related("user")
    people = sorted((str(row.user), str(row.user_id)) for row in members[:500])
    keys = ApiKey.objects.for_tenant(tenant).order_by("name").values_list("pk", "name")[:200]
    return [(key, name) for name, key in people] + [(f"key:{pk}", f"Key {name}") for pk, name in keys]


def open_counts(tenant: Tenant) -> dict[str, int]:
    """How many of the tenant's runs are under way, by status; one query of its index."""
    rows = Run.objects.for_tenant(tenant).filter(status__in=OPEN_STATUSES).exclude(kind=Run.Kind.STEP)
    return dict(rows.order_by().values_list("status").annotate(Count("pk")))


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))


def last_runs(tenant: Tenant, workflows: Iterable[Any], count: int = 5) -> dict[Any, list[Run]]:
    """The newest `count` runs of each of these workflow ids, newest first, in two queries.

    The first looks up so many places of the index per workflow; a window function would number every run there is.
    """
    ids = list(workflows)
    found: dict[Any, list[Run]] = {key: [] for key in ids}
    if not ids:
        return found
    # The workflow is the tenant's; naming the tenant here too would let the database walk through all of its runs.
    of_one = (
        Run.objects.filter(workflow=OuterRef("pk"))
        .exclude(kind=Run.Kind.STEP)
        .order_by("-created_at", "-number")
        .values("pk")
    )
    places = {f"place_{n}": Subquery(of_one[n : n + 1]) for n in range(count)}
    rows = Workflow.objects.for_tenant(tenant).filter(pk__in=ids).order_by().values_list(*places.values())
    newest = [pk for row in rows for pk in row if pk is not None]
    listed = Run.objects.filter(pk__in=newest).order_by()
    for run in listed.only(
        "id",
        "number",
        "status",
        "intent",
        "waiting_for",
        "kind",
        "created_at",
        "started_at",
        "completed_at",
        "workflow_id",
        "cost",
    ):
        found[run.workflow_id].append(run)
    for runs in found.values():
        runs.sort(key=lambda run: (run.created_at, run.number), reverse=True)
    return found


def step_runs_of(run: Run) -> QuerySet[StepRun]:
    """The run's step rows outside of containers, without their outputs, but with the first words of each.

    `held_concurrency` and `held_more` are what an open container keeps of its rules.
    """
    return (
        StepRun.objects.filter(run=run, tenant_id=run.tenant_id, scope="")
        .defer("output", "held", "variables")
        .annotate(
            excerpt=Substr(KeyTextTransform("content", "output"), 1, EXCERPT_CHARS),
            held_concurrency=KeyTextTransform("concurrency", "held"),
            held_more=KeyTextTransform("more", "held"),
        )
        .order_by("round", "created_at")
    )


def events_after(run_id: uuid.UUID, tenant_id: uuid.UUID, seq: int, limit: int = 200) -> list[Event]:
    """The run's events with a number above `seq`, oldest first."""
    return list(Event.objects.filter(run_id=run_id, tenant_id=tenant_id, seq__gt=seq).order_by("seq")[:limit])


def last_event_row(tenant_id: uuid.UUID) -> int:
    """The id of the tenant's newest event; 0 when there is none."""
    return Event.objects.filter(tenant_id=tenant_id).order_by("-pk").values_list("pk", flat=True).first() or 0


def events_of_workflow(
    workflow_id: uuid.UUID, tenant_id: uuid.UUID, above: int, told: Mapping[int, int], limit: int = 200
) -> list[Event]:
    """Events of the workflow's runs with an id above `above`, oldest first, with their run's number; without those up
    to the seq that `told` names for a run's number."""
    rows = Event.objects.filter(tenant_id=tenant_id, run__workflow_id=workflow_id, pk__gt=above).order_by(
        "pk"
    )
    light = rows.values_list("pk", "run__number", "seq").iterator(chunk_size=1000)
    new = islice((pk for pk, number, seq in light if seq > told.get(number, 0)), limit)
    return list(
        Event.objects.filter(pk__in=list(new), tenant_id=tenant_id)
        .select_related("run")
        .only("seq", "type", "at", "step_key", "label", "scope", "data", "run__number")
        .order_by("pk")
    )


def strips_of(runs: Sequence[Run]) -> dict[uuid.UUID, dict[str, StepRun]]:
    """For each run the current round of each top-level step, with little more than its status, in one query."""
    rows = (
        StepRun.objects.filter(run__in=[run.pk for run in runs], scope="")
        .only("run_id", "step_key", "status", "wait", "attempt", "skip_reason", "round", "port")
        .order_by("round")
    )
    found: dict[uuid.UUID, dict[str, StepRun]] = {run.pk: {} for run in runs}
    for row in rows:
        found[row.run_id][row.step_key] = row
    return found


# --- money ---------------------------------------------------------------------------------------


def month_of(moment: datetime) -> datetime:
    """When the calendar month (UTC) of a moment began: budgets count from there."""
    return moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def spent_in_month(tenant_id: uuid.UUID, moment: datetime) -> Decimal:
    """US dollars that the tenant's runs, started in the month of this moment, have spent so far; tests count too."""
    spent = Run.objects.filter(tenant_id=tenant_id, created_at__gte=month_of(moment)).aggregate(
        all=Sum("cost")
    )
    return spent["all"] or Decimal(0)


def spent_by_provider(tenant: Tenant, moment: datetime) -> dict[str, Decimal]:
    """The same by provider, as far as attempts say it; one query."""
    rows = (
        Attempt.objects.for_tenant(tenant)
        .filter(run__created_at__gte=month_of(moment))
        .exclude(provider="")
        .values("provider")
        .annotate(all=Sum("cost"))
        .order_by()
    )
    return {row["provider"]: row["all"] or Decimal(0) for row in rows}


# --- reviews -------------------------------------------------------------------------------------


def open_reviews(tenant: Tenant) -> QuerySet[Review]:
    """Gates that wait, oldest first; those of failed or ended runs are out of the inbox."""
    return (
        Review.objects.for_tenant(tenant)
        .filter(status=Review.Status.OPEN)
        .exclude(run__status__in=[RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.COMPLETED])
        .select_related("run", "workflow", "step_run", "run__started_by")
        .defer("run__output", "run__input", "run__variables", "step_run__output", "workflow__settings")
        .order_by("created_at")
    )


def decided_reviews(tenant: Tenant) -> QuerySet[Review]:
    """Decided gates, newest first, without the values they were about."""
    return (
        Review.objects.for_tenant(tenant)
        .filter(status=Review.Status.DECIDED)
        .select_related("run", "workflow", "step_run", "decided_by")
        .defer(
            "content", "run__output", "run__input", "run__variables", "step_run__output", "workflow__settings"
        )
        .order_by("-decided_at")
    )


def people(assignees: Sequence[str]) -> str:
    """`role:admin`, `user:NAME` as words: "admins and nadia@example.org"; nobody named: "anyone who may review"."""
    words = [
        f"{name.removeprefix('role:')}s" if name.startswith("role:") else name.removeprefix("user:")
        for name in assignees
    ]
    if not words:
        return "anyone who may review"
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


# --- what left the house ---------------------------------------------------------------------------


def deliveries(tenant: Tenant, *, status: str = "", kind: str = "", q: str = "") -> QuerySet[Delivery]:
    """The ledger of a tenant, newest first; `q` is a part of the address or event."""
    found = Delivery.objects.for_tenant(tenant).select_related("run__workflow", "step_run")
    if status:
        found = found.filter(status=status)
    if kind:
        found = found.filter(kind=kind)
    if q:
        found = found.filter(target__icontains=q)
    return found.defer(
        "run__output", "run__input", "run__variables", "run__workflow__settings", "step_run__output"
    ).order_by("-created_at", "-id")


def model_calls(
    tenant: Tenant, *, prompt: str = "", model: str = "", day: date | None = None
) -> QuerySet[Attempt]:
    """Tries in which a model was called, newest first, with their run and step; `model` is `provider:model` or a part."""
    found = Attempt.objects.for_tenant(tenant).exclude(provider="")
    if prompt:
        found = found.filter(prompt__iexact=prompt)
    if model:
        provider, colon, name = model.partition(":")
        found = found.filter(provider=provider, model=name) if colon else found.filter(model__icontains=model)
    if day is not None:
        found = found.filter(
            started_at__gte=_midnight(day), started_at__lt=_midnight(day + timedelta(days=1))
        )
    return (
        found.select_related("run__workflow", "step_run")
        .defer("text", "run__output", "run__variables", "step_run__output", "run__workflow__settings")
        .order_by("-started_at", "-pk")
    )


def models_called(tenant: Tenant) -> tuple[list[str], list[str]]:
    """Names to filter the calls by: `provider:model`, and prompts of the library. Two queries."""
    found = Attempt.objects.for_tenant(tenant).exclude(provider="").order_by()
    models = sorted(f"{one}:{two}" for one, two in found.values_list("provider", "model").distinct())
    prompts = sorted(found.exclude(prompt="").values_list("prompt", flat=True).distinct())
    return models, prompts


def variables_of(
    definition: Definition,
    at_start: JSONObject,
    by_steps: Iterable[tuple[int, JSONObject]],
    edits: Iterable[JSONObject],
) -> JSONObject:
    """The context variables: defaults, then those of the start, then by number of event what steps set and people did.

    `by_steps` are (event number, values) of current step rows, `edits` those of `Run.debug`.
    """
    found: JSONObject = {variable.name: variable.default for variable in definition.context_variables()}
    found.update(at_start)
    changes = [(edit["seq"], 0, {edit["name"]: edit["value"]}) for edit in edits]
    # In one transition mail is obeyed before results.
    changes += [(seq, 1, values) for seq, values in by_steps]
    for _, _, values in sorted(changes, key=lambda change: change[:2]):
        found.update(values)
    return found


# --- notifications ------------------------------------------------------------------------------------------------


def told_to(actor: Actor, *, unread: bool = False) -> QuerySet[Notification]:
    """What this person was told in this workspace, newest first; keys are told nothing."""
    rows = Notification.objects.for_tenant(actor.tenant).filter(person=actor.user, in_app=True)
    return rows.filter(read_at__isnull=True) if unread else rows


def unread_count(actor: Actor) -> int:
    """The number at the bell. One query."""
    return told_to(actor, unread=True).count() if actor.user is not None else 0
