"""Whether work that was finished in one version stands in another: definitions and paths of steps compared."""

from __future__ import annotations

from collections.abc import Iterable

from runs.engine.graph import Graph
from workflows.definition.graph import EdgeDef, StepDef


def why_changed(old: Graph, new: Graph, key: str) -> str | None:
    """Why finished work of this step does not stand in `new`; None when it does. A sentence that names the step.

    What decides an output and where it went is compared: type, settings, on or off, container, what a failure does,
    the join, the paths that lead to it, and the conditions on the paths that leave it. Names, notes, places, time
    limits and retries do not matter to what is finished.
    """
    before = _step(old, key)
    after = _step(new, key)
    label = before.label if before is not None else key
    if before is None or after is None:
        return f"“{label}” is not there any more."
    if before.type != after.type:
        return f"“{label}” has another type."
    if (key in old.off) != (key in new.off):
        return f"“{label}” was switched {'off' if key in new.off else 'on'}."
    if before.parent != after.parent:
        return f"“{label}” was moved into or out of a container."
    if before.config != after.config:
        return f"The settings of “{label}” have changed."
    if before.on_error != after.on_error or before.join != after.join:
        return f"“{label}” treats failures or waiting differently."
    if _paths(old.incoming(key)) != _paths(new.incoming(key)):
        return f"The paths that lead to “{label}” have changed."
    conditions = [edge for edge in old.outgoing(key) if edge.condition]
    if _paths(conditions) != _paths(edge for edge in new.outgoing(key) if edge.condition):
        return f"The conditions of the paths that leave “{label}” have changed."
    return None


def changed_steps(old: Graph, new: Graph) -> frozenset[str]:
    """Keys of the steps of `new` whose work has to be done again: new ones, and those that have changed."""
    return frozenset(
        key for key in (*new.order, *new.off) if _step(old, key) is None or why_changed(old, new, key)
    )


def _step(graph: Graph, key: str) -> StepDef | None:
    return graph.definition.by_key.get(key) or graph.whole.by_key.get(key)


def _paths(edges: Iterable[EdgeDef]) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for edge in edges:
        found.append(
            (edge.id, edge.source, edge.target, edge.port, edge.target_input or "", edge.condition or "")
        )
    return found
