"""The dashboard as its users see it, and the same figures over REST."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from runs.services.roll_up import roll_up
from tests.support import factories, runs
from tests.support.factories import World, bearer, client_of, key_of
from tests.support.generated import RunFact, facts, store

pytestmark = pytest.mark.django_db


def a_history(world: World, many: int = 60, apart: timedelta = timedelta(minutes=40)) -> list[RunFact]:
    made = [
        factories.workflow(world.bob.tenant, name, settings={"minutes_saved": 30})
        for name in ("Outline", "Triage")
    ]
    graph = runs.graph(runs.step("clean", "clean_text"), runs.step("ask", "llm"))
    assert world.bob.user is not None
    found = list(facts(5, many, made, [world.bob.user], timezone.now() - timedelta(minutes=1), apart))
    store(world.bob.tenant, found, {row.pk: runs.version(row, graph) for row in made})
    return found


def test_it_says_how_runs_went_and_what_they_cost(world: World):
    live = [fact for fact in a_history(world) if fact.kind == "live"]
    page = client_of(world.vera).get("/runs/dashboard/?period=7d").content.decode()
    good = sum(fact.status == "completed" for fact in live)
    failed = sum(fact.status == "failed" for fact in live)
    assert f"<dd>{100 * good / (good + failed):.1f}%</dd>" in page
    assert f"<dd>{len(live)}</dd>" in page
    assert "Ask a model" in page
    assert "hours saved" in page
    assert "style=" not in page


def test_an_empty_workspace_is_told_what_comes(world: World):
    page = client_of(world.vera).get("/runs/dashboard/").content.decode()
    assert "Numbers need runs" in page


@pytest.mark.parametrize("by", ["model", "provider", "workflow", "project", "person"])
@pytest.mark.parametrize("period", ["24h", "30d"])
def test_every_view_of_it_answers(world: World, by: str, period: str):
    fact = a_history(world)[0]
    address = f"/runs/dashboard/?period={period}&by={by}&workflow={fact.workflow.pk}"
    assert client_of(world.vera).get(address).status_code == 200
    assert (
        client_of(world.vera).get(f"/runs/dashboard/?period=x&by={by}&workflow=nonsense").status_code == 200
    )


def test_its_queries_do_not_grow_with_runs(world: World):
    counts = []
    for many in (30, 60):
        a_history(world, many)
        roll_up(at_once=1_000)
        client = client_of(world.vera)
        with CaptureQueriesContext(connection) as asked:
            assert client.get("/runs/dashboard/?period=30d").status_code == 200
        counts.append(len(asked))
    assert counts[0] == counts[1] <= 40


def test_the_api_says_the_same(world: World):
    history = a_history(world)
    live = [fact for fact in history if fact.kind == "live"]
    key = bearer(key_of(world.vera))
    found = Client().get("/api/analytics/runs?period=30d", headers=key).json()
    assert found["completed"] == sum(fact.status == "completed" for fact in live)
    assert found["cost"] == pytest.approx(float(sum(fact.cost for fact in history)))
    steps = Client().get("/api/analytics/steps?period=30d", headers=key).json()["items"]
    ask = next(row for row in steps if row["type"] == "llm")
    times = [step.ms for fact in live for step in fact.steps if step.key == "ask"]
    assert ask["completed"] == len(times)
    assert ask["average_ms"] == pytest.approx(sum(times) / len(times), abs=0.06)
    assert ask["p95_ms"] == sorted(times)[-(-len(times) * 95 // 100) - 1]
    one = (
        Client()
        .get(f"/api/analytics/runs?period=30d&workflow_id={history[0].workflow.pk}", headers=key)
        .json()
    )
    assert one["completed"] < found["completed"]
    assert Client().get("/api/analytics/runs?period=1y", headers=key).status_code == 422
