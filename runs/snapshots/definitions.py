"""The definitions behind runs: parsed once per process, with what their steps look like."""

from __future__ import annotations

import json
import threading
import uuid
from collections import OrderedDict

from runs.models import Run
from workflows.definition.generated import with_generated
from workflows.definition.graph import Definition, StepDef
from workflows.definition.ordering import body_order
from workflows.definition.schema import from_stored
from workflows.definition.types import START
from workflows.models import WorkflowVersion
from workflows.steps import registry
from workflows.steps.base import Group, StepType
from workflows.steps.catalog import CATALOG

_KEPT_DEFINITIONS = 200
_definitions: OrderedDict[uuid.UUID, Definition] = OrderedDict()
_lock = threading.Lock()


def definitions_of(versions: set[uuid.UUID]) -> dict[uuid.UUID, Definition]:
    """The definitions of these versions; immutable, so each is read and parsed once per process."""
    with _lock:
        found = {key: _definitions[key] for key in versions if key in _definitions}
    missing = versions - found.keys()
    if missing:
        rows = WorkflowVersion.objects.filter(pk__in=missing).values_list("pk", "document")
        read = {
            pk: with_generated(from_stored(json.loads(document)), CATALOG.generated) for pk, document in rows
        }
        with _lock:
            _definitions.update(read)
            while len(_definitions) > _KEPT_DEFINITIONS:
                _definitions.popitem(last=False)
        found |= read
    return found


def step_type_of(name: str) -> StepType | None:
    """The registered type; None for one that is no longer installed."""
    return registry.get(name) if CATALOG.known(name) else None


def tile_of(step: StepDef, kind: StepType | None) -> str:
    """`ai` for a step that uses a model, `human` for one that asks a person."""
    if kind is None:
        return ""
    if kind.group is Group.ASK:
        return "human"
    return "ai" if kind.uses_model(step.config) else ""


def order_of(definition: Definition) -> tuple[StepDef, ...]:
    """Top-level steps in the order of the list."""
    return body_order(definition, None, CATALOG)


def counted_steps(run: Run, definition: Definition) -> tuple[int, int]:
    """(done, all) steps of a run as people count them: what begins it has a card of its own and no number."""
    starts = sum(step.type == START and step.parent is None for step in definition.steps)
    return max(run.steps_done - starts, 0), max(run.steps_total - starts, 0)
