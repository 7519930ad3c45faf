"""Which pages may open a websocket."""

from typing import Any

import pytest
from channels.testing import WebsocketCommunicator
from django.test import override_settings

from config.origins import SameOriginValidator, is_same_origin


@pytest.mark.parametrize(
    ("origin", "host", "https", "same"),
    [
        ("http://localhost:8000", "localhost:8000", False, True),
        ("http://localhost", "localhost", False, True),
        ("https://app.example", "app.example", True, True),
        ("https://app.example:443", "app.example", True, True),
        ("http://[::1]:8000", "[::1]:8000", False, True),
        ("http://localhost:9000", "localhost:8000", False, False),
        ("http://evil.example", "localhost:8000", False, False),
        ("http://app.example", "app.example", True, False),
        ("null", "localhost:8000", False, False),
        ("", "localhost:8000", False, False),
        ("http://localhost:port", "localhost:8000", False, False),
        ("file://localhost", "localhost", False, False),
    ],
)
def test_scheme_host_and_port_must_all_be_the_same(origin: str, host: str, https: bool, same: bool):
    assert is_same_origin(origin, host, https=https) is same


async def echo(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})


async def connects(headers: list[tuple[bytes, bytes]]) -> bool:
    socket = WebsocketCommunicator(SameOriginValidator(echo), "/ws/", headers=headers)
    connected, _ = await socket.connect()
    await socket.disconnect()
    return bool(connected)


async def test_our_own_page_connects():
    assert await connects([(b"host", b"localhost:8000"), (b"origin", b"http://localhost:8000")])


@pytest.mark.parametrize(
    "headers",
    [
        [(b"host", b"localhost:8000"), (b"origin", b"http://localhost:8001")],
        [(b"host", b"localhost:8000")],
        # A host that is not ours, in both: DNS rebinding.
        [(b"host", b"evil.example"), (b"origin", b"http://evil.example")],
    ],
)
@pytest.mark.django_db  # the refusing consumer tidies the connections of its thread, wherever they came from
async def test_any_other_page_is_refused(headers: list[tuple[bytes, bytes]]):
    assert not await connects(headers)


async def test_an_origin_that_the_operator_trusts_connects():
    with override_settings(CSRF_TRUSTED_ORIGINS=["https://front.example"]):
        assert await connects([(b"host", b"inner"), (b"origin", b"https://front.example")])
