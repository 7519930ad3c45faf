"""A model endpoint that takes a stated time and next to none of the processor: what is measured is the caller.

The scripted server of the tests has a thread for each call; with twenty calls that end in the same moment it is itself
the queue. This one is a process of its own on one event loop, and answers with bytes made beforehand.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from config.launcher.processes import die_with
from config.paths import BASE_DIR

MODEL: Final = "fake-small"


def _chunk(delta: dict[str, str], finish: str | None = None, usage: dict[str, int] | None = None) -> bytes:
    data: dict[str, Any] = {
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": MODEL,
        "choices": [] if usage else [{"index": 0, "delta": delta, "finish_reason": finish}],
    }
    if usage:
        data["usage"] = usage
    return b"data: " + json.dumps(data).encode() + b"\n\n"


_BODY: Final = (
    _chunk({"content": "An answer."})
    + _chunk({}, "stop")
    + _chunk({}, usage={"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18})
    + b"data: [DONE]\n\n"
)
_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_REPLY: Final = _HEAD + f"{len(_BODY):x}\r\n".encode() + _BODY + b"\r\n0\r\n\r\n"


class _Call(asyncio.Protocol):
    """One connection that stays open: requests one after the other, each answered after the delay."""

    def __init__(self, delay_s: float) -> None:
        self.delay_s = delay_s
        self.buffer = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, rest = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = 0
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        if len(rest) >= length:
            self.buffer = rest[length:]
            asyncio.get_running_loop().call_later(self.delay_s, self._answer)

    def _answer(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(_REPLY)


@contextmanager
def endpoint(delay_s: float) -> Iterator[str]:
    """The server in a process of its own; what goes into OPENAI_BASE_URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.endpoint", str(delay_s)],
        stdout=subprocess.PIPE,
        cwd=BASE_DIR,
        preexec_fn=die_with(os.getpid()),
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().decode().strip()
    finally:
        process.kill()
        process.wait()


def seconds_of_bare_client(url: str, calls: int, at_once: int) -> float:
    """So many streamed calls with the openai client and nothing around them: what this machine can do at best."""
    return asyncio.run(_bare(url, calls, at_once))


async def _bare(url: str, calls: int, at_once: int) -> float:
    from openai import AsyncOpenAI

    numbers = iter(range(calls))
    async with AsyncOpenAI(base_url=url, api_key="bench", max_retries=0) as client:

        async def caller() -> None:
            for number in numbers:
                stream = await client.chat.completions.create(
                    model=MODEL, messages=[{"role": "user", "content": f"Say {number}"}], stream=True
                )
                async for _ in stream:
                    pass

        began = time.monotonic()
        await asyncio.gather(*(caller() for _ in range(at_once)))
        return time.monotonic() - began


async def _serve(delay_s: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Call(delay_s), "127.0.0.1", 0, backlog=512)
    sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1])))
