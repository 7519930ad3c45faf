"""The live run page in a real browser, with real runs of the demo tenant: start, watch, decide, come back, cancel."""

import os
import re
import signal
from itertools import product
from typing import Literal
from urllib.parse import quote
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.axe import axe_violations
from tests.support.jobs import eventually
from tests.support.stack import Stack
from tests.support.viewers import Viewers, stored_outputs

ARTICLE = "\n\n".join(
    f"Stepwell number {n} stands in Gujarat and holds water deep below the ground. People walk down to it step by step, "
    f"past {n + 3} storeys of pillars. The stone keeps the air cool in summer. In the monsoon the rain fills the well."
    for n in range(1, 12)
)
# The page without what differs between two loads of the same state: tokens, the line to the server, a passing flash.
MARKUP = """() => {
    const main = document.querySelector("#main").cloneNode(true);
    main.querySelectorAll("[name=csrfmiddlewaretoken], [data-live-pill]").forEach((element) => element.remove());
    main.querySelectorAll(".is-changed").forEach((element) => element.classList.remove("is-changed"));
    main.querySelectorAll("[class='']").forEach((element) => element.removeAttribute("class"));
    return main.innerHTML.replace(/\\s+/g, " ").replace(/> </g, "><").replace(/class="([^"]*?) +"/g, 'class="$1"');
}"""
WATCHING = 30_000


@pytest.fixture
def signed_in(page: Page, stack: Stack) -> Page:
    page.goto(stack.sign_in_link_for("nadia@demo.example"))
    if "/sign-in/" in page.url:
        page.locator("main button").first.click()
    return page


