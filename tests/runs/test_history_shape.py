"""The history's histogram, its finer filters, and what matches as a file."""

from __future__ import annotations

import csv
import io
import json
import random
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.urls import reverse
from django.utils import timezone

from runs.metrics.histogram import MOST_BARS, histogram
from runs.models import Run
from runs.selectors import HistoryFilter
from tests.support import runs as make
from tests.support.factories import World, client_of, workflow
from workflows.tenancy.actor import Actor
from workflows.tenancy.keys import create_key

pytestmark = pytest.mark.django_db

CHAIN = make.graph(make.step("a", "llm"), make.step("b"))


def numbers(actor: Actor, **query: str) -> list[int]:
    page = client_of(actor).get(reverse("runs:index"), query)
    assert page.status_code == 200
    assert page.context["page"].total == len(page.context["rows"])
    return [run.number for run, *_ in page.context["rows"]]


@pytest.mark.parametrize("hours", [2, 70, 24 * 40, 24 * 800])
def test_every_run_stands_in_the_bar_of_its_time(world: World, hours: int) -> None:
    now, chance = timezone.now(), random.Random(hours)
    used = workflow(world.tenant, "Busy")
    made = []
    for _ in range(60):
        status = chance.choice(["completed", "failed", "cancelled", "running", "paused"])
        began = now - timedelta(seconds=chance.random() * hours * 3_600)
        run = make.run_of(world.bob, CHAIN, workflow=used, status=status, created_at=began, cost="0.25")
        if status == "paused" and chance.random() < 0.5:
            make.gate(run, "a")
            status = "review"
        made.append((began, status))
    make.run_of(world.charlie, CHAIN)
    found = histogram(world.tenant, HistoryFilter(), now)
    assert 1 < len(found.bars) <= MOST_BARS
    assert (found.total, found.cost) == (60, Decimal(15))
    for bar in found.bars:
        here = Counter(status for began, status in made if bar.start <= began < bar.end)
        assert (bar.completed, bar.failed, bar.review) == (here["completed"], here["failed"], here["review"])
        assert (bar.cancelled, bar.open) == (here["cancelled"], here["running"] + here["paused"])
    since, until = found.bars[0].start, found.bars[len(found.bars) // 2].end
    part = histogram(world.tenant, HistoryFilter(since=since, until=until, status="failed"), now)
    assert part.total == sum(s == "failed" and since <= at < until for at, s in made)
    assert part.success in (0.0, None)


def test_finer_filters_narrow_list_and_histogram_alike(world: World) -> None:
    _, text = create_key(actor=world.alice, name="Robot", role="editor")
    assert text
    mine = make.run_of(world.bob, CHAIN, name="Mine", cost="0.50")
    cheap = make.run_of(world.alice, CHAIN, name="Cheap", cost="0.01", kind="test")
    broken = make.run_of(world.alice, CHAIN, name="Broken", status="failed", error={"code": "credit"})
    alone = make.run_of(world.alice, CHAIN, name="Alone", status="completed", input={"idea": "Größe"})
    Run.objects.filter(pk=alone.pk).update(started_by=None)
    step = make.run_of(world.bob, CHAIN, name="Step", kind="step")
    assert world.bob.user is not None
    assert numbers(world.vera, person=str(world.bob.user.pk)) == [mine.number]
    assert numbers(world.vera, person="none") == [alone.number]
    assert numbers(world.vera, kind="test") == [cheap.number]
    assert numbers(world.vera, kind="step") == [step.number]
    assert numbers(world.vera, cause="credit") == [broken.number]
    assert numbers(world.vera, cost_from="0.02") == [mine.number]
    assert numbers(world.vera, cost_from="0.005", cost_to="0.02") == [cheap.number]
    assert numbers(world.vera, status="open") == [cheap.number, mine.number]
    assert numbers(world.vera, q="Größe") == [alone.number]
    assert numbers(world.vera, period="24h", status="failed") == [broken.number]


def test_a_time_of_day_is_a_filter_too(world: World) -> None:
    now = timezone.localtime()
    early = make.run_of(world.bob, CHAIN, name="Early", created_at=now - timedelta(hours=5))
    late = make.run_of(world.bob, CHAIN, name="Late", created_at=now - timedelta(hours=1))
    moment = (now - timedelta(hours=3)).strftime("%Y-%m-%dT%H:%M")
    assert numbers(world.bob, since=moment) == [late.number]
    assert numbers(world.bob, until=moment) == [early.number]


def test_the_bars_say_their_numbers_and_lead_to_their_runs(world: World) -> None:
    used = workflow(world.tenant, "Busy")
    old = make.run_of(
        world.bob, CHAIN, workflow=used, status="failed", created_at=timezone.now() - timedelta(hours=30)
    )
    make.run_of(world.bob, CHAIN, workflow=used, status="completed")
    client = client_of(world.vera)
    page = client.get(reverse("runs:index"), {"status": "", "workflow": str(used.pk)})
    newest, oldest = page.context["chart"].columns
    assert (newest.bar.completed, oldest.bar.failed) == (1, 1)
    assert b"50% succeeded" in page.content
    answer = client.get(f"{reverse('runs:index')}?{oldest.address}")
    assert [run.number for run, *_ in answer.context["rows"]] == [old.number]
    assert f"workflow={used.pk}" in oldest.address


def read(actor: Actor, **query: str) -> Any:
    answer: Any = client_of(actor).get(reverse("runs:export"), query)
    assert answer.status_code == 200
    assert "attachment" in answer["Content-Disposition"]

    async def whole() -> bytes:
        return b"".join([part async for part in answer.streaming_content])

    return async_to_sync(whole)().decode()


def test_what_matches_goes_out_as_a_file(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runs.services.export_runs._AT_ONCE", 3)
    used = workflow(world.tenant, "=cmd()")
    made = [make.run_of(world.bob, CHAIN, workflow=used, status="failed", cost="0.25") for _ in range(7)]
    make.run_of(world.bob, CHAIN, name="Other")
    make.run_of(world.charlie, CHAIN, status="failed")
    rows = list(csv.DictReader(io.StringIO(read(world.vera, format="csv", status="failed"))))
    assert [int(row["number"]) for row in rows] == [run.number for run in reversed(made)]
    assert {row["workflow"] for row in rows} == {"'=cmd()"}
    assert {Decimal(row["cost_usd"]) for row in rows} == {Decimal("0.25")}
    found = json.loads(read(world.vera, format="json", status="failed"))
    assert [row["number"] for row in found] == [run.number for run in reversed(made)]
    assert found[0]["input"] == made[0].input
    assert json.loads(read(world.vera, format="json", q="nothing like it")) == []
    assert client_of(world.vera).get(reverse("runs:export"), {"format": "xml"}).status_code == 404
