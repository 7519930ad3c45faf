"""What a dashboard has to say, worked out from the facts of a generated history with plain loops: nothing of the product's
own counting is used, only its words for a duration and for money."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from tests.support.generated import RunFact
from workflows.templatetags.ui import format_duration, format_money

Costs = dict[tuple[str, ...], tuple[int, int, Decimal]]


@dataclass(frozen=True)
class Window:
    """`buckets` hours or days (`length`) that end with the one in which `now` lies."""

    now: datetime
    buckets: int
    length: timedelta

    @property
    def last(self) -> datetime:
        midnight = self.now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        return midnight if self.length == timedelta(hours=1) else midnight.replace(hour=0)

    @property
    def first(self) -> datetime:
        return self.last - (self.buckets - 1) * self.length

    @property
    def before(self) -> datetime:
        return self.first - self.buckets * self.length

    def place(self, moment: datetime) -> int:
        return (moment - self.first) // self.length


def rank(values: Iterable[int], per_thousand: int) -> int | None:
    """The smallest value that so many of a thousand do not exceed."""
    ordered = sorted(values)
    if not ordered:
        return None
    return ordered[max(math.ceil(len(ordered) * per_thousand / 1_000), 1) - 1]


@dataclass(frozen=True)
class Expected:
    """The numbers of a window, and of the one before it where they are compared."""

    window: Window
    live: Sequence[RunFact]
    live_before: Sequence[RunFact]
    called: Sequence[RunFact]
    called_before: Sequence[RunFact]

    @staticmethod
    def of(facts: Sequence[RunFact], window: Window) -> Expected:
        def ended(since: datetime, until: datetime) -> list[RunFact]:
            return [fact for fact in facts if fact.kind == "live" and since <= fact.ended < until]

        def called(since: datetime, until: datetime) -> list[RunFact]:
            return [fact for fact in facts if since <= fact.called < until]

        end = window.last + window.length
        return Expected(
            window,
            ended(window.first, end),
            ended(window.before, window.first),
            called(window.first, end),
            called(window.before, window.first),
        )

    def tiles(self, hourly: bool, against: str) -> list[tuple[str, str]]:
        """Value and words of the four numbers, for a tenant without a monthly budget."""
        now, then = success(self.live), success(self.live_before)
        share = "–" if now is None else f"{100 * now:.1f}%"
        within, before = within_95(self.live), within_95(self.live_before)
        spent, spent_before = cost(self.called), cost(self.called_before)
        return [
            (share, self._share_words(now, then, against)),
            (f"{len(self.live):,}", self._busiest(hourly)),
            ("–" if within is None else format_duration(within), _time_words(within, before, against)),
            (format_money(spent, 2), _money_words(spent, spent_before, against)),
        ]

    def _share_words(self, now: float | None, then: float | None, against: str) -> str:
        if now is None or then is None:
            return _nothing(then is None and now is not None)
        points = round((now - then) * 100, 1)
        if not points:
            return f"as {against}"
        return f"{abs(points):.1f} points {'better' if points > 0 else 'worse'} than {against}"

    def _busiest(self, hourly: bool) -> str:
        if not self.live:
            return "none ended in this time"
        counts = Counter(self.window.place(fact.ended) for fact in self.live if fact.status != "cancelled")
        place = min(range(self.window.buckets), key=lambda one: (-counts[one], one))
        start = self.window.first + place * self.window.length
        if hourly:
            return f"busiest from {start:%H}:00 UTC"
        name = f"{start:%A}" if self.window.buckets <= 7 else f"{start.day} {start:%B}"
        a_day = len(self.live) / self.window.buckets
        return f"{a_day:,.0f} a day, busiest on {name}" if a_day >= 1 else f"busiest on {name}"

    def bars(self) -> list[tuple[datetime, int, int, int, Decimal]]:
        """(start, good without review, reviewed, failed, spent) of each hour or day."""
        good, reviewed, failed = Counter[int](), Counter[int](), Counter[int]()
        spent: dict[int, Decimal] = defaultdict(Decimal)
        for fact in self.live:
            place = self.window.place(fact.ended)
            if fact.status == "completed":
                (reviewed if fact.reviewed else good)[place] += 1
            elif fact.status == "failed":
                failed[place] += 1
        for fact in self.called:
            spent[self.window.place(fact.called)] += fact.cost
        return [
            (self.window.first + n * self.window.length, good[n], reviewed[n], failed[n], spent[n])
            for n in range(self.window.buckets)
        ]

    def kinds(self) -> dict[str, tuple[int | None, int | None, int, bool]]:
        """By kind of step: typical ms, 95% within ms, how many, and whether it became slower."""
        now, then = _times(self.live), _times(self.live_before)
        found: dict[str, tuple[int | None, int | None, int, bool]] = {}
        for kind, times in now.items():
            within, before = rank(times, 950) or 0, rank(then.get(kind, ()), 950)
            slower = before is not None and before > 0 and within > before * 1.15
            found[kind] = (rank(times, 500), within, len(times), slower)
        return found

    def costs(self, part: Callable[[RunFact], tuple[str, ...]]) -> Costs:
        """Calls, tokens and dollars by a part of each call."""
        found: Costs = {}
        for fact in self.called:
            calls, tokens, spent = found.get(part(fact), (0, 0, Decimal(0)))
            found[part(fact)] = (calls + 1, tokens + sum(fact.tokens), spent + fact.cost)
        return found

    def causes(self) -> dict[str, tuple[int, set[str], str]]:
        """By code: how many runs, in which workflows, and the id of the newest."""
        found: dict[str, list[RunFact]] = defaultdict(list)
        for fact in self.live:
            if fact.status == "failed":
                found[fact.cause].append(fact)
        return {
            code: (
                len(rows),
                {row.workflow.name for row in rows},
                str(max(rows, key=lambda row: row.ended).id),
            )
            for code, rows in found.items()
        }

    def mended(self) -> tuple[int, int] | None:
        times = [fact.mended_ms for fact in self.live if fact.mended_ms is not None]
        typical = rank(times, 500)
        return None if typical is None else (len(times), typical)

    def people(self) -> Counter[str]:
        """Who started how many, by primary key; nothing for a trigger."""
        return Counter(str(fact.person.pk) if fact.person else "" for fact in self.live)

    def hours_saved(self, minutes: int) -> Decimal:
        return Decimal(minutes * sum(fact.status == "completed" for fact in self.live)) / 60

    def limited(self) -> list[tuple[str, int, int, int]]:
        """(workflow, steps that met a limit, tries, ms lost in all) where they are many, the most lost first."""
        steps: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
        for fact in self.live:
            for step in fact.steps:
                if step.type == "llm":
                    entry = steps[fact.workflow.name]
                    entry[0] += step.tries > 1
                    entry[1] += 1
                    entry[2] += step.lost_ms
        rows = [(name, hit, tries, lost) for name, (hit, tries, lost) in steps.items()]
        return sorted(
            [row for row in rows if row[1] >= 3 and row[1] >= 0.05 * row[2]], key=lambda row: -row[3]
        )


def success(live: Sequence[RunFact]) -> float | None:
    good = sum(fact.status == "completed" for fact in live)
    failed = sum(fact.status == "failed" for fact in live)
    return good / (good + failed) if good + failed else None


def within_95(live: Sequence[RunFact]) -> int | None:
    return rank((fact.ms for fact in live if fact.status == "completed"), 950)


def cost(called: Sequence[RunFact]) -> Decimal:
    return sum((fact.cost for fact in called), Decimal(0))


def _times(live: Sequence[RunFact]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for fact in live:
        for step in fact.steps:
            if step.status == "completed" and step.type != "review":
                found[step.type].append(step.ms)
    return found


def _nothing(is_new: bool) -> str:
    return "nothing to compare it with yet" if is_new else "none ended in this time"


def _time_words(now: int | None, then: int | None, against: str) -> str:
    if now is None or then is None:
        return _nothing(then is None and now is not None)
    if format_duration(now) == format_duration(then):
        return f"as {against}"
    return f"{format_duration(abs(now - then))} {'slower' if now > then else 'faster'} than {against}"


def _money_words(now: Decimal, then: Decimal, against: str) -> str:
    if not now and not then:
        return "no model was paid"
    if not then:
        return _nothing(True)
    if format_money(now, 2) == format_money(then, 2):
        return f"as {against}"
    return f"{format_money(abs(now - then), 2)} {'more' if now > then else 'less'} than {against}"
