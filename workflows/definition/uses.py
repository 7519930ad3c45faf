"""Which data each text of a workflow uses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from workflows.definition.graph import Definition, EdgeDef, StepDef
from workflows.definition.types import TypeCatalog
from workflows.expressions.paths import Path, normal
from workflows.expressions.references import expression_references, references

# Where a text stands: in a step's settings, or on a path between steps.
Owner: TypeAlias = StepDef | EdgeDef


@dataclass(frozen=True, slots=True)
class Use:
    """One reference. `field` is the place in the config, or `condition` of an edge; `offset` is in `text`.

    `guarded`: the text says what stands there when there is no value, or asks first.
    """

    owner: Owner
    field: str
    text: str
    path: Path
    offset: int
    is_expression: bool = False
    guarded: bool = False


def uses(definition: Definition, catalog: TypeCatalog) -> tuple[Use, ...]:
    """Every reference of every text that can be read, in the definition's order; worked out once for a definition."""
    return definition.work_out("uses", catalog, lambda: tuple(_uses(definition, catalog)))


def _uses(definition: Definition, catalog: TypeCatalog) -> Iterator[Use]:
    labels = frozenset(definition.labels())
    for step in definition.steps:
        for field, text in catalog.templates(step):
            if "{{" in text:
                for found in references(text):
                    yield Use(step, field, text, found.path, found.start, False, found.guarded)
        for field, text in catalog.expressions(step):
            for found in expression_references(text, labels):
                yield Use(step, field, text, found.path, found.start, True, found.guarded)
    for edge in definition.edges:
        if edge.condition is not None:
            for found in expression_references(edge.condition, labels):
                yield Use(edge, "condition", edge.condition, found.path, found.start, True, found.guarded)


def owner_step(definition: Definition, owner: Owner) -> StepDef | None:
    """The step a text belongs to; the condition of a path belongs to the step that the path leaves."""
    return owner if isinstance(owner, StepDef) else definition.by_key.get(owner.source)


def users_of(
    definition: Definition, catalog: TypeCatalog, keys: Iterable[str]
) -> dict[str, tuple[StepDef, ...]]:
    """For each of these steps: the other steps whose texts, or whose paths' conditions, use its output (W7)."""
    wanted = {normal(definition.step(key).label): key for key in keys}
    found: dict[str, dict[str, StepDef]] = {key: {} for key in wanted.values()}
    for use in uses(definition, catalog):
        label = use.path.label
        key = wanted.get(normal(label)) if label is not None else None
        owner = owner_step(definition, use.owner)
        if key is not None and owner is not None and owner.key != key:
            found[key][owner.key] = owner
    return {key: tuple(steps.values()) for key, steps in found.items()}
