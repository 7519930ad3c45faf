"""The page kit in a real browser: its behaviours, both themes, phone and desk. Pages are rendered here, no stack is needed."""

import mimetypes
import re
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest
from django import forms
from django.conf import settings
from django.core.paginator import Paginator
from django.template import RequestContext, Template
from django.test import RequestFactory
from django.urls import reverse
from playwright.sync_api import Page, expect

from config.middleware import policy_for
from tests.support.axe import axe_violations

STATIC = Path(settings.BASE_DIR) / "static"

COMPONENTS = """{% extends "base.html" %}{% load ui %}{% block heading %}Components{% endblock %}{% block main %}
<div class="toolbar"><button class="btn btn--primary" type="button">Publish</button><button class="btn btn--human" type="button">Approve</button>
<button class="btn" type="button" disabled>Test</button>{% include "parts/_menu.html" with menu_id="m" menu_label="Actions" items=items %}</div>
<p>{% for name in statuses %}{% status name pill=True %} {% endfor %}</p><p>{% for name in statuses %}{% status name %} {% endfor %}</p>
<p>{% strip statuses %} {% avatar user %}</p>
<form class="card" method="post" action="/sent" data-confirm="Cancel this run?" data-confirm-text="What is finished is kept." data-confirm-verb="Cancel the run">
<div class="card__body grid-2">{% for field in form %}{% include "parts/_field.html" %}{% endfor %}<button class="btn" id="cancel">Cancel</button></div></form>
<h2>Output</h2><div class="card">{% include "parts/_tabs.html" with tabs_id="t" tabs_label="Step" tabs=tabs current="output" %}
<div role="tabpanel" id="t-output" aria-labelledby="t-output-tab" class="card__body prose">{% markdown text %}</div>
<div role="tabpanel" id="t-input" aria-labelledby="t-input-tab" class="card__body">The input</div></div>
{% include "parts/_note.html" with kind="warn" title="No key is set." text="The demo model answers." %}
{% include "parts/_note.html" with kind="bad" title="The run failed." %}{% include "parts/_note.html" with kind="human" title="You are asked." %}
<div class="card">{% include "parts/_empty.html" with title="No runs yet" text="The first takes a minute." %}</div>
{% include "parts/_pagination.html" %}
<div data-follow-group><div class="live-box well" data-follow tabindex="0" id="stream" role="region" aria-label="Text"></div>
<label class="check"><input type="checkbox" data-follow-switch> Follow</label><button class="btn" type="button" data-follow-jump hidden>Jump to the end</button></div>
<ul data-list>{% for name in statuses %}<li data-item><a class="btn" href="#{{ name }}">{{ name }}</a></li>{% endfor %}</ul>
<label class="field">Find<input class="input" data-search></label>
<button class="btn" type="button" hx-get="/fragment" hx-target="#swapped">Load</button><div id="swapped"></div>
<button class="btn" type="button" hx-post="/gone" hx-swap="none" data-key="s">Save<kbd>S</kbd></button>
<button class="btn" type="button" hx-get="/expired" hx-target="#swapped">Refresh</button>
{% endblock %}"""

BENCH = """{% extends "base_bench.html" %}{% load ui %}{% block heading %}Run 7{% endblock %}
{% block bench_main %}<button class="btn" type="button" id="open" data-panel-open>Clean the text</button>{% endblock %}
{% block panel %}<div class="insp__head"><h2 class="h-sm">Clean the text</h2><button class="btn btn--icon" type="button" data-panel-close aria-label="Close panel">{% icon "x" %}</button></div>
<div class="insp__body"><a href="#out">Output</a></div>{% endblock %}"""


class SampleForm(forms.Form):
    name = forms.CharField(help_text="Shown in lists.")
    model = forms.ChoiceField(choices=[("a", "Demo")])
    prompt = forms.CharField(widget=forms.Textarea)
    follow = forms.BooleanField(required=False)
    rule = forms.ChoiceField(choices=[("a", "Stop"), ("b", "Go on")], widget=forms.RadioSelect)


def rendered(source: str) -> str:
    request = RequestFactory().get("/")
    request.tenancy = SimpleNamespace(  # type: ignore[attr-defined]
        may={}, tenant=SimpleNamespace(pk=1, name="Marlowe Freight"), membership=None
    )
    form = SampleForm({"name": "", "model": "a", "prompt": "Write", "rule": "a"})
    context: dict[str, Any] = {
        "user": SimpleNamespace(
            pk=7,
            email="nadia@marlowe.example",
            initials="NO",
            is_authenticated=True,
            get_full_name="Nadia Osei",
        ),
        "review_count": 4,
        "form": form,
        "page": Paginator(range(50), 10).page(2),
        "statuses": [
            "queued",
            "pending",
            "running",
            "completed",
            "retried",
            "review",
            "paused",
            "failed",
            "skipped",
            "cancelled",
        ],
        "tabs": [{"key": "output", "label": "Output"}, {"key": "input", "label": "Input", "count": 3}],
        "items": [
            {"label": "Copy", "url": "#copy"},
            {"label": "Delete", "post": "/sent", "confirm": "Delete it?"},
        ],
        "text": "# Why now\n\n- one\n- two\n\n| a | b |\n|---|---|\n| 1 | 2 |",
    }
    return Template(source).render(RequestContext(request, context))


