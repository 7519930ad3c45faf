"""Every error has the one body, whoever found it: an operation, the reader of bodies, ninja, or Django."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from tests.api.support import TWO, Api, a_workflow, error_of, paths
from tests.support.factories import World, bearer, client_of
from workflows.lib import limits
from workflows.models import Workflow
from workflows.tenancy.keys import revoke_key
from workflows.tenancy.models import ApiKey, Tenant

pytestmark = pytest.mark.django_db


@pytest.fixture
def api(world: World) -> Api:
    return Api(world.bob)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"{", "bad_json"),
        (b"nonsense", "bad_json"),
        (b'{"name": "\xff"}', "bad_json"),
        (b'{"name": NaN}', "bad_json"),
        (b'{"name": 1e999}', "bad_json"),
        (b'{"name": ' + b"9" * 5000 + b"}", "bad_json"),
        (b'{"name": "a\\u0000b"}', "bad_text"),
        (b'{"name": "a\\ud800b"}', "bad_text"),
        (b'{"a\\u0000b": 1}', "bad_text"),
        (b'{"definition": ' + b"[" * 150 + b"]" * 150 + b"}", "too_deep"),
        (b"[" * 100_000, "too_deep"),
    ],
)
def test_a_body_that_cannot_be_kept_is_422(api: Api, raw: bytes, code: str):
    assert error_of(api.post("/workflows", raw=raw), 422)["code"] == code
    assert not Workflow.objects.exists()


def test_a_broken_body_says_where_it_breaks(api: Api):
    error = error_of(api.post("/workflows", raw=b'{"name": "A",\n "tags": [1, }'), 422)
    assert "line 2" in error["message"]


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
def test_another_format_is_415(api: Api, content_type: str):
    error = error_of(api.post("/workflows", raw=b'{"name": "A"}', content_type=content_type), 415)
    assert error["code"] == "unsupported_media_type"


def test_a_suffix_of_json_is_json(api: Api):
    made = api.post("/workflows", {"name": "A"}, content_type="application/vnd.stepwell+json; charset=utf-8")
    assert made.status_code == 201


def test_too_large_an_input_is_413_and_names_field_and_limit(api: Api):
    made = a_workflow(api, TWO)
    body = {"input_data": {"text": "x" * (limits.RUN_INPUT_BYTES.value + 1)}}
    error = error_of(api.post(f"/workflows/{made['id']}/execute", body), 413)
    assert paths(error) == ["input_data"]
    assert "2,000,000 bytes" in error["message"]
    assert "input_data" in error["message"]


def test_too_large_a_body_is_413_and_names_the_limits(api: Api):
    made = a_workflow(api, TWO)
    body = b'{"input_data": {"text": "' + b"x" * limits.API_BODY_BYTES.value + b'"}}'
    error = error_of(api.post(f"/workflows/{made['id']}/execute", raw=body), 413)
    assert "16,777,216" in error["message"]
    assert "2,000,000" in error["message"]


@pytest.mark.parametrize("path", ["/nothing", "/workflows/", "/", "/workflows/x/y/z", "/docs/nothing"])
def test_an_unknown_address_is_404_for_everybody(api: Api, path: str):
    for caller in (api, Api(None)):
        assert error_of(caller.get(path), 404)["code"] == "not_found"


@pytest.mark.parametrize(
    ("verb", "path"), [("PATCH", "/workflows/1"), ("DELETE", "/workflows"), ("TRACE", "/reviews")]
)
def test_a_verb_that_is_not_possible_is_405_and_says_which_are(api: Api, verb: str, path: str):
    response = api.send(verb, path)
    assert error_of(response, 405)["code"] == "method_not_allowed"
    assert response["Allow"]


def test_a_fault_of_ours_is_500_and_says_nothing_of_the_inside(api: Api, monkeypatch: pytest.MonkeyPatch):
    def broken(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("workflows.api.workflows.filtered_workflows", broken)
    error = error_of(api.get("/workflows"), 500)
    assert error["code"] == "internal"
    assert "secret" not in json.dumps(error)


def test_a_wrong_host_is_answered_in_json():
    response = Client().get("/api/workflows", headers={"Host": "evil.example"})
    assert error_of(response, 400)["code"] == "bad_request"


def test_pages_keep_their_own_errors(world: World):
    response = Client().get("/nothing-here/")
    assert response.status_code == 404
    assert response["Content-Type"].startswith("text/html")


# --- who calls ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer wrong", "Bearer sw_aaaaaaaaaa_bbbb", "Basic YTpi", "Token x"]
)
def test_without_a_key_that_lives_it_is_401(db: None, header: str):
    headers = {"Authorization": header} if header else {}
    response = Client().get("/api/workflows", headers=headers)
    assert error_of(response, 401)["code"] == "not_signed_in"
    assert response["WWW-Authenticate"].startswith("Bearer")


def test_a_revoked_key_and_one_of_a_tenant_that_is_off_end_at_once(world: World, api: Api):
    assert api.get("/workflows").status_code == 200
    revoke_key(actor=world.alice, key=ApiKey.objects.get())
    error_of(api.get("/workflows"), 401)
    other = Api(world.bob)
    Tenant.objects.filter(pk=world.tenant.pk).update(is_active=False)
    error_of(other.get("/workflows"), 401)


def test_a_signed_in_browser_reads_and_writes_with_its_csrf_token(world: World):
    client = client_of(world.bob, enforce_csrf=True)
    assert client.get("/api/workflows").status_code == 200
    body = {"name": "By session"}
    refused = client.post("/api/workflows", body, content_type="application/json")
    assert error_of(refused, 403)["code"] == "csrf"
    page = client.get("/api/docs")
    token = page.content.decode().partition('data-csrf-token="')[2].partition('"')[0]
    made = client.post(
        "/api/workflows", body, content_type="application/json", headers={"X-CSRFToken": token}
    )
    assert made.status_code == 201, made.content
    assert made.json()["created_by"] == "Bob Bell"


def test_a_wrong_key_is_not_made_good_by_a_session(world: World):
    client = client_of(world.bob)
    error_of(client.get("/api/workflows", headers=bearer("sw_wrong")), 401)


def test_a_key_sees_its_tenant_only(world: World):
    mine, theirs = Api(world.bob), Api(world.charlie)
    made = a_workflow(mine)
    assert theirs.get("/workflows").json() == {"items": [], "count": 0}
    hidden = error_of(theirs.get(f"/workflows/{made['id']}"), 404)
    missing = error_of(theirs.get("/workflows/00000000-0000-4000-8000-000000000000"), 404)
    assert {**hidden, "request_id": ""} == {**missing, "request_id": ""}


def test_the_key_of_a_reviewer_may_decide_but_not_edit(world: World):
    api = Api(world.alice, role="reviewer")
    assert api.get("/reviews").status_code == 200
    assert "Reviewer may not do this" in error_of(api.post("/workflows", {"name": "A"}), 403)["message"]
