"""Issue 4's first promise by keyboard only: the lead qualification built in the step list, tested, published, run, changed, rolled back.

STEPWELL_PROOFS=1 runs it (`make soak` does); STEPWELL_SHOTS names a folder that takes pictures of every stage.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.acceptance.lead_by_keys import Keys
from tests.support import lead_qualification as lead
from tests.support.axe import axe_violations
from tests.support.chromium import find_chromium
from tests.support.lead_qualification import LeadWorld, texts
from tests.support.stack import Stack, running_stack

OWNER = "kim@marlowe.example"

pytestmark = pytest.mark.proof


@pytest.fixture
def world() -> Iterator[LeadWorld]:
    with LeadWorld() as made:
        yield made


@pytest.fixture
def stack(world: LeadWorld, tmp_path: Path) -> Iterator[Stack]:
    """A whole Stepwell with a workspace in which there is nothing yet."""
    with running_stack(tmp_path, extra=world.environment) as running:
        running.manage("create_tenant", "marlowe", "--name", "Marlowe Freight", "--owner", OWNER)
        yield running


@pytest.fixture
def page(stack: Stack) -> Iterator[Page]:
    """A browser of its own: the proof needs nothing of the browser tests' plugins."""
    chromium = find_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(chromium.executable),
            args=list(chromium.args),
            env={**os.environ, **chromium.environment},
        )
        page = browser.new_page(base_url=stack.url, viewport={"width": 1440, "height": 900})
        page.set_default_timeout(60_000)
        expect.set_options(timeout=30_000)
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        yield page
        expect.set_options(timeout=5_000)
        browser.close()
        assert errors == []


def differences(stack: Stack) -> list[str]:
    """What differs in the draft from the workflow of the mockups."""
    said = stack.manage(
        "shell",
        "-c",
        "import json; from workflows.models import Workflow; from workflows.services.drafts import compile_draft;"
        "from tests.support.lead_qualification import matches;"
        "print(json.dumps(matches(compile_draft(Workflow.objects.get(tenant__slug='marlowe')))))",
    )
    found: list[str] = json.loads(said.splitlines()[-1])
    return found


def picture(keys: Keys, name: str) -> None:
    """Desk and phone, light and dark, where STEPWELL_SHOTS names a folder."""
    folder = os.environ.get("STEPWELL_SHOTS")
    if not folder:
        return
    for size, (width, height) in {"desk": (1440, 900), "phone": (390, 844)}.items():
        for theme in ("light", "dark"):
            keys.page.set_viewport_size({"width": width, "height": height})
            keys.page.emulate_media(color_scheme=theme)
            keys.page.screenshot(path=f"{folder}/{name}.{size}.{theme}.png", full_page=True)
    keys.page.set_viewport_size({"width": 1440, "height": 900})
    keys.page.emulate_media(color_scheme="light")


def test_the_lead_qualification_is_made_and_run_by_keyboard_alone(page: Page, stack: Stack, world: LeadWorld):
    keys = Keys(page)
    sign_in(keys, stack.sign_in_link_for(OWNER))
    build(keys, f"http://{world.crm.host}")
    assert differences(stack) == []
    assert axe_violations(page) == []
    picture(keys, "built")
    address = page.url
    try_first(keys)
    for name in (lead.RESEARCH, lead.SCORE, lead.HISTORY, lead.COMBINE, lead.WORTH):
        try_step(keys, name)
    picture(keys, "tested")
    publish(keys, "The first one", 1)
    run_it(keys)
    picture(keys, "run")
    assert [sent["score"] for sent in world.sent("/crm/companies/update")] == [82]
    # What stands behind the gates has data now.
    page.goto(address)
    page.wait_for_load_state("load")
    for name in (lead.EACH, lead.DRAFT, lead.TONE, lead.BRIEF):
        try_step(keys, name)
    change(keys)
    publish(keys, "Doubt every claim", 2)
    compare(keys)
    picture(keys, "compared")
    roll_back(keys)
    assert differences(stack) == []
    keys.press("j")
    publish(keys, "Back to the first", 3)
    assert keys.complaints == [], "\n".join(keys.complaints)