PAGES: dict[str, Callable[[], str]] = {
    "/components": lambda: rendered(COMPONENTS),
    "/bench": lambda: rendered(BENCH),
    "/fragment": lambda: (
        '<form method="post" action="/sent" data-confirm="Sure?"><button>Send</button></form>'
    ),
    "/sent": lambda: "<title>Sent</title>",
    reverse("accounts:single_keys"): lambda: "",
}


class Answers(BaseHTTPRequestHandler):
    """The pages above and the static files, under the product's own policy; what was posted is noted."""

    posts: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path.startswith("/static/"):
            file = STATIC / path.removeprefix("/static/")
            self._answer(file.read_bytes(), mimetypes.guess_type(file.name)[0] or "application/octet-stream")
        elif path == "/expired":
            self.send_response(302)
            self.send_header("Location", reverse("accounts:sign_in"))
            self.end_headers()
        elif path == reverse("accounts:sign_in"):
            self._answer(b"<title>Sign in</title>", "text/html")
        elif page := PAGES.get(path):
            self._answer(page().encode(), "text/html; charset=utf-8")
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        if self.path == "/gone":
            self.close_connection = True
            return
        self.posts.append(self.path)
        self.do_GET()

    def _answer(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Security-Policy", policy_for(self.path))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Silent: a failed test shows the page, not its requests."""


@pytest.fixture(scope="session")
def browser_context_args() -> Iterator[dict[str, Any]]:
    """These pages come from the test itself; starting the product for them would only take time."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    Thread(target=server.serve_forever, daemon=True).start()
    yield {"base_url": f"http://127.0.0.1:{server.server_port}", "viewport": {"width": 1440, "height": 900}}
    server.shutdown()
    server.server_close()


@pytest.fixture
def sent() -> list[str]:
    """The addresses that the test's page has posted to."""
    Answers.posts.clear()
    return Answers.posts


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390, 360])
@pytest.mark.parametrize("name", ["components", "bench"])
def test_the_kit_is_accessible_and_fits(
    page: Page, sent: list[str], name: str, width: int, theme: Any
) -> None:
    page.emulate_media(color_scheme=theme)
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(f"/{name}")
    assert axe_violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_the_theme_is_kept_and_set_before_the_page_is_drawn(page: Page, sent: list[str]) -> None:
    page.emulate_media(color_scheme="light")
    page.goto("/components")
    page.locator(".sidebar [data-theme-toggle]").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.reload(wait_until="commit")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_a_menu_opens_beside_its_button_and_moves_with_the_arrows(page: Page, sent: list[str]) -> None:
    page.goto("/components")
    button = page.get_by_role("button", name="Actions")
    button.click()
    expect(button).to_have_attribute("aria-expanded", "true")
    expect(page.get_by_role("link", name="Copy")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("button", name="Delete")).to_be_focused()
    menu, at = page.locator("#m").bounding_box(), button.bounding_box()
    assert menu is not None
    assert at is not None
    assert round(menu["y"] - at["y"] - at["height"]) == 6
    page.keyboard.press("Escape")
    expect(page.locator("#m")).to_be_hidden()
    expect(button).to_be_focused()


def test_nothing_is_sent_before_it_is_confirmed(page: Page, sent: list[str]) -> None:
    page.goto("/components")
    for field in ("Name", "Prompt"):
        page.get_by_label(field).fill("x")
    page.locator("#cancel").click()
    dialog = page.get_by_role("dialog", name="Cancel this run?")
    expect(dialog).to_contain_text("What is finished is kept.")
    expect(dialog.get_by_role("button", name="Keep it")).to_be_focused()
    assert axe_violations(page) == []
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert sent == []
    page.locator("#cancel").click()
    dialog.get_by_role("button", name="Cancel the run").click()
    expect(page).to_have_title("Sent")
    assert sent == ["/sent"]


def test_what_a_swap_brings_behaves_too(page: Page, sent: list[str]) -> None:
    page.goto("/components")
    page.get_by_role("button", name="Load").click()
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("dialog", name="Sure?")).to_be_visible()
    assert sent == []


def test_every_request_carries_the_csrf_token(page: Page, sent: list[str]) -> None:
    page.goto("/components")
    with page.expect_request("**/gone") as asked:
        page.get_by_role("button", name="Save").click()
    assert len(asked.value.headers["x-csrftoken"]) == 64


