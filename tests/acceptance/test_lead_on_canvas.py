"""Issue 4's second promise: the lead qualification of the mockups built on the canvas alone, published and run there.

STEPWELL_PROOFS=1 runs it (`make soak` does); STEPWELL_SHOTS names a folder for pictures of every stage.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.acceptance.lead_on_canvas import CanvasMouse
from tests.support import lead_qualification as lead
from tests.support.axe import axe_violations
from tests.support.chromium import find_chromium
from tests.support.lead_qualification import LeadWorld, texts
from tests.support.stack import Stack, running_stack


def build(mouse: CanvasMouse, outside: str) -> None:
    """From an empty canvas to the whole workflow, with every gesture that the canvas has."""
    said = texts(outside)
    start_form(mouse)
    tidy(mouse, said)
    three_branches(mouse, said)
    worth_a_call(mouse, said)
    openers(mouse, said)
    ends(mouse, said)


def start_form(mouse: CanvasMouse) -> None:
    mouse.page.locator("#node-start .nodebox__in").click()
    for name, kind in lead.INPUTS.items():
        mouse.input(name, {"string": "Text", "number": "Number"}[kind])
    mouse.variable(*lead.IDEAL)
    mouse.close()


def tidy(mouse: CanvasMouse, said: dict[str, Any]) -> None:
    mouse.first("Transform", lead.TIDY)
    mouse.choose(mouse.open_card.get_by_label("The result is"), "Fields")
    for name, value in said[lead.TIDY]["fields"].items():
        mouse.pair("Fields", name, value)


def three_branches(mouse: CanvasMouse, said: dict[str, Any]) -> None:
    # From the palette onto the ground, and connected from port to port.
    mouse.drop_kind("Ask a model", lead.RESEARCH, near=lead.TIDY, across=-275, down=110)
    mouse.wire(lead.TIDY, lead.RESEARCH)
    mouse.text("Prompt", said[lead.RESEARCH]["prompt"])
    # From a port to the ground, where the picker opens.
    mouse.wire_to_ground(lead.TIDY, "Ask a model", lead.SCORE, across=0, down=83)
    mouse.text("Prompt", said[lead.SCORE]["prompt"])
    for name, kind in (("score", "Number"), ("tier", "Text"), ("reasons", "List")):
        mouse.field_of_answer(name, kind)
    mouse.text("Temperature", "0.2")
    mouse.text("Longest answer", "1200")
    mouse.text("System prompt", said[lead.SCORE]["system_prompt"])
    mouse.wire_to_ground(lead.TIDY, "HTTP request", lead.HISTORY, across=275, down=83)
    mouse.text("Address", said[lead.HISTORY]["url"])
    mouse.pair("Query", "domain", said[lead.HISTORY]["query"]["domain"])
    for name, value in said[lead.HISTORY]["response_mapping"].items():
        mouse.pair("Keep as fields", name, value)
    mouse.wire_to_ground(lead.SCORE, "Merge", lead.COMBINE, across=0, down=83)
    mouse.wire(lead.RESEARCH, lead.COMBINE)
    mouse.wire(lead.HISTORY, lead.COMBINE)


def worth_a_call(mouse: CanvasMouse, said: dict[str, Any]) -> None:
    mouse.wire_to_ground(lead.COMBINE, "Condition", lead.WORTH, across=0, down=83)
    mouse.choose(mouse.open_card.get_by_label("How the condition is written"), "Expression")
    mouse.text("Expression", said[lead.WORTH]["cases"][0]["expression"])
    # A path too many, and taken away again.
    mouse.wire(lead.HISTORY, lead.WORTH)
    mouse.remove_path(lead.HISTORY, lead.WORTH)
    mouse.wire_to_ground(lead.WORTH, "Review gate", lead.SALES, answer="Yes", across=-140, down=94)
    mouse.text("Question", said[lead.SALES]["title"])
    mouse.text("What is reviewed", said[lead.SALES]["content"])
    mouse.text("Due in", "4 hours")
    mouse.wire_to_ground(lead.WORTH, "HTTP request", lead.NURTURE, answer="No", across=320, down=94)
    request(mouse, said[lead.NURTURE])


def openers(mouse: CanvasMouse, said: dict[str, Any]) -> None:
    mouse.wire_to_ground(lead.SALES, "For each", lead.EACH, answer="Approved", across=-165, down=94)
    for label, name in (
        ("Items", "items"),
        ("Heading of an item", "heading"),
        ("At the same time", "concurrency"),
        ("Failed items that are fine", "tolerated"),
    ):
        mouse.text(label, str(said[lead.EACH][name]))
    # One kind is dropped into the frame, the other step is carried in, out and in again.
    mouse.drop_kind("Ask a model", lead.DRAFT, near=lead.EACH, across=0, down=70)
    expect(mouse.card(lead.DRAFT)).to_have_attribute("data-parent", mouse.key(lead.EACH))
    mouse.text("Prompt", said[lead.DRAFT]["prompt"])
    mouse.drop_kind("Ask a model", lead.TONE, near=lead.EACH, across=330, down=60)
    mouse.carry(lead.TONE, near=lead.DRAFT, across=0, down=55)
    expect(mouse.card(lead.TONE)).to_have_attribute("data-parent", mouse.key(lead.EACH))
    mouse.carry(lead.TONE, near=lead.EACH, across=330, down=60)
    expect(mouse.card(lead.TONE)).to_have_attribute("data-parent", "")
    mouse.carry(lead.TONE, near=lead.DRAFT, across=0, down=55)
    expect(mouse.path(lead.DRAFT, lead.TONE)).to_have_count(1)
    mouse.open(lead.TONE)
    mouse.text("Prompt", said[lead.TONE]["prompt"])


def ends(mouse: CanvasMouse, said: dict[str, Any]) -> None:
    mouse.wire_to_ground(lead.SALES, "Ask a model", lead.BRIEF, answer="Approved", across=160, down=120)
    mouse.text("Prompt", said[lead.BRIEF]["prompt"])
    mouse.wire_to_ground(lead.EACH, "Review gate", lead.FINAL, across=120, down=330)
    mouse.text("Question", said[lead.FINAL]["title"])
    mouse.text("What is reviewed", said[lead.FINAL]["content"])
    mouse.wire(lead.BRIEF, lead.FINAL)
    # The last two in the wrong order: the one between is put on the connection, a path is led elsewhere.
    mouse.wire_to_ground(lead.FINAL, "Webhook", lead.TELL, answer="Approved", across=100, down=200)
    mouse.text("Address", said[lead.TELL]["url"])
    mouse.saved(lambda: mouse.open_card.get_by_role("switch").click())
    mouse.wire(lead.NURTURE, lead.TELL)
    mouse.insert("HTTP request", lead.UPDATE, source=lead.FINAL, target=lead.TELL)
    request(mouse, said[lead.UPDATE])
    mouse.lead_elsewhere(lead.NURTURE, lead.TELL, lead.UPDATE)


def request(mouse: CanvasMouse, said: dict[str, Any]) -> None:
    mouse.choose(mouse.field("Method"), "POST")
    mouse.text("Address", said["url"])
    mouse.choose(mouse.field("Body"), "JSON, from fields")
    for name, value in said["body_fields"].items():
        mouse.pair("Fields", name, value)


def set_out(mouse: CanvasMouse) -> None:
    """Groups and tidying up, each taken back: places are kept as exactly as texts."""
    three = [lead.RESEARCH, lead.SCORE, lead.HISTORY]
    before = {name: mouse.place(name) for name in three}
    mouse.around(three)
    mouse.carry(lead.SCORE, near=lead.SCORE, across=0, down=33)
    for name in three:
        x, y = before[name]
        expect(mouse.card(name)).to_have_attribute("data-y", f"{y + 33}")
        expect(mouse.card(name)).to_have_attribute("data-x", f"{x}")
    toast = mouse.page.locator(".toast").last
    expect(toast).to_contain_text("3 steps moved on the canvas.")
    toast.get_by_role("button", name="Undo").click()
    expect(mouse.card(lead.SCORE)).to_have_attribute("data-y", f"{before[lead.SCORE][1]}")
    tools = mouse.page.get_by_role("toolbar", name="View")
    final = mouse.place(lead.FINAL)
    mouse.quiet()
    mouse.saved(lambda: tools.get_by_role("button", name="Tidy up").first.click())
    expect(mouse.page.locator(".toast").last).to_contain_text("Tidied up.")
    mouse.quiet()
    mouse.saved(lambda: mouse.page.locator("#undo-desk").get_by_role("button", name="Undo").click())
    expect(mouse.card(lead.FINAL)).to_have_attribute("data-x", f"{final[0]}")
    mouse.page.reload()
    mouse.page.wait_for_selector("[data-ready]")
    assert mouse.place(lead.FINAL) == final


def seen_in_the_list(mouse: CanvasMouse, listed: Page) -> None:
    """Somebody else has the list open: each sees at once what the other does, without loading anything again."""
    card = listed.locator(f'[data-card="{mouse.key(lead.NURTURE)}"]')
    mouse.open(lead.NURTURE)
    expect(card.locator(".av--who")).to_be_visible()
    mouse.type_into(mouse.open_card.locator("[data-field=label]"), "Keep them warm")
    expect(card).to_have_attribute("data-name", "Keep them warm")
    card.locator("[data-toggle]").first.click()
    label = listed.locator(".step.is-open").get_by_label("Name of the step")
    label.fill(lead.NURTURE)
    expect(mouse.card(lead.NURTURE)).to_be_visible()
    expect(mouse.card(lead.NURTURE).locator(".av--who")).to_be_visible()


def run_on_the_canvas(mouse: CanvasMouse, desk: Page, shots: Pictures) -> None:
    """Started from the canvas, decided in one tab, watched on the canvas in another: containers too."""
    page = mouse.page
    mouse.quiet()
    mouse.publish("Built on the canvas")
    address = page.url.split("?")[0]
    page.get_by_role("link", name="Run", exact=True).click()
    dialog = page.get_by_role("dialog")
    for name, value in lead.LEAD.items():
        dialog.get_by_label(name.replace("_", " "), exact=False).first.fill(str(value))
    dialog.get_by_role("button", name="Run it", exact=True).last.click()
    gate = page.locator("section.gate", has_text="Is Halden Cold Chain worth a call?")
    expect(gate).to_be_visible(timeout=120_000)
    desk.goto(address)
    desk.wait_for_selector("[data-ready]")
    watched = CanvasMouse(desk)
    # It waits for a person, so it is not shown by itself.
    desk.get_by_label("Show the states of a run").select_option(index=1)

    def state(name: str, shape: str) -> None:
        expect(watched.card(name)).to_have_attribute("data-s", re.compile(f"^({shape})$"), timeout=60_000)

    for name in (lead.TIDY, lead.RESEARCH, lead.SCORE, lead.HISTORY, lead.COMBINE, lead.WORTH):
        state(name, "done|retry")
    state(lead.SALES, "review")
    expect(watched.path(lead.WORTH, lead.SALES)).to_contain_class("is-taken")
    expect(watched.path(lead.WORTH, lead.NURTURE)).to_contain_class("is-untaken")
    shots.take(desk, "live-first-gate")
    gate.get_by_role("button", name="Approve").first.click()
    state(lead.FINAL, "review")
    # Inside the container: both steps over all thirteen contacts.
    for name in (lead.DRAFT, lead.TONE):
        state(name, "done")
        expect(watched.card(name).locator("[data-state] .num")).to_have_text("13 of 13")
    state(lead.EACH, "done")
    expect(watched.path(lead.DRAFT, lead.TONE)).to_contain_class("is-taken")
    shots.take(desk, "live-second-gate")
    second = page.locator("section.gate", has_text="Send these openers?")
    expect(second).to_be_visible()
    second.get_by_role("button", name="Approve").first.click()
    state(lead.UPDATE, "done")
    state(lead.NURTURE, "skip")
    expect(page.locator("#run-bar, .runbar").first).to_contain_text("Succeeded", timeout=120_000)


class Pictures:
    """Every stage on a desk and a phone, by day and by night, where STEPWELL_SHOTS says so."""

    def __init__(self) -> None:
        self.folder = os.environ.get("STEPWELL_SHOTS")

    def take(self, page: Page, stage: str) -> None:
        if not self.folder:
            return
        for name, width, height in (("desk", 1440, 900), ("phone", 390, 844)):
            page.set_viewport_size({"width": width, "height": height})
            page.evaluate("stepwell.canvas?.fit()")
            for theme in ("light", "dark"):
                page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
                page.screenshot(path=Path(self.folder) / f"canvas-{stage}.{name}.{theme}.png")
        page.emulate_media(color_scheme="light")
        page.set_viewport_size({"width": 1440, "height": 900})


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    chromium = find_chromium()
    return {
        **browser_type_launch_args,
        "executable_path": str(chromium.executable),
        "args": list(chromium.args),
        "env": {**os.environ, **chromium.environment},
    }


@pytest.fixture
def world() -> Iterator[LeadWorld]:
    with LeadWorld() as outside:
        yield outside


@pytest.fixture
def stack(world: LeadWorld, tmp_path: Path) -> Iterator[Stack]:
    with running_stack(tmp_path, extra=world.environment) as running:
        yield running


def somebody(browser: Browser, stack: Stack, email: str, broken: list[str]) -> Page:
    context = browser.new_context(base_url=stack.url, viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.goto(stack.sign_in_link_for(email))
    page.get_by_role("button").first.click()
    page.wait_for_url(f"{stack.url}/**")
    return page


@pytest.mark.proof
def test_the_lead_qualification_is_built_on_the_canvas_alone_and_run_there(
    browser: Browser, stack: Stack, world: LeadWorld
) -> None:
    expect.set_options(timeout=20_000)
    broken: list[str] = []
    page = somebody(browser, stack, "nadia@demo.example", broken)
    other = somebody(browser, stack, "hanna@demo.example", broken)
    shots = Pictures()
    mouse = CanvasMouse(page)
    page.goto("/workflows/")
    mouse.new_workflow(lead.NAME)
    page.get_by_role("link", name="Canvas").click()
    page.wait_for_selector("[data-ready]")
    build(mouse, world.crm.url)
    assert differences(stack) == []
    mouse.open(lead.SCORE)
    shots.take(page, "built")
    assert axe_violations(page) == []
    mouse.test(lead.TIDY, json.dumps(lead.LEAD))
    mouse.test(lead.SCORE)
    shots.take(page, "tested")
    set_out(mouse)
    other.goto(page.url.split("canvas/")[0])
    other.wait_for_load_state("load")
    seen_in_the_list(mouse, other)
    assert differences(stack) == []
    run_on_the_canvas(mouse, other, shots)
    (sent,) = world.sent("/crm/companies/update")[-1:]
    assert (sent["company"], sent["score"], sent["tier"]) == ("Halden Cold Chain", 82, "A")
    assert all(f"Good morning {contact['name']}" in sent["openers"] for contact in lead.CONTACTS)
    assert world.sent("/crm/lists/nurture") == []
    assert broken == []


def differences(stack: Stack) -> list[str]:
    """What the draft that was built has that the mockups' workflow has not, and the other way round."""
    code = (
        "import json;from tests.support.lead_qualification import NAME, matches;"
        "from workflows.models import Workflow;from workflows.services.drafts import compile_draft;"
        "print(json.dumps(matches(compile_draft(Workflow.objects.get(name=NAME)))))"
    )
    found: list[str] = json.loads(stack.manage("shell", "-c", code).splitlines()[-1])
    return found
