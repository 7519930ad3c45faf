"""The live page as fifty people see it: a lead is qualified while models stream slowly, fail and rate-limit, somebody
edits and approves, the web server dies for over a minute, and Redis too. Nothing is missing, nothing is there twice.

Pictures of every stage, on desk and phone, light and dark, are left in $STEPWELL_SHOTS.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.acceptance.conftest import proof
from tests.browser.test_run_page import MARKUP
from tests.support.axe import axe_violations
from tests.support.chromium import find_chromium
from tests.support.fake_openai import FakeOpenAI
from tests.support.jobs import eventually
from tests.support.scene import BRIEF, COMPANY, CONTACTS, RESEARCH, Caller, Scene
from tests.support.stack import Stack, running_stack
from tests.support.viewers import Viewers, stored_outputs

pytestmark = [pytest.mark.crash, proof]

SOCKETS = 46
PATIENT = 120_000
PATIENCE_S = 120.0
EDITED = RESEARCH.replace("Five sources were read.", "Six sources were read; one of them is ours.")
COMMENT = "Name the depot in Dijon."
# What the page says to those who listen, and which rows flashed: kept from the first moment on.
WITNESS = """
window.__said = [];
window.__flashed = [];
document.addEventListener("DOMContentLoaded", () => {
  const region = document.querySelector("[data-announce]");
  if (region) new MutationObserver(() => region.textContent && window.__said.push([Date.now(), region.textContent]))
    .observe(region, { childList: true, characterData: true, subtree: true });
  const flow = document.querySelector("#run-flow");
  if (flow) new MutationObserver((changes) => {
    for (const { addedNodes } of changes) for (const node of addedNodes) {
      const step = node.nodeType === 1 && node.matches("[data-row]") && node.querySelector(".runstep.is-changed");
      if (step) window.__flashed.push([node.id, step.dataset.s]);
    }
  }).observe(flow, { childList: true });
});
"""


@dataclass
class Watcher:
    """One browser window that stays open for the whole run."""

    name: str
    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)

    @property
    def is_phone(self) -> bool:
        return self.name.startswith("phone")

    def complain(self, error: Any) -> None:
        self.complaints.append(str(error))

    def shot(self, folder: Path, stage: str) -> None:
        self.page.screenshot(path=folder / f"{stage}.{self.name}.png")


@dataclass
class Audience:
    """Four windows: desk and phone, light and dark."""

    watchers: list[Watcher]
    folder: Path

    def __getitem__(self, name: str) -> Watcher:
        return next(watcher for watcher in self.watchers if watcher.name == name)

    def stage(self, name: str) -> None:
        """A picture of every window; nothing runs out of it sideways; two of them are asked about by axe."""
        for watcher in self.watchers:
            page = watcher.page
            assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, (
                name,
                watcher.name,
            )
            watcher.shot(self.folder, name)
        for which in ("desk.light", "phone.dark"):
            assert axe_violations(self[which].page) == [], (name, which)

    def see(self, selector: str, text: str | re.Pattern[str]) -> None:
        for watcher in self.watchers:
            expect(watcher.page.locator(selector)).to_contain_text(text, timeout=PATIENT)


@pytest.fixture
def model() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as server:
        yield server


@pytest.fixture
def scene(model: FakeOpenAI) -> Iterator[Scene]:
    made = Scene(model, brief_pause_s=0.18)
    yield made
    made.let_go()


@pytest.fixture
def stack(tmp_path: Path, scene: Scene) -> Iterator[Stack]:
    with running_stack(tmp_path, extra=scene.environment()) as running:
        yield running


@pytest.fixture
def browser() -> Iterator[Browser]:
    chromium = find_chromium()
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(
            executable_path=str(chromium.executable),
            args=list(chromium.args),
            env={**os.environ, **chromium.environment},
        )
        yield made
        made.close()


def signed_in(browser: Browser, stack: Stack) -> Any:
    context = browser.new_context()
    page = context.new_page()
    page.goto(stack.sign_in_link_for("nadia@demo.example"))
    if "/sign-in/" in page.url:
        page.locator("main button").first.click()
        page.wait_for_url(lambda url: "/sign-in/" not in url)
    state = context.storage_state()
    context.close()
    return state


def audience(browser: Browser, stack: Stack, state: Any, run: str, folder: Path) -> Audience:
    watchers: list[Watcher] = []
    themes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for size in ("desk", "phone"):
        for theme in themes:
            phone = size == "phone"
            context = browser.new_context(
                base_url=stack.url,
                storage_state=state,
                viewport={"width": 390, "height": 844} if phone else {"width": 1440, "height": 900},
                color_scheme=theme,
                has_touch=phone,
                is_mobile=phone,
            )
            context.add_init_script(WITNESS)
            watcher = Watcher(f"{size}.{theme}", context, context.new_page())
            watcher.page.on("pageerror", watcher.complain)
            watcher.page.goto(f"/runs/{run}/")
            expect(watcher.page.locator("[data-live-pill]")).to_contain_text("Live", timeout=PATIENT)
            watchers.append(watcher)
    return Audience(watchers, folder)


@contextlib.contextmanager
def supervisor_asleep(stack: Stack) -> Iterator[None]:
    """What dies stays dead until the end of this."""
    os.kill(stack.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(stack.process.pid, signal.SIGCONT)


def markup(page: Page) -> str:
    """The page without what differs between two loads of the same state, and without what axe leaves behind."""
    found: str = page.evaluate(MARKUP)
    return found.replace(' style=""', "")


def clock_words(page: Page) -> str:
    return page.locator(".runbar [data-clock-since]").inner_text()


def colour_of_clock(page: Page) -> str:
    said: str = page.locator(".runbar [data-clock-since]").evaluate("e => getComputedStyle(e).color")
    return said


def test_fifty_people_watch_a_run_through_everything_and_see_what_is_stored(
    stack: Stack, scene: Scene, browser: Browser, tmp_path: Path
) -> None:
    folder = Path(os.environ.get("STEPWELL_SHOTS") or tmp_path / "shots")
    folder.mkdir(parents=True, exist_ok=True)
    caller = Caller(stack)
    state = signed_in(browser, stack)
    cookie = "; ".join(f"{one['name']}={one['value']}" for one in state["cookies"])
    run = caller.lead_run()
    with Viewers(stack.url, cookie, run, SOCKETS) as viewers:
        crowd = audience(browser, stack, state, run, folder)
        desk, phone = crowd["desk.light"].page, crowd["phone.light"].page
        eventually(lambda: viewers.open == SOCKETS, PATIENCE_S)
        _begins(crowd, scene)
        _is_edited(crowd, desk)
        _fans_out(crowd)
        desk.locator('#run-flow h3 [data-step-link="brief"]').click()
        phone.locator('#run-flow h3 [data-step-link="brief"]').click()
        expect(desk.locator("#panel [data-live-full]")).to_contain_text("Halden runs nine", timeout=PATIENT)
        crowd.stage("stream")
        phone.locator("#panel [data-panel-close]").click()
        scene.brief_held.set()
        _loses_the_web(crowd, stack, viewers)
        scene.openers_held.set()
        scene.brief.go_on.set()
        _loses_redis(crowd, stack, viewers)
        _is_approved(crowd, phone)
        _ends(crowd, stack, viewers, scene, run)


def _begins(crowd: Audience, scene: Scene) -> None:
    crowd.see("#row-research", "Research the company")
    crowd.stage("start")
    scene.start_held.set()
    crowd.see("#row-research .runnote", "Anthropic was rate limited three times.")
    crowd.see("#row-research .runnote", "Google is answering.")
    crowd.see("#row-research .step__sum", "gemini-2.5-pro, writing")
    crowd.see("#row-research .live", "Founded in 1998")
    crowd.see("#row-score .runnote", "OpenAI had a fault of its own.")
    crowd.stage("fallback")
    scene.research_held.set()


def _is_edited(crowd: Audience, desk: Page) -> None:
    crowd.see("#run-gate", f"Is {COMPANY} worth")
    crowd.see("#run-status", "Waiting for you")
    crowd.stage("gate")
    for watcher in crowd.watchers:
        watcher.page.get_by_role("radio", name="Edit").check()
    desk.locator("[data-gate-text]").fill(EDITED)
    desk.locator("[data-gate-comment]").fill(COMMENT)
    crowd.stage("edit")
    desk.get_by_role("button", name="Approve with edits").click()
    crowd.see("#row-sales", "Approved with edits by Nadia")


def _fans_out(crowd: Audience) -> None:
    crowd.see("#row-openers .fan__top", "7 of 13")
    crowd.see("#row-openers .fan__top", "Pieter de Wit")
    crowd.see("#row-brief .step__sum", "gpt-4o, writing")
    for watcher in crowd.watchers:
        watcher.page.locator("#row-openers").scroll_into_view_if_needed()
    crowd.stage("fan")


def _loses_the_web(crowd: Audience, stack: Stack, viewers: Viewers) -> None:
    """Killed in the middle of the text, and gone for more than a minute."""
    first = viewers.all[0]
    told = max(len(text) for text in first.texts.values())
    eventually(lambda: max(len(text) for text in first.texts.values()) > told + 200, PATIENCE_S)
    desk = crowd["desk.light"].page
    colour = colour_of_clock(desk)
    shown = desk.locator("#panel [data-live-full]").inner_text()
    with supervisor_asleep(stack):
        os.kill(stack.children()["web"], signal.SIGKILL)
        crowd.see("[data-live-word]", "Reconnecting")
        crowd.see("[data-live-lost]", "The run carries on")
        crowd.stage("lost")
        assert colour_of_clock(desk) != colour, "clocks turn quiet"
        before = clock_words(desk)
        expect(desk.locator(".runbar [data-clock-since]")).not_to_have_text(before, timeout=PATIENT)
        for watcher in crowd.watchers:
            expect(watcher.page.locator("[data-live-reload]")).to_be_visible(timeout=PATIENT)
        assert desk.locator("#panel [data-live-full]").inner_text().startswith(shown), (
            "text that was shown stays"
        )
        assert viewers.open == 0
        crowd.stage("lost-long")
    for watcher in crowd.watchers:
        expect(watcher.page.locator("[data-live-word]")).to_have_text("Live", timeout=PATIENT)
        expect(watcher.page.locator("[data-live-lost]")).to_be_hidden()
    eventually(lambda: viewers.open == SOCKETS, PATIENCE_S)
    crowd.stage("found")


def _loses_redis(crowd: Audience, stack: Stack, viewers: Viewers) -> None:
    """Killed in the middle of the text; the supervisor starts it again."""
    first = viewers.all[0]
    told = max(len(text) for text in first.texts.values())
    eventually(lambda: max(len(text) for text in first.texts.values()) > told + 200, PATIENCE_S)
    assert len(first.text_of(_brief_of(first.step_of, first.texts))) < len(BRIEF) - 400, "the text was over"
    os.kill(stack.children()["redis"], signal.SIGKILL)
    told = max(len(text) for text in first.texts.values())
    eventually(lambda: max(len(text) for text in first.texts.values()) > told + 200, PATIENCE_S)


def _brief_of(steps: dict[str, str], texts: dict[str, str]) -> str:
    return next(steps[attempt] for attempt, text in texts.items() if text.startswith(BRIEF[:30]))


def _is_approved(crowd: Audience, phone: Page) -> None:
    crowd.see("#run-gate", "Does the brief go out?")
    crowd.see("#row-openers .fan__top", "13 of 13")
    crowd.stage("final")
    phone.get_by_role("button", name="Approve and continue").click()
    crowd.see("#run-status", "Succeeded")
    crowd.stage("finish")


def _ends(crowd: Audience, stack: Stack, viewers: Viewers, scene: Scene, run: str) -> None:
    stored = stored_outputs(stack.data_dir, run)
    assert sum(key == "opener" for key, _ in stored.values()) == len(CONTACTS)
    eventually(lambda: all(viewer.over for viewer in viewers.all), PATIENCE_S)
    brief = next(row for row, (key, _) in stored.items() if key == "brief")
    assert stored[brief][1]["content"] == BRIEF
    for viewer in viewers.all:
        assert (viewer.gaps, viewer.differing) == (0, 0), viewer.number
        assert viewer.connected >= 2, "its line was cut"
        for step_run, text in ((step, viewer.texts[a]) for a, step in viewer.step_of.items()):
            key, output = stored[step_run]
            assert text == output["content"], (viewer.number, key)
        assert {stored[step][0] for step in viewer.step_of.values()} == {"research", "score", "brief"}
        assert viewer.text_of(brief) == BRIEF
    # Everybody was sent the same page in the end: what all share is the same to the letter.
    shared = [part for part in viewers.all[0].parts if part.startswith(("row-", "gap-")) or part == "run-bar"]
    for part in shared:
        assert len({viewer.parts[part] for viewer in viewers.all}) == 1, part
    for watcher in crowd.watchers:
        assert watcher.complaints == []
        attempts = watcher.page.evaluate("attempt => stepwell.liveText(attempt)", _attempt(viewers, brief))
        assert attempts == BRIEF, watcher.name
    desk = crowd["desk.light"].page
    expect(desk.locator("#panel #step-text")).to_have_value(BRIEF, timeout=PATIENT)
    _listened(crowd)
    late = sorted(ms for viewer in viewers.all for ms in viewer.late_ms(brief, scene.brief.sent))
    all_told = sum(len(viewer.heard) for viewer in viewers.all)
    sys.stdout.write(
        f"pieces {len(scene.brief.sent)}, viewers {SOCKETS} + 4 browsers, load {os.getloadavg()[0]:.1f}; of "
        f"{len(late):,} pieces sent while they listened: median {statistics.median(late):.0f} ms, 95% within "
        f"{late[int(len(late) * 0.95)]:.0f} ms; {all_told:,} messages in all\n"
    )
    live = markup(desk)
    desk.reload()
    assert markup(desk) == live


def _attempt(viewers: Viewers, step_run: str) -> str:
    return next(attempt for attempt, step in viewers.all[0].step_of.items() if step == step_run)


def _listened(crowd: Audience) -> None:
    """Screen readers hear starts, ends, questions and how far a text is; never its words, never twice in ten seconds."""
    for watcher in crowd.watchers:
        said: list[tuple[int, str]] = watcher.page.evaluate("window.__said")
        words = " | ".join(text for _, text in said)
        assert "Write the account brief started" in words, watcher.name
        assert "Sales review waits for a review" in words
        assert "Write the account brief succeeded" in words
        assert re.search(r"Run \d+ succeeded", words)
        progress = [(at, text) for at, text in said if "words so far" in text]
        assert progress, "no summary while it wrote"
        assert "refrigerated" not in words
        assert "Point 1" not in words
        # One summary in ten seconds: by their number, as a busy machine's timers come when they can.
        assert len(progress) <= (progress[-1][0] - progress[0][0]) / 10_000 + 2
        assert "Write an opener for each contact: 7 of 13" in words
        flashed: list[list[str]] = watcher.page.evaluate("window.__flashed")
        assert len(flashed) == len({tuple(one) for one in flashed}), "a row flashes once for each change"
    with contextlib.suppress(OSError):
        (crowd.folder / "said.txt").write_text("\n".join(f"{at} {text}" for at, text in said))