def test_a_lost_connection_is_said_and_the_button_is_free_again(page: Page, sent: list[str]) -> None:
    page.goto("/components")
    save = page.get_by_role("button", name="Save")
    save.click()
    expect(page.locator("#toasts [role=alert]")).to_contain_text("this was not saved")
    expect(save).not_to_have_attribute("aria-busy", "true")


def test_an_ended_session_leads_to_sign_in_instead_of_into_the_page(page: Page, sent: list[str]) -> None:
    page.goto("/components")
    page.evaluate("document.body.dataset.old = 'yes'")
    page.get_by_role("button", name="Refresh").click()
    expect(page.locator("body[data-old]")).to_have_count(0)
    expect(page.locator("#swapped")).to_be_empty()


def test_tabs_follow_the_arrow_keys(page: Page, sent: list[str]) -> None:
    page.goto("/components")
    expect(page.locator("#t-input")).to_be_hidden()
    page.get_by_role("tab", name="Output").press("ArrowRight")
    expect(page.locator("#t-input")).to_be_visible()
    expect(page.locator("#t-output")).to_be_hidden()
    expect(page.get_by_role("tab", name="Input")).to_be_focused()


def test_single_keys_move_search_and_explain_and_can_be_switched_off(page: Page, sent: list[str]) -> None:
    page.goto("/components")
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.get_by_role("link", name="pending", exact=True)).to_be_focused()
    page.keyboard.press("k")
    expect(page.get_by_role("link", name="queued", exact=True)).to_be_focused()
    page.keyboard.press("/")
    search = page.locator("[data-search]")
    expect(search).to_be_focused()
    page.keyboard.type("j?")
    expect(search).to_have_value("j?")
    search.blur()
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(dialog.locator("[data-keys-here]")).to_have_text("S Save")
    with page.expect_response("**/account/keys/"):
        dialog.get_by_label("Use single-key shortcuts").uncheck()
    assert sent == ["/account/keys/"]
    expect(dialog.get_by_text("They are off")).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.keyboard.press("?")
    expect(dialog).to_be_hidden()


def test_a_switch_of_the_keys_that_is_not_kept_springs_back(page: Page, sent: list[str]) -> None:
    page.goto("/components")
    page.route("**/account/keys/", lambda route: route.fulfill(status=500))
    page.keyboard.press("?")
    box = page.get_by_role("dialog", name="Keyboard shortcuts").get_by_label("Use single-key shortcuts")
    box.click()
    expect(page.get_by_text("This could not be kept")).to_be_attached()
    expect(box).to_be_checked()


def test_growing_text_is_followed_until_the_reader_scrolls_up(page: Page, sent: list[str]) -> None:
    page.goto("/components")
    stream = page.locator("#stream")
    stream.evaluate("box => { box.style.height = '80px'; box.style.overflow = 'auto' }")
    grow = "box => { for (let i = 0; i < 30; i++) box.append(document.createElement('p'), 'a line') }"
    at_end = "box => box.scrollHeight - box.scrollTop - box.clientHeight < 2"
    stream.evaluate(grow)
    page.wait_for_function(f"({at_end})(document.querySelector('#stream'))")
    stream.evaluate("box => box.scrollTo(0, 0)")
    jump = page.get_by_role("button", name="Jump to the end")
    expect(jump).to_be_visible()
    expect(page.get_by_label("Follow", exact=True).last).not_to_be_checked()
    stream.evaluate(grow)
    assert stream.evaluate("box => box.scrollTop") == 0
    jump.click()
    page.wait_for_function(f"({at_end})(document.querySelector('#stream'))")
    expect(jump).to_be_hidden()


def test_on_a_phone_the_panel_is_a_sheet_that_keeps_the_focus(page: Page, sent: list[str]) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto("/bench")
    panel = page.locator("#panel")
    expect(panel).to_be_hidden()
    page.locator("#open").click()
    expect(panel).to_be_visible()
    expect(panel).to_have_attribute("aria-modal", "true")
    for _ in range(5):
        page.keyboard.press("Tab")
        assert page.evaluate("document.querySelector('#panel').contains(document.activeElement)")
    assert axe_violations(page) == []
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(page.locator("#open")).to_be_focused()


def test_on_a_phone_everything_is_behind_more(page: Page, sent: list[str]) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto("/components")
    expect(page.locator(".sidebar")).to_be_hidden()
    page.get_by_role("button", name="More", exact=True).click()
    expect(page.get_by_role("dialog", name="All places")).to_be_visible()
    assert axe_violations(page) == []


def test_on_a_desk_the_panel_gives_its_room_to_the_list(page: Page, sent: list[str]) -> None:
    page.goto("/bench")
    panel = page.locator("#panel")
    expect(panel).to_be_visible()
    page.get_by_role("button", name="Close panel").first.click()
    expect(panel).to_be_hidden()
    page.locator("#open").click()
    expect(panel).to_be_visible()
    expect(panel).to_have_attribute("role", re.compile("complementary"))
