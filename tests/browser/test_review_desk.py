"""A reviewer's morning in a real browser: gates of five workflows cleared by keyboard, and some on a phone."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.axe import axe_violations
from tests.support.stack import Stack

# A whole morning is 40; CI clears fewer by the same keys.
BY_KEYBOARD, ON_A_PHONE = 10, 3
MAKE = """
import datetime, itertools
from django.utils import timezone
from tests.support import runs as make
from workflows.tenancy.actor import Actor
from workflows.tenancy.models import Membership
row = Membership.objects.select_related("tenant", "user").filter(user__email="nadia@demo.example").first()
nadia = Actor(tenant=row.tenant, role=row.role, user=row.user)
make._numbers = itertools.count(9000)
graph = make.graph(make.step("write"), make.step("gate", "review", "Review gate"))
for number in range(COUNT):
    run = make.run_of(nadia, graph, name=f"Morning {number % 5 + 1}")
    make.reached(run, "write")
    late = timezone.now() - datetime.timedelta(minutes=10) if number == 0 else None
    make.gate(run, "gate", due_at=late, title=f"Gate {number}")
"""


@pytest.fixture
def signed_in(page: Page, stack: Stack) -> Page:
    page.goto(stack.sign_in_link_for("nadia@demo.example"))
    if "/sign-in/" in page.url:
        page.locator("main button").first.click()
    return page


def test_a_morning_is_cleared_by_keyboard_and_the_rest_on_a_phone(
    signed_in: Page, stack: Stack, browser: Browser
) -> None:
    page = signed_in
    stack.manage("shell", "-c", MAKE.replace("COUNT", str(BY_KEYBOARD + ON_A_PHONE)))
    page.goto("/reviews/?show=mine")
    title = page.locator(".inbox__pane .gate h2")
    expect(title).to_contain_text("Gate 0")
    expect(page.locator(".inbox__list").get_by_text("Overdue by 10 min")).to_be_visible()
    assert axe_violations(page) == []
    # J and K change the pane in place.
    page.keyboard.press("j")
    expect(title).to_contain_text("Gate 1")
    page.keyboard.press("k")
    expect(title).to_contain_text("Gate 0")
    # E edits; the changes are shown word by word, and the button says so.
    page.keyboard.press("e")
    text = page.locator("[data-gate-text]")
    text.fill(text.input_value().replace("Printed at home", "Printed at work"))
    page.locator('label:has([name="view"][value="changes"])').click()
    expect(page.locator("[data-gate-diff] ins")).to_contain_text("work")
    expect(page.locator("[data-gate-approve]")).to_contain_text("with edits")
    page.locator(".gate h2").click()
    page.keyboard.press("a")
    expect(title).to_contain_text("Gate 1")
    # R asks why, and Esc goes back.
    page.keyboard.press("r")
    expect(page.locator("[data-gate-reason]")).to_be_focused()
    assert axe_violations(page, within=".inbox__pane") == []
    page.keyboard.press("Escape")
    page.keyboard.press("r")
    page.locator("[data-gate-reason]").fill("Not this one.")
    page.locator('.gate__choice [name="decision"][value="reject"]').click()
    for number in range(2, BY_KEYBOARD):
        expect(title).to_contain_text(f"Gate {number}")
        page.keyboard.press("a")
    # Somebody else is first: it is said, and one's own comment stays.
    expect(title).to_contain_text(f"Gate {BY_KEYBOARD}")
    page.locator("[data-gate-comment]").fill("I would wait.")
    state = page.context.storage_state()
    phone = browser.new_context(
        base_url=stack.url, viewport={"width": 390, "height": 844}, storage_state=state, has_touch=True
    ).new_page()
    phone.goto("/reviews/?show=mine")
    phone.locator(".inbox__item").first.tap()
    for number in range(BY_KEYBOARD, BY_KEYBOARD + ON_A_PHONE):
        expect(phone.locator(".gate h2")).to_contain_text(f"Gate {number}")
        if number == BY_KEYBOARD:
            assert axe_violations(phone, within="#main") == []
        phone.locator("[data-gate-approve]").tap()
    expect(page.locator(".inbox__pane")).to_contain_text("Approved by Nadia", timeout=15_000)
    assert page.locator(".inbox__pane textarea[readonly]").input_value() == "I would wait."
    phone.context.close()
