"""What an edit gives back, and what all edits share: finding steps, ordering, saying what changed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from workflows.definition.graph import (
    DEFAULT_PORT,
    Definition,
    EdgeDef,
    StepDef,
)
from workflows.definition.ordering import cycle, list_order, reindex
from workflows.definition.types import TypeCatalog, main_port
from workflows.definition.validation import graph_problems
from workflows.lib.errors import Fault, Problem, StepwellError

# The end of a sentence about a text: where in it the fault is.
_PLACE: Final = re.compile(r" \([^()]*line \d+, column \d+\)$")


class OperationRefused(StepwellError):
    """The edit cannot be made; nothing was changed. The message says why, in words for the person."""

    code = "refused"
    fault = Fault.AUTHOR
    status = 409

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message, code=code)


@dataclass(frozen=True)
class Effects:
    """What an edit did, for the toast, the screen reader and the checks.

    `message` is one sentence. `checks` is what the edit itself found; `problems` are these and all others that were not
    there before. `created` and `removed` are step keys; `added_edges` and `removed_edges` are what changed between
    steps; `rewritten` names the texts that were changed, as (step key or edge id, field); `lost` lists, in words, what
    the edit takes away for good.
    """

    message: str
    checks: tuple[Problem, ...] = ()
    created: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    added_edges: tuple[EdgeDef, ...] = ()
    removed_edges: tuple[EdgeDef, ...] = ()
    rewritten: tuple[tuple[str, str], ...] = ()
    lost: tuple[str, ...] = ()
    compared: tuple[Definition, Definition, TypeCatalog] | None = field(
        default=None, repr=False, compare=False
    )

    @cached_property
    def problems(self) -> tuple[Problem, ...]:
        """Worked out when it is asked for: an edit of ten steps is ten edits, of which nobody asks the first nine."""
        if self.compared is None:
            return self.checks
        before, after, catalog = self.compared
        return (*self.checks, *_new_problems(graph_problems(before, catalog), graph_problems(after, catalog)))


@dataclass(frozen=True, slots=True)
class Edit:
    definition: Definition
    effects: Effects


def reached(definition: Definition, keys: Iterable[str]) -> frozenset[str]:
    """These steps and everything after them."""
    found = set(keys)
    todo = list(found)
    while todo:
        for edge in definition.outgoing(todo.pop()):
            if edge.target not in found:
                found.add(edge.target)
                todo.append(edge.target)
    return frozenset(found)


def finish(
    before: Definition,
    after: Definition,
    catalog: TypeCatalog,
    message: str | Callable[[Definition], str],
    *,
    created: tuple[str, ...] = (),
    removed: tuple[str, ...] = (),
    rewritten: tuple[tuple[str, str], ...] = (),
    lost: tuple[str, ...] = (),
    checks: Sequence[Problem] = (),
) -> Edit:
    """Order the steps, refuse a cycle, and say what changed."""
    if (found := cycle(after)) is not None and cycle(before) is None:
        names = " → ".join(f"“{after.step(key).label}”" for key in (*found[:5], found[0]))
        raise OperationRefused("cycle", f"These steps would wait for each other: {names}.")
    after = reindex(after, catalog)
    old_edges, new_edges = set(before.edges), set(after.edges)
    return Edit(
        after,
        Effects(
            message if isinstance(message, str) else message(after),
            tuple(checks),
            created,
            removed,
            tuple(edge for edge in after.edges if edge not in old_edges),
            tuple(edge for edge in before.edges if edge not in new_edges),
            rewritten,
            lost,
            (before, after, catalog),
        ),
    )


def _new_problems(before: Iterable[Problem], after: Iterable[Problem]) -> list[Problem]:
    """Problems that the edit brought: those of a kind and place that had fewer before.

    Sentences alone do not tell, since a rename or a longer text changes them.
    """
    counts: Counter[tuple[str, str | None, str | None]] = Counter()
    said: set[str] = set()
    for problem in before:
        counts[problem.code, problem.step_key, problem.field] += 1
        said.add(_PLACE.sub("", problem.message))
    new: list[Problem] = []
    # Those whose sentence is known use up the count first.
    for problem in sorted(after, key=lambda problem: _PLACE.sub("", problem.message) not in said):
        what = problem.code, problem.step_key, problem.field
        counts[what] -= 1
        if counts[what] < 0:
            new.append(problem)
    return new


def lost_path_checks(before: Definition, after: Definition, edges: Iterable[EdgeDef]) -> tuple[Problem, ...]:
    """A check for every step that lost a path and got none in its place."""
    found: list[Problem] = []
    for edge in edges:
        target = after.by_key.get(edge.target)
        source = before.by_key.get(edge.source)
        if target is None or source is None:
            continue
        by = "" if edge.port == DEFAULT_PORT else f" by “{edge.port}”"
        alone = " Nothing leads to it now." if not after.incoming(target.key) else ""
        found.append(
            Problem(
                "lost_path",
                f"“{target.label}” was reached from “{source.label}”{by}; that path is gone.{alone}",
                target.label,
                target.key,
                fix="Draw a path to it, or remove it.",
                severity="warning",
            )
        )
    return tuple(found)


def where_now(definition: Definition, key: str, catalog: TypeCatalog) -> str:
    """The place in words: "position 3 of 13, after “Research”, in “For each lead”"."""
    listed = list_order(definition, catalog)
    at = next(index for index, step in enumerate(listed) if step.key == key) + 1
    words = f"position {at} of {len(listed)}"
    entering = definition.incoming(key)
    if entering:
        source = definition.step(entering[0].source)
        by = "" if entering[0].port == main_port(source, catalog) else f" on its branch “{entering[0].port}”"
        words += f", after “{source.label}”{by}"
    parent = definition.step(key).parent
    if parent is not None:
        words += f", in “{definition.step(parent).label}”"
    return words


def step_of(definition: Definition, key: str) -> StepDef:
    step = definition.by_key.get(key)
    if step is None:
        raise OperationRefused("no_step", "That step is not there any more.")
    return step


def edge_of(definition: Definition, edge_id: str) -> EdgeDef:
    for edge in definition.edges:
        if edge.id == edge_id:
            return edge
    raise OperationRefused("no_edge", "That path is not there any more.")


def body_of(definition: Definition, key: str) -> tuple[StepDef, ...]:
    """Everything inside a container, deep."""
    found: dict[str, StepDef] = {}
    todo = list(definition.children(key))
    while todo:
        step = todo.pop()
        if step.key not in found and step.key != key:
            found[step.key] = step
            todo.extend(definition.children(step.key))
    return tuple(step for step in definition.steps if step.key in found)


def names_of(steps: Iterable[StepDef]) -> str:
    labels = [f"“{step.label}”" for step in steps]
    if len(labels) > 4:
        return f"{', '.join(labels[:3])} and {len(labels) - 3} more"
    return " and ".join(filter(None, [", ".join(labels[:-1]), labels[-1]])) if labels else ""
