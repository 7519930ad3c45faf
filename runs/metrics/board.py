"""What a dashboard says about a stretch of time, beside the stretch before it: figures, bars, tips. Pure.

Words are made here, so that the page and its table say the same. Times are UTC.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from runs.metrics.figures import Figures, SpendFigures, StepFigures, merged, percentile, total

DAY: Final = timedelta(days=1)
REVIEW: Final = "review"
# A kind of step is called slower when nine of ten tries are by so much.
_SLOWER: Final = 1.15
_TIPS: Final = 5
_COSTS: Final = 12


@dataclass(frozen=True, slots=True)
class Period:
    """`buckets` hours or days up to now. `before` names the stretch that it is compared to."""

    key: str
    label: str
    buckets: int
    hourly: bool
    before: str


PERIODS: Final = {
    "24h": Period("24h", "24 h", 24, True, "the day before"),
    "7d": Period("7d", "7 days", 7, False, "the week before"),
    "30d": Period("30d", "30 days", 30, False, "the 30 days before"),
    "90d": Period("90d", "90 days", 90, False, "the 90 days before"),
}


@dataclass(frozen=True, slots=True)
class Change:
    """How a figure went: `tone` is "good", "bad" or nothing; `up` draws the arrow (None: no arrow)."""

    words: str
    tone: str = ""
    up: bool | None = None


@dataclass(frozen=True, slots=True)
class Bar:
    start: datetime
    good: int
    reviewed: int
    failed: int
    cost: Decimal

    @property
    def succeeded(self) -> int:
        return self.good + self.reviewed

    @property
    def all(self) -> int:
        return self.succeeded + self.failed


@dataclass(frozen=True, slots=True)
class Kind:
    """Time per kind of step, in ms; `share` and `wide` are the bars' lengths in per cent of the longest."""

    type: str
    typical: int
    within: int
    count: int
    share: float
    wide: float
    slower: bool


@dataclass(frozen=True, slots=True)
class Tip:
    """Something that costs time, money or runs. `weight`: ms lost in all, by which tips are ordered."""

    kind: str
    workflow: str
    step: str
    label: str
    weight: float
    part: float = 0.0
    ms: int = 0
    count: int = 0


@dataclass(frozen=True, slots=True)
class CostRow:
    key: tuple[str, ...]
    spend: SpendFigures
    share: float
    trend: tuple[Decimal, ...] = ()


@dataclass(frozen=True, slots=True)
class CauseRow:
    code: str
    runs: int
    workflows: tuple[str, ...]
    newest: str
    words: str


