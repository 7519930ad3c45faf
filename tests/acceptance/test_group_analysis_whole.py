"""The template Group analysis in real processes: thirteen topics, paused, two workers killed, resumed, nothing done twice.

Every state of its progress that a page or the API would have shown meanwhile is looked at.
"""

from __future__ import annotations

import random
import re
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from runs.engine.statuses import RunStatus
from runs.models import Attempt, Event, Item, Run
from runs.services.doctor import examine
from runs.snapshots import run_snapshot
from templates_app.models import WorkflowTemplate
from templates_app.services.load_builtin import load_builtin_templates
from templates_app.services.use_template import use_template
from tests.api.support import Api
from tests.runs.support import event_types
from tests.support.factories import World
from tests.support.fake_openai import FakeOpenAI, Reply, Request, answer_from_prompt
from tests.support.site import Site, kill
from workflows.services.provider_accounts import create_account, set_tenant_models

pytestmark = [pytest.mark.crash, pytest.mark.django_db(transaction=True)]

PATIENCE_SECONDS = 120.0
CONTAINERS = {"each": "Topic: {}", "prompts": "Topic (item {} of 13): {}"}
# An answer has so many characters, streamed in pieces over ANSWER_SECONDS.
ANSWER_CHARACTERS = 4_500
ANSWER_SECONDS = 0.7
PIECES = 30


def long_answer(request: Request) -> Reply:
    """A text about the topic that the prompt names; findings where a schema is asked for."""
    if request.body.get("response_format"):
        return answer_from_prompt(request)
    topic = re.search(r"^Topic(?: \(item \d+ of \d+\))?: (.+)$", request.prompt, re.MULTILINE)
    about = topic[1] if topic else "the whole group"
    text = f"# What there is to say about {about}\n\n" + "The water is clear and the well is deep. " * 150
    size = ANSWER_CHARACTERS // PIECES
    pieces = [text[at : at + size] for at in range(0, ANSWER_CHARACTERS, size)]
    return Reply(
        pieces=pieces, delay_s=ANSWER_SECONDS / PIECES * (0.6 + len(about) % 9 / 10), usage=(900, 1_100)
    )


class Watch:
    """Looks at a run again and again, as page and API show it, and holds every look against the one before."""

    def __init__(self, api: Api, run: Run) -> None:
        self.api, self.run = api, run
        self.looks = 0
        self.completed: dict[str, int] = defaultdict(int)
        self.steps_done = 0

    def until(self, wanted: Callable[[dict[str, dict[str, Any]]], object], what: str) -> None:
        """Look until the counts of the containers are as wanted."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not wanted(self.look()):
            assert time.monotonic() < deadline, f"{what} did not happen: {dict(self.completed)}"
            time.sleep(0.1)

    def look(self) -> dict[str, dict[str, Any]]:
        """The counts of each container, after checking that they are possible."""
        self.looks += 1
        rows = self.api.get(f"/workflow-executions/{self.run.pk}/steps", {"limit": 100}).json()["items"]
        found = {row["node_id"]: row["progress"] for row in rows if row["progress"] is not None}
        for key, counts in found.items():
            states = sum(count for state, count in counts.items() if state != "total")
            assert states == counts["total"] == 13, counts
            self._never_falls(key, counts["completed"])
        self._look_at_the_page()
        return found

    def _look_at_the_page(self) -> None:
        run = Run.objects.select_related("workflow", "version", "started_by", "api_key").get(pk=self.run.pk)
        snapshot = run_snapshot(run)
        for key in CONTAINERS:
            view = snapshot.row(key).items
            if view is None or not view.total:
                continue
            states = [cell.status for cell in view.cells]
            assert view.total == len(states) == 13
            assert view.completed == states.count("completed")
            assert [cell.number for cell in view.cells] == list(range(1, 14)), "not in the order of the input"
            self._never_falls(key, view.completed)

    def _never_falls(self, key: str, completed: int) -> None:
        assert completed >= self.completed[key], f"{key} fell from {self.completed[key]} to {completed}"
        self.completed[key] = completed


@pytest.fixture
def run_of_the_template(world: World, model: FakeOpenAI) -> Callable[[], tuple[Run, list[str]]]:
    """Loaded, used, published and started as people do it, with an account of the tenant's own."""

    def start() -> tuple[Run, list[str]]:
        model.default = long_answer
        load_builtin_templates()
        create_account(actor=world.alice, provider="openai", name="House", key="sk-house", base_url=model.url)
        set_tenant_models(actor=world.alice, default_model="openai:fake-large", fallback=[])
        workflow = use_template(template=WorkflowTemplate.objects.get(slug="group-analysis"), actor=world.bob)
        api = Api(world.bob)
        assert api.post(f"/workflows/{workflow.pk}/publish", {"note": "First"}).status_code == 201
        topics = next(
            v["default_value"]
            for v in api.get(f"/workflows/{workflow.pk}").json()["definition"]["variables"]
            if v["name"] == "topics"
        )
        made = api.post(f"/workflows/{workflow.pk}/execute", {"input_data": {"topics": topics}})
        assert made.status_code == 202, made.content
        headings = [line.partition(". ")[2] for line in topics.splitlines()]
        return Run.objects.get(pk=made.json()["id"]), headings

    return start


