"""The lease of a run: which driver may write to it, by the database's clock."""

from __future__ import annotations

import os
import socket
import uuid
from contextlib import suppress
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection

from runs.models import Run
from runs.services import rows
from workflows.lib.jsontypes import JSONObject

LEASE_S: Final[int] = settings.LEASE_SECONDS
# A lease that is renewed three times in its life outlives a slow second; a tick is shorter than that.
RENEW_S: Final = LEASE_S / 3

_OWNER: Final = f"{socket.gethostname()}:{os.getpid()}"


class LeaseLost(Exception):
    """Somebody else drives the run now: write nothing more."""


def claim(run_id: UUID) -> str | None:
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


def hand_back(run_id: UUID, token: str) -> None:
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
