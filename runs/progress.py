"""The only publisher: tells open pages that a run changed, and streams live text. Never waits, never raises.

1. Callers (drivers, executors) hand over under a lock and go on; one asyncio loop in a thread of its own talks to
   Redis, over connections that stay open.
2. Changes of a run are coalesced: the first goes out at once, then at most one every WINDOW_SECONDS, the last always.
3. Deltas of all live texts are collected for BATCH_SECONDS and go out in one round trip: appended to the text's
   string (for those who join late) and published (for those who watch).
4. APPEND answers the string's length. When it is not what it must be, Redis was emptied: the text is set anew.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

import structlog
from channels.layers import get_channel_layer
from django.conf import settings
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import RedisError

from workflows.lib.redis_clients import async_client, quick_client

log = structlog.get_logger(__name__)

WINDOW_SECONDS = 0.05
BATCH_SECONDS = 0.04
SEND_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 2.0
# While Redis is away, changes of this many runs wait to be told; older ones are forgotten (pages read rows anyway).
RUNS_WAITING = 10_000
TEXT_KEPT_SECONDS = 24 * 60 * 60
# Tries to tell the end of a closed text; its step's row holds the text by then.
TRIES_AFTER_CLOSE = 5


def run_group(run_id: UUID | str) -> str:
    """The channel group of one run's open pages."""
    return f"run.{_hex(run_id)}"


def tenant_runs_group(tenant_id: UUID | str) -> str:
    """The channel group of a tenant's open lists of runs."""
    return f"tenant.{_hex(tenant_id)}.runs"


def text_channel(run_id: UUID | str) -> str:
    """The Redis pub/sub channel of a run's live text."""
    return f"text:{_hex(run_id)}"


def text_key(attempt_id: UUID | str) -> str:
    """The Redis string that holds the text of one attempt so far."""
    return f"text:{_hex(attempt_id)}"


def run_changed(run_id: UUID | str, tenant_id: UUID | str, seq: int) -> None:
    """Tell open pages that the run's events reach `seq`. Call it after the commit."""
    _publisher().run_changed(UUID(str(run_id)), UUID(str(tenant_id)), seq)


def open_text(
    run_id: UUID | str, step_run_id: UUID | str, attempt_id: UUID | str, *, inner: bool = False
) -> TextWriter:
    """A writer for the live text of one attempt; `inner`: of a step inside a container, for who looks at its item."""
    ids = (UUID(str(run_id)), UUID(str(step_run_id)), UUID(str(attempt_id)))
    return TextWriter(_publisher(), *ids, inner=inner)


def read_text(attempt_id: UUID | str) -> str:
    """The live text of an attempt so far; empty when there is none or Redis is away (then read Attempt.text)."""
    try:
        raw = _reader().get(text_key(attempt_id))
    except (RedisError, OSError) as error:
        log.warning("live_text_not_read", attempt=str(attempt_id), error=str(error))
        return ""
    return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else ""


def flush(timeout_s: float = 2.0) -> bool:
    """Wait until everything handed over so far is sent; False when it took longer. For shut-down and tests."""
    return _publisher().flush(timeout_s)


