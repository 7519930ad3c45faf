"""The frozen values that the page of a run prints: rows, gates, the result, the controls, and the whole."""

from __future__ import annotations

import uuid
import zlib
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from django.utils import timezone

from runs.engine.statuses import RunStatus
from runs.snapshots.inside import NOT_BEGUN, Progress
from runs.snapshots.item_cases import ItemCase
from runs.snapshots.items import ItemsView
from runs.snapshots.rails import Rail
from runs.snapshots.receipt import Receipt
from workflows.lib.jsontypes import JSONObject


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
    """A step in the body of a container; `inside` are those of its own body. `hidden`: the container's own prompt."""

    key: str
    label: str
    icon: str
    tile: str
    does: str
    off: bool
    inside: tuple[Inside, ...]
    hidden: bool = False
    breakpoint: bool = False
    breakable: bool = False
    progress: Progress = NOT_BEGUN


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
    # A text that is JSON, spelled out line by line for reading; empty for every other text.
    spelled: str = ""

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
