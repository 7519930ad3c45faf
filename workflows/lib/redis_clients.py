"""Redis clients with stated deadlines: the library's own (5 s a read, ten tries) suit neither a page nor a blocking pop."""

from __future__ import annotations

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

CONNECT_SECONDS = 2.0
# Redis answers within a millisecond; a page or a driver must not wait long for one that is frozen.
ANSWER_SECONDS = 2.0


def quick_client(url: str) -> Redis:
    """A client that says soon that Redis is away; one more try covers a connection that a restart has closed."""
    return Redis.from_url(
        url,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=ANSWER_SECONDS,
        retry=Retry(NoBackoff(), 1),
    )


def blocking_client(url: str, *, longest_wait_s: float, name: str) -> Redis:
    """A client for pops that block up to `longest_wait_s`; it never tries again by itself.

    `name` is what `CLIENT LIST` shows for each of its connections.
    """
    return Redis.from_url(
        url,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=longest_wait_s + ANSWER_SECONDS,
        client_name=name,
        retry=Retry(NoBackoff(), 0),
    )


def async_client(url: str, *, answer_s: float | None = ANSWER_SECONDS) -> AsyncRedis:
    """A client for one event loop; `answer_s` None waits for ever (subscriptions). It never tries again by itself."""
    return AsyncRedis.from_url(
        url,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=answer_s,
        retry=AsyncRetry(NoBackoff(), 0),
    )