def answers(url: str) -> bool:
    """Whether the web process is there."""
    try:
        with urlopen(f"{url}/healthz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def start(page: Page, workflow: str, field: str, text: str) -> None:
    """Start the demo's workflow from its own form; ends on the run's page."""
    # Other tests have made workflows of their own: the list may be long.
    page.goto(f"/workflows/?q={quote(workflow)}")
    link = page.get_by_role("link", name=workflow, exact=True).first.get_attribute("href") or ""
    page.goto(f"/runs/start/{link.rstrip('/').rpartition('/')[2]}/")
    page.locator(f"[name=input_{field}]").fill(text)
    page.get_by_role("button", name="Run it").click()
    page.wait_for_url(re.compile(r"/runs/[0-9a-f-]{36}/"))


def test_a_run_is_watched_to_its_end_and_a_reload_shows_the_same(signed_in: Page) -> None:
    page = signed_in
    start(page, "Text pipeline", "text", ARTICLE)
    expect(page.locator("#run-status")).to_contain_text("Succeeded", timeout=WATCHING)
    shapes = page.eval_on_selector_all("[data-row] .runstep", "rows => rows.map(row => row.dataset.s)")
    assert set(shapes) == {"done"}
    expect(page.locator("#run-output .prose, #run-output pre").first).not_to_be_empty()
    live = page.evaluate(MARKUP)
    page.reload()
    assert page.evaluate(MARKUP) == live
    assert axe_violations(page) == []


def test_no_page_of_runs_scrolls_sideways_or_breaks_a_rule(
    browser: Browser, signed_in: Page, stack: Stack
) -> None:
    start(signed_in, "Deep Build Pipeline", "idea", "A returns portal for warehouse customers")
    signed_in.wait_for_selector(".gate", timeout=WATCHING)
    state = signed_in.context.storage_state()
    themes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for width, theme in product((1440, 390, 360), themes):
        context = browser.new_context(
            base_url=stack.url,
            storage_state=state,
            viewport={"width": width, "height": 844},
            color_scheme=theme,
            has_touch=width < 400,
        )
        page = context.new_page()
        for path in ("/runs/", "/reviews/", "/reviews/?show=decided", signed_in.url):
            page.goto(path)
            assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, (path, width)
            assert axe_violations(page) == [], (path, width, theme)
        context.close()


def test_gates_are_decided_where_they_stand_and_the_run_goes_on(signed_in: Page) -> None:
    page = signed_in
    start(page, "Deep Build Pipeline", "idea", "A returns portal for warehouse customers")
    page.wait_for_selector(".gate", timeout=WATCHING)
    page.get_by_role("radio", name="Edit").check()
    text = page.locator("[data-gate-text]")
    text.fill(text.input_value() + "\n\nOne thing more.")
    page.get_by_label("Comment, passed on to the next step").fill("Mention the yard.")
    page.get_by_role("button", name="Approve with edits").click()
    first = page.locator(".runstep", has_text="Approved with edits by Nadia")
    expect(first).to_be_visible(timeout=WATCHING)
    expect(page.locator(".gate")).to_be_visible(timeout=WATCHING)
    page.get_by_role("button", name="Approve and continue").click()
    expect(page.locator("#run-status")).to_contain_text("Succeeded", timeout=WATCHING)
    expect(page.locator("#run-output")).to_contain_text("Result")


def test_what_is_written_at_a_gate_stays_when_somebody_else_decides(signed_in: Page) -> None:
    page = signed_in
    start(page, "Deep Build Pipeline", "idea", "A loyalty scheme for small shippers")
    page.wait_for_selector(".gate", timeout=WATCHING)
    page.locator("[data-gate-comment]").fill("I would wait a week.")
    other = page.context.new_page()
    other.goto(page.url)
    other.get_by_role("button", name="Approve and continue").click()
    expect(page.locator("#run-gate")).to_contain_text("was decided by somebody else", timeout=WATCHING)
    expect(page.locator("#run-gate")).to_contain_text("I would wait a week.")
    other.close()


def test_a_step_is_looked_into_by_pointer_and_by_keyboard(signed_in: Page) -> None:
    page = signed_in
    start(page, "Text pipeline", "text", ARTICLE)
    expect(page.locator("#run-status")).to_contain_text("Succeeded", timeout=WATCHING)
    page.locator("#run-flow [data-row] [data-step-link]").first.click()
    panel = page.locator("#panel")
    first = page.locator("#run-flow [data-row] [data-step-link]").first.inner_text()
    expect(panel.locator("h2")).to_have_text(first)
    page.keyboard.press("]")
    expect(panel.locator("h2")).not_to_have_text(first)
    page.keyboard.press("2")
    expect(panel.get_by_role("tab", name="Input")).to_have_attribute("aria-selected", "true")
    assert "step=" in page.url
    assert axe_violations(page) == []


def test_a_run_is_cancelled_after_a_question_that_says_what_is_kept(signed_in: Page) -> None:
    page = signed_in
    start(page, "Deep Build Pipeline", "idea", "A returns portal")
    page.wait_for_selector(".gate", timeout=WATCHING)
    page.get_by_role("button", name="Cancel run").click()
    dialog = page.locator("dialog[open]")
    expect(dialog).to_contain_text("kept")
    dialog.get_by_role("button", name="Cancel run").click()
    expect(page.locator("#run-status")).to_contain_text("Cancelled", timeout=WATCHING)
    expect(page.locator(".gate")).to_have_count(0)


def test_the_page_catches_up_by_itself_when_the_web_process_was_killed(signed_in: Page, stack: Stack) -> None:
    page = signed_in
    start(page, "Deep Build Pipeline", "idea", "A returns portal")
    page.wait_for_selector(".gate", timeout=WATCHING)
    expect(page.locator("[data-live-pill]")).to_contain_text("Live")
    page.locator("[data-gate-comment]").fill("Written before the crash.")
    run = page.url.split("/runs/")[1][:36]
    cookie = "; ".join(f"{one.get('name')}={one.get('value')}" for one in page.context.cookies())
    # The short version of tests/acceptance/test_live_page_whole.py: others look on, too.
    with Viewers(stack.url, cookie, run, 4) as others:
        eventually(lambda: others.open == 4, 60)
        os.kill(stack.children()["web"], signal.SIGKILL)
        # It may be back before the page says that it is gone; what follows can only come over a new socket.
        eventually(lambda: answers(stack.url), 60)
        assert page.locator("[data-gate-comment]").input_value() == "Written before the crash."
        eventually(lambda: others.open == 4, 60)
        page.get_by_role("button", name="Approve and continue").click()
        expect(page.locator(".runstep", has_text="Approved by Nadia")).to_be_visible(timeout=WATCHING)
        # The question after the step that writes.
        after = "Shall we go on with this plan?"
        expect(page.locator("#run-gate")).to_contain_text(after, timeout=WATCHING)
        eventually(lambda: all(after in one.parts.get("run-gate", "") for one in others.all), 60)
        stored = stored_outputs(stack.data_dir, run)
        for viewer in others.all:
            assert (viewer.gaps, viewer.differing) == (0, 0)
            assert viewer.connected > 1
            assert viewer.texts, "the step after the gate wrote"
            for attempt, step in viewer.step_of.items():
                assert viewer.texts[attempt] == stored[step][1]["content"]
