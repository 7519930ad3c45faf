"""The outbound client: which addresses it calls, what it sends on, and where it stops reading."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import socket
import threading
import zlib
from collections.abc import Iterator
from typing import Any

import httpcore2
import httpx2
import pytest

from tests.support.outside import Answer, Outside
from workflows.checks import outbound_allow
from workflows.lib import safe_http
from workflows.lib.safe_http import (
    Guard,
    OutboundError,
    OutboundRequest,
    OutboundResponse,
    guarded_client,
    is_public,
    outbound_cause,
    parse_allow,
    redirected,
    send,
    send_async,
)


@pytest.fixture
def server() -> Iterator[Outside]:
    with Outside() as found:
        yield found


def opened(*servers: Outside) -> Guard:
    return Guard(allow=parse_allow([server.host for server in servers]))


def call(server: Outside, path: str = "/", method: str = "GET", **more: Any) -> OutboundResponse:
    return send(OutboundRequest(method, f"{server.url}{path}", **more), guard=opened(server))


def failure(request: OutboundRequest, guard: Guard | None = None) -> OutboundError:
    with pytest.raises(OutboundError) as caught:
        send(request, guard=guard or Guard())
    return caught.value


# --- addresses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "127.0.0.1", "127.1", "2130706433", "0x7f000001", "017700000001", "0",
        "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254", "[fe80::1]",
        "[fd00:ec2::254]", "[fec0::1]", "100.100.100.200", "168.63.129.16", "224.0.0.1", "255.255.255.255",
        "198.18.0.1", "[ff02::1]", "[2001:db8::1]", "0.0.0.0", "192.0.0.192",
    ],
)  # fmt: skip
def test_private_and_reserved_addresses_are_refused_in_every_spelling(host: str):
    error = failure(OutboundRequest("GET", f"http://{host}:1/"))
    assert error.code == "blocked_address"
    assert not error.reached
    assert not error.retryable
    assert "STEPWELL_OUTBOUND_ALLOW" in str(error.fix)


@pytest.mark.parametrize(
    "address", ["93.184.215.14", "1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_public_addresses_are_public(address: str):
    assert is_public(address)


@pytest.mark.parametrize("address", ["", "not an address", "1.1.1", "fe80::1%eth0", "999.1.1.1"])
def test_what_is_no_public_address_is_not_public(address: str):
    assert not is_public(address)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://example.com/a", "https://"),
        ("file:///etc/passwd", "https://"),
        ("gopher://example.com", "https://"),
        ("//example.com", "https://"),
        ("example.com", "https://"),
        ("http://", "names no host"),
        ("http://ann:secret@example.com/", "no user name"),
        ("http://example.com/a b", "blank"),
        ("http://example.com/\r\nX: 1", "line break"),
        ("http://exa\nmple.com/", "line break"),
        ("http://[::1/", "cannot be read"),
        ("http://example.com:99999999/", "port"),
        ("http://0177.0.0.1/", "cannot be read"),
    ],
)
def test_an_address_that_is_none_is_told(url: str, said: str):
    error = failure(OutboundRequest("GET", url))
    assert error.code == "bad_url"
    assert said in error.message
    assert "secret" not in error.message


def test_an_unknown_host_is_the_authors_and_a_silent_resolver_is_not():
    def unknown(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    def silent(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure")

    wanted = OutboundRequest("GET", "https://example.com/")
    error = failure(wanted, Guard(resolve=unknown))
    assert (error.code, error.retryable, error.reached) == ("unknown_host", False, False)
    error = failure(wanted, Guard(resolve=silent))
    assert (error.code, error.retryable, error.reached) == ("unknown_host", True, False)


def test_one_private_address_among_public_ones_is_enough_to_refuse():
    guard = Guard(resolve=lambda host, port: ["93.184.215.14", "10.0.0.1"])
    assert failure(OutboundRequest("GET", "http://example.com/"), guard).code == "blocked_address"


def test_the_name_is_resolved_once_and_that_address_is_called(monkeypatch: pytest.MonkeyPatch):
    """A resolver that says public first and private then (rebinding) gets no second question."""
    asked = itertools.count()
    called: list[tuple[str, int]] = []

    def rebinding(host: str, port: int) -> list[str]:
        return ["93.184.215.14"] if next(asked) == 0 else ["127.0.0.1"]

    async def connect(self: object, host: str, port: int, **_: object) -> Any:
        called.append((host, port))
        raise httpcore2.ConnectError("no network in tests")

    monkeypatch.setattr(httpcore2.AnyIOBackend, "connect_tcp", connect)
    error = failure(OutboundRequest("GET", "http://rebind.example/"), Guard(resolve=rebinding))
    assert called == [("93.184.215.14", 80)]
    assert next(asked) == 1
    assert (error.code, error.retryable, error.reached) == ("network", True, False)


def test_every_address_of_a_host_is_tried(server: Outside):
    guard = Guard(
        allow=parse_allow([f"many.example:{server.port}"]),
        resolve=lambda host, port: ["127.0.0.2", "127.0.0.1"],
    )
    answer = send(OutboundRequest("GET", f"http://many.example:{server.port}/"), guard=guard)
    assert answer.status == 200
    assert server.requests[0].headers["host"] == f"many.example:{server.port}"


def test_the_certificate_is_asked_for_by_name_not_by_address():
    """TLS to the checked address, with the name in its first message (SNI)."""
    heard: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def listen() -> None:
        connection, _ = listener.accept()
        with connection:
            heard.append(connection.recv(4_096))

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    port = listener.getsockname()[1]
    guard = Guard(allow=parse_allow(["secure.example"]), resolve=lambda host, port: ["127.0.0.1"])
    error = failure(OutboundRequest("GET", f"https://secure.example:{port}/", total_s=10), guard)
    thread.join(10)
    listener.close()
    assert b"secure.example" in heard[0]
    assert error.reached is False


@pytest.mark.parametrize(
    ("entry", "pair"),
    [
        ("localhost", ("localhost", None)),
        ("LAB.example.:8080", ("lab.example", 8080)),
        ("[::1]:9000", ("::1", 9000)),
        ("::1", ("::1", None)),
        ("10.0.0.5:11434", ("10.0.0.5", 11434)),
    ],
)
def test_the_allow_list_takes_hosts_with_and_without_a_port(entry: str, pair: tuple[str, int | None]):
    assert parse_allow([entry, " "]) == {pair}


@pytest.mark.parametrize("entry", ["http://x", "a b", "host:port", "x:1:"])
def test_a_bad_entry_of_the_allow_list_is_named(entry: str):
    with pytest.raises(ValueError, match="STEPWELL_OUTBOUND_ALLOW"):
        parse_allow([entry])


def test_a_bad_allow_list_is_told_when_the_server_starts(settings: Any):
    settings.OUTBOUND_ALLOW = ["wiki.lan", "10.0.0.5:11434"]
    assert outbound_allow() == []
    settings.OUTBOUND_ALLOW = ["http://wiki.lan"]
    (found,) = outbound_allow()
    assert (found.id, found.is_serious()) == ("stepwell.E001", True)


def test_an_allowed_host_opens_only_its_own_port(server: Outside):
    assert call(server).status == 200
    other = Guard(allow=parse_allow([f"127.0.0.1:{server.port + 1}"]))
    assert failure(OutboundRequest("GET", server.url), other).code == "blocked_address"


def test_the_setting_is_the_allow_list(server: Outside, settings: Any):
    assert failure(OutboundRequest("GET", server.url), safe_http.the_guard()).code == "blocked_address"
    settings.OUTBOUND_ALLOW = [server.host]
    assert send(OutboundRequest("GET", server.url)).status == 200


def test_no_proxy_of_the_environment_is_used(server: Outside, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    assert call(server).status == 200


# --- redirects ------------------------------------------------------------------------------------


def test_a_redirect_to_a_private_address_is_refused(server: Outside):
    server.answer("/", Answer(302, {"Location": "http://169.254.169.254/latest/meta-data/"}))
    error = failure(OutboundRequest("GET", server.url), opened(server))
    assert error.code == "blocked_address"
    assert error.reached


@pytest.mark.parametrize("target", ["ftp://example.com/", "file:///etc/passwd", "http://a:b@example.com/"])
def test_a_redirect_to_what_is_no_web_address_is_refused(server: Outside, target: str):
    server.answer("/", Answer(302, {"Location": target}))
    assert failure(OutboundRequest("GET", server.url), opened(server)).code == "bad_url"


def test_redirects_are_followed_five_times_and_no_further(server: Outside):
    for place in range(5):
        server.answer(f"/{place}", Answer(302, {"Location": f"/{place + 1}"}))
    answer = call(server, "/0")
    assert answer.url == f"{server.url}/5"
    assert len(answer.hops) == 5
    server.answer("/5", Answer(302, {"Location": "/6"}))
    assert failure(OutboundRequest("GET", f"{server.url}/0"), opened(server)).code == "too_many_redirects"


def test_credentials_stay_with_their_host():
    with Outside() as one, Outside() as two:
        one.answer("/a", Answer(302, {"Location": "/b"}))
        one.answer("/b", Answer(307, {"Location": f"{two.url}/c"}))
        headers = (("Authorization", "Bearer k"), ("X-Api-Key", "k"), ("Cookie", "c=k"), ("Accept", "text/x"))
        send(OutboundRequest("POST", f"{one.url}/a", headers=headers), guard=opened(one, two))
        assert one.requests[1].headers["authorization"] == "Bearer k"
        arrived = two.requests[0].headers
        assert not {"authorization", "x-api-key", "cookie"} & set(arrived)
        assert arrived["accept"] == "text/x"


@pytest.mark.parametrize(
    ("status", "method", "then", "keeps_body"),
    [
        (301, "POST", "GET", False),
        (302, "POST", "GET", False),
        (303, "PUT", "GET", False),
        (303, "HEAD", "HEAD", True),
        (302, "PUT", "PUT", True),
        (307, "POST", "POST", True),
        (308, "DELETE", "DELETE", True),
        (301, "GET", "GET", True),
    ],
)
def test_method_and_body_after_a_redirect(status: int, method: str, then: str, keeps_body: bool):
    before = OutboundRequest(
        method, "https://example.com/a?x=1#top", headers=(("Content-Type", "text/plain"),), body=b"body"
    )
    after = redirected(before, status, "../b#part")
    assert (after.method, after.url) == (then, "https://example.com/b")
    assert bool(after.body) == keeps_body
    assert bool(after.headers) == keeps_body


def test_a_redirect_is_an_answer_where_none_is_followed(server: Outside):
    server.answer("/", Answer(302, {"Location": "/b"}, body=b"moved"))
    answer = call(server, follow=False)
    assert (answer.status, answer.header("location"), answer.content) == (302, "/b", b"moved")


# --- sizes and times --------------------------------------------------------------------------------


def test_a_whole_answer_is_read_with_its_charset(server: Outside):
    server.answer(
        "/", Answer(headers={"Content-Type": "text/plain; charset=latin-1"}, body="é".encode("latin-1"))
    )
    answer = call(server)
    assert answer.text() == "é"
    assert answer.content_type == "text/plain"
    server.answer("/", Answer(headers={"Content-Type": "text/plain; charset=nonsense"}, body="é".encode()))
    assert call(server).text() == "é"


@pytest.mark.parametrize("charset", ["unicode_escape", "utf-7", "idna", "rot13", "utf-16-le-x", "hex"])
def test_a_codec_that_is_no_charset_of_the_web_is_not_used(server: Outside, charset: str):
    body = b"a\\ud800 +AGE-"
    server.answer("/", Answer(headers={"Content-Type": f"text/plain; charset={charset}"}, body=body))
    assert call(server).text() == body.decode()


@pytest.mark.parametrize("said", [True, False])
def test_an_answer_over_the_size_limit_is_not_read(server: Outside, said: bool):
    body = b"x" * 200_000
    server.answer("/", Answer(body=body) if said else Answer(chunks=[body[:50_000]] * 4))
    error = failure(OutboundRequest("GET", server.url, max_bytes=100_000), opened(server))
    assert error.code == "answer_too_large"
    assert "100,000 bytes" in error.message


@pytest.mark.parametrize("packing", ["gzip", "deflate", "bare"])
def test_a_packed_answer_is_unpacked(server: Outside, packing: str):
    text = b"Hello " * 1_000
    bare = zlib.compressobj(wbits=-15)
    packed = {
        "gzip": gzip.compress(text),
        "deflate": zlib.compress(text),
        "bare": bare.compress(text) + bare.flush(),
    }[packing]
    name = "gzip" if packing == "gzip" else "deflate"
    server.answer("/", Answer(headers={"Content-Encoding": name}, body=packed))
    assert call(server).content == text


def test_a_bomb_is_stopped_while_it_is_unpacked(server: Outside):
    bomb = gzip.compress(b"\0" * 50_000_000)
    assert len(bomb) < 100_000
    server.answer("/", Answer(headers={"Content-Encoding": "gzip"}, body=bomb))
    error = failure(OutboundRequest("GET", server.url, max_decoded_bytes=1_000_000), opened(server))
    assert error.code == "answer_too_large"


@pytest.mark.parametrize("packing", ["br", "zstd", "gzip, gzip", "rot13"])
def test_a_packing_that_was_not_asked_for_is_refused(server: Outside, packing: str):
    server.answer("/", Answer(headers={"Content-Encoding": packing}, body=b"zzz"))
    assert failure(OutboundRequest("GET", server.url), opened(server)).code == "bad_encoding"
    assert server.requests[0].headers["accept-encoding"] == "gzip, deflate"


@pytest.mark.parametrize(
    "answer",
    [
        Answer(body=b"half", length=1_000),
        Answer(headers={"Content-Encoding": "gzip"}, body=gzip.compress(b"Hello " * 9_000)[:-20]),
        Answer(headers={"Content-Encoding": "gzip"}, body=b"no gzip at all"),
    ],
    ids=["too short", "packed and cut", "not packed"],
)
def test_half_an_answer_is_an_error_that_may_pass(server: Outside, answer: Answer):
    server.answer("/", answer)
    error = failure(OutboundRequest("GET", server.url), opened(server))
    assert (error.code, error.retryable, error.reached) == ("cut_stream", True, True)


def test_a_server_that_hangs_up_may_have_acted(server: Outside):
    server.answer("/", Answer(hang_up=True))
    error = failure(OutboundRequest("POST", server.url, body=b"{}"), opened(server))
    assert (error.code, error.retryable, error.reached) == ("network", True, True)


def test_drops_that_never_end_meet_the_total_deadline(server: Outside):
    """Each piece comes in time; only the whole never does."""
    never = threading.Event()

    def dripping() -> Iterator[bytes]:
        while not never.wait(0.02):
            yield b"."

    server.answer("/", Answer(chunks=dripping()))
    error = failure(OutboundRequest("GET", server.url, read_s=5, total_s=0.3), opened(server))
    never.set()
    assert (error.code, error.retryable, error.reached) == ("timeout", True, True)
    assert "0.3 seconds" in error.message


def test_silence_meets_the_read_deadline(server: Outside):
    held = threading.Event()
    server.answer("/", Answer(chunks=[b"a", b"b"], wait=held))
    error = failure(OutboundRequest("GET", server.url, read_s=0.1, total_s=30), opened(server))
    held.set()
    assert error.code == "timeout"
    assert "silent" in error.message


def test_a_lookup_that_hangs_meets_the_connect_deadline():
    held = threading.Event()

    def slow(host: str, port: int) -> list[str]:
        held.wait(10)
        return ["1.1.1.1"]

    error = failure(OutboundRequest("GET", "http://slow.example/", connect_s=0.1), Guard(resolve=slow))
    held.set()
    assert (error.code, error.reached) == ("timeout", False)


async def test_cancelling_closes_the_connection(server: Outside):
    held = threading.Event()
    server.answer("/", Answer(chunks=itertools.chain([b"first"], itertools.repeat(b"x" * 60_000)), wait=held))
    task = asyncio.create_task(
        send_async(
            OutboundRequest("GET", server.url, max_bytes=10**9, max_decoded_bytes=10**9), guard=opened(server)
        )
    )
    assert await asyncio.to_thread(server.asked.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    held.set()
    assert await asyncio.to_thread(server.closed.wait, 10)


# --- what is written ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Note", "a\r\nX-Evil: 1"),
        ("X-Note", "a\nb"),
        ("X-Note", "a\x00b"),
        ("X-Note", "日本"),
        ("X Note", "a"),
        ("X-Note:", "a"),
        ("", "a"),
        ("Host", "elsewhere.example"),
        ("Content-Length", "3"),
        ("transfer-encoding", "chunked"),
    ],
)
def test_headers_that_would_change_the_request_are_refused(server: Outside, name: str, value: str):
    error = failure(OutboundRequest("GET", server.url, headers=((name, value),)), opened(server))
    assert error.code == "bad_header"
    assert server.requests == []


def test_a_method_is_one_of_a_few():
    assert failure(OutboundRequest("TRACE", "http://example.com/")).code == "bad_method"
    assert failure(OutboundRequest("GET /x HTTP/1.1\r\n", "http://example.com/")).code == "bad_method"


def test_body_and_headers_arrive_as_given(server: Outside):
    call(server, "/in?a=1", "POST", body=b"\x00\xff", headers=(("X-One", "1"), ("User-Agent", "mine")))
    (sent,) = server.requests
    assert (sent.method, sent.path, sent.body) == ("POST", "/in?a=1", b"\x00\xff")
    assert (sent.headers["x-one"], sent.headers["user-agent"]) == ("1", "mine")


def test_errors_keep_path_and_query_to_themselves():
    error = failure(OutboundRequest("GET", "http://127.0.0.1/hidden?key=canary"))
    assert "canary" not in error.message
    assert "hidden" not in error.message


# --- the client for libraries ----------------------------------------------------------------------------


async def test_the_librarys_client_is_guarded_too(server: Outside):
    timeout = httpx2.Timeout(5)
    async with guarded_client(timeout=timeout, guard=Guard()) as client:
        with pytest.raises(OutboundError) as caught:
            await client.get(server.url)
    assert caught.value.code == "blocked_address"
    async with guarded_client(timeout=timeout, guard=opened(server), max_bytes=1_000) as client:
        assert (await client.get(server.url)).json() == {"ok": True}
        assert server.requests[-1].headers["accept-encoding"] == "identity"
        server.answer("/big", Answer(body=b"x" * 5_000))
        with pytest.raises(OutboundError, match="1,000 bytes"):
            await client.get(f"{server.url}/big")
        server.answer("/packed", Answer(headers={"Content-Encoding": "gzip"}, body=gzip.compress(b"x")))
        with pytest.raises(OutboundError, match="did not ask for"):
            await client.get(f"{server.url}/packed")
        server.answer("/on", Answer(302, {"Location": "/"}))
        assert (await client.get(f"{server.url}/on")).status_code == 302


def test_the_cause_is_found_behind_a_librarys_error():
    inner = OutboundError("No.", code="blocked_address")
    outer = RuntimeError("wrapped")
    outer.__cause__ = inner
    assert outbound_cause(outer) is inner
    assert outbound_cause(RuntimeError("other")) is None
