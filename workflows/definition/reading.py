"""A whole document → Definition: nodes, edges, variables, triggers, settings and the texts that came along."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from workflows.definition.aliases import with_canonical_words
from workflows.definition.graph import (
    Definition,
    EdgeDef,
    StepDef,
    TriggerDef,
    VariableDef,
    VariableKind,
    VariableType,
)
from workflows.definition.ids import derived_id, is_id
from workflows.definition.reading_steps import StepReader, with_labels, with_orders
from workflows.definition.types import TypeCatalog
from workflows.lib.jsontypes import JSONObject, JSONValue

TRIGGER_TYPES: Final = ("manual", "schedule", "webhook", "event")
BUDGET_POLICIES: Final = ("warn", "pause", "stop")
_TOP: Final = ("nodes", "edges", "variables", "triggers", "settings", "library")
_EDGE: Final = ("id", "source_node_id", "target_node_id", "source_output", "target_input", "condition")
_VARIABLE: Final = ("name", "type", "kind", "required", "default_value", "description")
_TRIGGER: Final = ("id", "type", "config", "input_mapping")


class DocumentReader(StepReader):
    """Reads one document and gathers what is wrong with it.

    Without a catalog nothing is asked about step types: that is how stored versions are read.
    """

    def __init__(self, catalog: TypeCatalog | None) -> None:
        super().__init__()
        self.catalog = catalog
        self.unplaced: set[str] = set()

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
        self.check_data(data, path)
        if self.problems:
            self.left_out = True
            return Definition()
        if self.catalog is not None:
            data = with_canonical_words(data, self.catalog)
        self._unknown_keys(data, _TOP, path)
        steps = self._list(data, "nodes", path, self._step)
        steps = with_orders(
            self._without_marks(with_labels(steps)), tuple(self._list(data, "edges", path, self._edge))
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
