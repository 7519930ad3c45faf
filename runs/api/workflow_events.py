"""The events of all runs of a workflow as one stream of server-sent events, resumable by `Last-Event-ID`.

Events are numbered per run, and transactions of different runs commit in any order: a row's id says nothing about what
was readable when a later id was. So the stream remembers two things, and its `id:` carries both:

1. a mark: a row id below which everything has been told, because it is older than any transaction lasts;
2. for each run that did something since, the last `seq` that was told (`MARK-RUN.SEQ-RUN.SEQ…`, runs by their number).

Whatever lies above the mark and is not told yet is told, in the order of its rows; so nothing is missed or told twice.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import close_old_connections
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from ninja import Router

from runs.api.shapes import event_json
from runs.api.streams import QUIET_SECONDS, RIGHTS_SECONDS, Bell, in_thread, may_still, stream_response
from runs.models import Event
from runs.progress import tenant_runs_group
from runs.selectors import events_of_workflow, last_event_row
from workflows.api.base import THING
from workflows.api.workflows import get_workflow
from workflows.lib.errors import Invalid, Problem
from workflows.models import Workflow

router = Router(tags=["Executions"])

_AT_ONCE = 200
AT_MOST_EVERY_SECONDS = 0.1
# Longer than a driver's transaction is open.
SETTLED_SECONDS = 10.0
_CURSOR = re.compile(r"[0-9]{1,16}(-[0-9]{1,10}\.[0-9]{1,16})*", re.ASCII)
_LONGEST_CURSOR = 16_000


@dataclass(slots=True)
class Cursor:
    """How far a stream has told. `told`: the last seq by run number, of runs with rows above the mark."""

    mark: int
    told: dict[int, int] = field(default_factory=dict)
    # When rows were told: (monotonic seconds, row id, run number), oldest first.
    recent: deque[tuple[float, int, int]] = field(default_factory=deque)

    @classmethod
    def parse(cls, text: str) -> Cursor:
        mark, *runs = text.split("-")
        return cls(int(mark), dict(_pair(run) for run in runs))

    def __str__(self) -> str:
        return "-".join([str(self.mark), *(f"{number}.{seq}" for number, seq in self.told.items())])

    def tell(self, event: Event) -> None:
        self.told[event.run.number] = event.seq
        self.recent.append((time.monotonic(), event.pk, event.run.number))

    def settle(self) -> None:
        """Raise the mark to what was told long enough ago, and forget runs that did nothing since."""
        before = time.monotonic() - SETTLED_SECONDS
        if not self.recent or self.recent[0][0] > before:
            return
        while self.recent and self.recent[0][0] <= before:
            self.mark = max(self.mark, self.recent.popleft()[1])
        active = {number for _, _, number in self.recent}
        self.told = {number: seq for number, seq in self.told.items() if number in active}


def _pair(text: str) -> tuple[int, int]:
    number, _, seq = text.partition(".")
    return int(number), int(seq)


@router.get(
    "/{id}/events",
    response={200: None, **THING},
    operation_id="follow_workflow",
    summary="Follow all runs of a workflow",
    openapi_extra={
        "parameters": [
            {
                "in": "header",
                "name": "Last-Event-ID",
                "required": False,
                "schema": {"type": "string"},
                "description": "The `id` of the last event that was received; the stream goes on behind it.",
            }
        ],
        "responses": {
            200: {"description": "Events", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
        },
    },
)
async def follow(request: HttpRequest, id: str) -> HttpResponseBase:
    """Server-sent events of every run, from now on or from behind `Last-Event-ID`. Each is `id: CURSOR` and `data: JSON`
    as in an execution's own stream, with `workflow_execution_id` and `number`. `seq` counts per execution."""
    last = _last_event_id(request)
    workflow, newest = await _open(request, id)
    cursor = Cursor.parse(last) if last else Cursor(newest)
    return stream_response(_events(request, workflow.pk, workflow.tenant_id, cursor))


def _last_event_id(request: HttpRequest) -> str:
    text = request.headers.get("Last-Event-ID", "").strip()
    if text and not (len(text) <= _LONGEST_CURSOR and _CURSOR.fullmatch(text)):
        message = "Last-Event-ID must be the `id` of an event of this stream."
        problem = Problem("bad_value", message, field="Last-Event-ID", path="header.Last-Event-ID")
        raise Invalid(message, problems=(problem,))
    return text


@sync_to_async
def _open(request: HttpRequest, id: str) -> tuple[Workflow, int]:
    workflow = get_workflow(request, id)
    return workflow, last_event_row(workflow.tenant_id)


async def _events(
    request: HttpRequest, workflow_id: UUID, tenant_id: UUID, cursor: Cursor
) -> AsyncIterator[bytes]:
    # The request's own thread is kept until the stream ends; its connection to the database need not be.
    await sync_to_async(close_old_connections)()
    bell = Bell(tenant_runs_group(tenant_id))
    await bell.listen()
    asked = time.monotonic()
    try:
        # Proxies and clients see at once that the line is open.
        yield b":\n\n"
        while True:
            read = time.monotonic()
            found = await in_thread(
                events_of_workflow, workflow_id, tenant_id, cursor.mark, dict(cursor.told), _AT_ONCE
            )
            for event in found:
                cursor.tell(event)
                yield _chunk(event, cursor)
            cursor.settle()
            if len(found) == _AT_ONCE:
                continue
            if not await bell.rings(QUIET_SECONDS):
                yield b":\n\n"
            # The bell rings for every run of the workspace.
            await asyncio.sleep(max(0.0, read + AT_MOST_EVERY_SECONDS - time.monotonic()))
            if time.monotonic() - asked > RIGHTS_SECONDS:
                if not await in_thread(may_still, request):
                    return
                asked = time.monotonic()
    finally:
        await bell.close()


def _chunk(event: Event, cursor: Cursor) -> bytes:
    run = {"workflow_execution_id": str(event.run_id), "number": event.run.number}
    data = json.dumps({**event_json(event), **run}, ensure_ascii=False, separators=(",", ":"))
    return f"id: {cursor}\ndata: {data}\n\n".encode("utf-8", "replace")
