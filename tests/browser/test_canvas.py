"""The canvas in a real browser: paths drawn, led elsewhere and removed, steps dropped, keys, undo, list and canvas side by side."""

from __future__ import annotations

from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.test_builder import builder, cookies  # noqa: F401  (fixtures)
from tests.support.axe import axe_violations
from tests.support.stack import Stack


def node(page: Page, name: str) -> Locator:
    return page.locator(f'[data-node][data-label="{name}"]')


def key_of(page: Page, name: str) -> str:
    return node(page, name).get_attribute("data-node") or ""


def paths(page: Page, source: str, target: str) -> Locator:
    return page.locator(f'.wire[data-source="{key_of(page, source)}"][data-target="{key_of(page, target)}"]')


def middle(of: Locator) -> tuple[float, float]:
    box = of.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def pull(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move((start[0] + end[0]) / 2, (start[1] + end[1]) / 2, steps=4)
    page.mouse.move(*end, steps=4)
    page.mouse.up()


def quiet(page: Page) -> None:
    """Toasts lie over the lower edge, where steps are."""
    page.evaluate("document.querySelectorAll('.toast').forEach((one) => one.remove())")


def test_a_workflow_is_drawn_by_mouse_and_keys_and_the_list_shows_the_same(
    builder: Page,  # noqa: F811
) -> None:
    page = builder
    address = page.url.split("?")[0]
    page.goto(f"{address}canvas/")
    page.wait_for_selector("[data-ready]")
    # Pressed kinds follow each other; a dragged one stands where it was dropped.
    for count in (1, 2):
        page.locator('[data-palette="transform"]').click()
        expect(page.locator(".nodebox:not([data-start])")).to_have_count(count)
    page.locator('[data-palette="fan_out"]').click()
    expect(page.locator("[data-frame]")).to_have_count(1)
    pull(page, middle(page.locator('[data-palette="delay"]')), (330, 300))
    expect(node(page, "Delay")).to_have_count(1)
    first, second = "Transform", "Transform 2"
    frame = page.locator("[data-frame]").get_attribute("data-label") or ""
    expect(paths(page, first, second)).to_have_count(1)
    # A path is drawn from port to port, led elsewhere by its end, and refused in words where it cannot go.
    quiet(page)
    pull(page, middle(node(page, first).locator(".port--out")), middle(node(page, "Delay")))
    expect(paths(page, first, "Delay")).to_have_count(1)
    quiet(page)
    pull(page, middle(node(page, "Delay").locator(".port--out")), middle(node(page, first)))
    expect(page.locator(".toast").last).to_contain_text("would wait for each other")
    quiet(page)
    edge = paths(page, first, "Delay").get_attribute("data-edge")
    page.evaluate("(id) => stepwell.canvas.showTools(id)", edge)
    pull(
        page,
        middle(page.locator("[data-wire-end=target]")),
        middle(node(page, frame).locator(".framebox__head")),
    )
    expect(paths(page, first, frame)).to_have_count(1)
    expect(page.locator(f'.wire[data-edge="{edge}"]')).to_have_attribute("data-target", key_of(page, frame))
    quiet(page)
    page.evaluate("(id) => stepwell.canvas.showTools(id)", edge)
    page.get_by_role("button", name=f"Remove the path between {first} and {frame}").click()
    expect(paths(page, first, frame)).to_have_count(0)
    # Into the container, as the list moves it.
    quiet(page)
    x, y = middle(node(page, frame))
    pull(page, middle(node(page, "Delay")), (x, y + 20))
    expect(node(page, "Delay")).to_have_attribute("data-parent", key_of(page, frame))
    # On a connection: a step between.
    quiet(page)
    edge = paths(page, first, second).get_attribute("data-edge")
    page.evaluate("(id) => stepwell.canvas.showTools(id)", edge)
    page.get_by_role("button", name=f"Add a step between {first} and {second}").click()
    page.get_by_label("Find a kind of step").fill("merge")
    page.keyboard.press("Enter")
    expect(paths(page, first, "Merge")).to_have_count(1)
    expect(paths(page, "Merge", second)).to_have_count(1)
    # The list in another tab, and the canvas: the same at once.
    other = page.context.new_page()
    other.goto(address)
    for name in (first, "Merge", second, frame, "Delay"):
        expect(other.locator(f'#steps [data-card][data-name="{name}"]')).to_have_count(1)
    # By keyboard: along the path, connect by name, tidy up, take it back.
    page.bring_to_front()
    node(page, first).locator(".nodebox__in").focus()
    page.keyboard.press("ArrowDown")
    expect(node(page, "Merge").locator(".nodebox__in")).to_be_focused()
    page.keyboard.press("c")
    page.keyboard.type("each")
    page.keyboard.press("Enter")
    expect(paths(page, "Merge", frame)).to_have_count(1)
    before = node(page, "Merge").get_attribute("data-x")
    page.get_by_role("button", name="Tidy up").click()
    expect(node(page, "Merge")).not_to_have_attribute("data-x", before or "")
    node(page, first).locator(".nodebox__in").focus()
    page.keyboard.press("Control+z")
    expect(node(page, "Merge")).to_have_attribute("data-x", before or "")
    other.bring_to_front()
    other.locator("#steps [data-card] [role=switch]").first.click()
    page.bring_to_front()
    expect(page.locator(".nodebox.is-off")).to_have_count(1, timeout=8000)
    other.close()
    # L goes to the list with the chosen step open; everything passes the accessibility rules.
    node(page, "Merge").locator(".nodebox__in").click()
    expect(page.locator("#panel [data-open]")).to_have_attribute("data-open", key_of(page, "Merge"))
    found = axe_violations(page)
    assert found == []
    key = key_of(page, "Merge")
    node(page, "Merge").locator(".nodebox__in").focus()
    page.keyboard.press("l")
    page.wait_for_url(f"**/?open={key}*")
    expect(page.locator(f"#step-{key}.is-open")).to_be_visible()


def test_list_and_canvas_of_two_people_show_the_same_without_loading_again(
    builder: Page,  # noqa: F811
    browser: Browser,
    stack: Stack,
) -> None:
    page = builder
    address = page.url.split("?")[0]
    page.goto(f"{address}canvas/")
    page.wait_for_selector("[data-ready]")
    page.get_by_role("button", name="Add the first step").click()
    page.get_by_label("Find a kind of step").fill("transform")
    page.keyboard.press("Enter")
    expect(node(page, "Transform")).to_be_visible()
    expect(page.locator("#panel-in[data-open]")).to_have_attribute("data-open", key_of(page, "Transform"))
    context = browser.new_context(base_url=stack.url, viewport={"width": 1440, "height": 900})
    other = context.new_page()
    other.goto(stack.sign_in_link_for("nadia@demo.example"))
    other.get_by_role("button").first.click()
    other.wait_for_url(f"{stack.url}/**")
    other.goto(address)
    other.wait_for_load_state("load")
    # Who has what open is said on the step itself.
    card = other.locator(f'[data-card="{key_of(page, "Transform")}"]')
    expect(card.locator(".av--who")).to_be_visible(timeout=15_000)
    card.locator("[data-toggle]").first.click()
    expect(node(page, "Transform").locator(".av--who")).to_be_visible(timeout=15_000)
    # A path dropped on the ground opens the picker there; the list shows what came of it.
    quiet(page)
    x, y = middle(node(page, "Transform").locator(".port--out"))
    pull(page, (x, y), (x + 60, y + 160))
    page.get_by_label("Find a kind of step").fill("delay")
    page.keyboard.press("Enter")
    expect(paths(page, "Transform", "Delay")).to_have_count(1)
    expect(other.locator('#steps [data-card][data-name="Delay"]')).to_be_visible(timeout=15_000)
    # What the list renames is renamed in the drawing, and its panel stays with the step that is open here.
    other.locator(".step.is-open").get_by_label("Name of the step").fill("Tidy up first")
    expect(node(page, "Tidy up first")).to_be_visible(timeout=15_000)
    expect(page.locator("#panel-in[data-open]")).to_have_attribute("data-open", key_of(page, "Delay"))
    # A step that is moved can be put back by its toast.
    quiet(page)
    before = node(page, "Delay").get_attribute("data-x") or ""
    x, y = middle(node(page, "Delay"))
    pull(page, (x, y), (x + 88, y + 44))
    expect(node(page, "Delay")).not_to_have_attribute("data-x", before)
    page.locator(".toast").last.get_by_role("button", name="Undo").click()
    expect(node(page, "Delay")).to_have_attribute("data-x", before)
    # Its test stands beside its settings.
    page.get_by_role("tab", name="Test", exact=True).click()
    expect(page.locator("#steptest")).to_be_visible(timeout=15_000)
    context.close()
