"""The part of a workflow that a step needs: the step itself and all that leads to it. What a test of one step runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from workflows.definition.graph import Definition, ErrorPolicy
from workflows.lib.jsontypes import JSONObject


def leading_to(definition: Definition, key: str) -> frozenset[str]:
    """Keys of the step, of all that runs before it, of the containers around it, and of the bodies that those before have.

    Raises KeyError for a step that is not there.
    """
    keep: set[str] = set()
    whole: set[str] = {key}
    at: str | None = key
    while at is not None and at not in keep:
        before = definition.ancestors(at)
        keep |= {at, *before}
        whole |= before
        at = definition.step(at).parent
    # What stands before runs as it is, with everything inside of it.
    todo = list(whole)
    while todo:
        for child in definition.children(todo.pop()):
            keep.add(child.key)
            todo.append(child.key)
    return frozenset(keep)


def cut_at(definition: Definition, key: str, values: Mapping[str, JSONObject] | None = None) -> Definition:
    """The definition with nothing behind the step. `values` are outputs that steps before it are to have, as pins.

    A failure of the step itself ends such a run, whatever else its error policy says of those who follow.
    """
    keep = leading_to(definition, key)
    given = values or {}
    steps = []
    for step in definition.steps:
        if step.key not in keep:
            continue
        if step.key in given:
            step = replace(step, pinned=given[step.key])
        if step.key == key:
            step = replace(step, on_error=ErrorPolicy(), enabled=True)
        steps.append(step)
    edges = tuple(
        edge
        for edge in definition.edges
        if edge.source in keep and edge.target in keep and edge.source != key
    )
    return replace(definition, steps=tuple(steps), edges=edges)
