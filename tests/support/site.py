"""Real workers and keepers on the database of the tests, with a Redis of their own: what acceptance tests kill.

The test's own process is the web: it starts runs, asks the API and rings at the site's Redis.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from django.conf import settings
from django.db import connection
from rq import Queue
from rq.serializers import JSONSerializer

from config.launcher.processes import die_with
from config.paths import BASE_DIR
from tests.support.fake_openai import FakeOpenAI
from tests.support.jobs import OwnRedis
from tests.support.stack import stack_environment

# The least that the settings allow, so that what a lost lease leads to happens soon.
LEASE_SECONDS = 3


class Site:
    """Processes of one Stepwell, without the web. What they say is in `said()`; `close` ends them all."""

    def __init__(self, folder: Path, model: FakeOpenAI, extra: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.model = model
        self.redis = OwnRedis(folder)
        self.redis.start()
        self.stack = ExitStack()
        self.environment = stack_environment(
            folder,
            0,
            {
                "DATABASE_URL": database_url(),
                "STEPWELL_LEASE_SECONDS": str(LEASE_SECONDS),
                "STEPWELL_ENCRYPTION_KEYS": ",".join(settings.ENCRYPTION_KEYS),
                # A tenant's own account may call the model server of the tests.
                "STEPWELL_OUTBOUND_ALLOW": f"127.0.0.1:{model.port}",
                "OPENAI_BASE_URL": model.url,
                "OPENAI_API_KEY": "fake",
                "PYTHONPATH": str(BASE_DIR),
                **(extra or {}),
            },
        )

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        process = self.stack.enter_context(process_of(self.folder, self.environment, *arguments))
        return process

    def worker(self, threads: int = 4) -> subprocess.Popen[bytes]:
        return self.start("run_worker", "--threads", str(threads), "--grace", "1")

    def keeper(self) -> subprocess.Popen[bytes]:
        return self.start("run_keeper", "--every", "0.3")

    def queue(self) -> Queue:
        return Queue("runs", connection=self.redis.client(), serializer=JSONSerializer)

    def said(self) -> str:
        log = self.folder / "process.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def close(self) -> None:
        self.stack.close()
        self.redis.kill()


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL, and it is gone."""
    process.kill()
    process.wait()


def memory_mb(process: subprocess.Popen[bytes]) -> float:
    """What a process holds in memory just now (RSS), in MB."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1_000_000


def database_url() -> str:
    """The address of the test database, for other processes."""
    own = settings.DATABASES["default"]
    name = connection.settings_dict["NAME"]
    if connection.vendor == "sqlite":
        return f"sqlite:///{name}"
    return f"postgres://{own['USER']}@/{name}?host={own['OPTIONS'].get('host', own['HOST'])}"


@contextmanager
def process_of(
    folder: Path, environment: dict[str, str], *arguments: str
) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "process.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, str(BASE_DIR / "manage.py"), *arguments],
            cwd=BASE_DIR,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=die_with(os.getpid()),
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
