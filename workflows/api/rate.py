"""How many calls a key or a session may make a minute: one INCR in Redis, exact across all processes."""

from __future__ import annotations

import threading
import time
from functools import lru_cache
from typing import Final, cast

import structlog
from django.conf import settings
from redis import Redis
from redis.exceptions import RedisError

from workflows.lib import limits
from workflows.lib.errors import Fault, StepwellError
from workflows.lib.redis_clients import quick_client
from workflows.tenancy.actor import Actor

log = structlog.get_logger(__name__)

_WINDOW_SECONDS: Final = 60
# While Redis is away nobody waits for it with every call.
_REST_SECONDS: Final = 10.0

_lock = threading.Lock()
_resting_until = 0.0


class TooManyCalls(StepwellError):
    """The caller has made too many calls in this minute; `retry_after_s` says when the next one begins."""

    code = "too_many_calls"
    fault = Fault.AUTHOR
    status = 429

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


def count_call(actor: Actor) -> None:
    """Count a call of this key (or person in this tenant). Raises TooManyCalls; lets all pass while Redis is away."""
    global _resting_until
    if time.monotonic() < _resting_until:
        return
    now = int(time.time())
    window, passed = divmod(now, _WINDOW_SECONDS)
    name = f"api-calls:{_who(actor)}:{window}"
    try:
        pipe = _client().pipeline(transaction=False)
        pipe.incr(name)
        pipe.expire(name, _WINDOW_SECONDS)
        calls = cast(int, pipe.execute()[0])
    except (RedisError, OSError) as error:
        with _lock:
            _resting_until = time.monotonic() + _REST_SECONDS
        log.warning("api_calls_not_counted", error=str(error))
        return
    if calls > limits.API_CALLS_PER_MINUTE.value:
        raise TooManyCalls(limits.API_CALLS_PER_MINUTE.says(), _WINDOW_SECONDS - passed)


def _who(actor: Actor) -> str:
    if actor.api_key is not None:
        return f"key:{actor.api_key.pk}"
    return f"person:{actor.tenant.pk}:{actor.user.pk if actor.user is not None else ''}"


@lru_cache(maxsize=1)
def _client() -> Redis:
    return quick_client(settings.REDIS_CACHE_URL)
