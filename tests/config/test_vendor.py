"""The step that copies front-end files and builds the icon sprite."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from config import vendor

DRAWING = """<!-- @license lucide-static -->
<svg class="lucide" xmlns="http://www.w3.org/2000/svg" width="24" height="24" viewBox="0 0 24 24" stroke-width="2">
  <path d="M5 5" /><circle cx="1" cy="2" r="3" />
</svg>
"""


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    folder = tmp_path / "node_modules"
    for name in [*vendor.FILES.values(), *vendor.LICENCES.values()]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("let a = 1;\n//# sourceMappingURL=it.js.map\n")
    (folder / vendor.ICONS).mkdir(parents=True)
    for icon in ("play", "x"):
        (folder / vendor.ICONS / f"{icon}.svg").write_text(DRAWING)
    return folder


@pytest.fixture
def static(tmp_path: Path) -> Path:
    folder = tmp_path / "static"
    folder.mkdir()
    (folder / "icons.txt").write_text("# symbols in use\nx\nplay  # start a run\n\nplay\n")
    return folder


@pytest.mark.parametrize(
    ("content", "left"),
    [
        (b"a();\n//# sourceMappingURL=a.js.map", b"a();\n"),
        (b"a();\n//@ sourceMappingURL=a.js.map\nb();\n", b"a();\n\nb();\n"),
        (b"p{}\n/*# sourceMappingURL=a.css.map */", b"p{}\n"),
        (b'const s = "//# sourceMappingURL=kept";\n', b'const s = "//# sourceMappingURL=kept";\n'),
    ],
)
def test_source_map_lines_are_taken_out(content: bytes, left: bytes):
    assert vendor.without_source_map(content) == left


def test_every_named_file_is_served_without_its_source_map(modules: Path, static: Path):
    served = vendor.vendor(modules, static)
    assert sorted(path.name for path in (static / "vendor").iterdir()) == served
    assert set(vendor.FILES) < set(served)
    assert "sourceMappingURL" not in "".join((static / "vendor" / name).read_text() for name in vendor.FILES)


def test_the_sprite_holds_one_symbol_for_each_icon_in_use(modules: Path, static: Path):
    vendor.vendor(modules, static)
    root = ElementTree.parse(static / "vendor" / "icons.svg").getroot()
    assert [symbol.attrib for symbol in root] == [
        {"id": "play", "viewBox": "0 0 24 24"},
        {"id": "x", "viewBox": "0 0 24 24"},
    ]
    assert [part.tag.rpartition("}")[2] for part in root[0]] == ["path", "circle"]


def test_an_unknown_icon_is_named(modules: Path, static: Path):
    (static / "icons.txt").write_text("play\nno-such-icon\n")
    with pytest.raises(vendor.VendorError, match="no-such-icon"):
        vendor.vendor(modules, static)
    assert not (static / "vendor").exists()


def test_a_missing_package_says_what_to_run(modules: Path, static: Path):
    (modules / "htmx.org/dist/htmx.min.js").unlink()
    with pytest.raises(vendor.VendorError, match=r"lacks htmx\.org/dist/htmx\.min\.js: run `npm ci`"):
        vendor.vendor(modules, static)


def test_building_again_replaces_what_was_there(modules: Path, static: Path):
    vendor.vendor(modules, static)
    (static / "vendor" / "old.js").write_text("gone tomorrow")
    vendor.vendor(modules, static)
    assert not (static / "vendor" / "old.js").exists()
    assert not (static / "vendor.new").exists()


def test_the_icons_of_this_checkout_all_exist():
    names = vendor.icon_names((vendor.BASE_DIR / "static" / "icons.txt").read_text())
    assert vendor.sprite(names, vendor.BASE_DIR / "node_modules" / vendor.ICONS).count("<symbol ") == len(
        names
    )
