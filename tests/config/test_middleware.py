"""The content security policy of every answer, and static files on both sides of the event loop."""

from pathlib import Path

import pytest
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.test import AsyncRequestFactory, RequestFactory, override_settings
from django.utils.module_loading import import_string

from config.middleware import ContentSecurityPolicyMiddleware, StaticFilesMiddleware, policy_for


@pytest.mark.parametrize(
    "path", ["/", "/sign-in", "/workflows/1/", "/api/workflows", "/administrator", "/static/a.js"]
)
def test_our_own_pages_allow_nothing_inline_and_no_other_origin(path: str):
    policy = policy_for(path)
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize("path", ["/admin/", "/admin/django_rq/dashboard/", "/api/docs"])
def test_pages_of_others_may_be_laxer_but_never_load_from_elsewhere(path: str):
    assert "'unsafe-inline'" in policy_for(path)
    assert "unsafe-eval" not in policy_for(path)
    assert "http" not in policy_for(path)


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse("page")


async def async_page(request: HttpRequest) -> HttpResponse:
    return HttpResponse("page")


async def test_the_policy_is_set_on_both_sides_of_the_event_loop():
    now = ContentSecurityPolicyMiddleware(page)(RequestFactory().get("/"))
    later = await ContentSecurityPolicyMiddleware(async_page)(AsyncRequestFactory().get("/"))  # type: ignore[misc]
    assert now.headers["Content-Security-Policy"] == policy_for("/")
    assert later.headers["Content-Security-Policy"] == policy_for("/")


def test_an_answer_may_bring_its_own_policy():
    def sandboxed(request: HttpRequest) -> HttpResponse:
        return HttpResponse("file", headers={"Content-Security-Policy": "sandbox"})

    answer = ContentSecurityPolicyMiddleware(sandboxed)(RequestFactory().get("/"))
    assert answer.headers["Content-Security-Policy"] == "sandbox"


@pytest.mark.parametrize("name", settings.MIDDLEWARE)
def test_no_middleware_leaves_the_event_loop(name: str):
    assert import_string(name).async_capable


@pytest.fixture
def static_root(tmp_path: Path) -> Path:
    (tmp_path / "app.css").write_text("body { color: black }")
    return tmp_path


@pytest.mark.filterwarnings("error")
async def test_a_static_file_is_served_whole_inside_the_event_loop(static_root: Path):
    with override_settings(STATIC_ROOT=static_root):
        middleware = StaticFilesMiddleware(async_page)
        answer = await middleware(AsyncRequestFactory().get("/static/app.css"))
        head = await middleware(AsyncRequestFactory().head("/static/app.css"))
        other = await middleware(AsyncRequestFactory().get("/static/none.css"))
    assert (answer.status_code, answer.content) == (200, b"body { color: black }")
    assert answer.headers["Content-Type"] == 'text/css; charset="utf-8"'
    assert (head.content, head.headers["Content-Length"]) == (b"", "21")
    assert other.content == b"page"


def test_a_static_file_is_served_outside_the_event_loop_too(static_root: Path):
    with override_settings(STATIC_ROOT=static_root):
        answer = StaticFilesMiddleware(page)(RequestFactory().get("/static/app.css"))
        assert b"".join(answer) == b"body { color: black }"
