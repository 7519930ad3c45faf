"""The short form of the proof in tests/acceptance/test_lead_by_mouse.py: branches that meet, a body, a drag, versions; by mouse only."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.acceptance.lead_by_mouse import Mouse
from tests.support.stack import Stack


def test_a_workflow_is_built_tested_published_changed_compared_and_rolled_back_by_mouse(
    page: Page, stack: Stack
) -> None:
    stack.manage("create_tenant", "by-mouse", "--name", "Mouse", "--owner", "mia@mouse.example")
    page.goto(stack.sign_in_link_for("mia@mouse.example"))
    page.get_by_role("button").first.click()
    mouse = Mouse(page)
    mouse.new_workflow("Openers")
    # The name is still being saved when the card opens: it stays open all the same.
    page.get_by_role("button", name="Edit the run form").click()
    mouse.input("company", "Text")
    mouse.add_at_the_end("Transform", "Tidy")
    mouse.text("Expression", '{"company": trim(input.company), "people": ["Ann", "Bo"]}')
    mouse.add_at_the_end("Ask a model", "Research")
    mouse.text("Prompt", "Research {{steps.Tidy.company}}.")
    mouse.add_at_the_end("Merge", "Combine")
    mouse.add_branch("Ask a model", "Score", of="Tidy")
    mouse.text("Prompt", "Score {{input.company}} from 0 to 100.")
    for name, kind in (("score", "Number"), ("reasons", "List")):
        mouse.field_of_answer(name, kind)
    expect(mouse.card("Score").locator(".step__sum")).to_have_text("Answers with score and reasons")
    mouse.goes_on_to("Score", "Combine")
    expect(page.get_by_text("2 branches, at the same time")).to_be_visible()
    expect(mouse.card("Combine").locator(".step__sum")).to_contain_text("Waits for both branches")
    mouse.add_at_the_end("For each", "Each person")
    mouse.text("Items", "{{steps.Tidy.people}}")
    # Added below, carried inside by its handle.
    mouse.add_at_the_end("Ask a model", "Draft")
    mouse.text("Prompt", "Write to {{input.company}}.")
    mouse.drag("Draft", page.locator(f"#gap-end-{mouse.key('Each person')}"))
    expect(page.locator('[data-flow][data-in-name="Each person"]').locator("[data-card]")).to_have_attribute(
        "data-name", "Draft"
    )
    mouse.test("Tidy", '{"company": " Halden "}')
    mouse.publish("The first one")
    mouse.open("Research")
    mouse.text("Prompt", "Research {{steps.Tidy.company}} thoroughly.")
    mouse.publish("Thoroughly")
    expect(page.locator("#draft-state")).to_contain_text("Version 2")
    page.get_by_role("button", name="More: versions").click()
    page.get_by_role("link", name="Versions", exact=True).click()
    mouse.compare("Version 1", "Version 2, live")
    expect(page.get_by_role("heading", name="1 step changed")).to_be_visible()
    expect(page.get_by_role("region", name="Research, changed")).to_contain_text("thoroughly")
    page.get_by_role("navigation", name="History").get_by_role("link", name="Version 1").click()
    page.get_by_role("button", name="Restore version 1").click()
    page.get_by_role("dialog").get_by_role("button", name="Replace the draft").click()
    prompt = mouse.open("Research").locator("textarea[name=prompt]")
    expect(prompt).to_have_value("Research {{steps.Tidy.company}}.")
    page.locator("#undo-desk").get_by_role("button", name="Undo").click()
    expect(prompt).to_have_value("Research {{steps.Tidy.company}} thoroughly.")
