"""One item of a loop or fan-out in full: what the panel shows of it. A fixed number of queries, whatever was done for it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from runs.engine.graph import compile_graph
from runs.engine.items import ItemStatus
from runs.engine.scopes import ItemPlace, Place, item_of
from runs.engine.statuses import AttemptStatus, RunStatus, StepStatus, Wait
from runs.models import Attempt, Item, Review, Run, StepRun
from runs.snapshots import words
from runs.snapshots.definitions import definitions_of, step_type_of, tile_of
from runs.snapshots.edits import Editable, editable
from runs.snapshots.items import ItemsPage, ItemsQuery, ItemsView, items_of, items_page
from runs.snapshots.shapes import Output
from runs.snapshots.step import Call, Try, Value, shown_value, tries_of
from runs.snapshots.values import output_view, unpacked
from workflows.definition.graph import StepDef
from workflows.steps.catalog import CATALOG


@dataclass(frozen=True, slots=True)
class ItemStep:
    """A step of the body as it went for this item. `hidden`: the container's own prompt, which has no row of its own."""

    key: str
    label: str
    icon: str
    tile: str
    does: str
    hidden: bool
    status: str
    retried: bool
    review: bool
    took_ms: int | None
    since: datetime | None
    tokens: int
    cost: Decimal | None
    model: str
    demo: bool
    output: Output | None
    notes: str
    error: str
    decision: str
    live_attempt: str
    live_text: str
    tries: tuple[Try, ...]
    items: ItemsView | None

    @property
    def calls(self) -> tuple[Call, ...]:
        return tuple(call for one in self.tries for call in one.calls)


@dataclass(frozen=True, slots=True)
class SentCall:
    """A model call among those of an item: `number` of `many` of the step `heading`; `ref` is unique in the panel."""

    ref: int
    heading: str
    number: int
    many: int
    call: Call


@dataclass(frozen=True, slots=True)
class ItemPanel:
    """Everything the panel prints of one item. `scope` (`f[3]`) names it in addresses."""

    scope: str
    container: str
    container_label: str
    index: int
    total: int
    heading: str
    status: str
    review: bool
    retried: bool
    took_ms: int | None
    since: datetime | None
    tokens: int
    cost: Decimal
    provider: str
    demo: bool
    value: Value
    result: Output | None
    error: str
    reused: bool
    origin: uuid.UUID | None
    retryable: bool
    retry_words: str
    skippable: bool
    editable: Editable | None
    steps: tuple[ItemStep, ...]

    @property
    def number(self) -> int:
        return self.index + 1

    @property
    def calls(self) -> tuple[SentCall, ...]:
        """Every model call of the item, step after step."""
        found: list[SentCall] = []
        for step in self.steps:
            many = len(step.calls)
            for number, call in enumerate(step.calls, start=1):
                found.append(SentCall(len(found) + 1, "" if step.hidden else step.label, number, many, call))
        return tuple(found)

    @property
    def live_attempt(self) -> str:
        return next((step.live_attempt for step in self.steps if step.live_attempt), "")

    @property
    def lone(self) -> ItemStep | None:
        """The only step of the body: its heading would say what the panel's says."""
        return self.steps[0] if len(self.steps) == 1 else None


def parse_scope(text: str) -> ItemPlace | None:
    """`f[3]` as a place; None for what names no item."""
    if not text.endswith("]") or "[" not in text:
        return None
    try:
        place = item_of(text)
    except ValueError:
        return None
    return place if place is not None and place.container.key and 0 <= place.index < 2**31 else None


def container_row(run: Run, place: Place) -> StepRun | None:
    """The current round of the container at this place, without its output."""
    return (
        StepRun.objects.filter(run=run, tenant_id=run.tenant_id, step_key=place.key, scope=place.scope)
        .defer("output", "variables")
        .order_by("-round")
        .first()
    )


def items_of_step(run: Run, place: Place, wanted: ItemsQuery) -> tuple[ItemsPage, StepDef] | None:
    """A page of the items at this place; None when there are none."""
    definition = definitions_of({run.version_id})[run.version_id]
    row = container_row(run, place) if place.key in definition.by_key else None
    page = items_page(run, row, wanted) if row is not None else None
    return (page, definition.step(place.key)) if page is not None else None


