"""A whole run as one JSON document, written row by row so that a thousand items need no memory; and its items as CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from typing import Any

from django.db.models import QuerySet

from runs.models import Attempt, Event, Item, Run, StepRun
from runs.snapshots.values import unpacked
from runs.snapshots.words import text_of
from workflows.lib.jsontypes import JSONObject

_CHUNK = 200


def run_document(run: Run) -> Iterator[str]:
    """Pieces of the JSON text: facts of the run, then `steps` (all rounds, in and out of items), `items`, `attempts`
    (with the calls as sent and answered) and `events`."""
    head = {
        "run": run.number,
        "id": str(run.pk),
        "workflow": run.workflow.name,
        "version": run.version.number,
        "kind": run.kind,
        "status": run.status,
        "started_by": str(run.started_by or run.api_key or ""),
        "created_at": _at(run.created_at),
        "started_at": _at(run.started_at),
        "completed_at": _at(run.completed_at),
        "tokens": run.tokens,
        "cost_usd": str(run.cost),
        "input": run.input,
        "variables": run.variables,
        "output": unpacked(run.output, run),
        "error": run.error,
        "origin": str(run.origin_id) if run.origin_id else None,
        "overrides": run.overrides,
    }
    yield json.dumps(head, ensure_ascii=False, indent=1)[:-2]
    own: dict[str, Any] = {"run": run, "tenant_id": run.tenant_id}
    lists: tuple[tuple[str, QuerySet[Any], Callable[[Any, Run], JSONObject]], ...] = (
        ("steps", StepRun.objects.filter(**own).order_by("created_at", "id"), _step),
        ("items", Item.objects.filter(**own).order_by("scope", "container", "index"), _item),
        ("attempts", Attempt.objects.filter(**own).order_by("started_at", "id"), _attempt),
        ("events", Event.objects.filter(**own).order_by("seq"), _event),
    )
    for name, rows, shown in lists:
        yield f',\n "{name}": ['
        for place, row in enumerate(rows.iterator(chunk_size=_CHUNK)):
            yield (",\n  " if place else "\n  ") + json.dumps(shown(row, run), ensure_ascii=False)
        yield "]"
    yield "\n}\n"


def items_csv(run: Run, container: StepRun) -> Iterator[str]:
    """The items of a container as lines of CSV: one a line, in the input's order, with the result's text."""
    writer = csv.writer(_Echo())
    columns = (
        "item",
        "heading",
        "status",
        "provider",
        "tokens",
        "cost_usd",
        "seconds",
        "error",
        "input",
        "result",
    )
    yield str(writer.writerow(columns))
    rows = Item.objects.filter(run=run, tenant_id=run.tenant_id, step_run=container).order_by("index")
    for item in rows.iterator(chunk_size=_CHUNK):
        took = ""
        if item.started_at is not None and item.completed_at is not None:
            took = f"{(item.completed_at - item.started_at).total_seconds():.1f}"
        cells = (
            item.index + 1,
            item.heading,
            item.status,
            item.provider,
            item.tokens,
            item.cost,
            took,
            (item.error or {}).get("message", ""),
            _cell(unpacked(item.value, run)),
            _cell(unpacked(item.result, run)),
        )
        yield str(writer.writerow([_safe(cell) for cell in cells]))


class _Echo:
    """What csv writes to: it gives the line back."""

    def write(self, line: str) -> str:
        return line


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = text_of(value)
    return text if text is not None else json.dumps(value, ensure_ascii=False)


def _safe(cell: Any) -> Any:
    """A sheet must not take what a model wrote for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell


def _at(moment: Any) -> str | None:
    return moment.isoformat() if moment is not None else None


def _step(row: StepRun, run: Run) -> JSONObject:
    return {
        # What `attempts` name as their `step_run`.
        "id": str(row.pk),
        "step": row.step_key,
        "name": row.label,
        "type": row.type,
        "scope": row.scope,
        "round": row.round,
        "status": row.status,
        "started_at": _at(row.started_at),
        "completed_at": _at(row.completed_at),
        "tokens": row.tokens,
        "cost_usd": str(row.cost),
        "provider": row.provider,
        "model": row.model,
        "reused": row.reused,
        "output": unpacked(row.output, run),
        "error": row.error,
    }


def _item(row: Item, run: Run) -> JSONObject:
    return {
        "step": row.container,
        "scope": row.item_scope,
        "index": row.index,
        "heading": row.heading,
        "status": row.status,
        "tokens": row.tokens,
        "cost_usd": str(row.cost),
        "input": unpacked(row.value, run),
        "result": unpacked(row.result, run),
        "error": row.error,
    }


def _attempt(row: Attempt, run: Run) -> JSONObject:
    return {
        "step_run": str(row.step_run_id),
        "number": row.number,
        "status": row.status,
        "provider": row.provider,
        "model": row.model,
        "tokens": row.input_tokens + row.output_tokens,
        "cost_usd": str(row.cost),
        "started_at": _at(row.started_at),
        "ended_at": _at(row.ended_at),
        "error": row.error,
        "calls": row.calls,
        "hops": row.hops,
    }


def _event(row: Event, run: Run) -> JSONObject:
    return {
        "seq": row.seq,
        "type": row.type,
        "at": _at(row.at),
        "step": row.step_key,
        "scope": row.scope,
        "data": row.data,
    }
