"""Step rows of runs as the API shows them, with what went into each: a fixed number of queries for any number of runs."""

from __future__ import annotations

import json
import re
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from django.db.models import Count, Exists, OuterRef

from runs.engine.items import ItemStatus
from runs.models import Attempt, Blob, Item, Run, StepRun
from runs.selectors import variables_of
from runs.services.prepared import Prepared, prepared_all
from runs.services.values import BLOB, is_blob
from workflows.api.base import money, stamp
from workflows.definition.graph import Definition
from workflows.definition.ordering import body_order
from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.lib.limits import INLINE_OUTPUT_BYTES

_INDEX: Final = re.compile(r"\[(\d+)\]")


class Values:
    """What rows point to: read at once, or (in lists) named instead, so that a page of runs stays small."""

    def __init__(self, runs: Sequence[Run], *, whole: bool) -> None:
        self._whole = whole
        self._hrefs = {run.pk: f"/api/workflow-executions/{run.pk}" for run in runs}
        self._blobs: dict[str, JSONValue] = {}

    def read(self, references: Iterable[tuple[uuid.UUID, JSONValue]]) -> None:
        """Read every blob that these (run id, value) point to, in one query."""
        wanted = {(run_id, str(value[BLOB])) for run_id, value in references if is_blob(value)}
        if self._whole and wanted:
            rows = Blob.objects.filter(pk__in=[key for _, key in wanted], run__in=[run for run, _ in wanted])
            self._blobs |= {str(pk): value for pk, value in rows.values_list("pk", "value")}

    def of(self, run_id: uuid.UUID, value: JSONValue) -> JSONValue:
        """The value itself; in a list a large one is `{"too_large": true, "href": …}`."""
        if is_blob(value):
            return self._blobs.get(str(value[BLOB])) if self._whole else self._instead(run_id)
        if not self._whole and _is_large(value):
            return self._instead(run_id)
        return value

    def _instead(self, run_id: uuid.UUID) -> JSONObject:
        return {"too_large": True, "href": self._hrefs[run_id]}


def _is_large(value: JSONValue) -> bool:
    return value is not None and len(json.dumps(value, ensure_ascii=False)) > INLINE_OUTPUT_BYTES.value


def prepared_of(runs: Sequence[Run]) -> Mapping[uuid.UUID, Prepared]:
    """For each run its version made ready; `version` must be loaded (without its document)."""
    found = prepared_all({run.version_id: run.version.content_hash for run in runs})
    return {run.pk: found[run.version_id] for run in runs}


def contexts_of(runs: Sequence[Run], versions: Mapping[uuid.UUID, Prepared]) -> dict[uuid.UUID, JSONObject]:
    """The context variables of each run: defaults, then the start's, then what current step rows set, by event."""
    later = StepRun.objects.filter(
        run=OuterRef("run"),
        step_key=OuterRef("step_key"),
        scope=OuterRef("scope"),
        round__gt=OuterRef("round"),
    )
    setters = (
        StepRun.objects.filter(run__in=[run.pk for run in runs])
        .exclude(variables={})
        .exclude(Exists(later))
        .values_list("run_id", "variables_seq", "variables")
    )
    set_by_steps: dict[uuid.UUID, list[tuple[int, JSONObject]]] = defaultdict(list)
    for run_id, seq, values in setters:
        set_by_steps[run_id].append((seq, values))
    found: dict[uuid.UUID, JSONObject] = {}
    for run in runs:
        found[run.pk] = variables_of(
            versions[run.pk].definition,
            run.variables or {},
            set_by_steps[run.pk],
            run.debug.get("edits", ()),
        )
    return found


def traces_of(
    runs: Sequence[Run], versions: Mapping[uuid.UUID, Prepared], values: Values
) -> dict[uuid.UUID, list[JSONObject]]:
    """For each run the rows of its steps, in the order of the list of steps, old rounds first.

    A step that has not been reached yet has no row. Four queries in all, six with containers.
    """
    ids = [run.pk for run in runs]
    rows: dict[uuid.UUID, list[StepRun]] = defaultdict(list)
    for row in StepRun.objects.filter(run__in=ids).defer("held", "variables"):
        rows[row.run_id].append(row)
    newest: dict[uuid.UUID, uuid.UUID] = dict(
        Attempt.objects.filter(run__in=ids).order_by("started_at", "id").values_list("step_run_id", "id")
    )
    values.read((row.run_id, row.output) for entries in rows.values() for row in entries)
    counts = _item_counts(ids)
    given = _item_values([row for entries in rows.values() for row in entries if row.scope], values)
    return {
        run.pk: _trace(run, rows[run.pk], versions[run.pk], newest, values, counts, given) for run in runs
    }


