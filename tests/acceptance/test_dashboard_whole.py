"""Every number and table of the dashboard equals what plain loops make of the facts: stored or read, after late runs, for
people in other time zones across both changes of the clock, and after old runs were deleted.

`STEPWELL_PROOFS=1` takes 100,000 runs (`PROOF_RUNS` says another number), CI some hundreds.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import pytest
from django.test import Client

from runs.models import RetentionPolicy, Run
from runs.services.retention import prune_runs
from runs.services.roll_up import roll_up
from tests.support import factories, runs
from tests.support.by_hand import Expected, Window
from tests.support.factories import World, bearer, client_of, key_of
from tests.support.generated import RunFact, facts, store
from workflows.lib.ids import new_id
from workflows.models import Workflow, WorkflowVersion
from workflows.providers import registry as providers
from workflows.templatetags.ui import format_duration, format_money
from workflows.tenancy.models import Project

pytestmark = pytest.mark.django_db

IS_PROOF: Final = os.environ.get("STEPWELL_PROOFS") == "1"
RUNS: Final = int(os.environ.get("PROOF_RUNS", "100000")) if IS_PROOF else 300
# 116 days of a run every 100 s; in CI fewer days of far fewer.
APART: Final = timedelta(days=116 if IS_PROOF else 64) / RUNS
# A Thursday; in the 90 days before, clocks changed in New York (8 March) and in Berlin (29 March), then in Auckland (5 April).
NOW: Final = datetime(2026, 4, 9, 0, 40, tzinfo=UTC)
PERIODS: Final = {
    "24h": (24, timedelta(hours=1), "the day before"),
    "7d": (7, timedelta(days=1), "the week before"),
    "30d": (30, timedelta(days=1), "the 30 days before"),
    "90d": (90, timedelta(days=1), "the 90 days before"),
}
# CI looks at one by the hour and one by the day, and at the tables of cost on the latter.
LOOKED_AT: Final = tuple(PERIODS) if IS_PROOF else ("24h", "30d")
MINUTES: Final = 20
_ROW: Final = re.compile(
    r'<tr><th scope="row">[^<]*</th><td class="r num">(\d+)</td><td class="r num">(\d+)</td><td class="r num">(\d+)</td>'
)


@pytest.fixture
def history(world: World, monkeypatch: pytest.MonkeyPatch) -> list[RunFact]:
    # Before the browser signs in: its session would be over else.
    monkeypatch.setattr("django.utils.timezone.now", lambda: NOW)
    tenant = world.bob.tenant
    project = Project.objects.create(tenant=tenant, name="Desk")
    names = ("Outline", "Triage", "Summary", "Returns")
    made = [
        factories.workflow(
            tenant,
            name,
            settings={"minutes_saved": MINUTES},
            project=project if place < 2 else None,
            created_at=NOW - timedelta(days=12 * place),
        )
        for place, name in enumerate(names)
    ]
    people = [actor.user for actor in (world.bob, world.alice, world.rita) if actor.user is not None]
    found = list(facts(11, RUNS, made, people, NOW - timedelta(minutes=1), APART))
    store(tenant, found, _versions(made))
    return found


def _versions(made: Sequence[Workflow]) -> dict[Any, WorkflowVersion]:
    graph = runs.graph(runs.step("clean", "clean_text"), runs.step("ask", "llm"))
    return {row.pk: row.versions.first() or runs.version(row, graph) for row in made}


def test_every_number_of_the_dashboard_is_what_hands_count(world: World, history: list[RunFact]):
    assert world.vera.user is not None
    client = client_of(world.vera)
    # Ninety days of rows are read again for each of seven pages: what is stored first is what people wait for.
    check_all(client, history, "read from the rows", LOOKED_AT[:3])
    while roll_up(NOW, at_once=1_000):
        pass
    check_all(client, history, "stored")

    # Runs that took days, and some whose end was written into days that were stored already.
    late = [
        replace(fact, id=new_id(), started=fact.started - timedelta(days=3), ended=fact.ended)
        for fact in history[5 : len(history) : max(len(history) // 60, 1)]
    ]
    store(world.bob.tenant, late, _versions([fact.workflow for fact in late]))
    history = [*history, *late]
    while roll_up(NOW, at_once=1_000):
        pass
    check_all(client, history, "with runs that ended late")

    pages: dict[str, set[str]] = {}
    for zone in ("", "America/New_York", "Europe/Berlin", "Pacific/Auckland"):
        world.vera.user.time_zone = zone
        world.vera.user.save()
        for period in LOOKED_AT:
            page = client.get("/runs/dashboard/", {"period": period}).content.decode()
            pages.setdefault(period, set()).add(
                re.sub(
                    r'name="csrfmiddlewaretoken" value="\w+"',
                    "",
                    page[page.index('class="tiles"') : page.index('id="dash-live"')],
                )
            )
    assert {period: len(seen) for period, seen in pages.items()} == dict.fromkeys(LOOKED_AT, 1)

    RetentionPolicy.objects.create(tenant=world.bob.tenant, runs_days=40)
    while prune_runs(NOW, parts=200):
        pass
    gone = NOW.replace(hour=0, minute=0) - timedelta(days=40)
    kept = sum(fact.ended >= gone for fact in history)
    assert Run.objects.for_tenant(world.bob.tenant).count() == kept < len(history)
    while roll_up(NOW, at_once=1_000):
        pass
    check_all(client, history, f"after retention left {kept:,} runs of {len(history):,}")


def check_all(client: Client, history: list[RunFact], when: str, periods: Sequence[str] = LOOKED_AT) -> None:
    for period in periods:
        buckets, length, against = PERIODS[period]
        expected = Expected.of(history, Window(NOW, buckets, length))
        check(client, period, expected, against)
        if IS_PROOF:
            sys.stdout.write(
                f"{when}, {period}: {len(expected.live):,} runs, {len(expected.called):,} calls: equal\n"
            )
    one = history[0].workflow
    mine = [fact for fact in history if fact.workflow == one]
    expected = Expected.of(mine, Window(NOW, 30, timedelta(days=1)))
    page = client.get("/runs/dashboard/", {"period": "30d", "workflow": str(one.pk)})
    assert [(tile.value, tile.change.words) for tile in page.context["tiles"]] == expected.tiles(
        False, "the 30 days before"
    )


def check(client: Client, period: str, expected: Expected, against: str) -> None:
    answer = client.get("/runs/dashboard/", {"period": period})
    said, page = answer.context, answer.content.decode()
    tiles = expected.tiles(period == "24h", against)
    assert [(tile.value, tile.change.words) for tile in said["tiles"]] == tiles
    assert all(f"<dd>{value}</dd>" in page for value, _ in tiles)
    _check_bars(said, page, expected)
    _check_kinds(said, expected)
    for by, part in _parts().items() if IS_PROOF or period == "30d" else ():
        _check_costs(client.get("/runs/dashboard/", {"period": period, "by": by}), expected.costs(part), by)
    causes = {row.code: (row.runs, set(where.split(", ")), row.newest) for row, where in said["causes"]}
    assert causes == expected.causes()
    assert [row.runs for row, _ in said["causes"]] == sorted(
        (row[0] for row in causes.values()), reverse=True
    )
    assert said["found_failed"] == sum(fact.status == "failed" for fact in expected.live)
    assert said["mended"] == expected.mended()
    _check_use(said, expected)
    _check_advice(said, expected)


def _check_bars(said: Any, page: str, expected: Expected) -> None:
    rows = [bar for _, bar in said["chart"]["rows"]]
    bars = expected.bars()
    assert [(bar.start, bar.good, bar.reviewed, bar.failed, bar.cost) for bar in rows] == bars
    printed = [tuple(map(int, found)) for found in _ROW.findall(page)]
    assert not printed or printed == [(good + seen, seen, bad) for _, good, seen, bad, _ in bars]
    assert bool(printed) == any(good + seen + bad for _, good, seen, bad, _ in bars)


def _check_kinds(said: Any, expected: Expected) -> None:
    kinds = {kind.type: (kind.typical, kind.within, kind.count, kind.slower) for kind, *_ in said["kinds"]}
    assert kinds == expected.kinds()
    longest = max((row[1] or 0 for row in kinds.values()), default=0) or 1
    for kind, *_ in said["kinds"]:
        assert kind.wide == pytest.approx(100 * kind.within / longest)
        assert kind.share == pytest.approx(100 * kind.typical / longest)
    assert [kind.within for kind, *_ in said["kinds"]] == sorted(
        (row[1] for row in kinds.values()), reverse=True
    )


def _parts() -> dict[str, Callable[[RunFact], tuple[str, ...]]]:
    def project(fact: RunFact) -> str:
        return fact.workflow.project.name if fact.workflow.project is not None else "No project"

    return {
        "model": lambda fact: (fact.model, providers.get(fact.provider).label),
        "provider": lambda fact: (providers.get(fact.provider).label, ""),
        "workflow": lambda fact: (fact.workflow.name, ""),
        "project": lambda fact: (project(fact), ""),
        "person": lambda fact: (str(fact.person) if fact.person else "a trigger", ""),
    }


def _check_costs(answer: Any, costs: dict[tuple[str, ...], tuple[int, int, Decimal]], by: str) -> None:
    rows = answer.context["costs"]
    found = {(row["name"], row["sub"]): (row["calls"], row["tokens"], row["cost"]) for row in rows}
    assert found == costs, by
    spent = [row["cost"] for row in rows]
    assert spent == sorted(spent, reverse=True)
    page = answer.content.decode()
    assert all(f"<b>{format_money(one)}</b>" in page for one in spent)


def _check_use(said: Any, expected: Expected) -> None:
    use = said["adoption"]
    assert use["hours_saved"] == expected.hours_saved(MINUTES)
    assert use["cost"] == sum((fact.cost for fact in expected.called), Decimal(0))
    assert use["used"] == len({fact.workflow.pk for fact in expected.live if fact.status == "completed"})
    made = {fact.workflow for fact in [*expected.live, *expected.called]}
    assert use["made"] >= sum(row.created_at >= expected.window.first for row in made)
    counts = expected.people()
    names = {str(fact.person.pk): str(fact.person) for fact in expected.live if fact.person}
    wanted = sorted(
        ((names.get(key, "a trigger"), count) for key, count in counts.items()), key=lambda one: -one[1]
    )
    assert sorted(count for _, count in use["people"]) == sorted(count for _, count in wanted[:5])
    assert set(use["people"]) <= set(wanted)
    assert use["starters"] == len(counts)


def _check_advice(said: Any, expected: Expected) -> None:
    """Rate limits, the dearest of which come first; every advice about one says the right share and time."""
    told = [one.text for one in said["advice"] if one.title.endswith("waits on rate limits")]
    wanted = [
        f"{name}. {100 * hit / tries:.0f}% of its tries met one, {format_duration(lost // hit)} lost each."
        for name, hit, tries, lost in expected.limited()
    ]
    assert told == wanted[: len(told)]
    assert bool(told) == bool(wanted) or len(said["advice"]) == 5


def test_the_api_says_the_same(world: World, history: list[RunFact]):
    key = bearer(key_of(world.vera))
    expected = Expected.of(history, Window(NOW, 30, timedelta(days=1)))
    found = Client().get("/api/analytics/runs?period=30d", headers=key).json()
    assert found["completed"] == sum(fact.status == "completed" for fact in expected.live)
    assert found["failed"] == sum(fact.status == "failed" for fact in expected.live)
    assert found["failures_by_cause"] == {code: row[0] for code, row in expected.causes().items()}
    assert Decimal(str(found["cost"])) == pytest.approx(
        sum((fact.cost for fact in expected.called), Decimal(0))
    )