def sign_in(keys: Keys, link: str) -> None:
    keys.page.goto(link)
    keys.to("Sign in")
    keys.press("Enter")
    keys.page.wait_for_url("**/workflows/")
    keys.page.wait_for_load_state("load")


def build(keys: Keys, outside: str) -> None:
    """From an empty workspace to the whole workflow."""
    said = texts(outside)
    begin(keys)
    run_form(keys)
    tidy(keys, said)
    three_branches(keys, said)
    worth_a_call(keys, said)
    openers(keys, said)
    ends(keys, said)


def begin(keys: Keys) -> None:
    keys.press("n")
    expect(keys.page.get_by_role("heading", name="What should happen first?")).to_be_visible()
    keys.page.wait_for_load_state("load")
    keys.fill("Name of the workflow", lead.NAME)
    keys.press("Enter")
    expect(keys.page.locator("#workflow-title")).to_have_text(lead.NAME)


def run_form(keys: Keys) -> None:
    keys.to("Edit the run form")
    keys.press("Enter")
    expect(keys.page.locator("#step-start.is-open")).to_be_visible()
    for name, kind in lead.INPUTS.items():
        keys.to("Add an input")
        keys.press("Enter")
        keys.expect_at("Name")
        keys.type(name)
        if kind == "number":
            keys.choose("Type", "Number")
        keys.choose("Must it be given?", "Must be given")
    keys.to("Add a variable")
    keys.press("Enter")
    keys.expect_at("Name")
    keys.type(lead.IDEAL[0])
    keys.fill("Default", lead.IDEAL[1])
    keys.saved()


def tidy(keys: Keys, said: Mapping[str, Any]) -> None:
    keys.out()
    keys.add("transform", lead.TIDY)
    keys.choose("The result is", "Fields")
    for name, value in said[lead.TIDY]["fields"].items():
        keys.pair("Fields", name, value)


def three_branches(keys: Keys, said: Mapping[str, Any]) -> None:
    keys.add("ask a model", lead.RESEARCH, after=lead.TIDY)
    keys.fill("Prompt", said[lead.RESEARCH]["prompt"])
    keys.add("merge", lead.COMBINE, after=lead.RESEARCH)
    # A second branch by the menu, joined by name.
    keys.menu(lead.TIDY, "Add a branch")
    keys.picked("ask a model", lead.SCORE)
    score(keys, said[lead.SCORE])
    keys.connect(lead.SCORE, lead.COMBINE)
    # A third by the path that A offers, joined in its card.
    keys.add("http request", lead.HISTORY, after=lead.TIDY, on="On a new branch")
    keys.fill("Address", said[lead.HISTORY]["url"])
    keys.pair("Query", "domain", said[lead.HISTORY]["query"]["domain"])
    for name, value in said[lead.HISTORY]["response_mapping"].items():
        keys.pair("Keep as fields", name, value)
    keys.connect(lead.HISTORY, lead.COMBINE)


def score(keys: Keys, said: Mapping[str, Any]) -> None:
    keys.fill("Prompt", said["prompt"])
    keys.fill("System prompt", said["system_prompt"])
    for name, kind in (("score", "Number"), ("tier", "Text"), ("reasons", "List")):
        keys.to("Add a field", whole=True)
        keys.press("Enter")
        keys.expect_at("Name of field")
        keys.over(name)
        if kind != "Text":
            keys.choose(f"Kind of {name}", kind)
    # The model stands above: back by Shift and Tab.
    keys.out()
    keys.fill("Temperature", "0.2")
    keys.fill("Longest answer", "1200")


def worth_a_call(keys: Keys, said: Mapping[str, Any]) -> None:
    keys.add("condition", lead.WORTH, after=lead.COMBINE)
    keys.choose("How the condition is written", "Expression")
    keys.fill("Expression", said[lead.WORTH]["cases"][0]["expression"])
    keys.add("review gate", lead.SALES, after=lead.WORTH, on="On Yes")
    keys.fill("Question", said[lead.SALES]["title"])
    keys.fill("What is reviewed", said[lead.SALES]["content"])
    keys.fill("Due in", said[lead.SALES]["due"])


