"""The builder in a real browser: from an empty draft to a published workflow, by pointer and by keys."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.support.axe import axe_violations
from tests.support.stack import Stack


@pytest.fixture(scope="module")
def cookies(browser: Browser, stack: Stack) -> list[Any]:
    """The cookies of somebody of the demo tenant who may edit, signed in once for all tests."""
    find = (
        "from workflows.tenancy.models import Membership;"
        "print(Membership.objects.get(tenant__slug='demo', role='editor').user.email)"
    )
    email = stack.manage("shell", "-c", find).splitlines()[-1]
    context = browser.new_context()
    page = context.new_page()
    page.goto(stack.sign_in_link_for(email))
    page.get_by_role("button").first.click()
    page.wait_for_url(f"{stack.url}/workflows/")
    found = [dict(cookie) for cookie in context.cookies()]
    context.close()
    return found


@pytest.fixture
def builder(page: Page, cookies: list[Any]) -> Page:
    """A new workflow, open in the builder."""
    page.context.add_cookies(cookies)
    page.goto("/workflows/")
    page.get_by_role("button", name="New workflow", exact=True).click()
    expect(page.get_by_role("heading", name="What should happen first?")).to_be_visible()
    # Before its scripts have run, a press goes the way without script.
    page.wait_for_load_state("load")
    return page


def expect_steps(page: Page, *names: str) -> None:
    expect(page.locator("#flow [data-step]")).to_have_count(len(names))
    page.wait_for_function(
        "names => [...document.querySelectorAll('#flow [data-step] article')].map(c => c.dataset.name).join('|') === names",
        arg="|".join(names),
    )


def card(page: Page, name: str) -> Locator:
    return page.locator(f'[data-card][data-name="{name}"]')


def opened(page: Page, name: str) -> Locator:
    """The card of this name, opened; found by its key, so that a new name loses it not."""
    key = card(page, name).get_attribute("data-card")
    card(page, name).locator("[data-toggle]").click()
    found = page.locator(f"#step-{key}")
    expect(found.get_by_label("Name of the step")).to_be_visible()
    return found


def saved(page: Page, act: Callable[[], object]) -> None:
    """Do it, and wait until the field is saved."""
    with page.expect_response(lambda answer: answer.request.method == "POST" and answer.ok):
        act()


def add_at_the_end(page: Page, words: str, name: str) -> None:
    """Add a step with the keyboard alone, and name it."""
    rows = page.locator("#flow [data-step]")
    before = rows.count()
    page.get_by_role("button", name="Add a step", exact=False).last.press("Enter")
    page.keyboard.type(words)
    page.keyboard.press("Enter")
    expect(rows).to_have_count(before + 1)
    label = page.locator(".step.is-open").get_by_label("Name of the step")
    expect(label).to_be_visible()
    saved(page, lambda: label.fill(name))
    expect(card(page, name)).to_be_visible()


@pytest.fixture
def three(builder: Page) -> Page:
    """Clean, Shorten, Tag: one after the other."""
    for words, name in (("clean", "Clean it"), ("summar", "Shorten it"), ("tag", "Tag it")):
        add_at_the_end(builder, words, name)
    expect_steps(builder, "Clean it", "Shorten it", "Tag it")
    return builder


def test_a_workflow_is_built_edited_and_published(builder: Page):
    page = builder
    page.get_by_label("Name of the workflow").fill("Weekly digest")
    saved(page, lambda: page.get_by_label("Name of the workflow").press("Enter"))
    page.get_by_role("button", name="Edit the run form").click()
    page.get_by_role("button", name="Add an input").click()
    saved(page, lambda: page.locator(".variable").last.get_by_label("Name").fill("text"))
    add_at_the_end(page, "ask a model", "Write the digest")
    prompt = page.locator("textarea[name=prompt]")
    expect(page.get_by_text("“Prompt” is missing.").first).to_be_visible()
    prompt.click()
    saved(page, lambda: page.get_by_role("button", name="input.text").click())
    expect(prompt).to_have_value("{{input.text}}")
    expect(page.locator(".step.is-open [data-saved]")).to_contain_text("Saved")
    expect(page.locator("#panel").get_by_text("Nothing to check in this step.")).to_be_attached()
    page.get_by_role("link", name="Publish", exact=True).click()
    page.get_by_label("What has changed?").fill("The first one")
    page.get_by_role("dialog").get_by_role("button", name="Publish").click()
    expect(page.locator("#draft-state")).to_contain_text("Version 1")
    page.reload()
    expect(page.locator("textarea[name=prompt]")).to_have_value("{{input.text}}")


def test_a_card_is_dragged_to_another_path_and_stays_there(three: Page):
    page = three
    grip = page.get_by_role("button", name="Move Tag it").bounding_box()
    assert grip is not None
    page.mouse.move(grip["x"] + 10, grip["y"] + 10)
    page.mouse.down()
    page.mouse.move(grip["x"] + 12, grip["y"] - 12, steps=4)
    # Cards fold when one is lifted, so the places are known only now.
    expect(page.locator("#steps.is-moving")).to_be_visible()
    gap = page.locator(f"#gap-{card(page, 'Shorten it').get_attribute('data-card')}").bounding_box()
    assert gap is not None
    page.mouse.move(gap["x"] + 200, gap["y"] + gap["height"] / 2, steps=8)
    expect(page.locator(".gap.is-target")).to_have_attribute("data-drop", "before Shorten it")
    saved(page, page.mouse.up)
    expect_steps(page, "Clean it", "Tag it", "Shorten it")
    page.reload()
    expect_steps(page, "Clean it", "Tag it", "Shorten it")


def test_a_drag_that_is_cancelled_moves_nothing(three: Page):
    page = three
    grip = page.get_by_role("button", name="Move Tag it").bounding_box()
    assert grip is not None
    page.mouse.move(grip["x"] + 10, grip["y"] + 10)
    page.mouse.down()
    page.mouse.move(grip["x"] + 12, grip["y"] - 150, steps=8)
    page.keyboard.press("Escape")
    page.mouse.up()
    expect_steps(page, "Clean it", "Shorten it", "Tag it")


def test_keys_move_a_card_from_gap_to_gap_and_say_where(three: Page):
    page = three
    grip = page.get_by_role("button", name="Move Clean it")
    said = page.locator("#announce")
    grip.press("Space")
    expect(said).to_contain_text("Clean it lifted, position 1 of 3")
    page.keyboard.press("ArrowDown")
    expect(said).to_have_text("Clean it, position 2 of 3, before Tag it")
    page.keyboard.press("ArrowDown")
    expect(said).to_have_text("Clean it, position 3 of 3, at the end")
    saved(page, lambda: page.keyboard.press("Space"))
    expect_steps(page, "Shorten it", "Tag it", "Clean it")
    expect(page.get_by_role("button", name="Move Clean it")).to_be_focused()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Escape")
    expect(said).to_have_text("Clean it is back in its place.")
    expect_steps(page, "Shorten it", "Tag it", "Clean it")


def test_typing_survives_what_changes_the_list(three: Page):
    page = three
    name = opened(page, "Shorten it").get_by_label("Name of the step")
    saved(page, lambda: name.fill("Make it short"))
    expect(name).to_be_focused()
    expect(name).to_have_value("Make it short")
    expect(card(page, "Make it short")).to_be_visible()


def test_a_value_that_cannot_be_saved_stays_and_says_why(three: Page):
    page = three
    name = opened(page, "Shorten it").get_by_label("Name of the step")
    name.fill("Tag it")
    expect(page.get_by_text("There is a step called “Tag it” already.")).to_be_visible()
    expect(name).to_have_value("Tag it")
    expect(page.locator("[data-save-state]").first).to_contain_text("Not saved")
    saved(page, lambda: name.fill("Short"))
    expect(page.locator("[data-save-state]").first).to_contain_text("Saved")


def test_a_step_is_put_between_two_and_turned_off_copied_and_deleted(three: Page):
    page = three
    page.get_by_role("button", name="Add a step before Shorten it").click()
    page.get_by_role("dialog", name="Add a step").get_by_role("button", name="Review gate").click()
    expect_steps(page, "Clean it", "Review gate", "Shorten it", "Tag it")
    saved(page, lambda: page.get_by_role("switch", name="Shorten it is on").click())
    expect(card(page, "Shorten it").get_by_text("Off", exact=True)).to_be_visible()
    page.get_by_role("button", name="More actions for Tag it").click()
    page.get_by_role("button", name="Duplicate").last.click()
    expect_steps(page, "Clean it", "Review gate", "Shorten it", "Tag it", "Tag it 2")
    page.get_by_role("button", name="More actions for Review gate").click()
    page.get_by_role("button", name="Delete…").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect_steps(page, "Clean it", "Shorten it", "Tag it", "Tag it 2")


# --- containers ---


def expect_inside(page: Page, container: str, *names: str) -> None:
    """The cards of a container's own list, and that the server keeps them so."""
    list_of = f'[data-flow][data-in-name="{container}"]'
    page.wait_for_function(
        "([list, names]) => [...document.querySelectorAll(`${list} > [data-step] > article`)]"
        ".map(c => c.dataset.name).join('|') === names",
        arg=[list_of, "|".join(names)],
    )


