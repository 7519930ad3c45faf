"""Tenants are hard borders: every address, asked by nobody, by a stranger, by too low a role, with a wrong verb."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.http.response import HttpResponseBase
from django.test import Client

from tests.isolation.routes import Found, all_routes
from tests.isolation.table import ROUTES, Kind, Route
from tests.support.factories import World, bearer, client_of, key_of
from workflows.tenancy.actor import Actor
from workflows.tenancy.roles import PERMISSIONS, Permission, Role

VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE")
FOUND = {found.key: found for found in all_routes()}
KNOWN = [found for found in FOUND.values() if found.key in ROUTES]
HTTP = [found for found in KNOWN if not found.is_socket]
# From the strongest down, so that the first without a permission is the strongest without it.
LADDER = [Role.OWNER, Role.ADMIN, Role.EDITOR, Role.REVIEWER, Role.VIEWER]


def ids(found: Found) -> str:
    return found.key


def of_kind(*kinds: Kind) -> list[Found]:
    return [found for found in HTTP if ROUTES[found.key].kind in kinds]


# --- The table is whole -----------------------------------------------------------------------------------------------


def test_every_address_has_its_line_in_the_table():
    missing = sorted(set(FOUND) - set(ROUTES))
    assert not missing, f"tests/isolation/table.py does not say what these are: {missing}"


def test_the_table_names_no_address_that_is_gone():
    gone = sorted(set(ROUTES) - set(FOUND))
    assert not gone, f"tests/isolation/table.py names addresses that are gone: {gone}"


# --- How an address is asked ------------------------------------------------------------------------------------------


def address(found: Found, params: dict[str, Any]) -> str:
    """The path with the parameters filled in, by name; one that the maker does not name fails."""

    def fill(match: re.Match[str]) -> str:
        return str(params[match[1].rpartition(":")[2]])

    return re.sub(r"<([^>]+)>", fill, found.path)


def of_nothing(params: dict[str, Any]) -> dict[str, Any]:
    """Parameters of the same shape that lead to nothing."""

    def other(value: Any) -> Any:
        if isinstance(value, uuid.UUID):
            return uuid.uuid4()
        return value + 10_000 if isinstance(value, int) else f"{value}-not-there"

    # Only the thing itself is exchanged; what follows in the address would be missing with it.
    return {name: other(value) for name, value in params.items()}


def ask(found: Found, actor: Actor | None, verb: str, path: str, route: Route) -> HttpResponseBase:
    """The answer to this person: pages by session, the API by a key."""
    if found.is_api:
        headers = bearer(key_of(actor)) if actor is not None else {}
        return Client(raise_request_exception=False).generic(
            verb, path, _json(route, verb), content_type="application/json", headers=headers
        )
    client = client_of(actor)
    client.raise_request_exception = False
    if verb == "GET":
        return client.get(path)
    return client.generic(verb, path, _form(route), content_type="application/x-www-form-urlencoded")


def _json(route: Route, verb: str) -> str:
    import json

    return "" if verb == "GET" else json.dumps(dict(route.sample))


def _form(route: Route) -> str:
    from urllib.parse import urlencode

    return urlencode(route.sample, doseq=True)


async def _streamed(response: HttpResponseBase) -> bytes:
    return b"".join([part async for part in response.streaming_content])  # type: ignore[attr-defined]


def body(response: HttpResponseBase) -> str:
    """What the answer says, without what differs between any two answers."""
    text = (async_to_sync(_streamed)(response) if response.streaming else response.content).decode()  # type: ignore[attr-defined]
    text = re.sub(r'"request_id": ?"[^"]*"', '"request_id": ""', text)
    text = re.sub(r'(name="csrfmiddlewaretoken" value=|X-CSRFToken": ?)"[^"]*"', r'\1""', text)
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|/\d+/|-not-there", "", text)


def actor_with(world: World, role: Role) -> Actor:
    names = {
        Role.OWNER: "alice",
        Role.ADMIN: "adam",
        Role.EDITOR: "bob",
        Role.REVIEWER: "rita",
        Role.VIEWER: "vera",
    }
    found: Actor = getattr(world, names[role])
    return found


def strongest_without(permission: Permission) -> Role | None:
    return next((role for role in LADDER if permission not in PERMISSIONS[role]), None)


def weakest_with(permission: Permission) -> Role:
    return next(role for role in reversed(LADDER) if permission in PERMISSIONS[role])


# --- Who must not get in ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("found", HTTP, ids=ids)
def test_nobody_in_particular_gets_only_what_is_public(found: Found, world: World):
    route = ROUTES[found.key]
    path = address(found, route.make(world))
    for verb in route.verbs:
        response = ask(found, None, verb, path, route)
        if route.kind is Kind.PUBLIC:
            assert response.status_code < 500 or found.key in ("healthz", "readyz"), (
                verb,
                response.status_code,
            )
            assert response.status_code not in (401, 403), (verb, response.status_code)
        elif found.is_api:
            assert response.status_code == 401, (verb, response.status_code)
        else:
            assert response.status_code == 302, (verb, response.status_code)
            assert response["Location"].startswith("/sign-in/"), response["Location"]


@pytest.mark.parametrize("found", of_kind(Kind.THING), ids=ids)
def test_a_stranger_finds_nothing_and_cannot_tell_it_from_what_is_not_there(found: Found, world: World):
    route = ROUTES[found.key]
    params = route.make(world)
    for verb in route.verbs:
        hidden = ask(found, world.charlie, verb, address(found, params), route)
        missing = ask(found, world.charlie, verb, address(found, of_nothing(params)), route)
        assert (verb, hidden.status_code, missing.status_code) == (verb, 404, 404)
        assert body(hidden) == body(missing)


@pytest.mark.parametrize("found", of_kind(Kind.PAGE), ids=ids)
def test_a_page_of_one_tenant_shows_nothing_of_another(found: Found, world: World):
    from tests.isolation import table

    for name, make in vars(table).items():
        if name.startswith(("a_", "an_")) and callable(make):
            make(world)
    route = ROUTES[found.key]
    if "GET" in route.verbs:
        response = ask(found, world.charlie, "GET", address(found, {}), route)
        assert response.status_code == 200
        shown = body(response).lower()
        for canary in ("canary", "marlowe", "alice", "bob@"):
            assert canary not in shown


@pytest.mark.parametrize("found", of_kind(Kind.THING, Kind.PAGE), ids=ids)
def test_a_role_without_the_permission_is_refused(found: Found, world: World):
    route = ROUTES[found.key]
    path = address(found, route.make(world))
    for verb, permission in route.verbs.items():
        role = strongest_without(permission) if permission is not None else None
        if role is not None:
            response = ask(found, actor_with(world, role), verb, path, route)
            assert (verb, role, response.status_code) == (verb, role, 403)
        if verb != "GET":
            assert permission is not Permission.VIEW, f"{verb} {found.path} writes, so looking is not enough"


@pytest.mark.parametrize("found", of_kind(Kind.THING, Kind.PAGE, Kind.SIGNED_IN), ids=ids)
def test_who_may_gets_in(found: Found, world: World):
    """Without this, the refusals above would prove nothing."""
    route = ROUTES[found.key]
    for verb, permission in route.verbs.items():
        with fresh():
            path = address(found, route.make(world))
            actor = actor_with(world, weakest_with(permission or Permission.VIEW))
            response = ask(found, actor, verb, path, route)
            assert response.status_code < 500, (verb, response.status_code)
            assert response.status_code not in (401, 403, 404, 405), (verb, response.status_code)


@pytest.mark.parametrize("found", HTTP, ids=ids)
def test_a_verb_that_the_address_does_not_take_is_405(found: Found, world: World):
    route = ROUTES[found.key]
    path = address(found, route.make(world))
    for verb in set(VERBS) - set(route.verbs):
        response = ask(found, world.alice, verb, path, route)
        assert (verb, response.status_code) == (verb, 405)


@pytest.mark.parametrize("found", [found for found in HTTP if not found.is_api], ids=ids)
def test_a_write_without_the_csrf_token_is_refused(found: Found, world: World):
    route = ROUTES[found.key]
    if "POST" in route.verbs:
        client = client_of(world.alice, enforce_csrf=True)
        assert client.post(address(found, route.make(world)), route.sample).status_code == 403


def test_the_admin_is_for_staff_only(world: World):
    for actor in (None, world.alice, world.charlie):
        response = client_of(actor).get("/admin/")
        assert response.status_code == 302
        assert "login" in response["Location"]


@contextmanager
def fresh() -> Iterator[None]:
    """What one verb did is undone before the next one is asked."""
    from django.db import transaction

    with transaction.atomic():
        yield
        transaction.set_rollback(True)
