"""Breakers, rate limits and concurrency of provider accounts: shared over Redis, kept in the process while it is away.

Nothing here raises for Redis or waits long for it: a call to a model must not hang on its own bookkeeping. What was
kept in the process is forgotten when Redis is back; the worst that follows is one call too many.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
import uuid
import weakref
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, TypeVar

import structlog
from django.conf import settings
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import RedisError, WatchError

from workflows.lib.redis_clients import async_client, quick_client
from workflows.providers.breaker import PATIENCE, Breaker, Verdict
from workflows.providers.errors import ProviderError

log = structlog.get_logger(__name__)

_T = TypeVar("_T")

# Redis answers within a millisecond; after this it counts as away, for a while without asking.
_ANSWER_S: Final = 1.0
_AWAY_S: Final = 5.0
# A breaker that nobody has touched for so long is forgotten.
_KEPT_S: Final = 3_600
_LONGEST_HOLD_S: Final = 600.0
_POLL_S: Final = (0.02, 0.25)

# A place in the rate: the account's next free moment moves on by one interval (GCRA). Times in ms.
# Returns the wait, or -1 where it would be longer than allowed (then nothing is taken).
_TAKE: Final = """
local now, interval, burst, longest = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local held = tonumber(redis.call('GET', KEYS[2]) or '0') - now
if held < 0 then held = 0 end
if interval == 0 then
  if held > longest then return -1 end
  return math.ceil(held)