def expect_outside(page: Page, *names: str) -> None:
    page.wait_for_function(
        "names => [...document.querySelectorAll('#flow > [data-step] > article')]"
        ".map(c => c.dataset.name).join('|') === names",
        arg="|".join(names),
    )


def name_it(page: Page, was: str, name: str) -> None:
    """Name the step that was just added, once its card is open."""
    expect(page.locator(f'.step.is-open[data-name="{was}"]')).to_be_visible()
    label = page.locator(".step.is-open").get_by_label("Name of the step")
    expect(label).to_be_visible()
    saved(page, lambda: label.fill(name))
    expect(card(page, name)).to_be_visible()


def drag(page: Page, name: str, gap: Locator) -> None:
    for toggle in page.locator('#steps [data-toggle][aria-expanded="true"]').all():
        toggle.press("Enter")
    expect(page.locator("#steps .step.is-open")).to_have_count(0)
    handle = page.get_by_role("button", name=f"Move {name}")
    handle.scroll_into_view_if_needed()
    grip = handle.bounding_box()
    assert grip is not None
    page.mouse.move(grip["x"] + 10, grip["y"] + 10)
    page.mouse.down()
    page.mouse.move(grip["x"] + 12, grip["y"] - 12, steps=4)
    expect(page.locator("#steps.is-moving")).to_be_visible()
    at = gap.bounding_box()
    assert at is not None
    page.mouse.move(at["x"] + 120, at["y"] + at["height"] / 2, steps=8)
    expect(page.locator(".gap.is-target")).to_have_count(1)
    saved(page, page.mouse.up)