def openers(keys: Keys, said: Mapping[str, Any]) -> None:
    keys.add("for each", lead.EACH, after=lead.SALES, on="On Approved")
    each = said[lead.EACH]
    keys.fill("Items", each["items"])
    keys.fill("At the same time", str(each["concurrency"]))
    keys.fill("Heading of an item", each["heading"])
    keys.fill("Failed items that are fine", each["tolerated"])
    keys.to(f"Add a step inside {lead.EACH}")
    keys.press("Enter")
    keys.picked("ask a model", lead.DRAFT)
    keys.fill("Prompt", said[lead.DRAFT]["prompt"])
    # Added below the container, carried in by its handle, out and in again.
    keys.add("ask a model", lead.TONE, after=lead.EACH)
    keys.fill("Prompt", said[lead.TONE]["prompt"])
    keys.lift(lead.TONE)
    keys.carry("ArrowRight", f"in {lead.EACH}")
    keys.drop(lead.TONE)
    keys.press("Space")
    keys.expect_said(f"{lead.TONE} lifted, position 2 of 2 in {lead.EACH}")
    keys.carry("ArrowUp", f"before {lead.DRAFT}")
    keys.expect_said(f"position 1 of 2 in {lead.EACH}")
    keys.carry("ArrowLeft", f"{lead.TONE}, position")
    keys.press("Escape")
    keys.expect_said(f"{lead.TONE} is back in its place.")


def ends(keys: Keys, said: Mapping[str, Any]) -> None:
    keys.add("ask a model", lead.BRIEF, after=lead.SALES, on="On a new branch")
    keys.fill("Prompt", said[lead.BRIEF]["prompt"])
    keys.add("review gate", lead.FINAL, after=lead.BRIEF)
    keys.fill("Question", said[lead.FINAL]["title"])
    keys.fill("What is reviewed", said[lead.FINAL]["content"])
    keys.connect(lead.EACH, lead.FINAL)
    # The last two in the wrong order, and one on the wrong branch: put right by moving.
    keys.add("webhook", lead.TELL, after=lead.FINAL, on="On Approved")
    keys.fill("Address", said[lead.TELL]["url"])
    keys.add("http request", lead.UPDATE, after=lead.TELL)
    request(keys, said[lead.UPDATE])
    keys.go(lead.UPDATE)
    keys.press("Alt+ArrowUp")
    keys.expect_order(lead.FINAL, lead.UPDATE, lead.TELL)
    keys.expect_card(lead.UPDATE)
    keys.add("http request", lead.NURTURE, after=lead.BRIEF)
    request(keys, said[lead.NURTURE])
    keys.lift(lead.NURTURE)
    keys.carry("ArrowUp", f"on No of {lead.WORTH}")
    keys.drop(lead.NURTURE)
    keys.connect(lead.NURTURE, lead.UPDATE)
    # Off with a key.
    keys.go(lead.TELL)
    keys.press("e")
    expect(keys.page.locator(f'[data-name="{lead.TELL}"]')).to_have_attribute("data-enabled", "no")
    keys.expect_card(lead.TELL)


def request(keys: Keys, said: Mapping[str, Any]) -> None:
    keys.choose("Method", "POST")
    keys.fill("Address", said["url"])
    keys.choose("Body", "JSON, from fields")
    for name, value in said["body_fields"].items():
        keys.pair("Fields", name, value)


# --- testing step by step ---


def try_first(keys: Keys) -> None:
    """The first step, with an input that is typed in."""
    keys.go(lead.TIDY)
    keys.press("t")
    keys.expect_at("Test with")
    keys.to("Input of the run as JSON")
    keys.over(json.dumps(lead.LEAD))
    keys.to("Test", back=True, whole=True)
    keys.press("Enter")
    passed(keys)
    keys.press("Escape")
    keys.expect_card(lead.TIDY)


def try_step(keys: Keys, name: str) -> None:
    """T, Tab, Enter: with the data of the newest run, which T offers first."""
    keys.go(name)
    keys.press("t")
    keys.expect_at("Test with")
    keys.to("Test", whole=True)
    keys.press("Enter")
    passed(keys)
    keys.press("Escape")
    keys.expect_card(name)


