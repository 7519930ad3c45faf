"""A local server that stands for the world outside: answers by path as a test says, and keeps what it was sent.

with Outside() as server:
    server.answer("/orders", Answer(json={"id": 7}))
    settings.OUTBOUND_ALLOW = [server.host]
"""

from __future__ import annotations

import json as json_module
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True)
class Answer:
    """One answer. `chunks` are written one by one and the connection then closed, with no length said.

    `wait` holds the rest back after the first chunk until the test sets it. `length` lies about the length.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    json: Any = None
    chunks: Iterable[bytes] | None = None
    wait: threading.Event | None = None
    length: int | None = None
    hang_up: bool = False


@dataclass(frozen=True)
class Sent:
    """A request as it came. Header names are in small letters."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json_module.loads(self.body)


class Outside:
    """See the module. `asked` is set with the first request, `closed` is set when the client hung up while an answer was being written."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.default = Answer(json={"ok": True})
        self.requests: list[Sent] = []
        self.asked = threading.Event()
        self.closed = threading.Event()
        outside = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                body = self.rfile.read(length)
                headers = {key.lower(): value for key, value in self.headers.items()}
                outside.requests.append(Sent(self.command, self.path, headers, body))
                outside.asked.set()
                outside._write(self, outside._next(self.path.partition("?")[0]))

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = handle_one

            def log_message(self, format: str, *args: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self.host = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.host}"

    def answer(self, path: str, *answers: Answer) -> None:
        """Answers to a path, in order; the last one for ever."""
        self.answers[path] = list(answers)

    def _next(self, path: str) -> Answer:
        found = self.answers.get(path)
        if not found:
            return self.default
        return found.pop(0) if len(found) > 1 else found[0]

    def _write(self, handler: BaseHTTPRequestHandler, answer: Answer) -> None:
        handler.close_connection = True
        if answer.hang_up:
            return
        body = answer.body if answer.json is None else json_module.dumps(answer.json).encode()
        headers = dict(answer.headers)
        if answer.json is not None:
            headers.setdefault("Content-Type", "application/json")
        handler.send_response(answer.status)
        for name, value in headers.items():
            handler.send_header(name, value)
        if answer.chunks is None:
            handler.send_header("Content-Length", str(len(body) if answer.length is None else answer.length))
        handler.send_header("Connection", "close")
        handler.end_headers()
        try:
            for place, chunk in enumerate(answer.chunks if answer.chunks is not None else [body]):
                if place and answer.wait is not None:
                    answer.wait.wait(10)
                handler.wfile.write(chunk)
                handler.wfile.flush()
        except OSError:
            self.closed.set()

    def __enter__(self) -> Self:
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
