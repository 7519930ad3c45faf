"""The fence: every transaction of a driver begins with an UPDATE of the run that only the lease's owner gets through."""

from __future__ import annotations

import logging
import time
from datetime import datetime
from typing import Any, Final

from django.db import DataError, IntegrityError, InterfaceError, OperationalError, connection, transaction
from django.db.backends.utils import CursorWrapper

from runs import progress
from runs.engine.state import RunState
from runs.engine.statuses import Intent, RunStatus
from runs.models import Mail, Run
from runs.services import rows
from runs.services.apply_gates import GateTaken
from runs.services.leases import LEASE_S, RENEW_S, LeaseLost
from runs.services.taking_turns import Absence, Turn
from runs.services.transition import Transition
from workflows.lib.clock import utc_now
from workflows.lib.jsontypes import JSONObject

log = logging.getLogger(__name__)

# So long a driver waits for its database with the results in hand.
OUTAGE_S: Final = 120.0


class Refused(Exception):
    """The fence did not let a transition through, though the lease is still ours: the intent has changed."""


class Unstorable(Exception):
    """The database refuses the values of a transition."""


class _Closed(Exception):
    """The fence matched no row; why is found out after the transaction is rolled back."""


class Fence:
    """One driver's way to write to its run, and what it hears there: the intent, and how much mail has come."""

    def __init__(self, run: Run, state: RunState, token: str) -> None:
        self.run = run
        self.run_id = run.pk
        self.state = state
        self.token = token
        self.event_seq = run.event_seq
        self.mail_seen = -1
        self.mail_known = run.mail_seq
        self.renewed = time.monotonic()

    def look(self) -> bool:
        """Ask for mail, keep the lease: whether the intent has changed or mail has come. Raises LeaseLost."""
        try:
            known = Run.objects.values_list("lease_token", "mail_seq", "intent", "intent_by").get(
                pk=self.run_id
            )
        except (OperationalError, InterfaceError):
            connection.close()
            return False
        token, self.mail_known, intent, self.run.intent_by = known
        if token != self.token:
            raise LeaseLost
        if time.monotonic() - self.renewed > RENEW_S:
            self.renew()
        if intent != self.state.intent or self.mail_known > self.mail_seen:
            self.set_intent(Intent(intent))
            return True
        return False

    def set_intent(self, intent: Intent) -> None:
        self.state.intent = intent
        self.run.intent = intent

    def write(self, t: Transition, *, starts: bool) -> None:
        """Write a transition behind the fence. Raises Refused (taken back), LeaseLost, Unstorable (taken back).

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
            except _Closed:
                t.undo()
                raise self.why_refused() from None
            except GateTaken:
                t.undo()
                raise Refused from None
            except (DataError, IntegrityError) as error:
                t.undo()
                raise Unstorable(str(error)) from error
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
            raise _Closed
        seq, self.mail_known, intent = found
        if intent != self.state.intent and not t.finishes:
            self.set_intent(Intent(intent))
            self.mail_seen = min(self.mail_seen, self.mail_known - 1)
        return int(seq)

    def why_refused(self) -> Exception:
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
        self.set_intent(Intent(intent))
        return Refused()

    def _was_committed(self, t: Transition, expected: int) -> bool:
        """After an outage: whether the transaction had gone through before the answer was lost."""
        if not t.events:
            return False
        try:
            seq: int = Run.objects.values_list("event_seq", flat=True).get(pk=self.run_id)
        except (OperationalError, InterfaceError):
            return False
        return seq == expected

    def renew(self) -> None:
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

    def let_go(
        self, t: Transition, *, status: RunStatus, waiting_for: list[JSONObject], wake_at: datetime | None
    ) -> bool:
        """Give the lease back, with the events of `t`. False: mail came, so the run is still ours. Raises LeaseLost."""
        table = rows.table(Run).name
        try:
            with Turn(), transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(
                    f"UPDATE {table} SET lease_token = '', lease_until = NULL, status = %s, waiting_for = %s, wake_at = %s,"
                    " event_seq = event_seq + %s WHERE id = %s AND lease_token = %s AND mail_seq = %s RETURNING event_seq",
                    [
                        status,
                        rows.json_value(waiting_for),
                        rows.time_value(wake_at),
                        len(t.events),
                        rows.uuid_value(self.run_id),
                        self.token,
                        self.mail_seen,
                    ],
                )
                found = cursor.fetchone()
                if found is None:
                    raise _Closed
                first = found[0] - len(t.events) + 1
                t.write(cursor, run_id=self.run_id, tenant_id=self.run.tenant_id, first_seq=first)
        except _Closed:
            refused = self.why_refused()
            if isinstance(refused, LeaseLost):
                raise refused from None
            self.mail_seen = min(self.mail_seen, self.mail_known - 1)
            return False
        except (OperationalError, InterfaceError):
            # The lease runs out by itself and the keeper rings; nothing was lost.
            connection.close()
            return True
        progress.run_changed(self.run_id, self.run.tenant_id, found[0])
        return True
