"""A run's events as a stream of server-sent events, resumable by `Last-Event-ID`.

1. It listens first and reads then, so that nothing falls in between.
2. The rows are the truth: a word from the channel layer only says that it is worth reading. While Redis is away they
   are read every few seconds.
3. Every half minute it asks again whether the caller may still look; silence is filled with comments, so that
   proxies keep the line and a client that has gone is noticed.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable

from asgiref.sync import sync_to_async
from django.db import close_old_connections
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from runs.api.shapes import event_json
from runs.api.streams import QUIET_SECONDS, RIGHTS_SECONDS, Bell, in_thread, may_still, stream_response
from runs.models import Event, Run
from runs.progress import run_group
from runs.selectors import events_after
from workflows.lib.errors import Invalid, Problem

_AT_ONCE = 200

GetRun = Callable[[HttpRequest, str], Run]


async def stream_of(request: HttpRequest, id: str, get_run: GetRun) -> HttpResponseBase:
    """The stream from behind the event that `Last-Event-ID` names; 204 when a run that is over has no more."""
    seq = _last_event_id(request)
    run, first = await _read(request, id, get_run, seq)
    if run.is_over and not first:
        return HttpResponse(status=204)
    return stream_response(_events(request, run, first, seq))


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


async def _events(request: HttpRequest, run: Run, first: list[Event], seq: int) -> AsyncIterator[bytes]:
    # The request's own thread is kept until the stream ends; its connection to the database need not be.
    await sync_to_async(close_old_connections)()
    bell = Bell(run_group(run.pk))
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
                    if not await in_thread(may_still, request):
                        return
                    asked = time.monotonic()
            found, over = await in_thread(_more, run, seq)
    finally:
        await bell.close()


def _more(run: Run, seq: int) -> tuple[list[Event], bool]:
    """What came since, and whether the run was over before it was read."""
    now = Run.objects.only("status").get(pk=run.pk, tenant_id=run.tenant_id)
    return events_after(run.pk, run.tenant_id, seq, _AT_ONCE), now.is_over


def _chunk(event: Event) -> bytes:
    data = json.dumps(event_json(event), ensure_ascii=False, separators=(",", ":"))
    return f"id: {event.seq}\ndata: {data}\n\n".encode("utf-8", "replace")