end
local at = tonumber(redis.call('GET', KEYS[1]) or '0')
if at < now then at = now end
local wait = at - now - interval * (burst - 1)
if wait < held then wait = held end
if wait > longest then return -1 end
redis.call('SET', KEYS[1], at + interval, 'PX', math.ceil(at + interval - now) + 1000)
return math.ceil(wait)
"""
# A slot among `most`: those whose time has passed (a worker died) are free again.
_ENTER: Final = """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], ARGV[3], ARGV[4])
redis.call('PEXPIREAT', KEYS[1], ARGV[3])
return 1
"""


class ProviderGates:
    """See `workflows.providers.fallback.Gates`. One object serves all threads and loops of a process."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncRedis] = (
            weakref.WeakKeyDictionary()
        )
        self._away_until = 0.0
        self._lock = threading.Lock()
        self._breakers: OrderedDict[str, Breaker] = OrderedDict()
        self._rates: dict[str, float] = {}
        self._holds: dict[str, float] = {}
        self._slots: dict[str, dict[str, float]] = {}

    # --- breakers ---

    async def ask(self, name: str) -> tuple[Breaker, Verdict]:
        def step(breaker: Breaker) -> tuple[Breaker, tuple[Breaker, Verdict]]:
            after, verdict = breaker.ask(time.time())
            return after, (breaker, verdict)

        return await self._change(name, step)

    async def succeeded(self, name: str) -> None:
        await self._change(name, lambda breaker: (breaker.succeeded(), None))

    async def failed(self, name: str, error: ProviderError) -> None:
        if error.code in PATIENCE and error.retry_after_s:
            await self._hold(name, min(error.retry_after_s, _LONGEST_HOLD_S))
        reason = error.message if not error.detail else f"{error.message} {error.detail}"

        def step(breaker: Breaker) -> tuple[Breaker, None]:
            return breaker.failed(time.time(), code=error.code, reason=reason[:300]), None

        await self._change(name, step)

    def reset(self, name: str) -> None:
        """Forget what was held against an account: its key was changed, or a test has just succeeded."""
        with self._lock:
            self._breakers.pop(name, None)
            self._holds.pop(name, None)
        try:
            with quick_client(self._url) as redis:
                redis.delete(_key("breaker", name), _key("hold", name))
        except (RedisError, OSError) as error:
            log.info("provider_gates_away", error=str(error))

    def breakers(self, names: Iterable[str]) -> Mapping[str, Breaker]:
        """The states by name, for pages; untouched where nothing is known."""
        names = list(names)
        found: dict[str, Breaker] = {}
        try:
            with quick_client(self._url) as redis:
                values: list[Any] = redis.mget([_key("breaker", name) for name in names]) if names else []
            found = {name: _read(raw) for name, raw in zip(names, values, strict=True) if raw}
        except (RedisError, OSError) as error:
            log.info("provider_gates_away", error=str(error))
        with self._lock:
            return {name: found.get(name) or self._breakers.get(name, Breaker()) for name in names}

    async def _change(self, name: str, step: Callable[[Breaker], tuple[Breaker, _T]]) -> _T:
        """Put the breaker through `step`, which gives the new state and an answer; written only where it differs."""
        key = _key("breaker", name)

        async def work(redis: AsyncRedis) -> _T:
            for _ in range(8):
                async with redis.pipeline(transaction=True) as pipe:
                    try:
                        await pipe.watch(key)
                        before = _read(await pipe.get(key))
                        after, answer = step(before)
                        if after != before:
                            pipe.multi()  # type: ignore[no-untyped-call]
                            if after.is_untouched:
                                pipe.delete(key)
                            else:
                                pipe.set(key, json.dumps(after.to_json()), ex=_KEPT_S)
                            await pipe.execute()
                        return answer
                    except WatchError:
                        continue
            return answer

        def here() -> _T:
            with self._lock:
                after, answer = step(self._breakers.get(name, Breaker()))
                self._breakers.pop(name, None)
                if not after.is_untouched:
                    self._breakers[name] = after
                    while len(self._breakers) > 1_000:
                        self._breakers.popitem(last=False)
                return answer

        return await self._with_redis(work, here)

    # --- rate ---

    async def _hold(self, name: str, seconds: float) -> None:
        """The vendor asked for a pause: nothing goes to this account before it is over."""
        until = (time.time() + seconds) * 1_000

        async def work(redis: AsyncRedis) -> None:
            await redis.set(_key("hold", name), round(until), px=max(round(seconds * 1_000), 1))

        def here() -> None:
            with self._lock:
                self._holds[name] = until

        await self._with_redis(work, here)

    async def wait_for_rate(self, name: str, *, per_minute: int | None, longest_s: float) -> float | None:
        interval = 60_000 / per_minute if per_minute else 0.0
        # A tenth of a minute's calls may go at once.
        burst = max(1, round(per_minute / 10)) if per_minute else 1
        longest = min(longest_s, 3_600) * 1_000

        async def work(redis: AsyncRedis) -> float | None:
            keys = (_key("rate", name), _key("hold", name))
            answer: Any = redis.eval(
                _TAKE, 2, *keys, str(time.time() * 1_000), str(interval), str(burst), str(longest)
            )
            wait = int(await answer)
            return None if wait < 0 else wait / 1_000

        def here() -> float | None:
            now = time.time() * 1_000
            with self._lock:
                held = max(self._holds.get(name, 0.0) - now, 0.0)
                at = max(self._rates.get(name, 0.0), now)
                wait = max(at - now - interval * (burst - 1), held) if interval else held
                if wait > longest:
                    return None
                if interval:
                    self._rates[name] = at + interval
            return wait / 1_000

        return await self._with_redis(work, here)

    # --- concurrency ---

    def slot(
        self, name: str, *, most: int | None, longest_s: float, held_s: float
    ) -> AbstractAsyncContextManager[bool]:
        return self._slot(name, most or 1_000_000, longest_s, held_s)

    @asynccontextmanager
    async def _slot(self, name: str, most: int, longest_s: float, held_s: float) -> AsyncIterator[bool]:
        mine = uuid.uuid4().hex
        give_up = time.monotonic() + longest_s
        pause, entered = _POLL_S[0], False
        try:
            while not (entered := await self._enter(name, mine, most, held_s)) and time.monotonic() < give_up:
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, _POLL_S[1])
            yield entered
        finally:
            if entered:
                # Also on cancellation: a slot that is kept would be lost to the others for minutes.
                await asyncio.shield(self._leave(name, mine))

    async def _enter(self, name: str, mine: str, most: int, held_s: float) -> bool:
        now = time.time() * 1_000
        until = round(now + held_s * 1_000)

        async def work(redis: AsyncRedis) -> bool:
            answer: Any = redis.eval(_ENTER, 1, _key("slots", name), str(now), str(most), str(until), mine)
            return bool(await answer)

        def here() -> bool:
            with self._lock:
                slots = self._slots.setdefault(name, {})
                for slot, end in list(slots.items()):
                    if end < now:
                        del slots[slot]
                if len(slots) >= most:
                    return False
                slots[mine] = until
                return True

        return await self._with_redis(work, here)

    async def _leave(self, name: str, mine: str) -> None:
        with self._lock:
            self._slots.get(name, {}).pop(mine, None)

        async def work(redis: AsyncRedis) -> None:
            await redis.zrem(_key("slots", name), mine)

        await self._with_redis(work, lambda: None)

    # --- Redis, or this process ---

    async def _with_redis(self, work: Callable[[AsyncRedis], Awaitable[_T]], here: Callable[[], _T]) -> _T:
        if time.monotonic() >= self._away_until:
            try:
                async with asyncio.timeout(_ANSWER_S):
                    return await work(self._client())
            except (RedisError, OSError, TimeoutError) as error:
                self._away_until = time.monotonic() + _AWAY_S
                log.info("provider_gates_away", error=str(error))
        return here()

    def _client(self) -> AsyncRedis:
        loop = asyncio.get_running_loop()
        with self._lock:
            client = self._clients.get(loop)
            if client is None:
                client = self._clients[loop] = async_client(self._url)
            return client


def _key(what: str, name: str) -> str:
    return f"gate:{what}:{name}"


def _read(raw: Any) -> Breaker:
    if not raw:
        return Breaker()
    try:
        return Breaker.from_json(json.loads(raw))
    except (ValueError, TypeError):  # of another release
        return Breaker()


_gates: ProviderGates | None = None
_gates_lock = threading.Lock()


def the_gates() -> ProviderGates:
    """The gates of this process, made on first use."""
    global _gates
    with _gates_lock:
        if _gates is None:
            _gates = ProviderGates(settings.REDIS_CHANNELS_URL)
        return _gates
