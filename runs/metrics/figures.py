"""Figures of a stretch of time: what runs, steps and model calls came to, and how stretches add up. Pure.

A live run counts when it has ended, on the UTC day of its end; test runs and replays count for money only (07 §4). A call
to a model counts when it ended, whatever its run does. Durations are kept one by one (whole milliseconds), so that
percentiles of any stretch are exact; money is kept in units of 10^-8 US dollars, the database's own.

The document of a stretch (JSON), lists of rows whose first fields are the key:

    runs    [workflow, person, trigger, completed, failed, cancelled, reviewed, [ms of completed runs]]
    steps   [workflow, step, label, type, done, failed, retried, lost ms, limited, fallbacks, [ms]]
    spend   [workflow, person, provider, model, calls, input tokens, output tokens, money]
    causes  [workflow, code, runs, newest run, words, its end (ISO)]
    mended  [ms from a run's first failure to its good end]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from workflows.lib.jsontypes import JSONObject

MONEY_UNIT: Final = Decimal("0.00000001")


@dataclass(slots=True)
class RunFigures:
    """Runs of one workflow that one person started in one way."""

    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    reviewed: int = 0
    durations: list[int] = field(default_factory=list)

    @property
    def ended(self) -> int:
        return self.completed + self.failed + self.cancelled


@dataclass(slots=True)
class StepFigures:
    """One step of a workflow. `lost`: ms from the first try to the beginning of the last; `limited`: steps that met a
    rate limit; `fallbacks`: steps that another model answered. Of a review the durations are waits."""

    label: str
    type: str
    done: int = 0
    failed: int = 0
    retried: int = 0
    lost: int = 0
    limited: int = 0
    fallbacks: int = 0
    durations: list[int] = field(default_factory=list)


@dataclass(slots=True)
class SpendFigures:
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    money: int = 0

    def add(self, other: SpendFigures) -> None:
        self.calls += other.calls
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        self.money += other.money

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    @property
    def cost(self) -> Decimal:
        """US dollars."""
        return self.money * MONEY_UNIT


@dataclass(slots=True)
class CauseFigures:
    runs: int = 0
    newest: str = ""
    words: str = ""
    at: str = ""


RunKey = tuple[str, str, str]
StepKey = tuple[str, str]
SpendKey = tuple[str, str, str, str]
CauseKey = tuple[str, str]


@dataclass(slots=True)
class Figures:
    """Of one stretch of time. Keys: see the module."""

    runs: dict[RunKey, RunFigures] = field(default_factory=dict)
    steps: dict[StepKey, StepFigures] = field(default_factory=dict)
    spend: dict[SpendKey, SpendFigures] = field(default_factory=dict)
    causes: dict[CauseKey, CauseFigures] = field(default_factory=dict)
    mended: list[int] = field(default_factory=list)

    def run(self, workflow: str, person: str, trigger: str) -> RunFigures:
        return self.runs.setdefault((workflow, person, trigger), RunFigures())

    def step(self, workflow: str, key: str, label: str, type: str) -> StepFigures:
        found = self.steps.setdefault((workflow, key), StepFigures(label, type))
        # Renamed since: the newest name is what people look for.
        found.label, found.type = label, type
        return found

    def spent(self, workflow: str, person: str, provider: str, model: str) -> SpendFigures:
        return self.spend.setdefault((workflow, person, provider, model), SpendFigures())

    def cause(self, workflow: str, code: str) -> CauseFigures:
        return self.causes.setdefault((workflow, code), CauseFigures())

    def of_workflows(self, workflows: frozenset[str]) -> Figures:
        """The part of these workflows. What mends is not kept per workflow and is left out."""
        return Figures(
            {key: value for key, value in self.runs.items() if key[0] in workflows},
            {key: value for key, value in self.steps.items() if key[0] in workflows},
            {key: value for key, value in self.spend.items() if key[0] in workflows},
            {key: value for key, value in self.causes.items() if key[0] in workflows},
        )

    # --- sums -----------------------------------------------------------------------------------

    @property
    def completed(self) -> int:
        return sum(group.completed for group in self.runs.values())

    @property
    def failed(self) -> int:
        return sum(group.failed for group in self.runs.values())

    @property
    def ended(self) -> int:
        return sum(group.ended for group in self.runs.values())

    @property
    def reviewed(self) -> int:
        return sum(group.reviewed for group in self.runs.values())

    @property
    def success(self) -> float | None:
        """Completed of those that completed or failed, 0 to 1; cancelled ones say nothing. None: none ended."""
        decided = self.completed + self.failed
        return self.completed / decided if decided else None

    @property
    def cost(self) -> Decimal:
        return sum(group.money for group in self.spend.values()) * MONEY_UNIT

    def durations(self) -> list[int]:
        """Of completed runs, sorted."""
        return merged(group.durations for group in self.runs.values())


def merged(lists: Iterable[list[int]]) -> list[int]:
    """One sorted list; quick where the parts are sorted."""
    found: list[int] = []
    for part in lists:
        found.extend(part)
    found.sort()
    return found


def percentile(ordered: list[int], part: float) -> int | None:
    """The nearest rank: the smallest value that `part` (0 to 1) of all do not exceed. None of nothing."""
    if not ordered:
        return None
    rank = -(-len(ordered) * round(part * 1_000) // 1_000)
    return ordered[max(rank, 1) - 1]


def total(stretches: Iterable[Figures]) -> Figures:
    """The sum, oldest first: of two names the later one stays."""
    found = Figures()
    for stretch in stretches:
        for (workflow, person, trigger), group in stretch.runs.items():
            runs = found.run(workflow, person, trigger)
            runs.completed += group.completed
            runs.failed += group.failed
            runs.cancelled += group.cancelled
            runs.reviewed += group.reviewed
            runs.durations.extend(group.durations)
        for (workflow, key), one in stretch.steps.items():
            step = found.step(workflow, key, one.label, one.type)
            step.done += one.done
            step.failed += one.failed
            step.retried += one.retried
            step.lost += one.lost
            step.limited += one.limited
            step.fallbacks += one.fallbacks
            step.durations.extend(one.durations)
        for spend_key, spend in stretch.spend.items():
            found.spend.setdefault(spend_key, SpendFigures()).add(spend)
        for cause_key, reason in stretch.causes.items():
            cause = found.causes.setdefault(cause_key, CauseFigures())
            cause.runs += reason.runs
            cause.newest, cause.words, cause.at = reason.newest, reason.words, reason.at
        found.mended.extend(stretch.mended)
    return found


# --- documents ----------------------------------------------------------------------------------


def as_document(figures: Figures) -> JSONObject:
    return {
        "runs": [
            [*key, one.completed, one.failed, one.cancelled, one.reviewed, sorted(one.durations)]
            for key, one in figures.runs.items()
        ],
        "steps": [
            [
                *key,
                one.label,
                one.type,
                one.done,
                one.failed,
                one.retried,
                one.lost,
                one.limited,
                one.fallbacks,
                sorted(one.durations),
            ]
            for key, one in figures.steps.items()
        ],
        "spend": [
            [*key, one.calls, one.input_tokens, one.output_tokens, one.money]
            for key, one in figures.spend.items()
        ],
        "causes": [[*key, one.runs, one.newest, one.words, one.at] for key, one in figures.causes.items()],
        "mended": list(figures.mended),
    }


def of_document(document: JSONObject) -> Figures:
    def rows(name: str) -> Iterator[list[Any]]:
        return iter(document.get(name) or ())

    return Figures(
        {(row[0], row[1], row[2]): RunFigures(*row[3:]) for row in rows("runs")},
        {(row[0], row[1]): StepFigures(*row[2:]) for row in rows("steps")},
        {(row[0], row[1], row[2], row[3]): SpendFigures(*row[4:]) for row in rows("spend")},
        {(row[0], row[1]): CauseFigures(*row[2:]) for row in rows("causes")},
        [int(ms) for ms in rows("mended")],  # type: ignore[call-overload]
    )
