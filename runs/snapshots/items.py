"""The items of loops and fan-outs as pages show them: counts, who is worked on, time left, and at most 60 of them.

A fixed number of queries, whatever the number of containers and of their items.
"""

from __future__ import annotations

import math
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Avg, Count, DurationField, ExpressionWrapper, F, Q, QuerySet, Sum
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Substr

from runs.engine.items import ItemStatus
from runs.engine.scopes import enclosing, item_of
from runs.engine.statuses import StepStatus, Wait
from runs.models import Item, Review, Run, StepRun
from runs.snapshots import words

# A page never has more rows of items than these (design README §5).
ITEMS_SHOWN = 60
# Names beside "Now:"; the rest is counted.
_NOW = 3
_EXCERPT = 280
# The time left is guessed from so many finished items on.
_ENOUGH = 3
_LIGHT = (
    "id",
    "run_id",
    "step_run_id",
    "container",
    "scope",
    "index",
    "heading",
    "status",
    "reused",
    "provider",
    "input_tokens",
    "output_tokens",
    "cost",
    "started_at",
    "completed_at",
)


@dataclass(frozen=True, slots=True)
class Cell:
    """One item. `scope` (`f[3]`) names it in addresses; `word` says what it does now; `excerpt` begins its result."""

    scope: str
    number: int
    heading: str
    status: str
    retried: bool
    review: bool
    tries: int
    word: str
    took_ms: int | None
    since: datetime | None
    tokens: int
    cost: Decimal
    provider: str
    excerpt: str
    reused: bool

    @property
    def revision(self) -> str:
        return f"{self.status}:{self.review}:{self.tries}:{self.word}"

    @property
    def is_now(self) -> bool:
        """Whether it is shown where there is room for a few only: under way, or asking for somebody."""
        return self.status in (ItemStatus.RUNNING, ItemStatus.FAILED)


@dataclass(frozen=True, slots=True)
class Bar:
    """One continuous bar, 1,000 wide: finished, failed, under way."""

    done: int
    failed: int
    running: int

    @property
    def failed_at(self) -> int:
        return self.done

    @property
    def running_at(self) -> int:
        return self.done + self.failed


@dataclass(frozen=True, slots=True)
class ItemsView:
    """The items of one container: figures, and the first 60 of them in the input's order, which never changes."""

    key: str
    scope: str
    total: int
    completed: int
    failed: int
    cancelled: int
    running: int
    open_ended: bool
    said: str
    now: str
    left: str
    cells: tuple[Cell, ...]
    tokens: int
    cost: Decimal
    demo: bool
    under_way: bool = False

    @property
    def is_long(self) -> bool:
        return self.total > ITEMS_SHOWN

    @property
    def finished(self) -> int:
        return self.completed + self.failed + self.cancelled

    @property
    def bar(self) -> Bar:
        whole = max(self.total, 1)
        return Bar(
            1_000 * self.completed // whole, 1_000 * self.failed // whole, 1_000 * self.running // whole
        )


@dataclass(frozen=True, slots=True)
class ItemsQuery:
    """What the table of items shows: a status (`""`: all), words of the heading, and a page from 1."""

    status: str = ""
    text: str = ""
    page: int = 1

    @property
    def is_default(self) -> bool:
        return not self.status and not self.text and self.page == 1


@dataclass(frozen=True, slots=True)
class ItemsPage:
    """One page of the table."""

    view: ItemsView
    query: ItemsQuery
    cells: tuple[Cell, ...]
    count: int

    @property
    def pages(self) -> int:
        return max(1, math.ceil(self.count / ITEMS_SHOWN))

    @property
    def first(self) -> int:
        return (self.query.page - 1) * ITEMS_SHOWN + 1 if self.count else 0

    @property
    def last(self) -> int:
        return min(self.query.page * ITEMS_SHOWN, self.count)


