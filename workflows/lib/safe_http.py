"""THE client for calls to addresses that people typed: public addresses only, checked at every hop, bounded in time and size."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import ssl
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Final, TypeAlias

import httpcore2
import httpx2
from django.conf import settings

from workflows.lib.errors import Fault, StepwellError

MAX_REDIRECTS: Final = 5
METHODS: Final = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
DNS_S: Final = 10.0
_AGENT: Final = "Stepwell"
_CHUNK: Final = 65_536
_DNS_THREADS: Final = 16
_PORTS: Final = {"http": 80, "https": 443}

# Python knows more codecs than the web has charsets; some are slow, some make what no text may hold.
_CHARSETS: Final = (
    *("utf-8", "utf8", "utf-16", "utf-32", "us-ascii", "ascii", "iso-8859", "iso8859", "latin", "windows-"),
    *(
        "cp125",
        "koi8",
        "shift_jis",
        "shift-jis",
        "sjis",
        "euc-",
        "euc_",
        "iso-2022",
        "gb",
        "big5",
        "macintosh",
    ),
)

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
# (host, port) → addresses as text. Raises socket.gaierror.
Resolve: TypeAlias = Callable[[str, int], Sequence[str]]


class OutboundError(StepwellError):
    """A call that gave no whole answer.

    `retryable`: trying again can help. `reached`: the request may have got to the other side, so an effect there
    is possible; False means that surely nothing was sent. `detail`: the words of the network, for the curious.
    """

    code = "outbound"
    fault = Fault.OUTSIDE

    def __init__(
        self,
        message: str,
        *,
        code: str,
        retryable: bool = False,
        reached: bool = False,
        retry_after_s: float | None = None,
        fault: Fault | None = None,
        fix: str | None = None,
        detail: str | None = None,
    ) -> None:
        super().__init__(message, code=code)
        self.retryable = retryable
        self.reached = reached
        self.retry_after_s = retry_after_s
        self.fix = fix
        self.detail = detail
        if fault is not None:
            self.fault = fault


@dataclass(frozen=True, slots=True)
class OutboundRequest:
    """One call. Times in seconds: to connect, of silence, and of the whole call with its redirects.

    `max_bytes` bounds what comes over the wire, `max_decoded_bytes` what it is once unpacked.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    follow: bool = True
    connect_s: float = 10.0
    read_s: float = 60.0
    total_s: float = 60.0
    max_bytes: int = 4_000_000
    max_decoded_bytes: int = 4_000_000


@dataclass(frozen=True, slots=True)
class OutboundResponse:
    """A whole answer, whatever its status. `url` is the last address; `hops` are those before it."""

    status: int
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    content: bytes = field(default=b"", repr=False)
    hops: tuple[str, ...] = ()

    def header(self, name: str, default: str = "") -> str:
        """The first header of this name, in any case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), default)

    @property
    def content_type(self) -> str:
        """The media type alone, in small letters: `application/json`."""
        return self.header("content-type").partition(";")[0].strip().lower()

    def text(self) -> str:
        """The body as text, by the charset that it names, else UTF-8; what does not fit is replaced."""
        found = re.search(r"charset\s*=\s*\"?([\w.:-]+)", self.header("content-type"), re.IGNORECASE)
        name = found.group(1).lower() if found else ""
        if not name.startswith(_CHARSETS):
            name = "utf-8-sig"
        try:
            return self.content.decode(name, "replace")
        except (LookupError, UnicodeError):  # a charset that nobody knows
            return self.content.decode("utf-8", "replace")


# --- which addresses may be called ----------------------------------------------------------------

# Beyond what the standard library calls private: protocol blocks, relays, and a cloud's own wire server.
_REFUSED: Final = tuple(
    ipaddress.ip_network(block)
    for block in (
        "0.0.0.0/8",
        "100.64.0.0/10",
        "168.63.129.16/32",
        "192.0.0.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "240.0.0.0/4",
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fec0::/10",
    )
)
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open internet, also when it hides an IPv4 address inside."""
    try:
        found: Address = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if inner is None and found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    if found.is_multicast or found.is_reserved or found.is_unspecified or found.is_loopback:
        return False
    if any(found.version == block.version and found in block for block in _REFUSED):
        return False
    return found.is_global