@dataclass(frozen=True, slots=True)
class Board:
    period: Period
    current: Figures
    previous: Figures
    bars: tuple[Bar, ...]

    # --- the four figures -----------------------------------------------------------------------

    @property
    def within(self) -> int | None:
        """95% of the completed runs took at most so many ms."""
        return percentile(self.current.durations(), 0.95)

    @property
    def success_change(self) -> Change:
        now, then = self.current.success, self.previous.success
        if now is None or then is None:
            return _nothing(then is None and now is not None)
        points = round((now - then) * 100, 1)
        if not points:
            return Change(f"as {self.period.before}")
        word = "better" if points > 0 else "worse"
        return Change(
            f"{abs(points):.1f} points {word} than {self.period.before}",
            "good" if points > 0 else "bad",
            points > 0,
        )

    @property
    def runs_words(self) -> str:
        if not self.current.ended:
            return "none ended in this time"
        busiest = max(self.bars, key=lambda bar: bar.all)
        if self.period.hourly:
            return f"busiest from {busiest.start:%H}:00 UTC"
        a_day = self.current.ended / self.period.buckets
        name = f"{busiest.start:%A}" if self.period.buckets <= 7 else f"{busiest.start:%-d %B}"
        return f"{a_day:,.0f} a day, busiest on {name}" if a_day >= 1 else f"busiest on {name}"

    def within_change(self, say: Callable[[float], str]) -> Change:
        """`say` writes milliseconds in words."""
        now, then = self.within, percentile(self.previous.durations(), 0.95)
        if now is None or then is None:
            return _nothing(then is None and now is not None)
        # What reads the same is the same.
        if say(now) == say(then):
            return Change(f"as {self.period.before}")
        word = "slower" if now > then else "faster"
        tone = "bad" if now > then else "good"
        return Change(f"{say(abs(now - then))} {word} than {self.period.before}", tone, now > then)

    def cost_change(self, say: Callable[[Decimal], str]) -> Change:
        now, then = self.current.cost, self.previous.cost
        if not now and not then:
            return Change("no model was paid")
        if not then:
            return _nothing(True)
        if say(now) == say(then):
            return Change(f"as {self.period.before}")
        word = "more" if now > then else "less"
        return Change(f"{say(abs(now - then))} {word} than {self.period.before}", "", now > then)

    def spark(self, value: Callable[[Bar], float | None]) -> str:
        """The path of a figure over the bars, in a box of 96 × 38."""
        values = [value(bar) for bar in self.bars]
        known = [one for one in values if one is not None]
        if len(known) < 2:
            return ""
        low, high = min(known), max(known)
        wide = 94.3 / max(len(values) - 1, 1)
        points = []
        for place, one in enumerate(values):
            if one is not None:
                y = 19.0 if high == low else 34.0 - 30.0 * float(one - low) / float(high - low)
                points.append(f"{place * wide:.1f} {y:.1f}")
        return "M" + "L".join(points)

    # --- lists ----------------------------------------------------------------------------------

    def kinds(self) -> list[Kind]:
        """Slowest first; what people take to decide is no step's time."""
        now, then = _by_type(self.current), _by_type(self.previous)
        found = []
        longest = max((percentile(times, 0.95) or 0 for times in now.values()), default=0) or 1
        for type_, times in now.items():
            typical, within = percentile(times, 0.5) or 0, percentile(times, 0.95) or 0
            before = percentile(then.get(type_, []), 0.95)
            slower = before is not None and before > 0 and within > before * _SLOWER
            found.append(
                Kind(
                    type_,
                    typical,
                    within,
                    len(times),
                    100 * typical / longest,
                    100 * within / longest,
                    slower,
                )
            )
        return sorted(found, key=lambda kind: -kind.within)

    def tips(self) -> list[Tip]:
        """What to mend first."""
        found = [
            tip
            for (workflow, key), step in self.current.steps.items()
            if (tip := _tip(workflow, key, step)) is not None
        ]
        found += self._slow_steps({(tip.workflow, tip.step) for tip in found})
        return sorted(found, key=lambda tip: -tip.weight)[:_TIPS]

    def _slow_steps(self, named: set[tuple[str, str]]) -> list[Tip]:
        """Of each workflow the step that takes most of its time, where it is a good part of it."""
        times: dict[str, list[tuple[int, str, StepFigures]]] = defaultdict(list)
        for (workflow, key), step in self.current.steps.items():
            if step.type != REVIEW:
                times[workflow].append((sum(step.durations), key, step))
        found = []
        for workflow, steps in times.items():
            everything = sum(ms for ms, _, _ in steps)
            ms, key, step = max(steps, key=lambda entry: entry[0])
            typical = percentile(sorted(step.durations), 0.5) or 0
            if (
                len(steps) > 1
                and ms >= 0.5 * everything
                and typical >= 10_000
                and (workflow, key) not in named
            ):
                # Half of it could perhaps be saved; what is surely lost comes first.
                tip = Tip(
                    "slow", workflow, key, step.label, ms / 4, ms / everything, typical, len(step.durations)
                )
                found.append(tip)
        return found

    def costs(self, part: Callable[[tuple[str, str, str, str]], tuple[str, ...]]) -> list[CostRow]:
        """Dearest first, by a part of the key (workflow, person, provider, model)."""
        sums: dict[tuple[str, ...], SpendFigures] = {}
        for key, spend in self.current.spend.items():
            sums.setdefault(part(key), SpendFigures()).add(spend)
        most = max((spend.money for spend in sums.values()), default=0) or 1
        rows = [CostRow(key, spend, 100 * spend.money / most) for key, spend in sums.items()]
        return sorted(rows, key=lambda row: (-row.spend.money, -row.spend.tokens, row.key))[:_COSTS]

    def causes(self) -> list[CauseRow]:
        """Most frequent first, over all workflows; each with the newest of its runs."""
        by_code: dict[str, CauseRow] = {}
        # The one that ended last comes last, so that its run and words stay.
        for (workflow, code), cause in sorted(self.current.causes.items(), key=lambda entry: entry[1].at):
            row = by_code.get(code)
            by_code[code] = CauseRow(
                code,
                cause.runs + (row.runs if row else 0),
                (*(row.workflows if row else ()), workflow),
                cause.newest,
                cause.words,
            )
        return sorted(by_code.values(), key=lambda row: -row.runs)

    @property
    def mended(self) -> tuple[int, int] | None:
        """How many failed runs came to a good end, and the typical time that took in ms."""
        typical = percentile(sorted(self.current.mended), 0.5)
        return None if typical is None else (len(self.current.mended), typical)

    def people(self) -> list[tuple[str, int]]:
        """Who started how many of the runs that ended, most first."""
        counts: dict[str, int] = defaultdict(int)
        for (_, person, _), group in self.current.runs.items():
            counts[person] += group.ended
        return sorted(counts.items(), key=lambda entry: -entry[1])

    def completed_by_workflow(self) -> dict[str, int]:
        counts: dict[str, int] = defaultdict(int)
        for (workflow, _, _), group in self.current.runs.items():
            counts[workflow] += group.completed
        return dict(counts)


