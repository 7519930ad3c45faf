"""The way from an empty workspace to a first run in a real browser, and what people do next; axe in both modes."""

import re
from typing import Literal

from playwright.sync_api import Page, expect

from tests.support.axe import axe_violations
from tests.support.stack import Stack


def fine(page: Page) -> None:
    modes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for mode in modes:
        page.emulate_media(color_scheme=mode, reduced_motion="reduce")
        assert axe_violations(page) == []
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


def folded(page: Page, name: str) -> None:
    """A step that is done is its one line."""
    card = page.get_by_role("region", name=name)
    expect(card.locator(".card__body")).to_have_count(0)
    expect(card.locator("xpath=..").get_by_text("Done")).to_be_attached()


def test_from_an_empty_workspace_down_three_steps_to_a_live_result(page: Page, stack: Stack) -> None:
    stack.manage("create_tenant", "harbour", "--name", "New Harbour", "--owner", "ines@harbour.example")
    page.goto(stack.sign_in_link_for("ines@harbour.example"))
    page.locator("main button").first.click()
    page.wait_for_url("**/workflows/")
    page.get_by_role("link", name="Take the first steps").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Let’s get one workflow running")
    fine(page)
    # Not now; it comes back from Help.
    page.get_by_role("button", name="Skip for now").click()
    page.wait_for_url("**/workflows/")
    page.locator('[popovertarget="user-menu"]').click()
    page.get_by_role("link", name="First steps", exact=True).click()
    page.get_by_role("button", name="Stay with the demonstration").click()
    folded(page, "Connect a model")
    expect(page.get_by_role("radio")).to_have_count(3)
    page.set_viewport_size({"width": 390, "height": 844})
    fine(page)
    page.get_by_role("button", name="Use this template").click()
    folded(page, "Pick something to start from")
    expect(page.get_by_label("Text")).to_have_value(re.compile("Rivers of the north"))
    fine(page)
    page.set_viewport_size({"width": 1440, "height": 900})
    page.get_by_role("button", name="Run it").click()
    page.wait_for_url(re.compile(r"/runs/[0-9a-f-]{36}/"))
    expect(page.locator("#run-output")).to_contain_text("river", ignore_case=True, timeout=30_000)

    page.goto("/welcome/")
    expect(page.get_by_role("heading", name=re.compile("Your first workflow has run"))).to_be_visible()
    folded(page, "Run it once with sample data")
    fine(page)
    page.get_by_role("link", name="Open it").click()
    page.wait_for_url(re.compile(r"/workflows/[0-9a-f-]{36}/$"))
    expect(page.locator(".lasttest").first).to_contain_text(re.compile(r"\d (ms|s)"))
    page.get_by_role("button", name="Add a step at the end").click()
    page.get_by_role("link", name="Common patterns").first.click()
    expect(page).to_have_url(re.compile(r"/patterns/\?place=\w+"))
    fine(page)
    page.get_by_role("link", name=re.compile("^Ask, then review")).click()
    fine(page)
    page.get_by_role("button", name="Put it into the draft").click()
    expect(page.locator(".step", has_text="Review the answer").first).to_be_visible()
    page.goto("/runs/describe/")
    expect(page.get_by_text("This needs a model with a key.")).to_be_visible()
    fine(page)
