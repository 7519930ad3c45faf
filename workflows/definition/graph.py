"""What a workflow is, as frozen data: steps, edges, variables, triggers and settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import TypeAlias, TypeVar, cast

from workflows.definition.retry import RetryPolicy
from workflows.lib.jsontypes import JSONObject, JSONValue

DEFAULT_PORT = "out"
ERROR_PORT = "error"

_Answer = TypeVar("_Answer")
_Neighbours: TypeAlias = Callable[[str], Iterable[str]]


class JoinKind(StrEnum):
    ALL = "all"
    ANY = "any"
    COUNT = "count"


class Losers(StrEnum):
    """What happens to branches that a join no longer waits for."""

    CANCEL = "cancel"
    LEAVE = "leave"


@dataclass(frozen=True, slots=True)
class JoinRule:
    """When a step with several incoming edges starts: all decided and one live, the first live, or `count` live."""

    rule: JoinKind = JoinKind.ALL
    count: int = 1
    losers: Losers = Losers.CANCEL


class ErrorChoice(StrEnum):
    FAIL = "fail"
    CONTINUE = "continue"
    ROUTE = "route"


@dataclass(frozen=True, slots=True)
class ErrorPolicy:
    """What a step's last failure does: fail the run, go on with `default`, or leave by the `error` port."""

    policy: ErrorChoice = ErrorChoice.FAIL
    default: JSONValue = None


@dataclass(frozen=True, slots=True)
class FieldDecl:
    """A declared input or output of a step: JSON type `string|number|boolean|object|array|any`."""

    name: str
    type: str = "any"
    required: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True)
class Position:
    """Place on the canvas, in pixels at 100%."""

    x: float = 0.0
    y: float = 0.0


@dataclass(frozen=True, slots=True)
class StepDef:
    """One step. `key` is its identity for ever; `label` is what people and references say.

    `retry` None means the default of its type; `timeout_s` None likewise; `parent` is the key of the
    container whose body it is in; `order` is the person's order among siblings, 0..n-1.
    """

    key: str
    type: str
    label: str
    description: str = ""
    config: JSONObject = field(default_factory=dict)
    enabled: bool = True
    parent: str | None = None
    order: int = 0
    position: Position | None = None
    retry: RetryPolicy | None = None
    timeout_s: float | None = None
    on_error: ErrorPolicy = ErrorPolicy()
    join: JoinRule = JoinRule()
    inputs: tuple[FieldDecl, ...] = ()
    outputs: tuple[FieldDecl, ...] = ()
    pinned: JSONObject | None = None
    note: str = ""
    generated: bool = False


@dataclass(frozen=True, slots=True)
class EdgeDef:
    """A path from a step's port to a step. `target_input` names the value as `{{inputs.NAME}}` in the target."""

    id: str
    source: str
    target: str
    port: str = DEFAULT_PORT
    target_input: str | None = None
    condition: str | None = None


class VariableKind(StrEnum):
    INPUT = "input"
    CONTEXT = "context"


class VariableType(StrEnum):
    STRING = "string"
    NUMBER = "number"
    BOOLEAN = "boolean"
    OBJECT = "object"
    ARRAY = "array"


@dataclass(frozen=True, slots=True)
class VariableDef:
    """A variable: `input` ones make the run form, `context` ones live through a run."""

    name: str
    type: VariableType = VariableType.STRING
    kind: VariableKind = VariableKind.INPUT
    required: bool = False
    default: JSONValue = None
    description: str = ""


@dataclass(frozen=True, slots=True)
class TriggerDef:
    """What starts runs: type `manual|schedule|webhook|event`, its config, and how its data becomes input."""

    id: str
    type: str
    config: JSONObject = field(default_factory=dict)
    input_mapping: JSONObject = field(default_factory=dict)

    @property
    def events(self) -> tuple[str, ...]:
        """The names that an event trigger waits for."""
        given = self.config.get("event") if self.type == "event" else None
        found = given if isinstance(given, list) else [given] if given else []
        return tuple(str(name) for name in found)


