"""Problems of the graph's shape: a definition that has one cannot be stored, not even as a draft."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Final

from workflows.definition.graph import Definition, EdgeDef, StepDef
from workflows.definition.ids import is_id
from workflows.definition.ordering import cycle
from workflows.definition.types import START, TypeCatalog
from workflows.expressions.paths import FORBIDDEN_IN_LABELS, is_valid_label, nearest, normal
from workflows.lib.errors import Problem
from workflows.lib.limits import EDGES_PER_WORKFLOW, STEPS_PER_WORKFLOW

MAX_LABEL_CHARS: Final = 200


def structure_problems(
    definition: Definition, catalog: TypeCatalog, *, path: str = "definition"
) -> tuple[Problem, ...]:
    """Everything wrong with the shape: limits, ids, types, labels, parents, edges, variables, cycles."""
    return (
        *_limits(definition, path),
        *_steps(definition, catalog, path),
        *_parents(definition, catalog, path),
        *_edges(definition, path),
        *_starts(definition, path),
        *_variables(definition, path),
        *_triggers(definition, path),
        *_cycles(definition, path),
    )


def label_problem(label: str) -> str | None:
    """Why a text cannot be a step's label, as a sentence; None when it can."""
    if not label.strip():
        return "A step needs a name."
    if len(label) > MAX_LABEL_CHARS:
        return f"A step's name has at most {MAX_LABEL_CHARS} characters."
    if not is_valid_label(label):
        bad = next((sign for sign in label if sign in FORBIDDEN_IN_LABELS or not sign.isprintable()), "")
        shown = bad if bad.isprintable() else f"the character U+{ord(bad):04X}"
        return f"The name “{label if label.isprintable() else label.encode('unicode_escape').decode()}” holds {shown}."
    return None


def clean_label(label: str) -> str:
    """The label as it is stored: NFC, without spaces around it."""
    return unicodedata.normalize("NFC", label).strip()


def unique_label(wished: str, definition: Definition, *, taken: frozenset[str] = frozenset()) -> str:
    """The wished label, or with the first number that makes it unique: `Draft`, `Draft 2`, `Draft 3`."""
    used = {normal(label) for label in definition.labels()} | {normal(label) for label in taken}
    wished = clean_label(wished)[: MAX_LABEL_CHARS - 6]
    label, number = wished, 2
    while normal(label) in used:
        label, number = f"{wished} {number}", number + 1
    return label


def _limits(definition: Definition, path: str) -> Iterator[Problem]:
    for name, count, limit in (
        ("nodes", len(definition.steps), STEPS_PER_WORKFLOW),
        ("edges", len(definition.edges), EDGES_PER_WORKFLOW),
    ):
        if count > limit.value:
            yield Problem(
                "too_many",
                f"{limit.says()} This one has {count:,}.",
                field=name,
                path=f"{path}.{name}",
                fix="Split it: a step can start another workflow and wait for it.",
            )


def _of(
    step: StepDef, index: int, path: str, code: str, field: str, message: str, fix: str | None = None
) -> Problem:
    return Problem(code, message, step.label, step.key, field, f"{path}.nodes[{index}].{field}", fix)


def _steps(definition: Definition, catalog: TypeCatalog, path: str) -> Iterator[Problem]:
    keys: set[str] = set()
    labels: set[str] = set()
    for index, step in enumerate(definition.steps):
        if not is_id(step.key):
            message = f"The id of “{step.label}” must be 1 to 64 letters, digits, “-” or “_”."
            yield _of(step, index, path, "bad_id", "id", message)
        if step.key in keys:
            message = f"Two steps have the id {step.key}."
            yield _of(step, index, path, "duplicate_key", "id", message, "Give each step its own id.")
        keys.add(step.key)
        if not catalog.known(step.type):
            meant = catalog.canonical(step.type)
            yield _of(
                step,
                index,
                path,
                "unknown_type",
                "type",
                f"“{step.label}” is of the type “{step.type}”, which does not exist.",
                f"Write “{meant}”." if meant else "Choose a type from the list of step types.",
            )
        if (why := label_problem(step.label)) is not None:
            fix = "A name is printable text without . [ ] { } | and quotation marks."
            yield _of(step, index, path, "bad_label", "name", why, fix)
            continue
        if normal(step.label) in labels:
            message = f"Two steps are called “{step.label}”, so a reference to it could mean either."
            yield _of(step, index, path, "duplicate_label", "name", message, "Rename one of them.")
        labels.add(normal(step.label))


def _parents(definition: Definition, catalog: TypeCatalog, path: str) -> Iterator[Problem]:
    for index, step in enumerate(definition.steps):
        if step.parent is None:
            continue
        parent = definition.by_key.get(step.parent)
        if parent is None:
            message = f"“{step.label}” stands in a step that does not exist ({step.parent})."
            fix = "Name a loop or a for-each step as its parent, or none."
            yield _of(step, index, path, "unknown_parent", "parent", message, fix)
        elif not catalog.is_container(parent.type):
            message = f"“{step.label}” stands in “{parent.label}”, which cannot hold steps."
            fix = "Only loops and for-each steps hold steps."
            yield _of(step, index, path, "not_a_container", "parent", message, fix)
        elif _is_own_ancestor(definition, step):
            message = f"“{step.label}” stands in itself."
            yield _of(step, index, path, "parent_cycle", "parent", message, "Take it out of its own body.")
        elif step.type == START:
            message = f"“{step.label}” starts the workflow, so it cannot stand in “{parent.label}”."
            yield _of(step, index, path, "start_in_body", "parent", message, "Move it to the top level.")


