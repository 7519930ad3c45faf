"""The web process answers strangers' websockets with a refusal, not with a fault."""

from channels.testing import WebsocketCommunicator

from config.asgi import application

OURS = [(b"host", b"localhost:8000"), (b"origin", b"http://localhost:8000")]


async def test_a_websocket_to_an_unknown_address_is_refused():
    socket = WebsocketCommunicator(application, "/ws/no-such-thing/", headers=OURS)
    connected, _code = await socket.connect()
    assert not connected


async def test_a_websocket_of_another_origin_is_refused_before_anything_is_asked():
    headers = [(b"host", b"localhost:8000"), (b"origin", b"https://evil.example")]
    socket = WebsocketCommunicator(
        application, "/ws/runs/00000000-0000-0000-0000-000000000000/", headers=headers
    )
    connected, _code = await socket.connect()
    assert not connected
