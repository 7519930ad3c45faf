"""Asks axe whether a page meets WCAG 2.2 AA."""

from functools import cache
from pathlib import Path

from playwright.sync_api import Page

AXE = Path(__file__).resolve().parents[2] / "node_modules" / "axe-core" / "axe.min.js"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@cache
def _source() -> str:
    return AXE.read_text(encoding="utf-8")


def axe_violations(page: Page, *, within: str | None = None) -> list[str]:
    """One line per element that breaks a rule: the rule, what it says, and where; empty when all is well.

    `within` limits the check to a CSS selector. The script comes through the debugger, so the page's policy stays.
    """
    if not page.evaluate("() => Boolean(window.axe)"):
        page.evaluate(_source())
    found = page.evaluate(
        """async ([within, tags]) => {
            const result = await axe.run(within || document, {
                runOnly: {type: "tag", values: tags}, resultTypes: ["violations"],
            });
            return result.violations.flatMap(rule => rule.nodes.map(
                node => `${rule.id} (${rule.impact}): ${rule.help}: ${node.target.join(" ")}: ${node.failureSummary}`
            ));
        }""",
        [within, TAGS],
    )
    return [str(line) for line in found]