def _is_own_ancestor(definition: Definition, step: StepDef) -> bool:
    seen: set[str] = set()
    at = step.parent
    while at is not None and at not in seen:
        if at == step.key:
            return True
        seen.add(at)
        parent = definition.by_key.get(at)
        at = parent.parent if parent is not None else None
    return False


def _edges(definition: Definition, path: str) -> Iterator[Problem]:
    ids: set[str] = set()
    seen: set[tuple[str, str, str, str | None, str | None]] = set()
    for index, edge in enumerate(definition.edges):
        at = f"{path}.edges[{index}]"
        if edge.id in ids or not is_id(edge.id):
            why = f"Two paths have the id {edge.id}." if edge.id in ids else f"“{edge.id}” cannot be an id."
            yield Problem("duplicate_key", why, field="id", path=f"{at}.id", fix="Give each path its own id.")
        ids.add(edge.id)
        ends = definition.by_key.get(edge.source), definition.by_key.get(edge.target)
        source, target = ends
        if source is None or target is None:
            yield from _dangling(definition, edge, at, ends)
            continue
        if source.parent != target.parent:
            message = f"The path from “{source.label}” to “{target.label}” crosses the border of a container."
            fix = "Paths join steps of the same body; the container itself is joined with what is outside."
            yield Problem("crosses_border", message, target.label, target.key, "target_node_id", at, fix)
        if target.type == START:
            message = f"A path leads to “{target.label}”, where the workflow starts."
            yield Problem(
                "into_start", message, target.label, target.key, "target_node_id", at, "Remove the path."
            )
        same = (edge.source, edge.port, edge.target, edge.target_input, edge.condition)
        if same in seen:
            message = f"The path from “{source.label}” to “{target.label}” is there twice."
            yield Problem(
                "duplicate_edge", message, source.label, source.key, None, at, "Remove one of them."
            )
        seen.add(same)


def _dangling(
    definition: Definition, edge: EdgeDef, at: str, ends: tuple[StepDef | None, StepDef | None]
) -> Iterator[Problem]:
    for name, key, found in (
        ("source_node_id", edge.source, ends[0]),
        ("target_node_id", edge.target, ends[1]),
    ):
        if found is None:
            other = ends[1] or ends[0]
            near = nearest(key, definition.by_key)
            yield Problem(
                "dangling_edge",
                f"The path {edge.id} names the step {key}, which does not exist.",
                step=other.label if other else None,
                step_key=other.key if other else None,
                field=name,
                path=f"{at}.{name}",
                fix=f"Did you mean “{near}”?" if near else "Name the id of a step, or remove the path.",
            )


def _starts(definition: Definition, path: str) -> Iterator[Problem]:
    starts = [(index, step) for index, step in enumerate(definition.steps) if step.type == START]
    for index, step in starts[1:]:
        message = f"“{step.label}” and “{starts[0][1].label}” both start the workflow."
        yield _of(step, index, path, "several_starts", "type", message, "Keep one of them.")


def _variables(definition: Definition, path: str) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, variable in enumerate(definition.variables):
        at = f"{path}.variables[{index}].name"
        name = variable.name
        if not name.isidentifier() or len(name) > 100:
            message = f"“{name}” cannot be a variable's name."
            fix = "Use letters, digits and “_”, and begin with a letter."
            yield Problem("bad_variable", message, field="name", path=at, fix=fix)
        elif name in seen:
            message = f"Two variables are called “{name}”."
            yield Problem("duplicate_variable", message, field="name", path=at, fix="Rename one of them.")
        seen.add(name)


def _triggers(definition: Definition, path: str) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, trigger in enumerate(definition.triggers):
        if trigger.id in seen:
            message = f"Two triggers have the id {trigger.id}."
            yield Problem("duplicate_key", message, field="id", path=f"{path}.triggers[{index}].id")
        seen.add(trigger.id)


def _cycles(definition: Definition, path: str) -> Iterator[Problem]:
    found = cycle(definition)
    if found is None:
        return
    first = definition.by_key.get(found[0])
    names = [step.label for key in found if (step := definition.by_key.get(key)) is not None]
    index = next(
        (
            number
            for number, edge in enumerate(definition.edges)
            if edge.source == found[-1] and edge.target == found[0]
        ),
        0,
    )
    if len(names) == 1:
        message = f"“{names[0]}” waits for itself."
    else:
        shown = names if len(names) <= 6 else [*names[:5], "…"]
        message = f"These steps wait for each other: {' → '.join([*shown, names[0]])}."
    yield Problem(
        "cycle",
        message,
        first.label if first else None,
        found[0],
        None,
        f"{path}.edges[{index}]",
        "Remove one of the paths between them; to repeat steps, use a loop.",
    )
