"""What one press can do about a problem: each repair is an ordinary operation on the graph, and takes its problem away.

A repair is named by a word (`kind`), so that a form can ask for it. Repairs are looked for by the problem's code and by
what its sentence names; a problem that nothing simple mends has none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from workflows.definition.edits import Edit, OperationRefused, finish
from workflows.definition.graph import Definition, EdgeDef, ErrorPolicy, StepDef, VariableDef, VariableKind
from workflows.definition.healing import remove
from workflows.definition.operations import connect, disconnect, move, set_enabled, update_step
from workflows.definition.places import After
from workflows.definition.types import START, TypeCatalog, main_port
from workflows.expressions.paths import normal
from workflows.lib.errors import Problem
from workflows.lib.jsontypes import JSONValue

_NAMED: Final = re.compile(r"“([^”]+)”")
_EDGE: Final = re.compile(r"definition\.edges\[(\d+)\]")
_DEFAULTED: Final = re.compile(r"\{\{ (?P<path>.+?) \| default: ")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Repair:
    """`label` is the button: a verb and what it acts on."""

    kind: str
    label: str
    apply: Callable[[], Edit]


def repairs_of(problem: Problem, definition: Definition, catalog: TypeCatalog) -> tuple[Repair, ...]:
    """What can be pressed, best first. `apply` raises OperationRefused when the operation cannot be done."""
    find = _FINDERS.get(problem.code)
    return tuple(find(problem, definition, catalog)) if find is not None else ()


def repair(problem: Problem, kind: str, definition: Definition, catalog: TypeCatalog) -> Edit:
    """Do it. Raises OperationRefused also when the problem has no such repair."""
    for found in repairs_of(problem, definition, catalog):
        if found.kind == kind:
            return found.apply()
    raise OperationRefused("no_repair", "That cannot be mended in one press any more.")


# --- by the kind of problem -----------------------------------------------------------------------

Repairs = Iterator[Repair]


def _owner(problem: Problem, definition: Definition) -> StepDef | None:
    return definition.by_key.get(problem.step_key or "")


def _others(problem: Problem, definition: Definition) -> list[StepDef]:
    """Steps that the sentence names besides the one that has the problem."""
    by_label = {normal(step.label): step for step in definition.steps}
    found = [by_label.get(normal(label)) for label in _NAMED.findall(problem.message)]
    return [step for step in found if step is not None and step.key != problem.step_key]


def _skipped(problem: Problem, definition: Definition, catalog: TypeCatalog) -> Repairs:
    step, said = _owner(problem, definition), _DEFAULTED.search(problem.fix or "")
    field = (problem.field or "").split(".")[0].split("[")[0]
    if step is None or said is None or field not in step.config:
        return
    path = said["path"]
    bare = re.compile(r"\{\{\s*" + re.escape(path) + r"\s*\}\}")

    def write() -> Edit:
        value = _rewritten(step.config[field], bare, f'{{{{ {path} | default: "" }}}}')
        if value == step.config[field]:
            raise OperationRefused("no_text", "That text has changed in the meantime.")
        return update_step(definition, step.key, catalog, config={**step.config, field: value})

    yield Repair("default", "Use nothing when it was skipped", write)


def _rewritten(value: JSONValue, old: re.Pattern[str], new: str) -> JSONValue:
    """The value with every text in it rewritten."""
    if isinstance(value, str):
        return old.sub(lambda _: new, value)
    if isinstance(value, dict):
        return {name: _rewritten(part, old, new) for name, part in value.items()}
    if isinstance(value, list):
        return [_rewritten(part, old, new) for part in value]
    return value


def _off(problem: Problem, definition: Definition, catalog: TypeCatalog) -> Repairs:
    others = _others(problem, definition)
    if others:
        key = others[0].key
        yield Repair(
            "turn_on",
            f"Turn on “{others[0].label}”",
            lambda: set_enabled(definition, key, True, catalog),
        )


def _order(problem: Problem, definition: Definition, catalog: TypeCatalog) -> Repairs:
    step, others = _owner(problem, definition), _others(problem, definition)
    if step is None or not others or step.parent != others[0].parent:
        return
    other = others[0]
    if "no path leads" in problem.message and step.key not in definition.ancestors(other.key):
        yield Repair(
            "connect",
            f"Draw a path from “{other.label}”",
            lambda: connect(definition, other.key, step.key, catalog),
        )
    if "runs after it" in problem.message:
        yield Repair(
            "move",
            f"Move it below “{other.label}”",
            lambda: move(definition, step.key, After(other.key), catalog),
        )


def _variable(problem: Problem, definition: Definition, catalog: TypeCatalog) -> Repairs:
    kind = VariableKind.INPUT if problem.code == "unknown_input" else VariableKind.CONTEXT
    names = [name for name in _NAMED.findall(problem.message) if _VARIABLE.fullmatch(name)]
    name = names[-1] if names else ""
    if not name or any(variable.name == name for variable in definition.variables):
        return

    def add() -> Edit:
        variable = VariableDef(name, kind=kind)
        return finish(
            definition,
            replace(definition, variables=(*definition.variables, variable)),
            catalog,
            f"{'Input' if kind is VariableKind.INPUT else 'Variable'} “{name}” added.",
        )

    what = "input" if kind is VariableKind.INPUT else "variable"
    yield Repair("add_variable", f"Add the {what} “{name}”", add)


def _unreachable(problem: Problem, definition: Definition, catalog: TypeCatalog) -> Repairs:
    step = _owner(problem, definition)
    if step is None:
        return
    before = _step_before(step, definition, catalog)
    if before is not None:
        yield Repair(
            "connect",
            f"Draw a path from “{before.label}”",
            lambda: connect(definition, before.key, step.key, catalog),
        )
    if step.enabled and catalog.can_disable(step.type):
        yield Repair("turn_off", "Turn it off", lambda: set_enabled(definition, step.key, False, catalog))


def _step_before(step: StepDef, definition: Definition, catalog: TypeCatalog) -> StepDef | None:
    """The nearest step above it in the list that a path may lead from; the start, where it stands first."""
    body = [other for other in definition.steps if other.parent == step.parent]
    place = body.index(step)
    later = definition.descendants(step.key)
    for other in (*reversed(body[:place]), *body[place + 1 :]):
        is_above = body.index(other) < place or other.type == START
        if is_above and other.enabled and other.key not in later and main_port(other, catalog) is not None:
            return other
    return None


def _empty(problem: Problem, definition: Definition, catalog: TypeCatalog) -> Repairs:
    step = _owner(problem, definition)
    if step is None:
        return
    body = definition.children(step.key)
    if body:
        first = body[0]
        yield Repair(
            "turn_on", f"Turn on “{first.label}”", lambda: set_enabled(definition, first.key, True, catalog)
        )
    else:
        yield Repair("remove", f"Remove “{step.label}”", lambda: remove(definition, [step.key], catalog))


def _path(problem: Problem, definition: Definition, catalog: TypeCatalog) -> Repairs:
    place = _EDGE.search(problem.path or "")
    if place is None or int(place[1]) >= len(definition.edges):
        return
    edge: EdgeDef = definition.edges[int(place[1])]
    target = definition.by_key.get(edge.target)
    words = f"Remove the path to “{target.label}”" if target is not None else "Remove the path"
    yield Repair("remove_path", words, lambda: disconnect(definition, edge.id, catalog))


def _count(problem: Problem, definition: Definition, catalog: TypeCatalog) -> Repairs:
    step = _owner(problem, definition)
    most = re.search(r"at most (\d+)", problem.fix or "")
    if step is not None and most is not None and int(most[1]) > 0:
        join = replace(step.join, count=int(most[1]))
        yield Repair(
            "join_count",
            f"Wait for {most[1]}",
            lambda: update_step(definition, step.key, catalog, join=join),
        )


def _default(problem: Problem, definition: Definition, catalog: TypeCatalog) -> Repairs:
    step = _owner(problem, definition)
    if step is not None:
        yield Repair(
            "fail",
            "Let the run fail instead",
            lambda: update_step(definition, step.key, catalog, on_error=ErrorPolicy()),
        )


_FINDERS: Final[dict[str, Callable[[Problem, Definition, TypeCatalog], Repairs]]] = {
    "may_be_skipped": _skipped,
    "uses_off_step": _off,
    "not_before": _order,
    "unknown_variable": _variable,
    "unknown_input": _variable,
    "unreachable": _unreachable,
    "empty_container": _empty,
    "unknown_port": _path,
    "duplicate_edge": _path,
    "join_count": _count,
    "missing_default": _default,
}
