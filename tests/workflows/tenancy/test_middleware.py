"""Under ASGI, as in production: views in threads, coroutines, and errors as answers that fit who asks."""

from __future__ import annotations

import pytest
from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, override_settings
from django.urls import include, path

from tests.support.factories import World
from workflows.lib.errors import Conflict, Invalid, NotFound, Problem, TooLarge
from workflows.tenancy.access import TenantRequest, permission_required, tenant_required
from workflows.tenancy.actor import Actor
from workflows.tenancy.middleware import client_ip
from workflows.tenancy.roles import Permission

ERRORS = {
    "missing": NotFound("Gone."),
    "conflict": Conflict("Bob was faster."),
    "large": TooLarge("Too much text."),
    "invalid": Invalid(
        "Wrong.", problems=(Problem("bad", "No prompt.", step="Draft", field="prompt", fix="Write one."),)
    ),
}


@tenant_required
async def coroutine(request: TenantRequest) -> HttpResponse:
    return HttpResponse(f"{request.actor.label} in {request.tenant.name} as {request.membership.role}")


@permission_required(Permission.MANAGE_KEYS)
async def for_admins(request: TenantRequest) -> HttpResponse:
    return HttpResponse("in")


def failing(request: HttpRequest, which: str) -> HttpResponse:
    raise ERRORS[which]


urlpatterns = [
    path("", include("workflows.urls")),
    path("coroutine/", coroutine),
    path("for-admins/", for_admins),
    path("failing/<which>/", failing),
    path("api/failing/<which>/", failing),
]


@pytest.fixture(autouse=True)
def _urls():
    with override_settings(ROOT_URLCONF=__name__):
        yield


async def browser_of(actor: Actor) -> AsyncClient:
    client = AsyncClient()
    assert actor.user is not None
    await client.aforce_login(actor.user, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.mark.django_db(transaction=True)
async def test_coroutines_and_threads_know_who_asks():
    from tests.support import factories

    world: World = await sync_to_async(factories.world)()
    client = await browser_of(world.bob)
    assert (await client.get("/coroutine/")).content == b"Bob Bell in Marlowe as editor"
    assert (await client.get("/for-admins/")).status_code == 403
    assert (await (await browser_of(world.adam)).get("/for-admins/")).content == b"in"
    assert (await (await browser_of(world.alice)).get("/team/")).status_code == 200
    assert (await AsyncClient().get("/coroutine/")).status_code == 302


@pytest.mark.parametrize(
    ("which", "status"), [("missing", 404), ("conflict", 409), ("large", 413), ("invalid", 422)]
)
def test_an_error_is_a_page_a_fragment_or_json(db, client, which: str, status: int):
    page = client.get(f"/failing/{which}/")
    assert (page.status_code, "<html" in page.content.decode()) == (status, True)
    fragment = client.get(f"/failing/{which}/", headers={"HX-Request": "true"})
    assert (fragment.status_code, "<html" in fragment.content.decode()) == (status, False)
    assert ERRORS[which].message in fragment.content.decode()
    for answer in (
        client.get(f"/api/failing/{which}/"),
        client.get(f"/failing/{which}/", headers={"Accept": "application/json"}),
    ):
        error = answer.json()["error"]
        assert answer.status_code == status
        assert (error["code"], error["message"]) == (ERRORS[which].code, ERRORS[which].message)
        assert error["request_id"]


def test_problems_are_named_in_the_json(db, client):
    problem = client.get("/api/failing/invalid/").json()["error"]["problems"][0]
    assert (problem["step"], problem["field"], problem["message"], problem["fix"]) == (
        "Draft",
        "prompt",
        "No prompt.",
        "Write one.",
    )


def test_a_forwarded_address_counts_only_behind_a_proxy_of_ours(rf, settings):
    request = rf.get("/", headers={"X-Forwarded-For": "6.6.6.6, 10.1.2.3"}, REMOTE_ADDR="127.0.0.1")
    assert client_ip(request) == "127.0.0.1"
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    assert client_ip(request) == "10.1.2.3"
