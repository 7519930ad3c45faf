"""THE loop: one driver per run holds its lease, plans, writes each transition in one transaction, and does the work."""

from __future__ import annotations

import logging
import os
import queue
import socket
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    connection,
    transaction,
)
from django.db.backends.utils import CursorWrapper

from runs import progress
from runs import queue as doorbell
from runs.engine.commands import Command, StartStep
from runs.engine.planner import interrupted, plan, resting
from runs.engine.scopes import Place
from runs.engine.statuses import EventType, Intent, RunStatus
from runs.models import Mail, Run
from runs.services import budget, debug, rows
from runs.services.apply_commands import Applier
from runs.services.apply_gates import GateTaken
from runs.services.call_model import route_of
from runs.services.execute_step import Result, Task, Work, run_inline, start, take_pinned
from runs.services.isolated import SUSPECT_AFTER, start_isolated
from runs.services.loaded_run import LoadedRun
from runs.services.taking_turns import Absence, Turn
from runs.services.transition import Transition
from workflows.lib.clock import utc_now
from workflows.lib.errors import ErrorInfo, Fault
from workflows.lib.jsontypes import JSONObject
from workflows.lib.limits import INTERRUPTIONS_PER_STEP
from workflows.steps.base import ExecutionKind, RunFacts

log = logging.getLogger(__name__)

LEASE_S: Final[int] = settings.LEASE_SECONDS
# A lease that is renewed three times in its life outlives a slow second; a tick is shorter than that.
RENEW_S: Final = LEASE_S / 3
TICK_S: Final = min(1.0, LEASE_S / 6)
# Shorter waits are slept through; longer ones give the worker back (02 §5).
SHORT_WAIT_S: Final = 2.0
# After so long without a pause the driver lets others have its thread.
SLICE_S: Final = 10.0
# At most so many tries of one run are in flight at one time.
MAX_IN_FLIGHT: Final = 64
OUTAGE_S: Final = 120.0

_OWNER: Final = f"{socket.gethostname()}:{os.getpid()}"


class LeaseLost(Exception):
    """Somebody else drives the run now: write nothing more."""


class _Refused(Exception):
    """The fence did not let a transition through, though the lease is still ours: the intent has changed."""


class _FenceClosed(Exception):
    """The fence matched no row; why is found out after the transaction is rolled back."""


class _Unstorable(Exception):
    """The database refuses the values of a transition."""


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
        token = _claim(run_id)
        turn.keep = token is not None
    if token is None:
        poke(run_id)
        return
    try:
        driver = Driver(run_id, token)
    except Exception:
        log.exception("driver_failed", extra={"run_id": str(run_id)})
        _hand_back(run_id, token)
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
        _hand_back(run_id, token)
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


def _claim(run_id: UUID) -> str | None:
    """Take the lease when it is free and the tenant has a share left; the token, or None."""
    token = uuid.uuid4().hex
    now, until = rows.database_now(), rows.database_now(LEASE_S)
    run = connection.ops.quote_name(Run._meta.db_table)
    tenant = connection.ops.quote_name("tenancy_tenant")
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {run} SET lease_token = %s, lease_owner = %s, lease_until = {until}, wake_at = {until}"
            f" WHERE id = %s AND status IN ('pending', 'running', 'paused')"
            f" AND (lease_token = '' OR lease_until IS NULL OR lease_until < {now})"
            f" AND (SELECT COUNT(*) FROM {run} other WHERE other.tenant_id = {run}.tenant_id"
            f" AND other.lease_token <> '' AND other.lease_until > {now})"
            f" < (SELECT max_running_runs FROM {tenant} WHERE {tenant}.id = {run}.tenant_id)",
            [token, _OWNER[:120], rows.uuid_value(run_id)],
        )
        if cursor.rowcount == 1:
            return token
        # Refused by the tenant's share: look again in a second. (A live lease keeps its own time.)
        cursor.execute(
            f"UPDATE {run} SET wake_at = {rows.database_now(1)} WHERE id = %s"
            " AND status IN ('pending', 'running', 'paused') AND wake_at IS NOT NULL AND lease_token = ''",
            [rows.uuid_value(run_id)],
        )
    return None


