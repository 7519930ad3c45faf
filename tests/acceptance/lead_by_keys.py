"""A person with a keyboard in the step list: presses and typing, and nothing else. What is read from the page is only looked at.

Every stop of the Tab key is looked at: it has a name, its focus is shown, and nothing that sticks lies over it; what is wrong
stands in `complaints`. What is waited for are states, never times.
"""

from __future__ import annotations

from typing import Final

from playwright.sync_api import Page, expect

# What assistive technology calls the element with the focus, and what is wrong with how it is shown.
_AT: Final = """() => {
  const at = document.activeElement;
  if (!at || at === document.body) return ["", "", "(browser)"];
  const words = (e) => e?.textContent.replace(/\\s+/g, " ").trim() ?? "";
  const by = (at.getAttribute("aria-labelledby") ?? "").split(" ").filter(Boolean).map((id) => words(document.getElementById(id))).join(" ");
  const name = at.getAttribute("aria-label") || by || words(at.labels?.[0]) || (at.matches("input, textarea, select") ? "" : words(at)) || at.title || "";
  let wrong = "";
  const box = at.matches(".step__toggle") ? at.closest(".step__head") : at.matches(".stepsel input, .switch input, .seg input") ? at.parentElement : at;
  const { left, top, width, height } = box.getBoundingClientRect();
  const x = left + Math.min(width / 2, 40), y = top + Math.min(height / 2, 40);
  if (!at.matches(":focus-visible")) wrong = "its focus is not shown";
  else if (width < 1 || height < 1) wrong = "it has no size";
  else if (x < 0 || y < 0 || x > innerWidth || y > innerHeight) wrong = `it is off the screen at ${Math.round(x)}, ${Math.round(y)}`;
  else {
    const seen = document.elementFromPoint(x, y);
    const over = seen?.closest(".topbar, .subbar, .tabbar, .selbar, .insp__head");
    if (over && !over.contains(at)) wrong = `${over.className} lies over it`;
  }
  const place = at.closest("[data-card]")?.dataset.name ?? at.closest("[id]")?.id ?? "";
  return [name, wrong, place];
}"""


