"""Definition → JSON in the shape of the API, and the one canonical text that versions are compared by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from workflows.definition.graph import Definition, EdgeDef, FieldDecl, StepDef, VariableDef
from workflows.lib.jsontypes import JSONObject, JSONValue


def to_json(definition: Definition) -> JSONObject:
    """The definition as the API shows it; `parse_definition` gives the same definition back."""
    found: JSONObject = {
        "nodes": [step_to_json(step) for step in definition.steps],
        "edges": [edge_to_json(edge) for edge in definition.edges],
        "variables": [variable_to_json(variable) for variable in definition.variables],
        "triggers": [
            {
                "id": trigger.id,
                "type": trigger.type,
                "config": trigger.config,
                "input_mapping": trigger.input_mapping,
            }
            for trigger in definition.triggers
        ],
        "settings": dict(definition.settings),
    }
    if definition.library:
        found["library"] = definition.library
    return found


def step_to_json(step: StepDef) -> JSONObject:
    """One node. `position` and `retry_policy` are null where nothing was chosen."""
    node: JSONObject = {
        "id": step.key,
        "type": step.type,
        "name": step.label,
        "description": step.description,
        "position": None
        if step.position is None
        else {"x": _whole(step.position.x), "y": _whole(step.position.y)},
        "config": step.config,
        "inputs": [_field_to_json(field) for field in step.inputs],
        "outputs": [_field_to_json(field) for field in step.outputs],
        "enabled": step.enabled,
        "parent": step.parent,
        "order": step.order,
        "retry_policy": None if step.retry is None else step.retry.to_json(),
        "timeout_s": None if step.timeout_s is None else _whole(step.timeout_s),
        "on_error": {"policy": step.on_error.policy.value, "default": step.on_error.default},
        "join": {"rule": step.join.rule.value, "count": step.join.count, "losers": step.join.losers.value},
        "pinned": step.pinned,
        "note": step.note,
    }
    if step.generated:
        node["generated"] = True
    return node


def edge_to_json(edge: EdgeDef) -> JSONObject:
    return {
        "id": edge.id,
        "source_node_id": edge.source,
        "target_node_id": edge.target,
        "source_output": edge.port,
        "target_input": edge.target_input,
        "condition": edge.condition,
    }


def variable_to_json(variable: VariableDef) -> JSONObject:
    return {
        "name": variable.name,
        "type": variable.type.value,
        "kind": variable.kind.value,
        "required": variable.required,
        "default_value": variable.default,
        "description": variable.description,
    }


def canonical_json(definition: Definition) -> str:
    """The one text of a definition: keys sorted, no spaces, whole numbers without a point.

    Databases and browsers reorder keys and write 2.0 as 2; the text is the same before and after.
    """
    return json.dumps(
        _canonical(to_json(definition)),
        ensure_ascii=False,
        sort_keys=True,
        separators=(",", ":"),
        allow_nan=False,
    )


def content_hash(definition: Definition) -> str:
    """SHA-256 of the canonical text, in hex."""
    return hashlib.sha256(canonical_json(definition).encode()).hexdigest()


def _field_to_json(field: FieldDecl) -> JSONObject:
    return {
        "name": field.name,
        "type": field.type,
        "required": field.required,
        "description": field.description,
    }


def _whole(number: float) -> float:
    return int(number) if float(number).is_integer() and abs(number) < 2**53 else number


def _canonical(value: JSONValue) -> JSONValue:
    if isinstance(value, float):
        return _whole(value)
    if isinstance(value, Mapping):
        return {key: _canonical(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(entry) for entry in value]
    return value
