"""What streams of server-sent events share: the bell that says when to read, the rights, the answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, ParamSpec, TypeVar, cast

import structlog
from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from django.http import HttpRequest, StreamingHttpResponse

from workflows.tenancy.api_auth import ApiRequest, actor_of

log = structlog.get_logger(__name__)

QUIET_SECONDS = 15.0
RIGHTS_SECONDS = 30.0
WITHOUT_REDIS_SECONDS = 2.0

P = ParamSpec("P")
T = TypeVar("T")


def stream_response(events: AsyncIterator[bytes]) -> StreamingHttpResponse:
    response = StreamingHttpResponse(events, content_type="text/event-stream; charset=utf-8")
    response["Cache-Control"] = "no-cache"
    # nginx would hold the events back.
    response["X-Accel-Buffering"] = "no"
    return response


def may_still(request: HttpRequest) -> bool:
    """Whether the key or the session still opens the run's tenant: both are read anew."""
    known = cast(ApiRequest, request)
    if known.actor.api_key is None and not request.session.exists(request.session.session_key or ""):
        return False
    for name in ("memberships", "membership", "actor"):
        known.tenancy.__dict__.pop(name, None)
    now = actor_of(request)
    return now is not None and now.tenant.pk == known.actor.tenant.pk


async def in_thread(ask: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """In any thread, whose connection is given back: a stream that is quiet for hours must hold neither."""
    found: T = await database_sync_to_async(ask, thread_sensitive=False)(*args, **kwargs)
    return found


class Bell:
    """Says when something was told to a channel group; without Redis, every few seconds that it may have been."""

    def __init__(self, group: str) -> None:
        self._group = group
        self._layer: Any = get_channel_layer()
        self._channel = ""
        self._waiting: asyncio.Task[Any] | None = None
        self._is_first = True

    async def listen(self) -> None:
        try:
            self._channel = await self._layer.new_channel()
            await self._layer.group_add(self._group, self._channel)
        except Exception as error:
            log.warning("event_stream_without_redis", error=str(error))
            self._channel = ""

    async def rings(self, at_most: float) -> bool:
        """Wait until there may be something new; False when it was quiet for so long."""
        if self._is_first:
            # What happened between the first reading and the listening.
            self._is_first = False
            return True
        if not self._channel:
            await asyncio.sleep(WITHOUT_REDIS_SECONDS)
            return True
        if self._waiting is None:
            self._waiting = asyncio.ensure_future(self._layer.receive(self._channel))
        done, _ = await asyncio.wait({self._waiting}, timeout=at_most)
        if not done:
            return False
        failed = self._waiting.exception()
        self._waiting = None
        if failed is not None:
            log.warning("event_stream_without_redis", error=str(failed))
            self._channel = ""
        return True

    async def close(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
        if self._channel:
            with contextlib.suppress(Exception):
                await self._layer.group_discard(self._group, self._channel)
