"""Rounds of faults at random moments: every run ends right by itself, nothing finished is done again, the doctor finds
nothing. CI takes every fault once, shortened, one soon after the other; `make soak` twenty rounds at full length.

STEPWELL_ROUNDS: how many; STEPWELL_LONG_FAULTS=1: Redis away for a minute, the database for 30 s, and so on.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
from django.core.management import call_command
from django.db.models import Sum

from runs.engine.statuses import RunStatus
from runs.models import Attempt, Event, Item, Run, StepRun
from runs.services.doctor import examine
from tests.acceptance.conftest import SEED
from tests.runs.support import definition_of, event_types, node, started
from tests.support.factories import World
from tests.support.fake_openai import FakeOpenAI, Reply, Request
from tests.support.faults import Faults
from tests.support.jobs import eventually
from tests.support.site import Site
from workflows.definition.graph import Definition

pytestmark = [pytest.mark.crash, pytest.mark.django_db(transaction=True)]

ROUNDS = int(os.environ.get("STEPWELL_ROUNDS") or 0)
LONG = os.environ.get("STEPWELL_LONG_FAULTS") == "1"
# D1: so long after the last fault every run has ended.
SETTLE_SECONDS = 120.0
ITEMS = 8


def ask(key: str, **fields: Any) -> dict[str, Any]:
    prompt = f"{{{{ input.mark }}}} wants {key}{'[{{ item }}]' if fields.get('parent') else ''}."
    retry = {"max_attempts": 6, "delay_ms": 200, "jitter": 0}
    config = {"prompt": prompt, "model": "openai:fake-small"}
    return node(key, "llm", config=config, retry_policy=retry, **fields)


def workflow() -> Definition:
    """Side branches, a delay, a fan-out with two steps inside, a join."""
    nodes = [
        ask("first"),
        node("rest", "delay", config={"duration": "1 second"}),
        ask("side"),
        node("each", "fan_out", config={"items": "{{ input.numbers }}", "concurrency": 3}),
        ask("write", parent="each"),
        node("trim", config={"mode": "template", "template": "{{ previous }}"}, parent="each"),
        node("meet", "merge", config={"mode": "text"}),
        ask("last"),
    ]
    return definition_of(nodes, "first>rest>each>meet>last", "first>side>meet", "write>trim")


# What one run asks the model for when nothing goes wrong.
CALLS = ("first", "side", *(f"write[{number}]" for number in range(ITEMS)), "last")


@dataclass(frozen=True)
class Begun:
    run: Run
    mark: str


class Rounds:
    """Starts runs, lets something happen to them, and looks at how they ended."""

    def __init__(self, site: Site, world: World, model: FakeOpenAI, chance: random.Random) -> None:
        self.world, self.model, self.chance = world, model, chance
        self.faults = Faults(site, chance, long=LONG)
        self.marks = 0
        speed = random.Random(f"{SEED} model")

        def answer(_: Request) -> Reply:
            return Reply(pieces=["word "] * 8, delay_s=speed.uniform(0.02, 0.12))

        model.default = answer

    def begin(self) -> Begun:
        self.marks += 1
        mark = f"Run{self.marks:03d}"
        actor = self.world.bob if self.marks % 2 else self.world.charlie
        return Begun(started(actor, workflow(), {"mark": mark, "numbers": list(range(ITEMS))}), mark)

    def done(self, begun: Begun) -> set[str]:
        """What is finished by now: nobody may be asked for it again."""
        steps = StepRun.objects.filter(run=begun.run, status="completed", type="llm")
        items = dict(Item.objects.filter(run=begun.run).values_list("index", "value"))
        found = set()
        for key, scope in steps.values_list("step_key", "scope"):
            found.add(f"{key}[{items[int(scope[5:-1])]}]" if scope else key)
        return found

    def one(self, name: str) -> str:
        """A round: some runs, a fault in the middle of them, their end. Says what happened."""
        runs = [self.begin() for _ in range(3)]
        asked = Attempt.objects.filter(run__in=[begun.run for begun in runs])
        eventually(lambda: asked.count() >= 3, SETTLE_SECONDS)
        time.sleep(self.chance.uniform(0, 2.5))
        before = {begun.mark: self.done(begun) for begun in runs}
        began = time.monotonic()
        self.faults.all()[name]([begun.run.pk for begun in runs])
        lasted, began = time.monotonic() - began, time.monotonic()
        eventually(lambda: self.are_over(runs), SETTLE_SECONDS)
        settled = time.monotonic() - began
        again = sum(self.check(begun, before[begun.mark]) for begun in runs)
        return f"{name} ({lasted:.1f} s): ended {settled:.1f} s later, {again} calls made again"

    def storm(self, names: list[str]) -> str:
        """The faults one soon after the other, with runs under way all the time; who was hit how often is chance."""
        runs = [self.begin() for _ in range(2)]
        eventually(lambda: Attempt.objects.exists(), SETTLE_SECONDS)
        finished: dict[str, dict[str, int]] = {}
        for name in names:
            runs.append(self.begin())
            time.sleep(self.chance.uniform(0.3, 1.5))
            for begun in runs:
                calls = self.calls(begun)
                kept = finished.setdefault(begun.mark, {})
                kept |= {key: calls[key] for key in self.done(begun) if key not in kept}
            began = time.monotonic()
            self.faults.all()[name]([begun.run.pk for begun in runs])
            sys.stdout.write(f"{name} ({time.monotonic() - began:.1f} s)\n")
        began = time.monotonic()
        eventually(lambda: self.are_over(runs), SETTLE_SECONDS)
        settled = time.monotonic() - began
        again = 0
        for begun in runs:
            for key, count in finished[begun.mark].items():
                assert self.calls(begun)[key] == count, f"{begun.mark} {key} was finished and called again"
            again += self.check(begun, set(), most=1 + len(names))
        return f"{len(runs)} runs ended {settled:.1f} s after the last fault, {again} calls made again"

    def calls(self, begun: Begun) -> dict[str, int]:
        return {key: self.model.count(f"{begun.mark} wants {key}.") for key in CALLS}

    def are_over(self, runs: list[Begun]) -> bool:
        open_ = Run.objects.filter(pk__in=[begun.run.pk for begun in runs]).exclude(
            status__in=["completed", "failed", "cancelled"]
        )
        return not open_.exists()

    def check(self, begun: Begun, before: set[str], *, most: int = 3) -> int:
        """The run ended right; how many calls were made once more than needed."""
        run = begun.run
        run.refresh_from_db()
        assert run.status == RunStatus.COMPLETED, (begun.mark, run.error)
        calls = {key: self.model.count(f"{begun.mark} wants {key}.") for key in CALLS}
        for key, count in calls.items():
            right = 1 if key in before else most
            assert 1 <= count <= right, (
                f"{begun.mark} {key} was called {count} times, at most {right} were right"
            )
        event_types(run)
        ended = Event.objects.filter(run=run, type="completed").values_list("step_key", "scope")
        twice = [place for place, count in Counter(ended).items() if count > 1]
        assert not twice, f"completed twice: {twice}"
        rows = StepRun.objects.filter(run=run)
        assert set(rows.values_list("status", flat=True)) == {"completed"}
        items = list(Item.objects.filter(run=run).order_by("index"))
        assert [item.value for item in items] == list(range(ITEMS))
        assert {item.status for item in items} == {"completed"}
        tries = Attempt.objects.filter(run=run)
        assert not tries.filter(status="open").exists()
        assert tries.aggregate(sum=Sum("input_tokens"))["sum"] == run.input_tokens
        return sum(count - 1 for count in calls.values())


def test_rounds_of_faults_at_random_moments_end_right_by_themselves(
    site: Site, world: World, model: FakeOpenAI, moment: random.Random
) -> None:
    rounds = Rounds(site, world, model, moment)
    names = list(rounds.faults.all())
    moment.shuffle(names)
    if not ROUNDS:
        sys.stdout.write(f"Seed {SEED}: {rounds.storm(names)}\n")
    for number in range(1, ROUNDS + 1):
        said = rounds.one(names[number % len(names)])
        sys.stdout.write(f"Round {number} of {ROUNDS}, seed {SEED}: {said}\n")
        sys.stdout.flush()
    assert list(examine()) == []
    call_command("doctor")