def _getaddrinfo(host: str, port: int) -> Sequence[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True, slots=True)
class Guard:
    """Says to which addresses a host name may lead. `allow` are (host, port or None) that the operator has opened."""

    allow: frozenset[tuple[str, int | None]] = frozenset()
    resolve: Resolve = _getaddrinfo

    def allows(self, host: str, port: int) -> bool:
        """Whether the operator has named this host, so that its address is not asked about."""
        name = _plain_host(host)
        return (name, None) in self.allow or (name, port) in self.allow

    def addresses(self, host: str, port: int) -> tuple[str, ...]:
        """The addresses behind a host, resolved once; all of them are public or the host is allowed. Raises OutboundError."""
        try:
            found = tuple(self.resolve(host, port))
        except socket.gaierror as error:
            passing = error.errno == socket.EAI_AGAIN
            raise OutboundError(
                f"The name {host} could not be looked up just now."
                if passing
                else f"There is no host named {host}.",
                code="unknown_host",
                retryable=passing,
                fault=Fault.OUTSIDE if passing else Fault.AUTHOR,
                fix=None if passing else "Check the address.",
                detail=str(error),
            ) from error
        except (UnicodeError, ValueError, OSError) as error:
            raise OutboundError(
                f"{host} is no name of a host.", code="bad_url", fault=Fault.AUTHOR, fix="Check the address."
            ) from error
        if not found:
            raise OutboundError(
                f"There is no host named {host}.",
                code="unknown_host",
                fault=Fault.AUTHOR,
                fix="Check the address.",
            )
        # One private address among public ones is how a guard is tricked: all must be public.
        if not self.allows(host, port) and not all(is_public(address) for address in found):
            raise OutboundError(
                f"{host} leads to a private or reserved address, which may not be called from here.",
                code="blocked_address",
                fault=Fault.AUTHOR,
                fix="Use a public address, or ask the operator to add the host to STEPWELL_OUTBOUND_ALLOW.",
            )
        return found


# [v6], name or v4, each with a port or without; v6 alone stands without brackets too.
_ALLOWED = re.compile(
    r"(\[[0-9a-fA-F:.]+\]|[^:/\s\[\]]+|[0-9a-fA-F.]*:[0-9a-fA-F.]*:[0-9a-fA-F:.]*)(?::(\d{1,5}))?"
)


def parse_allow(entries: Iterable[str]) -> frozenset[tuple[str, int | None]]:
    """`host`, `host:port` and `[v6]:port` as pairs. Raises ValueError that names the entry."""
    found: set[tuple[str, int | None]] = set()
    for entry in (entry.strip() for entry in entries):
        if not entry:
            continue
        matched = _ALLOWED.fullmatch(entry)
        if not matched:
            raise ValueError(f"STEPWELL_OUTBOUND_ALLOW: {entry!r} is neither host nor host:port.")
        found.add((_plain_host(matched.group(1)), int(matched.group(2)) if matched.group(2) else None))
    return frozenset(found)


def _plain_host(host: str) -> str:
    return host.strip("[]").rstrip(".").lower()


def the_guard() -> Guard:
    """The guard of this installation, by the setting OUTBOUND_ALLOW."""
    return _guard_of(tuple(getattr(settings, "OUTBOUND_ALLOW", ())))


@cache
def _guard_of(allow: tuple[str, ...]) -> Guard:
    return Guard(allow=parse_allow(allow))


# --- connecting to the checked address --------------------------------------------------------------


@cache
def _dns_pool() -> ThreadPoolExecutor:
    # A pool of its own: lookups that hang must not hold the threads that others wait for.
    return ThreadPoolExecutor(max_workers=_DNS_THREADS, thread_name_prefix="outbound-dns")


