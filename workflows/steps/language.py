"""Words and sentences of many languages, offline: which language a text is in, its sentences, stems and stop words."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

AUTO: Final = "auto"
# ISO code → (label, name of the stemmer, name of sumy's stop words, code of yake's stop words)
LANGUAGES: Final[dict[str, tuple[str, str | None, str | None, str]]] = {
    "en": ("English", "english", "english", "en"),
    "de": ("German", "german", "german", "de"),
    "fr": ("French", "french", "french", "fr"),
    "es": ("Spanish", "spanish", "spanish", "es"),
    "it": ("Italian", "italian", "italian", "it"),
    "pt": ("Portuguese", "portuguese", "portuguese", "pt"),
    "nl": ("Dutch", "dutch", None, "nl"),
    "sv": ("Swedish", "swedish", "swedish", "sv"),
    "da": ("Danish", "danish", None, "da"),
    "no": ("Norwegian", "norwegian", None, "no"),
    "fi": ("Finnish", "finnish", None, "fi"),
    "pl": ("Polish", "polish", "polish", "pl"),
    "cs": ("Czech", "czech", "czech", "cz"),
    "ru": ("Russian", "russian", None, "ru"),
    "uk": ("Ukrainian", None, "ukrainian", "uk"),
    "tr": ("Turkish", "turkish", None, "tr"),
    "el": ("Greek", "greek", "greek", "el"),
    "ro": ("Romanian", "romanian", None, "ro"),
    "hu": ("Hungarian", "hungarian", None, "hu"),
    "ar": ("Arabic", "arabic", "arabic", "ar"),
}
CHOICES: Final = ((AUTO, "Find out"), *((code, entry[0]) for code, entry in LANGUAGES.items()))
# Below this the detectors answer nonsense (04 §10).
_ENOUGH_CHARS: Final = 40
_SAMPLE_CHARS: Final = 4_000


def language_of(text: str, setting: str = AUTO) -> str:
    """The text's language: the setting, else found out; English where a text is too short or its language unknown."""
    if setting in LANGUAGES:
        return setting
    if len(text.strip()) < _ENOUGH_CHARS:
        return "en"
    import py3langid

    code, _ = py3langid.classify(text[:_SAMPLE_CHARS])
    code = {"nb": "no", "nn": "no"}.get(code, code)
    return code if code in LANGUAGES else "en"


def words_of(text: str) -> list[str]:
    """The words in order, as they stand; hyphens and apostrophes inside a word belong to it."""
    return re.findall(r"\w+(?:[’'\-]\w+)*", text)


@lru_cache(maxsize=32)
def stemmer(language: str) -> Callable[[str], str]:
    """A function from a word to its stem, in small letters."""
    name = LANGUAGES.get(language, ("", None, None, ""))[1]
    if name is None:
        return str.casefold
    import snowballstemmer

    made = snowballstemmer.stemmer(name)

    def stem(word: str) -> str:
        return str(made.stemWord(word.casefold()))

    return stem


@lru_cache(maxsize=32)
def stop_words(language: str) -> frozenset[str]:
    """Words that say nothing about what a text is about; empty where no list is known."""
    name = LANGUAGES.get(language, ("", None, None, ""))[2]
    if name is None:
        return frozenset()
    from sumy.utils import get_stop_words

    return frozenset(str(word).casefold() for word in get_stop_words(name))


def sentences_of(text: str) -> list[str]:
    """The sentences, each exactly as it stands in the text (line breaks inside a sentence stay).

    Blank lines, headings and list entries end a sentence too; a block of lines without full stops gives its lines.
    """
    found: list[str] = []
    for block in re.split(r"\n[ \t]*\n", text):
        # A list entry begins anew, a heading is a line of its own.
        for part in re.split(r"\n(?=[ \t]*(?:[-*+•>]|\d{1,3}[.)]|#{1,6})\s)", block):
            heading = re.match(r"[ \t]*#{1,6} [^\n]*(?:\n|$)", part)
            if heading:
                found.append(heading.group())
                part = part[heading.end() :]
            found += _sentences_in(part)
    sentences = [sentence.strip() for sentence in found if re.search(r"\w", sentence)]
    lines = [line.strip() for line in text.splitlines() if re.search(r"\w", line)]
    return lines if len(sentences) <= 1 < len(lines) else sentences


def _sentences_in(part: str) -> list[str]:
    """The sentences of one paragraph, cut out of it by their places."""
    from segtok.segmenter import split_single

    if not re.search(r"[.!?…。！？]", part):
        return part.splitlines()
    # The splitter takes a line break for an end; sign for sign a space keeps all places.
    flat = re.sub(r"\s", " ", part)
    found: list[str] = []
    at = 0
    for sentence in split_single(flat):
        start = flat.find(sentence.strip(), at)
        if start >= 0 and sentence.strip():
            at = start + len(sentence.strip())
            found.append(part[start:at])
    return found
