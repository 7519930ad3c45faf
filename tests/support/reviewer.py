"""A reviewer in a real browser: the desk by keyboard only, and a phone by touch only. Says what was decided, to be held
against the database."""

from __future__ import annotations

import email
import email.policy
import re
import time
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.support import morning

PATIENCE_MS = 30_000


@dataclass
class Decided:
    """What a person did at one gate, as they would tell it."""

    gate: str
    decision: str
    comment: str = ""
    edit: tuple[str, str] | None = None
    back_to: str = ""
    fields: dict[str, Any] = field(default_factory=dict)


def sign_in(page: Page, name: str, to: str = "/reviews/") -> None:
    """With email and password, as after a mail's link."""
    page.goto(to)
    fill_in(page, name)


def fill_in(page: Page, name: str) -> None:
    expect(page.locator("#id_username")).to_be_visible(timeout=PATIENCE_MS)
    page.locator("#id_username").fill(morning.address(name))
    page.locator("#id_password").fill(morning.PASSWORD)
    page.keyboard.press("Enter")
    expect(page.locator("#id_username")).to_have_count(0, timeout=PATIENCE_MS)


class Keyboard:
    """The desk without a mouse. Every act ends when the gate has left the pane, without a page load."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.decided: list[Decided] = []
        self.seconds: list[float] = []
        self.loads = 0
        page.on("load", self._loaded)

    def _loaded(self, _: Page) -> None:
        self.loads += 1

    @property
    def gate(self) -> Locator:
        return self.page.locator(".inbox__pane .gate")

    def here(self) -> str:
        expect(self.gate).to_be_visible(timeout=PATIENCE_MS)
        return (self.gate.get_attribute("id") or "").removeprefix("gate-")

    def heading(self) -> str:
        return self.gate.locator("h2").inner_text()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def _done(self, made: Decided, since: float) -> Decided:
        expect(self.page.locator(f"#gate-{made.gate}")).to_have_count(0, timeout=PATIENCE_MS)
        self.seconds.append(time.monotonic() - since)
        self.decided.append(made)
        return made

    def approve(self, comment: str = "") -> Decided:
        made, since = Decided(self.here(), "approve", comment), time.monotonic()
        if comment:
            self.press("c")
            expect(self.gate.locator("[data-gate-comment]")).to_be_focused()
            self.page.keyboard.type(comment)
            # From inside of the field.
            self.press("Control+Enter")
        else:
            self.press("a")
        return self._done(made, since)

    def edit(self, before: str, after: str) -> Decided:
        """E, the word found and written over, D to see what it changes, A."""
        made, since = Decided(self.here(), "approve", edit=(before, after)), time.monotonic()
        self.press("e")
        text = self.gate.locator("[data-gate-text]")
        expect(text).to_be_focused()
        # Where somebody would go with the arrows.
        text.evaluate(
            "(area, words) => area.setSelectionRange(area.value.indexOf(words), area.value.indexOf(words) + words.length)",
            before,
        )
        self.page.keyboard.insert_text(after)
        self.press("Escape", "d")
        expect(self.gate.locator("[data-gate-diff] del")).to_contain_text(before.split()[-1])
        expect(self.gate.locator("[data-gate-diff] ins")).to_contain_text(after.split()[-1])
        expect(self.gate.locator("[data-gate-approve]")).to_contain_text("with edits")
        self.press("a")
        return self._done(made, since)

    def reject(self, reason: str) -> Decided:
        made, since = Decided(self.here(), "reject", reason), time.monotonic()
        self.press("r")
        expect(self.gate.locator("[data-gate-reason]")).to_be_focused()
        self.page.keyboard.type(reason)
        self.press("Control+Enter")
        return self._done(made, since)

    def send_back(self, reason: str, to: str) -> Decided:
        made, since = Decided(self.here(), "changes", reason, back_to=to), time.monotonic()
        self.press("r")
        expect(self.gate.locator("[data-gate-reason]")).to_be_focused()
        self.page.keyboard.type(reason)
        self.press("Tab", "ArrowDown")
        expect(self.gate.locator("[data-gate-back]")).to_be_checked()
        self.press("Control+Enter")
        return self._done(made, since)

    def fill(self, **fields: str) -> Decided:
        """A gate that asks for more: its fields by Tab from the comment backwards, then approve."""
        made, since = Decided(self.here(), "approve", fields=dict(fields)), time.monotonic()
        self.press("c", *["Shift+Tab"] * len(fields))
        for value in fields.values():
            self.page.keyboard.type(value)
            self.press("Tab")
        self.press("Control+Enter")
        return self._done(made, since)

    def table(self, plan: list[tuple[str, str]]) -> list[Decided]:
        """The gates of this run in a table: the first rows by their own (decision, comment), the rest chosen and approved."""
        self.press("t")
        rows = self.page.locator(".manyform [data-item]")
        expect(rows.first).to_be_visible(timeout=PATIENCE_MS)
        gates = [
            str(row.get_attribute("value")) for row in self.page.locator('[name="pick"]').element_handles()
        ]
        since = time.monotonic()
        self.press("*")
        made = []
        for gate, (decision, comment) in zip(gates, plan, strict=False):
            self.press("j")
            # From the row's link to its decision and its comment.
            self.press("Tab")
            self.page.keyboard.type({"reject": "Rej", "approve": "App"}[decision])
            self.press("Tab")
            self.page.keyboard.type(comment)
            made.append(Decided(gate, decision, comment))
            self.press("Shift+Tab", "Shift+Tab")
        made += [Decided(gate, "approve") for gate in gates[len(plan) :]]
        self.press("a")
        expect(self.page.locator("#many-done")).to_have_text(
            f"{len(gates)} of {len(gates)} decided", timeout=PATIENCE_MS
        )
        self.seconds.append(time.monotonic() - since)
        self.decided += made
        return made


class Phone:
    """A phone: only taps and its keyboard."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.decided: list[Decided] = []

    @property
    def gate(self) -> Locator:
        return self.page.locator(".inbox__pane .gate")

    def here(self) -> str:
        expect(self.gate).to_be_visible(timeout=PATIENCE_MS)
        return (self.gate.get_attribute("id") or "").removeprefix("gate-")

    def bar_is_above_the_tabs(self) -> None:
        """Decide without scrolling: both buttons are in view, over the bar of places."""
        bar = self.page.locator(".gate footer").bounding_box()
        tabs = self.page.locator(".tabbar").bounding_box()
        assert bar is not None
        assert tabs is not None
        approve = self.gate.locator("[data-gate-approve]").bounding_box()
        assert approve is not None
        assert approve["y"] + approve["height"] <= tabs["y"] + 1, (approve, tabs)
        assert approve["height"] >= 44, approve

    def approve(self, comment: str = "") -> Decided:
        made = Decided(self.here(), "approve", comment)
        if comment:
            field = self.gate.locator("[data-gate-comment]")
            field.tap()
            field.type(comment)
        self.gate.locator("[data-gate-approve]").tap()
        return self._done(made)

    def reject(self, reason: str) -> Decided:
        made = Decided(self.here(), "reject", reason)
        self.gate.locator("[data-gate-reject]").tap()
        why = self.gate.locator("[data-gate-reason]")
        expect(why).to_be_visible()
        why.type(reason)
        self.gate.locator('.gate__sheet [name="decision"][value="reject"]').tap()
        return self._done(made)

    def _done(self, made: Decided) -> Decided:
        expect(self.page.locator(f"#gate-{made.gate}")).to_have_count(0, timeout=PATIENCE_MS)
        self.decided.append(made)
        return made


