"""The prompt field and the test of a step in a real browser: data is chosen and mended, a step tested, pinned, tested on."""

from __future__ import annotations

import json

from playwright.sync_api import Page, expect

from tests.browser.test_builder import add_at_the_end, builder, card, cookies, saved
from tests.support.axe import axe_violations

__all__ = ["builder", "cookies"]


def run_the_test(page: Page) -> None:
    page.locator("#tab-test").click()
    page.locator("#steptest-form").get_by_role("button", name="Test", exact=True).click()
    expect(page.get_by_role("button", name="Pin this output")).to_be_visible(timeout=15_000)


def test_data_is_chosen_and_mended_and_a_step_tested_and_pinned(builder: Page) -> None:
    page = builder
    page.get_by_role("button", name="Edit the run form").click()
    page.get_by_role("button", name="Add an input").click()
    saved(page, lambda: page.locator(".variable").last.get_by_label("Name").fill("company"))
    add_at_the_end(page, "ask a model", "Tidy the form")
    prompt = page.locator("textarea[name=prompt]")
    prompt.click()
    prompt.press_sequentially("Two words on {{comp")
    chosen = page.get_by_role("listbox", name="Data").get_by_role("option", selected=True)
    expect(chosen).to_contain_text("input.company")
    expect(prompt).to_have_attribute("aria-activedescendant", str(chosen.get_attribute("id")))
    page.keyboard.press("Escape")
    expect(page.get_by_role("listbox", name="Data")).to_have_count(0)
    page.keyboard.type("a")
    saved(page, lambda: page.keyboard.press("Enter"))
    expect(prompt).to_have_value("Two words on {{input.company}}")
    expect(page.locator(".ink")).to_have_text("{{input.company}}")

    # The step alone, with an input written here; then its output stands for it in tests.
    page.locator("#tab-test").click()
    page.locator("#steptest-input").fill('{"company": "Halden Cold Chain"}')
    run_the_test(page)
    expect(page.locator("#steptest-result")).to_contain_text("Two words on Halden Cold Chain")
    assert axe_violations(page) == []
    page.get_by_role("button", name="Pin this output").click()
    expect(card(page, "Tidy the form").locator(".badges")).to_contain_text("Pinned")

    # The next one: its list has what the pin gives; a slip is red and mended in one press.
    add_at_the_end(page, "ask a model", "Score")
    prompt = page.locator("textarea[name=prompt]")
    prompt.click()
    prompt.press_sequentially("Score {{input.compny}} by {{tidy")
    expect(page.get_by_role("option", name="steps.Tidy the form.content")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.locator(".ink--bad")).to_have_text("{{input.compny}}")
    saved(page, lambda: page.get_by_role("button", name="Write input.company").first.click())
    expect(prompt).to_have_value("Score {{input.company}} by {{steps.Tidy the form.content}}")
    expect(page.locator(".ink--bad")).to_have_count(0)
    run_the_test(page)
    expect(page.locator("#steptest-result")).to_contain_text("Score Halden Cold Chain by")
    page.get_by_role("link", name="Preview").click()
    expect(page.locator("#step-preview")).to_contain_text("Score Halden Cold Chain by")
    assert axe_violations(page) == []

    # The answer's fields, in the table and as text: one value.
    schema = page.locator("textarea[name=response_schema]")
    page.get_by_role("button", name="Add a field", exact=True).click()
    page.get_by_role("textbox", name="Name of field field_1").fill("score")
    page.keyboard.press("Tab")
    page.get_by_label("Kind of score").select_option("number")
    page.get_by_label("What score is").fill("From 0 to 100")
    page.keyboard.press("Tab")
    field = {"score": {"type": "number", "description": "From 0 to 100"}}
    page.wait_for_function(
        "([area, wanted]) => area.value && JSON.stringify(JSON.parse(area.value).properties) === wanted",
        arg=[schema.element_handle(), json.dumps(field, separators=(",", ":"))],
    )
    page.get_by_text("As JSON Schema").click()
    saved(page, lambda: schema.fill('{"type": "object", "properties": {"tier": {"type": "string"}}}'))
    expect(page.get_by_role("textbox", name="Name of field tier")).to_have_value("tier")
    assert axe_violations(page) == []

    # A new name of the first step is written in the text of the second.
    card(page, "Tidy the form").locator("[data-toggle]").click()
    label = card(page, "Tidy the form").get_by_label("Name of the step")
    saved(page, lambda: label.fill("Clean up"))
    expect(card(page, "Clean up")).to_be_visible()
    card(page, "Score").locator("[data-toggle]").click()
    expect(prompt).to_have_value("Score {{input.company}} by {{steps.Clean up.content}}")
    expect(page.locator(".ink").last).to_have_text("{{steps.Clean up.content}}")
