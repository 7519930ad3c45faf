"""How a benchmark says what it measured: value, floor, ratio, target, and honestly whether the target is met."""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

# Set by `python -m bench`: the file to which every section adds its rows, for the summary in the end.
RESULTS = "BENCH_RESULTS"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a benchmark: `met` None means that nothing is promised about it."""

    section: str
    name: str
    value: str
    met: bool | None


def section(title: str) -> None:
    """The heading of a group of rows, with the machine's load, without which no number can be judged."""
    global _section
    _section = title
    load = os.getloadavg()[0]
    print(f"\n{title}   [{os.cpu_count()} cores, load {load:.1f}]", flush=True)


_section = ""


def row(
    name: str,
    value: float,
    unit: str,
    *,
    floor: float | None = None,
    target: float | None = None,
    target_ratio: float | None = None,
    at_least: bool = False,
    note: str = "",
) -> None:
    """Print one line. `target` is in the value's unit, `target_ratio` in floors; `at_least`: more is better."""
    shown = f"{_number(value)} {unit}"
    line = f"  {name:<52} {shown:>14}"
    ratio = value / floor if floor else None
    line += f"  = {ratio:6.2f} x floor {_number(floor)}" if ratio is not None and floor is not None else ""
    met: bool | None = None
    asked, said = (ratio, target_ratio) if target_ratio is not None else (value, target)
    if asked is not None and said is not None:
        met = asked >= said if at_least else asked <= said
        sign = ">=" if at_least else "<="
        line += f"  target {sign} {said:g}{' x' if target_ratio is not None else ' ' + unit}: {'met' if met else 'MISSED'}"
    if note:
        line += f"  ({note})"
    _keep(Row(_section, name, shown, met), line)


def equal(name: str, values: Sequence[int], unit: str, *, note: str = "") -> None:
    """Print a line about counts that must be the same whatever the size: the number of queries of a page."""
    met = len(set(values)) == 1
    shown = " / ".join(str(value) for value in values)
    line = f"  {name:<52} {shown + ' ' + unit:>14}  target equal: {'met' if met else 'MISSED'}"
    _keep(Row(_section, name, f"{shown} {unit}", met), line + (f"  ({note})" if note else ""))


def absent(name: str, why: str) -> None:
    """Say that something is not measured, and why: silence would look like success."""
    _keep(Row(_section, name, "not measured", None), f"  {name:<52} not measured: {why}")


def _keep(entry: Row, line: str) -> None:
    print(line, flush=True)
    if path := os.environ.get(RESULTS):
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps([entry.section, entry.name, entry.value, entry.met]) + "\n")


def _number(value: float) -> str:
    if value >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.3f}"


# --- taking times -----------------------------------------------------------------------------------


def milliseconds(work: Callable[[], object], *, times: int = 5) -> float:
    """The median time of one call, after one call that does not count."""
    work()
    return statistics.median(once(work) for _ in range(times))


def once(work: Callable[[], object]) -> float:
    """The time of one call, in ms."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1_000


def spent(
    name: str,
    ask: Callable[[], Any],
    *,
    target: float | None,
    ready: Callable[[], object] = lambda: None,
    expect: int = 200,
    times: int = 5,
) -> int:
    """Print the median processor time of a request, with the clock's, its queries and its size; the number of queries.

    Processor time is what a page costs whoever else is on the machine; `ready` comes before each and is not counted.
    """
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    ready()
    answer = ask()
    if answer.status_code != expect:
        raise RuntimeError(
            f"{name}: the answer is {answer.status_code}, not {expect}: {answer.content[:300]!r}"
        )
    counts = []
    for _ in range(2):
        # The fewer of two: what is known for some seconds only is looked up again now and then.
        ready()
        with CaptureQueriesContext(connection) as queries:
            size = len(ask().content)
            # Counted now: the next request empties the list.
            counts.append(len(queries))
    asked = min(counts)
    taken: list[tuple[float, float]] = []
    for _ in range(times):
        ready()
        clock, processor = time.perf_counter(), time.process_time()
        ask()
        taken.append((time.process_time() - processor, time.perf_counter() - clock))
    processor, clock = (statistics.median(values) * 1_000 for values in zip(*taken, strict=True))
    row(
        name,
        processor,
        "ms",
        target=target,
        note=f"{clock:.0f} ms on the clock, {asked} queries, {size / 1_000:,.0f} kB",
    )
    return asked


def microseconds(work: Callable[[], object], *, rounds: int = 2_000) -> float:
    """The mean time of one of many calls: for work that is too short to be timed alone. Best of three."""

    def many() -> None:
        for _ in range(rounds):
            work()

    work()
    return min(once(many) for _ in range(3)) * 1_000 / rounds


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]
