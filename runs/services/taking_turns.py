"""Drivers of one process take turns on SQLite: its one write lock makes them wait anyway, and its waiting is a sleep.

A thread that holds that lock also has to get Python's own lock back after every statement, up to five milliseconds each
time while other threads plan, and each change of writer empties the other connections' caches. So one driver at a time
plans and writes, and goes on with what follows at once; they still wait for models and requests side by side. On
PostgreSQL, which has no such lock, nobody waits here.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Final

from django.db import connection

# So long a driver may go on while others wait; after so long one that said it would come back has lost its turn.
QUANTUM_S: Final = 0.02


class Turns:
    """A fair lock that its holder may keep over a short absence. Not to be taken twice by one thread."""

    def __init__(self) -> None:
        self._state = threading.Lock()
        self._busy = False
        self._kept_by = 0
        self._since = 0.0
        self._queue: deque[threading.Lock] = deque()

    def take(self) -> None:
        """Wait for the turn. Who kept it comes first."""
        me = threading.get_ident()
        with self._state:
            if not self._busy and (self._kept_by == me or not self._queue):
                if self._kept_by != me:
                    self._since = time.monotonic()
                self._busy, self._kept_by = True, 0
                return
            gate = threading.Lock()
            gate.acquire()
            self._queue.append(gate)
        while not gate.acquire(timeout=QUANTUM_S):
            with self._state:
                # Whoever hands it over says so before it opens the gate, so a turn that is free was not handed to us.
                if not self._busy:
                    self._queue.remove(gate)
                    self._busy, self._kept_by = True, 0
                    break
        self._since = time.monotonic()

    def give(self, *, keep: bool = False) -> None:
        """Hand the turn to whoever waits longest. `keep`: we come back at once, if we have not had it for long."""
        with self._state:
            if keep and time.monotonic() - self._since < QUANTUM_S:
                self._busy, self._kept_by = False, threading.get_ident()
            elif self._queue:
                # It stays taken: the next one has it.
                self._kept_by = 0
                self._queue.popleft().release()
            else:
                self._busy, self._kept_by = False, 0


class Turn:
    """`with Turn() as turn:` plan and write. `turn.keep = True` where the same driver goes on at once."""

    __slots__ = ("_on", "keep")

    def __init__(self, *, keep: bool = False) -> None:
        self.keep = keep
        self._on = connection.vendor == "sqlite"

    def __enter__(self) -> Turn:
        if self._on:
            _turns.take()
        return self

    def __exit__(self, *args: object) -> None:
        if self._on:
            _turns.give(keep=self.keep and args[0] is None)


class Absence:
    """Inside a turn: others may go on while this thread waits for something."""

    def __enter__(self) -> None:
        if connection.vendor == "sqlite":
            _turns.give()

    def __exit__(self, *args: object) -> None:
        if connection.vendor == "sqlite":
            _turns.take()


_turns = Turns()
