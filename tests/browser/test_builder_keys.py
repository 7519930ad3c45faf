"""The builder by keys alone: the shortcuts of the design (README §7), where the focus goes, and that they can be switched off."""

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.axe import axe_violations
from tests.support.stack import Stack

FOCUSED = """() => {
  const at = document.activeElement;
  return at === document.body ? "" : `${at.closest("[data-card]")?.dataset.name ?? ""}: ${at.getAttribute("aria-label") || at.name || at.textContent.trim()}`;
}"""


@pytest.fixture
def builder(page: Page, browser: Browser, stack: Stack) -> Page:
    """A new workflow, opened with a key; nobody touches a mouse."""
    page.goto(stack.sign_in_link_for("hanna@demo.example"))
    page.keyboard.press("Tab")
    page.get_by_role("button").first.press("Enter")
    page.wait_for_url(f"{stack.url}/workflows/")
    page.wait_for_load_state("load")
    page.keyboard.press("n")
    expect(page.get_by_role("heading", name="What should happen first?")).to_be_visible()
    page.wait_for_load_state("load")
    return page


def expect_focus(page: Page, words: str) -> None:
    page.wait_for_function(f"words => ({FOCUSED})().includes(words)", arg=words)


def add(page: Page, words: str, *, path: int = 0, then: str) -> None:
    """A, where several paths leave the one with this number, the kind by typing; the focus comes to a field of the step."""
    page.keyboard.press("a")
    picker = page.locator("#picker")
    expect(picker).to_be_visible()
    if picker.locator("[data-picker-choices]").is_visible():
        for _ in range(path):
            page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
    expect(picker.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type(words)
    page.keyboard.press("Enter")
    expect_focus(page, then)


def test_steps_are_added_tested_moved_switched_and_deleted_by_keys(builder: Page):
    page, keys = builder, builder.keyboard
    add(page, "clean text", then="Clean text: text")
    keys.press("Escape")
    expect_focus(page, "Clean text: Close Clean text")
    add(page, "condition", then="Condition:")
    keys.press("Escape")
    add(page, "summarize", path=1, then="Summarize: text")
    expect(page.get_by_label("Summarize, on No of Condition", exact=True)).to_be_attached()
    assert axe_violations(page) == []
    # The test of the step, and back to it.
    keys.press("Escape")
    keys.press("t")
    expect(page.locator("#steptest-source")).to_be_focused()
    keys.press("Escape")
    expect_focus(page, "Close Summarize")
    keys.press("Escape")
    expect(page.locator(".step.is-open")).to_have_count(0)
    expect_focus(page, "Summarize: Summarize")
    # Through the list, off and on, up and down, undone.
    keys.press("k")
    keys.press("k")
    expect_focus(page, "Clean text: Clean text")
    keys.press("e")
    expect(page.locator('[data-name="Clean text"]')).to_have_attribute("data-enabled", "no")
    expect_focus(page, "Clean text: Clean text")
    keys.press("Control+z")
    expect(page.locator('[data-name="Clean text"]')).to_have_attribute("data-enabled", "yes")
    expect_focus(page, "Clean text: Clean text")
    # Connecting by name, from the palette.
    keys.press("j")
    keys.press("Control+k")
    keys.type("connect")
    expect(page.get_by_role("option", name="Connect Condition to…")).to_have_attribute(
        "aria-selected", "true"
    )
    keys.press("Enter")
    question = page.get_by_role("dialog", name="Where should Condition lead as well?")
    expect(question.get_by_label("From")).to_be_focused()
    keys.press("Control+Enter")
    expect(question).to_have_count(0)
    expect(page.locator(".branch", has_text="Yes, ends here")).to_have_count(0)
    expect_focus(page, "Condition: Condition")
    # Deleting asks; what stands beside it has the focus after.
    keys.press("j")
    keys.press("Delete")
    expect(page.get_by_role("dialog", name="Delete Summarize?")).to_be_visible()
    keys.press("Tab")
    keys.press("Enter")
    expect(page.locator('[data-name="Summarize"]')).to_have_count(0)
    expect_focus(page, "Condition: Condition")
    # The canvas and back, with the step that had the focus.
    keys.press("Enter")
    expect_focus(page, "Condition: Close Condition")
    keys.press("c")
    page.wait_for_url("**/canvas/**")
    expect_focus(page, "Condition, step")
    keys.press("l")
    page.wait_for_url(lambda url: "/canvas/" not in url)
    expect_focus(page, "Condition: Close Condition")


def test_single_keys_are_switched_off_in_the_profile_for_every_page(builder: Page, stack: Stack):
    page, keys = builder, builder.keyboard
    address = page.url
    page.goto("/account/")
    page.get_by_label("Single keys are shortcuts").press("Space")
    page.get_by_role("button", name="Keep these settings").press("Enter")
    expect(page.locator("body[data-single-keys=off]")).to_be_attached()
    page.goto(address)
    page.wait_for_load_state("load")
    try:
        for key in ("a", "?", "c", "j", "/", "g", "r"):
            keys.press(key)
        expect(page.locator("#picker")).to_be_hidden()
        expect(page.locator("#keys")).to_be_hidden()
        assert page.url == address
        assert page.evaluate(FOCUSED) == ""
        # Combinations go on, and the list of keys says what is off.
        keys.press("Control+k")
        keys.type("keyboard")
        keys.press("Enter")
        expect(page.get_by_text("They are off")).to_be_visible()
    finally:
        stack.manage(
            "shell", "-c", "from workflows.tenancy.models import User; User.objects.update(single_keys=True)"
        )


def test_what_the_list_of_keys_names_is_what_the_page_has(builder: Page):
    page, keys = builder, builder.keyboard
    keys.press("?")
    names = page.locator("#keys section:visible h3")
    expect(names).to_have_text(["On this page", "Step list", "Workflow", "Everywhere"])
    expect(page.locator("[data-keys-here] dd")).to_have_text(["Canvas", "Run"])
    keys.press("Escape")
    keys.press("g")
    keys.press("r")
    page.wait_for_url("**/runs/")
    keys.press("?")
    expect(page.locator("#keys section:visible h3").last).to_have_text("Everywhere")
    expect(page.locator("#keys").get_by_text("Step list")).to_be_hidden()
