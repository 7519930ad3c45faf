"""A run as its page shows it: one fixed number of queries, then frozen values that templates only have to print.

Nothing in a snapshot depends on who looks or on the time of the look, so equal snapshots give equal pages.
"""

from __future__ import annotations

import json
import threading
import uuid
import zlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Any

from django.db.models import Q, QuerySet
from django.db.models.functions import Length
from django.utils import timezone

from runs.engine.statuses import AttemptStatus, Intent, RunStatus, Skip, StepStatus, Wait
from runs.models import Attempt, Blob, Review, Run, StepRun
from runs.selectors import people, step_runs_of
from runs.snapshots import words
from runs.snapshots.inside import Progress, progress_inside
from runs.snapshots.item_cases import ItemCase, item_cases
from runs.snapshots.items import ItemsView, item_names, items_of
from runs.snapshots.rails import Rail, Way, fold_rail, gap_rail, step_rail
from runs.snapshots.receipt import Receipt, receipt_of
from workflows.definition.generated import with_generated
from workflows.definition.graph import ERROR_PORT, Definition, EdgeDef, StepDef
from workflows.definition.lanes import START_ROW, LaneLayout, LaneRow, Strand, body_layout
from workflows.definition.ordering import body_order
from workflows.definition.schema import from_stored
from workflows.definition.types import START, leaves_by
from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.models import WorkflowVersion
from workflows.steps import registry
from workflows.steps.base import Group, Port, StepType
from workflows.steps.catalog import CATALOG

TRIGGERS = {
    "manual": "by hand",
    "schedule": "on schedule",
    "webhook": "webhook",
    "event": "event",
    "api": "over the API",
}
_KEPT_DEFINITIONS = 200
# A thousand items may wait at one gate; the page shows so many, the inbox all.
GATES_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a step failed, for the reader: headline, whether a retry helps, what is kept, the vendor's own words."""

    headline: str
    helps: str
    retryable: bool
    kept: str
    detail: str
    code: str
    field: str
    tries: int
    kept_cost: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Stream:
    """Where live text of a step arrives: the ids that the deltas carry."""

    step_run: str
    attempt: str


@dataclass(frozen=True, slots=True)
class Inside:
    """A step in the body of a container; `inside` are those of its own body."""

    key: str
    label: str
    icon: str
    tile: str
    does: str
    off: bool
    inside: tuple[Inside, ...]
    progress: Progress = Progress()


@dataclass(frozen=True, slots=True)
class Row:
    """One step of the run. `status` is a status of `ui.status`; `since` is set while its clock runs."""

    key: str
    number: int
    label: str
    icon: str
    tile: str
    status: str
    retried: bool
    review: bool
    summary: str
    took_ms: int | None
    since: datetime | None
    tokens: int | None
    cost: Decimal | None
    aside: str
    demo: bool
    story: tuple[str, str]
    failure: Failure | None
    stream: Stream | None
    off: bool
    fold: bool
    branch: tuple[str, str]
    branch_column: int | None
    on_branch: str
    rail: Rail
    gap: Rail
    revision: str
    items: ItemsView | None
    inside: tuple[Inside, ...]
    item_cases: tuple[ItemCase, ...] = ()
    breakpoint: bool = False
    breakable: bool = False


@dataclass(frozen=True, slots=True)
class Gate:
    """A decision that is waited for. `text` None: the value is data, shown as JSON, and edited as JSON."""

    id: uuid.UUID
    kind: str
    key: str
    title: str
    instructions: str
    source: str
    text: str | None
    data: str
    facts: tuple[str, ...]
    editable: bool
    assignees: tuple[str, ...]
    who: str
    quorum: int
    votes: tuple[tuple[str, str, str, datetime], ...]
    voters: frozenset[int]
    bar_starter: bool
    fields: tuple[JSONObject, ...]
    buttons: tuple[tuple[str, str], ...]
    opened: datetime
    due: datetime | None
    next_label: str
    reject_leads_on: bool
    item: str
    back_to: tuple[tuple[str, str], ...] = ()

    @property
    def revision(self) -> str:
        """Changes when the gate must be drawn anew."""
        who = zlib.crc32(" ".join(self.assignees).encode())
        return f"{self.id}:{len(self.votes)}:{who}"

    @property
    def overdue(self) -> bool:
        return self.due is not None and self.due < timezone.now()

    @property
    def approvals(self) -> tuple[str, ...]:
        """Who has approved so far, where several have to."""
        return tuple(who for who, decision, _, _ in self.votes if decision == "approve")


