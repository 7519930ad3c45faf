"""What signs, loops and questions do with values, and what they say when a value does not fit."""

from collections.abc import Callable, Mapping
from typing import Final

from workflows.expressions.errors import ExpressionError, Position
from workflows.expressions.functions import FunctionError, is_empty, mod, number, same, text_of
from workflows.expressions.names import EXACT_INTEGER
from workflows.expressions.paths import kind_of
from workflows.expressions.syntax import Chain, Constant, Macro, Node
from workflows.expressions.work import Work, unpack
from workflows.lib.jsontypes import JSONValue as Json
from workflows.lib.limits import EXPRESSION_LIST_ITEMS, EXPRESSION_TEXT_CHARS


def _fail_at(work: Work, node: Node, offset: int, message: str, fix: str, code: str) -> FunctionError:
    if work.error is None:
        work.error = ExpressionError(code, message, Position.of(work.expression.text, offset), fix)
    return FunctionError(message, fix, code)


def _null_fix(shown: str, example: str) -> str:
    return f"Write default({shown}, {example}), or ask has({shown}) first."


def _as_chain(node: Node) -> Chain:
    if not isinstance(node, Chain):
        raise TypeError(node)
    return node


def _compare(work: Work, node: Node, given: list[Json]) -> bool:
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


def _is_in(work: Work, node: Node, given: list[Json]) -> bool:
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


def _calculate(work: Work, node: Node, given: list[Json]) -> Json:
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


def _boolean(work: Work, node: Node, given: list[Json]) -> bool:
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


def _items(work: Work, node: Node, given: list[Json]) -> list[Json]:
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


def _foresee(work: Work, value: list[Json]) -> None:
    """Count what all rounds of a loop will read before the first one, since CEL cannot be stopped between them."""
    loop = work.expression.loops[work.number]
    weights = [unpack(entry)[1] for entry in value]
    work.heaviest[loop] = max(weights, default=0)
    each = sum(work.bound.get(place, 0) for place in loop.references)
    for named in loop.names:
        if named is loop:
            work.spend(sum(weights))
        else:
            each += work.heaviest.get(named, 0)
    work.spend(each * len(value))


def _holds(work: Work, node: Node, given: list[Json]) -> bool:
    held, part = given
    if isinstance(held, dict):
        return isinstance(part, str) and held.get(part) is not None
    if isinstance(held, list) and isinstance(part, float) and part.is_integer():
        return 0 <= part < len(held) and held[int(part)] is not None
    return False


_Deed = Callable[[Work, Node, list[Json]], Json]
DEEDS: Final[Mapping[str, _Deed]] = {
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
