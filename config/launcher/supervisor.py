"""Keeps the children running: restarts what ends, and stops everything in order on a signal."""

import signal
import sys
import time
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from types import FrameType

from config.launcher.processes import Child, Service, describe_end

# How often the children are looked at; an ended child waits at most this long for its next start.
LOOK_SECONDS = 0.2


def say(text: str) -> None:
    """A line for the person at the terminal."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class Supervisor:
    """Starts services as children and keeps them until a signal asks to stop.

    1. The first SIGINT, SIGTERM or SIGHUP stops the children group by group, low `order` first, each with its grace.
    2. A second one kills what is left at once.
    """

    def __init__(self, *, logs: Path | None, tell: Callable[[str], None] = say) -> None:
        self.children: list[Child] = []
        self.stopping = False
        self._logs = logs
        self._tell = tell
        self._signals = 0

    def listen_to_signals(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1
        self.stopping = True

    def add(self, service: Service) -> Child:
        """Start a service and keep it from now on."""
        child = Child(service, logs=self._logs)
        self.children.append(child)
        child.start()
        return child

    def tend(self) -> None:
        """One look at every child: tell of ends, start again what is due."""
        for child in self.children:
            status = child.notice_end()
            if status is not None:
                self._tell(self._ended(child, status))
            if child.is_due() and not self.stopping:
                child.start()

    def wait_until(self, is_so: Callable[[], bool], *, patience_s: float) -> bool:
        """Tend the children until the condition holds; False after the patience, or when asked to stop."""
        deadline = time.monotonic() + patience_s
        while not self.stopping:
            if is_so():
                return True
            if time.monotonic() > deadline:
                return False
            self.tend()
            time.sleep(LOOK_SECONDS / 4)
        return False

    def run(self) -> None:
        """Tend the children until a signal asks to stop."""
        while not self.stopping:
            self.tend()
            time.sleep(LOOK_SECONDS)

    def stop(self) -> None:
        """Stop the children in order; whoever does not end within its grace is killed."""
        self.stopping = True
        asked_before = self._signals
        for _order, group in groupby(
            sorted(self.children, key=lambda child: child.service.order), lambda child: child.service.order
        ):
            self._stop_group(list(group), asked_before)

    def _stop_group(self, group: Sequence[Child], asked_before: int) -> None:
        for child in group:
            child.send(signal.SIGTERM)
        deadline = time.monotonic() + max(child.service.grace_s for child in group)
        while any(child.is_running for child in group):
            impatient = self._signals > max(asked_before, 1)
            if impatient or time.monotonic() > deadline:
                for child in group:
                    if child.is_running:
                        self._tell(f"{child.service.name} did not stop in time and was killed.")
                    child.send(signal.SIGKILL)
                break
            time.sleep(LOOK_SECONDS / 4)
        for child in group:
            if child.process is not None:
                child.process.wait()

    def _ended(self, child: Child, status: int) -> str:
        pause = max(0.0, (child.start_again_at or 0.0) - time.monotonic())
        again = "starting it again" if pause < 0.5 else f"starting it again in {pause:.0f} s"
        text = f"{child.service.name} ended ({describe_end(status)}); {again}."
        if child.log_path:
            text += f" Its log: {child.log_path}"
            # The reason is at the end of the log; once is enough, and again when it keeps happening.
            if child.ends_in_a_row in (1, 5):
                text += "\n" + "\n".join(f"    {line}" for line in child.log_tail().splitlines())
        return text