def items_of(run: Run, containers: Sequence[StepRun]) -> dict[uuid.UUID, ItemsView]:
    """By step row, the items of those that have any. At most four queries; the rows need no value loaded."""
    rows = {row.pk: row for row in containers}
    if not rows:
        return {}
    mine = Item.objects.filter(run=run, tenant_id=run.tenant_id, step_run_id__in=list(rows))
    figures = _figures(mine)
    if not figures:
        return {}
    first = list(_listed(mine.filter(index__lt=ITEMS_SHOWN)).order_by("step_run_id", "index"))
    # Gates inside can keep any number of items open; a few names are enough.
    beyond = mine.filter(status=ItemStatus.RUNNING, index__gte=ITEMS_SHOWN).order_by("-started_at")
    late = list(_listed(beyond)[:ITEMS_SHOWN]) if any(f.total > ITEMS_SHOWN for f in figures.values()) else []
    doings = _doings(run, (item.item_scope for item in (*first, *late)))
    found: dict[uuid.UUID, ItemsView] = {}
    for row_id, count in figures.items():
        row = rows[row_id]
        mine_first = [item for item in first if item.step_run_id == row_id]
        cells = tuple(cell_of(item, doings) for item in mine_first)
        if count.total <= ITEMS_SHOWN:
            # Items go on between two queries: where all of them are shown, they are what is counted.
            count.of = dict.fromkeys(ItemStatus, 0) | Counter(item.status for item in mine_first)
        names = [
            cell.heading or f"item {cell.number}"
            for cell in (*cells, *(cell_of(item, doings) for item in late if item.step_run_id == row_id))
            if cell.status == ItemStatus.RUNNING and not cell.review
        ]
        # A loop that asks before each round does not know how many are to come.
        more = _held(row, "more") in (True, "true", "True", "1", 1) and row.status == StepStatus.RUNNING
        at_once = int(_held(row, "concurrency") or 1)
        under_way = row.status == StepStatus.RUNNING and row.wait == Wait.ITEMS
        found[row_id] = ItemsView(
            key=row.step_key,
            scope=row.scope,
            total=count.total,
            completed=count.of[ItemStatus.COMPLETED],
            failed=count.of[ItemStatus.FAILED],
            cancelled=count.of[ItemStatus.CANCELLED],
            running=count.of[ItemStatus.RUNNING],
            open_ended=more,
            said=_said(count, open_ended=more),
            now=_names(names, count.of[ItemStatus.RUNNING]) if under_way else "",
            left=_left(count, at_once) if under_way and not more else "",
            cells=cells,
            tokens=count.tokens,
            cost=count.cost,
            demo=count.demo,
            under_way=under_way,
        )
    return found


def items_page(run: Run, container: StepRun, wanted: ItemsQuery) -> ItemsPage | None:
    """A page of a container's items that pass the filter; None when it has no items."""
    view = items_of(run, [container]).get(container.pk)
    if view is None:
        return None
    found = Item.objects.filter(run=run, tenant_id=run.tenant_id, step_run=container)
    if wanted.status:
        found = found.filter(status=wanted.status)
    if wanted.text:
        found = found.filter(heading__icontains=wanted.text)
    count = found.count() if wanted.status or wanted.text else view.total
    pages = max(1, math.ceil(count / ITEMS_SHOWN))
    page = min(max(wanted.page, 1), pages)
    start = (page - 1) * ITEMS_SHOWN
    listed = list(_listed(found).order_by("index")[start : start + ITEMS_SHOWN])
    doings = _doings(run, (item.item_scope for item in listed))
    cells = tuple(cell_of(item, doings) for item in listed)
    return ItemsPage(view, ItemsQuery(wanted.status, wanted.text, page), cells, count)


def first_page(view: ItemsView) -> ItemsPage:
    """The table as it stands before anybody has asked for anything."""
    return ItemsPage(view, ItemsQuery(), view.cells, view.total)


def item_names(reviews: Iterable[Review]) -> dict[uuid.UUID, str]:
    """By review, the items that its gate stands in, outermost first: "item 3: Ada"; empty at the top level.

    `step_run` must be loaded. One query, none when no gate stands in an item.
    """
    found_inside = [review for review in reviews if review.step_run is not None and review.step_run.scope]
    inside = {review.pk: review.step_run.scope for review in found_inside if review.step_run is not None}
    if not inside:
        return {}
    places = {
        (review.run_id, place.container.key, place.container.scope, place.index)
        for review in found_inside
        for level in enclosing(inside[review.pk])
        if (place := item_of(level)) is not None
    }
    rows = (
        Item.objects.filter(
            run_id__in={place[0] for place in places},
            container__in={place[1] for place in places},
            index__in={place[3] for place in places},
        )
        .order_by("step_run__round")
        .values_list("run_id", "container", "scope", "index", "heading")
    )
    headings = {(run, key, scope, index): heading for run, key, scope, index, heading in rows}
    found: dict[uuid.UUID, str] = {}
    for review in found_inside:
        said = []
        for level in reversed(enclosing(inside[review.pk])):
            place = item_of(level)
            assert place is not None
            heading = headings.get(
                (review.run_id, place.container.key, place.container.scope, place.index), ""
            )
            said.append(f"item {place.index + 1}{f': {heading}' if heading else ''}")
        found[review.pk] = ", ".join(said)
    return found


# --- figures -------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Count:
    """The figures of one container."""

    of: dict[str, int]
    tokens: int = 0
    cost: Decimal = Decimal(0)
    demo: bool = False
    took: timedelta | None = None

    @property
    def total(self) -> int:
        return sum(self.of.values())


def _figures(items: QuerySet[Item]) -> dict[uuid.UUID, _Count]:
    """Counts per container and status in one query; `took` is the mean time of an item that was done here."""
    took = ExpressionWrapper(F("completed_at") - F("started_at"), output_field=DurationField())
    rows = (
        items.order_by()
        .values("step_run_id", "status")
        .annotate(
            count=Count("pk"),
            spent_in=Sum("input_tokens"),
            spent_out=Sum("output_tokens"),
            spent=Sum("cost"),
            demo=Count("pk", filter=Q(provider="demo")),
            took=Avg(took, filter=Q(reused=False)),
        )
    )
    found: dict[uuid.UUID, _Count] = {}
    for row in rows:
        count = found.setdefault(row["step_run_id"], _Count(dict.fromkeys(ItemStatus, 0)))
        count.of[row["status"]] = row["count"]
        count.tokens += row["spent_in"] + row["spent_out"]
        count.cost += row["spent"]
        count.demo = count.demo or row["demo"] > 0
        if row["status"] == ItemStatus.COMPLETED:
            count.took = row["took"]
    return found


