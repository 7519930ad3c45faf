"""The engine underneath: CEL with our two callbacks, through which signs and functions are carried out."""

from functools import lru_cache
from typing import Any

from cel_expr_python import cel

from workflows.expressions.deeds import DEEDS
from workflows.expressions.emitter import quoted
from workflows.expressions.errors import ExpressionError, Position
from workflows.expressions.functions import FUNCTIONS, FunctionError
from workflows.expressions.syntax import Call, Chain, Node
from workflows.expressions.work import Work, current, pack, unpack
from workflows.lib.jsontypes import JSONValue as Json


def _dispatch(arguments: list[Json]) -> Json:
    """Carry out one sign or function: `[deed, number of the node, …]`."""
    work = current.work
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
            value, weight = unpack(entry)
            given.append(value)
            work.spend(weight)
        special = DEEDS.get(deed)
        if special is not None:
            result = special(work, node, given)
        else:
            result = _call_function(deed, given)
        packed, weight = pack(result)
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
    box = current.box
    box[:] = [_dispatch(arguments)]
    return box


def _call_function(name: str, given: list[Json]) -> Json:
    run = FUNCTIONS[name].run
    if run is None:
        raise ValueError(name)
    return run(given)


def _place(work: Work, node: Node) -> Position:
    text = work.expression.text
    if isinstance(node, Chain) and len(node.places) == 1:
        return Position.of(text, node.places[0])
    if isinstance(node, Call) and node.method:
        return Position.of(text, max(text.find(node.name, node.arguments[0].end), node.start))
    return Position.of(text, node.start)


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


def program(written: str, text: str) -> Any:
    try:
        return _environment().compile(written, disable_check=True)
    except (RuntimeError, ValueError) as error:
        code, message = "syntax", "The expression cannot be read"
        if "recursion" in str(error):
            code, message = "too_deep", "The expression is nested too deeply"
        raise ExpressionError(code, message, Position.of(text, 0), "Split it over several steps.") from None


@lru_cache(maxsize=256)
def is_pattern(pattern: str) -> bool:
    """Whether the engine takes a regular expression."""
    try:
        result = _environment().compile(f'"".matches({quoted(pattern)})', disable_check=True).eval(data={})
    except (RuntimeError, ValueError):
        return False
    return bool(result.type() != cel.Type.ERROR)


def carry_out(compiled: Any, data: dict[str, Json]) -> Any:
    """What a program gives with these variables, packed. Raises RuntimeError in the engine's own words."""
    result = compiled.eval(data=data)
    if result.type() == cel.Type.ERROR:
        raise RuntimeError(str(result.value()))
    return result.plain_value()
