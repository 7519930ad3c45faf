"""The stream of all runs of a workflow: nothing missed or told twice, also where transactions commit out of order."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.test import AsyncClient

from runs.api.workflow_events import Cursor
from runs.engine.statuses import EventType
from runs.models import Event, Run
from runs.progress import run_changed
from runs.selectors import events_of_workflow
from tests.support import runs
from tests.support.factories import World, bearer, key_of

pytestmark = pytest.mark.django_db(transaction=True)

ENOUGH = 20.0


def two_runs(world: World) -> tuple[Run, Run]:
    first = runs.run_of(world.bob, runs.graph(runs.step("one")), status="running")
    second = runs.run_of(world.bob, runs.graph(runs.step("one")), status="running")
    Run.objects.filter(pk=second.pk).update(workflow=first.workflow_id)
    return first, second


async def ask(world: World, run: Run, last: str = "") -> Any:
    key = await sync_to_async(key_of)(world.vera)
    headers = {"Last-Event-ID": last} if last else {}
    path = f"/api/workflows/{run.workflow_id}/events"
    return await AsyncClient().get(path, headers={**bearer(key), **headers})


async def take(stream: Any, count: int) -> list[tuple[str, dict[str, Any]]]:
    """The next events with their cursors."""
    found: list[tuple[str, dict[str, Any]]] = []
    async with asyncio.timeout(ENOUGH):
        while len(found) < count:
            chunk = (await anext(stream)).decode()
            if chunk.startswith("id: "):
                first, second = chunk.strip().split("\n")
                found.append((first.removeprefix("id: "), json.loads(second.removeprefix("data: "))))
    return found


@sync_to_async
def happens(run: Run, kind: EventType) -> None:
    runs.happened(run, kind, "one")
    run_changed(run.pk, run.tenant_id, run.event_seq)


async def test_events_of_every_run_of_the_workflow_arrive_from_now_on(world: World):
    first, second = await sync_to_async(two_runs)(world)
    await happens(first, EventType.RUN_STARTED)
    response = await ask(world, first)
    assert response["Content-Type"].startswith("text/event-stream")
    stream = response.streaming_content
    assert await anext(stream) == b":\n\n"
    await happens(second, EventType.RUN_STARTED)
    await happens(first, EventType.PROGRESS)
    told = [event for _, event in await take(stream, 2)]
    assert [(event["number"], event["seq"]) for event in told] == [(second.number, 1), (first.number, 2)]
    assert told[0]["workflow_execution_id"] == str(second.pk)
    await stream.aclose()


async def test_a_stream_goes_on_behind_the_event_that_was_received_last(world: World):
    first, second = await sync_to_async(two_runs)(world)
    stream = (await ask(world, first)).streaming_content
    await anext(stream)
    await happens(first, EventType.RUN_STARTED)
    await happens(second, EventType.RUN_STARTED)
    [(cursor, _), _] = await take(stream, 2)
    await stream.aclose()
    await happens(first, EventType.PROGRESS)
    again = (await ask(world, first, last=cursor)).streaming_content
    told = [(event["number"], event["seq"]) for _, event in await take(again, 2)]
    assert told == [(second.number, 1), (first.number, 2)]
    await again.aclose()


async def test_a_wrong_last_id_is_refused(world: World):
    first, _ = await sync_to_async(two_runs)(world)
    response = await ask(world, first, last="12;drop")
    assert response.status_code == 422
    assert response.json()["error"]["problems"][0]["field"] == "Last-Event-ID"


def test_a_row_that_commits_late_is_told_though_later_ids_were(world: World):
    first, second = two_runs(world)
    runs.happened(first, EventType.RUN_STARTED)
    late, early = 7_000, 7_001
    Event.objects.create(pk=early, run=second, tenant=second.tenant, seq=1, type=EventType.RUN_STARTED)
    cursor = Cursor(early - 10)
    for event in events_of_workflow(first.workflow_id, first.tenant_id, cursor.mark, cursor.told):
        cursor.tell(event)
    Event.objects.create(pk=late, run=first, tenant=first.tenant, seq=2, type=EventType.PROGRESS)
    found = events_of_workflow(first.workflow_id, first.tenant_id, cursor.mark, cursor.told)
    assert [event.pk for event in found] == [late]


def test_a_cursor_says_what_it_read_and_forgets_what_is_settled(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    first, _ = two_runs(world)
    runs.happened(first, EventType.RUN_STARTED)
    [event] = events_of_workflow(first.workflow_id, first.tenant_id, 0, {})
    cursor = Cursor(0)
    cursor.tell(event)
    assert str(cursor) == f"0-{first.number}.1"
    assert Cursor.parse(str(cursor)).told == {first.number: 1}
    cursor.settle()
    assert str(cursor) == f"0-{first.number}.1"
    monkeypatch.setattr("runs.api.workflow_events.SETTLED_SECONDS", 0.0)
    cursor.settle()
    assert str(cursor) == str(event.pk)
