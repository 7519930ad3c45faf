"""Finds a real Chromium: Debian's where there is one, else the one that comes by npm, unpacked without root."""

import io
import os
import shutil
import tarfile
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import brotli

BASE_DIR = Path(__file__).resolve().parents[2]
PACKED = BASE_DIR / "node_modules" / "@sparticuz" / "chromium"
INSTALLED = ("chromium", "chromium-browser")


class NoBrowser(Exception):
    """There is no browser on this machine and none in node_modules; the browser tests fail with this."""


# The package's own names folders of another kind of machine. Without any font, text has no width.
FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>{folder}/fonts</dir>
  <dir>/usr/share/fonts</dir>
  <cachedir>{folder}/fonts-cache</cachedir>
</fontconfig>
"""


@dataclass(frozen=True)
class Chromium:
    """How to start it: the executable, its arguments, and what its environment needs beside ours."""

    executable: Path
    args: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)


# A container's /dev/shm is 64 MB, which a page with a long list fills.
COMMON_ARGS = ("--disable-dev-shm-usage", "--font-render-hinting=none")


def find_chromium() -> Chromium:
    """The browser of this machine. STEPWELL_CHROMIUM=npm asks for the one of npm although there is another."""
    # The sandbox cannot be set up by root or inside most containers, and the pages are our own.
    args = (*COMMON_ARGS, "--no-sandbox")
    if os.environ.get("STEPWELL_CHROMIUM") != "npm":
        for name in INSTALLED:
            if found := shutil.which(name):
                return Chromium(Path(found), args)
    folder = unpacked()
    libraries = ":".join(filter(None, [str(folder / "lib"), os.environ.get("LD_LIBRARY_PATH", "")]))
    return Chromium(
        folder / "chromium",
        (*args, "--no-zygote", "--in-process-gpu", "--use-gl=angle", "--use-angle=swiftshader"),
        {"LD_LIBRARY_PATH": libraries, "FONTCONFIG_FILE": str(folder / "fonts.conf")},
    )


def unpacked() -> Path:
    """The folder with the unpacked browser of npm, its libraries and a font; unpacked on first use."""
    if not (PACKED / "bin" / "chromium.br").is_file():
        raise NoBrowser(
            "There is no Chromium: install Debian's (apt-get install chromium), or run `make setup-test`, which fetches one."
        )
    stamp = int((PACKED / "bin" / "chromium.br").stat().st_size)
    target = BASE_DIR / ".tools" / f"chromium-{stamp}"
    if target.is_dir():
        return target
    target.parent.mkdir(exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix="chromium-", dir=target.parent))
    executable = fresh / "chromium"
    executable.write_bytes(_unpack("chromium.br"))
    executable.chmod(0o755)
    for archive in ("al2023.tar.br", "fonts.tar.br", "swiftshader.tar.br"):
        with tarfile.open(fileobj=io.BytesIO(_unpack(archive))) as packed:
            # Python 3.11 knows the filter from 3.11.4 on; the archives are the pinned package's own.
            if hasattr(tarfile, "data_filter"):
                packed.extractall(fresh, filter="data")
            else:
                packed.extractall(fresh)
    (fresh / "fonts.conf").write_text(FONTS.format(folder=target), encoding="utf-8")
    fresh.chmod(0o755)
    try:
        fresh.rename(target)
    except OSError:
        # Another process was quicker.
        shutil.rmtree(fresh)
    return target


def _unpack(name: str) -> bytes:
    content: bytes = brotli.decompress((PACKED / "bin" / name).read_bytes())
    return content