def _held(row: StepRun, name: str) -> Any:
    """What the row keeps of its rules: annotated as `held_NAME`, or read with it."""
    if hasattr(row, f"held_{name}"):
        return getattr(row, f"held_{name}")
    return (row.held or {}).get(name)


def _said(count: _Count, *, open_ended: bool) -> str:
    """7 of 13 · 12 of 13, 1 failed · 3 done so far."""
    done, failed = count.of[ItemStatus.COMPLETED], count.of[ItemStatus.FAILED]
    head = f"{done:,} done so far" if open_ended else f"{done:,} of {count.total:,}"
    return f"{head}, {failed:,} failed" if failed else head


def _names(names: Sequence[str], running: int) -> str:
    """Ada and Ben · Ada, Ben, Cleo and 4 more."""
    if not names:
        return ""
    shown = [words.one_line(name, 60) for name in names[:_NOW]]
    rest = len(names) - len(shown) if len(names) < ITEMS_SHOWN else max(running, len(names)) - len(shown)
    if rest:
        return f"{', '.join(shown)} and {rest} more"
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _left(count: _Count, at_once: int) -> str:
    """About 40 s left, once three items tell how long one takes."""
    done = count.of[ItemStatus.COMPLETED]
    ahead = count.of[ItemStatus.PENDING] + count.of[ItemStatus.RUNNING]
    if done < _ENOUGH or count.took is None or not ahead:
        return ""
    seconds = count.took.total_seconds() * ahead / max(1, min(at_once, ahead))
    if seconds < 1:
        return ""
    if seconds < 90:
        # Guesses to the second would only flicker.
        return f"about {math.ceil(seconds / 5) * 5 if seconds > 10 else math.ceil(seconds)} s left"
    minutes = round(seconds / 60)
    return f"about {minutes} min left" if minutes < 90 else f"about {round(minutes / 60)} h left"


# --- items ---------------------------------------------------------------------------------------


def _listed(items: QuerySet[Item]) -> QuerySet[Item]:
    """Items without their values, with the first words of the result."""
    return items.only(*_LIGHT).annotate(excerpt=Substr(KeyTextTransform("content", "result"), 1, _EXCERPT))


@dataclass(slots=True)
class _Doing:
    """What the step rows of one item say beyond its own row."""

    tries: int = 1
    review: bool = False
    word: str = ""


def _doings(run: Run, scopes: Iterable[str]) -> dict[str, _Doing]:
    """By scope; only rows that are open, or took more than one try, have something to say. One query."""
    wanted = list(scopes)
    if not wanted:
        return {}
    rows = (
        StepRun.objects.filter(run=run, tenant_id=run.tenant_id, scope__in=wanted)
        .filter(
            Q(attempt__gt=1)
            | Q(round__gt=0)
            | Q(status__in=[StepStatus.RUNNING, StepStatus.WAITING, StepStatus.QUEUED])
        )
        .order_by("created_at")
        .values_list("scope", "status", "wait", "attempt", "round", "label", "type")
    )
    found: dict[str, _Doing] = {}
    for scope, status, wait, attempt, round_, label, type_ in rows:
        doing = found.setdefault(scope, _Doing())
        doing.tries = max(doing.tries, attempt + round_)
        if status == StepStatus.WAITING:
            doing.review = doing.review or wait == Wait.REVIEW
            doing.word = {Wait.REVIEW: "to review", Wait.RETRY: "tries again", Wait.DELAY: "waits"}.get(
                Wait(wait), "waits"
            )
        elif status in (StepStatus.RUNNING, StepStatus.QUEUED):
            doing.word = "writing" if type_ == "llm" else label
    return found


def cell_of(item: Item, doings: Mapping[str, _Doing]) -> Cell:
    doing = doings.get(item.item_scope) or _Doing()
    running = item.status == ItemStatus.RUNNING
    took = None
    if item.started_at is not None and item.completed_at is not None and not running:
        took = round((item.completed_at - item.started_at).total_seconds() * 1_000)
    return Cell(
        scope=item.item_scope,
        number=item.index + 1,
        heading=item.heading,
        status=str(item.status),
        retried=item.status == ItemStatus.COMPLETED and doing.tries > 1,
        review=running and doing.review,
        tries=doing.tries if item.started_at is not None else 0,
        word=doing.word if running else "",
        took_ms=took,
        since=item.started_at if running else None,
        tokens=item.tokens,
        cost=item.cost,
        provider=item.provider,
        excerpt=words.one_line(getattr(item, "excerpt", None)),
        reused=item.reused,
    )
