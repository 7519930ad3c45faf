"""`make run` of a machine that has run before: how long until the web answers, and what it weighs when idle."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from bench.report import row, section
from tests.support.stack import Stack, running_stack

SECOND_START_S: Final = 5.0
# Imports of the first pages are over then, and the workers sleep.
SETTLE_S: Final = 3.0
_BARE: Final = (
    "import django, sys; from django.conf import settings; settings.configure(); django.setup();"
    "import django.db.models; print(open('/proc/self/smaps_rollup').read())"
)


def start(folder: Path, *, workers: int, weigh: bool) -> float:
    """Seconds from the command to the line that says that Stepwell is running."""
    began = time.perf_counter()
    with running_stack(folder, extra={"STEPWELL_WORKERS": str(workers)}) as stack:
        took = time.perf_counter() - began
        if weigh:
            _memory(stack)
    return took


def _memory(stack: Stack) -> None:
    section("Memory of an idle stack, private share of shared pages included (PSS): MB")
    time.sleep(SETTLE_S)
    bare = subprocess.run([sys.executable, "-c", _BARE], capture_output=True, text=True, check=True).stdout
    floor = _pss(bare)
    row("floor: Python with an empty Django", floor, "MB")
    total = _of(stack.process.pid)
    row("launcher", total, "MB", floor=floor)
    for name, pid in sorted(stack.children().items()):
        weight = _of(pid)
        total += weight
        row(name, weight, "MB", floor=None if name == "redis" else floor)
    row("the whole with one worker", total, "MB")


def _of(pid: int) -> float:
    return _pss(Path(f"/proc/{pid}/smaps_rollup").read_text())


def _pss(text: str) -> float:
    line = next(line for line in text.splitlines() if line.startswith("Pss:"))
    return int(line.split()[1]) / 1_000


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="stepwell-bench-") as name:
        folder = Path(name)
        section("Starting with one command, everything installed: seconds")
        row(
            "first start: a new data folder, with migrations and demo",
            start(folder, workers=1, weigh=False),
            "s",
        )
        seconds = min(start(folder, workers=1, weigh=False) for _ in range(2))
        row("second start, until the web answers (best of 2)", seconds, "s", target=SECOND_START_S)
        start(folder, workers=1, weigh=True)


if __name__ == "__main__":
    main()
