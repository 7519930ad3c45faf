"""What the page of a run is made of: read once, in a fixed number of queries, and shared by all its parts."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property

from django.db.models import Q, QuerySet
from django.db.models.functions import Length

from runs.engine.statuses import Intent, RunStatus, StepStatus, Wait
from runs.models import Attempt, Review, Run, StepRun
from runs.selectors import step_runs_of
from runs.snapshots.definitions import definitions_of, order_of, step_type_of
from runs.snapshots.inside import NOT_BEGUN, Progress, progress_inside
from runs.snapshots.item_cases import ItemCase, item_cases
from runs.snapshots.items import ItemsView, item_names, items_of
from workflows.definition.graph import ERROR_PORT, StepDef
from workflows.definition.lanes import LaneLayout, body_layout
from workflows.definition.ordering import body_order
from workflows.definition.types import START
from workflows.steps.base import Port, StepType
from workflows.steps.catalog import CATALOG

# A thousand items may wait at one gate; the page shows so many, the inbox all.
GATES_SHOWN = 10
# What a gate does not need of the row that waits at it.
_STEP_RUN_VALUES = ("step_run__output", "step_run__held", "step_run__variables", "step_run__error")


class Reading:
    """Reads once; one object per snapshot so that the parts can share what was read."""

    def __init__(self, run: Run, gate: uuid.UUID | None = None) -> None:
        self.run = run
        self.wanted_gate = gate
        self.definition = definitions_of({run.version_id})[run.version_id]
        self.steps = order_of(self.definition)
        self.current: dict[str, StepRun] = {}
        for row in step_runs_of(run):
            self.current[row.step_key] = row
        self.attempts: dict[uuid.UUID, list[Attempt]] = {}
        for attempt in (
            Attempt.objects.filter(run=run, tenant_id=run.tenant_id, step_run__scope="")
            .defer("calls", "text")
            .order_by("started_at", "id")
        ):
            self.attempts.setdefault(attempt.step_run_id, []).append(attempt)
        self.reviews = {
            review.step_run_id: review
            for review in Review.objects.filter(
                Q(step_run__scope="") | Q(step_run__isnull=True), run=run, tenant_id=run.tenant_id
            )
            .select_related("step_run")
            .defer(*_STEP_RUN_VALUES)
            .prefetch_related("votes__person")
        }
        self.has_bodies = any(CATALOG.is_container(step.type) for step in self.steps)
        self.items: dict[uuid.UUID, ItemsView] = {}
        if self.has_bodies:
            keys = {step.key for step in self.steps if CATALOG.is_container(step.type)}
            self.items = items_of(run, [row for key, row in self.current.items() if key in keys])
        self.has_start = any(step.type == START for step in self.steps)
        self.numbers = {
            step.key: number
            for number, step in enumerate((s for s in self.steps if s.type != START), start=1)
        }

    @cached_property
    def layout(self) -> LaneLayout:
        return body_layout(self.definition, self.steps, start_row=not self.has_start)

    @cached_property
    def bodies(self) -> Mapping[str, tuple[StepDef, ...]]:
        """The steps inside each container, in the order of their list; the hidden one where its prompt does the work."""
        found: dict[str, tuple[StepDef, ...]] = {}
        for step in self.definition.steps:
            if CATALOG.is_container(step.type):
                own = CATALOG.own_body(step)
                inside = body_order(self.definition, step.key, CATALOG)
                found[step.key] = inside or ((own,) if own is not None else ())
        return found

    @cached_property
    def types(self) -> Mapping[str, StepType | None]:
        return {step.key: step_type_of(step.type) for step in self.steps}

    @cached_property
    def open_reviews(self) -> tuple[Review, ...]:
        if RunStatus(self.run.status).is_over:
            return ()
        current = {row.pk for row in self.current.values()}
        top = tuple(
            review
            for review in self.reviews.values()
            if review.status == Review.Status.OPEN
            and (review.step_run_id is None or review.step_run_id in current)
        )
        inner = self.inner_reviews[: max(0, GATES_SHOWN - len(top))]
        return (*top, *inner, *self._wanted_review({review.pk for review in (*top, *inner)}))

    @cached_property
    def _inner_gates(self) -> QuerySet[Review]:
        return Review.objects.filter(
            run=self.run,
            tenant_id=self.run.tenant_id,
            status=Review.Status.OPEN,
            step_run__status=StepStatus.WAITING,
        ).exclude(step_run__scope="")

    @cached_property
    def inner_reviews(self) -> tuple[Review, ...]:
        """The oldest gates inside items. A rewound row no longer waits."""
        if not any(view.running for view in self.items.values()):
            return ()
        found = self._inner_gates.select_related("step_run").defer(*_STEP_RUN_VALUES)
        # Gates of one transition open at one moment; then the order is that of the items (`f[9]` before `f[10]`).
        order = ("created_at", Length("step_run__scope"), "step_run__scope", "id")
        return tuple(found.prefetch_related("votes__person").order_by(*order)[:GATES_SHOWN])

    def _wanted_review(self, shown: set[uuid.UUID]) -> tuple[Review, ...]:
        """The gate that was asked for, where it is not among those shown anyway."""
        wanted = self.wanted_gate
        if wanted is None or wanted in shown:
            return ()
        found = self._inner_gates.select_related("step_run").defer(*_STEP_RUN_VALUES)
        return tuple(found.prefetch_related("votes__person").filter(pk=wanted))

    @cached_property
    def gates_more(self) -> int:
        """How many open gates of items the page does not show."""
        if RunStatus(self.run.status).is_over or len(self.inner_reviews) < GATES_SHOWN:
            return 0
        return self._inner_gates.count() - len(
            [r for r in self.open_reviews if r.step_run is not None and r.step_run.scope]
        )

    @cached_property
    def item_names(self) -> Mapping[uuid.UUID, str]:
        return item_names(self.open_reviews)

    @cached_property
    def item_cases(self) -> Mapping[uuid.UUID, tuple[ItemCase, ...]]:
        """Why items failed, by cause; one query where any did."""
        rows = [pk for pk, view in self.items.items() if view.failed]
        return item_cases(self.run, rows) if rows else {}

    @cached_property
    def steps_done(self) -> tuple[int, ...]:
        """The numbers of the finished steps, which any way on keeps."""
        done = (key for key, row in self.current.items() if row.status == StepStatus.COMPLETED)
        return tuple(sorted(self.numbers[key] for key in done if key in self.numbers))

    @cached_property
    def approvals(self) -> int:
        return sum(review.status == Review.Status.DECIDED for review in self.reviews.values())

    @cached_property
    def breakpoints(self) -> frozenset[str]:
        return frozenset(self.run.debug.get("breakpoints") or ())

    @property
    def is_open(self) -> bool:
        return not RunStatus(self.run.status).is_over and self.run.intent != Intent.CANCEL

    @cached_property
    def status(self) -> str:
        """The run's status; one that a decision has set going again is running, though its driver says so only later."""
        working = any(
            # A container works through its items even where all of them wait for people.
            row.status in (StepStatus.RUNNING, StepStatus.QUEUED) and row.wait != Wait.ITEMS
            for row in self.current.values()
        )
        if self.run.status == RunStatus.PAUSED and self.run.intent == Intent.NONE and working:
            return RunStatus.RUNNING
        return self.run.status

    def answers(self, step: StepDef) -> dict[str, str]:
        """Names of a step's ways out, when it has more than one."""
        kind = self.types.get(step.key)
        ports: tuple[Port, ...] = kind.ports(step.config) if kind is not None else ()
        named = {port.name: port.label or port.name.replace("_", " ").capitalize() for port in ports}
        if len(named) < 2:
            named = {}
        used = {edge.port for edge in self.definition.outgoing(step.key)}
        if ERROR_PORT in used:
            named[ERROR_PORT] = "If it fails"
        return named

    @cached_property
    def _inner(self) -> Mapping[str, Progress]:
        return progress_inside(self.run) if self.items else {}

    def progress(self, key: str, total: int) -> Progress:
        """How far a step inside a container is, of whose items there are `total` so far."""
        found = self._inner.get(key, NOT_BEGUN)
        return replace(found, total=max(found.total, total))

    def inner_cost_unknown(self) -> bool:
        if not self.items:
            return False
        inner = StepRun.objects.filter(run=self.run, tenant_id=self.run.tenant_id, cost_known=False)
        return inner.exclude(scope="").exists()
