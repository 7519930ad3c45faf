"""Versions made ready to run: definition, graph and what each step's texts refer to. Cached by content hash."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from uuid import UUID

from runs.engine.graph import Graph, compile_graph
from workflows.definition.generated import with_generated
from workflows.definition.graph import Definition, StepDef
from workflows.definition.library import Library
from workflows.expressions.paths import normal
from workflows.expressions.references import Reference, expression_references, references
from workflows.models import WorkflowVersion
from workflows.services.definitions import load_definition
from workflows.steps import registry
from workflows.steps.base import ExecutionKind, StepType
from workflows.steps.catalog import CATALOG

_KEPT = 64


@dataclass(frozen=True)
class Prepared:
    """A version ready to be driven. Everything here is immutable or computed once."""

    definition: Definition
    graph: Graph

    def step(self, key: str) -> StepDef:
        """A step of the definition, hidden bodies and steps that are off included."""
        return self.graph.definition.by_key.get(key) or self.definition.step(key)

    @cached_property
    def library(self) -> Library:
        """Prompts and personas as they were when the version was frozen."""
        return Library.from_json(self.definition.library)

    @cached_property
    def key_of_label(self) -> dict[str, str]:
        return {normal(step.label): step.key for step in self.definition.steps}

    @cached_property
    def labels(self) -> frozenset[str]:
        return frozenset(step.label for step in self.definition.steps)

    @cached_property
    def _needs(self) -> dict[str, tuple[str, ...]]:
        return {}

    def needs(self, key: str) -> tuple[str, ...]:
        """Keys of the steps whose outputs the settings of a step, or the conditions of its paths, refer to."""
        if key not in self._needs:
            step = self.step(key)
            found: dict[str, None] = {}
            for _, text in CATALOG.templates(step):
                found.update(dict.fromkeys(self._keys(references(text))))
            for _, text in CATALOG.expressions(step):
                found.update(dict.fromkeys(self._keys(expression_references(text, self.labels))))
            self._needs[key] = tuple(found)
        return self._needs[key]

    def condition_needs(self, key: str) -> tuple[str, ...]:
        """The same for the conditions of the paths that leave a step."""
        name = f"{key}->"
        if name not in self._needs:
            found: dict[str, None] = {}
            for edge in self.graph.outgoing(key):
                if edge.condition:
                    found.update(
                        dict.fromkeys(self._keys(expression_references(edge.condition, self.labels)))
                    )
            self._needs[name] = tuple(found)
        return self._needs[name]

    def type_of(self, step: StepDef) -> StepType:
        return registry.get(step.type)

    def kind_of(self, step: StepDef) -> ExecutionKind:
        """Where a step's work is done. One that works at once and has a time limit of its own works in a thread, which
        can be left behind; the driver cannot."""
        kind = self.type_of(step).kind(step.config)
        return ExecutionKind.CPU if kind is ExecutionKind.INLINE and step.timeout_s is not None else kind

    def _keys(self, found: Iterable[Reference]) -> Iterator[str]:
        for reference in found:
            if (
                reference.step is not None
                and (key := self.key_of_label.get(normal(reference.step))) is not None
            ):
                yield key


_cache: OrderedDict[str, Prepared] = OrderedDict()
_lock = threading.Lock()


def prepared(version_id: UUID, content_hash: str) -> Prepared:
    """The version with this id, from the cache where its content has been prepared before."""
    with _lock:
        found = _cache.get(content_hash)
        if found is not None:
            _cache.move_to_end(content_hash)
            return found
    return _keep(WorkflowVersion.objects.get(pk=version_id))


def prepared_all(versions: Mapping[UUID, str]) -> dict[UUID, Prepared]:
    """The same for many versions, given as id → content hash: at most one query for all."""
    with _lock:
        found = {pk: _cache[digest] for pk, digest in versions.items() if digest in _cache}
    if missing := versions.keys() - found.keys():
        found |= {row.pk: _keep(row) for row in WorkflowVersion.objects.filter(pk__in=missing)}
    return found


def _keep(version: WorkflowVersion) -> Prepared:
    definition = with_generated(load_definition(version), CATALOG.generated)
    made = Prepared(definition, compile_graph(definition, CATALOG))
    with _lock:
        _cache[version.content_hash] = made
        while len(_cache) > _KEPT:
            _cache.popitem(last=False)
    return made