class _GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Opens connections only to addresses that the guard has seen; nothing resolves the name a second time."""

    def __init__(self, guard: Guard | None = None) -> None:
        self._given = guard
        self._network = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  (the base class's own)
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        guard = self._given or the_guard()
        limit = timeout or DNS_S
        started = time.monotonic()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(limit):
                found = await loop.run_in_executor(_dns_pool(), guard.addresses, host, port)
        except TimeoutError:
            raise httpcore2.ConnectTimeout(f"Looking up {host} took too long.") from None
        last: Exception | None = None
        for place, address in enumerate(found):
            left = limit - (time.monotonic() - started)
            # A share for each, so that one dead address does not use up the time of the others.
            share = max(left / (len(found) - place), 0.1)
            try:
                return await self._network.connect_tcp(
                    address, port, timeout=share, local_address=local_address, socket_options=socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                last = error
        raise last or httpcore2.ConnectError(f"{host} has no address.")

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109  (the base class's own)
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        raise httpcore2.ConnectError("Only addresses of the internet are called.")

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)


@cache
def _tls() -> ssl.SSLContext:
    # Building one reads all root certificates; it holds no state of a connection.
    return httpx2.create_ssl_context(trust_env=False)


class _GuardedTransport(httpx2.AsyncHTTPTransport):
    """httpx2's transport over the guarded backend; TLS and Host keep the name, only the address is ours."""

    def __init__(self, guard: Guard | None = None, *, connections: int = 1, keep_alive: int = 0) -> None:
        # Not super().__init__: it builds a pool of its own, with a backend that resolves by itself.
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=_tls(),
            max_connections=connections,
            max_keepalive_connections=keep_alive,
            keepalive_expiry=5.0,
            http1=True,
            http2=False,
            retries=0,
            network_backend=_GuardedBackend(guard),
        )


class _CappedStream(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, most: int) -> None:
        self._inner, self._most = inner, most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        seen = 0
        async for chunk in self._inner:
            seen += len(chunk)
            if seen > self._most:
                raise too_large("The answer", self._most)
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


class _LibraryTransport(_GuardedTransport):
    """For clients of libraries, which unpack by themselves: packed answers are refused, and the size is bounded."""

    def __init__(self, guard: Guard | None, *, max_bytes: int, connections: int) -> None:
        super().__init__(guard, connections=connections, keep_alive=min(connections, 20))
        self._max_bytes = max_bytes

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        _checked_url(str(request.url))
        request.headers["Accept-Encoding"] = "identity"
        response = await super().handle_async_request(request)
        packed = response.headers.get("content-encoding", "").strip().lower()
        if packed not in ("", "identity"):
            await response.aclose()
            raise _bad_encoding(str(request.url.host), packed)
        if isinstance(response.stream, httpx2.AsyncByteStream):
            response.stream = _CappedStream(response.stream, self._max_bytes)
        return response


def guarded_client(
    *,
    timeout: httpx2.Timeout,
    guard: Guard | None = None,
    max_bytes: int = 64_000_000,
    connections: int = 100,
) -> httpx2.AsyncClient:
    """An httpx2 client for a library (the model client) that calls an address which a tenant typed.

    No proxy, no cookies kept, no redirects, nothing from the environment. Faults are OutboundError, which the
    library may wrap: look along `__cause__` with `outbound_cause`.
    """
    return httpx2.AsyncClient(
        transport=_LibraryTransport(guard, max_bytes=max_bytes, connections=connections),
        timeout=timeout,
        follow_redirects=False,
        trust_env=False,
    )


def outbound_cause(error: BaseException | None) -> OutboundError | None:
    """The OutboundError behind an error of a library, if there is one."""
    for _ in range(8):
        if error is None or isinstance(error, OutboundError):
            return error
        error = error.__cause__ or error.__context__
    return None


# --- one call --------------------------------------------------------------------------------------

# Written by the client itself, or of use only between neighbours on the wire.
_OURS: Final = frozenset(
    {
        *("host", "content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te"),
        *("trailer", "expect", "accept-encoding", "proxy-connection", "proxy-authorization"),
    }
)
# All that goes on to another host with a redirect; anything else may be a key.
_HARMLESS: Final = frozenset({"accept", "accept-language", "user-agent", "content-type", "idempotency-key"})
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


