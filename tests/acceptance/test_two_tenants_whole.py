"""One worker process, one tenant that fills it, and another whose only step starts within five seconds (D14)."""

from __future__ import annotations

import time

import pytest

from runs.engine.statuses import RunStatus
from runs.models import Attempt, Item, Run
from tests.runs.support import definition_of, node, started
from tests.support.factories import World
from tests.support.fake_openai import FakeOpenAI, Reply
from tests.support.jobs import eventually
from tests.support.site import Site
from workflows.definition.graph import Definition

pytestmark = [pytest.mark.crash, pytest.mark.django_db(transaction=True)]

THREADS = 8
START_SECONDS = 5.0


def fan_out() -> Definition:
    config = {
        "items": "{{ input.numbers }}",
        "prompt": "Number {{ item }}",
        "model": "openai:fake-small",
        "concurrency": 20,
    }
    return definition_of([node("each", "fan_out", config=config)])


def one_step() -> Definition:
    return definition_of([node("only", "llm", config={"prompt": "Just one", "model": "openai:fake-small"})])


@pytest.mark.parametrize(("runs", "items"), [(1, 1_000), (2 * THREADS, 60)])
def test_a_tenant_that_fills_the_worker_does_not_keep_another_waiting(
    site: Site, world: World, model: FakeOpenAI, runs: int, items: int
) -> None:
    model.default = lambda _: Reply(pieces=["some ", "words"], delay_s=1.0)
    model.when("Just one", Reply(text="Done."), always=True)
    site.worker(threads=THREADS)
    site.keeper()
    greedy = [started(world.bob, fan_out(), {"numbers": list(range(items))}) for _ in range(runs)]
    at_work = min(runs, THREADS - 1)
    in_flight = Attempt.objects.filter(run__in=greedy, status="open").values("run").distinct()
    eventually(lambda: in_flight.count() >= at_work, 60)
    time.sleep(1.0)

    began = time.monotonic()
    run = started(world.charlie, one_step(), {})
    eventually(lambda: Attempt.objects.filter(run=run).exists(), 60)
    took = time.monotonic() - began
    assert took <= START_SECONDS, f"the other tenant's step started after {took:.1f} s"
    eventually(lambda: Run.objects.get(pk=run.pk).is_over, 60)
    assert Run.objects.get(pk=run.pk).status == RunStatus.COMPLETED
    left = Item.objects.filter(run__in=greedy, status__in=["pending", "running"]).count()
    assert left > runs * items / 4, "it was to start beside the others' work, not after it"
