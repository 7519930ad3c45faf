"""THE loop: one driver per run holds its lease, plans, writes each transition in one transaction, and does the work."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection

from runs import queue as doorbell
from runs.engine.commands import Command, StartStep
from runs.engine.planner import interrupted, plan, resting
from runs.engine.scopes import Place
from runs.engine.statuses import EventType, Intent, RunStatus
from runs.services import budget, debug
from runs.services.apply_commands import Applier
from runs.services.execute_step import Result, Task, Work, run_inline, start, take_pinned
from runs.services.fence import OUTAGE_S, Fence, Refused, Unstorable
from runs.services.isolated import start_isolated
from runs.services.leases import LEASE_S, LeaseLost, claim, hand_back
from runs.services.loaded_run import LoadedRun
from runs.services.taking_turns import Turn
from runs.services.transition import Transition
from runs.services.work_of_tries import is_suspect, work_for
from workflows.lib.clock import utc_now
from workflows.lib.errors import ErrorInfo, Fault
from workflows.lib.jsontypes import JSONObject
from workflows.lib.limits import INTERRUPTIONS_PER_STEP
from workflows.steps.base import ExecutionKind

log = logging.getLogger(__name__)

# Shorter than the time in which a lease has to be renewed.
TICK_S: Final = min(1.0, LEASE_S / 6)
# Shorter waits are slept through; longer ones give the worker back (02 §5).
SHORT_WAIT_S: Final = 2.0
# After so long without a pause the driver lets others have its thread.
SLICE_S: Final = 10.0
# At most so many tries of one run are in flight at one time.
MAX_IN_FLIGHT: Final = 64


class _DatabaseAway(Exception):
    """A read before the transition's own transaction failed: nothing was written, everything in memory is taken back."""


@dataclass(slots=True)
class _Turn:
    """What one transition led to: work to do, steps that changed, whether anything was written, whether the run ended."""

    works: list[Work] = field(default_factory=list)
    touched: set[Place] = field(default_factory=set)
    wrote: bool = False
    ended: bool = False


_drivers: dict[UUID, Driver] = {}
_drivers_lock = threading.Lock()
_stopping = threading.Event()


def drive(run_id: UUID) -> None:
    """Claim the run and drive it until nothing is ready. Harmless when somebody else does, or nothing is to do."""
    if _stopping.is_set():
        return
    with Turn() as turn:
        token = claim(run_id)
        turn.keep = token is not None
    if token is None:
        poke(run_id)
        return
    try:
        driver = Driver(run_id, token)
    except Exception:
        log.exception("driver_failed", extra={"run_id": str(run_id)})
        hand_back(run_id, token)
        raise
    with _drivers_lock:
        _drivers[run_id] = driver
        if _stopping.is_set():
            # The stop began while we claimed, so nobody has told this driver.
            driver.stop_by = time.monotonic()
    try:
        driver.work()
    except LeaseLost:
        log.warning("lease_lost", extra={"run_id": str(run_id)})
    except Exception:
        log.exception("driver_failed", extra={"run_id": str(run_id)})
        hand_back(run_id, token)
        raise
    finally:
        driver.stop_tasks()
        with _drivers_lock:
            if _drivers.get(run_id) is driver:
                del _drivers[run_id]


def poke(run_id: UUID) -> None:
    """Make a driver of this run in this process look at its mail at once."""
    with _drivers_lock:
        driver = _drivers.get(run_id)
    if driver is not None:
        driver.inbox.put(None)


def stop_all(grace_s: float) -> None:
    """Warm shutdown: no new starts, up to `grace_s` for tries in flight, then leases are handed back."""
    _stopping.set()
    deadline = time.monotonic() + grace_s
    with _drivers_lock:
        drivers = list(_drivers.values())
    for driver in drivers:
        driver.stop_by = deadline
        driver.inbox.put(None)
    while time.monotonic() < deadline + 5:
        with _drivers_lock:
            if not _drivers:
                return
        time.sleep(0.05)


