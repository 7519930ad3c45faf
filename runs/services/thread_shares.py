"""Who may take the last threads of a worker process: one tenant's long runs must not hold them all (D14).

A run keeps its thread while its models answer, for minutes perhaps. So the last eighth of a process's threads (at
least one) is for tenants that have none there. What is refused waits here, and takes the next thread that comes free:
no thread stands idle for fairness' sake but those few.
"""

from __future__ import annotations

import threading
from collections import Counter
from datetime import timedelta
from uuid import UUID

from django.db.models.functions import Now

from runs.engine.statuses import RunStatus
from runs.models import Run
from runs.services import drive_run

# A refused run is rung again after this: another process may have room.
_AGAIN = timedelta(seconds=1)
# More are forgotten here; the keeper rings them.
_MOST_HELD = 1_000


class ThreadShares:
    """The runs that have a thread of this process, and those that wait for one. `threads` None: there is no limit."""

    def __init__(self, threads: int | None = None) -> None:
        self._lock = threading.Lock()
        self._open_to_all: int | None = None
        # The tenant is asked for only when threads are scarce.
        self._driving: dict[UUID, UUID | None] = {}
        self._held: dict[UUID, UUID | None] = {}
        self.set_threads(threads)

    def set_threads(self, threads: int | None) -> None:
        """How many threads the process has; one alone cannot be shared."""
        spare = max(1, threads // 8) if threads is not None and threads > 1 else 0
        self._open_to_all = None if threads is None else threads - spare

    def has_thread(self, run_id: UUID) -> bool:
        with self._lock:
            return run_id in self._driving

    def enter(self, run_id: UUID) -> bool:
        """Take a thread for the run. False: its tenant has enough of them; it waits, and `leave` gives it one."""
        with self._lock:
            if self._has_room():
                self._take(run_id, None)
                return True
            unknown = [run for run, tenant in self._driving.items() if tenant is None]
        rows = Run.objects.filter(pk__in=[run_id, *unknown]).values_list("pk", "tenant_id")
        tenants: dict[UUID, UUID] = dict(rows)
        mine = tenants.get(run_id)
        with self._lock:
            for run in unknown:
                if run in self._driving:
                    self._driving[run] = tenants.get(run)
            if mine is None or self._has_room() or mine not in self._driving.values():
                self._take(run_id, mine)
                return True
            self._held[run_id] = mine
            while len(self._held) > _MOST_HELD:
                del self._held[next(iter(self._held))]
        return False

    def leave(self, run_id: UUID) -> UUID | None:
        """Give the thread back; the run that takes it now: of the tenant with the fewest, whoever waits longest."""
        with self._lock:
            self._driving.pop(run_id, None)
            if not self._held:
                return None
            counts = Counter(self._driving.values())
            following, tenant = min(self._held.items(), key=lambda entry: counts[entry[1]])
            if counts[tenant] and not self._has_room():
                return None
            self._take(following, tenant)
            return following

    def forget(self, run_id: UUID) -> None:
        """Give the thread back, to nobody."""
        with self._lock:
            self._driving.pop(run_id, None)

    def _has_room(self) -> bool:
        return self._open_to_all is None or len(self._driving) < self._open_to_all

    def _take(self, run_id: UUID, tenant: UUID | None) -> None:
        self._held.pop(run_id, None)
        self._driving[run_id] = tenant


of_this_process = ThreadShares()


def drive_in_turn(run_id: UUID, shares: ThreadShares = of_this_process) -> None:
    """Drive the run on this thread, and then whatever had to wait for one; a run whose tenant has enough waits."""
    if shares.has_thread(run_id):
        # Its driver is to look at its mail.
        drive_run.drive(run_id)
        return
    following: UUID | None = run_id
    if not shares.enter(run_id):
        _come_again(run_id)
        return
    while following is not None:
        current = following
        try:
            drive_run.drive(current)
        except BaseException:
            # This thread is needed to tell of it; who waits is rung by the keeper.
            shares.forget(current)
            raise
        following = shares.leave(current)


def _come_again(run_id: UUID) -> None:
    open_ = (RunStatus.PENDING, RunStatus.RUNNING, RunStatus.PAUSED)
    waiting = Run.objects.filter(pk=run_id, status__in=open_, wake_at__isnull=False, lease_token="")
    waiting.update(wake_at=Now() + _AGAIN)
