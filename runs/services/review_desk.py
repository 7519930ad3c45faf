"""The inbox of reviews as values: what waits, for whom, since when, in which order. A fixed number of queries."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from runs.engine.scopes import indexes_of
from runs.models import Review
from runs.selectors import open_reviews, people
from runs.services.absences import stands_in_for
from runs.services.viewing import is_for_person, voted_by
from runs.snapshots.items import item_names
from runs.snapshots.words import one_line, text_of
from workflows.lib.clock import utc_now
from workflows.models import Workflow
from workflows.tenancy.actor import Actor

# The list is worked off, not browsed: what is further down comes up as the rest is decided.
SHOWN: Final = 100


@dataclass(frozen=True, slots=True)
class DeskFilter:
    """`show`: "" (mine, then others), "mine", "overdue"."""

    show: str = ""
    workflow: UUID | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One waiting gate in the list. `overdue`: since when it should have been decided; None: it is in time."""

    review: Review
    item: str
    line: str
    mine: bool
    who: str
    overdue: datetime | None


@dataclass(frozen=True, slots=True)
class Desk:
    """`listed`: how many of mine fit the filter. `order`: ids of every gate that fits the filter, as they stand in the list; `entries` are the first of them."""

    filter: DeskFilter
    entries: tuple[Entry, ...]
    order: tuple[UUID, ...]
    mine_count: int
    all_count: int
    overdue_count: int
    listed: int
    workflows: tuple[tuple[UUID, str, int], ...]
    by_run: dict[UUID, int]

    @property
    def mine(self) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.mine)

    @property
    def others(self) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if not entry.mine)

    @property
    def more(self) -> int:
        return len(self.order) - len(self.entries)

    def beside(self, review: UUID) -> tuple[UUID | None, UUID | None]:
        """The gates before and after this one; one that is not in the list has the first after it."""
        if review not in self.order:
            return None, next((one for one in self.order), None)
        place = self.order.index(review)
        before = self.order[place - 1] if place else None
        return before, self.order[place + 1] if place + 1 < len(self.order) else None


def desk_order(actor: Actor, wanted: DeskFilter) -> tuple[UUID, ...]:
    """Ids of the waiting gates that fit, mine before others', by due date, then oldest first. Three queries."""
    return _read(actor, wanted)[0]


def desk_news(actor: Actor, wanted: DeskFilter) -> tuple[tuple[UUID, ...], dict[str, int]]:
    """The same ids, and how many wait: `all`, `mine`, `overdue` whatever the filter, `listed` of mine within it.
    Three queries."""
    order, _, _, counts, _, _ = _read(actor, wanted)
    return order, {name: counts[name] for name in ("all", "mine", "overdue", "listed")}


def desk(actor: Actor, wanted: DeskFilter) -> Desk:
    """The inbox. Six queries at most, however many gates wait."""
    order, mine, voted, counts, by_workflow, by_run = _read(actor, wanted)
    now = utc_now()
    found = {review.pk: review for review in open_reviews(actor.tenant).filter(pk__in=order[:SHOWN])}
    reviews = [found[pk] for pk in order[:SHOWN] if pk in found]
    items = item_names(reviews)
    names = dict(
        Workflow.objects.for_tenant(actor.tenant).filter(pk__in=by_workflow).values_list("pk", "name")
    )
    entries = tuple(
        Entry(
            review=review,
            item=items.get(review.pk, ""),
            line=one_line(text_of(review.content)) or review.instructions,
            mine=review.pk in mine,
            who="You have decided" if review.pk in voted else people(review.assignees),
            overdue=review.due_at if review.due_at is not None and review.due_at < now else None,
        )
        for review in reviews
    )
    return Desk(
        filter=wanted,
        entries=entries,
        order=order,
        mine_count=counts["mine"],
        all_count=counts["all"],
        overdue_count=counts["overdue"],
        listed=counts["listed"],
        workflows=tuple(
            sorted(
                ((pk, names.get(pk, ""), number) for pk, number in by_workflow.items()),
                key=lambda one: one[1].casefold(),
            )
        ),
        by_run=dict(by_run),
    )


def _read(
    actor: Actor, wanted: DeskFilter
) -> tuple[tuple[UUID, ...], frozenset[UUID], frozenset[UUID], Counter[str], Counter[UUID], Counter[UUID]]:
    now = utc_now()
    far = datetime.max.replace(tzinfo=now.tzinfo)
    gates = open_reviews(actor.tenant).select_related(None).order_by()
    counts: Counter[str] = Counter()
    by_workflow: Counter[UUID] = Counter()
    by_run: Counter[UUID] = Counter()
    found: list[tuple[bool, datetime, datetime, UUID, tuple[int, ...], UUID]] = []
    mine: set[UUID] = set()
    rows = list(
        gates.values_list(
            "pk",
            "workflow_id",
            "run_id",
            "quorum",
            "assignees",
            "bar_starter",
            "run__started_by_id",
            "due_at",
            "created_at",
            "step_run__scope",
        )
    )
    away = stands_in_for(actor) if any(row[4] for row in rows) else frozenset()
    voted = voted_by(actor) if any(row[3] > 1 for row in rows) else frozenset()
    for pk, workflow, run, _, named, bars, starter, due, created, scope in rows:
        own = pk not in voted and is_for_person(named, bars, starter, actor, away)
        late = due is not None and due < now
        counts["all"] += 1
        counts["mine"] += own
        counts["overdue"] += late
        by_workflow[workflow] += 1
        if own:
            mine.add(pk)
            by_run[run] += 1
        fits = own if wanted.show == "mine" else late if wanted.show == "overdue" else True
        if fits and wanted.workflow in (None, workflow):
            # Items of one run open together; they stand as they are numbered.
            counts["listed"] += own
            found.append((not own, due or far, created, run, indexes_of(scope or ""), pk))
    order = tuple(entry[-1] for entry in sorted(found))
    return order, frozenset(mine), voted, counts, by_workflow, by_run