class TextWriter:
    """The live text of one attempt. `write` may be called from any thread."""

    def __init__(
        self, publisher: Publisher, run_id: UUID, step_run_id: UUID, attempt_id: UUID, *, inner: bool = False
    ) -> None:
        self._publisher = publisher
        self._channel = text_channel(run_id)
        self._key = text_key(attempt_id)
        self._step = str(step_run_id)
        self._attempt = str(attempt_id)
        self._inner = {"inner": True} if inner else {}
        self._lock = threading.Lock()
        # Told, as one text, and what came since; both are joined lazily, so that a long text costs no copies.
        self._told: list[str] = []
        self._waiting: list[str] = []
        self._told_chars = 0
        self._stored_bytes = 0
        self._store_whole = False
        self._failures = 0
        self.closed = False

    def write(self, delta: str) -> None:
        """Add to the text. Lone surrogates become `?`, so that offsets count the same everywhere."""
        if not delta:
            return
        if not delta.isascii():
            delta = delta.encode("utf-8", "replace").decode("utf-8")
        with self._lock:
            if self.closed:
                return
            self._waiting.append(delta)
        self._publisher.text_waits(self)

    @property
    def text(self) -> str:
        """The whole text so far, told or not."""
        with self._lock:
            return "".join((*self._told, *self._waiting))

    def close(self) -> None:
        """No more text comes; what waits still goes out. Returns at once."""
        with self._lock:
            self.closed = True
        self._publisher.text_waits(self)

    # --- used by the publisher, in its loop -----------------------------------------------------

    def take(self) -> Batch | None:
        """What to send now; None when nothing waits."""
        with self._lock:
            if not self._waiting and not self._store_whole:
                return None
            delta = "".join(self._waiting)
            offset = self._told_chars
            self._told.append(delta)
            self._waiting = []
            self._told_chars += len(delta)
            whole = "".join(self._told) if self._store_whole else None
        stored = delta.encode() if whole is None else whole.encode()
        expected = (self._stored_bytes if whole is None else 0) + len(stored)
        place = {"step": self._step, "attempt": self._attempt, **self._inner}
        message = {**place, "offset": offset, "delta": delta}
        return Batch(
            writer=self,
            key=self._key,
            channel=self._channel,
            stored=stored,
            expected_bytes=expected,
            whole=whole is not None,
            offset=offset,
            # Nothing new to tell those who watch when only the string is set anew.
            message=json.dumps(message, ensure_ascii=False) if delta else None,
        )

    def stored(self, batch: Batch, length: int) -> None:
        """The batch is out; `length` is what Redis says the string's bytes are now."""
        self._failures = 0
        self._stored_bytes = batch.expected_bytes
        self._store_whole = length != batch.expected_bytes

    def not_stored(self, batch: Batch) -> bool:
        """Nobody knows what arrived: say it again from the same offset. False when it is not worth another try."""
        with self._lock:
            self._waiting.insert(0, self._told.pop())
            self._told_chars = batch.offset
            self._store_whole = True
            self._failures += 1
            return not (self.closed and self._failures >= TRIES_AFTER_CLOSE)


@dataclass(frozen=True, slots=True)
class Batch:
    """One text's part of a round trip; `expected_bytes` is what the string must hold after it."""

    writer: TextWriter
    key: str
    channel: str
    stored: bytes
    expected_bytes: int
    whole: bool
    offset: int
    message: str | None


@dataclass(slots=True)
class Change:
    """The newest seq of a run that pages are to be told of."""

    tenant_id: UUID
    seq: int


