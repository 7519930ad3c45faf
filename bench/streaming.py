"""How late a model's text is at the fiftieth viewer: a real worker, Redis, web server and sockets; nothing lost, nothing doubled."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from django.db import connection
from django.test import Client

from bench.report import percentile, row, section
from bench.support import DATA_DIR, Bench, publish
from bench.workers import workers
from config.launcher.processes import die_with
from config.paths import BASE_DIR
from runs.models import Attempt, Run
from runs.services.start_run import start_run
from tests.support.fake_openai import FakeOpenAI, Reply
from tests.support.redis import redis_server
from tests.support.stack import free_port

VIEWERS: Final = 50
PER_SECOND: Final = 20
SECONDS: Final = 10
TARGET_MS: Final = 50.0
PATIENCE_S: Final = 120.0


class Timed(Reply):
    """An answer whose every piece is the moment at which it was sent (Unix seconds). It waits for `go` first."""

    def parts(self) -> Any:
        assert self.wait is not None
        self.wait.wait(PATIENCE_S)
        due = time.monotonic()
        for _ in range(PER_SECOND * SECONDS):
            due += 1 / PER_SECOND
            time.sleep(max(due - time.monotonic(), 0))
            yield f"{time.time():.6f} "


@dataclass
class Viewer:
    """One open page: the text as it came, and how late each piece was, in ms."""

    text: str = ""
    read: int = 0
    late_ms: list[float] = field(default_factory=list)
    gaps: int = 0

    def hear(self, message: dict[str, Any], at: float) -> None:
        if "d" not in message:
            return
        if message["o"] != len(self.text):
            self.gaps += 1
        self.text += message["d"]
        while (end := self.text.find(" ", self.read)) >= 0:
            self.late_ms.append((at - float(self.text[self.read : end])) * 1_000)
            self.read = end + 1


@contextmanager
def web(port: int) -> Iterator[None]:
    """The web server as `make run` starts it, ready to answer."""
    with (DATA_DIR / "web.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "daphne", "-b", "127.0.0.1", "-p", str(port), "config.asgi:application"],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ.copy(),
            cwd=BASE_DIR,
            preexec_fn=die_with(os.getpid()),
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


async def watch(port: int, cookie: str, run: Run, viewer: Viewer, opened: asyncio.Event) -> None:
    """Open the socket of a run's page as a browser does, and read until the run is over."""
    reader, writer = await _connected(port)
    key = base64.b64encode(os.urandom(16)).decode()
    writer.write(
        f"GET /ws/runs/{run.pk}/ HTTP/1.1\r\nHost: localhost:{port}\r\nOrigin: http://localhost:{port}\r\n"
        f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
        f"Cookie: {cookie}\r\n\r\n".encode()
    )
    head = await reader.readuntil(b"\r\n\r\n")
    if b" 101 " not in head:
        raise RuntimeError(f"The socket was refused: {head!r}")
    opened.set()
    while True:
        kind, size = await reader.readexactly(2)
        size &= 127
        if size >= 126:
            size = struct.unpack(
                "!H" if size == 126 else "!Q", await reader.readexactly(2 if size == 126 else 8)
            )[0]
        body = await reader.readexactly(size)
        if kind & 15 == 8:
            break
        if kind & 15 == 1:
            viewer.hear(json.loads(body), time.time())
            if len(viewer.late_ms) == PER_SECOND * SECONDS:
                break
    writer.close()


async def _connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return await asyncio.open_connection("127.0.0.1", port, limit=2**22)
        except OSError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.2)


async def watched(port: int, cookie: str, run: Run, answer: Timed) -> list[Viewer]:
    """Everybody's view of the run; the model begins when all have their page open."""
    viewers = [Viewer() for _ in range(VIEWERS)]
    opened = [asyncio.Event() for _ in viewers]
    tasks = [
        asyncio.create_task(watch(port, cookie, run, viewer, event))
        for viewer, event in zip(viewers, opened, strict=True)
    ]
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*(event.wait() for event in opened))
        # The first snapshots are on their way then; they are no part of the stream.
        await asyncio.sleep(2)
        assert answer.wait is not None
        answer.wait.set()
        await asyncio.gather(*tasks)
    return viewers


def main() -> None:
    bench = Bench.get()
    port = free_port()
    answer = Timed(wait=threading.Event())
    with FakeOpenAI() as endpoint, redis_server(DATA_DIR):
        endpoint.default = lambda request: answer
        os.environ |= {"OPENAI_BASE_URL": endpoint.url, "OPENAI_API_KEY": "sk-bench"}
        section(f"Streaming on {connection.vendor}: {VIEWERS} viewers, {PER_SECOND} messages a second")
        config = {"prompt": "Say the time", "model": "openai:fake-small"}
        workflow = publish(bench, {"nodes": [{"id": "a", "type": "llm", "name": "Say", "config": config}]})
        browser = Client()
        assert bench.actor.user is not None
        browser.force_login(bench.actor.user)
        cookie = "; ".join(f"{name}={morsel.value}" for name, morsel in browser.cookies.items())
        with workers(1), web(port):
            run = start_run(workflow=workflow, actor=bench.actor, input_data={})
            viewers = asyncio.run(watched(port, cookie, run, answer))
            deadline = time.monotonic() + PATIENCE_S
            while not Run.objects.filter(pk=run.pk, status="completed").exists():
                if time.monotonic() > deadline:
                    raise RuntimeError("The run does not end.")
                time.sleep(0.1)
    whole = Attempt.objects.get(run=run).text
    late = [ms for viewer in viewers for ms in viewer.late_ms]
    row("the model's piece → the viewer's socket, median", percentile(late, 0.5), "ms")
    row("the model's piece → the viewer's socket, p95", percentile(late, 0.95), "ms", target=TARGET_MS)
    wrong = sum(1 for viewer in viewers if viewer.text != whole or viewer.gaps)
    row(
        "viewers whose text was not whole, once",
        wrong,
        "viewers",
        target=0,
        note=f"{len(late):,} pieces came",
    )


if __name__ == "__main__":
    main()
