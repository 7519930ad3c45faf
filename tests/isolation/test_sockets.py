"""Sockets are addresses too: only who may look at the thing hears of it."""

from __future__ import annotations

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator

from config.asgi import application
from tests.isolation.routes import Found, all_routes
from tests.isolation.table import ROUTES, Kind
from tests.isolation.test_isolation import actor_with, address, of_nothing, strongest_without, weakest_with
from tests.support import factories
from workflows.tenancy.actor import Actor

SOCKETS = [found for found in all_routes() if found.is_socket and found.key in ROUTES]


async def knock(actor: Actor | None, path: str) -> tuple[bool, int | None]:
    """Whether the socket opened for this person, and with which code it was closed."""
    headers = [(b"origin", b"http://localhost"), (b"host", b"localhost")]
    if actor is not None:
        client = await sync_to_async(factories.client_of)(actor)
        cookie = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
        headers.append((b"cookie", cookie.encode()))
    communicator = WebsocketCommunicator(application, path, headers=headers)
    opened, code = await communicator.connect(timeout=10)
    await communicator.disconnect()
    return opened, None if opened else code


@pytest.mark.django_db(transaction=True)
async def test_a_socket_opens_only_for_who_may_look():
    world = await sync_to_async(factories.world)()
    for found in SOCKETS:
        await check(found, world)


async def check(found: Found, world: factories.World) -> None:
    route = ROUTES[found.key]
    params = await sync_to_async(route.make)(world)
    path = address(found, params)
    permission = route.verbs["GET"]
    opened, code = await knock(None, path)
    assert not opened, f"{found.key} opened for nobody in particular ({code})"
    if permission is not None:
        assert (await knock(actor_with(world, weakest_with(permission)), path))[0], (
            f"{found.key} opened for nobody"
        )
        if role := strongest_without(permission):
            assert not (await knock(actor_with(world, role), path))[0], f"{found.key} opened for {role}"
    if route.kind is Kind.THING:
        hidden = await knock(world.charlie, path)
        missing = await knock(world.charlie, address(found, of_nothing(params)))
        assert not hidden[0], f"{found.key} opened for a stranger"
        assert hidden == missing


async def test_a_socket_from_another_site_is_refused():
    headers = [(b"origin", b"http://evil.example"), (b"host", b"localhost")]
    for found in SOCKETS:
        path = found.path.replace("<", "").replace(">", "")
        communicator = WebsocketCommunicator(application, path, headers=headers)
        opened, _ = await communicator.connect(timeout=10)
        assert not opened
