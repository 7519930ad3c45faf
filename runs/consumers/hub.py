"""Live text in a web process: one Redis subscription, many listeners.

Text deltas reach the sockets without the channel layer, the database or a template. To follow an attempt without a
gap: `subscribe`, then `read_text`, then drop of each message what the text already holds (`offset` counts code points).

    mailbox: asyncio.Queue[Message] = asyncio.Queue(maxsize=500)
    unsubscribe = await hub.subscribe(run_id, mailbox)
    try:
        while (message := await mailbox.get()) is not hub.RESYNC: ...
    finally:
        unsubscribe()

A message is `{"step", "attempt", "offset", "delta"}`, with `"inner"` for steps inside containers, shared by all listeners: read it, do not change it. RESYNC means
that messages may be missing (Redis was away, or the listener was too slow): read the texts again.
"""

from __future__ import annotations

import asyncio
import json
import weakref
from collections.abc import Callable
from enum import Enum
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID

import structlog
from django.conf import settings
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from runs.progress import text_channel, text_key
from workflows.lib.jsontypes import JSONObject
from workflows.lib.redis_clients import async_client

log = structlog.get_logger(__name__)

# After this long without a word the server is asked whether it is still there; after twice as long it is not.
SILENCE_SECONDS = 10.0
SUBSCRIBE_SECONDS = 2.0
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 2.0
# For a listener's queue that names no limit of its own.
MOST_WAITING = 1_000
# Always subscribed, so that the connection is one for messages even while nobody listens.
OWN_CHANNEL = "text:hub"


class Resync(Enum):
    RESYNC = "resync"


RESYNC: Final = Resync.RESYNC
Message: TypeAlias = JSONObject | Literal[Resync.RESYNC]
Listener: TypeAlias = asyncio.Queue[Any] | Callable[[Message], None]
Unsubscribe: TypeAlias = Callable[[], None]


async def subscribe(run_id: UUID | str, listener: Listener) -> Unsubscribe:
    """Give the listener every delta of the run's live texts from now on; returns what ends it (it may be called twice).

    A queue that is full (`maxsize`, else MOST_WAITING) is emptied and gets RESYNC instead. A function is called in the event
    loop, must not block, and is dropped when it raises. While Redis is away this returns all the same, and RESYNC
    comes when it is back.
    """
    return await _current().subscribe(text_channel(run_id), listener)


async def read_text(attempt_id: UUID | str) -> str:
    """The live text of an attempt so far; empty when there is none or Redis is away (then read Attempt.text)."""
    return await _current().read_text(text_key(attempt_id))


async def close() -> None:
    """End the subscription of the running loop. For tests; a web process keeps it."""
    hub = _hubs.pop(asyncio.get_running_loop(), None)
    if hub is not None:
        await hub.close()