@dataclass(frozen=True, slots=True)
class Output:
    """The run's result. `parts` are (heading, Markdown or None, JSON text); one part without heading is usual."""

    parts: tuple[tuple[str, str | None, str], ...]
    text: str
    is_text: bool


@dataclass(frozen=True, slots=True)
class Control:
    """A button that applies now: `name` is the URL's, `label` the verb, `ask` a question where one is asked."""

    name: str
    label: str
    icon: str
    key: str = ""
    danger: bool = False
    ask: str = ""
    text: str = ""
    keep: str = ""
    step: str = ""


_STEP = Control("step_once", "Step", "step-forward", key="s", text="One step more, then the run is held")


@dataclass(frozen=True, slots=True)
class RunSnapshot:
    """Everything of the run's page that does not depend on the viewer."""

    id: uuid.UUID
    tenant_id: uuid.UUID
    stamp: str
    number: int
    workflow_id: uuid.UUID
    workflow: str
    workflow_gone: bool
    version: int | None
    kind: str
    yolo: bool
    status: str
    review: bool
    status_word: str
    steps_done: int
    steps_total: int
    tokens: int
    cost: Decimal
    cost_known: bool
    demo: bool
    started: datetime | None
    took_ms: int | None
    since: datetime | None
    subject: str
    trigger: str
    started_by: str
    started_by_id: int | None
    created: datetime
    start_icon: str
    start_rail: Rail
    note: tuple[str, str, str]
    rows: tuple[Row, ...]
    lanes: int
    folded: tuple[str, str]
    gates: tuple[Gate, ...]
    gates_more: int
    output: Output | None
    controls: tuple[Control, ...]
    failed_key: str
    failure: Failure | None = None
    held: bool = False
    fold_rail: Rail = field(default_factory=Rail)
    waits: str = ""
    receipt: Receipt | None = None

    def row(self, key: str) -> Row:
        """The row of a step; KeyError when the run's version has no such step."""
        for row in self.rows:
            if row.key == key:
                return row
        raise KeyError(key)

    @property
    def is_over(self) -> bool:
        return RunStatus(self.status).is_over

    @property
    def is_live(self) -> bool:
        return not self.is_over


# What a gate does not need of the row that waits at it.
_STEP_RUN_VALUES = ("step_run__output", "step_run__held", "step_run__variables", "step_run__error")


# --- definitions ---------------------------------------------------------------------------------

_definitions: OrderedDict[uuid.UUID, Definition] = OrderedDict()
_lock = threading.Lock()


def definitions_of(versions: set[uuid.UUID]) -> dict[uuid.UUID, Definition]:
    """The definitions of these versions; immutable, so each is read and parsed once per process."""
    with _lock:
        found = {key: _definitions[key] for key in versions if key in _definitions}
    missing = versions - found.keys()
    if missing:
        rows = WorkflowVersion.objects.filter(pk__in=missing).values_list("pk", "document")
        read = {
            pk: with_generated(from_stored(json.loads(document)), CATALOG.generated) for pk, document in rows
        }
        with _lock:
            _definitions.update(read)
            while len(_definitions) > _KEPT_DEFINITIONS:
                _definitions.popitem(last=False)
        found |= read
    return found


def step_type_of(name: str) -> StepType | None:
    """The registered type; None for one that is no longer installed."""
    return registry.get(name) if CATALOG.known(name) else None


def tile_of(step: StepDef, kind: StepType | None) -> str:
    """`ai` for a step that uses a model, `human` for one that asks a person."""
    if kind is None:
        return ""
    if kind.group is Group.ASK:
        return "human"
    return "ai" if kind.uses_model(step.config) else ""


def order_of(definition: Definition) -> tuple[StepDef, ...]:
    """Top-level steps in the order of the list."""
    return body_order(definition, None, CATALOG)


# --- the snapshot --------------------------------------------------------------------------------


def run_snapshot(run: Run, *, gate: uuid.UUID | None = None) -> RunSnapshot:
    """The run's page as values, in a fixed number of queries; one more when its version is new to this process.

    Of the gates inside items the oldest are shown, and `gate` (a review's id) in any case.
    """
    return _Builder(run, gate).snapshot()


