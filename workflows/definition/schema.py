"""JSON ⇄ Definition in the shape of the API: aliases in, canonical words out, every problem named with its path."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any, Final, TypeVar

from workflows.definition.aliases import with_canonical_words
from workflows.definition.canvas import positions, with_positions
from workflows.definition.graph import (
    Definition,
    EdgeDef,
    ErrorChoice,
    ErrorPolicy,
    FieldDecl,
    JoinKind,
    JoinRule,
    Losers,
    Position,
    StepDef,
    TriggerDef,
    VariableDef,
    VariableKind,
    VariableType,
)
from workflows.definition.ids import derived_id, is_id
from workflows.definition.ordering import body_order
from workflows.definition.retry import RetryPolicy
from workflows.definition.structure import structure_problems
from workflows.definition.types import TypeCatalog
from workflows.expressions.paths import nearest
from workflows.lib.errors import Invalid, Problem
from workflows.lib.jsontypes import JSONObject, JSONValue

MAX_DEPTH: Final = 60
TRIGGER_TYPES: Final = ("manual", "schedule", "webhook", "event")
FIELD_TYPES: Final = ("string", "number", "boolean", "object", "array", "any")

BUDGET_POLICIES: Final = ("warn", "pause", "stop")
_TOP: Final = ("nodes", "edges", "variables", "triggers", "settings", "library")
_NODE: Final = (
    "id", "type", "name", "description", "position", "config", "inputs", "outputs", "enabled", "parent", "order",
    "retry_policy", "timeout_s", "on_error", "join", "pinned", "note", "generated",
)  # fmt: skip
_EDGE: Final = ("id", "source_node_id", "target_node_id", "source_output", "target_input", "condition")
_VARIABLE: Final = ("name", "type", "kind", "required", "default_value", "description")
_TRIGGER: Final = ("id", "type", "config", "input_mapping")
_RETRY: Final = (
    "max_attempts",
    "delay_ms",
    "backoff_multiplier",
    "max_delay_ms",
    "jitter",
    "retry_on_errors",
)

_Choice = TypeVar("_Choice", bound=StrEnum)
_Made = TypeVar("_Made")


# --- out ----------------------------------------------------------------------------------------


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


# --- in -----------------------------------------------------------------------------------------


def parse_definition(data: JSONValue, catalog: TypeCatalog, *, path: str = "definition") -> Definition:
    """Read a definition in the API's shape.

    Aliases are accepted and written canonically; missing ids, names, orders and positions get defaults that
    depend on the input alone. Raises Invalid with all structural problems at once, each with its JSON path.
    """
    reader = _Reader(catalog)
    definition = reader.definition(data, path)
    if not reader.problems:
        reader.problems.extend(structure_problems(definition, catalog, path=path))
    elif not reader.left_out:
        # What is wrong with the shape is said beside what is wrong with the words: one look, one mending.
        said = {problem.path for problem in reader.problems}
        reader.problems.extend(
            problem
            for problem in structure_problems(definition, catalog, path=path)
            if problem.path not in said
        )
    if reader.problems:
        raise Invalid(_headline(reader.problems), problems=tuple(reader.problems))
    if not reader.unplaced:
        return definition
    spots = positions(definition, catalog)
    return with_positions(definition, {key: spots[key] for key in reader.unplaced})


def from_stored(data: JSONObject) -> Definition:
    """Read what `to_json` wrote, without asking for step types: versions must load when a type has gone."""
    reader = _Reader(None)
    definition = reader.definition(data, "definition")
    if reader.problems:
        raise Invalid(_headline(reader.problems), problems=tuple(reader.problems))
    return definition


def _headline(problems: list[Problem]) -> str:
    if len(problems) == 1:
        return problems[0].says
    return f"The workflow cannot be read: {len(problems)} problems. The first: {problems[0].says}"


class _Reader:
    """Reads one document and gathers what is wrong with it."""

    def __init__(self, catalog: TypeCatalog | None) -> None:
        self.catalog = catalog
        self.problems: list[Problem] = []
        # Whether entries were passed over, so that those behind them have other numbers.
        self.left_out = False
        self.unplaced: set[str] = set()

    def wrong(self, path: str, code: str, message: str, fix: str | None = None, node: object = None) -> None:
        name = node.get("name") if isinstance(node, Mapping) else None
        key = node.get("id") if isinstance(node, Mapping) else None
        self.problems.append(
            Problem(
                code,
                message,
                step=name if isinstance(name, str) else key if isinstance(key, str) else None,
                step_key=key if isinstance(key, str) else None,
                field=path.rpartition(".")[2].partition("[")[0],
                path=path,
                fix=fix,
            )
        )

    def _without_marks(self, steps: list[StepDef]) -> list[StepDef]:
        """Notes which steps were sent without a position: they get one once it is known how they hang together."""
        self.unplaced = {
            step.key for step in steps if step.position is not None and math.isnan(step.position.x)
        }
        return [replace(step, position=None) if step.key in self.unplaced else step for step in steps]

    # The whole

    def definition(self, data: JSONValue, path: str) -> Definition:
        if not isinstance(data, Mapping):
            self.wrong(path, "not_an_object", "A definition is an object with nodes and edges.")
            return Definition()
        self._check_data(data, path)
        if self.problems:
            self.left_out = True
            return Definition()
        if self.catalog is not None:
            data = with_canonical_words(data, self.catalog)
        self._unknown_keys(data, _TOP, path)
        steps = self._list(data, "nodes", path, self._step)
        steps = _with_orders(
            self._without_marks(_with_labels(steps)), tuple(self._list(data, "edges", path, self._edge))
        )
        by_key = {step.key: step for step in steps}
        edges = tuple(self._with_port(edge, by_key) for edge in self._list(data, "edges", path, self._edge))
        self.problems = list(dict.fromkeys(self.problems))  # edges were read twice
        if self.catalog is not None:
            steps = [self._cleaned(step, index, path, self.catalog) for index, step in enumerate(steps)]
        settings = self._object(data, "settings", path)
        self._settings(settings, f"{path}.settings")
        return Definition(
            steps=tuple(steps),
            edges=edges,
            variables=tuple(self._list(data, "variables", path, self._variable)),
            triggers=tuple(self._list(data, "triggers", path, self._trigger)),
            settings=settings,
            library=self._library(data, f"{path}.library"),
        )

    def _library(self, data: Mapping[str, Any], path: str) -> JSONObject:
        """Texts of prompts, personas and mails that came along."""
        library = self._object(data, "library", path)
        self._unknown_keys(library, ("prompts", "personas", "emails"), path)
        self._list(library, "prompts", path, self._library_prompt)
        self._list(library, "personas", path, self._library_text)
        self._list(library, "emails", path, self._library_email)
        return library

    def _library_text(self, entry: Mapping[str, Any], path: str, index: int) -> None:
        for name in ("name", "text"):
            if not isinstance(entry.get(name), str) or not entry[name].strip():
                self.wrong(
                    f"{path}.{name}", "bad_value", f"{path}.{name} must be a text that says something."
                )

    def _library_prompt(self, entry: Mapping[str, Any], path: str, index: int) -> None:
        self._library_text(entry, path, index)
        number = entry.get("version")
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            self.wrong(f"{path}.version", "bad_value", f"{path}.version must be a whole number from 1.")
        self._list(entry, "parameters", path, self._library_parameter)

    def _library_email(self, entry: Mapping[str, Any], path: str, index: int) -> None:
        self._library_text(entry, path, index)
        self._list(entry, "parameters", path, self._library_parameter)

    def _library_parameter(self, entry: Mapping[str, Any], path: str, index: int) -> None:
        if not isinstance(entry.get("name"), str) or not entry["name"].strip():
            self.wrong(f"{path}.name", "bad_value", f"{path}.name is missing.")

    def _check_data(self, data: JSONValue, path: str) -> None:
        """NUL and lone surrogates cannot be stored, NaN cannot be written, bottomless data cannot be read."""
        todo: list[tuple[JSONValue, str, int]] = [(data, path, 0)]
        while todo:
            value, at, depth = todo.pop()
            if depth > MAX_DEPTH:
                self.wrong(at, "too_deep", f"{at} is nested more than {MAX_DEPTH} levels deep.")
            elif isinstance(value, str):
                self._check_text(value, at)
            elif isinstance(value, float) and not math.isfinite(value):
                self.wrong(at, "bad_number", f"{at} is not a number that JSON can hold.")
            elif isinstance(value, Mapping):
                for key, entry in value.items():
                    self._check_text(str(key), at)
                    todo.append((entry, f"{at}.{key}", depth + 1))
            elif isinstance(value, list | tuple):
                todo.extend((entry, f"{at}[{index}]", depth + 1) for index, entry in enumerate(value))

    def _check_text(self, text: str, path: str) -> None:
        if "\x00" in text:
            self.wrong(path, "bad_text", f"{path} holds a NUL character.", "Remove it.")
        elif not text.isascii() and any("\ud800" <= sign <= "\udfff" for sign in text):
            self.wrong(
                path, "bad_text", f"{path} holds half of a surrogate pair.", "Send it as valid Unicode."
            )

    def _cleaned(self, step: StepDef, index: int, path: str, catalog: TypeCatalog) -> StepDef:
        clean, problems = catalog.clean(step)
        at = f"{path}.nodes[{index}].config"
        self.problems.extend(
            replace(
                problem,
                step=step.label,
                step_key=step.key,
                path=f"{at}.{problem.field}" if problem.field else at,
            )
            for problem in problems
        )
        return clean

    # The parts

    def _step(self, node: Mapping[str, Any], path: str, index: int) -> StepDef:
        self._unknown_keys(node, _NODE, path, node)
        key = node.get("id")
        if key is None:
            key = derived_id("s", str(index), str(node.get("type")), str(node.get("name")))
        elif not is_id(key):
            self.wrong(
                f"{path}.id",
                "bad_id",
                f"{path}.id must be 1 to 64 letters, digits, “-” or “_”.",
                "Choose another id.",
                node,
            )
            key = derived_id("s", str(index))
        kind = self._text(node, "type", path, node)
        if not kind:
            self.wrong(
                f"{path}.type", "missing_type", f"{path} has no type.", "Say what the step does.", node
            )
        order = node.get("order")
        if order is not None and (isinstance(order, bool) or not isinstance(order, int) or order < 0):
            self.wrong(
                f"{path}.order", "bad_value", f"{path}.order must be a whole number from 0.", None, node
            )
            order = None
        parent = node.get("parent")
        if parent is not None and not isinstance(parent, str):
            self.wrong(f"{path}.parent", "bad_value", f"{path}.parent must be the id of a node.", None, node)
            parent = None
        pinned = node.get("pinned")
        if pinned is not None and not isinstance(pinned, Mapping):
            self.wrong(f"{path}.pinned", "bad_value", f"{path}.pinned must be an object.", None, node)
            pinned = None
        return StepDef(
            key=str(key),
            type=kind,
            label=self._text(node, "name", path, node),
            description=self._text(node, "description", path, node),
            config=self._object(node, "config", path, node),
            enabled=self._flag(node, "enabled", path, True, node),
            parent=parent,
            order=-1 if order is None else order,
            position=self._position(node, path),
            retry=self._retry(node, path),
            timeout_s=self._number(node, "timeout_s", path, None, node, least=0),
            on_error=self._on_error(node, path),
            join=self._join(node, path),
            inputs=self._fields(node, "inputs", path),
            outputs=self._fields(node, "outputs", path),
            pinned=None if pinned is None else dict(pinned),
            note=self._text(node, "note", path, node),
            generated=self._flag(node, "generated", path, False, node),
        )

    def _position(self, node: Mapping[str, Any], path: str) -> Position | None:
        value = node.get("position")
        if value is None:
            # A missing position gets one; an explicit null says that nobody chose one.
            return None if "position" in node else Position(math.nan, math.nan)
        if not isinstance(value, Mapping):
            self.wrong(
                f"{path}.position",
                "bad_value",
                f"{path}.position must be an object with x and y.",
                None,
                node,
            )
            return None
        x = self._number(value, "x", f"{path}.position", 0.0, node)
        y = self._number(value, "y", f"{path}.position", 0.0, node)
        return Position(float(x or 0), float(y or 0))

    def _retry(self, node: Mapping[str, Any], path: str) -> RetryPolicy | None:
        value = node.get("retry_policy")
        if value is None:
            return None
        at = f"{path}.retry_policy"
        if not isinstance(value, Mapping):
            self.wrong(at, "bad_value", f"{at} must be an object.", None, node)
            return None
        self._unknown_keys(value, _RETRY, at, node)
        base = RetryPolicy()
        codes = value.get("retry_on_errors") or ()
        if not isinstance(codes, list | tuple) or not all(isinstance(code, str) for code in codes):
            self.wrong(
                f"{at}.retry_on_errors",
                "bad_value",
                f"{at}.retry_on_errors must be a list of error codes.",
                None,
                node,
            )
            codes = ()
        return RetryPolicy(
            max_attempts=self._integer(value, "max_attempts", at, base.max_attempts, node),
            delay_ms=self._integer(value, "delay_ms", at, base.delay_ms, node),
            backoff_multiplier=self._number(value, "backoff_multiplier", at, base.backoff_multiplier, node)
            or 0.0,
            max_delay_ms=self._integer(value, "max_delay_ms", at, base.max_delay_ms, node),
            jitter=self._number(value, "jitter", at, base.jitter, node) or 0.0,
            retry_on_errors=tuple(codes),
        )

    def _on_error(self, node: Mapping[str, Any], path: str) -> ErrorPolicy:
        value = node.get("on_error")
        at = f"{path}.on_error"
        if value is None:
            return ErrorPolicy()
        if isinstance(value, str):
            value = {"policy": value}
        if not isinstance(value, Mapping):
            self.wrong(at, "bad_value", f"{at} must be an object with a policy.", None, node)
            return ErrorPolicy()
        self._unknown_keys(value, ("policy", "default"), at, node)
        return ErrorPolicy(
            self._choice(value, "policy", at, ErrorChoice, ErrorChoice.FAIL, node), value.get("default")
        )

    def _join(self, node: Mapping[str, Any], path: str) -> JoinRule:
        value = node.get("join")
        at = f"{path}.join"
        if value is None:
            return JoinRule()
        if isinstance(value, str):
            value = {"rule": value}
        if not isinstance(value, Mapping):
            self.wrong(at, "bad_value", f"{at} must be an object with a rule.", None, node)
            return JoinRule()
        self._unknown_keys(value, ("rule", "count", "losers"), at, node)
        return JoinRule(
            self._choice(value, "rule", at, JoinKind, JoinKind.ALL, node),
            self._integer(value, "count", at, 1, node, least=1),
            self._choice(value, "losers", at, Losers, Losers.CANCEL, node),
        )

    def _fields(self, node: Mapping[str, Any], name: str, path: str) -> tuple[FieldDecl, ...]:
        def read(field: Mapping[str, Any], at: str, index: int) -> FieldDecl:
            self._unknown_keys(field, ("name", "type", "required", "description"), at, node)
            label = self._text(field, "name", at, node)
            if not label:
                self.wrong(f"{at}.name", "missing_name", f"{at} has no name.", None, node)
            kind = field.get("type", "any")
            if kind not in FIELD_TYPES:
                self.wrong(
                    f"{at}.type",
                    "bad_value",
                    f"{at}.type must be one of {', '.join(FIELD_TYPES)}.",
                    None,
                    node,
                )
                kind = "any"
            return FieldDecl(
                label,
                kind,
                self._flag(field, "required", at, False, node),
                self._text(field, "description", at, node),
            )

        return tuple(self._list(node, name, path, read))

    def _edge(self, data: Mapping[str, Any], path: str, index: int) -> EdgeDef:
        self._unknown_keys(data, _EDGE, path)
        source, target = self._text(data, "source_node_id", path), self._text(data, "target_node_id", path)
        for name, value in (("source_node_id", source), ("target_node_id", target)):
            if not value:
                self.wrong(
                    f"{path}.{name}",
                    "dangling_edge",
                    f"{path} has no {name}.",
                    "Name the node that it joins.",
                )
        port = self._text(data, "source_output", path)
        edge_id = data.get("id")
        if edge_id is None:
            edge_id = derived_id(
                "e", source, port, target, str(data.get("target_input")), str(data.get("condition"))
            )
        elif not is_id(edge_id):
            self.wrong(f"{path}.id", "bad_id", f"{path}.id must be 1 to 64 letters, digits, “-” or “_”.")
            edge_id = derived_id("e", source, port, target)
        return EdgeDef(
            id=str(edge_id),
            source=source,
            target=target,
            port=port,
            target_input=self._text(data, "target_input", path) or None,
            condition=self._text(data, "condition", path).strip() or None,
        )

    def _with_port(self, edge: EdgeDef, by_key: Mapping[str, StepDef]) -> EdgeDef:
        """An edge that names no way out leaves by the main one."""
        if edge.port:
            return edge
        source = by_key.get(edge.source)
        ports = self.catalog.ports(source) if source is not None and self.catalog is not None else ()
        return replace(edge, port=ports[0] if ports else "out")

    def _variable(self, data: Mapping[str, Any], path: str, index: int) -> VariableDef:
        self._unknown_keys(data, _VARIABLE, path)
        name = self._text(data, "name", path)
        if not name:
            self.wrong(f"{path}.name", "missing_name", f"{path} has no name.", "Give the variable a name.")
        return VariableDef(
            name=name,
            type=self._choice(data, "type", path, VariableType, VariableType.STRING),
            kind=self._choice(data, "kind", path, VariableKind, VariableKind.INPUT),
            required=self._flag(data, "required", path, False),
            default=data.get("default_value"),
            description=self._text(data, "description", path),
        )

    def _trigger(self, data: Mapping[str, Any], path: str, index: int) -> TriggerDef:
        self._unknown_keys(data, _TRIGGER, path)
        kind = self._text(data, "type", path)
        if kind not in TRIGGER_TYPES:
            self.wrong(
                f"{path}.type",
                "unknown_type",
                f"There is no trigger type “{kind}”.",
                f"The types are {', '.join(TRIGGER_TYPES)}.",
            )
        trigger_id = data.get("id")
        if trigger_id is None:
            trigger_id = derived_id("t", str(index), kind)
        elif not is_id(trigger_id):
            self.wrong(f"{path}.id", "bad_id", f"{path}.id must be 1 to 64 letters, digits, “-” or “_”.")
        return TriggerDef(
            str(trigger_id),
            kind,
            self._object(data, "config", path),
            self._object(data, "input_mapping", path),
        )

    def _settings(self, settings: JSONObject, path: str) -> None:
        yolo, model = settings.get("yolo"), settings.get("default_model")
        longest, handler = settings.get("max_run_time_s"), settings.get("error_workflow")
        if yolo is not None and not isinstance(yolo, bool):
            self.wrong(f"{path}.yolo", "bad_value", f"{path}.yolo must be true or false.")
        if model is not None and not isinstance(model, str):
            self.wrong(
                f"{path}.default_model", "bad_value", f"{path}.default_model must be text: provider:model."
            )
        if longest is not None and (
            isinstance(longest, bool) or not isinstance(longest, int | float) or longest <= 0
        ):
            self.wrong(
                f"{path}.max_run_time_s", "bad_value", f"{path}.max_run_time_s must be more than 0 seconds."
            )
        chain, refusal = settings.get("fallback"), settings.get("fallback_on_refusal")
        budget, policy = settings.get("budget_usd"), settings.get("budget_policy")
        if chain is not None and (
            not isinstance(chain, list | tuple) or not all(isinstance(entry, str) for entry in chain)
        ):
            self.wrong(
                f"{path}.fallback", "bad_value", f"{path}.fallback must be a list of texts: provider:model."
            )
        if refusal is not None and not isinstance(refusal, bool):
            self.wrong(
                f"{path}.fallback_on_refusal",
                "bad_value",
                f"{path}.fallback_on_refusal must be true or false.",
            )
        if budget is not None and (
            isinstance(budget, bool) or not isinstance(budget, int | float) or not 0 < budget <= 1_000_000
        ):
            self.wrong(
                f"{path}.budget_usd",
                "bad_value",
                f"{path}.budget_usd must be more than 0 US dollars, at most 1,000,000.",
            )
        minutes = settings.get("minutes_saved")
        if minutes is not None and (
            isinstance(minutes, bool) or not isinstance(minutes, int | float) or not 0 < minutes <= 100_000
        ):
            self.wrong(
                f"{path}.minutes_saved",
                "bad_value",
                f"{path}.minutes_saved must be more than 0 minutes, at most 100,000.",
            )
        if policy is not None and policy not in BUDGET_POLICIES:
            known = ", ".join(BUDGET_POLICIES)
            self.wrong(f"{path}.budget_policy", "bad_value", f"{path}.budget_policy must be one of: {known}.")
        if handler is not None and not isinstance(handler, str):
            self.wrong(
                f"{path}.error_workflow", "bad_value", f"{path}.error_workflow must be a workflow's id."
            )

    # The pieces

    def _unknown_keys(
        self, data: Mapping[str, Any], known: Iterable[str], path: str, node: object = None
    ) -> None:
        known = tuple(known)
        for key in data:
            if key not in known:
                near = nearest(str(key), known)
                fix = f"Did you mean “{near}”?" if near else f"Known here: {', '.join(known)}."
                self.wrong(f"{path}.{key}", "unknown_key", f"{path} has no “{key}”.", fix, node)

    def _list(
        self,
        data: Mapping[str, Any],
        name: str,
        path: str,
        read: Callable[[Mapping[str, Any], str, int], _Made],
    ) -> list[_Made]:
        value = data.get(name)
        at = f"{path}.{name}"
        if value is None:
            return []
        if not isinstance(value, list | tuple):
            self.wrong(at, "bad_value", f"{at} must be a list.")
            return []
        made: list[_Made] = []
        for index, entry in enumerate(value):
            if isinstance(entry, Mapping):
                made.append(read(entry, f"{at}[{index}]", index))
            else:
                self.left_out = True
                self.wrong(f"{at}[{index}]", "bad_value", f"{at}[{index}] must be an object.")
        return made

    def _object(self, data: Mapping[str, Any], name: str, path: str, node: object = None) -> JSONObject:
        value = data.get(name)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self.wrong(f"{path}.{name}", "bad_value", f"{path}.{name} must be an object.", None, node)
            return {}
        return dict(value)

    def _text(self, data: Mapping[str, Any], name: str, path: str, node: object = None) -> str:
        value = data.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            self.wrong(f"{path}.{name}", "bad_value", f"{path}.{name} must be text.", None, node)
            return ""
        return value

    def _flag(
        self, data: Mapping[str, Any], name: str, path: str, default: bool, node: object = None
    ) -> bool:
        value = data.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.wrong(f"{path}.{name}", "bad_value", f"{path}.{name} must be true or false.", None, node)
            return default
        return value

    def _number(
        self,
        data: Mapping[str, Any],
        name: str,
        path: str,
        default: float | None,
        node: object = None,
        *,
        least: float | None = None,
    ) -> float | None:
        value = data.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e15:
            self.wrong(f"{path}.{name}", "bad_value", f"{path}.{name} must be a number.", None, node)
            return default
        if least is not None and value < least:
            self.wrong(
                f"{path}.{name}", "bad_value", f"{path}.{name} must be at least {least:g}.", None, node
            )
            return default
        return float(value)

    def _integer(
        self,
        data: Mapping[str, Any],
        name: str,
        path: str,
        default: int,
        node: object = None,
        *,
        least: int = 0,
    ) -> int:
        value = self._number(data, name, path, default, node, least=least)
        if value is None or not float(value).is_integer():
            self.wrong(f"{path}.{name}", "bad_value", f"{path}.{name} must be a whole number.", None, node)
            return default
        return int(value)

    def _choice(
        self,
        data: Mapping[str, Any],
        name: str,
        path: str,
        choices: type[_Choice],
        default: _Choice,
        node: object = None,
    ) -> _Choice:
        value = data.get(name)
        if value is None:
            return default
        try:
            return choices(value)
        except ValueError:
            words = ", ".join(choice.value for choice in choices)
            self.wrong(f"{path}.{name}", "bad_value", f"{path}.{name} must be one of {words}.", None, node)
            return default


# --- defaults for what was left out ---------------------------------------------------------------


def _with_labels(steps: list[StepDef]) -> list[StepDef]:
    """A step without a name is called after its id where a person chose one, else after its type."""
    taken = {step.label.casefold() for step in steps if step.label}
    named: list[StepDef] = []
    for step in steps:
        label = step.label
        if not label:
            wished = step.type.replace("_", " ").capitalize() if step.key.startswith("s_") else step.key
            label, number = wished, 2
            while label.casefold() in taken:
                label, number = f"{wished} {number}", number + 1
            taken.add(label.casefold())
        named.append(step if label == step.label else replace(step, label=label))
    return named


def _with_orders(steps: list[StepDef], edges: tuple[EdgeDef, ...]) -> list[StepDef]:
    """Orders stay where each body has distinct ones; other bodies are counted again in list order."""
    orders: dict[str | None, list[int]] = {}
    for step in steps:
        orders.setdefault(step.parent, []).append(step.order)
    unclear = {parent for parent, given in orders.items() if min(given) < 0 or len(set(given)) < len(given)}
    if not unclear or len({step.key for step in steps}) < len(steps):
        return [replace(step, order=max(step.order, 0)) for step in steps]
    # Those without an order come after those with one, in the order they were sent.
    top = max(max(given) for given in orders.values()) + 1
    wished = Definition(
        tuple(
            replace(step, order=top + index if step.order < 0 else step.order)
            for index, step in enumerate(steps)
        ),
        edges,
    )
    place = {step.key: index for parent in unclear for index, step in enumerate(body_order(wished, parent))}
    return [replace(step, order=place.get(step.key, step.order)) for step in steps]
