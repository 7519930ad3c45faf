"""What changed between two texts, word by word. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Literal

Op = Literal["same", "gone", "new"]
Diff = list[tuple[Op, str]]
# A word takes its space with it, so that the many equal spaces are not matched with each other.
_WORDS = re.compile(r"\w+\s*|[^\w\s]+\s*|\s+")
# A changed passage with more words than this is shown as a whole: matching its words would take seconds.
MOST_WORDS = 4_000


def word_diff(before: str, after: str) -> Diff:
    """(what, text) in reading order; joined without "new" it is `before`, without "gone" it is `after`.

    Lines are compared first, then the words of lines that differ.
    """
    left = before.replace("\r\n", "\n").splitlines(keepends=True)
    right = after.replace("\r\n", "\n").splitlines(keepends=True)
    found: Diff = []
    for op, a, b, c, d in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        old, new = "".join(left[a:b]), "".join(right[c:d])
        if op == "equal":
            _add(found, "same", old)
            continue
        words = _WORDS.findall(old), _WORDS.findall(new)
        if max(map(len, words)) > MOST_WORDS:
            words = ([old] if old else []), ([new] if new else [])
        _compare(found, *words)
    return found


def changes_in(diff: Diff) -> int:
    """How many places were changed; words replaced by others are one place."""
    return sum(
        op != "same" and (index == 0 or diff[index - 1][0] == "same") for index, (op, _) in enumerate(diff)
    )


def _compare(found: Diff, left: Sequence[str], right: Sequence[str]) -> None:
    for op, a, b, c, d in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        if op == "equal":
            _add(found, "same", "".join(left[a:b]))
            continue
        if b > a:
            _add(found, "gone", "".join(left[a:b]))
        if d > c:
            _add(found, "new", "".join(right[c:d]))


def _add(found: Diff, op: Op, text: str) -> None:
    if found and found[-1][0] == op:
        found[-1] = (op, found[-1][1] + text)
    else:
        found.append((op, text))