class _Builder:
    """Reads once, then derives; one object per snapshot so that the parts can share what was read."""

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
    def fold_keys(self) -> frozenset[str]:
        """Steps that phones fold: the finished ones from the top on, without a hole, so that no rail ends in the air.

        One or two are no longer than the line that would stand for them.
        """
        found: list[str] = []
        done = 0
        for step in self.steps:
            row = self.current.get(step.key)
            if row is None or row.status not in (StepStatus.COMPLETED, StepStatus.SKIPPED):
                if step.type == START:
                    continue
                break
            found.append(step.key)
            done += row.status == StepStatus.COMPLETED and step.key in self.numbers
        return frozenset(found) if done > 2 else frozenset()

    def _fold_rail(self, lanes: Mapping[str, LaneRow]) -> Rail:
        """The lines beside the folded steps: in on the first lane, out on all that enter the next row's gap."""
        after = next((s.key for s in self.steps if s.key not in self.fold_keys and s.type != START), None)
        return fold_rail(lanes[after].gap if after is not None else None, self.way)

    # -- paths --

    @cached_property
    def _edge_ways(self) -> Mapping[str, Way]:
        """What became of every edge, in list order so that a step that is off can pass on what reached it."""
        ways: dict[str, Way] = {}
        for step in self.steps:
            arrived = [ways[edge.id] for edge in self.definition.incoming(step.key) if edge.id in ways]
            for edge in self.definition.outgoing(step.key):
                ways[edge.id] = self._edge_way(step, edge, arrived)
        return ways

    def _edge_way(self, step: StepDef, edge: EdgeDef, arrived: Sequence[Way]) -> Way:
        row = self.current.get(step.key)
        if not step.enabled:
            if not arrived:
                return Way.TAKEN if self.run.started_at else Way.AHEAD
            return self._together(arrived)
        if row is None:
            return Way.AHEAD
        if row.status in (StepStatus.COMPLETED, StepStatus.FAILED) and row.port is not None:
            took = leaves_by(row.port, edge.port) and row.edges.get(edge.id, True) is not False
            return Way.TAKEN if took else Way.CLOSED
        if row.status in (StepStatus.SKIPPED, StepStatus.CANCELLED):
            return Way.CLOSED
        return Way.AHEAD

    @staticmethod
    def _together(ways: Sequence[Way]) -> Way:
        if Way.TAKEN in ways:
            return Way.TAKEN
        return Way.CLOSED if ways and all(way is Way.CLOSED for way in ways) else Way.AHEAD

    def way(self, strand: Strand) -> Way:
        if strand.source == START_ROW:
            return Way.TAKEN if self.run.started_at or self.current else Way.AHEAD
        return self._together([self._edge_ways.get(edge, Way.AHEAD) for edge in strand.edges])

    # -- rows --

    def snapshot(self) -> RunSnapshot:
        run = self.run
        lanes = {row.key: row for row in self.layout.rows}
        start_key = next((step.key for step in self.steps if step.type == START), START_ROW)
        rows = tuple(self._row(step, lanes[step.key]) for step in self.steps if step.key != start_key)
        gates = tuple(self._gate(review) for review in self.open_reviews)
        over = RunStatus(run.status).is_over
        failed = next((row.key for row in rows if row.failure is not None), "")
        demo = any(row.provider == "demo" for row in self.current.values()) or any(
            view.demo for view in self.items.values()
        )
        return RunSnapshot(
            id=run.pk,
            tenant_id=run.tenant_id,
            # Events number what the driver did; mail and intent what others asked for since.
            stamp=f"{run.event_seq}-{run.mail_seq}-{run.status}-{run.intent}",
            number=run.number,
            workflow_id=run.workflow_id,
            workflow=run.workflow.name,
            workflow_gone=run.workflow.deleted_at is not None,
            version=run.version.number,
            kind=run.kind,
            yolo=run.yolo,
            status=self.status,
            review=bool(gates),
            status_word=self._status_word(failed, gates),
            steps_done=run.steps_done,
            steps_total=run.steps_total or len(rows),
            tokens=run.tokens,
            cost=run.cost,
            cost_known=all(row.cost_known for row in self.current.values())
            and not self._inner_cost_unknown(),
            demo=demo,
            started=run.started_at,
            took_ms=run.duration_ms if over else None,
            since=run.started_at if not over else None,
            subject=words.subject(run.input),
            trigger=TRIGGERS.get(run.trigger_type, run.trigger_type),
            started_by=self._starter(),
            started_by_id=run.started_by_id,
            created=run.created_at,
            start_icon={"webhook": "webhook", "schedule": "calendar-clock", "event": "zap"}.get(
                run.trigger_type, "play"
            ),
            start_rail=step_rail(lanes[start_key], self.way),
            note=self._note(gates),
            rows=rows,
            lanes=self.layout.width,
            folded=self._folded(rows),
            fold_rail=self._fold_rail(lanes),
            waits=self._waits_for(),
            receipt=receipt_of(run) if over else None,
            gates=gates,
            gates_more=self.gates_more,
            output=self._output(),
            controls=self._controls(rows, failed, gates),
            failed_key=failed,
            failure=None if failed else self._failure_of_the_run(),
            held=run.status == RunStatus.PAUSED and run.intent == Intent.PAUSE,
        )

    def _inner_cost_unknown(self) -> bool:
        if not self.items:
            return False
        inner = StepRun.objects.filter(run=self.run, tenant_id=self.run.tenant_id, cost_known=False)
        return inner.exclude(scope="").exists()

    @cached_property
    def inner(self) -> Mapping[str, Progress]:
        return progress_inside(self.run) if self.items else {}

    def _inside(self, parent: str, total: int = 0) -> tuple[Inside, ...]:
        """The steps in a container's body, in the order of their list; `total`: how many items it has."""
        found = []
        for step in body_order(self.definition, parent, CATALOG):
            kind = step_type_of(step.type)
            found.append(
                Inside(
                    key=step.key,
                    label=step.label,
                    icon=kind.icon if kind is not None else "puzzle",
                    tile=tile_of(step, kind),
                    does=kind.summary(step.config) if kind is not None else "",
                    off=not step.enabled,
                    inside=self._inside(step.key),
                    progress=self._progress(step.key, total),
                )
            )
        return tuple(found)

    def _progress(self, key: str, total: int) -> Progress:
        found = self.inner.get(key)
        return replace(found, total=max(found.total, total)) if found is not None else Progress(total=total)

    def _starter(self) -> str:
        if self.run.started_by is not None:
            return str(self.run.started_by)
        return f"key {self.run.api_key.name}" if self.run.api_key is not None else ""

    def _row(self, step: StepDef, lane: LaneRow) -> Row:
        row = self.current.get(step.key)
        kind = self.types[step.key]
        attempts = self.attempts.get(row.pk, []) if row is not None else []
        review = self.reviews.get(row.pk) if row is not None else None
        status = self._status(step, row)
        waits_for_person = row is not None and row.status == StepStatus.WAITING and row.wait == Wait.REVIEW
        retried = status == StepStatus.COMPLETED and any(a.counted and a.error for a in attempts)
        running = row is not None and row.started_at is not None and row.completed_at is None
        failure = self._failure(step, row, attempts) if status == StepStatus.FAILED else None
        branch, branch_column, of_what = self._branch(lane)
        items = self.items.get(row.pk) if row is not None else None
        tokens, cost = (row.tokens, row.cost) if row is not None else (0, Decimal(0))
        if items is not None:
            tokens, cost = items.tokens, items.cost
        spent = bool(tokens or cost)
        open_attempt = next((a for a in reversed(attempts) if a.status == AttemptStatus.OPEN), None)
        return Row(
            key=step.key,
            number=self.numbers.get(step.key, 0),
            label=step.label,
            icon=kind.icon if kind is not None else "puzzle",
            tile=tile_of(step, kind),
            status=status,
            retried=retried,
            review=waits_for_person,
            summary=self._summary(step, row, kind, review, attempts),
            took_ms=None if row is None or running or row.completed_at is None else row.duration_ms,
            since=row.started_at
            if row is not None and running and status not in (StepStatus.PENDING,)
            else None,
            tokens=tokens if spent else None,
            cost=cost if row is not None and spent and row.cost_known else None,
            aside="" if spent else self._aside(step, row, kind),
            demo=row is not None and (row.provider == "demo" or (items is not None and items.demo)),
            story=words.story(attempts, answered=status == StepStatus.COMPLETED)
            if failure is None
            else ("", ""),
            failure=failure,
            stream=Stream(str(row.pk), str(open_attempt.pk))
            if row is not None
            and row.status == StepStatus.RUNNING
            and open_attempt is not None
            and kind is not None
            and kind.uses_model(step.config)
            else None,
            off=not step.enabled,
            fold=step.key in self.fold_keys,
            branch=branch,
            branch_column=branch_column,
            on_branch=of_what,
            rail=step_rail(lane, self.way),
            gap=gap_rail(lane.gap, self.way, tall=any(branch)),
            revision=self._revision(row, len(attempts), items) if row is not None else "",
            items=items,
            inside=self._inside(step.key, items.total if items is not None else 0),
            item_cases=self.item_cases.get(row.pk, ()) if row is not None else (),
            breakpoint=self._is_open and step.key in self.breakpoints,
            breakable=self._is_open
            and step.enabled
            and status in (StepStatus.PENDING, StepStatus.QUEUED)
            and (row is None or row.started_at is None),
        )

    @cached_property
    def breakpoints(self) -> frozenset[str]:
        return frozenset(self.run.debug.get("breakpoints") or ())

    @property
    def _is_open(self) -> bool:
        return not RunStatus(self.run.status).is_over and self.run.intent != Intent.CANCEL

    @staticmethod
    def _revision(row: StepRun, attempts: int, items: ItemsView | None) -> str:
        said = f"{row.status}:{row.attempt}:{row.round}:{attempts}"
        return said if items is None else f"{said}:{items.completed}:{items.failed}"

    def _status(self, step: StepDef, row: StepRun | None) -> str:
        """The row's own status; what a finished run never came to is simply not started."""
        if row is None:
            over = self.run.status in (RunStatus.COMPLETED, RunStatus.CANCELLED)
            return (
                StepStatus.SKIPPED
                if not step.enabled and (over or self.run.started_at)
                else StepStatus.PENDING
            )
        return StepStatus(row.status)

    def _branch(self, lane: LaneRow) -> tuple[tuple[str, str], int | None, str]:
        """What stands in the gap above: the answer whose branch begins here, or how many begin at once; its lane's
        colour; and the same for the row's name ("on Yes of Worth a call?")."""
        for strand in lane.arriving:
            if strand.source not in self.definition.by_key or len(lane.arriving) > 1:
                continue
            source = self.definition.step(strand.source)
            answers = self._answers(source)
            edge = next(e for e in self.definition.outgoing(source.key) if e.id in strand.edges)
            wired = {other.port for other in self.definition.outgoing(source.key)}
            # One path alone is no branch: its answer says nothing that the row above does not say.
            if edge.port in answers and (len(wired) > 1 or edge.port != next(iter(answers))):
                way = self.way(strand)
                said = answers[edge.port]
                after = {Way.TAKEN: ", taken", Way.CLOSED: ", not taken"}.get(way, "")
                return (said, after), strand.column, f"on {said} of {source.label}"
        first = lane.gap.splits[0].strand if lane.gap.splits else None
        if first is not None and first.source in self.definition.by_key:
            ports = [edge.port for edge in self.definition.outgoing(first.source)]
            if len(set(ports)) == 1:
                return ("", f"{len(ports)} branches, at the same time"), None, ""
        if first is not None and first.source == START_ROW:
            return ("", f"{len(self.layout.rows[0].leaving)} branches, at the same time"), None, ""
        return ("", ""), None, ""

    def _answers(self, step: StepDef) -> dict[str, str]:
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

    def _summary(
        self,
        step: StepDef,
        row: StepRun | None,
        kind: StepType | None,
        review: Review | None,
        attempts: Sequence[Attempt],
    ) -> str:
        does = (
            kind.summary(step.config)
            if kind is not None
            else f"A step of type {step.type}, which is not installed here"
        )
        if not step.enabled:
            return "Off: its input passes through"
        if row is None or row.status in (StepStatus.PENDING, StepStatus.QUEUED):
            return "Not reached" if self.run.status == RunStatus.FAILED else does
        if row.status == StepStatus.RUNNING:
            model = words.model_words(row.provider, row.model) if row.model or row.provider else ""
            return f"{model}, writing" if model else does
        if row.status == StepStatus.WAITING:
            return self._waits(row, review, does)
        if row.status == StepStatus.SKIPPED:
            return {
                Skip.OFF: "Off: its input passes through",
                Skip.JOIN: "Not needed: its paths did not arrive",
            }.get(Skip(row.skip_reason) if row.skip_reason in set(Skip) else Skip.BRANCH, "Not taken")
        if row.status == StepStatus.CANCELLED:
            return "Stopped before it was done"
        if row.status == StepStatus.FAILED:
            tries = len(attempts)
            model = words.model_words(row.provider, row.model) if row.model or row.provider else ""
            told = ", ".join(part for part in (model, f"{tries} tries" if tries > 1 else "") if part)
            after = (
                "went on with the stated default"
                if row.port == "out"
                else "took the path for failures"
                if row.port
                else ""
            )
            return ", ".join(part for part in (told, after) if part) or words.one_line(
                str((row.error or {}).get("message", ""))
            )
        return self._result(step, row, review, does)

    def _waits(self, row: StepRun, review: Review | None, does: str) -> str:
        if row.wait == Wait.REVIEW:
            who = people(review.assignees) if review is not None and review.assignees else "a reviewer"
            return f"Waiting for {who}, since {words.clock(row.started_at or row.created_at)[:5]}"
        if row.wait == Wait.RETRY and row.due_at is not None:
            return f"Tries again at {words.clock(row.due_at)}, try {row.attempt} of {row.max_attempts}"
        if row.wait == Wait.DELAY and row.due_at is not None:
            return f"Waits until {words.clock(row.due_at)}"
        return does

    def _result(self, step: StepDef, row: StepRun, review: Review | None, does: str) -> str:
        if review is not None and review.status == Review.Status.DECIDED:
            return words.decided(review)
        answers = self._answers(step)
        if row.port in answers and len(answers) > 1:
            return f"Took {answers[row.port]}"
        if row.notes:
            return row.notes
        joined = self.definition.incoming(step.key)
        if step.type == "merge":
            return f"{len(row.inputs)} of {len(joined)} branches arrived"
        excerpt: str | None = getattr(row, "excerpt", None)
        return words.one_line(excerpt) or does

    @staticmethod
    def _aside(step: StepDef, row: StepRun | None, kind: StepType | None) -> str:
        """What stands beside the duration of a step that spent nothing: `no model`, `waiting for a person`."""
        if row is None or row.status in (StepStatus.PENDING, StepStatus.QUEUED, StepStatus.SKIPPED):
            return ""
        if tile_of(step, kind) == "human":
            return "waiting for a person"
        return "" if tile_of(step, kind) == "ai" else "no model"

    def _failure(self, step: StepDef, row: StepRun | None, attempts: Sequence[Attempt]) -> Failure | None:
        if row is None or row.error is None or row.port is not None:
            return None
        error: JSONObject = row.error
        tries = sum(a.counted for a in attempts) or row.attempt or 1
        done = [
            self.numbers[k]
            for k, r in self.current.items()
            if r.status == StepStatus.COMPLETED and k in self.numbers
        ]
        approvals = sum(r.status == Review.Status.DECIDED for r in self.reviews.values())
        return Failure(
            headline=words.cause(error),
            helps=" ".join(
                part
                for part in (f"Tried {words.times(tries)}." if tries > 1 else "", words.trying_helps(error))
                if part
            ),
            retryable=bool(error.get("retryable")),
            kept=self._kept(row, done, approvals),
            detail=str(error.get("detail") or ""),
            code=str(error.get("code") or ""),
            field=str(error.get("field") or ""),
            tries=tries,
            kept_cost=self._kept_cost(),
        )

    def _failure_of_the_run(self) -> Failure | None:
        """A failure that is of no step: a limit of time or money, or nothing that can go on."""
        if self.run.status != RunStatus.FAILED:
            return None
        error: JSONObject = self.run.error or {}
        done = [
            self.numbers[k]
            for k, r in self.current.items()
            if r.status == StepStatus.COMPLETED and k in self.numbers
        ]
        approvals = sum(r.status == Review.Status.DECIDED for r in self.reviews.values())
        return Failure(
            headline=words.cause(error),
            helps=words.trying_helps(error),
            retryable=bool(error.get("retryable")),
            kept=words.steps_kept(done, approvals=approvals),
            detail=str(error.get("detail") or ""),
            code=str(error.get("code") or ""),
            field=str(error.get("field") or ""),
            tries=1,
            kept_cost=self._kept_cost(),
        )

    def _kept_cost(self) -> Decimal:
        """What the finished steps have cost, and will not cost again."""
        return sum((r.cost for r in self.current.values() if r.status == StepStatus.COMPLETED), Decimal(0))

    @cached_property
    def item_cases(self) -> Mapping[uuid.UUID, tuple[ItemCase, ...]]:
        """Why items failed, by cause; one query where any did."""
        rows = [pk for pk, view in self.items.items() if view.failed]
        return item_cases(self.run, rows) if rows else {}

    def _kept(self, row: StepRun, done: Sequence[int], approvals: int) -> str:
        kept = words.steps_kept(done, approvals=approvals)
        items = self.items.get(row.pk)
        if items is None or not items.completed:
            return kept
        finished = f"{items.completed:,} finished item{'s' if items.completed != 1 else ''}"
        return f"{finished} of {items.total:,} {'are' if items.completed != 1 else 'is'} kept. {kept if done else ''}".strip()

    @staticmethod
    def _folded(rows: Sequence[Row]) -> tuple[str, str]:
        """What the folded line of a phone says: "6 steps done" "1 retried"; empty when nothing folds."""
        done = sum(row.fold and row.status == StepStatus.COMPLETED for row in rows)
        if not done:
            return "", ""
        retried = sum(row.fold and row.retried for row in rows)
        return f"{done} step{'s' if done != 1 else ''} done", f"{retried} retried" if retried else ""

    # -- the run itself --

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

    def _status_word(self, failed: str, gates: Sequence[Gate]) -> str:
        run = self.run
        if run.intent == Intent.CANCEL and not RunStatus(run.status).is_over:
            return "Cancelling"
        over_budget = any(gate.kind == Review.Kind.BUDGET for gate in gates)
        if over_budget:
            return "Waiting for review"
        if run.intent == Intent.PAUSE and run.status in (RunStatus.RUNNING, RunStatus.PENDING):
            return "Pausing"
        if run.status == RunStatus.FAILED and failed in self.numbers:
            return f"Failed at step {self.numbers[failed]}"
        if gates and run.status in (RunStatus.PAUSED, RunStatus.RUNNING) and run.intent != Intent.PAUSE:
            return "Waiting for review"
        return ""

    def _note(self, gates: Sequence[Gate]) -> tuple[str, str, str]:
        """(kind, bold sentence, the rest) above the steps; empty when there is nothing to say."""
        run = self.run
        by = f" by {run.intent_by}" if run.intent_by else ""
        if run.intent == Intent.CANCEL and not RunStatus(run.status).is_over:
            return "warn", f"Cancelled{by}.", "Steps under way are being stopped; what is finished is kept."
        if any(gate.kind == Review.Kind.BUDGET for gate in gates):
            # The question itself says why the run holds.
            return "", "", ""
        if run.intent == Intent.PAUSE and run.status in (RunStatus.RUNNING, RunStatus.PENDING):
            return "warn", f"Pausing{by}.", "Steps under way finish first, then the run holds."
        if run.status == RunStatus.PAUSED and run.intent == Intent.PAUSE:
            stopped = next((e for e in run.waiting_for if e.get("kind") == "breakpoint"), None)
            if stopped is not None:
                return "warn", str(stopped["sentence"]), "Its data can be looked at and changed now."
            return "warn", f"Paused{by}.", "Nothing new starts until somebody continues the run."
        if run.status == RunStatus.CANCELLED:
            return "", f"Cancelled{by}.", "What was finished is kept below; a cancelled run is not continued."
        if run.status == RunStatus.FAILED and not any(
            r.status == StepStatus.FAILED for r in self.current.values()
        ):
            # The box of the failure says it, with the ways out.
            return "", "", ""
        return "", "", ""

    def _waits_for(self) -> str:
        """What an unfinished run waits for and until when, for the bar that stays in view."""
        run = self.run
        if RunStatus(run.status).is_over or run.intent != Intent.NONE:
            return ""
        said = list(dict.fromkeys(str(e.get("sentence")) for e in run.waiting_for if e.get("sentence")))
        more = f" And {len(said) - 2} more." if len(said) > 2 else ""
        return f"{' '.join(said[:2])}{more}"

    def _controls(self, rows: Sequence[Row], failed: str, gates: Sequence[Gate]) -> tuple[Control, ...]:
        run = self.run
        done = [row.number for row in rows if row.status == StepStatus.COMPLETED]
        approvals = sum(r.status == Review.Status.DECIDED for r in self.reviews.values())
        kept = words.steps_kept(done, approvals=approvals)
        found: list[Control] = []
        if run.status == RunStatus.FAILED:
            where = f"step {self.numbers[failed]}" if failed in self.numbers else "where it stopped"
            found.append(Control("retry", "Retry", "rotate-cw", text=f"{kept} The run goes on from {where}."))
            return tuple(found)
        if run.status == RunStatus.COMPLETED:
            return tuple(self._again(row) for row in rows if row.items is not None and row.items.failed)
        if RunStatus(run.status).is_over or run.intent == Intent.CANCEL:
            return ()
        if any(gate.kind == Review.Kind.BUDGET for gate in gates):
            # It goes on by the decision, not by Continue.
            pass
        elif run.intent == Intent.PAUSE:
            found.append(Control("resume", "Continue", "play", key="p"))
            found.append(_STEP)
        elif self.status in (RunStatus.PENDING, RunStatus.RUNNING):
            found.append(Control("pause", "Pause", "pause", key="p"))
            found.append(_STEP)
        found.append(
            Control(
                "cancel",
                "Cancel run",
                "square",
                danger=True,
                ask=f"Cancel run {run.number}?",
                text=f"{kept} What is running is stopped, and a cancelled run cannot be continued.",
                keep="Keep it running",
            )
        )
        return tuple(found)

    @staticmethod
    def _again(row: Row) -> Control:
        """The failed items of a completed run, in a new run."""
        assert row.items is not None
        failed = f"{row.items.failed:,} failed item{'s' if row.items.failed != 1 else ''}"
        text = "A new run does them and what follows; everything else is taken from this one."
        return Control("retry_items", f"Retry {failed}", "rotate-cw", text=text, step=row.key)

    def _gate(self, review: Review) -> Gate:
        row, is_gate = review.step_run, review.kind == Review.Kind.GATE
        key = row.step_key if row is not None else ""
        sources = [
            self.definition.step(edge.source).label
            for edge in self.definition.incoming(key)
            if edge.source in self.definition.by_key
            and (row is None or not row.inputs or edge.id in row.inputs)
        ]
        after = [
            self.definition.step(edge.target).label
            for edge in self.definition.outgoing(key)
            if edge.port != "rejected" and edge.target in self.definition.by_key
        ]
        text = words.text_of(review.content)
        count = len(text.split()) if text is not None else 0
        return Gate(
            id=review.pk,
            kind=review.kind,
            key=key,
            title=review.title or (row.label if row is not None else ""),
            instructions=review.instructions,
            source=" and ".join(sources),
            text=text,
            data=as_json(review.content),
            facts=tuple(
                part
                for part in (" and ".join(sources), f"{count:,} words" if text and is_gate else "")
                if part
            ),
            editable=review.editable,
            assignees=tuple(review.assignees),
            who=people(review.assignees),
            quorum=review.quorum,
            votes=tuple((str(v.person), v.decision, v.comment, v.created_at) for v in review.votes.all()),
            voters=frozenset(v.person_id for v in review.votes.all()),
            bar_starter=review.bar_starter,
            fields=tuple(review.fields),
            buttons=tuple((str(b.get("decision")), str(b.get("label"))) for b in review.buttons),
            opened=review.created_at,
            due=review.due_at,
            next_label=after[0] if len(set(after)) == 1 else "",
            reject_leads_on=any(edge.port == "rejected" for edge in self.definition.outgoing(key)),
            item=self.item_names.get(review.pk, ""),
            back_to=self._back_to(key) if is_gate and key in self.definition.by_key else (),
        )

    def _back_to(self, key: str) -> tuple[tuple[str, str], ...]:
        """(key, label) of the steps that may be asked to do their work again, the nearest first."""
        before = self.definition.ancestors(key)
        steps = [s for s in self.definition.steps if s.key in before and s.type != START]
        return tuple((step.key, step.label) for step in reversed(steps))

    def _output(self) -> Output | None:
        if self.run.status != RunStatus.COMPLETED or self.run.output is None:
            return None
        return output_view(unpacked(self.run.output, self.run))


def output_view(value: JSONValue) -> Output:
    """A result for people: Markdown where it is text, one part per label where several steps ended, else JSON."""
    text = words.text_of(value)
    if text is not None:
        return Output((("", text, as_json(value)),), text, is_text=True)
    if isinstance(value, dict) and len(value) > 1 and all(isinstance(part, dict) for part in value.values()):
        parts = tuple((str(label), words.text_of(part), as_json(part)) for label, part in value.items())
        if any(part[1] is not None for part in parts):
            whole = "\n\n".join(
                f"## {label}\n\n{body if body is not None else data}" for label, body, data in parts
            )
            return Output(parts, whole, is_text=True)
    return Output((("", None, as_json(value)),), as_json(value), is_text=False)


def unpacked(value: JSONValue, run: Run) -> JSONValue:
    """The value itself where the row only points to it (`{"$blob": id}`)."""
    if isinstance(value, dict) and set(value) == {"$blob"}:
        blob = Blob.objects.filter(pk=value["$blob"], run=run, tenant_id=run.tenant_id).first()
        return blob.value if blob is not None else {}
    return value


def as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)