def _item_values(rows: Sequence[StepRun], values: Values) -> dict[tuple[uuid.UUID, str], JSONValue]:
    """By run and scope, the item that the steps in that scope worked on. One query where there are such steps."""
    if not rows:
        return {}
    wanted = {(row.run_id, row.scope) for row in rows}
    found: dict[tuple[uuid.UUID, str], JSONValue] = {}
    items = Item.objects.filter(run__in={run for run, _ in wanted}).order_by("step_run__round")
    for item in items.only("run_id", "container", "scope", "index", "value"):
        if (item.run_id, item.item_scope) in wanted:
            found[item.run_id, item.item_scope] = item.value
    values.read((run, value) for (run, _), value in found.items())
    return found


def _item_counts(runs: Sequence[uuid.UUID]) -> dict[uuid.UUID, JSONObject]:
    """For each step row that has items, how many and how they stand."""
    found: dict[uuid.UUID, JSONObject] = {}
    counted = Item.objects.filter(run__in=runs).order_by().values_list("step_run_id", "status")
    for row, status, count in counted.annotate(count=Count("pk")):
        said = found.setdefault(row, {"total": 0, **dict.fromkeys(map(str, ItemStatus), 0)})
        said["total"] += count
        said[status] += count
    return found


def _trace(
    run: Run,
    rows: Sequence[StepRun],
    version: Prepared,
    newest: Mapping[uuid.UUID, uuid.UUID],
    values: Values,
    counts: Mapping[uuid.UUID, JSONObject],
    given: Mapping[tuple[uuid.UUID, str], JSONValue],
) -> list[JSONObject]:
    places = step_places(version.definition)
    by_place: dict[tuple[str, str], list[StepRun]] = defaultdict(list)
    for row in rows:
        by_place[row.step_key, row.scope].append(row)
    last = len(places)
    ordered = sorted(
        rows, key=lambda row: (places.get(row.step_key, last), _scope_order(row.scope), row.round)
    )
    return [
        {
            "node_id": row.step_key,
            "node_name": row.label,
            "type": row.type,
            "scope": row.scope,
            "index": _index(row.scope),
            "round": row.round,
            "attempt": row.attempt,
            "status": row.status,
            "input_data": _input(run, row, version, by_place, values, given),
            "output_data": values.of(run.pk, row.output),
            "error_message": (row.error or {}).get("message"),
            "error": row.error,
            "skip_reason": row.skip_reason or None,
            "execution_id": str(newest.get(row.pk, row.pk)),
            "started_at": stamp(row.started_at),
            "completed_at": stamp(row.completed_at),
            "duration_ms": row.duration_ms,
            "tokens": row.tokens,
            "cost": money(row.cost),
            "progress": counts.get(row.pk),
            "provider": row.provider or None,
            "model": row.model or None,
            "notes": row.notes or None,
            "reused": row.reused,
            "feedback": row.feedback or None,
            "pinned": row.pinned,
        }
        for row in ordered
    ]


def _input(
    run: Run,
    row: StepRun,
    version: Prepared,
    by_place: Mapping[tuple[str, str], Sequence[StepRun]],
    values: Values,
    of_items: Mapping[tuple[uuid.UUID, str], JSONValue],
) -> JSONValue:
    """What reached the step: the single live predecessor's output, an object by name if several, the run's input for
    a first step (in a container its item); null for one that has not started."""
    if row.given is not None:
        return row.given["value"]
    if row.started_at is None:
        return None
    live = frozenset(row.inputs or ())
    arrived: JSONObject = {}
    for edge in version.graph.incoming(row.step_key):
        if edge.id not in live:
            continue
        before = _at_the_time(by_place.get((edge.source, row.scope), ()), row)
        if before is not None:
            output = values.of(run.pk, before.output)
            source = version.step(edge.source)
            given = version.type_of(source).along(source.config, output, edge.port)
            arrived[before.label if given is output else edge.port] = given
    if not arrived:
        return values.of(run.pk, of_items.get((run.pk, row.scope)) if row.scope else run.input)
    return next(iter(arrived.values())) if len(arrived) == 1 else arrived


def _at_the_time(rounds: Sequence[StepRun], reader: StepRun) -> StepRun | None:
    """The round whose output the reader saw: the highest that was finished when it started."""
    finished = [row for row in rounds if row.output is not None]
    seen = [
        row
        for row in finished
        if row.completed_at is None or reader.started_at is None or row.completed_at <= reader.started_at
    ]
    return max(seen or finished, key=lambda row: row.round, default=None)


def step_places(definition: Definition) -> dict[str, int]:
    """Each step's place in the list of steps, those of a body right below their container."""
    found: dict[str, int] = {}

    def visit(parent: str | None) -> None:
        for step in body_order(definition, parent):
            found[step.key] = len(found)
            if definition.children(step.key):
                visit(step.key)

    visit(None)
    return found


def _scope_order(scope: str) -> tuple[Any, ...]:
    return tuple(int(number) for number in _INDEX.findall(scope))


def _index(scope: str) -> int | None:
    found = _INDEX.findall(scope)
    return int(found[-1]) if found else None