def test_a_for_each_with_two_steps_inside_is_built_with_the_mouse(builder: Page):
    page = builder
    page.get_by_role("button", name="Add a step", exact=True).click()
    page.get_by_role("dialog", name="Add a step").get_by_role("button", name="For each").click()
    name_it(page, "For each", "Each contact")
    expect(page.get_by_text("What should happen each time?")).to_be_visible()
    page.get_by_role("button", name="Add a step inside Each contact").click()
    page.get_by_role("dialog", name="Add a step").get_by_role("button", name="Clean text").click()
    expect_inside(page, "Each contact", "Clean text")
    page.get_by_role("button", name="Add a step first in Each contact").click()
    page.get_by_role("dialog", name="Add a step").get_by_role("button", name="Summarize").click()
    name_it(page, "Summarize", "Shorten it")
    expect_inside(page, "Each contact", "Shorten it", "Clean text")
    page.get_by_role("button", name="Add a step at the end", exact=True).click()
    page.get_by_role("dialog", name="Add a step").get_by_role("button", name="Review gate").click()
    expect_outside(page, "Each contact", "Review gate")
    # Into the container by its handle, and out of it.
    drag(page, "Review gate", page.locator(f"#gap-{card(page, 'Clean text').get_attribute('data-card')}"))
    expect_inside(page, "Each contact", "Shorten it", "Review gate", "Clean text")
    drag(page, "Shorten it", page.locator("#gap-end"))
    expect_inside(page, "Each contact", "Review gate", "Clean text")
    expect_outside(page, "Each contact", "Shorten it")
    # And by the menu.
    page.get_by_role("button", name="More actions for Shorten it").click()
    saved(page, lambda: page.get_by_role("button", name="Move into Each contact").click())
    expect_inside(page, "Each contact", "Review gate", "Clean text", "Shorten it")
    page.get_by_role("button", name="More actions for Review gate").click()
    saved(page, lambda: page.get_by_role("button", name="Move out of Each contact").click())
    page.reload()
    expect_inside(page, "Each contact", "Clean text", "Shorten it")
    expect_outside(page, "Each contact", "Review gate")


