"""What a person may change in a run that is held, as text to edit: a step's output or input, and the variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runs.engine.statuses import EventType, Intent, RunStatus, StepStatus
from runs.models import Event, Run, StepRun
from runs.selectors import variables_of
from runs.snapshots.definitions import definitions_of
from runs.snapshots.step import Happening, previous_of, told
from runs.snapshots.values import as_json, unpacked
from workflows.definition.graph import Definition, StepDef
from workflows.expressions.names import MISSING
from workflows.lib.jsontypes import JSONObject, JSONValue

_HISTORY = 20


@dataclass(frozen=True, slots=True)
class Editable:
    """A value as it stands in a text field; `kind` is `text`, or `json` where it is data."""

    text: str
    kind: str
    name: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class EditDesk:
    """What of a step can be changed now. `history`: who changed what in this run, newest first."""

    output: Editable | None
    input: Editable | None
    variables: tuple[Editable, ...]
    history: tuple[Happening, ...]


def is_held(run: Run) -> bool:
    """Whether people may change the run's data now."""
    return run.status == RunStatus.PAUSED and run.intent == Intent.PAUSE


def edit_desk(run: Run, key: str) -> EditDesk | None:
    """None for a run that is not held, and for a step that its version cannot run. Six queries at most."""
    definition = definitions_of({run.version_id})[run.version_id]
    if not is_held(run) or key not in definition.by_key:
        return None
    step = definition.step(key)
    row = (
        StepRun.objects.filter(run=run, tenant_id=run.tenant_id, step_key=key, scope="")
        .order_by("-round")
        .first()
    )
    output = given = None
    if row is not None and row.status == StepStatus.COMPLETED:
        output = editable(unpacked(row.output, run))
    elif step.enabled and step.parent is None and (row is None or row.status == StepStatus.PENDING):
        given = editable(_arriving(run, definition, step, row))
    changes = Event.objects.filter(
        run=run, tenant_id=run.tenant_id, type__in=[EventType.EDITED, EventType.VARIABLE_SET]
    ).order_by("-seq")[:_HISTORY]
    return EditDesk(
        output=output,
        input=given,
        variables=tuple(_variables(run, definition)),
        history=tuple(Happening(event.seq, event.at, told(event)) for event in changes),
    )


def editable(value: JSONValue, name: str = "", by: str = "") -> Editable:
    """Text where nothing else is in it; anything with more fields as JSON, so that none gets lost."""
    text = value["content"] if isinstance(value, dict) and set(value) == {"content"} else value
    if isinstance(text, str):
        return Editable(text, "text", name, by)
    return Editable(as_json(value), "json", name, by)


def _arriving(run: Run, definition: Definition, step: StepDef, row: StepRun | None) -> JSONValue:
    """What the step would get if it began now; empty while nothing has arrived."""
    if row is not None and row.given is not None:
        found: JSONValue = row.given["value"]
        return found
    value: Any = previous_of(run, definition, step, row)
    return "" if value is MISSING else value


def _variables(run: Run, definition: Definition) -> list[Editable]:
    wanted = [variable.name for variable in definition.context_variables()]
    if not wanted:
        return []
    setters = StepRun.objects.filter(run=run, tenant_id=run.tenant_id).exclude(variables={})
    edits: list[JSONObject] = list(run.debug.get("edits", ()))
    values: Mapping[str, JSONValue] = variables_of(
        definition, run.variables or {}, setters.values_list("variables_seq", "variables"), edits
    )
    by = {edit["name"]: str(edit.get("by", "")) for edit in edits}
    return [editable(values.get(name), name, by.get(name, "")) for name in wanted]
