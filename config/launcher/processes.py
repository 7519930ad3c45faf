"""One child process: how it is started, how it dies with its parent, and when it is started again."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

LINUX = sys.platform.startswith("linux")
PR_SET_PDEATHSIG = 1
# A child that lived this long is well; its next end starts the back-off from the beginning.
STEADY_SECONDS = 60.0
LONGEST_PAUSE_SECONDS = 30.0
LOG_BYTES = 10_000_000

# Loaded before any fork: between fork and exec a child must not load libraries.
_libc = ctypes.CDLL(None, use_errno=True) if LINUX else None


def pause_before_restart(ends_in_a_row: int) -> float:
    """Seconds to wait before starting again: at once, then 1, 2, 4 … at most 30."""
    return 0.0 if ends_in_a_row <= 1 else min(2.0 ** (ends_in_a_row - 2), LONGEST_PAUSE_SECONDS)


def die_with(parent: int) -> Callable[[], None]:
    """A preexec function: the kernel ends this child when the supervisor is gone, even by SIGKILL (Linux)."""

    def prepare() -> None:
        if _libc is not None:
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            # The parent may have died before the call above.
            if os.getppid() != parent:
                os._exit(1)

    return prepare


@dataclass(frozen=True)
class Service:
    """What to run. `order` says who stops first (low numbers first); `grace_s` how long it may take to stop."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    order: int
    grace_s: float = 10.0


class Child:
    """A service's process and its history of starts and ends."""

    def __init__(
        self, service: Service, *, logs: Path | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.service = service
        self.log_path = logs / f"{service.name}.log" if logs else None
        self.process: subprocess.Popen[bytes] | None = None
        self.ends_in_a_row = 0
        self.start_again_at: float | None = None
        self._clock = clock
        self._started_at = 0.0

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process else None

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start the process in a session of its own, so that Ctrl-C reaches only the supervisor, which then decides."""
        output = self._open_log()
        try:
            self.process = subprocess.Popen(
                list(self.service.command),
                env=dict(self.service.environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output else None,
                start_new_session=True,
                preexec_fn=die_with(os.getpid()),
            )
        finally:
            if output:
                output.close()
        self._started_at = self._clock()
        self.start_again_at = None

    def notice_end(self) -> int | None:
        """The exit status if the process has ended since the last look; plans the next start. None otherwise."""
        if self.process is None or self.start_again_at is not None:
            return None
        status = self.process.poll()
        if status is None:
            return None
        lived = self._clock() - self._started_at
        self.ends_in_a_row = 1 if lived >= STEADY_SECONDS else self.ends_in_a_row + 1
        self.start_again_at = self._clock() + pause_before_restart(self.ends_in_a_row)
        return status

    def is_due(self) -> bool:
        return self.start_again_at is not None and self._clock() >= self.start_again_at

    def send(self, number: signal.Signals) -> None:
        """Signal the process; KILL takes its whole session, so that no grandchild stays."""
        if self.process is None or self.process.poll() is not None:
            return
        try:
            if number == signal.SIGKILL:
                os.killpg(self.process.pid, number)
            else:
                self.process.send_signal(number)
        except ProcessLookupError:
            pass

    def log_tail(self, lines: int = 15) -> str:
        """The last lines of its log, for a person who wonders why it ended."""
        if self.log_path is None or not self.log_path.is_file():
            return ""
        with self.log_path.open("rb") as file:
            file.seek(max(0, self.log_path.stat().st_size - 20_000))
            return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-lines:])

    def _open_log(self) -> IO[bytes] | None:
        if self.log_path is None:
            return None
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        if self.log_path.is_file() and self.log_path.stat().st_size > LOG_BYTES:
            self.log_path.replace(self.log_path.with_suffix(".log.1"))
        return self.log_path.open("ab")


def describe_end(status: int) -> str:
    """An exit status in words: "exit status 1" or the signal's name."""
    if status < 0:
        try:
            return f"signal {signal.Signals(-status).name}"
        except ValueError:
            return f"signal {-status}"
    return f"exit status {status}"
