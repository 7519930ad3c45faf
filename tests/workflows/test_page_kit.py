"""The rules every template, stylesheet and script of ours obeys, and the pages that need no database."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.template import Context, Template
from django.template.loader import get_template, render_to_string
from django.test import RequestFactory

from workflows.templatetags.ui import LOOKS, NAV, icon_names, main_nav

ROOT = Path(settings.BASE_DIR)
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
# Read in mail programs, which know no stylesheet; no page includes it.
MAIL = ROOT / "templates" / "notifications" / "mail.html"
STYLES = sorted((ROOT / "static" / "css").glob("*.css"))
SCRIPTS = sorted((ROOT / "static" / "js").glob("*.js"))
FORBIDDEN = {
    "style attributes": re.compile(r"<[^>]*\sstyle\s*=", re.I),
    "inline handlers": re.compile(r"<[^>]*\son[a-z]+\s*=", re.I),
    "inline scripts": re.compile(r"<script(?![^>]*\b(?:src|type=\"application/json\"))[^>]*>", re.I),
    "inline styles": re.compile(r"<style", re.I),
    "htmx code in attributes": re.compile(r"hx-on|hx-vals\s*=\s*['\"]js:", re.I),
    "other origins": re.compile(r"(?:src|href)\s*=\s*[\"']https?://", re.I),
}
COMMENT = re.compile(r"{% comment %}.*?{% endcomment %}|{#.*?#}", re.S)


def markup(path: Path) -> str:
    return COMMENT.sub("", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "path",
    [path for path in TEMPLATES if path != MAIL],
    ids=lambda path: str(path.relative_to(ROOT / "templates")),
)
def test_a_template_holds_to_the_content_security_policy(path: Path) -> None:
    found = [name for name, pattern in FORBIDDEN.items() if pattern.search(markup(path))]
    assert found == []


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT / "templates")))
def test_a_template_parses(path: Path) -> None:
    get_template(str(path.relative_to(ROOT / "templates")))


def test_every_icon_in_use_is_in_the_sprite() -> None:
    used = {
        name
        for path in TEMPLATES
        for name in re.findall(r'{%\s*icon\s+"([^"]+)"', path.read_text(encoding="utf-8"))
    }
    used |= {item.icon for _, items in NAV for item in items} | {look.icon for look in LOOKS.values()}
    assert used - icon_names() == set()


def test_every_form_that_posts_is_protected() -> None:
    for path in TEMPLATES:
        for form in re.findall(r'<form[^>]*method="post".*?</form>', markup(path), re.S | re.I):
            # Fragments for the socket have no request; their page passes the token on.
            assert (
                "{% csrf_token %}" in form or 'name="csrfmiddlewaretoken" value="{{ csrf_token }}"' in form
            ), path


def test_stylesheets_use_only_roles_that_exist() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in STYLES)
    defined = set(re.findall(r"(--[\w-]+)\s*:", text))
    # --z is set by the canvas through the CSSOM and has a fallback.
    assert set(re.findall(r"var\((--[\w-]+)", text)) - defined - {"--z"} == set()


def test_raw_colours_live_in_the_tokens_only() -> None:
    for path in STYLES:
        if path.name != "tokens.css":
            text = re.sub(r"#000\b|color-mix\(in oklch", "", path.read_text(encoding="utf-8"))
            assert not re.search(r"#[0-9a-f]{3,8}\b|rgba?\(|oklch\((?!0 0 0)", text, re.I), path.name


def test_every_stylesheet_and_script_is_loaded() -> None:
    loaded = "".join(path.read_text(encoding="utf-8") for path in TEMPLATES)
    for path in [*STYLES, *SCRIPTS]:
        assert f"{path.parent.name}/{path.name}" in loaded, path.name


@pytest.mark.parametrize("code", ["400", "403", "403_csrf", "404", "413", "429", "500"])
def test_an_error_page_needs_nothing(code: str) -> None:
    html = render_to_string(f"{code}.html")
    assert "<h1>" in html
    assert 'href="/"' in html


def test_an_error_page_says_what_it_is_told() -> None:
    html = render_to_string(
        "400.html", {"title": "Somebody was faster", "explanation": "Nadia <b>decided</b>."}
    )
    assert "<h1>Somebody was faster</h1>" in html
    assert "Nadia &lt;b&gt;decided&lt;/b&gt;." in html


def test_the_shell_has_its_landmarks_and_the_csrf_header() -> None:
    request = RequestFactory().get("/")
    html = render_to_string("base.html", {"user": AnonymousUser()}, request=request)
    for part in (
        'href="#main"',
        '<main class="main" id="main"',
        'aria-label="Main"',
        'id="toasts" role="status"',
    ):
        assert part in html
    assert re.search(r"<body [^>]*hx-headers:inherited='{\"X-CSRFToken\": \"\w{64}\"}'", html)
    assert '"includeIndicatorCSS": false' in html
    ids = re.findall(r'\sid="([^"]+)"', html)
    assert len(ids) == len(set(ids))


def test_the_navigation_shows_only_what_exists_and_is_allowed(settings: object) -> None:
    request = RequestFactory().get("/team/")
    request.tenancy = SimpleNamespace(may={"manage_people": True, "manage_keys": False})  # type: ignore[attr-defined]
    links = [link for _, links in main_nav(Context({"request": request})) for link in links]
    assert "api_keys" not in {link.key for link in links}
    assert [link.key for link in links if link.current] == ["team"]


def test_the_section_of_the_page_wins_over_its_path() -> None:
    request = RequestFactory().get("/elsewhere/")
    request.tenancy = SimpleNamespace(may={"manage_people": True, "manage_keys": True})  # type: ignore[attr-defined]
    links = [
        link for _, links in main_nav(Context({"request": request, "section": "api_keys"})) for link in links
    ]
    assert [link.key for link in links if link.current] == ["api_keys"]


def test_parts_escape_what_they_are_given() -> None:
    html = Template(
        '{% include "parts/_empty.html" with title=bad text=bad %}{% include "parts/_note.html" with title=bad text=bad %}'
        '{% include "parts/_toast.html" with text=bad %}{% include "parts/_menu.html" with menu_id="m" menu_label=bad %}'
    ).render(Context({"bad": "<b>"}))
    assert "<b><" not in html.replace("<p><b>", "")
    assert html.count("&lt;b&gt;") == 7
