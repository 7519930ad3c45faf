"""Steps that settings of other steps stand for: put into the definition when a run is made of it, never stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from workflows.definition.graph import DEFAULT_PORT, Definition, EdgeDef, StepDef
from workflows.definition.ids import derived_id

_KEY_CHARS: Final = 64


def with_generated(definition: Definition, generated: Callable[[StepDef], tuple[StepDef, ...]]) -> Definition:
    """The definition with the generated steps of each step after it, in a row (07 §3).

    What followed the step by its usual way out follows the last of them. They are off where their step is off.
    A workflow's own definition never holds them, so copies, exports and the builder are without.
    """
    more: dict[str, tuple[StepDef, ...]] = {}
    for step in definition.steps:
        if made := generated(step):
            more[step.key] = made
    if not more:
        return definition
    labels = {step.label.casefold() for step in definition.steps}
    keys = set(definition.by_key)
    steps: list[StepDef] = []
    edges: list[EdgeDef] = []
    last: dict[str, str] = {}
    for step in definition.steps:
        steps.append(step)
        before = step.key
        for made_step in more.get(step.key, ()):
            if made_step.label.casefold() in labels:
                # Nothing refers to it by a label that an author has given to a step of his own.
                made_step = replace(made_step, label=f"{made_step.label} ({made_step.key})")
            key = made_step.key
            while key in keys or len(key) > _KEY_CHARS:
                key = derived_id("s", key)
            keys.add(key)
            after = replace(
                made_step,
                key=key,
                parent=step.parent,
                order=step.order,
                enabled=step.enabled,
                generated=True,
            )
            steps.append(after)
            edges.append(EdgeDef(derived_id("e", before, after.key), before, after.key))
            before = after.key
        if before != step.key:
            last[step.key] = before
    moved = (
        replace(edge, source=last[edge.source]) if edge.source in last and edge.port == DEFAULT_PORT else edge
        for edge in definition.edges
    )
    return replace(definition, steps=tuple(steps), edges=(*moved, *edges))
