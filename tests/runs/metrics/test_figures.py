"""Figures of a generated history equal those computed by hand from the facts it was made of."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from runs.metrics.board import PERIODS, board
from runs.metrics.collect import by_day, by_hour, figures_between
from runs.metrics.figures import Figures, as_document, of_document, percentile, total
from runs.models import Run, StoredFigures
from runs.services.roll_up import roll_up, seal
from tests.support import factories, runs
from tests.support.factories import World
from tests.support.generated import RunFact, facts, store
from workflows.tenancy.models import Tenant, User

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 18, 15, 30, tzinfo=UTC)


@pytest.fixture
def history(world: World) -> list[RunFact]:
    """Nine days with a run every half hour, in a tenant that has a neighbour."""
    made = [factories.workflow(world.bob.tenant, name) for name in ("Outline", "Triage")]
    graph = runs.graph(runs.step("clean", "clean_text"), runs.step("ask", "llm"))
    versions = {row.pk: runs.version(row, graph) for row in made}
    people = [world.bob.user, world.alice.user]
    assert all(people)
    found = list(
        facts(11, 430, made, [p for p in people if p], NOW - timedelta(minutes=5), timedelta(minutes=30))
    )
    store(world.bob.tenant, found, versions)
    other = factories.tenant()
    strange = factories.workflow(other, "Strange")
    few = list(
        facts(12, 20, [strange], [world.vera.user or User()], NOW - timedelta(minutes=7), timedelta(hours=1))
    )
    store(other, few, {strange.pk: runs.version(strange, graph)})
    return found


def within(history: list[RunFact], since: datetime, until: datetime) -> list[RunFact]:
    return [fact for fact in history if fact.kind == "live" and since <= fact.ended < until]


def by_hand(ordered: list[int], part: float) -> int:
    """The smallest value that at least this part of all does not exceed."""
    for value in sorted(ordered):
        if sum(one <= value for one in ordered) >= part * len(ordered):
            return value
    raise AssertionError("nothing")


def check(found: Figures, live: list[RunFact], called: list[RunFact]) -> None:
    assert found.completed == sum(fact.status == "completed" for fact in live)
    assert found.failed == sum(fact.status == "failed" for fact in live)
    assert found.ended == len(live)
    assert found.reviewed == sum(fact.reviewed for fact in live)
    times = [fact.ms for fact in live if fact.status == "completed"]
    for part in (0.5, 0.95, 0.99):
        assert percentile(found.durations(), part) == by_hand(times, part)
    assert found.cost == sum((fact.cost for fact in called), Decimal(0))
    tokens: dict[tuple[str, str], int] = defaultdict(int)
    for fact in called:
        tokens[fact.provider, fact.model] += sum(fact.tokens)
    mine: dict[tuple[str, str], int] = defaultdict(int)
    for (_, _, provider, model), spend in found.spend.items():
        mine[provider, model] += spend.tokens
    assert mine == tokens
    causes: dict[str, int] = defaultdict(int)
    for fact in live:
        if fact.cause:
            causes[fact.cause] += 1
    assert {row.code: row.runs for row in board(PERIODS["24h"], {NOW: found}).causes()} == causes
    assert sorted(found.mended) == sorted(fact.mended_ms for fact in live if fact.mended_ms is not None)
    asks = [step for fact in live for step in fact.steps if step.key == "ask"]
    mine_asks = [step for (_, key), step in found.steps.items() if key == "ask"]
    assert sum(step.done for step in mine_asks) == len(asks)
    assert sum(step.retried for step in mine_asks) == sum(step.tries > 1 for step in asks)
    assert sum(step.limited for step in mine_asks) == sum(step.tries > 1 for step in asks)
    assert sum(step.lost for step in mine_asks) == sum(step.lost_ms for step in asks)


def called_between(history: list[RunFact], since: datetime, until: datetime) -> list[RunFact]:
    return [fact for fact in history if since <= fact.called < until]


def test_a_stretch_read_from_rows_equals_the_facts(world: World, history: list[RunFact]):
    since, until = NOW - timedelta(days=4), NOW
    found = figures_between(world.bob.tenant, since, until)
    check(found, within(history, since, until), called_between(history, since, until))


@pytest.mark.parametrize("rolled", [False, True])
def test_days_say_the_same_stored_or_read(world: World, history: list[RunFact], rolled: bool):
    if rolled:
        assert roll_up(NOW, at_once=1_000) > 50
        assert StoredFigures.objects.filter(tenant=world.bob.tenant, hours=24).count() == 9
    days = by_day(world.bob.tenant, NOW, 7)
    since = NOW.replace(hour=0, minute=0) - timedelta(days=6)
    assert next(iter(days)) == since
    check(total(days.values()), within(history, since, NOW), called_between(history, since, NOW))
    hours = by_hour(world.bob.tenant, NOW, 24)
    since = NOW.replace(minute=0) - timedelta(hours=23)
    check(total(hours.values()), within(history, since, NOW), called_between(history, since, NOW))


def test_what_is_stored_is_read_with_a_fixed_number_of_queries(world: World, history: list[RunFact]):
    roll_up(NOW, at_once=1_000)
    counts = []
    for days in (7, 2):
        with CaptureQueriesContext(
            connection,
        ) as asked:
            by_day(world.bob.tenant, NOW, days)
        counts.append(len(asked))
    assert counts[0] == counts[1] <= 12


def test_a_day_is_made_again_when_a_failed_run_of_it_goes_on(world: World, history: list[RunFact]):
    roll_up(NOW, at_once=1_000)
    assert roll_up(NOW, at_once=1_000) == 0
    old = next(fact for fact in reversed(history) if fact.status == "failed" and fact.kind == "live")
    Run.objects.filter(pk=old.id).update(status="running", completed_at=None, error=None)
    assert roll_up(NOW, at_once=1_000) == 1
    day = old.ended.replace(hour=0, minute=0, second=0, microsecond=0)
    stored = of_document(StoredFigures.objects.get(tenant=world.bob.tenant, hours=24, start=day).document)
    assert stored.ended == len(within(history, day, day + timedelta(days=1))) - 1


def test_figures_outlive_pruned_rows(world: World, history: list[RunFact]):
    tenant: Tenant = world.bob.tenant
    roll_up(NOW, at_once=1_000)
    until = NOW - timedelta(days=5)
    before = total(by_day(tenant, NOW, 9).values())
    seal(tenant, until)
    midnight = until.replace(hour=0, minute=0, second=0, microsecond=0)
    Run.objects.for_tenant(tenant).filter(completed_at__lt=midnight).delete()
    assert roll_up(NOW, at_once=1_000) == 0
    after = total(by_day(tenant, NOW, 9).values())
    assert (after.ended, after.cost, after.durations()) == (before.ended, before.cost, before.durations())


def test_a_document_keeps_everything(world: World, history: list[RunFact]):
    found = figures_between(world.bob.tenant, NOW - timedelta(days=2), NOW)
    again = of_document(as_document(found))
    assert as_document(again) == as_document(found)
    assert again.ended == found.ended > 0


@pytest.mark.parametrize("part", [0.5, 0.9, 0.95, 0.99, 1.0])
def test_percentiles_are_the_nearest_rank(part: float):
    chance = random.Random(3)
    for size in (1, 2, 3, 19, 20, 21, 100, 101):
        values = sorted(chance.randrange(1_000) for _ in range(size))
        assert percentile(values, part) == by_hand(values, part)
    assert percentile([], part) is None
