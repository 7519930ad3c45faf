"""A fan-out with failures in a real worker: what is done is done, what failed says why, and only that is done again.

STEPWELL_MANY_ITEMS sets the size: CI takes 200, `make soak` the full 1,000.
"""

from __future__ import annotations

import os
import re
import sys
import time
from typing import Any

import pytest
from django.test import Client

from runs.engine.statuses import RunStatus
from runs.models import Attempt, Event, Item, Run, StepRun
from runs.services.doctor import examine
from runs.services.values import whole
from tests.api.support import Api
from tests.runs.support import definition_of, event_types, node, started
from tests.support.factories import World, client_of
from tests.support.fake_openai import FakeOpenAI, Reply, Request
from tests.support.jobs import eventually
from tests.support.site import Site, memory_mb

pytestmark = [pytest.mark.crash, pytest.mark.django_db(transaction=True)]

MANY = int(os.environ.get("STEPWELL_MANY_ITEMS") or 200)
# 3%: every thirty-third of a hundred, none of the last one.
FAILING = [number for number in range(1, MANY + 1) if number % 100 in (33, 66, 99)]
PATIENCE_SECONDS = 600.0
# Of what is measured: how much the worker may grow from the hundredth item on, how long the page may take.
MOST_GROWTH_MB = 50.0
PAGE_SECONDS = 0.3
ANSWER = "The well is deep and its water is clear. " * 40


class Server:
    """Answers about number 33, 66 and 99 of each hundred are refused, until it is `mended`."""

    def __init__(self, model: FakeOpenAI) -> None:
        self.mended = False
        model.default = self.answer

    def answer(self, request: Request) -> Reply:
        number = number_of(request)
        if number in FAILING and not self.mended:
            words = f"Number {number} is not acceptable."
            return Reply(status=400, body={"error": {"message": words, "type": "invalid_request_error"}})
        return Reply(pieces=[f"About {number}. ", ANSWER], usage=(20, 400))


def number_of(request: Request) -> int:
    found = re.search(r"Write about number (\d+)\.", request.prompt)
    assert found is not None
    return int(found[1])


def fan_out() -> Any:
    config = {
        "items": "{{ input.numbers }}",
        "prompt": "Write about number {{ item }}.",
        "model": "openai:fake-small",
        "concurrency": 20,
        "tolerated": "5%",
    }
    after = node("after", config={"mode": "template", "template": "{{ steps.Each.count }} done"})
    return definition_of([node("each", "fan_out", config=config), after], "each>after")


def page_of(run: Run, client: Client) -> tuple[float, int]:
    """How long the run page takes on the server, and how many items' rows are in it."""
    began = time.perf_counter()
    answer = client.get(f"/runs/{run.pk}/")
    took = time.perf_counter() - began
    assert answer.status_code == 200
    return took, answer.content.decode().count("<tr data-revision=")


def test_many_items_of_which_some_fail_are_done_and_explained_and_only_those_again(
    site: Site, world: World, model: FakeOpenAI
) -> None:
    server = Server(model)
    worker = site.worker()
    site.keeper()
    began = time.monotonic()
    run = started(world.bob, fan_out(), {"numbers": list(range(1, MANY + 1))})
    client = client_of(world.bob)
    pages: list[float] = []
    measured: dict[int, float] = {}

    def look() -> bool:
        done = Item.objects.filter(run=run, status__in=["completed", "failed"]).count()
        measured[done] = memory_mb(worker)
        if done:
            took, shown = page_of(run, client)
            pages.append(took)
            assert shown <= 60
        return Run.objects.get(pk=run.pk).is_over

    eventually(look, PATIENCE_SECONDS)
    took = time.monotonic() - began
    run.refresh_from_db()
    assert run.status == RunStatus.COMPLETED, run.error
    at_100 = next(size for done, size in sorted(measured.items()) if done >= 100)
    growth = max(size for done, size in measured.items() if done >= 100) - at_100
    # The first answer of a process loads its templates.
    pages = sorted(pages[1:])
    sys.stdout.write(
        f"{MANY} items in {took:.1f} s; RSS {at_100:.0f} MB at 100, grew by {growth:.0f} MB;"
        f" page {pages[len(pages) // 2] * 1_000:.0f} ms in the middle, {pages[-1] * 1_000:.0f} ms at most\n"
    )
    assert growth <= MOST_GROWTH_MB
    # A machine that does other things besides may be slow once; in the middle it is not.
    assert pages[len(pages) // 2] <= PAGE_SECONDS

    items = list(Item.objects.filter(run=run).order_by("index"))
    failed = [item.index + 1 for item in items if item.status == "failed"]
    assert failed == FAILING
    assert all(f"Number {item.value} is not acceptable" in str(item.error) for item in items if item.error)
    assert [item.status for item in items].count("completed") == MANY - len(FAILING)
    # So large that it is kept beside its row.
    output: dict[str, Any] = whole(StepRun.objects.get(run=run, step_key="each").output, run.pk)
    assert (output["count"], output["failed"], len(output["errors"])) == (MANY, len(FAILING), len(FAILING))
    assert [error["index"] + 1 for error in output["errors"]] == FAILING
    assert model.count() == MANY, "each item was asked for once"
    event_types(run)

    server.mended = True
    made = Api(world.bob).post(f"/workflow-executions/{run.pk}/retry", {"items": "failed"})
    assert made.status_code in (200, 202), made.content
    again = Run.objects.get(pk=made.json()["id"])
    assert (again.pk != run.pk, again.origin_id) == (True, run.pk)
    eventually(lambda: Run.objects.get(pk=again.pk).is_over, PATIENCE_SECONDS)
    again.refresh_from_db()
    assert again.status == RunStatus.COMPLETED, again.error
    assert model.count() == MANY + len(FAILING), "only those that had failed were asked for again"
    fresh = list(Item.objects.filter(run=again).order_by("index"))
    assert [item.value for item in fresh] == list(range(1, MANY + 1))
    assert {item.status for item in fresh} == {"completed"}
    assert [item.index + 1 for item in fresh if not item.reused] == FAILING
    assert again.input_tokens == 20 * len(FAILING)
    assert Attempt.objects.filter(run=again).count() == len(FAILING)
    told = Event.objects.filter(run=again, type="fan_out_progress").order_by("seq")
    assert told[len(told) - 1].data["completed"] == MANY
    assert page_of(again, client)[1] <= 60
    assert list(examine()) == []
