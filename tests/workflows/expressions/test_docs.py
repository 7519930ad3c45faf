"""The page for people lists what there is, so nothing is offered that is not told."""

from pathlib import Path

from workflows.expressions.functions import LIST_WORDS, documented
from workflows.expressions.names import NAMES

PAGE = (Path(__file__).parents[3] / "docs" / "expressions.md").read_text(encoding="utf-8")


def test_every_function_and_name_stands_on_the_page() -> None:
    told = [(entry.signature, entry.example) for entry in documented()]
    told += [(word.signature, word.example) for word in LIST_WORDS]
    for signature, example in told:
        assert f"`{signature}`" in PAGE
        assert example.replace("|", "\\|") in PAGE
    for name in NAMES:
        assert f"`{name}" in PAGE
