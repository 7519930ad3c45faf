"""Items of a fan-out in a real browser: watched while they are done, opened, filtered, and done again where they failed."""

from __future__ import annotations

import re
from itertools import product
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.test_run_page import MARKUP, WATCHING
from tests.support.axe import axe_violations
from tests.support.stack import Stack

# Started beside the stack, as the API would; the stack's own worker does the work.
START = """
import json
from workflows.tenancy.actor import Actor
from workflows.tenancy.models import Membership
from workflows.definition.schema import parse_definition
from workflows.services.create_workflow import create_workflow
from workflows.steps.catalog import CATALOG
from runs.services.start_run import start_run
member = Membership.objects.select_related("tenant", "user").get(tenant__slug="demo", user__email="nadia@demo.example")
actor = Actor(tenant=member.tenant, role=member.role, user=member.user)
definition = parse_definition(json.loads('''{definition}'''), CATALOG)
made = create_workflow(actor=actor, name="Openers", definition=definition)
print(start_run(workflow=made, actor=actor, version="draft", input_data=json.loads('''{given}''')).pk)
"""
NAMES = (
    "Mara Lindqvist, VP Supply Chain", "Jonas Feld, Head of Cold Chain", "Priya Nair, Procurement", "Owen Blakely, Ops",
    "Chiara Conti, Quality", "Luc Ferrand, Transport", "Sofia Almeida, Logistics", "Pieter de Wit, Warehouse",
    "Hanna Kowal, Finance", "Ibrahim Saleh, IT", "Grete Holm, Sustainability", "Tom Ashdown, Planning", "Yuki Mori, Customs",
)  # fmt: skip
OPENERS = """{"nodes": [
  {"id": "each", "type": "fan_out", "name": "Write an opener for each contact",
   "config": {"items": "{{ input.people }}", "concurrency": 3, "tolerated": "2"}},
  {"id": "draft", "type": "llm", "name": "Draft the opener", "parent": "each",
   "config": {"prompt": "Write an opener for {{ item.name }}", "model": "demo:writer"}},
  {"id": "check", "type": "transform", "name": "Check the tone", "parent": "each",
   "config": {"mode": "expression", "expression": "item.odd ? input.missing : steps['Draft the opener'].content"}}],
 "edges": [{"source_node_id": "draft", "target_node_id": "check"}]}"""
MANY = """{"nodes": [
  {"id": "each", "type": "fan_out", "name": "Number them", "config": {"items": "{{ input.people }}", "concurrency": 20}},
  {"id": "one", "type": "transform", "name": "One", "parent": "each",
   "config": {"mode": "template", "template": "{{ item.name }}"}}], "edges": []}"""


@pytest.fixture
def signed_in(page: Page, stack: Stack) -> Page:
    page.goto(stack.sign_in_link_for("nadia@demo.example"))
    if "/sign-in/" in page.url:
        page.locator("main button").first.click()
    return page


def start(stack: Stack, definition: str, people: str) -> str:
    """The address of a new run that works through these people."""
    code = START.replace("{definition}", definition).replace("{given}", f'{{"people": {people}}}')
    return f"/runs/{stack.manage('shell', '-c', code).splitlines()[-1]}/"


def thirteen(odd: int = -1) -> str:
    people = [f'{{"name": "{name}", "odd": {str(n == odd).lower()}}}' for n, name in enumerate(NAMES)]
    return f"[{', '.join(people)}]"


def test_thirteen_items_are_watched_opened_and_look_the_same_after_a_reload(
    browser: Browser, signed_in: Page, stack: Stack
) -> None:
    page = signed_in
    page.goto(start(stack, OPENERS, thirteen(odd=3)))
    cells = page.locator(".fan__items > li")
    expect(cells).to_have_count(13, timeout=WATCHING)
    headings = [re.sub(r"^\d+", "", text) for text in page.locator(".fan__items .h").all_inner_texts()]
    assert headings == list(NAMES)
    expect(page.locator("#run-status")).to_contain_text("Succeeded", timeout=WATCHING)
    expect(page.locator(".fan__top")).to_contain_text("12 of 13, 1 failed")
    assert page.locator('.fan__bar i[data-s="done"]').count() == 12
    assert page.locator(".fan__bar i").nth(3).get_attribute("data-s") == "failed"
    live = page.evaluate(MARKUP)
    page.reload()
    assert page.evaluate(MARKUP) == live

    cells.nth(2).locator("a").click()
    panel = page.locator("#panel")
    expect(panel.locator("h2")).to_contain_text("Priya Nair")
    panel.locator("summary", has_text="Draft the opener").click()
    panel.get_by_role("tab", name="Prompt as sent").click()
    expect(panel).to_contain_text("Write an opener for Priya Nair, Procurement")
    assert "step=each%5B2%5D" in page.url
    state = page.context.storage_state()
    themes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for width, theme in product((1440, 390), themes):
        context = browser.new_context(
            base_url=stack.url,
            storage_state=state,
            viewport={"width": width, "height": 844},
            color_scheme=theme,
        )
        other = context.new_page()
        for address in (page.url.partition("?")[0], page.url):
            other.goto(address)
            assert other.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, (address, width)
            assert axe_violations(other) == [], (address, width, theme)
        context.close()

    page.reload()
    page.get_by_role("button", name="Retry 1 failed item").click()
    page.wait_for_url(lambda url: url.partition("?")[0] != page.url and "/runs/" in url)
    expect(page.locator(".fan__top")).to_contain_text("of 13", timeout=WATCHING)
    expect(page.locator("#run-status")).to_contain_text("Succeeded", timeout=WATCHING)


def test_a_table_of_many_items_is_filtered_and_paged_by_the_server(signed_in: Page, stack: Stack) -> None:
    page = signed_in
    people = ", ".join(f'{{"name": "Person {n}"}}' for n in range(1, 131))
    page.goto(start(stack, MANY, f"[{people}]"))
    expect(page.locator("#run-status")).to_contain_text("Succeeded", timeout=WATCHING)
    rows = page.locator("[data-items] tbody tr")
    expect(rows).to_have_count(60)
    page.get_by_role("searchbox", name="Search in headings").fill("Person 13")
    expect(rows).to_have_count(2)
    expect(page.get_by_role("searchbox", name="Search in headings")).to_be_focused()
    page.get_by_role("searchbox", name="Search in headings").fill("")
    expect(rows).to_have_count(60)
    page.locator("[data-items-page][rel=next]").click()
    expect(rows.first).to_contain_text("Person 61")
    rows.first.locator("a").click()
    expect(page.locator("#panel h2")).to_contain_text("Person 61")
    assert axe_violations(page) == []
