"""A person with a mouse on the canvas: drags from ports, to the ground, into frames; settings are typed in the panel.

Places are said from a step that is seen, in pixels at 100%; what does not fit is brought into view with Fit and the wheel, as
a person does. Fields are typed as in the step list (`lead_by_mouse`), since the panel holds the same ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress

from playwright.sync_api import Locator, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from tests.acceptance.lead_by_mouse import Mouse

Spot = tuple[float, float]


class CanvasMouse(Mouse):
    """See the module. `page` is the canvas, once a workflow is open."""

    def card(self, name: str) -> Locator:
        return self.page.locator(f'[data-node][data-label="{name}"]')

    @property
    def open_card(self) -> Locator:
        return self.page.locator("#panel-in[data-open]")

    def key(self, name: str) -> str:
        return self.card(name).get_attribute("data-node") or ""

    def path(self, source: str, target: str) -> Locator:
        return self.page.locator(f'.wire[data-source="{self.key(source)}"][data-target="{self.key(target)}"]')

    def place(self, name: str) -> Spot:
        """Where the step stands, as the draft has it."""
        box = self.card(name)
        return float(box.get_attribute("data-x") or 0), float(box.get_attribute("data-y") or 0)

    # --- seeing ---

    @property
    def zoom(self) -> float:
        return float(self.page.evaluate("stepwell.canvas.view.z"))

    def quiet(self) -> None:
        """Toasts lie over the lower edge, where steps are: they are closed."""
        toasts = self.page.locator(".toast")
        while toasts.count():
            # One that goes by itself meanwhile is no trouble.
            with suppress(PlaywrightTimeout):
                toasts.first.get_by_role("button", name="Close").click(timeout=1_000)

    def in_reach(self, spots: list[Spot]) -> bool:
        """Whether all of these lie on the open ground: not under a toolbar, the panel or beyond an edge."""
        return bool(
            self.page.evaluate(
                """spots => spots.every(([x, y]) => {
                    const under = document.elementFromPoint(x, y);
                    return under?.closest('#canvas') && !under.closest('.float, .wiretools');
                })""",
                spots,
            )
        )

    def reach(self, spots_of: Callable[[], list[Spot]]) -> list[Spot]:
        """The spots once all are in reach: as it is, else after Fit, else further away. `spots_of` reckons them anew."""
        self.quiet()
        spots = spots_of()
        if self.in_reach(spots):
            return spots
        self.page.get_by_role("toolbar", name="View").get_by_role("button", name="Fit").first.click()
        for _ in range(12):
            spots = spots_of()
            if self.in_reach(spots):
                return spots
            # Ctrl and the wheel: away from it, at the middle of the ground.
            before = self.zoom
            self.page.mouse.move(620, 420)
            self.page.keyboard.down("Control")
            self.page.mouse.wheel(0, 60)
            self.page.keyboard.up("Control")
            self.page.wait_for_function("z => stepwell.canvas.view.z !== z || z <= 0.3", arg=before)
        raise AssertionError(f"Out of reach: {spots}")

    def middle(self, of: Locator) -> Spot:
        box = of.bounding_box()
        assert box is not None
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def beside(self, name: str, across: float, down: float) -> Spot:
        """A spot of the screen that lies so far from the step's middle, in pixels at 100%."""
        x, y = self.middle(self.grip(name))
        return x + across * self.zoom, y + down * self.zoom

    def grip(self, name: str) -> Locator:
        return self.card(name).locator(".nodebox__in")

    def port(self, name: str, answer: str = "") -> Locator:
        ports = self.card(name).locator(":scope > .port--out")
        return ports.and_(self.page.locator(f'[data-port-label="{answer}"]')) if answer else ports.first

    def entry(self, name: str) -> Locator:
        return self.card(name).locator(":scope > .port--in")

    def pull(self, start: Spot, end: Spot) -> None:
        mouse = self.page.mouse
        mouse.move(*start)
        mouse.down()
        mouse.move(start[0] + 6, start[1] + 6)
        mouse.move((start[0] + end[0]) / 2, (start[1] + end[1]) / 2, steps=4)
        mouse.move(*end, steps=4)

    # --- drawing ---

    def first(self, kind: str, name: str) -> None:
        self.page.get_by_role("button", name="Add the first step").click()
        self.pick(kind, name)

    def pick(self, kind: str, name: str) -> None:
        picker = self.page.get_by_role("dialog", name="Add a step")
        expect(picker).to_be_visible()
        known = self.keys()
        self.saved(lambda: picker.get_by_role("button", name=kind).first.click())
        self.name_new(name, known)

    def keys(self) -> list[str]:
        found: list[str] = self.page.evaluate("stepwell.canvas.nodes().map(node => node.key)")
        return found

    def name_new(self, name: str, known: list[str]) -> None:
        """The step that was not there before is open in the panel: it gets its name."""
        new = "known => [...document.querySelectorAll('[data-node]')].find(one => !known.includes(one.dataset.node))?.dataset.node"
        key = self.page.wait_for_function(new, arg=known).json_value()
        expect(self.open_card).to_have_attribute("data-open", key)
        self.name_it(name)

    def name_it(self, name: str) -> None:
        label = self.open_card.locator("[data-field=label]")
        expect(label).to_be_visible()
        self.type_into(label, name)
        expect(self.card(name)).to_be_visible()

    def drop_kind(self, kind: str, name: str, *, near: str, across: float, down: float) -> None:
        """A kind of step dragged from the palette onto the ground, or into the frame there."""
        known = self.keys()
        button = self.page.locator("[data-palette]", has_text=kind)
        (spot,) = self.reach(lambda: [self.beside(near, across, down)])
        self.pull(self.middle(button), spot)
        self.saved(self.page.mouse.up)
        self.name_new(name, known)

    def wire(self, source: str, target: str, answer: str = "") -> None:
        """From port to port."""
        start, end = self.reach(
            lambda: [self.middle(self.port(source, answer)), self.middle(self.entry(target))]
        )
        self.pull(start, end)
        expect(self.entry(target)).to_contain_class("is-target")
        self.saved(self.page.mouse.up)
        expect(self.path(source, target)).to_have_count(1)

    def wire_to_ground(
        self, source: str, kind: str, name: str, *, across: float, down: float, answer: str = ""
    ) -> None:
        """From a port to empty ground: the picker opens there, and what is chosen stands there, connected."""
        start, end = self.reach(
            lambda: [self.middle(self.port(source, answer)), self.beside(source, across, down)]
        )
        self.pull(start, end)
        self.page.mouse.up()
        self.pick(kind, name)
        expect(self.path(source, name)).to_have_count(1)

    def choose_path(self, source: str, target: str) -> Locator:
        """Press a path where it can be pressed; its buttons show at its middle."""
        hit = self.path(source, target).locator(".hit")
        self.reach(lambda: [self.middle(self.port(source)), self.middle(self.entry(target))])
        spots = self.page.evaluate(
            """of => { const line = document.querySelector(of), all = line.getTotalLength(), m = line.getScreenCTM();
                return [0.5, 0.4, 0.6, 0.3, 0.7].map(part => {
                    const at = line.getPointAtLength(all * part).matrixTransform(m); return [at.x, at.y]; }); }""",
            f"#{self.path(source, target).get_attribute('id')} .line",
        )
        expect(hit).to_have_count(1)
        for x, y in spots:
            free = "([x, y]) => document.elementFromPoint(x, y)?.matches('.hit')"
            if self.page.evaluate(free, [x, y]):
                self.page.mouse.click(x, y)
                break
        tools = self.page.locator("#wiretools")
        expect(tools).to_be_visible()
        expect(self.path(source, target)).to_contain_class("is-selected")
        return tools

    def insert(self, kind: str, name: str, *, source: str, target: str) -> None:
        """On a connection, by its +."""
        self.choose_path(source, target).get_by_role("button", name="Add a step between").click()
        self.pick(kind, name)
        expect(self.path(source, name)).to_have_count(1)
        expect(self.path(name, target)).to_have_count(1)

    def remove_path(self, source: str, target: str) -> None:
        tools = self.choose_path(source, target)
        self.saved(lambda: tools.get_by_role("button", name="Remove the path between").click())
        expect(self.path(source, target)).to_have_count(0)

    def lead_elsewhere(self, source: str, target: str, new: str) -> None:
        """The end of a path taken up and put on another step."""
        self.choose_path(source, target)
        self.pull(self.middle(self.page.locator("[data-wire-end=target]")), self.middle(self.entry(new)))
        expect(self.entry(new)).to_contain_class("is-target")
        self.saved(self.page.mouse.up)
        expect(self.path(source, new)).to_have_count(1)
        expect(self.path(source, target)).to_have_count(0)

    def carry(self, name: str, *, near: str, across: float, down: float) -> None:
        """A step taken and put down, maybe in a frame or out of one."""
        start, end = self.reach(lambda: [self.middle(self.grip(name)), self.beside(near, across, down)])
        self.pull(start, end)
        self.saved(self.page.mouse.up)

    def around(self, names: list[str]) -> None:
        """Choose several steps by drawing a box around them."""
        corners = """names => { const all = names.map(name =>
            document.querySelector(`[data-node][data-label="${name}"]`).getBoundingClientRect());
            return [[Math.min(...all.map(one => one.left)) - 12, Math.min(...all.map(one => one.top)) - 12],
                [Math.max(...all.map(one => one.right)) + 12, Math.max(...all.map(one => one.bottom)) + 12]]; }"""
        start, end = self.reach(lambda: self.page.evaluate(corners, names))
        self.pull(start, end)
        self.page.mouse.up()
        expect(self.page.locator("[data-chosen-count]")).to_have_text(f"{len(names)} steps")

    def test(
        self, name: str, input_data: str = "", *, is_gate: bool = False, shows: str = "done|retry"
    ) -> None:
        """The Test tab of a step: the data, Test, and a result that says how it went. Gates are decided in runs."""
        assert not is_gate
        self.open(name)
        self.page.get_by_role("tab", name="Test", exact=True).click()
        tab = self.page.locator(f'#steptest[data-steptest="{self.key(name)}"]')
        expect(tab).to_be_visible()
        if input_data:
            area = tab.locator("#steptest-input")
            if not area.is_visible():
                tab.locator("#steptest-source").select_option(label="Type it in…")
            area.click()
            area.select_text()
            self.page.keyboard.insert_text(input_data)
        self.saved(lambda: tab.get_by_role("button", name="Test", exact=True).click())
        over = self.page.locator("#steptest-result[data-steptest-over]")
        expect(over).to_be_visible(timeout=60_000)
        expect(over.locator(".st").first).to_have_attribute("data-s", re.compile(f"^({shows})$"))

    def open(self, name: str) -> Locator:
        (spot,) = self.reach(lambda: [self.middle(self.grip(name))])
        self.page.mouse.click(*spot)
        expect(self.open_card).to_have_attribute("data-open", self.key(name))
        return self.open_card

    def close(self) -> None:
        self.page.get_by_role("button", name="Close panel").click()
        expect(self.open_card).to_have_count(0)