async def send_async(request: OutboundRequest, *, guard: Guard | None = None) -> OutboundResponse:
    """Make one call and read its whole answer. Raises OutboundError; any status is an answer.

    Cancelling the task closes the connection.
    """
    _check(request)
    state = _State()
    try:
        async with asyncio.timeout(request.total_s):
            return await _follow(request, guard or the_guard(), state)
    except TimeoutError:
        raise OutboundError(
            f"{_place(request.url)} did not finish within {request.total_s:g} seconds.",
            code="timeout",
            retryable=True,
            reached=state.reached,
        ) from None


def send(request: OutboundRequest, *, guard: Guard | None = None) -> OutboundResponse:
    """The same for synchronous code (never on a running event loop)."""
    return asyncio.run(send_async(request, guard=guard))


@dataclass
class _State:
    """What is known while the call is under way: whether anything may have got to the other side."""

    reached: bool = False


async def _follow(request: OutboundRequest, guard: Guard, state: _State) -> OutboundResponse:
    hops: list[str] = []
    while True:
        response, target = await _hop(request, guard, state)
        if target is None:
            return replace(response, hops=tuple(hops))
        hops.append(request.url)
        if len(hops) > MAX_REDIRECTS:
            raise OutboundError(
                f"{_place(hops[0])} sent us on more than {MAX_REDIRECTS} times.",
                code="too_many_redirects",
                reached=True,
            )
        try:
            request = redirected(request, response.status, target)
        except OutboundError as error:
            error.reached = True
            raise


