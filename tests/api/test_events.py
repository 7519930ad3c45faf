"""The stream of a run's events: everything once, in order, resumable, and only for those who may look."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.test import AsyncClient

from runs import progress
from runs.api import events, streams
from runs.engine.statuses import EventType
from runs.models import Run
from tests.support import runs
from tests.support.factories import World, bearer, key_of
from workflows.lib.clock import utc_now
from workflows.tenancy.models import ApiKey, Membership

pytestmark = pytest.mark.django_db(transaction=True)

ENOUGH = 20.0


def a_run(world: World, status: str = "running") -> Run:
    run = runs.run_of(world.bob, runs.graph(runs.step("one")), status=status)
    runs.happened(run, EventType.RUN_STARTED, by="Bob")
    runs.happened(run, EventType.PROGRESS, "one")
    return run


def ends(run: Run) -> None:
    runs.happened(run, EventType.RUN_COMPLETED)
    runs.happened(run, EventType.DONE, status="completed")
    Run.objects.filter(pk=run.pk).update(status="completed")
    progress.run_changed(run.pk, run.tenant_id, run.event_seq)


async def ask(world: World, run: Run, last: int | str | None = None) -> Any:
    key = await sync_to_async(key_of)(world.vera)
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    return await AsyncClient().get(
        f"/api/workflow-executions/{run.pk}/events", headers={**bearer(key), **headers}
    )


async def read(response: Any) -> list[dict[str, Any]]:
    """Every event up to the end of the stream."""
    raw = b""
    async with asyncio.timeout(ENOUGH):
        async for chunk in response.streaming_content:
            raw += chunk
    return parsed(raw)


def parsed(raw: bytes) -> list[dict[str, Any]]:
    found = []
    for block in raw.decode().split("\n\n"):
        if block and not block.startswith(":"):
            first, second = block.split("\n")
            event = json.loads(second.removeprefix("data: "))
            assert first == f"id: {event['seq']}"
            found.append(event)
    return found


async def test_a_run_that_is_over_gives_all_its_events_and_ends(world: World):
    run = await sync_to_async(a_run)(world)
    await sync_to_async(ends)(run)
    response = await ask(world, run)
    assert response.status_code == 200
    assert response["Content-Type"].startswith("text/event-stream")
    found = await read(response)
    assert [event["type"] for event in found] == ["run_started", "progress", "run_completed", "done"]
    assert found[0]["by"] == "Bob"
    assert [event["seq"] for event in await read(await ask(world, run, last=2))] == [3, 4]
    assert (await ask(world, run, last=4)).status_code == 204


async def test_events_arrive_as_they_happen(world: World):
    run = await sync_to_async(a_run)(world)
    response = await ask(world, run)
    stream = response.streaming_content
    async with asyncio.timeout(ENOUGH):
        assert parsed(await anext(stream))[0]["type"] == "run_started"
        assert parsed(await anext(stream))[0]["type"] == "progress"
        waiting = asyncio.ensure_future(read(response))
        await asyncio.sleep(0)
        await sync_to_async(ends)(run)
        assert [event["type"] for event in await waiting] == ["run_completed", "done"]


async def test_without_redis_the_rows_are_read_every_few_seconds(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(streams, "WITHOUT_REDIS_SECONDS", 0.01)

    def away() -> Any:
        class Away:
            async def new_channel(self) -> str:
                raise OSError("away")

        return Away()

    monkeypatch.setattr(streams, "get_channel_layer", away)
    run = await sync_to_async(a_run)(world)
    response = await ask(world, run)
    waiting = asyncio.ensure_future(read(response))
    await asyncio.sleep(0)
    await sync_to_async(ends)(run)
    assert len(await waiting) == 4


async def test_more_events_than_are_read_at_once_all_come(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(events, "_AT_ONCE", 2)
    run = await sync_to_async(a_run)(world)
    for _ in range(3):
        await sync_to_async(runs.happened)(run, EventType.PROGRESS, "one")
    await sync_to_async(ends)(run)
    assert [event["seq"] for event in await read(await ask(world, run))] == list(range(1, 8))


async def test_a_revoked_key_is_shown_out(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(events, "RIGHTS_SECONDS", 0.0)
    monkeypatch.setattr(events, "QUIET_SECONDS", 0.01)
    run = await sync_to_async(a_run)(world)
    response = await ask(world, run)
    stream = response.streaming_content
    async with asyncio.timeout(ENOUGH):
        await anext(stream)
        await sync_to_async(lambda: ApiKey.objects.update(revoked_at=utc_now()))()
        assert [event["seq"] for event in await read(response)] == [2]


async def test_a_person_who_is_no_longer_a_member_is_shown_out(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(events, "RIGHTS_SECONDS", 0.0)
    monkeypatch.setattr(events, "QUIET_SECONDS", 0.01)
    run = await sync_to_async(a_run)(world)
    client = AsyncClient()
    assert world.vera.user is not None
    await client.aforce_login(world.vera.user, backend="django.contrib.auth.backends.ModelBackend")
    response: Any = await client.get(f"/api/workflow-executions/{run.pk}/events")
    stream = response.streaming_content
    async with asyncio.timeout(ENOUGH):
        await anext(stream)
        await sync_to_async(lambda: Membership.objects.filter(user=world.vera.user).delete())()
        assert [event["seq"] for event in await read(response)] == [2]


async def test_a_wrong_last_id_is_refused(world: World):
    run = await sync_to_async(a_run)(world)
    response = await ask(world, run, last="newest")
    assert response.status_code == 422
    assert response.json()["error"]["problems"][0]["field"] == "Last-Event-ID"
