"""Reference paths such as `steps.Idea Analysis.items[0].name`: read them, write them, follow them."""

import json
import re
import unicodedata
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING

from workflows.expressions.errors import PathError, UnresolvedReference
from workflows.lib.jsontypes import JSONValue as Json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from workflows.expressions.names import Scope

MAX_PATH_LENGTH = 1_000
MAX_PATH_PARTS = 30
# Not allowed in a label (07 §2), so a dotted path is never ambiguous.
FORBIDDEN_IN_LABELS = '.[]{}|"'

_PLAIN = re.compile(r"[^\W\d]\w*")
_NAME_END = re.compile(r"[.\[]")
_INDEX = re.compile(r"\s*(\d{1,9})\s*\]")
_QUOTED = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|'[^']*')\s*\]""", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Path:
    """One reference. `parts` are names (str) and list positions (int, from 0); `steps` paths start with the label.

    `spans` are the places of root and parts in the text that was read; they do not count for equality.
    """

    root: str
    parts: tuple[str | int, ...] = ()
    spans: tuple[tuple[int, int], ...] = field(default=(), compare=False, repr=False)

    @property
    def label(self) -> str | None:
        """The step's label as written, for paths into `steps`."""
        return (
            self.parts[0] if self.root == "steps" and self.parts and isinstance(self.parts[0], str) else None
        )

    @property
    def name(self) -> str | None:
        """The variable or input field that is used: the first part after the root."""
        return self.parts[0] if self.parts and isinstance(self.parts[0], str) else None

    def __str__(self) -> str:
        return self.root + "".join(_written(part) for part in self.parts)


def _written(part: str | int) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    if part and part == part.strip() and not any(sign in part for sign in FORBIDDEN_IN_LABELS + "\n"):
        return f".{part}"
    return f"[{json.dumps(part, ensure_ascii=False)}]"


def normal(name: str) -> str:
    """The form in which two labels are the same: NFC, then case folded, outer spaces off."""
    if name.isascii():
        return name.strip().casefold()  # always NFC; most names, and this is asked thousands of times
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name.strip()).casefold())


def is_valid_label(label: str) -> bool:
    """Whether a text may be a step's label: printable, not blank, none of `. [ ] { } | "`."""
    return (
        bool(label.strip()) and label.isprintable() and not any(sign in label for sign in FORBIDDEN_IN_LABELS)
    )


@lru_cache(maxsize=4096)
def parse_path(text: str) -> Path:
    """Read a reference path; names may hold spaces and any letters. Raises PathError with the offset.

    `a.b[0].c`, `a["any key"].c` and `steps.Two words.content` are paths.
    """
    if len(text) > MAX_PATH_LENGTH:
        raise PathError(f"A reference is at most {MAX_PATH_LENGTH:,} characters long.")
    start = len(text) - len(text.lstrip())
    if not text.strip():
        raise PathError("There is no name between the braces.", start)
    if not (found := _PLAIN.match(text, start)):
        raise PathError(f"“{text.strip()[:60]}” does not start with a name.", start)
    root, at = found.group(), found.end()
    parts: list[str | int] = []
    part: str | int
    spans = [(start, at)]
    while at < len(text) and text[at:].strip():
        if text[at] == ".":
            part, begin, at = _dotted(text, at + 1)
        elif text[at] == "[":
            part, begin, at = _bracketed(text, at)
        else:
            raise PathError(f"“{text[at:].strip()[:60]}” cannot stand after “{text[:at].strip()}”.", at)
        parts.append(part)
        spans.append(begin)
    if len(parts) > MAX_PATH_PARTS:
        raise PathError(f"A reference has at most {MAX_PATH_PARTS} parts.")
    return Path(root, tuple(parts), tuple(spans))


def _dotted(text: str, at: int) -> tuple[str, tuple[int, int], int]:
    found = _NAME_END.search(text, at)
    end = found.start() if found else len(text)
    raw = text[at:end]
    name = raw.strip()
    if not name:
        raise PathError("A name is missing after the dot.", at)
    if bad := next((sign for sign in name if sign in FORBIDDEN_IN_LABELS), None):
        raise PathError(f"A name may not hold {bad}", at + raw.index(bad))
    begin = at + raw.index(name[0])
    return name, (begin, begin + len(name)), end


