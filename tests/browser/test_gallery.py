"""The gallery of templates in a real browser: found by typing, looked at, used with one click; on phones and at night."""

import re
from itertools import product
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.axe import axe_violations
from tests.support.stack import Stack


@pytest.fixture
def signed_in(page: Page, stack: Stack) -> Page:
    page.goto(stack.sign_in_link_for("nadia@demo.example"))
    page.locator("main button").first.click()
    page.wait_for_url("**/workflows/")
    return page


def test_typing_narrows_the_gallery_and_the_address_follows(signed_in: Page) -> None:
    page = signed_in
    page.goto("/templates/")
    page.evaluate("() => { window.sameDocument = true }")
    page.get_by_label("Search templates").type("budget")
    expect(page.get_by_role("link", name="Lead triage")).to_be_visible()
    expect(page.get_by_role("link", name="Text pipeline")).to_have_count(0)
    expect(page).to_have_url(re.compile(r"[?&]q=budget"))
    assert page.evaluate("() => window.sameDocument")
    page.reload()
    expect(page.get_by_label("Search templates")).to_have_value("budget")
    expect(page.get_by_role("link", name="Text pipeline")).to_have_count(0)


def test_a_category_and_words_hold_together(signed_in: Page) -> None:
    page = signed_in
    page.goto("/templates/?q=article")
    page.get_by_role("group", name="Category").get_by_role("link", name="Content").click()
    expect(page).to_have_url(re.compile("category=Content"))
    expect(page.get_by_role("link", name="Article check")).to_be_visible()
    expect(page.get_by_role("link", name="Text pipeline")).to_have_count(0)
    page.get_by_label("Search templates").fill("zeppelin")
    expect(page.get_by_role("heading", name="Nothing matches")).to_be_visible()
    expect(page).to_have_url(re.compile("category=Content"))


def test_a_template_is_looked_at_and_used(signed_in: Page) -> None:
    page = signed_in
    page.goto("/templates/")
    page.get_by_role("link", name="Article check", exact=True).click()
    expect(page.get_by_role("heading", name="What you fill in")).to_be_visible()
    page.locator("article", has=page.get_by_role("heading", name="Sheet", exact=True)).get_by_text(
        "What it says"
    ).click()
    expect(page.get_by_text("## Key terms")).to_be_visible()
    page.get_by_role("button", name="Use this template").click()
    page.wait_for_url(re.compile(r"/workflows/[0-9a-f-]{36}/$"))
    expect(page.get_by_role("heading", name=re.compile(r"^Article check \d+$"))).to_be_visible()
    expect(page.get_by_text("You can run it as it is.")).to_be_visible()


VIEWS: list[tuple[int, Literal["light", "dark"]]] = [(1440, "light"), (390, "dark"), (360, "light")]


@pytest.mark.parametrize(("view", "at"), list(product(VIEWS, ["", "detail", "save/"])))
def test_every_page_of_the_gallery_fits_and_is_accessible(
    browser: Browser, stack: Stack, signed_in: Page, view: tuple[int, Literal["light", "dark"]], at: str
) -> None:
    state = signed_in.context.storage_state()
    with browser.new_context(
        base_url=stack.url,
        viewport={"width": view[0], "height": 800},
        color_scheme=view[1],
        storage_state=state,
    ) as context:
        page = context.new_page()
        page.goto(f"/templates/{'' if at == 'detail' else at}")
        if at == "detail":
            page.get_by_role("link", name="Lead triage", exact=True).click()
            page.get_by_role("heading", name="The steps").wait_for()
        assert page.evaluate("() => document.documentElement.scrollWidth") <= view[0]
        assert axe_violations(page) == []