def compare(made: list[Decided], stored: dict[str, dict[str, Any]], by: str) -> None:
    """What a person did is what the database says: who, what, the edited text, the comment, and where it went."""
    assert len({one.gate for one in made}) == len(made), "a gate was decided twice"
    for one in made:
        row = stored[one.gate]
        assert (row["decision"], row["comment"], row["by"]) == (
            one.decision,
            one.comment,
            morning.address(by),
        )
        assert row["back_to"] == one.back_to
        for name, value in one.fields.items():
            assert str(row["fields"][name]).removesuffix(".0") == value
        if one.edit is None:
            assert row["edited"] is None
        else:
            assert row["edited"]["content"] == row["content"]["content"].replace(*one.edit, 1)
            assert row["edited"]["content"] != row["content"]["content"], "the original is kept"
        if one.decision == "approve" and row["step"] in ("post", "send"):
            passed = (row["edited"] or row["content"])["content"]
            words = "Published" if row["step"] == "post" else "Sent"
            assert row["after"] == f"{words}: {passed} | said: {one.comment}"


def mails(folder: Path, to: str) -> list[EmailMessage]:
    """Mails to an address, oldest first, from the folder in which a Stepwell without a mail server keeps them."""
    found = []
    for path in sorted(folder.glob("*.log"), key=lambda path: path.stat().st_mtime):
        for part in re.split(rb"\n-{79}\n", path.read_bytes()):
            if not part.strip():
                continue
            message = email.message_from_bytes(part, policy=email.policy.default)
            assert isinstance(message, EmailMessage)
            if message["To"] == to:
                found.append(message)
    return found


def part_of(message: EmailMessage, kind: str) -> str:
    body = message.get_body((kind,))
    assert body is not None
    return str(body.get_content())


def link_in(message: EmailMessage) -> str:
    """The address of the mail's main link, as the plain text has it."""
    found = re.search(r"^(http\S+/reviews/\S+)$", part_of(message, "plain"), re.MULTILINE)
    assert found is not None, part_of(message, "plain")
    return found[1]
