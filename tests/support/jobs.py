"""Jobs for the worker's tests, and the real processes that they kill: a Redis, workers and keepers of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from redis import Redis

from config.launcher import embedded_redis
from config.launcher.processes import die_with
from config.paths import BASE_DIR
from tests.support.stack import stack_environment

T = TypeVar("T")
PATIENCE_SECONDS = 30.0


# --- jobs: they run in a worker process and leave a trace in a folder ----------------------------


def touch(folder: str, name: str) -> None:
    """Leave a file that names the thread."""
    Path(folder, name).write_text(threading.current_thread().name)


def meet(folder: str, name: str, count: int) -> None:
    """Return when `count` jobs are here at one time."""
    touch(folder, f"here-{name}")
    eventually(lambda: len(list(Path(folder).glob("here-*"))) >= count)
    touch(folder, f"met-{name}")


def wait_for(folder: str, name: str) -> None:
    """Say that it started, wait for a file `go`, say that it ended."""
    touch(folder, f"{name}-started")
    eventually(lambda: Path(folder, "go").exists())
    touch(folder, f"{name}-ended")


def hang(folder: str) -> None:
    touch(folder, "hanging")
    threading.Event().wait()


def fail() -> None:
    raise RuntimeError("meant to fail")


# --- processes -----------------------------------------------------------------------------------


def eventually(ask: Callable[[], T], patience_s: float = PATIENCE_SECONDS) -> T:
    """The first true answer; AssertionError when there is none in time."""
    deadline = time.monotonic() + patience_s
    while not (answer := ask()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return answer


class OwnRedis:
    """A Redis on a data folder that may be killed and started again; its data survives as in production."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.socket = embedded_redis.prepare_socket(data_dir)
        (data_dir / "redis").mkdir(exist_ok=True)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.data_dir / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                embedded_redis.command(
                    embedded_redis.packaged_server(), socket=self.socket, folder=self.data_dir / "redis"
                ),
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with(os.getpid()),
            )
        eventually(lambda: embedded_redis.answers(self.socket))

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def freeze(self) -> None:
        """It stays, but answers nobody; `kill` ends it all the same."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def client(self) -> Redis:
        return Redis.from_url(f"unix://{self.socket}?db=0")


@contextmanager
def command(data_dir: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A management command as a process; killed in the end if it still runs. Its words are in `process.log`."""
    with (data_dir / "process.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, str(BASE_DIR / "manage.py"), *arguments],
            cwd=BASE_DIR,
            env=stack_environment(data_dir, 0, {"PYTHONPATH": str(BASE_DIR)}),
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


def said(data_dir: Path) -> str:
    """What the folder's commands have said so far."""
    return (data_dir / "process.log").read_text(errors="replace")


def stop(process: subprocess.Popen[bytes]) -> int:
    """SIGTERM, and the exit status."""
    process.send_signal(signal.SIGTERM)
    return process.wait(timeout=PATIENCE_SECONDS)
