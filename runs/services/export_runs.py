"""What matches in the history as a file: rows of CSV or JSON, read and sent in parts."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from asgiref.sync import sync_to_async

from runs.models import Run
from runs.selectors import HistoryFilter, matching_runs, runs_of
from workflows.lib.jsontypes import JSONObject
from workflows.tenancy.models import Tenant

FORMATS: Final = {"csv": "text/csv", "json": "application/json"}
MOST_EXPORTED: Final = 100_000
_AT_ONCE: Final = 1_000
COLUMNS: Final = (
    "number",
    "id",
    "workflow",
    "version",
    "kind",
    "status",
    "trigger",
    "started_by",
    "created_at",
    "started_at",
    "completed_at",
    "duration_ms",
    "input_tokens",
    "output_tokens",
    "cost_usd",
    "error_code",
    "error",
    "input",
)
# What a spreadsheet would run as a formula.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


async def exported_runs(*, tenant: Tenant, wanted: HistoryFilter, kind: str) -> AsyncIterator[bytes]:
    """The file's bytes in parts of a thousand runs, newest first; at most MOST_EXPORTED runs, however they are sorted.

    Each part is found by the number that the last one ended with, so that one at the end costs what the first one costs
    and no database cursor stays open while somebody's line is slow.
    """
    write: Callable[[list[Run], bool], str] = _csv if kind == "csv" else _json
    below: int | None = None
    sent = 0
    while sent < MOST_EXPORTED:
        part = await sync_to_async(_part)(tenant, wanted, below, min(_AT_ONCE, MOST_EXPORTED - sent))
        yield write(part, below is None).encode()
        if not part:
            break
        sent += len(part)
        below = part[-1].number
    if kind == "json":
        yield b"\n]\n"


def _part(tenant: Tenant, wanted: HistoryFilter, below: int | None, many: int) -> list[Run]:
    found = matching_runs(runs_of(tenant), tenant, wanted)
    if below is not None:
        found = found.filter(number__lt=below)
    return list(found.order_by("-number")[:many])


def _row(run: Run) -> JSONObject:
    error: dict[str, Any] = run.error or {}
    starter = str(run.started_by) if run.started_by else f"key {run.api_key.name}" if run.api_key else ""
    moments = (run.created_at, run.started_at, run.completed_at)
    created, started, completed = (moment.isoformat() if moment else None for moment in moments)
    return {
        "number": run.number,
        "id": str(run.pk),
        "workflow": run.workflow.name,
        "version": run.version.number or "draft",
        "kind": run.kind,
        "status": run.status,
        "trigger": run.trigger_type,
        "started_by": starter,
        "created_at": created,
        "started_at": started,
        "completed_at": completed,
        "duration_ms": run.duration_ms if run.completed_at else None,
        "input_tokens": run.input_tokens,
        "output_tokens": run.output_tokens,
        "cost_usd": f"{run.cost:f}",
        "error_code": str(error.get("code") or ""),
        "error": str(error.get("message") or ""),
        "input": run.input,
    }


def _csv(runs: list[Run], first: bool) -> str:
    to = io.StringIO()
    writer = csv.writer(to)
    if first:
        writer.writerow(COLUMNS)
    for run in runs:
        row = _row(run) | {"input": json.dumps(run.input, ensure_ascii=False)}
        writer.writerow([_cell(row[name]) for name in COLUMNS])
    return to.getvalue()


def _cell(value: Any) -> Any:
    """Text that a spreadsheet would take for a formula gets a quote before it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _json(runs: list[Run], first: bool) -> str:
    rows = [json.dumps(_row(run), ensure_ascii=False) for run in runs]
    if first:
        return "[\n" + ",\n".join(rows)
    return "".join(f",\n{row}" for row in rows)
