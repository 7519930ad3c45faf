"""Viewers of one run as raw websockets, for proofs: they do what static/js/run-live.js does, and hold it against itself.

    with Viewers(url, cookie, run, 46) as viewers:
        viewers.wait_open()
        ...
        viewers.all[0].text_of(step_run)

Each one keeps every text as it was told, counts holes and contradictions, connects again when its line breaks, and notes
how long after the model had sent a piece it was there.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import random
import sqlite3
import struct
import threading
import time
from bisect import bisect_left
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import UUID

from runs.models import StepRun
from tests.support.fake_openai import Reply

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 10.0


@dataclass(frozen=True)
class ClockedReply(Reply):
    """A reply with `pause_s` before each piece, that notes when it sent it: `sent` holds (characters so far, moment).

    From the piece `slow_from` on it only trickles until `go_on` is set: it must not be over before the test is there.
    """

    pause_s: float = 0.0
    slow_from: int = 1_000_000
    go_on: threading.Event = field(default_factory=threading.Event)
    sent: list[tuple[int, float]] = field(default_factory=list)

    def parts(self) -> Any:
        count = 0
        for place, piece in enumerate(super().parts()):
            if place < self.slow_from:
                time.sleep(self.pause_s)
            else:
                self.go_on.wait(3.0)
                time.sleep(self.pause_s)
            count += len(piece)
            self.sent.append((count, time.time()))
            yield piece


def stored_outputs(data_dir: Path, run: str) -> dict[str, tuple[str, Any]]:
    """What a stack's database holds, not what a page says of it: key and output of each finished row of a step, by its id."""
    address = f"file:{data_dir / 'stepwell.sqlite3'}?mode=ro"
    with contextlib.closing(sqlite3.connect(address, uri=True)) as database:
        rows = database.execute(
            f"SELECT id, step_key, output FROM {StepRun._meta.db_table} WHERE run_id = ? AND status = 'completed'",
            [UUID(run).hex],
        )
        return {str(UUID(pk)): (key, json.loads(output)) for pk, key, output in rows}


@dataclass
class Viewer:
    """One page. `gaps`: pieces that came with a hole before them; `differing`: that said otherwise than before."""

    number: int
    texts: dict[str, str] = field(default_factory=dict)
    step_of: dict[str, str] = field(default_factory=dict)
    parts: dict[str, str] = field(default_factory=dict)
    stamp: str = ""
    over: bool = False
    said: list[str] = field(default_factory=list)
    gaps: int = 0
    differing: int = 0
    connected: int = 0
    is_open: bool = False
    heard: list[tuple[str, int, float]] = field(default_factory=list)
    # When its line was open: [from, until], the last one without an end while it is.
    sessions: list[list[float]] = field(default_factory=list)

    def hear(self, message: dict[str, Any]) -> None:
        if "a" in message:
            self._hear_text(message)
        elif message.get("type") == "parts":
            self.stamp, self.over = message["stamp"], message["over"]
            self.parts.update({part["id"]: part["html"] for part in message["parts"]})
            self.said += message["say"]

    def _hear_text(self, message: dict[str, Any]) -> None:
        attempt, offset, delta = message["a"], message["o"], message["d"]
        known = self.texts.get(attempt, "")
        self.step_of[attempt] = message["t"]
        if offset > len(known):
            self.gaps += 1
            return
        again = known[offset : offset + len(delta)]
        if delta[: len(again)] != again:
            self.differing += 1
        self.texts[attempt] = known + delta[len(again) :]
        self.heard.append((attempt, len(self.texts[attempt]), time.time()))

    def text_of(self, step_run: str) -> str:
        """The text of this step, of its newest try; empty when nothing was told."""
        return next((self.texts[a] for a, step in reversed(self.step_of.items()) if step == step_run), "")

    def late_ms(self, step_run: str, sent: list[tuple[int, float]]) -> list[float]:
        """How late each piece of the step's text was here, after the model had sent it; of those sent while it listened."""
        moments = [moment for _, moment in sent]
        counts = [count for count, _ in sent]
        found: list[float] = []
        told = 0
        for attempt, length, at in self.heard:
            if self.step_of[attempt] != step_run:
                continue
            first, last = bisect_left(counts, told + 1), bisect_left(counts, length)
            found += [
                (at - moments[place]) * 1_000
                for place in range(first, min(last + 1, len(counts)))
                if self._listened(moments[place])
            ]
            told = length
        return found

    def _listened(self, moment: float) -> bool:
        # Not in the first second: that is still the catching up.
        return any(start + 1 < moment < (*rest, moment + 1)[0] for start, *rest in self.sessions)


class Viewers:
    """So many viewers, in an event loop of a thread of their own."""

    def __init__(self, url: str, cookie: str, run: str, count: int) -> None:
        self.host = urlsplit(url)
        self.cookie, self.run = cookie, run
        self.all = [Viewer(number) for number in range(count)]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._tasks: list[asyncio.Task[None]] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(lambda: [task.cancel() for task in self._tasks])
        self._loop.call_soon_threadsafe(self._loop.call_later, 0.2, self._loop.stop)
        self._thread.join(10)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._tasks = [self._loop.create_task(self._watch(viewer)) for viewer in self.all]
        self._loop.run_forever()

    @property
    def open(self) -> int:
        return sum(viewer.is_open for viewer in self.all)

    async def _watch(self, viewer: Viewer) -> None:
        """Connect, listen, and connect again with the pauses of the page's script."""
        pause = FIRST_PAUSE_S
        while True:
            try:
                reader, writer = await self._connected(viewer)
                viewer.is_open, pause = True, FIRST_PAUSE_S
                viewer.connected += 1
                viewer.sessions.append([time.time()])
                await _listen(viewer, reader, writer)
            except (OSError, EOFError, asyncio.IncompleteReadError):
                pass
            finally:
                if viewer.is_open:
                    viewer.sessions[-1].append(time.time())
                viewer.is_open = False
            await asyncio.sleep(pause * random.uniform(0.75, 1.25))
            pause = min(pause * 2, LONGEST_PAUSE_S)

    async def _connected(self, viewer: Viewer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """An open websocket. Raises OSError or EOFError where the server is away or says no."""
        async with asyncio.timeout(30):
            reader, writer = await asyncio.open_connection(self.host.hostname, self.host.port, limit=2**24)
            key = base64.b64encode(os.urandom(16)).decode()
            writer.write(
                f"GET /ws/runs/{self.run}/?stamp={viewer.stamp} HTTP/1.1\r\nHost: {self.host.netloc}\r\n"
                f"Origin: {self.host.scheme}://{self.host.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nCookie: {self.cookie}\r\n\r\n".encode()
            )
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 101 " not in head:
                writer.close()
                raise EOFError(head.decode("latin-1"))
            return reader, writer


async def _listen(viewer: Viewer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            kind, size = await reader.readexactly(2)
            size &= 127
            if size >= 126:
                wide = await reader.readexactly(2 if size == 126 else 8)
                size = struct.unpack("!H" if size == 126 else "!Q", wide)[0]
            body = await reader.readexactly(size)
            match kind & 15:
                case 1:
                    viewer.hear(json.loads(body))
                case 8:
                    return
                case 9:
                    # A pong is masked, as everything from a client.
                    writer.write(bytes([0x8A, 0x80 | len(body)]) + bytes(4) + body)
    finally:
        writer.close()
