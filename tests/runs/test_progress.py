"""What open pages are told: coalesced, in order, complete after an outage, and never at the driver's cost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from channels.layers import get_channel_layer
from redis import Redis
from redis.client import PubSub

from runs import progress
from tests.support.jobs import eventually

RUN, TENANT, STEP = uuid4(), uuid4(), uuid4()


async def told(run: UUID, group: str, until: int) -> list[dict[str, Any]]:
    """What the group hears while somebody calls, up to and with this seq."""

    def change_often() -> None:
        for seq in range(1, until + 1):
            progress.run_changed(run, TENANT, seq)

    layer = get_channel_layer()
    channel = await layer.new_channel()
    await layer.group_add(group, channel)
    try:
        await asyncio.to_thread(change_often)
        heard: list[dict[str, Any]] = []
        while not heard or heard[-1]["run"] != str(run) or heard[-1]["seq"] < until:
            heard.append(await asyncio.wait_for(layer.receive(channel), 10))
        return heard
    finally:
        await layer.flush()


@pytest.mark.parametrize("whose", ["run", "tenant"])
async def test_a_burst_of_changes_becomes_few_messages_and_the_last_one_is_among_them(whose: str) -> None:
    run = uuid4()
    group = progress.run_group(run) if whose == "run" else progress.tenant_runs_group(TENANT)
    heard = [message for message in await told(run, group, until=2_000) if message["run"] == str(run)]
    assert heard[-1] == {"type": "run.changed", "run": str(run), "seq": 2_000}
    seqs = [message["seq"] for message in heard]
    assert seqs == sorted(seqs)
    assert len(seqs) < 200


async def test_a_change_that_could_not_be_sent_is_sent_when_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    away = iter([True, True, False])

    async def send(run_id: object, tenant_id: object, seq: int) -> None:
        if next(away, False):
            raise ConnectionError("Redis is away")
        sent.append(seq)

    monkeypatch.setattr(progress, "_send", send)
    run = uuid4()
    progress.run_changed(run, TENANT, 7)
    progress.run_changed(run, TENANT, 8)
    assert await asyncio.to_thread(progress.flush, 10)
    assert sent[-1] == 8


def test_while_redis_is_away_only_so_many_runs_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    async def send(run_id: object, tenant_id: object, seq: int) -> None:
        raise ConnectionError("Redis is away")

    monkeypatch.setattr(progress, "_send", send)
    monkeypatch.setattr(progress, "RUNS_WAITING", 5)
    publisher = progress.Publisher()
    for _ in range(20):
        publisher.run_changed(uuid4(), TENANT, 1)
    assert len(publisher._changes) == 5
    publisher._changes.clear()


@pytest.fixture
def viewer(redis: Redis) -> Iterator[PubSub]:
    """Somebody who watches the run's live text."""
    with redis.pubsub(ignore_subscribe_messages=True) as pubsub:
        pubsub.subscribe(progress.text_channel(RUN))
        pubsub.get_message(timeout=5)
        yield pubsub


@pytest.fixture
def store() -> Iterator[Redis]:
    """A client of the database that holds the texts."""
    from django.conf import settings

    with Redis.from_url(settings.REDIS_CHANNELS_URL) as client:
        yield client


def assembled(viewer: PubSub, length: int) -> str:
    """The text as a browser builds it: overlaps cut by offset. A gap fails."""
    text = ""
    while len(text) < length:
        message = viewer.get_message(timeout=10)
        assert message is not None, f"only {text!r} came"
        told = json.loads(message["data"])
        assert told["offset"] <= len(text)
        text += told["delta"][len(text) - told["offset"] :]
    return text


def test_deltas_reach_the_viewer_and_the_string_complete_and_in_order(viewer: PubSub, store: Redis) -> None:
    attempt = uuid4()
    writer = progress.open_text(RUN, STEP, attempt)
    words = [f"word {number} " for number in range(500)]
    for word in words:
        writer.write(word)
    whole = "".join(words)
    assert assembled(viewer, len(whole)) == whole
    assert progress.flush()
    assert progress.read_text(attempt) == writer.text == whole
    assert 0 < store.ttl(progress.text_key(attempt)) <= progress.TEXT_KEPT_SECONDS


def test_a_delta_names_its_step_attempt_and_offset_in_code_points(viewer: PubSub) -> None:
    attempt = uuid4()
    writer = progress.open_text(RUN, str(STEP), str(attempt))
    writer.write("naïve 😀")
    progress.flush()
    writer.write("!")
    first, second = (json.loads(viewer.get_message(timeout=10)["data"]) for _ in range(2))
    assert first == {"step": str(STEP), "attempt": str(attempt), "offset": 0, "delta": "naïve 😀"}
    assert (second["offset"], second["delta"]) == (7, "!")


def test_a_lone_surrogate_becomes_one_question_mark() -> None:
    attempt = uuid4()
    writer = progress.open_text(RUN, STEP, attempt)
    writer.write("a\ud83db")
    progress.flush()
    assert progress.read_text(attempt) == writer.text == "a?b"


def test_when_redis_was_emptied_the_whole_text_is_stored_again(store: Redis) -> None:
    attempt = uuid4()
    writer = progress.open_text(RUN, STEP, attempt)
    writer.write("before ")
    progress.flush()
    store.flushall()
    writer.write("after")
    progress.flush()
    assert progress.read_text(attempt) == "before after"


def test_when_the_connection_breaks_nothing_is_lost_or_doubled(viewer: PubSub, store: Redis) -> None:
    attempt = uuid4()
    writer = progress.open_text(RUN, STEP, attempt)
    for number in range(20):
        writer.write(f"{number},")
        if number % 5 == 4:
            progress.flush()
            store.client_kill_filter(_type="normal", skipme=True)
    progress.flush()
    whole = "".join(f"{number}," for number in range(20))
    assert assembled(viewer, len(whole)) == whole
    assert progress.read_text(attempt) == whole


def test_after_close_what_waits_still_goes_out_and_nothing_more_is_taken() -> None:
    attempt = uuid4()
    writer = progress.open_text(RUN, STEP, attempt)
    writer.write("the end")
    writer.close()
    writer.write("too late")
    progress.flush()
    assert progress.read_text(attempt) == writer.text == "the end"


def test_a_closed_text_gives_up_when_redis_stays_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "BATCH_SECONDS", 0.001)
    monkeypatch.setattr(progress, "LONGEST_PAUSE_SECONDS", 0.001)
    tries = 0

    async def send(self: progress.Publisher, batches: list[progress.Batch]) -> list[progress.TextWriter]:
        nonlocal tries
        tries += 1
        raise ConnectionError("Redis is away")

    monkeypatch.setattr(progress.Publisher, "_send_batches", send)
    writer = progress.open_text(RUN, STEP, uuid4())
    writer.write("unheard")
    writer.close()
    assert progress.flush(10)
    assert tries >= progress.TRIES_AFTER_CLOSE
    assert writer.text == "unheard"


def test_an_unknown_text_reads_as_empty() -> None:
    assert progress.read_text(uuid4()) == ""


def test_a_forked_child_gets_a_publisher_of_its_own() -> None:
    mine = progress._publisher()
    progress._forget()
    assert eventually(progress._publisher) is not mine
