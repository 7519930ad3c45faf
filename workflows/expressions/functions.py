"""Every function of the expression language: its name, its sentence, an example that is tested, and its deed.

Numbers arrive as floats; whole numbers beyond 2**53 arrive as int and are refused in arithmetic.
"""

import json as json_module
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from types import MappingProxyType
from typing import Final, TypeAlias

from workflows.expressions import dates
from workflows.expressions.names import EXACT_INTEGER, as_json, as_text, plain_number
from workflows.expressions.paths import kind_of
from workflows.lib.jsontypes import JSONValue as Json
from workflows.lib.limits import EXPRESSION_LIST_ITEMS, EXPRESSION_TEXT_CHARS

MAX_RESULT_ITEMS: Final = 10_000
MAX_DEPTH: Final = 60

Arguments: TypeAlias = Sequence[Json]


class FunctionError(Exception):
    """What a function cannot do with its values: a sentence, and what to write instead."""

    def __init__(self, message: str, fix: str = "", code: str = "bad_value") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
        self.code = code


@dataclass(frozen=True, slots=True, eq=False)
class Function:
    """One function as the docs and the autocompletion show it; every `example` gives `result`.

    `run` is None for the few that the language itself carries out because their arguments may be missing.
    """

    name: str
    signature: str
    sentence: str
    example: str
    result: Json
    group: str
    least: int
    most: int
    run: Callable[[Arguments], Json] | None
    aliases: tuple[str, ...] = ()


_TABLE: dict[str, Function] = {}
_NO_LIMIT: Final = 50


def _add(
    group: str,
    signature: str,
    sentence: str,
    example: str,
    result: Json,
    run: Callable[[Arguments], Json] | None,
    *aliases: str,
) -> None:
    name, _, rest = signature.partition("(")
    inside = [part.strip() for part in rest.rstrip(")").split(",") if part.strip()]
    optional = sum(1 for part in inside if part.endswith("?") or part == "…")
    most = _NO_LIMIT if "…" in inside else len(inside)
    function = Function(
        name, signature, sentence, example, result, group, len(inside) - optional, most, run, aliases
    )
    for known in (name, *aliases):
        _TABLE[known] = function


# Reading arguments


def number(value: Json, what: str = "This") -> float:
    """A number that can be calculated with. Raises FunctionError."""
    if isinstance(value, float):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        if abs(value) > EXACT_INTEGER:
            raise FunctionError(
                f"{what} is the whole number {str(value)[:40]}, which is too large to calculate with exactly",
                "Compare it with == or use it in text; calculations work up to 9,007,199,254,740,992.",
                "big_integer",
            )
        return float(value)
    fix = ""
    if isinstance(value, str):
        fix = "Turn text into a number with number(…)."
    elif value is None:
        fix = "Give it a value with default(…, 0)."
    raise FunctionError(f"{what} is {kind_of(value)}, not a number", fix)


def whole(value: Json, what: str) -> int:
    found = number(value, what)
    if not math.isfinite(found) or not found.is_integer():
        raise FunctionError(f"{what} must be a whole number")
    return int(found)


def text_of(value: Json, what: str = "This") -> str:
    if isinstance(value, str):
        if len(value) > EXPRESSION_TEXT_CHARS.value:
            raise FunctionError(EXPRESSION_TEXT_CHARS.says().rstrip("."), code="too_large")
        return value
    if value is None:
        fix = 'Give it a value with default(…, "").'
    else:
        fix = "Turn it into text with text(…)."
    raise FunctionError(f"{what} is {kind_of(value)}, not text", fix)


def list_of(value: Json, what: str = "This") -> list[Json]:
    if isinstance(value, list):
        return value
    fix = "Give it a value with default(…, [])." if value is None else ""
    if isinstance(value, str):
        fix = "Make a list of text with lines(…), split(…) or parse_json(…)."
    raise FunctionError(f"{what} is {kind_of(value)}, not a list", fix)


def object_of(value: Json, what: str = "This") -> dict[str, Json]:
    if isinstance(value, dict):
        return value
    raise FunctionError(f"{what} is {kind_of(value)}, not an object")


