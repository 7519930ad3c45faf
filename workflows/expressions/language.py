"""The one doorway to the expression language: CEL underneath, with numbers that just work and errors that explain.

How an expression is carried out:
1. `syntax` reads it into a tree, so that mistakes are explained in our words, with line and column.
2. The tree is written as CEL. References to data become variables (`p0`, `p1`, …), which are filled from the scope
   by the same `resolve` that templates use; one that cannot be resolved is left out, so it is an error only when
   it is really needed. Numbers are doubles. Signs and functions call back to Python, so that they know their place.
   `&&` and `||` become choices, because CEL would hide an error on one side when the other decides.
3. CEL carries it out with its own bounds on nesting and iterations; ours are on text, lists, calls and work.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from workflows.expressions.emitter import Emitter, Expression
from workflows.expressions.engine import carry_out, is_pattern, program
from workflows.expressions.errors import ExpressionError, Position, UnresolvedReference
from workflows.expressions.functions import FUNCTIONS, FunctionError
from workflows.expressions.names import NAMES, Scope, plain_number
from workflows.expressions.paths import Path, kind_of, nearest, normal, resolve
from workflows.expressions.syntax import (
    Call,
    Constant,
    Index,
    Node,
    Reference,
    Select,
    parse_expression,
    unknown_names,
    walk,
)
from workflows.expressions.work import MAX_BOUND_WEIGHT, Work, current, pack, unpack
from workflows.lib.jsontypes import JSONValue as Json


@dataclass(frozen=True, slots=True)
class ExpressionProblem:
    """One fault of an expression: what is wrong, where, and what to write instead (may be empty)."""

    code: str
    message: str
    fix: str
    position: Position


def compile_expression(
    text: str, labels: Iterable[str] | None = None, *, parameters: Iterable[str] = ()
) -> Expression:
    """Read an expression. Raises ExpressionError at the first fault, with position and fix.

    `labels` are the labels that exist: with them unknown ones are faults, and labels may hold signs.
    `parameters` are further names that exist (a library prompt's).
    """
    return _compile(text, None if labels is None else frozenset(labels), frozenset(parameters), True)


@lru_cache(maxsize=1024)
def _compile(
    text: str, labels: frozenset[str] | None, parameters: frozenset[str], strict: bool
) -> Expression:
    tree = parse_expression(text, labels)
    for fault in _faults(tree, text, labels if strict else None, parameters):
        raise fault
    emitter = Emitter(text)
    written = emitter.emit(tree)
    return Expression(
        text,
        tree,
        tuple(emitter.nodes),
        tuple(emitter.references),
        tuple(emitter.asked),
        emitter.loop_of,
        program(written, text),
    )


def check(
    text: str, labels: Iterable[str] | None = None, *, parameters: Iterable[str] = ()
) -> list[ExpressionProblem]:
    """Everything that is wrong with an expression, in order; empty when it can be evaluated."""
    return list(_checked(text, None if labels is None else frozenset(labels), frozenset(parameters)))


@lru_cache(maxsize=2048)
def _checked(
    text: str, known: frozenset[str] | None, parameters: frozenset[str]
) -> tuple[ExpressionProblem, ...]:
    try:
        faults = list(_faults(parse_expression(text, known), text, known, parameters))
        if not faults:
            compile_expression(text, known, parameters=parameters)
    except ExpressionError as error:
        faults = [error]
    faults.sort(key=lambda fault: fault.position.offset)
    return tuple(ExpressionProblem(fault.code, fault.message, fault.fix, fault.position) for fault in faults)


def _faults(
    tree: Node, text: str, labels: frozenset[str] | None, parameters: frozenset[str]
) -> Iterable[ExpressionError]:
    """What can be known to be wrong without data."""
    yield from unknown_names(tree, text, parameters)
    known = _normalised(labels or frozenset())
    for node in walk(tree):
        place = Position.of(text, node.start)
        if isinstance(node, Reference) and node.path.root == "steps":
            label = node.path.label
            if label is None:
                yield ExpressionError(
                    "unknown_step", "“steps” needs a label", place, "Write steps.Label.content."
                )
            elif labels is not None and normal(label) not in known:
                found = nearest(label, labels)
                fix = f"Did you mean “{found}”?" if found else ""
                yield ExpressionError("unknown_step", f"There is no step “{label}”", place, fix)
        elif isinstance(node, Call):
            yield from _call_faults(node, text)


@lru_cache(maxsize=32)
def _normalised(labels: frozenset[str]) -> frozenset[str]:
    return frozenset(normal(label) for label in labels)


def _call_faults(node: Call, text: str) -> Iterable[ExpressionError]:
    name_at = text.find(node.name, node.arguments[0].end if node.method else node.start)
    place = Position.of(text, max(name_at, node.start))
    function = FUNCTIONS.get(node.name)
    if function is None:
        found = nearest(node.name, [*FUNCTIONS, "map", "filter", "all", "exists"])
        fix = f"Did you mean “{found}”?" if found else "See the list of functions."
        yield ExpressionError("unknown_function", f"There is no function “{node.name}”", place, fix)
        return
    count = len(node.arguments)
    if not function.least <= count <= function.most:
        wanted = (
            f"{function.least}" if function.least == function.most else f"{function.least} to {function.most}"
        )
        if function.most >= 50:
            wanted = f"at least {function.least}"
        given = f"{count} {'is' if count == 1 else 'are'} given"
        values = "value" if wanted in ("1", "at least 1") else "values"
        message = f"{node.name} needs {wanted} {values}, {given}"
        yield ExpressionError("wrong_count", message, place, f"Write {function.signature}.")
    elif function.name == "matches" and isinstance(node.arguments[1], Constant):
        pattern = node.arguments[1]
        if isinstance(pattern.value, str) and not is_pattern(pattern.value):
            where = Position.of(text, pattern.start)
            message = "This is not a regular expression that can be used here"
            fix = "Look for an unclosed bracket; looking ahead or behind is not offered."
            yield ExpressionError("bad_pattern", message, where, fix)


# Evaluating


def evaluate(expression: Expression | str, scope: Scope) -> Json:
    """The JSON value of an expression in a scope; whole numbers come back as int. Raises ExpressionError.

    A bare reference keeps its value untouched, large integers too.
    """
    if isinstance(expression, str):
        # A label that is not in the scope may be asked for by has() and default(): only using it is a fault.
        labels = frozenset((*scope.steps, *scope.skipped, *scope.labels))
        expression = _compile(expression, labels, frozenset(scope.parameters), False)
    if isinstance(expression.tree, Reference):
        try:
            return resolve(expression.tree.path, scope)
        except UnresolvedReference as error:
            raise _unresolved(error, expression.tree, expression.text) from None
    work = Work(expression)
    data, missing = _bind(expression, scope, work)
    before, current.work = current.work, work
    try:
        return plain_number(unpack(carry_out(expression.program, data))[0])
    except RuntimeError as error:
        raise _explained(str(error), work, missing) from None
    except FunctionError as error:
        raise ExpressionError(error.code, error.message, Position.of(expression.text, 0), error.fix) from None
    finally:
        current.work = before
        current.box.clear()


def evaluate_bool(expression: Expression | str, scope: Scope) -> bool:
    """The answer of a condition. Raises ExpressionError, also when the value is not true or false."""
    value = evaluate(expression, scope)
    if isinstance(value, bool):
        return value
    text = expression if isinstance(expression, str) else expression.text
    message = f"The condition gives {kind_of(value)}, not true or false"
    raise ExpressionError(
        "not_a_condition", message, Position.of(text, 0), "Compare it with something, as in x == 1."
    )


def _unresolved(error: UnresolvedReference, node: Reference, text: str) -> ExpressionError:
    shown = text[node.start : node.end]
    message, asked, hint = error.message.partition(" Did you mean ")
    fix = (
        f"Did you mean {hint}"
        if asked
        else f"If it may be missing, write default({shown}, …) or has({shown})."
    )
    return ExpressionError(error.code, message.rstrip("."), Position.of(text, node.start), fix)


def _bind(
    expression: Expression, scope: Scope, work: Work
) -> tuple[dict[str, Json], dict[int, ExpressionError]]:
    """The variables of an evaluation; what cannot be bound is an error that counts only when it is needed."""
    data: dict[str, Json] = {}
    missing: dict[int, ExpressionError] = {}
    packed: dict[Path, tuple[Json, int]] = {}
    total = 0
    for place, node in enumerate(expression.references):
        try:
            if node.path not in packed:
                packed[node.path] = pack(resolve(node.path, scope))
            value, weight = packed[node.path]
            total += weight
            if total > MAX_BOUND_WEIGHT:
                raise FunctionError(f"{node.path} holds too much data for an expression", code="too_large")
            data[f"p{place}"], work.bound[place] = value, weight
        except UnresolvedReference as error:
            missing[place] = _unresolved(error, node, expression.text)
        except FunctionError as error:
            at = Position.of(expression.text, node.start)
            missing[place] = ExpressionError(error.code, error.message, at, error.fix)
    for place, node in enumerate(expression.asked):
        try:
            data[f"h{place}"] = resolve(node.path, scope) is not None
        except UnresolvedReference:
            data[f"h{place}"] = False
    return data, missing


def _explained(told: str, work: Work, missing: Mapping[int, ExpressionError]) -> ExpressionError:
    """What the engine underneath said, in our words and at its place."""
    text = work.expression.text
    if work.error is not None:
        return work.error
    if (found := re.search(r'No value with name "p(\d+)"', told)) and int(found.group(1)) in missing:
        return missing[int(found.group(1))]
    parts = [node for node in walk(work.expression.tree) if isinstance(node, Select | Index)]
    first = parts[0] if parts else work.expression.tree
    if found := re.search(r'Key not found in map : "(.*)"', told, re.DOTALL):
        name = found.group(1)
        node = next((part for part in parts if isinstance(part, Select) and part.field == name), first)
        shown = work.shown(node)
        fix = f"If it may be missing, write default({shown}, …) or has({shown})."
        message = f"{shown} cannot be found: there is no “{name[:60]}”"
        return ExpressionError("missing_field", message, Position.of(text, node.start), fix)
    if "Index error" in told:
        node = next((part for part in parts if isinstance(part, Index)), first)
        size = re.search(r"index=(-?[\d.]+) size=(\d+)", told)
        message = (
            f"{work.shown(node)} cannot be found: position {size.group(1)} of {size.group(2)} items, counted from 0"
            if size
            else f"{work.shown(node)} cannot be found: a position is a whole number"
        )
        return ExpressionError("out_of_range", message, Position.of(text, node.start), "Ask size(…) first.")
    if "teration budget" in told:
        message = "The expression takes too many rounds: at most 10,000 in all"
        return ExpressionError("too_large", message, Position.of(text, 0), "Work on fewer items.")
    if "ecursion" in told:
        return ExpressionError("too_deep", "The expression is nested too deeply", Position.of(text, 0))
    if "_[_]" in told or "SELECT" in told or "container" in told.lower():
        message = f"{work.shown(first)} cannot be found: what stands before it is no object or list"
        return ExpressionError("not_an_object", message, Position.of(text, first.start))
    if "duplicate" in told.lower():
        return ExpressionError("bad_value", "A name stands twice in an object", Position.of(text, 0))
    if "regex" in told.lower() or "pattern" in told.lower():
        message = "This is not a regular expression that can be used here"
        return ExpressionError("bad_pattern", message, Position.of(text, 0))
    return ExpressionError(
        "bad_value", "This cannot be worked out with these values", Position.of(text, first.start)
    )


def known_names(parameters: Iterable[str] = ()) -> tuple[str, ...]:
    """Every name that may start a reference, for autocompletion."""
    return (*NAMES, *parameters)


__all__ = [
    "Expression",
    "ExpressionError",
    "ExpressionProblem",
    "check",
    "compile_expression",
    "evaluate",
    "evaluate_bool",
    "known_names",
]