def passed(keys: Keys) -> None:
    result = keys.page.locator("#steptest-result[data-steptest-over]")
    expect(result.get_by_text("Passed", exact=True)).to_be_visible(timeout=60_000)


# --- publishing, running, changing, comparing, rolling back ---


def publish(keys: Keys, note: str, version: int) -> None:
    keys.out()
    keys.palette("publish", "Publish")
    question = keys.page.get_by_role("dialog", name=f"Publish {lead.NAME}?")
    expect(question).to_be_visible()
    keys.expect_at("What has changed?")
    keys.type(note)
    keys.press("ControlOrMeta+Enter")
    expect(question).to_have_count(0)
    expect(keys.page.locator("#draft-state")).to_contain_text(f"Version {version}")


def run_it(keys: Keys) -> None:
    """⌘↵ asks for the lead, ⌘↵ again starts; both gates are decided with keys on the run's page."""
    keys.press("ControlOrMeta+Enter")
    dialog = keys.page.get_by_role("dialog", name=f"Run {lead.NAME}?")
    expect(dialog).to_be_visible()
    for name, value in lead.LEAD.items():
        keys.to_input(name)
        keys.over(str(value))
    keys.press("ControlOrMeta+Enter")
    keys.page.wait_for_url("**/runs/**")
    for comment in ("Call them today", "These can go out"):
        gate = keys.page.locator("section.gate:has([data-gate-form])")
        expect(gate).to_have_count(1, timeout=60_000)
        keys.to("Comment")
        keys.type(comment)
        keys.to("Approve")
        keys.press("Enter")
        expect(keys.page.locator(f"#{gate.get_attribute('id')}")).to_have_count(0, timeout=30_000)
    expect(keys.page.locator("[data-run] .st").first).to_contain_text("Succeeded", timeout=60_000)


def change(keys: Keys) -> None:
    """A stricter prompt, and a step more that is taken out again."""
    keys.open(lead.SCORE)
    keys.field("Prompt")
    keys.press("ControlOrMeta+Home")
    keys.type("Doubt every claim. ")
    keys.saved()
    keys.add("wait", "Let it rest", after=lead.COMBINE)
    keys.go("Let it rest")
    keys.press("Escape")
    keys.press("Delete")
    expect(keys.page.get_by_role("dialog", name="Delete Let it rest?")).to_be_visible()
    keys.to("Delete")
    keys.press("Enter")
    expect(keys.page.locator('[data-name="Let it rest"]')).to_have_count(0)
    # The focus goes to what stands beside it.
    assert keys.page.evaluate("() => document.activeElement.closest('[data-card]')?.dataset.name") in (
        lead.COMBINE,
        lead.WORTH,
    )
    keys.press("ControlOrMeta+z")
    expect(keys.page.locator('[data-name="Let it rest"]')).to_have_count(1)
    keys.press("ControlOrMeta+Shift+z")
    expect(keys.page.locator('[data-name="Let it rest"]')).to_have_count(0)


def compare(keys: Keys) -> None:
    keys.palette("versions", "Versions")
    keys.page.wait_for_url("**/versions/**")
    keys.page.wait_for_load_state("load")
    keys.to("From")
    keys.pick_option("Version 1")
    keys.press("Enter")
    keys.page.wait_for_url("**from=1**")
    keys.page.wait_for_load_state("load")
    keys.expect_at("From")
    expect(keys.page.get_by_role("heading", name=lead.SCORE)).to_be_visible()
    expect(keys.page.locator("ins", has_text="Doubt every claim").first).to_be_visible()


def roll_back(keys: Keys) -> None:
    keys.to("Version 1", back=True)
    keys.press("Enter")
    keys.page.wait_for_url("**to=1**")
    keys.page.wait_for_load_state("load")
    keys.to("Restore version 1")
    keys.press("Enter")
    expect(keys.page.get_by_role("dialog", name="Bring version 1 back into the draft?")).to_be_visible()
    keys.to("Replace the draft")
    keys.press("Enter")
    keys.page.wait_for_url(lambda url: "/versions/" not in url)
    keys.page.wait_for_load_state("load")
    expect(keys.page.locator("#steps")).to_be_visible()
