"""The reviewer's morning (tests/acceptance/test_review_morning.py), shortened: by keyboard, on a phone, two at once."""

from __future__ import annotations

import json
import re

from playwright.sync_api import Browser, Page, ViewportSize, expect

from tests.support import reviewer
from tests.support.axe import axe_violations
from tests.support.reviewer import Keyboard, Phone
from tests.support.stack import Stack

SEED = """
import time
from tests.support import morning as m
m.move_in()
m.begin("Customer answers", 1)
m.begin("Release notes", 6)
deadline = time.monotonic() + 60
while m.waiting() < 7 and time.monotonic() < deadline:
    time.sleep(0.1)
m.due("Customer answers", -10)
"""
ASK = """
import json, time
from tests.support import morning as m
deadline = time.monotonic() + 60
# The one that was rejected without a path has failed.
while not set(m.runs()) <= {"completed", "failed"} and time.monotonic() < deadline:
    time.sleep(0.1)
print(json.dumps(m.decisions()))
"""


def test_a_morning_by_keyboard_on_a_phone_and_with_a_second_reviewer(
    page: Page, stack: Stack, browser: Browser
) -> None:
    stack.manage("shell", "-v", "0", "-c", SEED)
    reviewer.sign_in(page, "rosa")
    desk = Keyboard(page)
    expect(page.locator(".inbox__list .inbox__item")).to_have_count(7)
    expect(page.locator(".inbox__list").get_by_text("Overdue by 10 min")).to_be_visible()
    assert axe_violations(page) == []
    loads = desk.loads
    # What is overdue stands first. J, K and decisions change the pane in place.
    first = desk.here()
    desk.press("j")
    expect(page.locator(f"#gate-{first}")).to_have_count(0)
    desk.press("k")
    expect(page.locator(f"#gate-{first}")).to_be_visible()
    desk.reject("Too little.")
    desk.edit("Printed at home", "Printed at work")
    desk.approve("Before noon")
    expect(page.locator("nav [data-review-count]").first).to_contain_text("4")
    assert desk.loads == loads
    # A second one is at the same gate: the first wins, the other keeps their words, also after the list has looked.
    gate = desk.here()
    desk.press("c")
    page.keyboard.type("I would wait.")
    desk.press("Escape")
    context = browser.new_context(
        base_url=stack.url, viewport=ViewportSize(width=390, height=844), has_touch=True
    )
    other = context.new_page()
    reviewer.sign_in(other, "theo", f"/reviews/{gate}/")
    assert other.url.endswith(f"/reviews/{gate}/"), "the sign-in leads on to where the link led"
    phone = Phone(other)
    phone.bar_is_above_the_tabs()
    assert axe_violations(other) == []
    phone.approve("From the train")
    desk.press("a")
    pane = page.locator(".inbox__pane")
    expect(pane).to_contain_text("Approved by Theo Tal")
    expect(page.locator(f'.inbox__item[data-desk-item="{gate}"]')).to_have_count(0, timeout=15_000)
    assert pane.locator("textarea[readonly]").input_value() == "I would wait."
    # The phone goes on from gate to gate, each at its own address, until nothing is left.
    expect(other).to_have_url(re.compile(phone.here()))
    phone.reject("Not like this.")
    phone.approve()
    phone.approve()
    expect(other.get_by_role("heading", name="Nothing waits for you")).to_be_visible()
    context.close()
    stored = json.loads(stack.manage("shell", "-v", "0", "-c", ASK))
    reviewer.compare(desk.decided, stored, "rosa")
    reviewer.compare(phone.decided, stored, "theo")
    assert len(stored) == 7
