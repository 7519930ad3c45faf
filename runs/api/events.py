"""A run's events as a stream of server-sent events, resumable by `Last-Event-ID`.

1. It listens first and reads then, so that nothing falls in between.
2. The rows are the truth: a word from the channel layer only says that it is worth reading. While Redis is away they
   are read every few seconds.
3. Every half minute it asks again whether the caller may still look; silence is filled with comments, so that
   proxies keep the line and a client that has gone is noticed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, ParamSpec, TypeVar, cast

import structlog
from asgiref.sync import sync_to_async
from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from django.db import close_old_connections
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from runs.api.shapes import event_json
from runs.models import Event, Run
from runs.progress import run_group
from runs.selectors import events_after
from workflows.lib.errors import Invalid, Problem
from workflows.tenancy.api_auth import ApiRequest, actor_of

log = structlog.get_logger(__name__)

QUIET_SECONDS = 15.0
RIGHTS_SECONDS = 30.0
WITHOUT_REDIS_SECONDS = 2.0
_AT_ONCE = 200

P = ParamSpec("P")
T = TypeVar("T")
GetRun = Callable[[HttpRequest, str], Run]


async def stream_of(request: HttpRequest, id: str, get_run: GetRun) -> HttpResponseBase:
    """The stream from behind the event that `Last-Event-ID` names; 204 when a run that is over has no more."""
    seq = _last_event_id(request)
    run, first = await _read(request, id, get_run, seq)
    if run.is_over and not first:
        return HttpResponse(status=204)
    response = StreamingHttpResponse(
        _events(request, run, first, seq), content_type="text/event-stream; charset=utf-8"
    )
    response["Cache-Control"] = "no-cache"
    # nginx would hold the events back.
    response["X-Accel-Buffering"] = "no"
    return response


def _last_event_id(request: HttpRequest) -> int:
    text = request.headers.get("Last-Event-ID", "").strip() or "0"
    if not (text.isascii() and text.isdecimal() and len(text) < 17):
        message = "Last-Event-ID must be the `id` of an event, a whole number."
        problem = Problem("bad_value", message, field="Last-Event-ID", path="header.Last-Event-ID")
        raise Invalid(message, problems=(problem,))
    return int(text)


@sync_to_async
def _read(request: HttpRequest, id: str, get_run: GetRun, seq: int) -> tuple[Run, list[Event]]:
    # The run first: events that come behind its end would be read all the same.
    run = get_run(request, id)
    return run, events_after(run.pk, run.tenant_id, seq, _AT_ONCE)


def _may_still(request: HttpRequest) -> bool:
    """Whether the key or the session still opens the run's tenant: both are read anew."""
    known = cast(ApiRequest, request)
    if known.actor.api_key is None and not request.session.exists(request.session.session_key or ""):
        return False
    for name in ("memberships", "membership", "actor"):
        known.tenancy.__dict__.pop(name, None)
    now = actor_of(request)
    return now is not None and now.tenant.pk == known.actor.tenant.pk


async def _in_thread(ask: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """In any thread, whose connection is given back: a stream that is quiet for hours must hold neither."""
    found: T = await database_sync_to_async(ask, thread_sensitive=False)(*args, **kwargs)
    return found


async def _events(request: HttpRequest, run: Run, first: list[Event], seq: int) -> AsyncIterator[bytes]:
    # The request's own thread is kept until the stream ends; its connection to the database need not be.
    await sync_to_async(close_old_connections)()
    bell = _Bell(run)
    await bell.listen()
    asked = time.monotonic()
    try:
        found, over = first, False
        while True:
            for event in found:
                seq = event.seq
                yield _chunk(event)
            if len(found) < _AT_ONCE:
                if over:
                    return
                if not await bell.rings(QUIET_SECONDS):
                    yield b":\n\n"
                if time.monotonic() - asked > RIGHTS_SECONDS:
                    if not await _in_thread(_may_still, request):
                        return
                    asked = time.monotonic()
            found, over = await _in_thread(_more, run, seq)
    finally:
        await bell.close()


def _more(run: Run, seq: int) -> tuple[list[Event], bool]:
    """What came since, and whether the run was over before it was read."""
    now = Run.objects.only("status").get(pk=run.pk, tenant_id=run.tenant_id)
    return events_after(run.pk, run.tenant_id, seq, _AT_ONCE), now.is_over


def _chunk(event: Event) -> bytes:
    data = json.dumps(event_json(event), ensure_ascii=False, separators=(",", ":"))
    return f"id: {event.seq}\ndata: {data}\n\n".encode("utf-8", "replace")


class _Bell:
    """Says when the run has changed; without Redis, every few seconds that it may have."""

    def __init__(self, run: Run) -> None:
        self._group = run_group(run.pk)
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
