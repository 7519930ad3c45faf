"""The hub: one subscription, many listeners, none of whom can hurt another; it outlives Redis."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import settings
from redis.asyncio import Redis

from runs.consumers import hub
from runs.progress import text_channel, text_key

RUN = uuid4()


@pytest.fixture
async def redis() -> AsyncIterator[Redis]:
    async with Redis.from_url(settings.REDIS_CHANNELS_URL) as client:
        yield client
    await hub.close()


def mailbox(size: int = 100) -> asyncio.Queue[Any]:
    return asyncio.Queue(maxsize=size)


async def say(redis: Redis, delta: str, run: UUID = RUN) -> None:
    message = {"step": "s", "attempt": "a", "offset": 0, "delta": delta}
    await redis.publish(text_channel(run), json.dumps(message))


async def heard(box: asyncio.Queue[Any]) -> Any:
    message = await asyncio.wait_for(box.get(), 10)
    return message if message is hub.RESYNC else message["delta"]


async def subscriptions(redis: Redis) -> dict[str, int]:
    channels = (text_channel(RUN), hub.OWN_CHANNEL)
    counts = await redis.pubsub_numsub(*channels)
    return {channel: int(count) for channel, (_, count) in zip(channels, counts, strict=True)}


async def until(redis: Redis, expected: dict[str, int]) -> None:
    async with asyncio.timeout(10):
        while await subscriptions(redis) != expected:  # noqa: ASYNC110  (Redis tells nobody)
            await asyncio.sleep(0.01)


async def test_everybody_hears_their_runs_text_over_one_subscription(redis: Redis) -> None:
    first, second, other = mailbox(), mailbox(), mailbox()
    other_run = uuid4()
    await hub.subscribe(RUN, first)
    await hub.subscribe(str(RUN), second)
    await hub.subscribe(other_run, other)
    assert await subscriptions(redis) == {text_channel(RUN): 1, hub.OWN_CHANNEL: 1}
    await say(redis, "one")
    await say(redis, "two", other_run)
    assert [await heard(first), await heard(second), await heard(other)] == ["one", "one", "two"]
    assert first.empty()
    assert second.empty()


async def test_after_subscribe_returns_nothing_is_missed(redis: Redis) -> None:
    for number in range(20):
        run, box = uuid4(), mailbox()
        await hub.subscribe(run, box)
        await say(redis, str(number), run)
        assert await heard(box) == str(number)


async def test_the_last_listener_to_leave_ends_the_channel(redis: Redis) -> None:
    first, second = mailbox(), mailbox()
    leave_first = await hub.subscribe(RUN, first)
    leave_second = await hub.subscribe(RUN, second)
    leave_first()
    leave_first()
    await say(redis, "still")
    assert await heard(second) == "still"
    assert first.empty()
    leave_second()
    await until(redis, {text_channel(RUN): 0, hub.OWN_CHANNEL: 1})


async def test_leaving_and_coming_back_at_once_hears_on(redis: Redis) -> None:
    for _ in range(20):
        leave = await hub.subscribe(RUN, mailbox())
        leave()
        box = mailbox()
        leave = await hub.subscribe(RUN, box)
        await say(redis, "here")
        assert await heard(box) == "here"
        leave()


async def test_a_slow_listener_is_told_to_read_again_and_the_others_miss_nothing(redis: Redis) -> None:
    slow, quick = mailbox(3), mailbox()
    await hub.subscribe(RUN, slow)
    await hub.subscribe(RUN, quick)
    for number in range(8):
        await say(redis, str(number))
    assert [await heard(quick) for _ in range(8)] == [str(number) for number in range(8)]
    assert await heard(slow) is hub.RESYNC
    assert slow.qsize() <= 2


async def test_a_queue_without_a_limit_does_not_grow_for_ever(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "MOST_WAITING", 3)
    endless, quick = mailbox(0), mailbox()
    await hub.subscribe(RUN, endless)
    await hub.subscribe(RUN, quick)
    for number in range(4):
        await say(redis, str(number))
    assert [await heard(quick) for _ in range(4)] == ["0", "1", "2", "3"]
    assert await heard(endless) is hub.RESYNC


async def test_a_function_that_fails_is_dropped_and_the_others_hear_on(redis: Redis) -> None:
    calls = 0

    def broken(message: hub.Message) -> None:
        nonlocal calls
        calls += 1
        raise RuntimeError("meant to fail")

    box = mailbox()
    await hub.subscribe(RUN, broken)
    await hub.subscribe(RUN, box)
    await say(redis, "one")
    await say(redis, "two")
    assert [await heard(box), await heard(box)] == ["one", "two"]
    assert calls == 1


async def test_a_function_hears_each_message(redis: Redis) -> None:
    box = mailbox()
    await hub.subscribe(RUN, box.put_nowait)
    await say(redis, "one")
    assert await heard(box) == "one"


async def test_a_lost_connection_is_made_again_and_listeners_are_told(redis: Redis) -> None:
    box = mailbox()
    await hub.subscribe(RUN, box)
    for round_ in range(3):
        await redis.client_kill_filter(_type="pubsub")
        assert await heard(box) is hub.RESYNC
        await say(redis, f"after {round_}")
        assert await heard(box) == f"after {round_}"


async def test_a_message_that_is_no_json_is_passed_over(redis: Redis) -> None:
    box = mailbox()
    await hub.subscribe(RUN, box)
    await redis.publish(text_channel(RUN), b"\xff{")
    await say(redis, "sound")
    assert await heard(box) == "sound"


async def test_without_redis_subscribing_returns_and_the_return_of_redis_is_told(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "SUBSCRIBE_SECONDS", 0.01)
    box = mailbox()
    with monkeypatch.context() as away:
        away.setattr(settings, "REDIS_CHANNELS_URL", "unix:///nowhere/redis.sock?db=1")
        await hub.subscribe(RUN, box)
        assert await hub.read_text(uuid4()) == ""
    assert await heard(box) is hub.RESYNC
    await say(redis, "back")
    assert await heard(box) == "back"


async def test_a_server_that_says_nothing_more_is_left(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "SILENCE_SECONDS", 0.05)
    box = mailbox()
    await hub.subscribe(RUN, box)

    async def deaf(self: object, message: object = None) -> bool:
        return True

    with monkeypatch.context() as patch:
        patch.setattr("redis.asyncio.client.PubSub.ping", deaf)
        assert await heard(box) is hub.RESYNC


async def test_the_text_so_far_is_read(redis: Redis) -> None:
    attempt = uuid4()
    await redis.set(text_key(attempt), "naïve 😀".encode())
    assert await hub.read_text(attempt) == "naïve 😀"
    assert await hub.read_text(str(uuid4())) == ""
