"""What the documentation names is there: links, files, and the tests that prove the promises."""

import re
from pathlib import Path

import pytest

from config.paths import BASE_DIR

PAGES = sorted([*(BASE_DIR / "docs").rglob("*.md"), BASE_DIR / "README.md"])
IN_CODE_MARKS = re.compile(r"`([^`\n]+)`")


def _tests() -> frozenset[str]:
    found: set[str] = set()
    for path in (BASE_DIR / "tests").rglob("test_*.py"):
        found.update(re.findall(r"^\s*(?:async )?def (test_\w+)", path.read_text(encoding="utf-8"), re.M))
    return frozenset(found)


@pytest.mark.parametrize("document", PAGES, ids=lambda path: str(path.relative_to(BASE_DIR)))
def test_every_link_within_the_repository_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_every_test_that_a_promise_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", (BASE_DIR / "docs/promises.md").read_text(encoding="utf-8")))
    assert len(named) > 40
    assert named - _tests() == set()


@pytest.mark.parametrize("name", ["architecture", "engine", "glossary"])
def test_every_file_that_is_named_exists(name: str) -> None:
    text = (BASE_DIR / f"docs/{name}.md").read_text(encoding="utf-8")
    tops = ("workflows/", "runs/", "templates_app/", "config/", "tests/", "templates/", "bench/")
    named = {mark for mark in IN_CODE_MARKS.findall(text) if mark.startswith(tops) and " " not in mark}
    assert len(named) > 5 or name == "engine"
    assert [mark for mark in sorted(named) if not any(BASE_DIR.glob(mark.rstrip("/")))] == []


def test_every_setting_is_in_the_operators_table() -> None:
    read = (BASE_DIR / "config/settings.py").read_text(encoding="utf-8")
    named = set(re.findall(r"\benv(?:\.\w+)?\(\s*\"([A-Z_]+)\"", read))
    told = (BASE_DIR / "docs/operations.md").read_text(encoding="utf-8")
    assert len(named) > 20
    assert [name for name in sorted(named) if f"`{name}`" not in told] == []
