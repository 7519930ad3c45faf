"""What one evaluation carries: values packed for CEL and unpacked again, and the bounds on its work."""

import re
import threading
from collections.abc import Mapping
from typing import Final

from workflows.expressions.emitter import Expression, Loop
from workflows.expressions.errors import ExpressionError
from workflows.expressions.functions import FunctionError
from workflows.expressions.names import EXACT_INTEGER
from workflows.expressions.syntax import Node
from workflows.lib.jsontypes import JSONValue as Json
from workflows.lib.limits import EXPRESSION_TEXT_CHARS

# Weight is characters, and 16 for each value: what one evaluation may bind, hold in a loop, and work through.
MAX_BOUND_WEIGHT: Final = 20_000_000
MAX_WORK: Final = 20_000_000
MAX_CALLS: Final = 50_000
MAX_DATA_DEPTH: Final = 100
_ENTRY_WEIGHT: Final = 16
_BIG: Final = b"#"
_REFUSED_SIGNS = re.compile("[\x00\ud800-\udfff]")


class Work:
    """What one evaluation has done so far, and the first error it met."""

    def __init__(self, expression: Expression) -> None:
        self.expression = expression
        self.calls = 0
        self.weight = 0
        self.error: ExpressionError | None = None
        # Weight of each variable, and of the heaviest item of each loop that has begun.
        self.bound: dict[int, int] = {}
        self.heaviest: dict[Loop, int] = {}
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


class _Current(threading.local):
    def __init__(self) -> None:
        self.work: Work | None = None
        self.box: list[Json] = []


current = _Current()


def unpack(value: Json) -> tuple[Json, int]:
    """A value from CEL with our marked large integers as integers, and its weight; lists are changed in place."""
    if isinstance(value, str):
        return value, _ENTRY_WEIGHT + len(value)
    if isinstance(value, list):
        weight = _ENTRY_WEIGHT
        for place, entry in enumerate(value):
            value[place], more = unpack(entry)
            weight += more
        return value, weight
    if isinstance(value, dict):
        weight = _ENTRY_WEIGHT
        for key, entry in value.items():
            value[key], more = unpack(entry)
            weight += more + len(key)
        return value, weight
    if isinstance(value, bytes | bytearray):
        digits = bytes(value)[1:]
        if value[:1] != _BIG or not digits.lstrip(b"-").isdigit():
            raise FunctionError("Whole numbers beyond 9,007,199,254,740,992 cannot be calculated with")
        return int(digits), _ENTRY_WEIGHT
    return value, _ENTRY_WEIGHT


def pack(value: Json, depth: int = 0) -> tuple[Json, int]:
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
            packed, more = pack(entry, depth + 1)
            entries.append(packed)
            weight += more
        return entries, weight
    if isinstance(value, Mapping):
        fields: dict[str, Json] = {}
        for key, entry in value.items():
            if not isinstance(key, str) or _REFUSED_SIGNS.search(key):
                raise FunctionError("An object has a name that is not text")
            fields[key], more = pack(entry, depth + 1)
            weight += more + len(key)
        return fields, weight
    raise FunctionError("The data holds something that is not JSON")