def board(period: Period, stretches: Mapping[datetime, Figures]) -> Board:
    """Of twice as many stretches as the period has, oldest first: the first half is what it is compared to."""
    starts = sorted(stretches)
    half = len(starts) - period.buckets
    current: Sequence[datetime] = starts[half:]
    bars = tuple(_bar(start, stretches[start]) for start in current)
    return Board(
        period,
        total(stretches[start] for start in current),
        total(stretches[start] for start in starts[:half]),
        bars,
    )


def _bar(start: datetime, figures: Figures) -> Bar:
    reviewed = figures.reviewed
    return Bar(start, figures.completed - reviewed, reviewed, figures.failed, figures.cost)


def _nothing(is_new: bool) -> Change:
    return Change("nothing to compare it with yet" if is_new else "none ended in this time")


def _by_type(figures: Figures) -> dict[str, list[int]]:
    parts: dict[str, list[list[int]]] = defaultdict(list)
    for step in figures.steps.values():
        if step.type != REVIEW and step.durations:
            parts[step.type].append(step.durations)
    return {type_: merged(lists) for type_, lists in parts.items()}


def _tip(workflow: str, key: str, step: StepFigures) -> Tip | None:
    tries = step.done + step.failed
    if step.limited >= 3 and step.limited >= 0.05 * tries:
        each = step.lost // max(step.retried, 1)
        return Tip("limited", workflow, key, step.label, step.lost, step.limited / tries, each, step.limited)
    if step.type == REVIEW and len(step.durations) >= 3:
        typical = percentile(sorted(step.durations), 0.5) or 0
        if typical >= 3_600_000:
            # A wait holds nobody up as work does: it counts a tenth.
            weight = sum(step.durations) / 10
            return Tip("wait", workflow, key, step.label, weight, 0.0, typical, len(step.durations))
    if step.failed >= 3 and step.failed >= 0.05 * tries:
        return Tip(
            "failing", workflow, key, step.label, 60_000.0 * step.failed, step.failed / tries, 0, step.failed
        )
    return None