class Driver:
    """Drives one run. Runs on one thread with its own database connection; results reach it through `inbox`."""

    def __init__(self, run_id: UUID, token: str) -> None:
        self.run_id = run_id
        self.inbox: queue.SimpleQueue[Result | None] = queue.SimpleQueue()
        self.stop_by: float | None = None
        self.loaded = LoadedRun.load(run_id)
        self.run = self.loaded.run
        self.state = self.loaded.state
        self.fence = Fence(self.run, self.state, token)
        self.tasks: dict[Place, Task] = {}
        self.held_back: set[Place] = set()
        self.recovering = True
        self.planned_at = utc_now()
        self.away_since: float | None = None
        self.began = self.ticked = time.monotonic()

    # --- the loop --------------------------------------------------------------------------------

    def work(self) -> None:
        """Plan, write, do: until the run is over or nothing is ready.

        1. One turn: results and mail in, plan, everything that follows written in one transaction.
        2. What was started is done: at once where it is trivial, else on the loop or in a thread.
        3. Results lead to the next turn. Without any, wait for what is in flight, or for a short timer.
        4. With nothing in flight the run rests: the lease is given back, unless mail has come meanwhile.
        """
        results: list[Result] = []
        touched: set[Place] | None = None
        while True:
            try:
                turn = self._turn_one_by_one(results, touched)
            except Refused:
                touched = None
                continue
            except _DatabaseAway:
                self._wait_for_database()
                continue
            if turn.ended:
                return
            results = self._do(turn.works)
            touched = turn.touched | self.held_back
            if results or turn.wrote:
                continue
            if self.tasks:
                results = self._wait(self._seconds_to_next_timer(TICK_S))
                touched = self._tick(touched)
                continue
            soon = self._seconds_to_next_timer(SHORT_WAIT_S)
            if soon < SHORT_WAIT_S and not self._must_yield():
                results = self._wait(min(soon, TICK_S))
                touched = self._tick(touched)
                continue
            if self._rest():
                return
            touched = None

    def _turn_one_by_one(self, results: list[Result], touched: set[Place] | None) -> _Turn:
        """A turn; where the database refuses the values, each result alone, so that one bad output harms only its step."""
        try:
            return self._turn(results, touched)
        except Unstorable:
            if not results:
                raise
        last = _Turn()
        for result in results:
            turn = self._turn_alone(result)
            last.works += turn.works
            last.touched |= turn.touched
            last.wrote |= turn.wrote
            last.ended |= turn.ended
            if last.ended:
                break
        return last

    def _turn_alone(self, result: Result) -> _Turn:
        """One result's turn, until it is written: what an earlier one of the batch has started must not be lost."""
        while True:
            try:
                return self._turn([result], None)
            except Refused:
                continue
            except _DatabaseAway:
                self._wait_for_database()
            except Unstorable as refused:
                if result.outcome is None:
                    raise
                info = ErrorInfo(
                    "bad_output",
                    "The database could not store the output.",
                    fault=Fault.INTERNAL,
                    detail=str(refused),
                )
                result = Result(result.task, None, info, result.ended_at)

    def _wait_for_database(self) -> None:
        """A pause with the results in hand; LeaseLost when it has lasted too long."""
        if self.away_since is None:
            self.away_since = time.monotonic()
        away = time.monotonic() - self.away_since
        if away > OUTAGE_S:
            raise LeaseLost
        connection.close()
        time.sleep(min(max(away, 0.05), 2.0))

    def _turn(self, results: list[Result], touched: set[Place] | None) -> _Turn:
        t = Transition()
        try:
            with Turn() as mine:
                turn = self._fill_and_write(t, results, touched)
                # What is done at once leads to the next turn.
                mine.keep = bool(turn.works) and all(
                    work.task.kind is ExecutionKind.INLINE for work in turn.works
                )
        except (OperationalError, InterfaceError) as error:
            # Out of a read: what is written waits for the database by itself.
            t.undo()
            log.warning("database_away", exc_info=True, extra={"run_id": str(self.run_id)})
            raise _DatabaseAway from error
        self.away_since = None
        return turn

    def _fill_and_write(self, t: Transition, results: list[Result], touched: set[Place] | None) -> _Turn:
        now = self.planned_at = utc_now()
        apply = Applier(self.loaded, t, now)
        self._begin(t, now)
        if self.recovering:
            apply.interruptions(interrupted(self.state, INTERRUPTIONS_PER_STEP.value))
        mail_known = self.fence.mail_known
        # A new intent counts as mail without a letter: what was held back while paused has to be looked at again.
        mailed = mail_known > self.fence.mail_seen
        letters = self.loaded.unread_mail() if mailed and mail_known else []
        apply.mail(letters)
        # A result that came twice, or that was written while its batch was in hand, is no news.
        news = {id(result.task): result for result in reversed(results) if not result.task.settled}
        for result in reversed(news.values()):
            apply.result(result)
        look = None if touched is None or mailed or self.recovering else touched | t.touched
        commands = plan(self.loaded.graph, self.state, now, look)
        if budget.hold(self.loaded, t, commands, now):
            commands = plan(self.loaded.graph, self.state, now, None)
        commands = debug.hold(self.loaded, t, commands, now, may_start=not self._must_yield())
        apply.commands(commands)
        opened = self._open(apply, commands)
        apply.totals()
        turn = _Turn(works=[work for _, work in opened], touched=set(t.touched))
        if not t.is_empty:
            self.fence.write(t, starts=bool(opened))
            turn.wrote, turn.ended = True, t.finishes
        self.recovering = False
        self.fence.mail_seen = mail_known
        for result in results:
            result.task.settled = True
            if self.tasks.get(result.task.place) is result.task:
                del self.tasks[result.task.place]
        for place, task in list(self.tasks.items()):
            if not self._is_current(task):
                del self.tasks[place]
                task.cancel()
        for task, _ in opened:
            self.tasks[task.place] = task
        return turn

    def _begin(self, t: Transition, now: datetime) -> None:
        """The first transition of a run starts its clock; a run that a person held and that goes on says so."""
        if self.run.started_at is None:
            t.run |= {"started_at": now, "status": RunStatus.RUNNING}
            self._set_deadline(t, now)
        elif self.state.status is RunStatus.PENDING:
            t.run["status"] = RunStatus.RUNNING
            self._set_deadline(t, now)
        elif self._was_held_by_person() and self.state.intent is Intent.NONE:
            t.run["status"] = RunStatus.RUNNING
            t.event(EventType.RESUMED, now, {"reason": "person", "by": self.run.intent_by})

    def _set_deadline(self, t: Transition, now: datetime) -> None:
        """The time limit counts from the start, and anew from a retry: what it ended would else end at once again."""
        limit = self.loaded.prepared.definition.settings.get("max_run_time_s")
        if limit:
            before, self.state.deadline = self.state.deadline, now + timedelta(seconds=float(limit))
            t.run["deadline_at"] = self.state.deadline
            t.remember(lambda: setattr(self.state, "deadline", before))

    def _was_held_by_person(self) -> bool:
        held = any(entry.get("kind") in ("pause", "budget", "breakpoint") for entry in self.run.waiting_for)
        return held and self.state.status is RunStatus.PAUSED

    def _open(self, apply: Applier, commands: tuple[Command, ...]) -> list[tuple[Task, Work]]:
        """Open the tries that the plan wants, as far as there is room; the rest is planned again later."""
        starts = [command for command in commands if isinstance(command, StartStep)]
        self.held_back = set()
        opened: list[tuple[Task, Work]] = []
        closed = self._must_yield()
        for command in starts:
            step = self.loaded.graph.step(command.place.key)
            inline = self.loaded.prepared.kind_of(step) is ExecutionKind.INLINE or self.loaded.takes_pinned(
                step
            )
            full = not inline and len(self.tasks) + len(opened) >= MAX_IN_FLIGHT
            if closed or full:
                self.held_back.add(command.place)
                continue
            task = apply.start(command)
            if is_suspect(self.loaded, task):
                # Not done at once: its process takes its time.
                task.kind = ExecutionKind.ASYNC if task.kind is ExecutionKind.ASYNC else ExecutionKind.CPU
            opened.append((task, work_for(self.loaded, task)))
        if opened and self.state.status is not RunStatus.RUNNING:
            apply.t.run["status"] = RunStatus.RUNNING
        return opened

    def _do(self, works: list[Work]) -> list[Result]:
        """Do what was started; the results of what is done at once."""
        results: list[Result] = []
        for work in works:
            if work.task.pinned:
                results.append(take_pinned(work))
            elif work.suspect:
                start_isolated(work, self.inbox.put)
            elif work.task.kind is ExecutionKind.INLINE:
                results.append(run_inline(work))
            else:
                start(work, self.inbox.put)
        return results + self._drain()

    def _is_current(self, task: Task) -> bool:
        step = self.state.get(*task.place)
        return (
            step is not None
            and step.row == task.step_run
            and step.attempt == task.attempt
            and step in self.state.running()
        )

    # --- waiting ---------------------------------------------------------------------------------

    def _drain(self) -> list[Result]:
        found: list[Result] = []
        while True:
            try:
                result = self.inbox.get_nowait()
            except queue.Empty:
                return found
            if result is not None:
                found.append(result)
            else:
                self.ticked = 0.0

    def _wait(self, seconds: float) -> list[Result]:
        try:
            result = self.inbox.get(timeout=max(seconds, 0.001))
        except queue.Empty:
            return []
        if result is None:
            self.ticked = 0.0
            return self._drain()
        return [result, *self._drain()]

    def _seconds_to_next_timer(self, at_most: float) -> float:
        if not self.state.waiting() and self.state.deadline is None:
            return at_most
        wake_at = resting(self.loaded.graph, self.state).wake_at
        # A timer that was due at the last plan and still stands is held by something else: no reason to hurry.
        if wake_at is None or wake_at <= self.planned_at:
            return at_most
        return max(min((wake_at - utc_now()).total_seconds(), at_most), 0.0)

    def _tick(self, touched: set[Place] | None) -> set[Place] | None:
        """Once a second: hear mail without Redis, keep the lease, save what was streamed. The keys to plan next."""
        if time.monotonic() - self.ticked < TICK_S:
            return touched
        self.ticked = time.monotonic()
        if self.stop_by is not None and time.monotonic() >= self.stop_by:
            self._interrupt()
            return None
        self._save_text()
        return None if self.fence.look() else touched

    def _must_yield(self) -> bool:
        """Whether nothing new may start here: the process stops, or others have waited long enough for the thread."""
        if self.stop_by is not None:
            return True
        return not self.tasks and time.monotonic() - self.began > SLICE_S

    def _save_text(self) -> None:
        """Keep what was streamed so far in the database too: it covers the loss of Redis."""
        t = Transition()
        now = utc_now()
        for task in self.tasks.values():
            if task.writer is None or task.attempt_id is None:
                continue
            text, hops = task.writer.text, task.hops[task.told_hops :]
            if len(text) > task.saved_text:
                label = self.loaded.graph.step(task.place.key).label
                for hop in hops:
                    t.event(EventType.FALLBACK, now, hop, place=task.place, label=label)
                data: JSONObject = {"content": text[task.saved_text :], "offset": task.saved_text}
                data["attempt"] = str(task.attempt_id)
                t.event(EventType.TEXT, now, data, place=task.place, label=label)
                # Whose words they are, and who would not answer before, is known here only until the try ends.
                provider, _, model = task.asking.partition(":")
                known = {"text": text, "provider": provider[:32], "model": model[:120], "hops": [*task.hops]}
                t.attempt_updates.append((task.attempt_id, known))
                t.remember(_sets_saved_text(task, task.saved_text, task.told_hops))
                task.saved_text, task.told_hops = len(text), task.told_hops + len(hops)
        if not t.is_empty:
            # Refused: a late driver has its lease again, or the intent is new. Saved at the next tick.
            with suppress(Refused), Turn():
                self.fence.write(t, starts=False)

    def _interrupt(self) -> None:
        """The process stops: tries in flight are cut short without blame, to be made again by the next driver."""
        while True:
            t = Transition()
            apply = Applier(self.loaded, t, utc_now())
            apply.interruptions(interrupted(self.state, INTERRUPTIONS_PER_STEP.value + 1_000), counted=False)
            try:
                if not t.is_empty:
                    with Turn():
                        self.fence.write(t, starts=False)
            except Refused:
                # A late driver that has its lease again.
                continue
            self.stop_tasks()
            return

    def stop_tasks(self) -> None:
        """Stop everything in flight."""
        for task in self.tasks.values():
            task.cancel()
        self.tasks.clear()

    def _rest(self) -> bool:
        """Give the lease back, saying why the run rests and when to look again. False: mail came, plan once more."""
        rest = resting(self.loaded.graph, self.state)
        now = utc_now()
        again = bool(self.held_back)
        wake_at = now if again else rest.wake_at
        t = Transition()
        apply = Applier(self.loaded, t, now)
        explained = apply.explain()
        if rest.status is RunStatus.PAUSED and self.state.status is not RunStatus.PAUSED and not again:
            reason = "person" if rest.paused_by_person else "review"
            if self.loaded.over_budget is not None:
                reason = "budget"
            elif rest.paused_by_person and self.run.intent_by in debug.REASONS:
                reason = "breakpoint"
            t.event(
                EventType.PAUSED,
                now,
                {"reason": reason, "by": self.run.intent_by if rest.paused_by_person else ""},
            )
        status = self.state.status if again else rest.status
        if not self.fence.let_go(t, status=status, waiting_for=explained, wake_at=wake_at):
            return False
        if again:
            doorbell.ring(self.run_id)
        return True


def _sets_saved_text(task: Task, length: int, hops: int) -> Callable[[], None]:
    def undo() -> None:
        task.saved_text, task.told_hops = length, hops

    return undo