@dataclass(frozen=True)
class Definition:
    """A whole workflow. Lookups are cached on first use; the data never changes.

    `settings` keys in use: `yolo` (bool), `default_model` (`provider:model`), `max_run_time_s`, `error_workflow`,
    `fallback` (models in order), `fallback_on_refusal` (bool), `budget_usd` and `budget_policy` (`warn`, `pause`, `stop`).
    `library` holds the texts of prompts and personas that steps name, frozen with a version; a draft has none.
    """

    steps: tuple[StepDef, ...] = ()
    edges: tuple[EdgeDef, ...] = ()
    variables: tuple[VariableDef, ...] = ()
    triggers: tuple[TriggerDef, ...] = ()
    settings: JSONObject = field(default_factory=dict)
    library: JSONObject = field(default_factory=dict)

    @cached_property
    def by_key(self) -> Mapping[str, StepDef]:
        return {step.key: step for step in self.steps}

    @cached_property
    def _outgoing(self) -> Mapping[str, tuple[EdgeDef, ...]]:
        return _grouped(self.edges, lambda edge: edge.source)

    @cached_property
    def _incoming(self) -> Mapping[str, tuple[EdgeDef, ...]]:
        return _grouped(self.edges, lambda edge: edge.target)

    @cached_property
    def _children(self) -> Mapping[str | None, tuple[StepDef, ...]]:
        found: dict[str | None, list[StepDef]] = {}
        for step in self.steps:
            found.setdefault(step.parent, []).append(step)
        return {parent: tuple(sorted(steps, key=lambda step: step.order)) for parent, steps in found.items()}

    @cached_property
    def _answers(self) -> dict[tuple[str, int], tuple[object, object]]:
        return {}

    def work_out(self, name: str, catalog: object, make: Callable[[], _Answer]) -> _Answer:
        """What `make()` gives, kept with this definition: neither its data nor the step types ever change.

        One request asks the same several times: an edit for what it broke, the checks, the page.
        """
        kept = self._answers.get((name, id(catalog)))
        if kept is None:
            kept = self._answers[name, id(catalog)] = (catalog, make())  # the catalog is held: ids are reused
        return cast(_Answer, kept[1])

    def step(self, key: str) -> StepDef:
        """The step with this key; KeyError when there is none."""
        return self.by_key[key]

    def outgoing(self, key: str) -> tuple[EdgeDef, ...]:
        """Edges that leave the step, in the definition's order."""
        return self._outgoing.get(key, ())

    def incoming(self, key: str) -> tuple[EdgeDef, ...]:
        """Edges that reach the step, in the definition's order (the order of a join's inputs)."""
        return self._incoming.get(key, ())

    def children(self, parent: str | None) -> tuple[StepDef, ...]:
        """Steps of a container's body (None: the top level), in list order."""
        return self._children.get(parent, ())

    def roots(self, parent: str | None = None) -> tuple[StepDef, ...]:
        """Steps of the body that no edge reaches: they start when the body starts."""
        return tuple(step for step in self.children(parent) if not self.incoming(step.key))

    def leaves(self, parent: str | None = None) -> tuple[StepDef, ...]:
        """Steps of the body that no edge leaves."""
        return tuple(step for step in self.children(parent) if not self.outgoing(step.key))

    def ancestors(self, key: str) -> frozenset[str]:
        """Keys of every step from which a path leads to this one (not itself)."""
        return self._closure(key, lambda k: (edge.source for edge in self.incoming(k)))

    def descendants(self, key: str) -> frozenset[str]:
        """Keys of every step that a path from this one reaches (not itself)."""
        return self._closure(key, lambda k: (edge.target for edge in self.outgoing(k)))

    def _closure(self, key: str, neighbours: _Neighbours) -> frozenset[str]:
        seen: set[str] = set()
        todo = list(neighbours(key))
        while todo:
            at = todo.pop()
            if at not in seen:
                seen.add(at)
                todo.extend(neighbours(at))
        return frozenset(seen)

    def labels(self) -> Iterator[str]:
        return (step.label for step in self.steps)

    def with_step(self, step: StepDef) -> Definition:
        """The same definition with the step of this key replaced."""
        return replace(self, steps=tuple(step if old.key == step.key else old for old in self.steps))

    def input_variables(self) -> tuple[VariableDef, ...]:
        return tuple(variable for variable in self.variables if variable.kind is VariableKind.INPUT)

    def context_variables(self) -> tuple[VariableDef, ...]:
        return tuple(variable for variable in self.variables if variable.kind is VariableKind.CONTEXT)


def _grouped(edges: Iterable[EdgeDef], key: Callable[[EdgeDef], str]) -> Mapping[str, tuple[EdgeDef, ...]]:
    found: dict[str, list[EdgeDef]] = {}
    for edge in edges:
        found.setdefault(key(edge), []).append(edge)
    return {name: tuple(group) for name, group in found.items()}
