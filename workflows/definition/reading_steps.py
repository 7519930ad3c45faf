"""One step of a document: its type, settings, policies and fields, with defaults for what was left out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

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
)
from workflows.definition.ids import derived_id, is_id
from workflows.definition.ordering import body_order
from workflows.definition.reading_pieces import PieceReader
from workflows.definition.retry import RetryPolicy

FIELD_TYPES: Final = ("string", "number", "boolean", "object", "array", "any")

_NODE: Final = (
    "id", "type", "name", "description", "position", "config", "inputs", "outputs", "enabled", "parent", "order",
    "retry_policy", "timeout_s", "on_error", "join", "pinned", "note", "generated",
)  # fmt: skip
_RETRY: Final = (
    "max_attempts",
    "delay_ms",
    "backoff_multiplier",
    "max_delay_ms",
    "jitter",
    "retry_on_errors",
)


class StepReader(PieceReader):
    """Reads nodes."""

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


# --- defaults for what was left out ---------------------------------------------------------------


def with_labels(steps: list[StepDef]) -> list[StepDef]:
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


def with_orders(steps: list[StepDef], edges: tuple[EdgeDef, ...]) -> list[StepDef]:
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
