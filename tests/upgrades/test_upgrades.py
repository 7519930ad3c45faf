"""D15: a filled database of each earlier release upgrades: rows kept, pages open, a waiting run goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from config.paths import BASE_DIR
from tests.support.postgres import postgres_server
from tests.support.stack import stack_environment

HERE = Path(__file__).parent
# Each takes ten seconds of a processor, so CI climbs from the newest on SQLite and from the oldest on PostgreSQL.
CLIMBS = [("9018e89", "postgresql"), ("f586e36", "sqlite")]
if os.environ.get("STEPWELL_PROOFS"):
    CLIMBS = [(release, vendor) for release in ("9018e89", "f586e36") for vendor in ("sqlite", "postgresql")]


def climbed(release: Path, folder: Path, database: str) -> dict[str, Any]:
    environment = stack_environment(folder, 0, {"TEST_DATABASE_URL": database, "PYTHONPATH": str(BASE_DIR)})
    done = subprocess.run(
        [sys.executable, "-m", "tests.upgrades.climb", str(release)],
        cwd=BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-6_000:]
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return seen


def check(seen: dict[str, Any]) -> None:
    assert seen["lost"] == []
    assert set(seen["pages"].values()) == {200}, seen["pages"]
    assert len(seen["pages"]) == 12
    assert seen["approved"] == ["completed", {"content": "after wells"}]
    assert seen["failed"] == [True, True, "failed", "missing_field"]
    assert seen["new"] == ["completed", 5]


@pytest.mark.parametrize(("release", "vendor"), CLIMBS)
def test_a_filled_database_of_an_earlier_release_upgrades(release: str, vendor: str, tmp_path: Path) -> None:
    file = HERE / f"release-{release}.json.gz"
    if vendor == "sqlite":
        seen = climbed(file, tmp_path, f"sqlite:///{tmp_path / 'old.sqlite3'}")
    else:
        with postgres_server() as url:
            seen = climbed(file, tmp_path, url)
    assert seen["vendor"] == vendor
    check(seen)


def test_every_release_has_its_climb() -> None:
    assert {file.name for file in HERE.glob("*.gz")} == {
        f"release-{release}.json.gz" for release, _ in CLIMBS
    }
