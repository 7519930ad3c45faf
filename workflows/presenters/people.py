"""How a person is shown where there is no template: initials and hue of the avatar."""

from __future__ import annotations

import zlib


def initials(name: str) -> str:
    """NO for Nadia Osei, NA for nadia@example.org, ? for nobody."""
    words = [
        word for word in name.split("@")[0].replace(".", " ").replace("_", " ").split() if word[0].isalnum()
    ]
    if not words:
        return "?"
    if len(words) == 1:
        return words[0][:2].upper()
    return (words[0][0] + words[-1][0]).upper()


def hue_of(key: object) -> int:
    """A stable hue (1 to 4) per person; crc32 because hash() differs from process to process."""
    return zlib.crc32(str(key).encode()) % 4 + 1
