"""Two texts side by side: which lines stayed, went and came, with the words that differ marked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum
from typing import Final

# Lines around a change that are shown; longer stretches are folded.
CONTEXT: Final = 3
# Past this many lines or words the comparison is not worth its time: everything counts as replaced.
_MOST: Final = 4_000
# Lines that share less than this are two lines, not one that was changed.
_ALIKE: Final = 0.35
# A reference is one word: half of one says nothing.
_WORDS: Final = re.compile(r"\{\{.*?\}\}|\w+|\s+|[^\w\s]")


class Sign(StrEnum):
    SAME = " "
    GONE = "-"
    NEW = "+"


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a line; `marked`: it is what differs; `reference`: it is `{{ … }}`, its text without the braces."""

    text: str
    marked: bool = False
    reference: bool = False

    @property
    def shown(self) -> str:
        """The text as it is shown: a reference without the spaces in its braces."""
        return self.text.strip() if self.reference else self.text


@dataclass(frozen=True, slots=True)
class DiffLine:
    """One line; `folded` is the number of unchanged lines that it stands for (0: it is a line itself)."""

    sign: Sign
    spans: tuple[Span, ...]
    folded: int = 0

    @property
    def text(self) -> str:
        return "".join(f"{{{{{span.text}}}}}" if span.reference else span.text for span in self.spans)


def diff_lines(before: str, after: str, *, context: int | None = CONTEXT) -> tuple[DiffLine, ...]:
    """The lines of both, in order; `context` None shows every unchanged line."""
    lines = tuple(_lines(_split(before), _split(after)))
    return lines if context is None else tuple(_folded(lines, context))


def _split(text: str) -> list[str]:
    return text.split("\n") if text else []


def _lines(old: Sequence[str], new: Sequence[str]) -> Iterator[DiffLine]:
    if max(len(old), len(new)) > _MOST:
        yield from (DiffLine(Sign.GONE, _spans([(line, True)])) for line in old)
        yield from (DiffLine(Sign.NEW, _spans([(line, True)])) for line in new)
        return
    for kind, i, j, k, m in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            yield from (DiffLine(Sign.SAME, _spans([(line, False)])) for line in old[i:j])
        else:
            yield from _replaced(old[i:j], new[k:m])


def _replaced(old: Sequence[str], new: Sequence[str]) -> Iterator[DiffLine]:
    """Lines that gave way to others: each beside the one that it became, where they are alike."""
    at = 0
    for line in new:
        partner = next((n for n in range(at, min(len(old), at + 20)) if _alike(old[n], line)), None)
        if partner is None:
            yield DiffLine(Sign.NEW, _spans([(line, True)]))
            continue
        yield from (DiffLine(Sign.GONE, _spans([(gone, True)])) for gone in old[at:partner])
        was, became = _words(old[partner], line)
        yield DiffLine(Sign.GONE, was)
        yield DiffLine(Sign.NEW, became)
        at = partner + 1
    yield from (DiffLine(Sign.GONE, _spans([(gone, True)])) for gone in old[at:])


def _alike(one: str, other: str) -> bool:
    a, b = _WORDS.findall(one), _WORDS.findall(other)
    if max(len(a), len(b)) > _MOST:
        return False
    matcher = SequenceMatcher(None, a, b, autojunk=False)
    return matcher.real_quick_ratio() >= _ALIKE and matcher.ratio() >= _ALIKE


def _words(old: str, new: str) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    a, b = _WORDS.findall(old), _WORDS.findall(new)
    was: list[tuple[str, bool]] = []
    became: list[tuple[str, bool]] = []
    for kind, i, j, k, m in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        was += [(word, kind != "equal") for word in a[i:j]]
        became += [(word, kind != "equal") for word in b[k:m]]
    return _spans(_joined(was)), _spans(_joined(became))


def _joined(words: list[tuple[str, bool]]) -> list[tuple[str, bool]]:
    """A lone space between two marked words is marked with them: one mark reads better than two."""
    return [
        (
            word,
            marked
            or (
                word.isspace() and 0 < index < len(words) - 1 and words[index - 1][1] and words[index + 1][1]
            ),
        )
        for index, (word, marked) in enumerate(words)
    ]


def _spans(words: Sequence[tuple[str, bool]]) -> tuple[Span, ...]:
    found: list[Span] = []
    for text, marked in words:
        for part in _references(text):
            is_reference = part.startswith("{{") and part.endswith("}}") and len(part) > 3
            shown = part[2:-2] if is_reference else part
            last = found[-1] if found else None
            if last is not None and not is_reference and not last.reference and last.marked == marked:
                found[-1] = Span(last.text + shown, marked)
            else:
                found.append(Span(shown, marked, is_reference))
    return tuple(found)


def _references(text: str) -> list[str]:
    return [part for part in re.split(r"(\{\{.*?\}\})", text) if part] or [""]


def _folded(lines: Sequence[DiffLine], context: int) -> Iterator[DiffLine]:
    near = {
        place
        for index, line in enumerate(lines)
        if line.sign is not Sign.SAME
        for place in range(index - context, index + context + 1)
    }
    index = 0
    while index < len(lines):
        if index in near:
            yield lines[index]
            index += 1
            continue
        end = index
        while end < len(lines) and end not in near:
            end += 1
        if end - index == 1:
            yield lines[index]
        else:
            yield DiffLine(Sign.SAME, (), end - index)
        index = end
