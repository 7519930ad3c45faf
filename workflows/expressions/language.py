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
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from cel_expr_python import cel

from workflows.expressions.errors import ExpressionError, Position, UnresolvedReference
from workflows.expressions.functions import (
    FUNCTIONS,
    FunctionError,
    is_empty,
    mod,
    number,
    same,
    text_of,
)
from workflows.expressions.names import EXACT_INTEGER, NAMES, Scope, plain_number
from workflows.expressions.paths import Path, kind_of, nearest, normal, resolve
from workflows.expressions.syntax import (
    Call,
    Chain,
    Choice,
    Constant,
    Index,
    ListOf,
    LoopName,
    Macro,
    Node,
    ObjectOf,
    Reference,
    Select,
    Unary,
    parse_expression,
    unknown_names,
    walk,
)
from workflows.lib.jsontypes import JSONValue as Json
from workflows.lib.limits import EXPRESSION_LIST_ITEMS, EXPRESSION_TEXT_CHARS

# Weight is characters, and 16 for each value: what one evaluation may bind, hold in a loop, and work through.
MAX_BOUND_WEIGHT: Final = 20_000_000
MAX_WORK: Final = 20_000_000
MAX_CALLS: Final = 50_000
MAX_DATA_DEPTH: Final = 100
_ENTRY_WEIGHT: Final = 16
_BIG: Final = b"#"
_REFUSED_SIGNS = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class ExpressionProblem:
    """One fault of an expression: what is wrong, where, and what to write instead (may be empty)."""

    code: str
    message: str
    fix: str
    position: Position


