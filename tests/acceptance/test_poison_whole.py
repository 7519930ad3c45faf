"""A step that kills its worker whenever it runs: after three times it has failed, and says so; nobody else is held up."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.paths import BASE_DIR
from runs.engine.statuses import RunStatus
from runs.models import Attempt, Run, StepRun
from runs.services.doctor import examine
from tests.runs.support import definition_of, event_types, node, started
from tests.support import poison
from tests.support.factories import World
from tests.support.fake_openai import FakeOpenAI, Reply, Request
from tests.support.jobs import eventually
from tests.support.site import Site
from workflows.definition.graph import Definition

pytestmark = [pytest.mark.crash, pytest.mark.django_db(transaction=True)]

PATIENCE_SECONDS = 120.0


@pytest.fixture(autouse=True)
def poisoned(site: Site, tmp_path: Path) -> Iterator[None]:
    site.environment["PYTHONPATH"] = f"{BASE_DIR}:{poison.install(tmp_path / 'plugin')}"
    with poison.known_here():
        yield


def chain(key: str, steps: int) -> Definition:
    """Model steps one after the other."""
    nodes = [
        node(
            f"{key}{number}",
            "llm",
            config={"prompt": f"Say {key}{number}.", "model": "openai:fake-small"},
            retry_policy={"max_attempts": 1},
        )
        for number in range(steps)
    ]
    return definition_of(nodes, ">".join(f"{key}{number}" for number in range(steps)))


class Supervised:
    """A worker that is started again when it is gone, as the launcher does."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.worker: subprocess.Popen[bytes] = site.worker()
        self.deaths = 0

    def look(self) -> None:
        if self.worker.poll() is not None:
            self.deaths += 1
            self.worker = self.site.worker()


def test_a_step_that_kills_its_worker_fails_after_three_times_and_holds_up_nobody(
    site: Site, world: World, model: FakeOpenAI
) -> None:
    def answer(request: Request) -> Reply:
        if "Be long." in request.prompt:
            return Reply(pieces=["word "] * 40, delay_s=0.1)
        return Reply(pieces=["word "] * 5, delay_s=0.05)

    model.default = answer
    supervised = Supervised(site)
    site.keeper()
    # At work each time that the worker dies, and so as suspect as the poison itself.
    long = node("long", "llm", config={"prompt": "Be long.", "model": "openai:fake-small"})
    beside = {**long, "retry_policy": {"max_attempts": 1}}
    poisoned = started(world.bob, definition_of([node("p", "poison"), node("after"), beside], "p>after"))
    # They come and go beside it, and lose a try now and then.
    others = [started(world.bob, chain("short", 4)), started(world.charlie, chain("other", 4))]

    def over(run: Run) -> bool:
        supervised.look()
        return Run.objects.get(pk=run.pk).is_over

    eventually(lambda: over(poisoned), PATIENCE_SECONDS)
    poisoned.refresh_from_db()
    assert (poisoned.status, poisoned.error["code"]) == (RunStatus.FAILED, "crashed")
    assert poisoned.error["message"] == "The worker stopped 3 times in this step, so it was not tried again."
    assert poisoned.error["fix"]
    step = StepRun.objects.get(run=poisoned, step_key="p")
    assert step.crashes == 3
    spared = StepRun.objects.get(run=poisoned, step_key="long")
    assert (spared.status, spared.crashes) == ("completed", 2), "only what dies alone is blamed"
    assert (spared.output or {})["content"].split() == ["word"] * 40
    # The third time may be in a process of its own, which takes nobody along.
    assert 1 <= supervised.deaths <= 3
    event_types(poisoned)

    late = started(world.charlie, chain("late", 2))
    for run in (*others, late):
        eventually(lambda run=run: over(run), PATIENCE_SECONDS)  # type: ignore[misc]
        run.refresh_from_db()
        assert run.status == RunStatus.COMPLETED, run.error
    assert not Attempt.objects.filter(status="open").exists()
    assert list(examine()) == []
