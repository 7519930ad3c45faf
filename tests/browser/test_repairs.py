"""A failed run repaired from its page, on real processes: in one press, in two, and by a new version of its workflow."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.test_run_page import WATCHING
from tests.support.axe import axe_violations
from tests.support.fake_openai import FakeOpenAI
from tests.support.repairs import ODD, PEOPLE, RepairWorld, contacts, make_world
from tests.support.stack import Stack

RUNS = (
    ("Contract summary", {"contract": "Osterkamp, annex B"}),
    ("Deep Build Pipeline", {"idea": "Loyalty scheme for small shippers"}),
    ("Openers", {"company": "Northwind", "people": contacts()}),
    ("Lead scoring", {"company": "Northwind", "lorries": 12}),
)


@pytest.fixture(scope="module")
def repairs(stack: Stack, models: tuple[FakeOpenAI, FakeOpenAI]) -> RepairWorld:
    return make_world(stack, *models, RUNS)


@pytest.fixture(scope="module")
def cookies(browser: Browser, repairs: RepairWorld) -> Any:
    """Of a person who has signed in once."""
    context = browser.new_context(base_url=repairs.stack.url)
    page = context.new_page()
    page.goto(repairs.link)
    if "/sign-in/" in page.url:
        page.locator("main button").first.click()
        page.wait_for_url(lambda url: "/sign-in/" not in url)
    found = context.cookies()
    context.close()
    return found


@pytest.fixture
def signed_in(page: Page, cookies: Any) -> Page:
    page.context.add_cookies(cookies)
    return page


def spent(page: Page, run: str) -> dict[str, Any]:
    """The whole run as a person downloads it: status, cost, every step and attempt."""
    found: dict[str, Any] = page.request.get(f"/runs/{run}/whole.json").json()
    return found


def failed(page: Page, run: str) -> None:
    page.goto(f"/runs/{run}/")
    expect(page.locator("#run-status")).to_contain_text("Failed", timeout=WATCHING)


def succeeded(page: Page) -> None:
    expect(page.locator("#run-status")).to_contain_text("Succeeded", timeout=WATCHING)


def check_kept(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, Any]]:
    """What was finished stands as it was and was not tried again, and only what is new was paid; the new attempts."""
    done = [step for step in before["steps"] if step["status"] == "completed"]
    assert done
    assert all(step in after["steps"] for step in done)
    assert after["attempts"][: len(before["attempts"])] == before["attempts"]
    new: list[dict[str, Any]] = after["attempts"][len(before["attempts"]) :]
    finished = {(step["step"], step["scope"]) for step in done}
    place = {step["id"]: (step["step"], step["scope"]) for step in after["steps"]}
    assert not finished & {place[one["step_run"]] for one in new}
    paid = sum((Decimal(one["cost_usd"]) for one in new), Decimal(0))
    assert paid
    assert Decimal(after["cost_usd"]) == Decimal(before["cost_usd"]) + paid
    return new


def test_in_one_press_with_another_provider(signed_in: Page, repairs: RepairWorld) -> None:
    page = signed_in
    other, run, *_ = repairs.runs
    page.goto(f"/runs/{run}/")
    page.get_by_role("button", name="Approve").first.click(timeout=WATCHING)
    expect(page.locator("#run-status")).to_contain_text("Failed at step 6", timeout=WATCHING)
    box = page.locator(".fail")
    expect(box.locator("h4")).to_have_text(
        "Anthropic refused the request: the account has no credit or quota left"
    )
    expect(box).to_contain_text(
        "Trying again will not help until credit is added, and this step has no fallback."
    )
    expect(box).to_contain_text("Steps 1 to 5 are kept, with the approval.")
    expect(box.locator(".samecase")).to_contain_text("2 runs stopped by this")
    expect(box.locator(f'.samecase a[href="/runs/{other}/"]')).to_be_visible()
    page.goto(f"/runs/{run}/")
    panel = page.locator("#panel")
    expect(panel.locator("[role=tabpanel]:visible")).to_contain_text("Marlowe main key")
    assert axe_violations(page) == []
    before = spent(page, run)
    page.get_by_role("button", name="Retry with Google").first.click()
    succeeded(page)
    after = spent(page, run)
    new = check_kept(before, after)
    assert {one["provider"] for one in new} == {"google"}
    assert repairs.claude.count("Analyse the idea") == 1
    assert repairs.claude.count("Improve it once more") == 1
    assert repairs.gemini.count("Improve it once more") == 1


def test_in_two_by_changing_the_item_that_failed(signed_in: Page, repairs: RepairWorld) -> None:
    page = signed_in
    run = repairs.runs[2]
    failed(page, run)
    before = spent(page, run)
    fix = page.locator(".fixes > li", has_text=f"Change item {ODD + 1}")
    fix.locator("summary").click()
    given = fix.locator("textarea")
    given.fill(given.input_value().replace(", the fool", ""))
    fix.get_by_role("button", name="Retry the item").click()
    succeeded(page)
    expect(page.locator(".fan__top")).to_contain_text("13 of 13")
    cell = page.locator(".fan__items > li").nth(ODD)
    expect(cell).to_contain_text(PEOPLE[ODD])
    expect(cell).not_to_contain_text("the fool")
    after = spent(page, run)
    check_kept(before, after)
    assert [item["status"] for item in after["items"]] == ["completed"] * 13
    assert repairs.claude.count("What do we sell to Northwind") == 1


def test_by_a_new_version_of_the_workflow(signed_in: Page, repairs: RepairWorld) -> None:
    page = signed_in
    run = repairs.runs[3]
    failed(page, run)
    before = spent(page, run)
    page.get_by_role("link", name="Open the step").click()
    setting = page.get_by_label("Expression", exact=True)
    setting.fill("input.lorries * 2")
    setting.blur()
    page.get_by_role("link", name="Publish").click()
    page.get_by_role("dialog").get_by_role("button", name="Publish").click()
    expect(page.locator("#toasts")).to_contain_text("Version 2 is published")
    page.get_by_role("link", name="Back to run").click()
    page.get_by_role("button", name="Continue with version 2").click()
    succeeded(page)
    after = spent(page, run)
    check_kept(before, after)
    assert after["version"] == 2
    assert repairs.claude.count("What is known of Northwind") == 1
    assert repairs.claude.count("with fit 24") == 1
