"""The browser tests' own tools: a browser that comes without root, and an axe that finds what is wrong."""

import os
import shutil

import pytest
from playwright.sync_api import Playwright

from tests.support.axe import axe_violations
from tests.support.chromium import PACKED, NoBrowser, find_chromium, unpacked

PAGE = """<!doctype html><html lang="en"><title>Page</title><main><h1>Runs</h1>
<img src="data:,"><button style="font: 40px monospace">Run</button></main></html>"""


def test_the_browser_of_npm_draws_a_page_and_axe_finds_its_fault(
    playwright: Playwright, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("STEPWELL_CHROMIUM", "npm")
    chromium = find_chromium()
    assert chromium.executable.parent == unpacked()
    browser = playwright.chromium.launch(
        executable_path=chromium.executable,
        args=list(chromium.args),
        env={**os.environ, **chromium.environment},
    )
    try:
        page = browser.new_page()
        page.set_content(PAGE)
        # Text has a width only where a font was found.
        box = page.get_by_role("button", name="Run").bounding_box()
        assert box is not None
        assert box["width"] > 60
        assert [line.split(" ")[0] for line in axe_violations(page)] == ["image-alt"]
        assert axe_violations(page, within="button") == []
    finally:
        browser.close()


def test_a_machine_without_any_browser_fails_with_what_to_do(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr("tests.support.chromium.PACKED", PACKED / "nowhere")
    with pytest.raises(NoBrowser, match="make setup-test"):
        find_chromium()