def test_a_for_each_with_two_steps_inside_is_built_with_the_keyboard(builder: Page):
    page = builder
    add_at_the_end(page, "for each", "Each contact")
    add = page.get_by_role("button", name="Add a step inside Each contact")
    for words, was, name in (("clean", "Clean text", "Clean it"), ("summar", "Summarize", "Shorten it")):
        add.press("Enter")
        page.keyboard.type(words)
        page.keyboard.press("Enter")
        name_it(page, was, name)
    expect_inside(page, "Each contact", "Clean it", "Shorten it")
    said = page.locator("#announce")
    page.get_by_role("button", name="Move Shorten it").press("Space")
    expect(said).to_contain_text("Shorten it lifted, position 2 of 2 in Each contact")
    page.keyboard.press("ArrowUp")
    expect(said).to_have_text("Shorten it, position 1 of 2 in Each contact, before Clean it")
    page.keyboard.press("ArrowUp")
    expect(said).to_have_text("Shorten it, position 1 of 2 in Each contact, before Clean it")
    saved(page, lambda: page.keyboard.press("Space"))
    expect_inside(page, "Each contact", "Shorten it", "Clean it")
    # Left goes out of it, right into it.
    expect(page.get_by_role("button", name="Move Shorten it")).to_be_focused()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowLeft")
    expect(said).to_have_text("Shorten it, position 2 of 2, at the end")
    saved(page, lambda: page.keyboard.press("Space"))
    expect_outside(page, "Each contact", "Shorten it")
    expect_inside(page, "Each contact", "Clean it")
    expect(page.get_by_role("button", name="Move Shorten it")).to_be_focused()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    expect(said).to_have_text("Shorten it, position 2 of 2 in Each contact, at the end of Each contact")
    saved(page, lambda: page.keyboard.press("Space"))
    expect_inside(page, "Each contact", "Clean it", "Shorten it")
    # A container is not moved into itself.
    page.get_by_role("button", name="Move Each contact").press("Space")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    expect(said).to_have_text("Each contact is back in its place.")


def test_a_folded_list_says_how_many_steps_are_inside_and_stays_folded(builder: Page):
    page = builder
    add_at_the_end(page, "for each", "Each contact")
    page.get_by_role("button", name="Add a step inside Each contact").press("Enter")
    page.keyboard.type("clean")
    page.keyboard.press("Enter")
    expect_inside(page, "Each contact", "Clean text")
    summary = page.locator("summary.nest__label")
    summary.click()
    expect(card(page, "Clean text")).to_be_hidden()
    expect(summary).to_contain_text("1 step inside")
    saved(page, lambda: page.get_by_role("switch", name="Each contact is on").click())
    expect(card(page, "Each contact").get_by_text("Off", exact=True).first).to_be_visible()
    expect(card(page, "Clean text")).to_be_hidden()
    page.reload()
    expect(card(page, "Clean text")).to_be_hidden()
    summary.press("Enter")
    expect(card(page, "Clean text")).to_be_visible()
    assert axe_violations(page) == []


@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (1440, "dark"), (390, "light"), (390, "dark")])
def test_lists_inside_containers_meet_wcag_and_need_no_sideways_scrolling(
    builder: Page, width: int, theme: str
):
    page = builder
    name = "Write an opener for each contact of the company"
    add_at_the_end(page, "for each", name)
    assert axe_violations(page) == []
    page.get_by_role("button", name=f"Add a step inside {name}").press("Enter")
    page.keyboard.type("ask a model")
    page.keyboard.press("Enter")
    expect_inside(page, name, "Ask a model")
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    page.set_viewport_size({"width": width, "height": 860})
    page.reload()
    expect(page.locator(".nest .step.is-open")).to_be_visible()
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert axe_violations(page) == []


@pytest.mark.parametrize(
    ("width", "height", "theme"), [(1440, 900, "light"), (390, 844, "dark"), (360, 740, "light")]
)
def test_the_open_builder_meets_wcag_and_needs_no_sideways_scrolling(
    three: Page, width: int, height: int, theme: str
):
    page = three
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    page.set_viewport_size({"width": width, "height": height})
    page.reload()
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert axe_violations(page) == []
    page.locator("[data-add]").first.click()
    expect(page.get_by_role("dialog", name="Add a step")).to_be_visible()
    assert axe_violations(page) == []
