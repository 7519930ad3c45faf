"""How a long-running process hears that it shall stop, without work inside a signal handler."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from types import FrameType, TracebackType
from typing import Self

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopSignal:
    """Waits for SIGTERM or SIGINT in the main thread: `with StopSignal() as stop: while not stop.wait(1.0): …`.

    The handler writes one byte to a pipe and nothing else, so it may interrupt anything. A second signal, a second
    or more after the first, ends the process at once: somebody insists.
    """

    def __init__(self) -> None:
        self._heard_at: float | None = None
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._before: dict[signal.Signals, signal.Handlers | object] = {}

    @property
    def is_set(self) -> bool:
        return self._heard_at is not None

    def wait(self, seconds: float) -> bool:
        """Sleep at most this long; True as soon as the process shall stop."""
        if not self.is_set:
            select.select([self._reader], [], [], max(0.0, seconds))
        return self.is_set

    def set(self) -> None:
        """Stop as if a signal had come."""
        self._heard_at = self._heard_at or time.monotonic()
        # Full or closed: it was heard already.
        with contextlib.suppress(OSError):
            os.write(self._writer, b"!")

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self._heard_at is not None and time.monotonic() - self._heard_at >= 1.0:
            os._exit(128 + number)
        self.set()

    def __enter__(self) -> Self:
        for number in STOP_SIGNALS:
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        os.close(self._reader)
        os.close(self._writer)