def done(run: Run, key: str) -> set[int]:
    """Items that are finished by now: nobody may be asked for them again."""
    found = Item.objects.filter(run=run, container=key, status="completed")
    return set(found.values_list("index", flat=True))


def calls(model: FakeOpenAI, key: str, headings: list[str]) -> list[int]:
    """How often the server was asked for each item."""
    return [
        model.count(CONTAINERS[key].format(*([heading] if key == "each" else [number, heading])) + "\n")
        for number, heading in enumerate(headings, 1)
    ]


def test_group_analysis_paused_and_its_workers_killed_repeats_no_finished_item(
    site: Site,
    world: World,
    model: FakeOpenAI,
    moment: random.Random,
    run_of_the_template: Callable[[], tuple[Run, list[str]]],
) -> None:
    worker = site.worker()
    site.keeper()
    run, headings = run_of_the_template()
    api = Api(world.bob)
    watch = Watch(api, run)
    address = f"/workflow-executions/{run.pk}"

    def at_least(key: str, count: int) -> Callable[[dict[str, dict[str, Any]]], bool]:
        return lambda found: int(found.get(key, {}).get("completed", 0)) >= count

    watch.until(at_least("each", 2), "two analyses")
    assert api.post(f"{address}/pause").status_code == 200
    # What is under way may end; nothing new begins.
    watch.until(lambda _: api.get(address).json()["status"] == "paused", "the pause")
    counts = watch.look()["each"]
    assert (counts["running"], counts["pending"] > 0) == (0, True), "the pause came too late to show anything"
    asked = model.count()
    assert asked == counts["completed"]
    time.sleep(0.7)
    assert (model.count(), watch.look()["each"]) == (asked, counts)
    assert api.post(f"{address}/resume").status_code == 200

    watch.until(lambda found: found["each"]["running"] > 0, "going on")
    time.sleep(moment.uniform(0, 0.6))
    kept = done(run, "each")
    kill(worker)
    worker = site.worker()
    watch.until(at_least("prompts", 4), "four prompts")
    time.sleep(moment.uniform(0, 0.6))
    prompts_kept = done(run, "prompts")
    kill(worker)
    site.worker()
    watch.until(lambda _: api.get(address).json()["status"] in ("completed", "failed"), "the end")

    run.refresh_from_db()
    assert run.status == RunStatus.COMPLETED, run.error
    assert watch.looks > 30
    for key, finished in (("each", kept), ("prompts", prompts_kept)):
        assert finished
        for index, count in enumerate(calls(model, key, headings)):
            most = 1 if index in finished else 2
            assert 1 <= count <= most, (
                f"{key}[{index}] was asked for {count} times, at most {most} were right"
            )
    assert model.count("Bring the analyses below") == 1

    listed = api.get(f"{address}/items", {"limit": 100}).json()["items"]
    for key in CONTAINERS:
        rows = [row for row in listed if row["node_id"] == key]
        assert [row["heading"] for row in rows] == headings, "in the order of the input"
        assert {row["status"] for row in rows} == {"completed"}
        assert all(row["heading"] in row["output_data"]["content"] for row in rows)
    output = run.output
    for name in ("analyses", "prompts"):
        assert [item["heading"] for item in output[name]] == headings
    texts = [str(item["content"]) for name in ("analyses", "prompts") for item in output[name]]
    assert len("".join(texts)) + len(output["content"]) > 115_000
    _progress_of_the_events(run)
    tries = Attempt.objects.filter(run=run)
    assert not tries.filter(status="open").exists()
    assert sum(row.input_tokens + row.output_tokens for row in tries) == run.input_tokens + run.output_tokens
    assert list(examine()) == []


def _progress_of_the_events(run: Run) -> None:
    """The log tells the same story: one entry an item, counting up without a gap."""
    event_types(run)
    told: dict[str, list[int]] = defaultdict(list)
    for event in Event.objects.filter(run=run, type="fan_out_progress").order_by("seq"):
        assert event.data["fanOutTotal"] == 13
        told[event.step_key].append(event.data["completed"])
    assert told == {key: list(range(1, 14)) for key in CONTAINERS}