class Keys:
    """See the module. `page` is the product in a browser."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.keyboard = page.keyboard
        self.complaints: list[str] = []
        self.stops = 0

    # --- the keyboard ---

    def press(self, *keys: str) -> None:
        for key in keys:
            self.keyboard.press(key)

    def type(self, text: str) -> None:
        """Type it, as people do: what is offered for `{{` is not taken, the whole is typed out."""
        self.keyboard.type(text)

    def now(self) -> str:
        """The name of what has the focus."""
        name: str = self.page.evaluate(_AT)[0]
        return name

    def look(self) -> str:
        name, wrong, place = self.page.evaluate(_AT)
        self.stops += 1
        # Past its last stop a page gives the focus to the browser.
        if (wrong or not name) and place != "(browser)":
            self.complaints.append(f"{name or 'something without a name'} ({place}): {wrong or 'no name'}")
        return str(name)

    def expect_at(self, name: str) -> None:
        """The focus comes to what is called so (from its beginning)."""
        self.page.wait_for_function(f"name => ({_AT})()[0].startsWith(name)", arg=name)

    def to(self, name: str, *, back: bool = False, whole: bool = False, limit: int = 90) -> None:
        """Tab until something that is called so (from its beginning, or wholly) has the focus."""
        passed: list[str] = []
        for _ in range(limit):
            self.press("Shift+Tab" if back else "Tab")
            passed.append(self.look())
            if passed[-1] in (name, f"{name} to fill in") or (passed[-1].startswith(name) and not whole):
                return
        raise AssertionError(f"Tab does not come to “{name}”, only to {passed}")

    def to_input(self, name: str) -> None:
        """Tab to the field that is sent by this name."""
        for _ in range(40):
            if (
                str(self.page.evaluate("() => document.activeElement.name ?? ''")).removeprefix("input_")
                == name
            ):
                return
            self.press("Tab")
            self.look()
        raise AssertionError(f"Tab does not come to the field {name}.")

    def over(self, text: str) -> None:
        """Type over what the field holds."""
        self.press("ControlOrMeta+a")
        if text:
            self.type(text)
        else:
            self.press("Delete")

    def fill(self, name: str, text: str, *, back: bool = False) -> None:
        self.field(name, back=back)
        self.over(text)

    def field(self, name: str, *, back: bool = False) -> None:
        """To a field, opening the “More settings” that hide it."""
        hides = """([name, open]) => {
          const fields = [...document.querySelectorAll('.step.is-open :is(input, select, textarea)')];
          const found = fields.find((e) => [name, `${name} to fill in`].includes((e.getAttribute('aria-label') ?? e.labels?.[0]?.textContent ?? '').trim()));
          const folded = found?.closest('details:not([open])');
          return Boolean(folded) && (!open || document.activeElement === folded.querySelector(':scope > summary'));
        }"""
        if self.page.evaluate(hides, [name, False]):
            for _ in range(60):
                self.press("Shift+Tab" if back else "Tab")
                self.look()
                if self.page.evaluate(hides, [name, True]):
                    break
            self.press("Enter")
            back = False
        self.to(name, back=back, whole=True)

    def choose(self, name: str, label: str, *, back: bool = False) -> None:
        """Choose in a drop-down by arrows."""
        self.field(name, back=back)
        self.pick_option(label)

    def pick_option(self, label: str) -> None:
        chosen = "() => document.activeElement.selectedOptions?.[0]?.textContent.trim() ?? ''"
        self.press("Home")
        for _ in range(60):
            if str(self.page.evaluate(chosen)).startswith(label):
                return
            before = self.page.evaluate(chosen)
            self.press("ArrowDown")
            if self.page.evaluate(chosen) == before:
                break
        raise AssertionError(f"The list has no “{label}”; the focus is at {self.now()}.")

    def saved(self) -> None:
        """What was typed is saved, and nothing is under way."""
        expect(self.page.locator("[data-save-state] span").first).to_have_text("Saved")

    # --- the step list ---

    def said(self) -> str:
        return self.page.locator("#announce").inner_text()

    def expect_said(self, words: str) -> None:
        expect(self.page.locator("#announce")).to_contain_text(words)

    def palette(self, words: str, option: str) -> None:
        """⌘K, some words, Enter on what is called so."""
        self.press("ControlOrMeta+k")
        expect(self.page.locator("#cmdk [data-cmdk-in]")).to_be_focused()
        self.type(words)
        chosen = self.page.locator('#cmdk [role=option][aria-selected="true"] .trunc')
        wanted = self.page.locator("#cmdk [role=option]", has_text=option).first
        expect(wanted).to_be_visible()
        for _ in range(30):
            if chosen.inner_text() == option:
                break
            self.press("ArrowDown")
        expect(chosen).to_have_text(option)
        self.press("Enter")

    def go(self, name: str) -> None:
        """To the head of a card, by J and K."""
        order = "() => [...document.querySelectorAll('#steps [data-item]')].filter(i => i.offsetParent).map(i => i.querySelector('article')?.dataset.name ?? 'start')"
        names: list[str] = self.page.evaluate(order)
        here = (
            "() => { const items = [...document.querySelectorAll('#steps [data-item]')].filter(i => i.offsetParent);"
            " return items.findLastIndex(i => i.contains(document.activeElement)); }"
        )
        self.out()
        at, to = int(self.page.evaluate(here)), names.index(name)
        if at < 0:
            self.press("j")
            at = 0
        for _ in range(abs(to - at)):
            self.press("j" if to > at else "k")
            self.look()
        self.expect_card(name)

    def out(self) -> None:
        """Out of the fields: Escape leads to the head of the card."""
        if self.page.evaluate(
            "() => Boolean(stepwell.typing({target: document.activeElement}) || document.activeElement.closest('.step__body, #panel'))"
        ):
            self.press("Escape")
            self.page.wait_for_function("() => document.activeElement.matches('[data-toggle], a, button')")

    def expect_card(self, name: str) -> None:
        self.page.wait_for_function(
            "name => document.activeElement.closest('[data-card]')?.dataset.name === name", arg=name
        )

    def add(self, kind: str, name: str, *, after: str = "", on: str = "") -> None:
        """A after a step (or where the focus is), the path where it asks, the kind by typing, its name by F2."""
        if after:
            self.go(after)
        self.press("a")
        self.picked(kind, name, on=on)

    def picked(self, kind: str, name: str, *, on: str = "") -> None:
        """The picker is open: the path, the kind, the name."""
        picker = self.page.get_by_role("dialog", name="Add a step")
        expect(picker).to_be_visible()
        if picker.locator("[data-picker-choices]").is_visible():
            self.page.wait_for_function("() => document.activeElement.closest('[data-picker-choices]')")
            for _ in range(12):
                if self.now().startswith(on):
                    break
                self.press("ArrowDown")
            assert self.now().startswith(on), f"The picker offers no path “{on}”."
            self.press("Enter")
        expect(picker.get_by_role("searchbox")).to_be_focused()
        known = self.page.locator("#steps [data-step]").count()
        self.type(kind)
        self.press("Enter")
        expect(self.page.locator("#steps [data-step]")).to_have_count(known + 1)
        self.page.wait_for_function("() => document.activeElement.closest('.step.is-open[data-card]')")
        self.name_it(name)

    def name_it(self, name: str) -> None:
        """The name of the step that is open; the focus stays there."""
        self.out()
        self.press("F2")
        self.expect_at("Name of the step")
        self.over(name)
        expect(self.page.locator(f'[data-card][data-name="{name}"]')).to_be_visible()

    def open(self, name: str) -> None:
        self.go(name)
        if not self.page.locator(f'.step.is-open[data-name="{name}"]').count():
            self.press("Enter")
        expect(self.page.locator(f'.step.is-open[data-name="{name}"]')).to_be_visible()

    def menu(self, of: str, item: str) -> None:
        """The menu of a card: Tab to its button, arrows to the item."""
        self.go(of)
        self.to(f"More actions for {of}")
        self.press("Enter")
        menu = self.page.locator("#step-menu")
        expect(menu).to_be_visible()
        for _ in range(16):
            if self.now().startswith(item):
                break
            self.press("ArrowDown")
        assert self.now().startswith(item), f"The menu of {of} has no “{item}”."
        self.press("Enter")

    def connect(self, source: str, target: str, *, port: str = "") -> None:
        """“Connect to…” in the menu of the card."""
        self.menu(source, "Connect to…")
        dialog = self.page.get_by_role("dialog", name=f"Where should {source} lead as well?")
        expect(dialog).to_be_visible()
        if port:
            self.pick_option(port)
        if not self.now().startswith("Connect to"):
            self.to("Connect to")
        self.pick_option(target)
        self.press("ControlOrMeta+Enter")
        expect(dialog).to_have_count(0)
        self.expect_card(source)

    def expect_order(self, *names: str) -> None:
        """These cards follow one another directly, in one list."""
        self.page.wait_for_function(
            "names => [...document.querySelectorAll('[data-flow]')].some(flow => "
            "[...flow.querySelectorAll(':scope > [data-step] > article')].map(card => card.dataset.name).join('|').includes(names))",
            arg="|".join(names),
        )

    def lift(self, name: str) -> None:
        """Space on the handle of a card."""
        self.go(name)
        self.to(f"Move {name}.", back=True)
        self.press("Space")
        self.expect_said(f"{name} lifted")

    def carry(self, key: str, words: str, *, limit: int = 40) -> None:
        """An arrow until the place is announced."""
        for _ in range(limit):
            before = self.said()
            self.press(key)
            self.page.wait_for_function(
                "before => { const now = document.getElementById('announce').textContent; return now && now !== before; }",
                arg=before,
            )
            if words in self.said():
                return
        raise AssertionError(f"{key} does not lead to “{words}”; the last said is “{self.said()}”.")

    def drop(self, name: str) -> None:
        with self.page.expect_response(lambda answer: "/move/" in answer.url and answer.ok):
            self.press("Space")
        self.expect_at(f"Move {name}.")

    # --- the fields of the open card ---

    def pair(self, legend: str, name: str, value: str) -> None:
        """One more line of names and values: its button, then typing."""
        box = self.page.locator(f".step.is-open fieldset.field:has(> legend:text-is('{legend}'))")
        add = box.locator("[data-row-add]").inner_text().strip()
        known = box.locator("[data-row]").count()
        self.to(add)
        self.press("Enter")
        expect(box.locator("[data-row]")).to_have_count(known + 1)
        self.type(name)
        self.press("Tab")
        self.look()
        self.over(value)
