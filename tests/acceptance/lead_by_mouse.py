"""A person with a mouse in the step list: clicks, drags and typing into fields, and nothing else.

Every press is a real one at the place of what is pressed (playwright scrolls there and moves the pointer); texts are typed
into a field that was clicked. Choosing in a drop-down stands for two clicks. What is waited for are states, never times.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress

from playwright.sync_api import Locator, Page, expect


class Mouse:
    """See the module. `page` is the builder, once a workflow is open."""

    def __init__(self, page: Page) -> None:
        self.page = page

    # --- parts of the page ---

    def card(self, name: str) -> Locator:
        return self.page.locator(f'[data-card][data-name="{name}"]')

    @property
    def open_card(self) -> Locator:
        return self.page.locator("#steps .step.is-open[data-card]")

    def key(self, name: str) -> str:
        return self.card(name).get_attribute("data-card") or ""

    def saved(self, act: Callable[[], object]) -> None:
        """Do it, and wait until the server has taken it."""
        with self.page.expect_response(lambda answer: answer.request.method == "POST" and answer.ok):
            act()

    def type_into(self, field: Locator, text: str) -> None:
        """Click the field, mark what stands there, type over it, and see it saved."""
        field.click()
        field.select_text()
        self.saved(lambda: self.page.keyboard.insert_text(text))

    def choose(self, field: Locator, label: str) -> None:
        self.saved(lambda: field.select_option(label=label))

    # --- the list ---

    def new_workflow(self, name: str) -> None:
        self.page.get_by_role("button", name="New workflow", exact=True).first.click()
        expect(self.page.get_by_role("heading", name="What should happen first?")).to_be_visible()
        self.page.wait_for_load_state("load")
        self.type_into(self.page.get_by_label("Name of the workflow"), name)

    def input(self, name: str, kind: str) -> None:
        """One more thing that the run form asks for; the start card is open."""
        self._variable("Add an input", "inputs", name, kind)
        must = self.page.locator('[data-rows="inputs"] .variable').last.get_by_label("Must it be given?")
        self.saved(lambda: must.select_option(label="Must be given"))

    def variable(self, name: str, value: str) -> None:
        self._variable("Add a variable", "context", name, "Text")
        self.type_into(
            self.page.locator('[data-rows="context"] .variable').last.get_by_label("Default"), value
        )

    def _variable(self, button: str, rows: str, name: str, kind: str) -> None:
        self.page.get_by_role("button", name=button, exact=True).click()
        last = self.page.locator(f'[data-rows="{rows}"] .variable').last
        self.type_into(last.get_by_label("Name"), name)
        if kind != "Text":
            self.choose(last.get_by_label("Type"), kind)

    def pick(self, kind: str, name: str) -> None:
        """Choose a kind in the picker that is open, and name the step whose card opens."""
        picker = self.page.get_by_role("dialog", name="Add a step")
        expect(picker).to_be_visible()
        known = self.page.locator("#steps [data-step]").count()
        self.saved(lambda: picker.get_by_role("button", name=kind).first.click())
        expect(self.page.locator("#steps [data-step]")).to_have_count(known + 1)
        expect(self.open_card).to_have_count(1)
        self.name_it(name)

    def name_it(self, name: str) -> None:
        label = self.open_card.get_by_label("Name of the step")
        expect(label).to_be_visible()
        self.type_into(label, name)
        expect(self.card(name)).to_be_visible()

    def add_at_the_end(self, kind: str, name: str) -> None:
        self.page.locator("#gap-end").get_by_role("button", name=re.compile("^Add a step")).click()
        self.pick(kind, name)

    def add_after(self, kind: str, name: str, *, on: str) -> None:
        """At a free way out: `on` is what the button says after “Add a step”."""
        self.page.get_by_role("button", name=f"Add a step {on}", exact=True).click()
        self.pick(kind, name)

    def add_before(self, kind: str, name: str, *, before: str, path: str = "") -> None:
        """By the + above a card; `path` chooses one where several meet."""
        self.page.locator(f"#gap-{self.key(before)} [data-add]").click()
        if path:
            choices = self.page.locator("[data-picker-choices]")
            choices.get_by_role("button", name=path).click()
        self.pick(kind, name)

    def add_branch(self, kind: str, name: str, *, of: str) -> None:
        self.menu(of, "Add a branch")
        self.pick(kind, name)

    def menu(self, of: str, item: str) -> None:
        self.page.get_by_role("button", name=f"More actions for {of}", exact=True).click()
        self.page.locator("#step-menu").get_by_role("button", name=item).click()

    def open(self, name: str) -> Locator:
        card = self.card(name)
        if "is-open" not in (card.get_attribute("class") or ""):
            card.locator("[data-toggle]").first.click()
        # The one that was open folds with the answer.
        expect(self.open_card).to_have_count(1)
        expect(self.open_card).to_have_attribute("data-name", name)
        return self.open_card

    def close(self) -> None:
        for head in self.page.locator("#steps .step.is-open > .step__head").all():
            # Beside the name, which is a field while the card is open.
            head.click(position={"x": (head.bounding_box() or {"width": 0.0})["width"] * 0.55, "y": 6})
        expect(self.page.locator("#steps .step.is-open")).to_have_count(0)

    def goes_on_to(self, source: str, target: str) -> None:
        """Lead a step to one more, in its card under Paths."""
        card = self.open(source)
        paths = card.locator("section.sect:has(> details > summary:text('Paths')) > details").last
        if paths.get_attribute("open") is None:
            paths.locator("summary").click()
        paths.get_by_label("Also goes on to").select_option(label=target)
        self.saved(lambda: paths.get_by_role("button", name="Add the path").click())
        # Until the list is drawn anew, its + still say the places of before.
        expect(card.locator("summary", has_text="goes on to")).to_contain_text(target)

    def drag(self, name: str, gap: Locator, *, x: float = 120.0) -> None:
        """Lift a card by its handle, carry it into a gap, let go."""
        self.close()
        handle = self.page.get_by_role("button", name=re.compile(f"^Move {re.escape(name)}\\."))
        handle.scroll_into_view_if_needed()
        grip, there = handle.bounding_box(), gap.bounding_box()
        assert grip is not None
        assert there is not None
        # Both have to be on the screen.
        self.page.mouse.move(700, 450)
        self.page.mouse.wheel(0, (grip["y"] + there["y"]) / 2 - 450)
        before = None
        while (grip := handle.bounding_box()) != before:
            before = grip
            self.page.evaluate("() => new Promise(requestAnimationFrame)")
        assert grip is not None
        mouse = self.page.mouse
        mouse.move(grip["x"] + 10, grip["y"] + 10)
        mouse.down()
        mouse.move(grip["x"] + 12, grip["y"] - 12, steps=4)
        expect(self.page.locator("#steps.is-moving")).to_be_visible()
        at = gap.bounding_box()
        assert at is not None
        mouse.move(at["x"] + x, at["y"] + at["height"] / 2, steps=12)
        expect(gap).to_have_class(re.compile("is-target"))
        self.saved(mouse.up)
        expect(self.page.locator("#steps.is-moving")).to_have_count(0)

    # --- fields of the open card ---

    def field(self, label: str) -> Locator:
        fields = self.page.locator("input, textarea, select")
        return self.open_card.get_by_label(re.compile(f"^{re.escape(label)}( to fill in)?$")).and_(fields)

    def text(self, label: str, text: str) -> None:
        """Type into a setting; where it lies under “More settings”, that is opened first."""
        field = self.field(label)
        expect(field).to_be_attached()
        if folded := field.locator("xpath=ancestor::details[not(@open)][1]/summary").all():
            folded[0].click()
        self.type_into(field, text)

    def pair(self, legend: str, name: str, value: str) -> None:
        """One more line of “names and values”."""
        box = self.open_card.locator(f"fieldset.field:has(> legend:text-is('{legend}'))")
        box.locator("[data-row-add]").click()
        row = box.locator("[data-row]").last
        row.locator("input").first.click()
        self.page.keyboard.insert_text(name)
        row.locator("textarea").click()
        self.saved(lambda: self.page.keyboard.insert_text(value))

    def field_of_answer(self, name: str, kind: str) -> None:
        """One more field of a structured answer."""
        box = self.open_card.locator("[data-schema-of]")
        before = box.get_by_label(re.compile("^Name of ")).count()
        self.saved(lambda: box.get_by_role("button", name="Add a field", exact=True).click())
        expect(box.get_by_label(re.compile("^Name of "))).to_have_count(before + 1)
        self.type_into(box.get_by_label(re.compile("^Name of ")).last, name)
        with suppress(AssertionError):
            expect(box.get_by_label(re.compile("^Kind of ")).last).to_be_visible()
        if kind != "Text":
            self.choose(box.get_by_label(re.compile("^Kind of ")).last, kind)

    # --- testing, publishing ---

    def test(
        self, name: str, input_data: str = "", *, is_gate: bool = False, shows: str = "done|retry"
    ) -> None:
        """The Test button of a card, the data, Test, and a result that says how it went; a gate is decided in its run."""
        button = self.page.get_by_role("link", name=f"Test {name}", exact=True).or_(
            self.page.get_by_role("button", name=f"Test {name}", exact=True)
        )
        button.click()
        tab = self.page.locator(f'#steptest[data-steptest="{self.key(name)}"]')
        expect(tab).to_be_visible()
        if input_data:
            area = tab.locator("#steptest-input")
            if not area.is_visible():
                tab.locator("#steptest-source").select_option(label="Type it in…")
                expect(area).to_be_visible()
            area.click()
            area.select_text()
            self.page.keyboard.insert_text(input_data)
        self.saved(lambda: tab.get_by_role("button", name="Test", exact=True).click())
        if is_gate:
            self.page.locator("#steptest-result").get_by_role("link", name="Decide in the run").click()
            self.approve()
            self.back_to_the_builder()
            expect(self.card(name).locator(".lasttest")).to_contain_text(re.compile(r"\d"))
            return
        over = self.page.locator("#steptest-result[data-steptest-over]")
        expect(over).to_be_visible(timeout=60_000)
        expect(over.locator(".st").first).to_have_attribute("data-s", re.compile(f"^({shows})$"))

    def approve(self, question: str = "") -> None:
        """Approve the gate on the run page."""
        gate = self.page.locator("section.gate", has_text=question).first
        expect(gate).to_be_visible(timeout=120_000)
        asked = gate.get_by_role("heading").first.inner_text()
        gate.get_by_role("button", name="Approve").first.click()
        # Another gate may open in its place.
        expect(self.page.locator("section.gate", has_text=asked)).to_be_hidden(timeout=60_000)

    def back_to_the_builder(self) -> None:
        """From a run's page, by the name of its workflow in the bar."""
        self.page.locator(".topbar .runof a").click()
        expect(self.page.locator("#steps")).to_be_visible()
        self.page.wait_for_load_state("load")

    def keep_as_sample(self, name: str) -> None:
        tab = self.page.locator("#steptest")
        field = tab.get_by_label("Save it as a sample")
        if not field.is_visible():
            field.locator("xpath=ancestor::details[1]/summary").click()
        field.click()
        self.page.keyboard.insert_text(name)
        self.saved(lambda: tab.get_by_role("button", name="Save", exact=True).click())
        expect(tab.locator("#steptest-source")).to_contain_text(name)

    def publish(self, note: str) -> None:
        self.page.get_by_role("link", name="Publish", exact=True).click()
        dialog = self.page.get_by_role("dialog")
        dialog.get_by_label("What has changed?").click()
        self.page.keyboard.insert_text(note)
        self.saved(lambda: dialog.get_by_role("button", name="Publish", exact=True).click())
        expect(dialog).to_be_hidden()

    def compare(self, old: str, new: str) -> None:
        """On the versions page; each choice draws the page again."""
        for name, label, said in (("To", new, "to"), ("From", old, "from")):
            with self.page.expect_navigation(url=re.compile(f"[?&]{said}={re.findall('[0-9]+', label)[0]}")):
                self.page.get_by_label(name, exact=True).select_option(label=label)
            self.page.wait_for_load_state("load")