class Publisher:
    """The loop thread of this process and what waits to be sent."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changes: dict[UUID, Change] = {}
        self._texts: dict[TextWriter, None] = {}
        self._loop = asyncio.new_event_loop()
        # The loop keeps only weak references to its tasks.
        self._tasks: set[asyncio.Task[None]] = set()
        self._texts_task_runs = False
        self._redis: AsyncRedis | None = None
        threading.Thread(target=self._run, name="progress", daemon=True).start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def run_changed(self, run_id: UUID, tenant_id: UUID, seq: int) -> None:
        with self._lock:
            change = self._changes.get(run_id)
            if change is not None:
                change.seq = max(change.seq, seq)
                return
            if len(self._changes) >= RUNS_WAITING:
                self._changes.pop(next(iter(self._changes)))
            change = self._changes[run_id] = Change(tenant_id, seq)
        self._start(self._announce(run_id, change))

    def text_waits(self, writer: TextWriter) -> None:
        with self._lock:
            self._texts[writer] = None
            if self._texts_task_runs:
                return
            self._texts_task_runs = True
        self._start(self._send_texts())

    def flush(self, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while self._changes or self._texts_task_runs:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        def start() -> None:
            task = self._loop.create_task(work)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        self._loop.call_soon_threadsafe(start)

    async def _announce(self, run_id: UUID, change: Change) -> None:
        """Send the run's newest seq until it stays the same for a window."""
        pause = WINDOW_SECONDS
        while True:
            seq = change.seq
            try:
                await asyncio.wait_for(_send(run_id, change.tenant_id, seq), SEND_SECONDS)
            except Exception as error:
                if pause == WINDOW_SECONDS:
                    log.warning(
                        "progress_not_sent", run=str(run_id), error=str(error), kind=type(error).__name__
                    )
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
                sent = False
            else:
                pause = WINDOW_SECONDS
                sent = True
            await asyncio.sleep(pause)
            with self._lock:
                if self._changes.get(run_id) is not change:
                    # Forgotten because too many wait.
                    return
                if sent and change.seq == seq:
                    del self._changes[run_id]
                    return

    async def _send_texts(self) -> None:
        """Send what waits of all texts, batch by batch, until nothing waits."""
        pause = BATCH_SECONDS
        while True:
            with self._lock:
                writers = list(self._texts)
                self._texts.clear()
                if not writers:
                    self._texts_task_runs = False
                    return
            batches = [batch for writer in writers if (batch := writer.take())]
            again: list[TextWriter] = []
            if batches:
                try:
                    again = await asyncio.wait_for(self._send_batches(batches), SEND_SECONDS)
                    pause = BATCH_SECONDS
                except Exception as error:
                    if pause == BATCH_SECONDS:
                        log.warning("live_text_not_sent", error=str(error), kind=type(error).__name__)
                    pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
                    again = [batch.writer for batch in batches if batch.writer.not_stored(batch)]
            with self._lock:
                self._texts.update(dict.fromkeys(again))
            await asyncio.sleep(pause)

    async def _send_batches(self, batches: list[Batch]) -> list[TextWriter]:
        """One round trip; returns the writers whose string must be set anew."""
        if self._redis is None:
            self._redis = async_client(settings.REDIS_CHANNELS_URL)
        pipeline = self._redis.pipeline(transaction=False)
        for batch in batches:
            if batch.whole:
                pipeline.set(batch.key, batch.stored, ex=TEXT_KEPT_SECONDS)
            else:
                pipeline.append(batch.key, batch.stored)
                pipeline.expire(batch.key, TEXT_KEPT_SECONDS)
            if batch.message is not None:
                pipeline.publish(batch.channel, batch.message)
        answers = iter(await pipeline.execute())
        wrong: list[TextWriter] = []
        for batch in batches:
            first = next(answers)
            length = batch.expected_bytes if batch.whole else int(first)
            # The answers to EXPIRE and PUBLISH say nothing that matters.
            for _ in range((not batch.whole) + (batch.message is not None)):
                next(answers)
            batch.writer.stored(batch, length)
            if length != batch.expected_bytes:
                wrong.append(batch.writer)
        return wrong


async def _send(run_id: UUID, tenant_id: UUID, seq: int) -> None:
    layer = get_channel_layer()
    message = {"type": "run.changed", "run": str(run_id), "seq": seq}
    await layer.group_send(run_group(run_id), message)
    await layer.group_send(tenant_runs_group(tenant_id), message)


_made: Publisher | None = None
_making = threading.Lock()


def _publisher() -> Publisher:
    global _made
    if _made is None:
        with _making:
            if _made is None:
                _made = Publisher()
    return _made


def _forget() -> None:
    """A forked child has the object but not its thread."""
    global _made, _making
    _made = None
    _making = threading.Lock()


os.register_at_fork(after_in_child=_forget)


@lru_cache(maxsize=1)
def _reader() -> Redis:
    return quick_client(settings.REDIS_CHANNELS_URL)


def _hex(value: UUID | str) -> str:
    return UUID(str(value)).hex