class Hub:
    """The subscription of one event loop."""

    def __init__(self) -> None:
        self._listeners: dict[str, dict[object, Listener]] = {}
        self._confirmed: dict[str, asyncio.Event] = {}
        self._pubsub: PubSub | None = None
        self._commands = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._reader: Redis | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def subscribe(self, channel: str, listener: Listener) -> Unsubscribe:
        key = object()
        listeners = self._listeners.setdefault(channel, {})
        listeners[key] = listener
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="live-text-hub")
        confirmed = self._confirmed.get(channel)
        if confirmed is None:
            confirmed = self._confirmed[channel] = asyncio.Event()
            self._in_background(self._tell("subscribe", channel))

        def unsubscribe() -> None:
            if listeners.pop(key, None) is None or listeners or self._listeners.get(channel) is not listeners:
                return
            del self._listeners[channel]
            self._confirmed.pop(channel, None)
            self._in_background(self._tell("unsubscribe", channel))

        try:
            await asyncio.wait_for(confirmed.wait(), SUBSCRIBE_SECONDS)
        except TimeoutError:
            log.warning("live_text_subscription_late", channel=channel)
        except asyncio.CancelledError:
            unsubscribe()
            raise
        return unsubscribe

    async def read_text(self, key: str) -> str:
        if self._reader is None:
            self._reader = async_client(settings.REDIS_CHANNELS_URL)
        for _ in range(2):
            try:
                raw = await self._reader.get(key)
            except (RedisError, OSError) as error:
                # Once more, because a restart closes the connections that wait in the pool.
                failure: Exception = error
                continue
            return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else ""
        log.warning("live_text_not_read", error=str(failure))
        return ""

    async def close(self) -> None:
        tasks = [task for task in (self._task, *self._tasks) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._reader is not None:
            await self._reader.aclose()

    def _in_background(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self, command: Literal["subscribe", "unsubscribe"], channel: str) -> None:
        """Change the subscription; without a connection there is nothing to do, the next one subscribes to all."""
        async with self._commands:
            wanted = channel in self._listeners
            if self._pubsub is None or wanted != (command == "subscribe"):
                return
            try:
                await getattr(self._pubsub, command)(channel)
            except (RedisError, OSError) as error:
                log.warning("live_text_subscription_failed", channel=channel, error=str(error))
                # The reader meets the same fault and connects anew.

    async def _run(self) -> None:
        """Read for ever; connect anew after every fault, and say RESYNC then."""
        pause = FIRST_PAUSE_SECONDS
        first = True
        while True:
            redis = async_client(settings.REDIS_CHANNELS_URL, answer_s=None)
            try:
                async with redis.pubsub() as pubsub:
                    async with self._commands:
                        await pubsub.subscribe(OWN_CHANNEL, *self._listeners)
                        self._pubsub = pubsub
                    if not first:
                        self._resync()
                    first = False
                    pause = FIRST_PAUSE_SECONDS
                    await self._read(pubsub)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                if pause == FIRST_PAUSE_SECONDS:
                    log.warning("live_text_connection_lost", error=str(error), kind=type(error).__name__)
                # Listeners that came while there was no connection missed something, too.
                first = False
            finally:
                self._pubsub = None
                await redis.aclose()
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _read(self, pubsub: PubSub) -> None:
        silent = False
        while True:
            message = await pubsub.get_message(timeout=SILENCE_SECONDS)
            if message is None:
                if silent:
                    raise RedisConnectionError("no answer from Redis")
                silent = True
                async with self._commands:
                    await pubsub.ping()
                continue
            silent = False
            match message["type"]:
                case "message":
                    self._deliver(message["channel"].decode(), message["data"])
                case "subscribe":
                    if confirmed := self._confirmed.get(message["channel"].decode()):
                        confirmed.set()

    def _deliver(self, channel: str, data: bytes) -> None:
        listeners = self._listeners.get(channel)
        if not listeners:
            return
        try:
            message = json.loads(data)
        except ValueError:
            log.warning("live_text_message_unreadable", channel=channel)
            return
        for key, listener in list(listeners.items()):
            self._hand_over(listeners, key, listener, message)

    def _resync(self) -> None:
        for listeners in list(self._listeners.values()):
            for key, listener in list(listeners.items()):
                self._hand_over(listeners, key, listener, RESYNC)

    def _hand_over(
        self, listeners: dict[object, Listener], key: object, listener: Listener, message: Message
    ) -> None:
        if isinstance(listener, asyncio.Queue):
            if listener.qsize() >= (listener.maxsize or MOST_WAITING):
                while not listener.empty():
                    listener.get_nowait()
                message = RESYNC
            listener.put_nowait(message)
            return
        try:
            listener(message)
        except Exception:
            log.exception("live_text_listener_failed")
            listeners.pop(key, None)


_hubs: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = weakref.WeakKeyDictionary()


def _current() -> Hub:
    loop = asyncio.get_running_loop()
    hub = _hubs.get(loop)
    if hub is None:
        hub = _hubs[loop] = Hub()
    return hub
