"""Takes the pictures of the documentation: starts a Stepwell of its own, makes runs in it, and looks at its pages.

From the top of the repository, after `make setup-test`:

    .venv/bin/python -m docs.screenshots.take

Every picture is written beside this file as page.size.theme.png; docs/screenshots.md shows them.
"""

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, sync_playwright

from tests.support.chromium import find_chromium
from tests.support.stack import Stack, running_stack

HERE = Path(__file__).resolve().parent
Theme = Literal["light", "dark"]
SIZES = {"desk": (1440, 900), "phone": (390, 844)}
OWNER, REVIEWER = "nadia@demo.example", "tomas@demo.example"
WAIT = 60_000

ARTICLE = (
    "<h1>Wells that are stairs</h1>\n"
    "<p>In the dry west of India people dug for water, and built stairs down to it. A stepwell is a well that one can "
    "walk into: flight after flight leads past pillars and galleries to a level of water that rises and falls with the "
    "seasons. The oldest are plain cuts in the rock. The finest, built between the eleventh and the fifteenth century, "
    "are palaces turned upside down.</p>\n"
    "<p>The stairs had a purpose. In the months before the monsoon the water could sink by twenty metres, and somebody "
    "had to reach it every day. Because the steps went all the way down, the well could be used at any level. The shade "
    "of the galleries kept the air cool, so travellers rested there, traders met, and the water lost little to the "
    "sun.</p>\n"
    "<p>Most stepwells were paid for by merchants, queens and widows, who left their names in the stone. Many fell out "
    "of use when pumps and pipes came, and some were closed for fear of disease. Today engineers study them again. A "
    "stepwell fills from the ground around it, stores the rain of one season for the next, and needs no power. In Delhi "
    "and Jaipur several have been cleaned, and the water in the wells near them has risen.</p>\n"
    "<p>Cleaning one is slow work. Rubble has to be carried up by hand, and the channels that once fed the well are "
    "often built over. Yet a district in Rajasthan counted more than a hundred that hold water again. Its farmers "
    "measure the level each week, and write it on a board at the top of the stairs.</p>"
)
IDEA = "A portal where warehouse customers book their returns and see where each one is"
LEAD = {
    "message": "We ship 900 pallets a month and our contract ends in March. Could you send us a quote this week?",
    "company": "Halden Cold Chain",
    "budget": "80000",
}


class Studio:
    """One browser and the stack it looks at. Sessions are kept for each person, as the link works once."""

    def __init__(self, stack: Stack, browser: Browser) -> None:
        self.stack, self.browser = stack, browser
        self.sessions = {email: self._sign_in(email) for email in (OWNER, REVIEWER)}

    def _sign_in(self, email: str) -> str:
        context = self.browser.new_context(base_url=self.stack.url)
        page = context.new_page()
        page.goto(self.stack.sign_in_link_for(email))
        page.get_by_role("main").get_by_role("button").first.click()
        page.wait_for_url("**/workflows/")
        session = Path(tempfile.mkdtemp(dir=self.stack.data_dir)) / "session.json"
        context.storage_state(path=session)
        context.close()
        return str(session)

    @contextmanager
    def page(self, size: str = "desk", theme: Theme = "light", who: str | None = OWNER) -> Iterator[Page]:
        """A page of this size and theme, signed in as `who`."""
        width, height = SIZES[size]
        context = self.browser.new_context(
            base_url=self.stack.url,
            viewport={"width": width, "height": height},
            color_scheme=theme,
            reduced_motion="reduce",
            has_touch=size == "phone",
            is_mobile=size == "phone",
            storage_state=self.sessions[who] if who else None,
        )
        yield context.new_page()
        context.close()

    def shoot(self, page: Page, name: str, size: str, theme: str) -> None:
        page.wait_for_load_state("networkidle")
        page.evaluate("() => document.fonts.ready")
        page.mouse.move(0, 0)
        path = HERE / f"{name}.{size}.{theme}.png"
        page.screenshot(path=path)
        sys.stdout.write(f"{path.name}: {path.stat().st_size // 1024} KB\n")

    def look(
        self, address: str, name: str, size: str = "desk", theme: Theme = "light", **who: str | None
    ) -> None:
        with self.page(size, theme, **who) as page:
            page.goto(address)
            self.shoot(page, name, size, theme)