def _bracketed(text: str, at: int) -> tuple[str | int, tuple[int, int], int]:
    if found := _INDEX.match(text, at + 1):
        return int(found.group(1)), found.span(1), found.end()
    if not (found := _QUOTED.match(text, at + 1)):
        raise PathError(
            'Square brackets hold a position such as [0] or a name in quotes such as ["name"].', at
        )
    quoted = found.group(1)
    try:
        name = json.loads(quoted) if quoted[0] == '"' else quoted[1:-1]
    except ValueError:
        raise PathError("The name in quotes cannot be read.", found.start(1)) from None
    return str(name), found.span(1), found.end()


def nearest(name: str, candidates: "Iterable[str]") -> str | None:
    """The candidate most like a mistyped name, or None when nothing is near."""
    # A workflow with 200 steps and one bad reference asks the same again at every keystroke, at 4 ms each.
    return _nearest(name, tuple(islice(candidates, 2_000)))


@lru_cache(maxsize=512)
def _nearest(name: str, candidates: tuple[str, ...]) -> str | None:
    known: dict[str, str] = {}
    for candidate in candidates:
        if len(known) >= 500:
            break
        known.setdefault(normal(candidate)[:100], candidate)
    wanted = normal(name)[:100]
    if wanted in known:
        return known[wanted]
    found = get_close_matches(wanted, known, n=1, cutoff=0.6)
    if not found and len(wanted) >= 3:
        found = [
            key for key in known if key.startswith(wanted) or (len(key) >= 3 and wanted.startswith(key))
        ][:1]
    return known[found[0]] if found else None


def kind_of(value: Json) -> str:
    """What a value is, in words for people."""
    if value is None:
        return "empty (null)"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "text"
    if isinstance(value, list | tuple):
        return "a list"
    return "an object" if isinstance(value, dict) else "a value of an unknown kind"


def resolve(path: Path, scope: "Scope") -> Json:
    """The value a path stands for; `steps.Label` alone is that step's content.

    Raises UnresolvedReference with code `unknown_name`, `not_available`, `unknown_step`, `step_not_run`,
    `step_skipped`, `missing_field`, `not_an_object`, `not_a_list` or `out_of_range`.
    """
    value, used = scope.start_of(path)
    for place in range(used, len(path.parts)):
        value = _step_into(value, path, place)
    if path.root == "steps" and len(path.parts) == 1 and isinstance(value, dict) and "content" in value:
        return value["content"]
    return value


def _step_into(value: Json, path: Path, place: int) -> Json:
    part, whole = path.parts[place], str(path)
    before = str(Path(path.root, path.parts[:place]))
    if isinstance(part, int):
        if not isinstance(value, list | tuple):
            message = f"{whole} cannot be found: {before} is {kind_of(value)}, not a list."
            raise UnresolvedReference("not_a_list", message, whole)
        if part >= len(value):
            held = (
                "is empty"
                if not value
                else f"has {len(value)} item{'s' if len(value) != 1 else ''}, counted from 0"
            )
            raise UnresolvedReference("out_of_range", f"{whole} cannot be found: {before} {held}.", whole)
        return value[part]
    if isinstance(value, dict):
        if part in value:
            return value[part]
        suggestion = nearest(part, (key for key in value if isinstance(key, str)))
        suggested = str(Path(path.root, (*path.parts[:place], suggestion))) if suggestion else None
        hint = f" Did you mean “{suggested}”?" if suggested else ""
        raise UnresolvedReference(
            "missing_field", f"{whole} cannot be found: {before} has no “{part}”.{hint}", whole, suggested
        )
    hint = f" Write {before}[0].{part} for the first item." if isinstance(value, list | tuple) else ""
    raise UnresolvedReference(
        "not_an_object",
        f"{whole} cannot be found: {before} is {kind_of(value)}, it has no “{part}”.{hint}",
        whole,
    )
