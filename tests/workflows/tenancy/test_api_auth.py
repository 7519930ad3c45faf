"""Who calls the API: a key decides alone; a browser's session may read, and write with its CSRF token."""

import json
from typing import Any

import pytest
from django.test import Client, override_settings
from django.urls import path
from ninja import NinjaAPI

from tests.support.factories import World, bearer, client_of, key_of
from workflows.tenancy.api_auth import ApiAuth, ApiRequest

api = NinjaAPI(auth=ApiAuth(), urls_namespace="test-auth", docs_url=None)


@api.api_operation(["GET", "POST"], "/who")
def who(request: ApiRequest) -> dict[str, Any]:
    return {"tenant": request.tenant.slug, "who": request.actor.label, "role": request.actor.role}


@api.get("/later")
async def later(request: ApiRequest) -> dict[str, Any]:
    return {"tenant": request.tenant.slug}


urlpatterns = [path("api/", api.urls)]


@pytest.fixture(autouse=True)
def _urls():
    with override_settings(ROOT_URLCONF=__name__):
        yield


def test_a_key_acts_in_its_tenant_with_its_role(world: World, client: Client):
    answer = client.get("/api/who", headers=bearer(key_of(world.bob)))
    assert answer.json() == {"tenant": "marlowe", "who": "API key A key", "role": "editor"}


def test_coroutines_know_the_caller_too(world: World, client: Client):
    assert client.get("/api/later", headers=bearer(key_of(world.bob))).json() == {"tenant": "marlowe"}
    assert client.get("/api/later").status_code == 401


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", "Basic YTpi", "Bearer sw_aaaaaaaaaa_bbb"])
def test_without_a_good_key_nobody_is_let_in(world: World, client: Client, header: str):
    for send in (client.get, client.post):
        assert send("/api/who", headers={"Authorization": header} if header else {}).status_code == 401


def test_a_wrong_key_is_not_made_good_by_a_session(world: World):
    assert client_of(world.alice).get("/api/who", headers=bearer("sw_wrong")).status_code == 401


def test_a_session_reads_and_writes_only_with_its_token(world: World):
    client = client_of(world.alice, enforce_csrf=True)
    assert client.get("/api/who").json() == {"tenant": "marlowe", "who": "Alice Ames", "role": "owner"}
    refused = client.post("/api/who", json.dumps({}), content_type="application/json")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "csrf")
    client.cookies["csrftoken"] = "a" * 32
    sent = client.post(
        "/api/who", json.dumps({}), content_type="application/json", headers={"X-CSRFToken": "a" * 32}
    )
    assert sent.status_code == 200


def test_a_person_without_a_tenant_is_nobody(world: World):
    client = client_of(world.bob)
    world.tenant.is_active = False
    world.tenant.save()
    assert client.get("/api/who").status_code == 401
