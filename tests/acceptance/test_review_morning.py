"""A reviewer's morning in Chromium against a whole Stepwell: 40 gates of five workflows by keyboard only, ten on a phone
from the mail's link, two reviewers racing, an overdue gate that escalates, somebody out of office. Every decision is held
against the database. STEPWELL_PROOFS=1; a short one runs in CI (tests/browser/test_review_desk.py).

STEPWELL_PICTURES=folder: pictures on the way.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, ViewportSize, expect

from config.paths import BASE_DIR
from tests.support import reviewer
from tests.support.axe import axe_violations
from tests.support.chromium import find_chromium
from tests.support.jobs import eventually
from tests.support.reviewer import Decided, Keyboard, Phone
from tests.support.stack import Stack, running_stack

pytestmark = pytest.mark.proof
PICTURES = os.environ.get("STEPWELL_PICTURES")
RUNS = {"Release notes": 9, "Customer answers": 9, "Contract check": 4, "Topic analysis": 1, "Price list": 5}
GATES = 40
ON_A_PHONE = 10


HELPER = """
import json, sys
import django
django.setup()
from tests.support import morning as m
for line in sys.stdin:
    print(json.dumps(eval(line), default=str), flush=True)
"""


class Site:
    """The running Stepwell, asked and told about its morning, and browsers of its people."""

    def __init__(self, stack: Stack, browser: Browser) -> None:
        self.stack, self.browser = stack, browser
        self.contexts: list[BrowserContext] = []
        # One process that stays: Django takes seconds to load.
        self.helper = subprocess.Popen(
            [sys.executable, "-c", HELPER],
            cwd=BASE_DIR,
            env=stack.environment | {"DJANGO_SETTINGS_MODULE": "config.settings"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, expression: str) -> Any:
        """The value of an expression over `tests.support.morning` (`m`), worked out beside the stack."""
        assert self.helper.stdin is not None
        assert self.helper.stdout is not None
        self.helper.stdin.write(f"{expression}\n")
        self.helper.stdin.flush()
        return json.loads(self.helper.stdout.readline())

    def until(self, expression: str, wanted: Callable[[Any], bool], seconds: float = 120.0) -> Any:
        found: list[Any] = []

        def holds() -> bool:
            found.append(self.ask(expression))
            return wanted(found[-1])

        eventually(holds, seconds)
        return found[-1]

    def page(self, name: str = "", *, phone: bool = False, to: str = "/reviews/") -> Page:
        """A page of a new browser, signed in where somebody is named. Scripts that throw fail the test."""
        size = ViewportSize(width=390, height=844) if phone else ViewportSize(width=1440, height=900)
        context = self.browser.new_context(
            base_url=self.stack.url, viewport=size, has_touch=phone, is_mobile=phone
        )
        self.contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: pytest.fail(f"script error: {error}"))
        if name:
            reviewer.sign_in(page, name, to)
        return page

    def picture(self, page: Page, name: str) -> None:
        if PICTURES:
            page.screenshot(path=Path(PICTURES) / f"{name}.png")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, playwright: Playwright) -> Iterator[Site]:
    chromium = find_chromium()
    with running_stack(tmp_path_factory.mktemp("morning")) as stack:
        browser = playwright.chromium.launch(
            executable_path=str(chromium.executable),
            args=list(chromium.args),
            env={**os.environ, **chromium.environment},
        )
        made = Site(stack, browser)
        made.ask("m.move_in()")
        yield made
        made.helper.kill()
        made.helper.wait()
        browser.close()


def workflow_in(page: Page) -> str:
    return page.locator(".desk-head a").first.inner_text().split(", run")[0]


def decide_one(desk: Keyboard, turn: int, name: str) -> tuple[str, list[Decided]]:
    """What this reviewer does at the gate that is open: "vote" where others have to agree, else "decided"."""
    match name, turn:
        case "Release notes", 0 | 3:
            return "decided", [desk.edit("Printed at home", "Printed at the depot")]
        case "Release notes", 1:
            return "decided", [desk.send_back("Say who prints them.", "draft")]
        case "Release notes" | "Customer answers", 2:
            return "decided", [desk.approve("Send it before noon, and say so to Ana.")]
        case "Customer answers", 0 | 4:
            return "decided", [desk.reject("Too little for a whole pallet.")]
        case "Topic analysis", _:
            return "decided", desk.table([("reject", "Not ours"), ("approve", "First of all")])
        case "Price list", _:
            return "decided", [desk.fill(from_day="2026-12-01", margin="12.5")]
        case "Contract check", _:
            return "vote", [desk.approve()]
        case _:
            return "decided", [desk.approve()]


def test_forty_gates_of_five_workflows_are_cleared_by_keyboard(site: Site) -> None:
    nils = site.page("nils", to="/reviews/away/")
    away(nils)
    for name, count in RUNS.items():
        site.ask(f"m.begin({name!r}, {count})")
    site.until("m.waiting()", lambda number: number == GATES)
    late = site.ask("m.due('Customer answers', -10, 2)")
    page = site.page("rosa")
    desk = Keyboard(page)
    heads = page.locator(".inbox__list .inbox__item")
    expect(heads).to_have_count(GATES)
    assert [str(heads.nth(at).get_attribute("data-desk-item")) for at in range(2)] == sorted(
        late, key=lambda pk: late.index(pk)
    ), "what is overdue longest stands first"
    expect(page.locator("nav [data-review-count]").first).to_contain_text(str(GATES))
    assert axe_violations(page) == []
    site.picture(page, "morning-desk")
    first = desk.here()
    desk.press("j")
    expect(page.locator(f"#gate-{first}")).to_have_count(0)
    second = desk.here()
    desk.press("k")
    expect(page.locator(f"#gate-{first}")).to_be_visible()
    # The second is left for later: it comes up by itself in the end.
    votes: list[Decided] = []
    turns: Counter[str] = Counter()
    loads, began = desk.loads, time.monotonic()
    tables = 0
    while len(desk.decided) < GATES + 1:
        gate = desk.here()
        if gate == second and len(desk.decided) == 1:
            desk.press("j")
            expect(page.locator(f"#gate-{gate}")).to_have_count(0)
            continue
        name = workflow_in(page)
        what, made = decide_one(desk, turns[name], name)
        turns[name] += 1
        if what == "vote":
            votes += made
        if name == "Topic analysis":
            site.picture(page, "morning-table")
            tables += 1
            # Back to the desk by keyboard: G, then V.
            desk.press("g", "v")
            expect(page.locator(".inbox__list")).to_be_visible()
        elif desk.gate.count():
            expect(page.locator("[data-desk-pane]")).to_be_focused()
    took = time.monotonic() - began
    expect(page.get_by_role("heading", name="Nothing waits for you")).to_be_visible()
    site.picture(page, "morning-empty")
    expect(page.locator(".inbox__list [data-desk-others]")).to_have_text(str(len(votes)))
    # The table is a page of its own, with its answer and the way back; nothing else loaded a page.
    assert desk.loads - loads == 3 * tables
    expect(page.locator("nav [data-review-count]").first).to_be_hidden()
    clear_the_quorum(site, votes)
    stored = site.until("m.decisions()", lambda rows: len(rows) == GATES + 1)
    site.until("m.runs()", lambda states: set(states) == {"completed"})
    stored = site.ask("m.decisions()")
    mine = [one for one in desk.decided if one not in votes]
    reviewer.compare(mine, stored, "rosa")
    assert {row["back_to"] for row in stored.values()} == {"", "draft"}
    back = next(one for one in desk.decided if one.back_to)
    again = [row for pk, row in stored.items() if row["run"] == stored[back.gate]["run"] and pk != back.gate]
    assert [back.comment in row["content"]["content"] for row in again] == [True], (
        "the reason reached the step"
    )
    assert Counter(row["step"] for row in stored.values() if row["decision"] == "reject") == {
        "sorry": 2,
        "skip": 1,
    }
    slowest = sorted(desk.seconds)[-3:]
    sys.stdout.write(
        f"\n{len(desk.decided)} decisions by keyboard in {took:.0f} s; one takes {statistics.median(desk.seconds):.2f} s"
        f" (median, with its typing), the slowest {', '.join(f'{one:.1f}' for one in slowest)} s\n"
    )


def away(page: Page) -> None:
    """Somebody says that they are away from today on, and who decides meanwhile."""
    today = time.strftime("%Y-%m-%d")
    page.locator("#id_first_day").fill(today)
    page.locator("#id_last_day").fill(today)
    page.locator("#id_substitute").select_option(label="Rosa Ruiz")
    page.get_by_role("button", name="Keep these days").click()
    expect(page.get_by_text("Rosa Ruiz decides your reviews from")).to_be_visible()


def clear_the_quorum(site: Site, votes: list[Decided]) -> None:
    """The second signature, by keyboard too; who started the runs is refused."""
    bo = site.page("bo", to=f"/reviews/{votes[0].gate}/")
    expect(bo.locator(".gate .note--human")).to_contain_text("You started this run")
    theo = Keyboard(site.page("theo", to="/reviews/?show=mine"))
    for _ in votes:
        theo.approve()
    stored = site.ask("m.decisions()")
    assert sorted(one.gate for one in theo.decided) == sorted(one.gate for one in votes)
    for one in votes:
        row = stored[one.gate]
        assert (row["votes"], row["by"]) == (
            ["rosa@halden.example", "theo@halden.example"],
            "theo@halden.example",
        )


def test_ten_gates_are_decided_on_a_phone_from_the_mails_link(site: Site) -> None:
    site.ask(f"[m.begin('Release notes', {ON_A_PHONE - 4}), m.begin('Customer answers', 4)]")
    site.until("m.waiting()", lambda number: number == ON_A_PHONE)
    before = site.ask("len(m.decisions())")
    folder = site.stack.data_dir / "mail"
    eventually(lambda: open_mail(site, folder) is not None, 60)
    mail = open_mail(site, folder)
    assert mail is not None
    link = reviewer.link_in(mail)
    assert link in reviewer.part_of(mail, "html")
    page = site.page(phone=True)
    page.goto(link)
    # The sign-in keeps where the link led, and leads nowhere else.
    reviewer.fill_in(page, "rosa")
    assert page.url == link
    phone = Phone(page)
    assert f"/reviews/{phone.here()}/" in link
    assert site.ask("len(m.decisions())") == before, "looking decides nothing"
    phone.bar_is_above_the_tabs()
    assert axe_violations(page) == []
    site.picture(page, "morning-phone")
    phone.approve("From the train")
    # The next one stands there at its own address; back in the list it is a full page as well.
    phone.approve()
    expect(page).to_have_url(re.compile(phone.here()))
    page.locator('.tabbar a[href="/reviews/"]').tap()
    items = page.locator(".inbox__item:visible")
    expect(items).to_have_count(ON_A_PHONE - 2)
    site.picture(page, "morning-phone-list")
    items.nth(1).tap()
    phone.bar_is_above_the_tabs()
    phone.reject("Not like this.")
    while len(phone.decided) < ON_A_PHONE:
        phone.approve()
    expect(page.get_by_role("heading", name="Nothing waits for you")).to_be_visible()
    reviewer.compare(phone.decided, site.ask("m.decisions()"), "rosa")


def open_mail(site: Site, folder: Path) -> Any:
    """The newest mail to Rosa about one gate that still waits."""
    waiting = set(site.ask("m.ids_waiting()"))
    for message in reversed(reviewer.mails(folder, "rosa@halden.example")):
        if any(pk in reviewer.part_of(message, "plain") for pk in waiting):
            return message
    return None


def test_of_two_reviewers_who_race_the_first_wins_and_the_other_keeps_their_words(site: Site) -> None:
    races = 6
    site.ask(f"m.begin('Release notes', {races})")
    site.until("m.waiting()", lambda number: number == races)
    both = {name: Keyboard(site.page(name)) for name in ("rosa", "theo")}
    won: Counter[str] = Counter()
    for turn in range(races):
        gate = both["rosa"].here()
        assert both["theo"].here() == gate
        for name, desk in both.items():
            desk.press("c")
            desk.page.keyboard.type(f"{name} has read it")
            desk.press("Escape")
        order = list(both) if turn % 2 else list(reversed(both))
        for name in order:
            both[name].press("a")
        site.until(f"{gate!r} in m.decisions()", bool)
        row = site.ask("m.decisions()")[gate]
        winner = row["by"].partition("@")[0]
        won[winner] += 1
        loser = "theo" if winner == "rosa" else "rosa"
        assert row["comment"] == f"{winner} has read it"
        theirs = both[loser].page.locator(".inbox__pane")
        expect(theirs).to_contain_text(f"Approved by {PEOPLE[winner]}")
        assert theirs.locator("textarea[readonly]").input_value() == f"{loser} has read it"
        if turn == 0:
            site.picture(both[loser].page, "morning-late")
        # It is still there after the list has looked for news.
        expect(both[loser].page.locator(f'[data-desk-item="{gate}"].inbox__item')).to_have_count(
            0, timeout=15_000
        )
        assert theirs.locator("textarea[readonly]").input_value() == f"{loser} has read it"
        if turn < races - 1:
            both[loser].press("j")
            expect(both[loser].gate.locator("form")).to_be_visible()
    sys.stdout.write(f"\nraces won: {dict(won)}\n")


PEOPLE = {"rosa": "Rosa Ruiz", "theo": "Theo Tal"}


def test_an_overdue_gate_reminds_and_escalates_once_with_mail_and_bell(site: Site) -> None:
    site.ask("m.begin('Customer answers', 1)")
    site.until("m.waiting()", lambda number: number == 1)
    folder = site.stack.data_dir / "mail"
    ada = site.page("ada")
    expect(ada.get_by_role("heading", name="Waiting for others")).to_be_visible()
    (gate,) = site.ask("m.due('Customer answers', -40)")
    told = site.until(f"m.told({gate!r})", lambda rows: ["review_escalated", "ada@halden.example"] in rows)
    reviewers = [f"{name}@halden.example" for name in ("nils", "rosa", "theo")]
    assert told == [
        *(["review_asked", address] for address in reviewers),
        ["review_escalated", "ada@halden.example"],
        *(["review_reminder", address] for address in reviewers),
    ]
    # Her bell rings, and the mail is there once.
    expect(ada.locator("[data-bell-count]").first).to_be_visible(timeout=30_000)

    def mails() -> list[EmailMessage]:
        return [
            mail
            for mail in reviewer.mails(folder, "ada@halden.example")
            if gate in reviewer.part_of(mail, "plain")
        ]

    eventually(lambda: len(mails()) == 1, 60)
    assert "Nobody has decided it in time" in reviewer.part_of(mails()[0], "plain")
    ada.goto(reviewer.link_in(mails()[0]))
    expect(ada.locator(".gate")).to_contain_text("Overdue by")
    site.picture(ada, "morning-escalated")
    time.sleep(3)
    assert site.ask(f"m.told({gate!r})") == told, "the keeper has looked again, and nobody was told twice"
    assert len(mails()) == 1
    desk = Keyboard(ada)
    desk.approve("Done for the team")
    reviewer.compare(desk.decided, site.ask("m.decisions()"), "ada")
    assert site.ask(f"m.unread({gate!r})") == 0, "what is decided is no news any more"