def redirected(request: OutboundRequest, status: int, location: str) -> OutboundRequest:
    """The request that follows a redirect: 303, and 301 or 302 of a POST, become a GET without a body.

    On another host (or port, or scheme) every header is dropped that may be a credential. Raises OutboundError.
    """
    try:
        target = str(httpx2.URL(request.url).join(location).copy_with(fragment=None))
    except (httpx2.InvalidURL, ValueError, TypeError) as error:
        raise OutboundError(
            f"{_place(request.url)} sent us on to an address that is none.", code="bad_redirect"
        ) from error
    before, after = _checked_url(request.url), _checked_url(target)
    method, body, headers = request.method, request.body, request.headers
    if (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST"):
        method, body = "GET", b""
        headers = tuple(pair for pair in headers if not pair[0].lower().startswith("content-"))
    if _origin(before) != _origin(after):
        headers = tuple(pair for pair in headers if pair[0].lower() in _HARMLESS)
    return replace(request, url=target, method=method, body=body, headers=headers)


async def _hop(request: OutboundRequest, guard: Guard, state: _State) -> tuple[OutboundResponse, str | None]:
    """One request and its answer, with the address it sends us on to, if it does and we follow."""
    place = _place(request.url)
    timeout = httpx2.Timeout(request.read_s, connect=request.connect_s)
    began = False
    try:
        async with httpx2.AsyncClient(
            transport=_GuardedTransport(guard), timeout=timeout, follow_redirects=False, trust_env=False
        ) as client:
            outgoing = client.build_request(
                request.method,
                request.url,
                headers=[("User-Agent", _AGENT), ("Accept", "*/*"), *_own_headers(request)],
                content=request.body or None,
                extensions={"trace": _Trace(state)},
            )
            # The client's default asks for packings whose unpacking it cannot bound.
            outgoing.headers["Accept-Encoding"] = "gzip, deflate"
            response = await client.send(outgoing, stream=True)
            try:
                began = True
                location = response.headers.get("location", "")
                target = (
                    location if request.follow and response.status_code in _REDIRECTS and location else None
                )
                content = b"" if target else await _body(response, request)
            finally:
                await response.aclose()
    except OutboundError as error:
        error.reached = error.reached or state.reached
        raise
    except httpx2.ConnectTimeout as error:
        raise OutboundError(
            f"{place} could not be reached within {request.connect_s:g} seconds.",
            code="timeout",
            retryable=True,
            reached=state.reached,
        ) from error
    except httpx2.TimeoutException as error:
        raise OutboundError(
            f"{place} fell silent for more than {request.read_s:g} seconds.",
            code="timeout",
            retryable=True,
            reached=state.reached,
        ) from error
    except (httpx2.LocalProtocolError, httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
        raise OutboundError(
            f"The request to {place} cannot be written down.",
            code="bad_request",
            fault=Fault.AUTHOR,
            detail=str(error),
        ) from error
    except httpx2.TransportError as error:
        if _certificate(error):
            raise OutboundError(
                f"{place} shows a certificate that cannot be trusted.",
                code="bad_certificate",
                reached=state.reached,
                detail=str(error),
            ) from error
        raise OutboundError(
            f"{place} broke off in the middle of its answer." if began else f"{place} could not be reached.",
            code="cut_stream" if began else "network",
            retryable=True,
            reached=state.reached,
            detail=str(error) or type(error).__name__,
        ) from error
    return (
        OutboundResponse(
            status=response.status_code,
            url=request.url,
            headers=tuple((key, value) for key, value in response.headers.multi_items()),
            content=content,
        ),
        target,
    )


_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class _Trace:
    """Told by the connection what it does: from the first byte written on, the other side may have acted."""

    def __init__(self, state: _State) -> None:
        self.state = state

    async def __call__(self, event: str, info: dict[str, Any]) -> None:
        if event.endswith("send_request_headers.started"):
            self.state.reached = True


def _own_headers(request: OutboundRequest) -> list[tuple[str, str]]:
    return [pair for pair in request.headers if pair[0].lower() not in ("user-agent", "accept")] + [
        pair for pair in request.headers if pair[0].lower() in ("user-agent", "accept")
    ]


def _certificate(error: BaseException | None) -> bool:
    for _ in range(8):
        if error is None:
            return False
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


# --- reading the answer -----------------------------------------------------------------------------


async def _body(response: httpx2.Response, request: OutboundRequest) -> bytes:
    """The body, unpacked piece by piece so that a small packet never becomes a huge one in memory."""
    host = _place(request.url)
    packed = response.headers.get("content-encoding", "").strip().lower()
    unpack = _Unpacker(packed, request.max_decoded_bytes, host)
    declared = response.headers.get("content-length", "")
    if request.method != "HEAD" and declared.isdigit() and int(declared) > request.max_bytes:
        raise too_large(host, request.max_bytes)
    pieces: list[bytes] = []
    seen = 0
    async for chunk in response.aiter_raw():
        seen += len(chunk)
        if seen > request.max_bytes:
            raise too_large(host, request.max_bytes)
        pieces.extend(unpack.feed(chunk))
    pieces.extend(unpack.finish(seen))
    return b"".join(pieces)


class _Unpacker:
    """gzip and deflate within a bound on what comes out."""

    def __init__(self, packing: str, most: int, host: str) -> None:
        self.most, self.host, self.made = most, host, 0
        self.inflate: Any = None
        self.plain_tried = False
        if packing in ("gzip", "x-gzip"):
            self.inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
        elif packing == "deflate":
            self.inflate = zlib.decompressobj()
            self.plain_tried = True
        elif packing not in ("", "identity"):
            raise _bad_encoding(host, packing)

    def feed(self, chunk: bytes) -> list[bytes]:
        if self.inflate is None:
            return self._kept([chunk])
        out: list[bytes] = []
        left = chunk
        while left:
            room = self.most - self.made - sum(map(len, out)) + 1
            try:
                piece = self.inflate.decompress(left, min(room, _CHUNK))
            except zlib.error as error:
                if self.plain_tried and not self.made and not out:
                    # Some servers send the stream bare, without the frame that the name promises.
                    self.plain_tried, self.inflate = False, zlib.decompressobj(-zlib.MAX_WBITS)
                    continue
                raise _cut(self.host, str(error)) from error
            if piece:
                out.append(piece)
            if sum(map(len, out)) + self.made > self.most:
                raise too_large(self.host, self.most)
            left = self.inflate.unconsumed_tail
            if self.inflate.eof:
                break
        return self._kept(out)

    def finish(self, seen: int) -> list[bytes]:
        if self.inflate is not None and seen and not self.inflate.eof:
            raise _cut(self.host, "The packed answer ends too early.")
        return []

    def _kept(self, pieces: list[bytes]) -> list[bytes]:
        self.made += sum(map(len, pieces))
        if self.made > self.most:
            raise too_large(self.host, self.most)
        return pieces


def too_large(host: str, most: int) -> OutboundError:
    return OutboundError(
        f"{host} is larger than {most:,} bytes, the most that is read."
        if host == "The answer"
        else f"The answer of {host} is larger than {most:,} bytes, the most that is read.",
        code="answer_too_large",
        reached=True,
        fix="Ask for less, or raise the limit of the step.",
    )


def _bad_encoding(host: str, packing: str) -> OutboundError:
    return OutboundError(
        f"{host} packed its answer as “{packing[:40]}”, which we did not ask for.",
        code="bad_encoding",
        reached=True,
    )


def _cut(host: str, detail: str) -> OutboundError:
    return OutboundError(
        f"{host} broke off in the middle of its answer.",
        code="cut_stream",
        retryable=True,
        reached=True,
        detail=detail,
    )


# --- checking what is asked ---------------------------------------------------------------------------


def _check(request: OutboundRequest) -> None:
    if request.method not in METHODS:
        raise OutboundError(
            f"“{request.method[:20]}” is no method that is sent.",
            code="bad_method",
            fault=Fault.AUTHOR,
            fix=f"Use one of: {', '.join(METHODS)}.",
        )
    _checked_url(request.url)
    for name, value in request.headers:
        fault = header_fault(name, value)
        if fault:
            raise OutboundError(fault, code="bad_header", fault=Fault.AUTHOR, fix="Correct the header.")


def header_fault(name: str, value: str) -> str | None:
    """Why this header cannot be sent, as a sentence; None when it can."""
    if not _TOKEN.fullmatch(name):
        return f"“{name[:60]}” is no name of a header."
    if name.lower() in _OURS:
        return f"The header {name} is written by Stepwell itself."
    if not _VALUE.fullmatch(value):
        return f"The header {name} holds a line break or signs that a header cannot carry."
    return None


def url_fault(url: str) -> str | None:
    """Why this address cannot be called, as a sentence; None when it can be tried."""
    try:
        _checked_url(url)
    except OutboundError as error:
        return error.message
    return None


def _checked_url(url: str) -> httpx2.URL:
    if re.search(r"[\x00-\x20\x7f]", url.strip(" ")) or len(url) > 8_000:
        raise _bad_url("The address holds a blank, a line break or signs that no address has.")
    try:
        found = httpx2.URL(url.strip())
    except (httpx2.InvalidURL, ValueError, TypeError) as error:
        raise _bad_url("The address cannot be read.") from error
    if found.scheme not in _PORTS:
        raise _bad_url("The address must begin with https:// or http://.")
    if not found.host:
        raise _bad_url("The address names no host.")
    if found.port is not None and not 0 < found.port < 65_536:
        raise _bad_url("The address has a port that cannot be.")
    if found.userinfo:
        raise _bad_url("An address holds no user name and password.")
    return found


def _bad_url(message: str) -> OutboundError:
    return OutboundError(
        message, code="bad_url", fault=Fault.AUTHOR, fix="Write it as https://example.com/path."
    )


def _origin(url: httpx2.URL) -> tuple[str, str, int]:
    return (url.scheme, _plain_host(url.host), url.port or _PORTS.get(url.scheme, 0))


def _place(url: str) -> str:
    """The host as sentences name it; path and query stay out, since they may hold keys."""
    try:
        found = httpx2.URL(url)
        return f"{found.host}:{found.port}" if found.port else found.host
    except (httpx2.InvalidURL, ValueError, TypeError):
        return "the address"
