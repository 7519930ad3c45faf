"""A local server that speaks the OpenAI protocol and behaves as a script tells it: for tests of every layer.

    with FakeOpenAI() as server:
        server.script(Reply(status=429, headers={"Retry-After": "7"}), Reply(text="Hello"))
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)

Replies are used in order, then `server.default` for ever (it answers with a sentence made from the prompt).
`server.when("word in the prompt", Reply(...))` chooses by the prompt, for runs whose steps are concurrent.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True)
class Reply:
    """One answer. `text` is streamed in `pieces` (default: words), `delay_s` before each of them.

    `status` other than 200 sends `body` (JSON) or `html`. `cut_after` pieces the connection is closed with no
    finish; `clean_cut` ends the stream politely instead, still without one. `error_after` pieces an error event
    is sent inside the stream. `wait` is an event that holds the answer back until the test sets it;
    `hold_after` pieces it is held back until then instead of at once.
    """

    text: str = ""
    pieces: Sequence[str] | None = None
    delay_s: float = 0.0
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    html: str | None = None
    finish_reason: str | None = "stop"
    cut_after: int | None = None
    clean_cut: bool = False
    error_after: int | None = None
    error: Any = None
    refusal: str = ""
    usage: tuple[int, int] | None = (11, 7)
    cached: int = 0
    done: bool = True
    whole: bool = False
    wait: threading.Event | None = None
    hold_after: int = 0

    def parts(self) -> list[str]:
        if self.pieces is not None:
            return list(self.pieces)
        words = self.text.split(" ")
        return [word if place == 0 else f" {word}" for place, word in enumerate(words)] if self.text else []


@dataclass(frozen=True)
class Request:
    """A request as it came: path, headers (lower case) and parsed body."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def prompt(self) -> str:
        """All messages as one text."""
        return "\n".join(str(message.get("content", "")) for message in self.body.get("messages", ()))


class FakeOpenAI:
    """The server; use it as a context manager. Thread-safe; binds a free port of the loopback unless told one."""

    def __init__(self, port: int = 0, *, models: Sequence[str] = ("fake-small", "fake-large")) -> None:
        self.requests: list[Request] = []
        self.models = tuple(models)
        self.default: Callable[[Request], Reply] = answer_from_prompt
        self.disconnected = threading.Event()
        self._replies: list[Reply] = []
        self._rules: list[tuple[str, list[Reply], bool]] = []
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.fake = self
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> Self:
        self._thread.start()
        return self

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """What goes into OPENAI_BASE_URL."""
        return f"http://127.0.0.1:{self.port}/v1"

    def script(self, *replies: Reply) -> None:
        """Answer the next requests with these, in order."""
        with self._lock:
            self._replies.extend(replies)

    def when(self, words: str, *replies: Reply, always: bool = False) -> None:
        """Answer requests whose prompt holds `words` with these, in order (`always`: the last one for ever)."""
        with self._lock:
            self._rules.append((words, list(replies), always))

    def reset(self) -> None:
        with self._lock:
            self.requests.clear()
            self._replies.clear()
            self._rules.clear()
            self.disconnected.clear()

    def count(self, words: str = "") -> int:
        """How many chat requests came whose prompt holds these words."""
        with self._lock:
            return sum(words in request.prompt for request in self.requests)

    def _reply_to(self, request: Request) -> Reply:
        with self._lock:
            self.requests.append(request)
            for words, replies, always in self._rules:
                if words in request.prompt and replies:
                    return replies[0] if always and len(replies) == 1 else replies.pop(0)
            if self._replies:
                return self._replies.pop(0)
        return self.default(request)