def _hand_back(run_id: UUID, token: str) -> None:
    """Our own fault: give the run back, saying so (E10); another driver tries again when a lease's time has passed."""
    fault: JSONObject = {
        "kind": "fault",
        "step": None,
        "step_key": None,
        "who": "",
        "until": None,
        "sentence": f"Stepwell itself failed while it worked on this run, and tries again every {LEASE_S} seconds."
        " The details are in the worker's log.",
    }
    with suppress(DatabaseError, InterfaceError), connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {rows.table(Run).name} SET lease_token = '', lease_until = NULL, waiting_for = %s,"
            f" wake_at = {rows.database_now(LEASE_S)} WHERE id = %s AND lease_token = %s",
            [rows.json_value([fault]), rows.uuid_value(run_id), token],
        )


class Driver:
    """Drives one run. Runs on one thread with its own database connection; results reach it through `inbox`."""

    def __init__(self, run_id: UUID, token: str) -> None:
        self.run_id = run_id
        self.token = token
        self.inbox: queue.SimpleQueue[Result | None] = queue.SimpleQueue()
        self.stop_by: float | None = None
        self.loaded = LoadedRun.load(run_id)
        self.run = self.loaded.run
        self.state = self.loaded.state
        self.event_seq = self.run.event_seq
        self.mail_seen = -1
        self.mail_known = self.run.mail_seq
        self.tasks: dict[Place, Task] = {}
        self.held_back: set[Place] = set()
        self.recovering = True
        self.planned_at = utc_now()
        self.away_since: float | None = None
        self.began = self.renewed = self.ticked = time.monotonic()

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
            except _Refused:
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
        except _Unstorable:
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
            except _Refused:
                continue
            except _DatabaseAway:
                self._wait_for_database()
            except _Unstorable as refused:
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
        mail_known = self.mail_known
        # A new intent counts as mail without a letter: what was held back while paused has to be looked at again.
        mailed = mail_known > self.mail_seen
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
            self._write(t, starts=bool(opened))
            turn.wrote, turn.ended = True, t.finishes
        self.recovering = False
        self.mail_seen = mail_known
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
            if self._is_suspect(task):
                # Not done at once: its process takes its time.
                task.kind = ExecutionKind.ASYNC if task.kind is ExecutionKind.ASYNC else ExecutionKind.CPU
            opened.append((task, self._work_for(task)))
        if opened and self.state.status is not RunStatus.RUNNING:
            apply.t.run["status"] = RunStatus.RUNNING
        return opened

    def _work_for(self, task: Task) -> Work:
        key = task.place.key
        step = self.loaded.graph.step(key)
        type_ = self.loaded.prepared.type_of(step)
        inputs = self.loaded.inputs.get(task.place, ())
        scope, previous = self.loaded.scope_for(task.place, self.loaded.prepared.needs(key), inputs)
        arrived = self.loaded.arrived(task.place, inputs)
        if task.place in self.loaded.given:
            previous, arrived = self.loaded.in_place_of(task.place, arrived)
            scope = replace(scope, previous=previous)
        settings = self.loaded.prepared.definition.settings
        return Work(
            task=task,
            step=step,
            type=type_,
            scope=scope,
            previous=previous,
            arrived=arrived,
            facts=RunFacts(
                id=str(self.run_id),
                started_at=self.run.started_at or task.started_at,
                is_test=self.run.kind in (Run.Kind.TEST, Run.Kind.STEP),
                yolo=self.run.yolo,
            ),
            run_id=self.run_id,
            timeout_s=step.timeout_s or type_.default_timeout.total_seconds(),
            default_model=settings.get("default_model") or self.run.tenant.default_model or None,
            model_override=self.run.model_override,
            route=route_of(self.run, step, type_, settings) if task.kind is ExecutionKind.ASYNC else None,
            tenant_id=self.run.tenant_id,
            library=self.loaded.prepared.library,
            pinned_port=self.loaded.graph.main_port(key),
            suspect=self._is_suspect(task),
            asked=self.loaded.asked_of(task.place, step) if self.loaded.feedback else ("", ""),
        )

    def _is_suspect(self, task: Task) -> bool:
        """Whether this try has stopped two workers: it may be what kills them, so it is made alone."""
        step = self.state.get(*task.place)
        return step is not None and step.crashes >= SUSPECT_AFTER

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
        try:
            known = Run.objects.values_list("lease_token", "mail_seq", "intent", "intent_by").get(
                pk=self.run_id
            )
        except (OperationalError, InterfaceError):
            connection.close()
            return touched
        token, self.mail_known, intent, self.run.intent_by = known
        if token != self.token:
            raise LeaseLost
        if time.monotonic() - self.renewed > RENEW_S:
            self._renew()
        if intent != self.state.intent or self.mail_known > self.mail_seen:
            self._set_intent(Intent(intent))
            return None
        return touched

    def _set_intent(self, intent: Intent) -> None:
        self.state.intent = intent
        self.run.intent = intent

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
            with suppress(_Refused), Turn():
                self._write(t, starts=False)

    def _interrupt(self) -> None:
        """The process stops: tries in flight are cut short without blame, to be made again by the next driver."""
        while True:
            t = Transition()
            apply = Applier(self.loaded, t, utc_now())
            apply.interruptions(interrupted(self.state, INTERRUPTIONS_PER_STEP.value + 1_000), counted=False)
            try:
                if not t.is_empty:
                    with Turn():
                        self._write(t, starts=False)
            except _Refused:
                # A late driver that has its lease again.
                continue
            self.stop_tasks()
            return

    def stop_tasks(self) -> None:
        """Stop everything in flight."""
        for task in self.tasks.values():
            task.cancel()
        self.tasks.clear()

    # --- writing ---------------------------------------------------------------------------------

    def _write(self, t: Transition, *, starts: bool) -> None:
        """Write a transition behind the fence. Raises _Refused (taken back), LeaseLost, _Unstorable (taken back).

        A database that is away or locked is waited for, with the results in hand; after that time somebody else may
        have claimed the run, which the fence tells.
        """
        give_up = time.monotonic() + OUTAGE_S
        pause = 0.05
        expected = self.event_seq + len(t.events)
        while True:
            try:
                self._write_once(t, starts=starts)
                break
            except _FenceClosed:
                t.undo()
                raise self._why_refused() from None
            except GateTaken:
                t.undo()
                raise _Refused from None
            except (DataError, IntegrityError) as error:
                t.undo()
                raise _Unstorable(str(error)) from error
            except (OperationalError, InterfaceError):
                if time.monotonic() > give_up:
                    t.undo()
                    raise LeaseLost from None
                log.warning("database_away", exc_info=True, extra={"run_id": str(self.run_id)})
                connection.close()
                with Absence():
                    time.sleep(pause)
                pause = min(pause * 2, 2.0)
                if self._was_committed(t, expected):
                    break
        self.event_seq = self.run.event_seq = expected
        for name, value in t.run.items():
            setattr(self.run, name, value)
        if "status" in t.run:
            self.state.status = RunStatus(t.run["status"])
        progress.run_changed(self.run_id, self.run.tenant_id, self.event_seq)

    def _write_once(self, t: Transition, *, starts: bool) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            seq = self._fence(cursor, t, starts=starts)
            t.write(
                cursor, run_id=self.run_id, tenant_id=self.run.tenant_id, first_seq=seq - len(t.events) + 1
            )
            if t.mail_read:
                Mail.objects.filter(pk__in=t.mail_read).update(read_at=utc_now())

    def _fence(self, cursor: CursorWrapper, t: Transition, *, starts: bool) -> int:
        """The one UPDATE that every transaction begins with; returns the new event seq."""
        columns = dict(t.run)
        settings = ["event_seq = event_seq + %s"]
        parameters: list[Any] = [len(t.events)]
        fields = rows.table(Run)
        for name, value in columns.items():
            settings.append(f"{connection.ops.quote_name(str(fields.fields[name].column))} = %s")
            parameters.append(fields.prepare[name](value))
        if t.finishes:
            settings.append("lease_token = '', lease_until = NULL")
        elif time.monotonic() - self.renewed > RENEW_S:
            settings.append(
                f"lease_until = {rows.database_now(LEASE_S)}, wake_at = {rows.database_now(LEASE_S)}"
            )
            self.renewed = time.monotonic()
        where = f"id = %s AND lease_token = %s AND lease_until > {rows.database_now()}"
        parameters += [rows.uuid_value(self.run_id), self.token]
        if starts or "intent" in t.run:
            where += " AND intent = ''"
        if t.finishes and t.run["status"] != RunStatus.CANCELLED:
            # Mail that was acknowledged (a retry from a step) is read before the run ends.
            where += " AND intent <> 'cancel' AND mail_seq = %s"
            parameters.append(self.mail_known)
        cursor.execute(
            f"UPDATE {fields.name} SET {', '.join(settings)} WHERE {where} RETURNING event_seq, mail_seq, intent",
            parameters,
        )
        found = cursor.fetchone()
        if found is None:
            raise _FenceClosed
        seq, self.mail_known, intent = found
        if intent != self.state.intent and not t.finishes:
            self._set_intent(Intent(intent))
            self.mail_seen = min(self.mail_seen, self.mail_known - 1)
        return int(seq)

    def _why_refused(self) -> Exception:
        """The fence let nothing through: another driver, a late lease that is still ours, or a new intent.

        A lease that ran out and that nobody took is claimed again by its own token, with the results in hand.
        """
        table = rows.table(Run).name
        give_up = time.monotonic() + OUTAGE_S
        while True:
            try:
                with connection.cursor() as cursor:
                    cursor.execute(
                        f"UPDATE {table} SET lease_until = {rows.database_now(LEASE_S)},"
                        f" wake_at = {rows.database_now(LEASE_S)}"
                        " WHERE id = %s AND lease_token = %s RETURNING intent, mail_seq",
                        [rows.uuid_value(self.run_id), self.token],
                    )
                    found = cursor.fetchone()
                break
            except (OperationalError, InterfaceError):
                if time.monotonic() > give_up:
                    return LeaseLost()
                connection.close()
                time.sleep(1.0)
        if found is None:
            return LeaseLost()
        intent, self.mail_known = found
        self.renewed = time.monotonic()
        self._set_intent(Intent(intent))
        return _Refused()

    def _was_committed(self, t: Transition, expected: int) -> bool:
        """After an outage: whether the transaction had gone through before the answer was lost."""
        if not t.events:
            return False
        try:
            seq: int = Run.objects.values_list("event_seq", flat=True).get(pk=self.run_id)
        except (OperationalError, InterfaceError):
            return False
        return seq == expected

    def _renew(self) -> None:
        table = rows.table(Run).name
        try:
            with connection.cursor() as cursor:
                cursor.execute(
                    f"UPDATE {table} SET lease_until = {rows.database_now(LEASE_S)}, wake_at = {rows.database_now(LEASE_S)}"
                    " WHERE id = %s AND lease_token = %s",
                    [rows.uuid_value(self.run_id), self.token],
                )
                if cursor.rowcount == 0:
                    raise LeaseLost
        except (OperationalError, InterfaceError):
            connection.close()
            return
        self.renewed = time.monotonic()

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
        table = rows.table(Run).name
        try:
            with Turn(), transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(
                    f"UPDATE {table} SET lease_token = '', lease_until = NULL, status = %s, waiting_for = %s, wake_at = %s,"
                    " event_seq = event_seq + %s WHERE id = %s AND lease_token = %s AND mail_seq = %s RETURNING event_seq",
                    [
                        status,
                        rows.json_value(explained),
                        rows.time_value(wake_at),
                        len(t.events),
                        rows.uuid_value(self.run_id),
                        self.token,
                        self.mail_seen,
                    ],
                )
                found = cursor.fetchone()
                if found is None:
                    raise _FenceClosed
                first = found[0] - len(t.events) + 1
                t.write(cursor, run_id=self.run_id, tenant_id=self.run.tenant_id, first_seq=first)
        except _FenceClosed:
            refused = self._why_refused()
            if isinstance(refused, LeaseLost):
                raise refused from None
            self.mail_seen = min(self.mail_seen, self.mail_known - 1)
            return False
        except (OperationalError, InterfaceError):
            # The lease runs out by itself and the keeper rings; nothing was lost.
            connection.close()
            return True
        progress.run_changed(self.run_id, self.run.tenant_id, found[0])
        if again:
            doorbell.ring(self.run_id)
        return True


def _sets_saved_text(task: Task, length: int, hops: int) -> Callable[[], None]:
    def undo() -> None:
        task.saved_text, task.told_hops = length, hops

    return undo
