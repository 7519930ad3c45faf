"""One log line a request, without the secrets that addresses hold."""

import pytest
import structlog
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import path
from structlog.testing import capture_logs


def reset(request: HttpRequest, token: str) -> HttpResponse:
    return HttpResponse(structlog.contextvars.get_contextvars()["request_id"])


def broken(request: HttpRequest) -> HttpResponse:
    raise ValueError("broken on purpose")


urlpatterns = [path("reset/<str:token>/", reset), path("broken/", broken)]


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


@override_settings(ROOT_URLCONF=__name__)
def test_a_request_is_logged_by_its_route_and_never_by_its_token(client: Client):
    with capture_logs() as lines:
        answer = client.get("/reset/canary-token/?key=canary")
    (line,) = [line for line in lines if line["event"] == "request"]
    assert (line["method"], line["route"], line["status"]) == ("GET", "reset/<str:token>/", 200)
    assert "canary" not in str(lines)
    assert answer.headers["X-Request-ID"] == answer.content.decode()


@override_settings(ROOT_URLCONF=__name__)
def test_each_request_has_its_own_id_and_leaves_none_behind(client: Client):
    first, second = client.get("/reset/1/"), client.get("/reset/2/")
    assert first.content != second.content
    assert structlog.contextvars.get_contextvars() == {}


@override_settings(ROOT_URLCONF=__name__)
def test_a_fault_is_logged_as_a_500_with_its_id(client: Client):
    with capture_logs() as lines:
        answer = client.get("/broken/")
    assert [line["status"] for line in lines if line["event"] == "request"] == [500]
    assert answer.headers["X-Request-ID"]


def test_an_address_that_does_not_exist_is_logged_without_it(client: Client):
    with capture_logs() as lines:
        client.get("/no-such-page-canary")
    assert [line["status"] for line in lines if line["event"] == "request"] == [404]
    assert "canary" not in str([line for line in lines if line["event"] == "request"])