@dataclass(frozen=True, slots=True, eq=False)
class Expression:
    """An expression that was read and may be evaluated any number of times, in any thread."""

    text: str
    tree: Node
    nodes: tuple[Node, ...]
    references: tuple[Reference, ...]
    asked: tuple[Reference, ...]
    loops: Mapping[int, Any]
    program: Any

    @property
    def bare_path(self) -> Path | None:
        """The path, when the expression is nothing but a reference."""
        return self.tree.path if isinstance(self.tree, Reference) else None


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
    emitter = _Emitter(text)
    written = emitter.emit(tree)
    return Expression(
        text,
        tree,
        tuple(emitter.nodes),
        tuple(emitter.references),
        tuple(emitter.asked),
        emitter.loop_of,
        _program(written, text),
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
        if isinstance(pattern.value, str) and not _is_pattern(pattern.value):
            where = Position.of(text, pattern.start)
            message = "This is not a regular expression that can be used here"
            fix = "Look for an unclosed bracket; looking ahead or behind is not offered."
            yield ExpressionError("bad_pattern", message, where, fix)


# Writing CEL


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return (
        '"' + re.sub(r"[\x01-\x1f\x7f-\xa0\u2028\u2029]", lambda m: f"\\u{ord(m.group()):04x}", escaped) + '"'
    )


_GIVES_BOOLEAN: Final = frozenset({"has", "is_empty", "contains", "matches", "starts_with", "ends_with"})
_COMPARISONS: Final = frozenset({"==", "!=", "<", "<=", ">", ">=", "in"})


@dataclass(frozen=True, slots=True, eq=False)
class _Loop:
    """What the body of one loop reads in each round: numbers of variables, and the loops whose item it names."""

    references: list[int]
    names: list["_Loop"]


_BOOLEAN_DEEDS: Final = frozenset(
    {"compare", "in", "boolean", "holds", "all", "exists", "exists_one", *_GIVES_BOOLEAN}
)


class _Emitter:
    """Writes a tree as CEL and remembers which variables it needs and which node each call stands for."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.nodes: list[Node] = []
        self.references: list[Reference] = []
        self.asked: list[Reference] = []
        self.loop_names: dict[str, str] = {}
        self.loops: dict[str, _Loop] = {}
        self.loop_of: dict[int, _Loop] = {}
        self.frames: list[_Loop] = []

    def call(self, deed: str, node: Node, *arguments: str) -> str:
        self.nodes.append(node)
        written = f"([{_quoted(deed)},{len(self.nodes) - 1}.0{''.join(',' + given for given in arguments)}])"
        return f"sw{written}" if deed in _BOOLEAN_DEEDS else f"sx{written}[0.0]"

    def emit(self, node: Node) -> str:
        match node:
            case Constant():
                return self.constant(node)
            case Reference():
                self.references.append(node)
                if self.frames:
                    self.frames[-1].references.append(len(self.references) - 1)
                return f"p{len(self.references) - 1}"
            case LoopName():
                self.frames[-1].names.append(self.loops[node.name])
                return self.loop_names[node.name]
            case Select():
                return f"{self.emit(node.target)}[{_quoted(node.field)}]"
            case Index():
                return f"{self.emit(node.target)}[{self.emit(node.index)}]"
            case Call():
                return self.function(node)
            case Macro():
                return self.macro(node)
            case Unary():
                if node.sign == "!":
                    return f"(!{self.boolean(node.operand)})"
                return self.call("negative", node, self.emit(node.operand))
            case Chain():
                return self.chain(node)
            case Choice():
                condition = self.boolean(node.condition)
                return f"({condition}?{self.emit(node.when_true)}:{self.emit(node.when_false)})"
            case ListOf():
                return f"[{','.join(self.emit(entry) for entry in node.entries)}]"
            case ObjectOf():
                entries = (f"{self.key(key)}:{self.emit(value)}" for key, value in node.entries)
                return f"{{{','.join(entries)}}}"

    def constant(self, node: Constant) -> str:
        value = node.value
        if value is None:
            return "null"
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, str):
            return _quoted(value)
        if isinstance(value, int) and abs(value) > EXACT_INTEGER:
            return f'b"#{value}"'
        return f"({float(value)!r})"

    def key(self, node: Node) -> str:
        return self.emit(node) if isinstance(node, Constant) else self.call("key", node, self.emit(node))

    def boolean(self, node: Node) -> str:
        written = self.emit(node)
        known = (
            (isinstance(node, Constant) and isinstance(node.value, bool))
            or (isinstance(node, Unary) and node.sign == "!")
            or (isinstance(node, Chain) and (node.signs[0] in _COMPARISONS or node.signs[0] in ("&&", "||")))
            or (isinstance(node, Macro) and node.kind in ("all", "exists", "exists_one"))
            or (isinstance(node, Call) and FUNCTIONS[node.name].name in _GIVES_BOOLEAN)
        )
        return written if known else self.call("boolean", node, written)

    def chain(self, node: Chain) -> str:
        sign = node.signs[0]
        if sign in ("&&", "||"):
            return self.logic(sign, [self.boolean(operand) for operand in node.operands])
        if sign in _COMPARISONS:
            return self.call("in" if sign == "in" else "compare", node, *map(self.emit, node.operands))
        return self.call("calculate", node, *map(self.emit, node.operands))

    def logic(self, sign: str, written: list[str]) -> str:
        # Halved, so that twenty conditions do not nest twenty deep.
        if len(written) == 1:
            return written[0]
        half = len(written) // 2
        left, right = self.logic(sign, written[:half]), self.logic(sign, written[half:])
        return f"({left}?{right}:false)" if sign == "&&" else f"({left}?true:{right})"

    def macro(self, node: Macro) -> str:
        loop = _Loop([], [])
        target = self.emit(node.target)
        items = self.call("items", node, target)
        self.loop_of[len(self.nodes) - 1] = loop
        name = f"v{len(self.loop_names)}"
        self.loop_names[node.name], self.loops[node.name] = name, loop
        self.frames.append(loop)
        kept = f"{items}.filter({name},{self.boolean(node.condition)})" if node.condition else items
        if node.kind == "map":
            written = f"{kept}.map({name},{self.emit(node.body)})"
        elif node.kind == "filter":
            written = f"{kept}.filter({name},{self.boolean(node.body)})"
        else:
            # CEL's own all and exists hide an error in one item when another decides.
            written = f"{kept}.map({name},{self.boolean(node.body)})"
        self.frames.pop()
        del self.loop_names[node.name], self.loops[node.name]
        return written if node.kind in ("map", "filter") else self.call(node.kind, node, written)

    def function(self, node: Call) -> str:
        function = FUNCTIONS[node.name]
        match function.name:
            case "has":
                return self.present(node.arguments[0])
            case "default" | "coalesce":
                return self.fallback(node.arguments)
            case "is_empty":
                given = node.arguments[0]
                return f"({self.present(given)}?{self.call('is_empty', node, self.emit(given))}:true)"
            case "matches":
                text, pattern = node.arguments
                written = self.call("need text", text, self.emit(text))
                return f"{written}.matches({self.call('need text', pattern, self.emit(pattern))})"
            case "now" | "today":
                path = Path("run", ("started_at",))
                moment = self.emit(Reference(path, node.start, node.end))
                return moment if function.name == "now" else self.call("date", node, moment)
        return self.call(function.name, node, *map(self.emit, node.arguments))

    def present(self, node: Node) -> str:
        """Whether there is a value that is not null, asked without ever failing on what is missing."""
        match node:
            case Reference():
                self.asked.append(node)
                return f"h{len(self.asked) - 1}"
            case Select():
                held = self.call("holds", node, self.emit(node.target), _quoted(node.field))
                return f"({self.present(node.target)}?{held}:false)"
            case Index():
                held = self.call("holds", node, self.emit(node.target), self.emit(node.index))
                return f"({self.present(node.target)}?{held}:false)"
        return f"({self.emit(node)}!=null)"

    def fallback(self, given: tuple[Node, ...]) -> str:
        if len(given) == 1:
            return self.emit(given[0])
        return f"({self.present(given[0])}?{self.emit(given[0])}:{self.fallback(given[1:])})"


# What CEL calls back


class _Work:
    """What one evaluation has done so far, and the first error it met."""

    def __init__(self, expression: Expression) -> None:
        self.expression = expression
        self.calls = 0
        self.weight = 0
        self.error: ExpressionError | None = None
        # Weight of each variable, and of the heaviest item of each loop that has begun.
        self.bound: dict[int, int] = {}
        self.heaviest: dict[_Loop, int] = {}
        self.number = 0

    def spend(self, weight: int) -> None:
        self.weight += weight
        if self.weight > MAX_WORK or self.calls > MAX_CALLS:
            raise FunctionError(
                "The expression needs too much work",
                "Work on fewer items, or use a Fan-out step.",
                "too_large",
            )

    def shown(self, node: Node) -> str:
        written = self.expression.text[node.start : node.end]
        return written if len(written) <= 60 else written[:59] + "…"


class _Thread(threading.local):
    def __init__(self) -> None:
        self.work: _Work | None = None
        self.box: list[Json] = []


_thread = _Thread()


def _unpack(value: Json) -> tuple[Json, int]:
    """A value from CEL with our marked large integers as integers, and its weight; lists are changed in place."""
    if isinstance(value, str):
        return value, _ENTRY_WEIGHT + len(value)
    if isinstance(value, list):
        weight = _ENTRY_WEIGHT
        for place, entry in enumerate(value):
            value[place], more = _unpack(entry)
            weight += more
        return value, weight
    if isinstance(value, dict):
        weight = _ENTRY_WEIGHT
        for key, entry in value.items():
            value[key], more = _unpack(entry)
            weight += more + len(key)
        return value, weight
    if isinstance(value, bytes | bytearray):
        digits = bytes(value)[1:]
        if value[:1] != _BIG or not digits.lstrip(b"-").isdigit():
            raise FunctionError("Whole numbers beyond 9,007,199,254,740,992 cannot be calculated with")
        return int(digits), _ENTRY_WEIGHT
    return value, _ENTRY_WEIGHT


def _pack(value: Json, depth: int = 0) -> tuple[Json, int]:
    """A JSON value as CEL takes it: numbers as doubles, larger integers marked. Raises FunctionError."""
    if value is None or isinstance(value, bool):
        return value, _ENTRY_WEIGHT
    if isinstance(value, float):
        return value, _ENTRY_WEIGHT
    if isinstance(value, int):
        if abs(value) <= EXACT_INTEGER:
            return float(value), _ENTRY_WEIGHT
        if value.bit_length() > 2_000:
            raise FunctionError("A number has too many digits", code="too_large")
        return b"#%d" % value, _ENTRY_WEIGHT
    if isinstance(value, str):
        if len(value) > EXPRESSION_TEXT_CHARS.value:
            raise FunctionError(EXPRESSION_TEXT_CHARS.says().rstrip("."), "Split it before.", "too_large")
        if _REFUSED_SIGNS.search(value):
            raise FunctionError("The text holds signs that are no characters")
        return value, _ENTRY_WEIGHT + len(value)
    if depth > MAX_DATA_DEPTH:
        raise FunctionError("The data is nested too deeply", code="too_large")
    weight = _ENTRY_WEIGHT
    if isinstance(value, list | tuple):
        entries: list[Json] = []
        for entry in value:
            packed, more = _pack(entry, depth + 1)
            entries.append(packed)
            weight += more
        return entries, weight
    if isinstance(value, Mapping):
        fields: dict[str, Json] = {}
        for key, entry in value.items():
            if not isinstance(key, str) or _REFUSED_SIGNS.search(key):
                raise FunctionError("An object has a name that is not text")
            fields[key], more = _pack(entry, depth + 1)
            weight += more + len(key)
        return fields, weight
    raise FunctionError("The data holds something that is not JSON")


def _dispatch(arguments: list[Json]) -> Json:
    """Carry out one sign or function: `[deed, number of the node, …]`."""
    work = _thread.work
    if work is None:
        raise ValueError("called outside an evaluation")
    deed, work.number = arguments[0], int(arguments[1])
    node = work.expression.nodes[work.number]
    try:
        if work.error is not None:
            # CEL goes on with a loop after an error in one round: do nothing more in those.
            raise ValueError("see work.error")
        work.calls += 1
        given = []
        for entry in arguments[2:]:
            value, weight = _unpack(entry)
            given.append(value)
            work.spend(weight)
        special = _DEEDS.get(deed)
        if special is not None:
            result = special(work, node, given)
        else:
            result = _call_function(deed, given)
        packed, weight = _pack(result)
        work.spend(weight)
        return packed
    except FunctionError as error:
        failure = error
    except (ValueError, TypeError, ArithmeticError, RecursionError, LookupError):
        failure = FunctionError("This cannot be worked out with these values")
    finally:
        # cel-expr-python 0.1.3 never lets go of what it hands over, so at least it shall be empty.
        arguments.clear()
    if work.error is None:
        named = f"{deed}: " if deed in FUNCTIONS and isinstance(node, Call) else ""
        work.error = ExpressionError(failure.code, named + failure.message, _place(work, node), failure.fix)
    raise ValueError("see work.error")


def _dispatch_boxed(arguments: list[Json]) -> Json:
    # The engine copies the box at once and keeps a reference to it for ever: so it is always the same one.
    box = _thread.box
    box[:] = [_dispatch(arguments)]
    return box


def _call_function(name: str, given: list[Json]) -> Json:
    run = FUNCTIONS[name].run
    if run is None:
        raise ValueError(name)
    return run(given)


def _place(work: _Work, node: Node) -> Position:
    text = work.expression.text
    if isinstance(node, Chain) and len(node.places) == 1:
        return Position.of(text, node.places[0])
    if isinstance(node, Call) and node.method:
        return Position.of(text, max(text.find(node.name, node.arguments[0].end), node.start))
    return Position.of(text, node.start)


def _fail_at(work: _Work, node: Node, offset: int, message: str, fix: str, code: str) -> FunctionError:
    if work.error is None:
        work.error = ExpressionError(code, message, Position.of(work.expression.text, offset), fix)
    return FunctionError(message, fix, code)


def _null_fix(shown: str, example: str) -> str:
    return f"Write default({shown}, {example}), or ask has({shown}) first."


def _as_chain(node: Node) -> Chain:
    if not isinstance(node, Chain):
        raise TypeError(node)
    return node


def _compare(work: _Work, node: Node, given: list[Json]) -> bool:
    node = _as_chain(node)
    (left, right), sign = given, node.signs[0]
    asks_for_null = any(isinstance(operand, Constant) and operand.value is None for operand in node.operands)
    if sign in ("==", "!=") and asks_for_null:
        return same(left, right) == (sign == "==")
    for value, operand in zip(given, node.operands, strict=True):
        if value is None:
            shown = work.shown(operand)
            message = f"{shown} is empty (null) and cannot be compared"
            raise _fail_at(work, node, operand.start, message, _null_fix(shown, "…"), "null_value")
    if sign in ("==", "!="):
        return same(left, right) == (sign == "==")
    if (_is_number(left) and _is_number(right)) or (isinstance(left, str) and isinstance(right, str)):
        return bool(
            left < right if sign == "<" else left <= right if sign == "<=" else left > right if sign == ">"
            else left >= right
        )  # fmt: skip
    shown_left, shown_right = work.shown(node.operands[0]), work.shown(node.operands[1])
    fix = "Only numbers with numbers and texts with texts can be ordered."
    if isinstance(left, str) and _is_number(right):
        fix = f"Write number({shown_left}) to compare as numbers."
    elif isinstance(right, str) and _is_number(left):
        fix = f"Write number({shown_right}) to compare as numbers."
    message = f"{shown_left} is {kind_of(left)} and {shown_right} is {kind_of(right)}"
    raise _fail_at(work, node, node.places[0], message, fix, "wrong_type")


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_in(work: _Work, node: Node, given: list[Json]) -> bool:
    node = _as_chain(node)
    item, held = given
    if isinstance(held, list):
        return any(same(entry, item) for entry in held)
    if isinstance(held, dict):
        return isinstance(item, str) and item in held
    shown = work.shown(node.operands[1])
    fix = (
        f"Write contains({shown}, …) to look into text." if isinstance(held, str) else _null_fix(shown, "[]")
    )
    message = f"“in” looks into a list, but {shown} is {kind_of(held)}"
    raise _fail_at(work, node, node.operands[1].start, message, fix, "wrong_type")


def _calculate(work: _Work, node: Node, given: list[Json]) -> Json:
    node = _as_chain(node)
    total = given[0]
    for place, right in enumerate(given[1:]):
        sign, operand = node.signs[place], node.operands[place + 1]
        try:
            total = _combine(sign, total, right)
        except FunctionError as error:
            blame, where = error.message, node.places[place]
            guilty = right if _is_guilty(right, sign) else total
            if guilty is right or place == 0:
                blamed = operand if guilty is right else node.operands[0]
                blame = blame.replace("This", work.shown(blamed), 1)
                where = blamed.start if blame != error.message else where
            raise _fail_at(work, node, where, blame, error.fix, error.code) from None
    return total


def _is_guilty(value: Json, sign: str) -> bool:
    if sign == "+" and isinstance(value, str | list):
        return False
    return not _is_number(value) or (isinstance(value, int) and abs(value) > EXACT_INTEGER)


def _combine(sign: str, left: Json, right: Json) -> Json:
    if sign == "+":
        if isinstance(left, str) and isinstance(right, str):
            if len(left) + len(right) > EXPRESSION_TEXT_CHARS.value:
                raise FunctionError(EXPRESSION_TEXT_CHARS.says().rstrip("."), code="too_large")
            return left + right
        if isinstance(left, list) and isinstance(right, list):
            if len(left) + len(right) > 10_000:
                raise FunctionError("The list is too long: at most 10,000 items", code="too_large")
            return [*left, *right]
        if (isinstance(left, str) and _is_number(right)) or (isinstance(right, str) and _is_number(left)):
            fix = "Write text(…) around the number to join them, or number(…) around the text to add."
            raise FunctionError("Text and a number cannot be added", fix, "wrong_type")
    if sign == "%":
        return mod(left, right)
    first, second = number(left, "This"), number(right, "This")
    if sign == "/" and second == 0:
        fix = "Check that the divisor is not 0 first, as in x == 0 ? 0 : y / x."
        raise FunctionError("Division by zero", fix, "division_by_zero")
    found = (
        first + second if sign == "+" else first - second if sign == "-" else first * second if sign == "*"
        else first / second
    )  # fmt: skip
    if found in (float("inf"), float("-inf")) or found != found:
        raise FunctionError("The number is too large", code="too_large")
    return found


def _boolean(work: _Work, node: Node, given: list[Json]) -> bool:
    if isinstance(given[0], bool):
        return given[0]
    shown = work.shown(node)
    fix = f"Compare it, as in {shown} == …"
    if isinstance(given[0], str):
        fix = f'Compare it, as in {shown} == "…", or ask !is_empty({shown}).'
    elif given[0] is None:
        fix = f"Write default({shown}, false)."
    raise _fail_at(
        work, node, node.start, f"{shown} is {kind_of(given[0])}, not true or false", fix, "wrong_type"
    )


def _items(work: _Work, node: Node, given: list[Json]) -> list[Json]:
    if not isinstance(node, Macro):
        raise TypeError(node)
    value, shown = given[0], work.shown(node.target)
    if isinstance(value, dict):
        value = sorted(value)
    if not isinstance(value, list):
        fix = _null_fix(shown, "[]") if value is None else ""
        if isinstance(value, str):
            fix = f'Write lines({shown}) or split({shown}, ",") to make a list of text.'
        message = f"{node.kind} works on a list, but {shown} is {kind_of(value)}"
        raise _fail_at(work, node, node.target.start, message, fix, "wrong_type")
    if len(value) > EXPRESSION_LIST_ITEMS.value:
        message = f"{shown} is too long for {node.kind}: at most {EXPRESSION_LIST_ITEMS.value:,} items"
        fix = "Use slice(…) first, or a Fan-out step."
        raise _fail_at(work, node, node.target.start, message, fix, "too_large")
    _foresee(work, value)
    return value


def _foresee(work: _Work, value: list[Json]) -> None:
    """Count what all rounds of a loop will read before the first one, since CEL cannot be stopped between them."""
    loop = work.expression.loops[work.number]
    weights = [_unpack(entry)[1] for entry in value]
    work.heaviest[loop] = max(weights, default=0)
    each = sum(work.bound.get(place, 0) for place in loop.references)
    for named in loop.names:
        if named is loop:
            work.spend(sum(weights))
        else:
            each += work.heaviest.get(named, 0)
    work.spend(each * len(value))


def _holds(work: _Work, node: Node, given: list[Json]) -> bool:
    held, part = given
    if isinstance(held, dict):
        return isinstance(part, str) and held.get(part) is not None
    if isinstance(held, list) and isinstance(part, float) and part.is_integer():
        return 0 <= part < len(held) and held[int(part)] is not None
    return False


_Deed = Callable[[_Work, Node, list[Json]], Json]
_DEEDS: Final[Mapping[str, _Deed]] = {
    "compare": _compare,
    "in": _is_in,
    "calculate": _calculate,
    "negative": lambda work, node, given: -number(given[0]),
    "boolean": _boolean,
    "items": _items,
    "holds": _holds,
    "all": lambda work, node, given: all(given[0]),
    "exists": lambda work, node, given: any(given[0]),
    "exists_one": lambda work, node, given: sum(given[0]) == 1,
    "is_empty": lambda work, node, given: is_empty(given[0]),
    "need text": lambda work, node, given: text_of(given[0], work.shown(node)),
    "key": lambda work, node, given: text_of(given[0], "The name of a field"),
}


@lru_cache(maxsize=1)
def _environment() -> Any:
    """The engine with our two callbacks: `sw` gives true or false, `sx` gives any value, alone in a list."""
    declared = [
        cel.FunctionDecl(
            name,
            [
                cel.Overload(
                    f"{name}_list",
                    return_type=cel.Type.DYN,
                    parameters=[cel.Type.List(cel.Type.DYN)],
                    impl=called,
                )
            ],
        )
        for name, called in (("sw", _dispatch), ("sx", _dispatch_boxed))
    ]
    return cel.NewEnv(functions=declared)


def _program(written: str, text: str) -> Any:
    try:
        return _environment().compile(written, disable_check=True)
    except (RuntimeError, ValueError) as error:
        code, message = "syntax", "The expression cannot be read"
        if "recursion" in str(error):
            code, message = "too_deep", "The expression is nested too deeply"
        raise ExpressionError(code, message, Position.of(text, 0), "Split it over several steps.") from None


@lru_cache(maxsize=256)
def _is_pattern(pattern: str) -> bool:
    """Whether the engine takes a regular expression."""
    try:
        result = _environment().compile(f'"".matches({_quoted(pattern)})', disable_check=True).eval(data={})
    except (RuntimeError, ValueError):
        return False
    return bool(result.type() != cel.Type.ERROR)


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
    work = _Work(expression)
    data, missing = _bind(expression, scope, work)
    before, _thread.work = _thread.work, work
    try:
        result = expression.program.eval(data=data)
        if result.type() == cel.Type.ERROR:
            raise _explained(str(result.value()), work, missing)
        return plain_number(_unpack(result.plain_value())[0])
    except RuntimeError as error:
        raise _explained(str(error), work, missing) from None
    except FunctionError as error:
        raise ExpressionError(error.code, error.message, Position.of(expression.text, 0), error.fix) from None
    finally:
        _thread.work = before
        _thread.box.clear()


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
    expression: Expression, scope: Scope, work: _Work
) -> tuple[dict[str, Json], dict[int, ExpressionError]]:
    """The variables of an evaluation; what cannot be bound is an error that counts only when it is needed."""
    data: dict[str, Json] = {}
    missing: dict[int, ExpressionError] = {}
    packed: dict[Path, tuple[Json, int]] = {}
    total = 0
    for place, node in enumerate(expression.references):
        try:
            if node.path not in packed:
                packed[node.path] = _pack(resolve(node.path, scope))
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


def _explained(told: str, work: _Work, missing: Mapping[int, ExpressionError]) -> ExpressionError:
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