def item_panel(run: Run, scope: str) -> ItemPanel | None:
    """The item of this scope in the container's current round; None when there is none."""
    place = parse_scope(scope)
    definition = definitions_of({run.version_id})[run.version_id]
    if place is None or place.container.key not in definition.by_key:
        return None
    row = container_row(run, place.container)
    item = (
        Item.objects.filter(run=run, tenant_id=run.tenant_id, step_run=row, index=place.index).first()
        if row
        else None
    )
    if row is None or item is None:
        return None
    steps = _steps(run, place)
    ended = item.status != ItemStatus.RUNNING
    took = None
    if item.started_at is not None and item.completed_at is not None and ended:
        took = round((item.completed_at - item.started_at).total_seconds() * 1_000)
    value, result = unpacked(item.value, run), unpacked(item.result, run)
    failed = item.status == ItemStatus.FAILED
    again = failed and not place.container.scope and run.status in (RunStatus.FAILED, RunStatus.COMPLETED)
    open_now = not run.is_over and row.status == StepStatus.RUNNING and row.wait == Wait.ITEMS
    anew = not place.container.scope and (
        (failed and run.status == RunStatus.FAILED)
        or run.status == RunStatus.COMPLETED
        or (open_now and ItemStatus(item.status).is_terminal)
    )
    return ItemPanel(
        scope=scope,
        container=place.container.key,
        container_label=definition.step(place.container.key).label,
        index=place.index,
        total=Item.objects.filter(run=run, step_run=row).count(),
        heading=item.heading,
        status=str(item.status),
        review=not ended and any(step.review for step in steps),
        retried=item.status == ItemStatus.COMPLETED and any(step.retried for step in steps),
        took_ms=took,
        since=item.started_at if not ended else None,
        tokens=item.tokens,
        cost=item.cost,
        provider=words.provider_name(item.provider) if item.provider else "",
        demo=item.provider == "demo",
        value=shown_value("item", value),
        result=output_view(result) if result is not None else None,
        error=str((item.error or {}).get("message", "")),
        reused=item.reused,
        origin=run.origin_id,
        retryable=again,
        retry_words="In a new run, which takes everything else from this one."
        if run.status == RunStatus.COMPLETED
        else "Only this item; the step goes on when all of them are done.",
        skippable=open_now and not ItemStatus(item.status).is_terminal,
        editable=editable(value) if anew else None,
        steps=steps,
    )


def _steps(run: Run, place: ItemPlace) -> tuple[ItemStep, ...]:
    """The body of the container for this item, in the order in which it runs. At most four queries and those of `items_of`."""
    definition = definitions_of({run.version_id})[run.version_id]
    graph = compile_graph(definition, CATALOG)
    rows: dict[str, StepRun] = {}
    found = StepRun.objects.filter(run=run, tenant_id=run.tenant_id, scope=place.scope)
    for row in found.order_by("round"):
        rows[row.step_key] = row
    attempts: dict[uuid.UUID, list[Attempt]] = {}
    tried = Attempt.objects.filter(
        run=run, tenant_id=run.tenant_id, step_run__in=[r.pk for r in rows.values()]
    )
    for attempt in tried.order_by("started_at", "id"):
        attempts.setdefault(attempt.step_run_id, []).append(attempt)
    decided = {
        review.step_run_id: words.decided(review)
        for review in Review.objects.filter(
            step_run__in=[r.pk for r in rows.values()], tenant_id=run.tenant_id, status=Review.Status.DECIDED
        ).defer("content")
        if review.step_run_id is not None
    }
    containers = [row for key, row in rows.items() if graph.body(key)]
    items = items_of(run, containers)
    return tuple(
        _step(run, graph.step(key), rows.get(key), attempts, decided, items)
        for key in graph.body(place.container.key)
    )


def _step(
    run: Run,
    step: StepDef,
    row: StepRun | None,
    attempts: dict[uuid.UUID, list[Attempt]],
    decided: dict[uuid.UUID, str],
    items: dict[uuid.UUID, ItemsView],
) -> ItemStep:
    kind = step_type_of(step.type)
    tried = attempts.get(row.pk, []) if row is not None else []
    running = row is not None and row.started_at is not None and row.completed_at is None
    open_attempt = next((a for a in reversed(tried) if a.status == AttemptStatus.OPEN), None)
    live = open_attempt is not None and row is not None and row.status == StepStatus.RUNNING
    value = unpacked(row.output, run) if row is not None and row.output is not None else None
    return ItemStep(
        key=step.key,
        label=step.label,
        icon=kind.icon if kind is not None else "puzzle",
        tile=tile_of(step, kind),
        does=kind.summary(step.config) if kind is not None else "",
        hidden=step.generated,
        status=str(row.status) if row is not None else StepStatus.PENDING,
        retried=any(a.counted and a.error for a in tried) or (row is not None and row.round > 0),
        review=row is not None and row.status == StepStatus.WAITING and row.wait == Wait.REVIEW,
        took_ms=None if row is None or running or row.completed_at is None else row.duration_ms,
        since=row.started_at if row is not None and running else None,
        tokens=row.tokens if row is not None else 0,
        cost=row.cost if row is not None and row.cost_known and row.tokens else None,
        model=words.model_words(row.provider, row.model)
        if row is not None and (row.model or row.provider)
        else "",
        demo=row is not None and row.provider == "demo",
        output=output_view(value) if value is not None else None,
        notes=row.notes if row is not None else "",
        error=str((row.error or {}).get("message", "")) if row is not None else "",
        decision=decided.get(row.pk, "") if row is not None else "",
        live_attempt=str(open_attempt.pk) if live and open_attempt is not None else "",
        live_text=open_attempt.text if live and open_attempt is not None else "",
        tries=tuple(tries_of(tried)),
        items=items.get(row.pk) if row is not None else None,
    )
