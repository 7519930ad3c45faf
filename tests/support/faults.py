"""What may happen to a site of real processes, one method each; `long` makes outages as long as they are in the worst case."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from uuid import UUID

from django.db import connection

from tests.support.jobs import eventually
from tests.support.postgres import restart_server
from tests.support.site import LEASE_SECONDS, Site, kill

START_SECONDS = 180.0
_HOLD_SQLITE = (
    "import sqlite3, sys, time\n"
    "held = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)\n"
    "held.execute('BEGIN IMMEDIATE')\n"
    "print('held', flush=True)\n"
    "time.sleep(float(sys.argv[2]))\n"
)


class Faults:
    """Two workers and two keepers of a site, and what befalls them. `chance` says which of them and when."""

    def __init__(self, site: Site, chance: random.Random, *, long: bool = False) -> None:
        self.site, self.chance, self.long = site, chance, long
        self.workers = [site.worker(), site.worker()]
        self.keepers = [site.keeper(), site.keeper()]

    def all(self) -> dict[str, Callable[[list[UUID]], None]]:
        """Every fault by name; each is given the runs that are under way and returns when it is over."""
        found: dict[str, Callable[[list[UUID]], None]] = {
            "a worker killed": self.kill_worker,
            "all workers and keepers killed": self.kill_everybody,
            "a keeper killed": self.kill_keeper,
            "Redis emptied": self.flush,
            "Redis away": self.redis_away,
            "the database away": self.database_away,
            "a job delivered five times": self.deliver_again,
            "a worker frozen": self.freeze,
            "a worker told to stop": self.stop_worker,
        }
        # The server of a test run that is spread over processes is not ours alone.
        if "TEST_POSTGRES_OWNER" in os.environ and "PYTEST_XDIST_WORKER" not in os.environ:
            found["PostgreSQL restarted"] = self.restart_postgres
        return found

    def kill_worker(self, runs: list[UUID]) -> None:
        place = self.chance.randrange(2)
        kill(self.workers[place])
        self.workers[place] = self._worker()

    def kill_everybody(self, runs: list[UUID]) -> None:
        for process in (*self.workers, *self.keepers):
            kill(process)
        self.keepers = [self.site.keeper(), self.site.keeper()]
        self.workers = [self._worker(), self._worker()]

    def _worker(self) -> subprocess.Popen[bytes]:
        """A new worker that is at work: a busy machine takes its time to start one, which is no fault of ours."""
        worker = self.site.worker()
        eventually(lambda: f'.{worker.pid}", "threads"' in self.site.said(), START_SECONDS)
        return worker

    def kill_keeper(self, runs: list[UUID]) -> None:
        place = self.chance.randrange(2)
        kill(self.keepers[place])
        self.keepers[place] = self.site.keeper()

    def stop_worker(self, runs: list[UUID]) -> None:
        place = self.chance.randrange(2)
        self.workers[place].send_signal(signal.SIGTERM)
        self.workers[place].wait(timeout=30)
        self.workers[place] = self._worker()

    def flush(self, runs: list[UUID]) -> None:
        self.site.redis.client().flushall()

    def redis_away(self, runs: list[UUID]) -> None:
        self.site.redis.kill()
        time.sleep(60.0 if self.long else self.chance.uniform(2, 4))
        self.site.redis.start()

    def deliver_again(self, runs: list[UUID]) -> None:
        for _ in range(5):
            for run in runs:
                self.site.queue().enqueue_call("runs.jobs.drive", args=(str(run),), timeout=-1, result_ttl=0)

    def freeze(self, runs: list[UUID]) -> None:
        """SIGSTOP for longer than its leases live."""
        worker = self.chance.choice(self.workers)
        worker.send_signal(signal.SIGSTOP)
        time.sleep(LEASE_SECONDS * (5 if self.long else 1.5))
        worker.send_signal(signal.SIGCONT)

    def restart_postgres(self, runs: list[UUID]) -> None:
        """The server dies without a farewell, is away for seconds and recovers what was committed."""
        connection.close()
        assert restart_server()

    def database_away(self, runs: list[UUID]) -> None:
        """SQLite: locked by another process. PostgreSQL: every connection is cut and none is let in, as at a restart."""
        seconds = 30.0 if self.long else self.chance.uniform(4, 5)
        if connection.vendor == "sqlite":
            name = str(connection.settings_dict["NAME"])
            with subprocess.Popen(
                [sys.executable, "-c", _HOLD_SQLITE, name, str(seconds)], stdout=subprocess.PIPE
            ) as holder:
                holder.wait()
            return
        _shut_postgres(seconds)


def _shut_postgres(seconds: float) -> None:
    import psycopg

    own = connection.settings_dict
    name = str(own["NAME"])
    host = own["OPTIONS"].get("host", own["HOST"])
    connection.close()
    with psycopg.connect(
        dbname="postgres", user=own["USER"], host=host, password=own["PASSWORD"], autocommit=True
    ) as server:
        server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        try:
            server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
            )
            time.sleep(seconds)
        finally:
            server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