def capped(text: str) -> str:
    """The text, unless it is too large to keep."""
    if len(text) > EXPRESSION_TEXT_CHARS.value:
        raise FunctionError(
            EXPRESSION_TEXT_CHARS.says().rstrip("."), "Split the work over items.", "too_large"
        )
    return text


def capped_list(entries: list[Json]) -> list[Json]:
    """The list, unless it is too long to keep."""
    if len(entries) > MAX_RESULT_ITEMS:
        raise FunctionError(f"The list is too long: at most {MAX_RESULT_ITEMS:,} items", code="too_large")
    return entries


def same(left: Json, right: Json) -> bool:
    """Equality as people mean it: 3 is 3.0, true is not 1, lists and objects by what they hold."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(value, right[key]) for key, value in left.items())
    return bool(left == right)


def is_empty(value: Json) -> bool:
    """Null, blank text, an empty list or an empty object."""
    return value is None or (isinstance(value, str) and not value.strip()) or value in ([], {})


def size_of(value: Json) -> int:
    if isinstance(value, str | list | dict):
        return len(value)
    fix = "Ask has(…) first." if value is None else ""
    raise FunctionError(f"{kind_of(value).capitalize()} has no size", fix)


# Text


def _replace(given: Arguments) -> str:
    text, old, new = (
        text_of(given[0]),
        text_of(given[1], "The text to replace"),
        text_of(given[2], "The new text"),
    )
    if not old:
        raise FunctionError("The text to replace is empty")
    if len(text) + text.count(old) * (len(new) - len(old)) > EXPRESSION_TEXT_CHARS.value:
        raise FunctionError(EXPRESSION_TEXT_CHARS.says().rstrip("."), code="too_large")
    return text.replace(old, new)


def _split(given: Arguments) -> list[Json]:
    text, separator = text_of(given[0]), text_of(given[1], "The separator")
    if text.count(separator) >= MAX_RESULT_ITEMS if separator else len(text) > MAX_RESULT_ITEMS:
        raise FunctionError(f"The list is too long: at most {MAX_RESULT_ITEMS:,} items", code="too_large")
    return list(text.split(separator) if separator else text)


def _join(given: Arguments) -> str:
    separator = text_of(given[1], "The separator") if len(given) > 1 else ", "
    pieces, length = [], 0
    for place, entry in enumerate(list_of(given[0]), 1):
        if entry is None:
            raise FunctionError(f"Item {place} is empty (null), it cannot be joined")
        pieces.append(as_text(entry))
        length += len(pieces[-1]) + len(separator)
        if length > EXPRESSION_TEXT_CHARS.value + len(separator):
            raise FunctionError(EXPRESSION_TEXT_CHARS.says().rstrip("."), code="too_large")
    return separator.join(pieces)


def _substring(given: Arguments) -> str:
    text, start = text_of(given[0]), max(0, whole(given[1], "The start"))
    end = max(0, whole(given[2], "The end")) if len(given) > 2 else len(text)
    return text[start:end]


def _contains(given: Arguments) -> bool:
    if isinstance(given[0], list):
        return any(same(entry, given[1]) for entry in given[0])
    if isinstance(given[0], dict):
        return text_of(given[1], "The name") in given[0]
    return text_of(given[1], "The part") in text_of(given[0], "The first value")


def _index_of(given: Arguments) -> int:
    if isinstance(given[0], list):
        return next((place for place, entry in enumerate(given[0]) if same(entry, given[1])), -1)
    return text_of(given[0]).find(text_of(given[1], "The part"))


def _lines(given: Arguments) -> list[Json]:
    return capped_list([line.strip() for line in text_of(given[0]).splitlines() if line.strip()])


def _text(given: Arguments) -> str:
    if given[0] is None:
        raise FunctionError(
            "There is nothing to turn into text: the value is empty (null)", 'Use default(…, "").'
        )
    return as_text(given[0])


def _format_number(given: Arguments) -> str:
    value = _finite(number(given[0]))
    digits = _digits(given[1]) if len(given) > 1 else None
    thousands = text_of(given[2], "The thousands sign")[:5] if len(given) > 2 else ","
    point = text_of(given[3], "The decimal sign")[:5] if len(given) > 3 else "."
    written = f"{plain_number(value):,}" if digits is None else f"{_rounded(value, digits):,.{digits}f}"
    return "".join({",": thousands, ".": point}.get(sign, sign) for sign in written)


_add("Text", "lower(text)", "All letters small.", 'lower("Hello")', "hello", lambda a: text_of(a[0]).lower())
_add(
    "Text",
    "upper(text)",
    "All letters large.",
    'upper("Hello")',
    "HELLO",
    lambda a: capped(text_of(a[0]).upper()),
)
_add("Text", "trim(text)", "Without spaces and line ends around it.", 'trim("  hi ")', "hi",
     lambda a: text_of(a[0]).strip())  # fmt: skip
_add("Text", "capitalize(text)", "The first letter large, the rest as it is.", 'capitalize("ana maria")', "Ana maria",
     lambda a: text_of(a[0])[:1].upper() + text_of(a[0])[1:])  # fmt: skip
_add("Text", "replace(text, old, new)", "Every place of one text replaced by another.",
     'replace("a-b-c", "-", "+")', "a+b+c", _replace)  # fmt: skip
_add("Text", "split(text, separator)", "A list of the pieces between the separators.",
     'split("a,b", ",")', ["a", "b"], _split)  # fmt: skip
_add("Text", "join(list, separator?)", "One text of all items, with “, ” between them unless you say otherwise.",
     'join(["a", "b"], " and ")', "a and b", _join)  # fmt: skip
_add("Text", "substring(text, start, end?)", "The part from a position (from 0) up to, not including, another.",
     'substring("Stepwell", 0, 4)', "Step", _substring)  # fmt: skip
_add("Text", "starts_with(text, part)", "Whether the text begins with the part.", 'starts_with("Invoice 7", "Inv")',
     True, lambda a: text_of(a[0]).startswith(text_of(a[1], "The part")), "startsWith")  # fmt: skip
_add("Text", "ends_with(text, part)", "Whether the text ends with the part.", 'ends_with("a.pdf", ".pdf")', True,
     lambda a: text_of(a[0]).endswith(text_of(a[1], "The part")), "endsWith")  # fmt: skip
_add("Text", "contains(text, part)", "Whether a text holds the part, or a list holds the item.",
     'contains("hello", "ell")', True, _contains, "includes")  # fmt: skip
_add("Text", "matches(text, pattern)", "Whether a regular expression (RE2) is found in the text.",
     'matches("A-17", "^[A-Z]-[0-9]+$")', True, None)  # fmt: skip
_add("Text", "index_of(text, part)", "The position of the part, or of the item in a list; -1 when it is not there.",
     'index_of("hello", "l")', 2, _index_of, "indexOf")  # fmt: skip
_add(
    "Text", "lines(text)", "A list of the lines that are not blank.", 'lines("a\\n\\nb")', ["a", "b"], _lines
)
_add("Text", "words(text)", "A list of the words.", 'words("two  words")', ["two", "words"],
     lambda a: capped_list(list(text_of(a[0]).split())))  # fmt: skip
_add("Text", "text(value)", "Any value as text; lists and objects as JSON.", "text(3) + \" items\"", "3 items", _text,
     "string")  # fmt: skip
_add("Text", "format_number(number, digits?, thousands?, decimal?)", "A number for people to read.",
     "format_number(1234.5, 2)", "1,234.50", _format_number, "formatNumber")  # fmt: skip

# Numbers


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise FunctionError("The number is too large")
    return value


def _digits(value: Json) -> int:
    digits = whole(value, "The number of digits")
    if not 0 <= digits <= 15:
        raise FunctionError("The number of digits must be from 0 to 15")
    return digits


def _rounded(value: float, digits: int) -> float:
    try:
        return float(Decimal(repr(value)).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP))
    except InvalidOperation:  # more digits than a decimal holds: nothing after the point to round
        return value


def _to_number(given: Arguments) -> Json:
    value = given[0]
    if isinstance(value, str):
        written = value.strip()
        if len(written) > 400 or not re.fullmatch(
            r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", written, re.ASCII
        ):
            fix = 'Take out thousands signs and units first, as in number(replace(x, ",", "")).'
            raise FunctionError(f"“{written[:40]}” is not a number", fix)
        found = float(written)
        if "." not in written and "e" not in written.lower() and abs(found) > EXACT_INTEGER:
            return number(int(written), f"“{written[:40]}”")
        return _finite(found)
    return number(value)


def _numbers(given: Arguments) -> list[float]:
    entries = list_of(given[0]) if len(given) == 1 and isinstance(given[0], list) else list(given)
    if len(given) == 1 and not isinstance(given[0], list):
        list_of(given[0])
    return [number(entry, f"Item {place}") for place, entry in enumerate(entries, 1)]


def _some_numbers(given: Arguments) -> list[float]:
    found = _numbers(given)
    if not found:
        raise FunctionError("The list is empty", "Ask size(…) > 0 first.")
    return found


def mod(left: Json, right: Json) -> float:
    """The rest of a division, with the sign of the left number."""
    divisor = number(right, "The right side")
    if divisor == 0:
        raise FunctionError("Division by zero", "Check that the divisor is not 0 first.", "division_by_zero")
    return math.fmod(number(left, "The left side"), divisor)


_add("Numbers", "number(value)", "Text as a number.", 'number("12.5") * 2', 25, _to_number, "double", "float")
_add("Numbers", "round(number, digits?)", "Rounded, halves away from zero.", "round(2.345, 2)", 2.35,
     lambda a: _rounded(_finite(number(a[0])), _digits(a[1]) if len(a) > 1 else 0))  # fmt: skip
_add("Numbers", "floor(number)", "The next whole number below.", "floor(2.9)", 2,
     lambda a: math.floor(_finite(number(a[0]))))  # fmt: skip
_add("Numbers", "ceil(number)", "The next whole number above.", "ceil(2.1)", 3,
     lambda a: math.ceil(_finite(number(a[0]))))  # fmt: skip
_add("Numbers", "int(number)", "The number without what is behind the point.", "int(2.9)", 2,
     lambda a: math.trunc(_finite(number(_to_number(a)))))  # fmt: skip
_add("Numbers", "abs(number)", "The number without its minus.", "abs(-4)", 4, lambda a: abs(number(a[0])))
_add("Numbers", "mod(number, divisor)", "The rest of a division; % does the same.", "mod(7, 3)", 1,
     lambda a: mod(a[0], a[1]))  # fmt: skip
_add("Numbers", "sum(list, …)", "All numbers of a list added up; 0 for an empty list.", "sum([1, 2, 3.5])", 6.5,
     lambda a: math.fsum(_numbers(a)))  # fmt: skip
_add("Numbers", "min(list, …)", "The smallest number.", "min([3, 1, 2])", 1, lambda a: min(_some_numbers(a)))
_add("Numbers", "max(list, …)", "The largest number.", "max(3, 8)", 8, lambda a: max(_some_numbers(a)))
_add("Numbers", "avg(list, …)", "The average.", "avg([1, 2])", 1.5,
     lambda a: math.fsum(_some_numbers(a)) / len(_some_numbers(a)), "average")  # fmt: skip

# Lists


def _sort(given: Arguments) -> list[Json]:
    entries = list_of(given[0])
    order = text_of(given[-1], "The order") if len(given) > 1 and given[-1] in ("asc", "desc") else "asc"
    field = given[1] if len(given) > 1 and not (len(given) == 2 and given[1] in ("asc", "desc")) else None
    keys: list[Json] = []
    for place, entry in enumerate(entries, 1):
        key = entry
        if field is not None:
            key = object_of(entry, f"Item {place}").get(text_of(field, "The field"))
        keys.append(key)
        first = keys[0]
        alike = isinstance(key, str) if isinstance(first, str) else _is_number(first) and _is_number(key)
        if not alike:
            where = f" (“{field}”)" if field is not None else ""
            raise FunctionError(
                f"Item {place}{where} is {kind_of(key)}: only numbers or only texts can be sorted",
                'For objects name the field, as in sort(items, "price").',
            )
    ranked = sorted(range(len(entries)), key=lambda place: keys[place], reverse=order == "desc")
    return [entries[place] for place in ranked]


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _unique(given: Arguments) -> list[Json]:
    seen: dict[str, Json] = {}
    for entry in list_of(given[0]):
        seen.setdefault(as_json(entry), entry)
    return list(seen.values())


def _end(given: Arguments, place: int) -> Json:
    entries = given[0] if isinstance(given[0], str) else list_of(given[0])
    if not entries:
        raise FunctionError("The list is empty", "Ask size(…) > 0 first.")
    return entries[place]


def _slice(given: Arguments) -> list[Json]:
    entries, start = list_of(given[0]), max(0, whole(given[1], "The start"))
    return entries[start : max(0, whole(given[2], "The end")) if len(given) > 2 else None]


def _flatten(given: Arguments) -> list[Json]:
    flat: list[Json] = []
    for entry in list_of(given[0]):
        flat.extend(entry if isinstance(entry, list) else [entry])
    return capped_list(flat)


def _range(given: Arguments) -> list[Json]:
    count = whole(given[0], "The count")
    if not 0 <= count <= EXPRESSION_LIST_ITEMS.value:
        raise FunctionError(f"The count must be from 0 to {EXPRESSION_LIST_ITEMS.value:,}")
    return [float(place) for place in range(count)]


_add("Lists", "size(value)", "How many items a list has, letters a text, fields an object.", "size([1, 2, 3])", 3,
     lambda a: size_of(a[0]), "length", "count")  # fmt: skip
_add("Lists", "first(list)", "The first item.", 'first(["a", "b"])', "a", lambda a: _end(a, 0))
_add("Lists", "last(list)", "The last item.", 'last(["a", "b"])', "b", lambda a: _end(a, -1))
_add("Lists", "slice(list, start, end?)", "The items from a position (from 0) up to, not including, another.",
     "slice([1, 2, 3], 0, 2)", [1, 2], _slice)  # fmt: skip
_add("Lists", "sort(list, field?, order?)", "Sorted; for objects by a field, and \"desc\" for the largest first.",
     "sort([3, 1, 2])", [1, 2, 3], _sort)  # fmt: skip
_add(
    "Lists", "reverse(list)", "The other way round.", "reverse([1, 2])", [2, 1], lambda a: list_of(a[0])[::-1]
)
_add("Lists", "unique(list)", "Each item once, in order.", "unique([1, 2, 1])", [1, 2], _unique)
_add("Lists", "flatten(list)", "One list of the lists in it.", "flatten([[1], [2, 3]])", [1, 2, 3], _flatten)
_add("Lists", "range(count)", "The numbers from 0, so many.", "range(3)", [0, 1, 2], _range)

# Objects and JSON


def _entries(given: Arguments) -> list[Json]:
    return [{"key": key, "value": value} for key, value in sorted(object_of(given[0]).items())]


def _parse_json(given: Arguments) -> Json:
    try:
        found = json_module.loads(text_of(given[0]), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise FunctionError("The text is not valid JSON", "A Parse step is more forgiving.") from None
    if _too_deep(found):
        raise FunctionError("The JSON is nested too deeply", code="too_large")
    return found


def _refuse_constant(name: str) -> Json:
    raise ValueError(name)


def _too_deep(value: Json, level: int = 0) -> bool:
    if level > MAX_DEPTH:
        return True
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(_too_deep(entry, level + 1) for entry in inner)


def _type(given: Arguments) -> str:
    value = given[0]
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if _is_number(value):
        return "number"
    return "text" if isinstance(value, str) else "list" if isinstance(value, list) else "object"


_add("Objects", "keys(object)", "The names of its fields, sorted.", 'keys({"b": 1, "a": 2})', ["a", "b"],
     lambda a: sorted(object_of(a[0])))  # fmt: skip
_add("Objects", "values(object)", "The values of its fields, in the order of their names.",
     'values({"b": 1, "a": 2})', [2, 1], lambda a: [value for _, value in sorted(object_of(a[0]).items())])  # fmt: skip
_add("Objects", "entries(object)", "A list of {key, value}.", 'entries({"a": 1})', [{"key": "a", "value": 1}],
     _entries)  # fmt: skip
_add("Objects", "merge(object, other)", "Both objects in one; the other's fields win.",
     'merge({"a": 1}, {"b": 2})', {"a": 1, "b": 2},
     lambda a: {**object_of(a[0], "The first value"), **object_of(a[1], "The second value")})  # fmt: skip
_add("Objects", "json(value)", "The value written as JSON text.", 'json({"a": [1, true]})', '{"a": [1, true]}',
     lambda a: capped(as_json(a[0])), "to_json")  # fmt: skip
_add("Objects", "parse_json(text)", "The value that a JSON text describes.", 'parse_json("[1, 2]")', [1, 2],
     _parse_json, "parseJson")  # fmt: skip
_add("Objects", "type(value)", "text, number, boolean, list, object or null.", 'type("a")', "text", _type)

# Questions and defaults: the language carries out those whose argument may be missing

_add("Questions", "has(reference)", "Whether there is a value: not missing and not null.", "has(input.nothing)",
     False, None)  # fmt: skip
_add("Questions", "default(reference, value)", "The value, or another when it is missing or null.",
     'default(input.nothing, "none")', "none", None)  # fmt: skip
_add("Questions", "coalesce(reference, …)", "The first value that is there: not missing and not null.",
     'coalesce(input.nothing, null, "c")', "c", None)  # fmt: skip
_add("Questions", "is_empty(reference)", "Missing, null, blank text, or nothing in it.", 'is_empty("  ")', True, None,
     "isEmpty")  # fmt: skip

# Dates


def _date(value: Json, what: str = "This") -> dates.Date:
    written = text_of(value, what)
    try:
        return dates.read(written)
    except ValueError:
        fix = 'Dates are written 2026-11-20 or 2026-11-20T09:30:00Z; use parse_date(text, "DD.MM.YYYY") for others.'
        raise FunctionError(f"“{written[:40]}” is not a date", fix) from None


def _shift(given: Arguments, unit: str) -> str:
    amount = _finite(number(given[1], "The amount"))
    try:
        moved = (
            dates.shift(_date(given[0]), days=amount)
            if unit == "days"
            else dates.shift(_date(given[0]), minutes=amount * (60 if unit == "hours" else 1))
        )
    except (OverflowError, ValueError):
        raise FunctionError("The date falls outside the years 1 to 9999") from None
    return dates.write(moved)


def _between(given: Arguments, seconds: float) -> float:
    start = dates.moment(_date(given[0], "The first value"))
    end = dates.moment(_date(given[1], "The second value"))
    return (end - start).total_seconds() / seconds


def _days_between(given: Arguments) -> float:
    return float(math.trunc(_between(given, 86_400)))


def _parse_date(given: Arguments) -> str:
    if len(given) == 1:
        return dates.write(_date(given[0]))
    pattern = text_of(given[1], "The pattern")
    try:
        return dates.write(dates.read_as(text_of(given[0])[:200], pattern[:100]))
    except ValueError:
        message = f"“{text_of(given[0])[:40]}” is not a date of the form {pattern[:40]}"
        raise FunctionError(message, "The parts are YYYY, MM, DD, D, MMM, HH, mm and ss.") from None


def _format_date(given: Arguments) -> str:
    return capped(dates.spell(_date(given[0]), text_of(given[1], "The pattern")[:200]))


def _part(name: str) -> Callable[[Arguments], Json]:
    return lambda given: getattr(dates.moment(_date(given[0])), name)


_add("Dates", "now()", "When the run started; the same in every step of the run.", "now()", "2026-11-20T09:30:00Z",
     None)  # fmt: skip
_add("Dates", "today()", "The day on which the run started.", "today()", "2026-11-20", None)
_add("Dates", "parse_date(text, pattern?)", "Text in a stated form as a date.",
     'parse_date("20.11.2026", "DD.MM.YYYY")', "2026-11-20", _parse_date, "parseDate")  # fmt: skip
_add("Dates", "format_date(date, pattern)", "A date for people: YYYY, MMMM, MMM, MM, DD, D, dddd, HH, h, mm, A.",
     'format_date("2026-11-20", "D MMMM YYYY")', "20 November 2026", _format_date, "formatDate")  # fmt: skip
_add("Dates", "date(value)", "The day of a moment.", 'date("2026-11-20T09:30:00Z")', "2026-11-20",
     lambda a: dates.write(dates.moment(_date(a[0])).date()))  # fmt: skip
_add("Dates", "add_days(date, days)", "So many days later; earlier with a minus.", 'add_days("2026-11-20", 14)',
     "2026-12-04", lambda a: _shift(a, "days"), "addDays")  # fmt: skip
_add("Dates", "add_hours(date, hours)", "So many hours later.", 'add_hours("2026-11-20T09:30:00Z", 2)',
     "2026-11-20T11:30:00Z", lambda a: _shift(a, "hours"), "addHours")  # fmt: skip
_add("Dates", "add_minutes(date, minutes)", "So many minutes later.", 'add_minutes("2026-11-20T09:30:00Z", 45)',
     "2026-11-20T10:15:00Z", lambda a: _shift(a, "minutes"), "addMinutes")  # fmt: skip
_add("Dates", "days_between(start, end)", "Full days from one date to another.",
     'days_between("2026-11-20", "2026-12-04")', 14, _days_between, "daysBetween")  # fmt: skip
_add("Dates", "hours_between(start, end)", "Hours from one moment to another.",
     'hours_between("2026-11-20T09:00:00Z", "2026-11-20T10:30:00Z")', 1.5, lambda a: _between(a, 3_600),
     "hoursBetween")  # fmt: skip
_add("Dates", "year(date)", "The year.", 'year("2026-11-20")', 2026, _part("year"))
_add("Dates", "month(date)", "The month, 1 to 12.", 'month("2026-11-20")', 11, _part("month"))
_add("Dates", "day(date)", "The day of the month.", 'day("2026-11-20")', 20, _part("day"))
_add("Dates", "weekday(date)", "The name of the day.", 'weekday("2026-11-20")', "Friday",
     lambda a: dates.spell(_date(a[0]), "dddd"))  # fmt: skip

# By every name and alias that may be written.
FUNCTIONS: Final[Mapping[str, Function]] = MappingProxyType(_TABLE)


@dataclass(frozen=True, slots=True)
class ListWord:
    """A word that works on each item of a list, for the docs and the autocompletion."""

    name: str
    signature: str
    sentence: str
    example: str
    result: Json


LIST_WORDS: Final = (
    ListWord("map", "list.map(x, value)", "A new list with a value made of each item.",
             "[1, 2].map(x, x * 10)", [10, 20]),
    ListWord("filter", "list.filter(x, condition)", "Only the items for which the condition holds.",
             "[1, 2, 3].filter(x, x > 1)", [2, 3]),
    ListWord("all", "list.all(x, condition)", "Whether the condition holds for every item.",
             "[1, 2].all(x, x > 0)", True),
    ListWord("exists", "list.exists(x, condition)", "Whether it holds for at least one item.",
             "[1, 2].exists(x, x > 1)", True),
    ListWord("exists_one", "list.exists_one(x, condition)", "Whether it holds for exactly one item.",
             "[1, 2].exists_one(x, x > 1)", True),
)  # fmt: skip


def documented() -> tuple[Function, ...]:
    """Every function once, in the order of the table (aliases are in `aliases`)."""
    return tuple(dict.fromkeys(FUNCTIONS.values()))