def answer_from_prompt(request: Request) -> Reply:
    """A plain answer that quotes the end of the prompt; JSON of the schema's shape where one was asked for."""
    schema = ((request.body.get("response_format") or {}).get("json_schema") or {}).get("schema")
    if schema:
        from workflows.providers.demo import instance_of

        return Reply(text=json.dumps(instance_of(schema)))
    last = str((request.body.get("messages") or [{}])[-1].get("content", "")).strip()
    words = " ".join(last.split()[-12:])
    return Reply(text=f"The fake model {request.body.get('model')} read the prompt and answers: {words}.")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512
    fake: FakeOpenAI


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: the tests read `requests`."""

    def do_GET(self) -> None:
        if self.path.rstrip("/").endswith("/models"):
            listed = [
                {"id": name, "object": "model", "created": 0, "owned_by": "fake"}
                for name in self.server.fake.models
            ]
            self._send(200, "application/json", json.dumps({"object": "list", "data": listed}).encode())
        else:
            self._send(404, "application/json", b'{"error": {"message": "Not found"}}')

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Request(
            self.path, {name.lower(): value for name, value in self.headers.items()}, json.loads(raw or b"{}")
        )
        fake = self.server.fake
        reply = fake._reply_to(request)
        if reply.wait is not None and not reply.hold_after:
            reply.wait.wait(60)
        try:
            if reply.html is not None:
                self._send(reply.status, "text/html; charset=utf-8", reply.html.encode(), reply.headers)
            elif reply.status != 200:
                body = (
                    reply.body if reply.body is not None else {"error": {"message": f"Status {reply.status}"}}
                )
                self._send(reply.status, "application/json", json.dumps(body).encode(), reply.headers)
            elif reply.whole or not request.body.get("stream"):
                self._send(200, "application/json", json.dumps(reply.body or _whole(request, reply)).encode())
            else:
                self._stream(request, reply)
        except OSError:
            fake.disconnected.set()
            self.close_connection = True

    def _send(
        self, status: int, content_type: str, body: bytes, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, request: Request, reply: Reply) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        model = request.body.get("model", "")
        for place, piece in enumerate(reply.parts()):
            if reply.wait is not None and reply.hold_after == place and place:
                self._hold(reply.wait)
            if place == reply.cut_after:
                break
            if place == reply.error_after:
                self._event(
                    {"error": reply.error or {"message": "The server had an error", "type": "server_error"}}
                )
                break
            if reply.delay_s:
                threading.Event().wait(reply.delay_s)
            self._event(_chunk(model, {"content": piece}))
        else:
            if reply.refusal:
                self._event(_chunk(model, {"refusal": reply.refusal}))
            if reply.finish_reason is not None:
                self._event(_chunk(model, {}, reply.finish_reason))
            if reply.usage and (request.body.get("stream_options") or {}).get("include_usage"):
                self._event({**_chunk(model, {}), "choices": [], "usage": _usage(reply)})
            if reply.done:
                self._data("[DONE]")
            self._end()
            return
        if reply.cut_after is not None and not reply.clean_cut:
            # A reset in the middle of a chunk, as when a server dies.
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        self._end()

    def _hold(self, event: threading.Event) -> None:
        """Wait for the test, and notice when the client goes away meanwhile."""
        self.connection.settimeout(0.05)
        while not event.is_set():
            try:
                if self.connection.recv(1, socket.MSG_PEEK) == b"":
                    raise ConnectionResetError("the client closed the connection")
            except TimeoutError:
                continue
        self.connection.settimeout(None)

    def _event(self, data: dict[str, Any]) -> None:
        self._data(json.dumps(data))

    def _data(self, text: str) -> None:
        payload = f"data: {text}\n\n".encode()
        self.wfile.write(f"{len(payload):x}\r\n".encode() + payload + b"\r\n")
        self.wfile.flush()

    def _end(self) -> None:
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()


def _chunk(model: str, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {
        "id": "chatcmpl-fake",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }


def _usage(reply: Reply) -> dict[str, Any]:
    prompt, completion = reply.usage or (0, 0)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": reply.cached},
    }


def _whole(request: Request, reply: Reply) -> dict[str, Any]:
    return {
        "id": "chatcmpl-fake",
        "object": "chat.completion",
        "created": 0,
        "model": request.body.get("model", ""),
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "".join(reply.parts())},
                "finish_reason": reply.finish_reason,
            }
        ],
        **({"usage": _usage(reply)} if reply.usage else {}),
    }


def main() -> None:
    """Run it by hand: `python -m tests.support.fake_openai [port]`."""
    import sys

    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8399
    with FakeOpenAI(port) as server:
        sys.stdout.write(f"OPENAI_BASE_URL={server.url} OPENAI_API_KEY=fake\n")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    main()
