"""Copies the few front-end files that are served from node_modules to static/vendor (not in git) and builds the icon sprite.

Run by make (`python3 -m config.vendor`) before there is an environment, so it uses the standard library only.
"""

import re
import shutil
import sys
from pathlib import Path
from xml.etree import ElementTree

BASE_DIR = Path(__file__).resolve().parent.parent

# Served name -> file in node_modules.
FILES = {
    "htmx.min.js": "htmx.org/dist/htmx.min.js",
    "hx-ws.min.js": "htmx.org/dist/ext/hx-ws.min.js",
    "sortable.min.js": "sortablejs/Sortable.min.js",
    "inter.woff2": "@fontsource-variable/inter/files/inter-latin-wght-normal.woff2",
    "jetbrains-mono.woff2": "@fontsource-variable/jetbrains-mono/files/jetbrains-mono-latin-wght-normal.woff2",
}
LICENCES = {
    "htmx": "htmx.org/LICENSE",
    "SortableJS": "sortablejs/LICENSE",
    "Inter": "@fontsource-variable/inter/LICENSE",
    "JetBrains Mono": "@fontsource-variable/jetbrains-mono/LICENSE",
    "Lucide": "lucide-static/LICENSE",
}
ICONS = "lucide-static/icons"

# The manifest storage looks for the file that such a line names, and the maps are not served.
SOURCE_MAP = re.compile(rb"(?m)^\s*(?://[#@]\s*sourceMappingURL=\S*|/\*[#@]\s*sourceMappingURL=.*?\*/)\s*$")
SVG = "{http://www.w3.org/2000/svg}"


class VendorError(Exception):
    """A front-end file that should be there is not; the text says which and what to do."""


def without_source_map(content: bytes) -> bytes:
    """The script or style sheet without its sourceMappingURL line."""
    return SOURCE_MAP.sub(b"", content)


def icon_names(listing: str) -> list[str]:
    """The names in static/icons.txt: one a line, `#` starts a remark; sorted, each once."""
    lines = (line.partition("#")[0].strip() for line in listing.splitlines())
    return sorted({line for line in lines if line})


def sprite(names: list[str], icons: Path) -> str:
    """One SVG of a symbol per icon, to be used as `<use href="icons.svg#name">`; stroke and size are the page's."""
    missing = [name for name in names if not (icons / f"{name}.svg").is_file()]
    if missing:
        raise VendorError(
            f"static/icons.txt names icons that lucide-static does not have: {', '.join(missing)}."
            " Correct the names (they are the file names of Lucide's icons)."
        )
    ElementTree.register_namespace("", SVG.strip("{}"))
    root = ElementTree.Element(f"{SVG}svg")
    for name in names:
        drawing = ElementTree.parse(icons / f"{name}.svg").getroot()  # noqa: S314  (a pinned, hash-checked package)
        symbol = ElementTree.SubElement(
            root, f"{SVG}symbol", {"id": name, "viewBox": drawing.attrib["viewBox"]}
        )
        symbol.extend(drawing)
        for element in symbol.iter():
            element.tail = element.text = None
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def vendor(modules: Path, static: Path) -> list[str]:
    """Write static/vendor anew from node_modules; the served names. Raises VendorError when a file is missing."""
    missing = [name for name in [*FILES.values(), *LICENCES.values()] if not (modules / name).is_file()]
    if missing:
        raise VendorError(f"node_modules lacks {', '.join(missing)}: run `npm ci` (or `make setup`) again.")
    fresh = static / "vendor.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for served, source in FILES.items():
        (fresh / served).write_bytes(without_source_map((modules / source).read_bytes()))
    names = icon_names((static / "icons.txt").read_text(encoding="utf-8"))
    (fresh / "icons.svg").write_text(sprite(names, modules / ICONS), encoding="utf-8")
    (fresh / "LICENSES.txt").write_text(
        "\n\n".join(
            f"=== {project}\n\n{(modules / path).read_text(encoding='utf-8').strip()}"
            for project, path in LICENCES.items()
        )
        + "\n",
        encoding="utf-8",
    )
    # Whole or not at all: a half-copied folder would look finished to make.
    target = static / "vendor"
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)
    return sorted([*FILES, "icons.svg", "LICENSES.txt"])


def main() -> int:
    try:
        vendor(BASE_DIR / "node_modules", BASE_DIR / "static")
    except VendorError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