def workflow(page: Page, name: str) -> str:
    """The address of the workflow's builder."""
    page.goto("/workflows/")
    return page.get_by_role("link", name=name, exact=True).first.get_attribute("href") or ""


def start(page: Page, name: str, **inputs: str) -> str:
    """Start the workflow from its form; the run's address. Ends on its page."""
    page.goto(f"/runs/start/{workflow(page, name).rstrip('/').rpartition('/')[2]}/")
    for field, text in inputs.items():
        page.locator(f"[name=input_{field}]").fill(text)
    page.get_by_role("button", name="Run it").click()
    page.wait_for_url(re.compile(r"/runs/[0-9a-f-]{36}/"))
    return page.url


def until(page: Page, word: str) -> None:
    page.locator("#run-status", has_text=word).wait_for(timeout=WAIT)


def take(studio: Studio) -> None:
    """All pictures. Each run that is looked at later is made first."""
    with studio.page() as page:
        text = start(page, "Text pipeline", text=ARTICLE)
        until(page, "Succeeded")
        yes = start(page, "Lead triage", **LEAD)
        until(page, "Succeeded")
        no = start(page, "Lead triage", message="Do you also ship bicycles?", budget="0")
        until(page, "Succeeded")
        check = start(page, "Article check", article=ARTICLE)
        page.locator(".gate").wait_for(timeout=WAIT)
        deep = start(page, "Deep Build Pipeline", idea=IDEA)
        for _ in range(2):
            page.locator(".gate").wait_for(timeout=WAIT)
            title = page.locator(".gate h2").inner_text()
            page.get_by_role("button", name="Approve and continue").click()
            page.locator(".gate h2", has_text=title).wait_for(state="detached", timeout=WAIT)
        until(page, "Succeeded")

    sizes: tuple[tuple[str, Theme], ...] = (("desk", "light"), ("phone", "dark"))
    for size, theme in sizes:
        with studio.page(size, theme) as page:
            start(page, "Deep Build Pipeline", idea=IDEA)
            writing = page.locator("[data-row]", has_text="Feature Addition").locator("[data-live-words]")
            writing.filter(has_text=re.compile(r"\w{3}")).wait_for(timeout=WAIT)
            page.screenshot(path=HERE / f"run-live.{size}.{theme}.png")
            page.locator(".gate").wait_for(timeout=WAIT)
            waiting = page.url

    studio.look("/workflows/", "workflows")
    studio.look("/workflows/", "workflows", "phone", "dark")
    for size in ("desk", "phone"):
        with studio.page(size) as page:
            page.goto(workflow(page, "Text pipeline"))
            page.locator('[data-card][data-name="Summarize"] [data-toggle]').click()
            page.get_by_label("Name of the step").first.wait_for()
            studio.shoot(page, "builder", size, "light")
    studio.look("/templates/", "templates")
    studio.look(text, "run-done")
    studio.look(deep, "run-result", theme="dark")
    studio.look(check, "run-branches")
    studio.look(yes, "run-paths", "desk", "light")
    studio.look(no, "run-paths", "phone", "light")
    studio.look(waiting, "run-review", who=REVIEWER)
    studio.look(waiting, "run-review", "phone", "light", who=REVIEWER)
    studio.look("/reviews/", "reviews", who=REVIEWER)
    studio.look("/runs/", "runs", theme="dark")
    studio.look("/sign-in/", "sign-in", who=None)
    studio.look("/team/", "team")


def main() -> None:
    """Start a stack and a browser, take everything, stop both."""
    chromium = find_chromium()
    with (
        tempfile.TemporaryDirectory(prefix="stepwell-pictures-") as folder,
        running_stack(Path(folder)) as stack,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(
            executable_path=str(chromium.executable),
            args=list(chromium.args),
            env={**os.environ, **chromium.environment},
        )
        take(Studio(stack, browser))
        browser.close()


if __name__ == "__main__":
    main()
