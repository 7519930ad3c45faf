"""What the expression language answers, case by case: this table must hold for every release of the engine below."""

from typing import Any

import pytest

from workflows.expressions.errors import ExpressionError
from workflows.expressions.functions import LIST_WORDS, documented
from workflows.expressions.language import evaluate
from workflows.expressions.names import Scope

SCOPE = Scope(
    input={
        "n": 3, "a": 7, "half": 0.5, "zero": 0, "neg": -4, "s": "Hello", "xs": [1, 2, 3], "none": None, "yes": True,
        "no": False, "empty": "", "blank": [], "big": 9007199254740993, "first name": "Ana", "digits": "12",
        "rows": [{"price": 5, "kind": "a"}, {"price": 2, "kind": "b"}, {"price": 9}],
        "user": {"name": "Bo", "tags": ["x", "y"], "age": None},
    },
    steps={
        "Idea Analysis": {"content": "good", "score": 8, "items": [{"name": "one"}, {"name": "two"}]},
        "R & D": {"content": "lab"}, "Follow-up": {"content": "later"}, "Schritt Zwei": {"content": "zwei"},
        "A > B": {"content": "odd"}, "Ünïcode": {"content": "ü"},
    },
    vars={"limit": 5, "names": ["Ana", "Bo"]}, item={"title": "T", "qty": 2}, index=4, previous={"content": "prev"},
    run={"id": "r1", "started_at": "2026-11-20T09:30:00Z"}, trigger={"type": "event", "data": {"status": "won"}},
    parameters={"tone": "warm"},
)  # fmt: skip

CASES: list[tuple[str, Any]] = [
    # Numbers just work
    ("input.n * 1.5", 4.5), ("input.n > 3", False), ("input.n > 2.5", True), ("size(input.xs) > 2", True),
    ("input.n == 3", True), ("input.n == 3.0", True), ("input.a / 2", 3.5), ("input.a / 7", 1), ("input.n + 1", 4),
    ("1 + 2 * 3", 7), ("(1 + 2) * 3", 9), ("10 - 4 - 3", 3), ("2 * 3 / 4", 1.5), ("7 % 3", 1), ("-7 % 3", -1),
    ("-input.n", -3), ("2 * -3", -6), ("input.n * input.half", 1.5), ("1e3", 1000), (".5 + .5", 1), ("0.1 + 0.2", 0.30000000000000004),
    ("size(input.xs) * 1.5", 4.5), ("size(input.xs) / 2", 1.5), ("input.xs.size() == 3", True),
    ("index + 1", 5), ("vars.limit >= input.n", True), ("input.xs[0] + input.half", 1.5), ("input.xs[input.n - 1]", 3),
    ("input.xs[1] == 2", True), ("1 == 1.0", True), ("3 in input.xs", True), ("3.5 in input.xs", False), ("input.n in [1, 3.0]", True),
    ("9007199254740992 == 9007199254740992", True), ("input.big", 9007199254740993), ("input.big == 9007199254740993", True),
    ("input.big != 9007199254740992", True), ("input.big > 5", True), ("[input.big][0]", 9007199254740993), ("text(input.big)", "9007199254740993"),
    # Text
    ('input.s == "Hello"', True), ("input.s == 'Hello'", True), ('input.s != "x"', True), ('"a" + "b"', "ab"), ('"a" < "b"', True),
    ('input.s + " " + input.user.name', "Hello Bo"), ("input.s.lower()", "hello"), ("lower(input.s)", "hello"), ("input.s.upper().lower()", "hello"),
    ("size(input.s)", 5), ("input.s.contains('ell')", True), ("contains(input.s, 'x')", False), ("input.s.starts_with('He')", True),
    ("input.s.endsWith('lo')", True), ("input.s.matches('^H.*o$')", True), (r'matches("a1", "\d")', True), (r"'it\'s'", "it's"), ('"line\\nbreak"', "line\nbreak"),
    ('"\\u00e9"', "é"), ('"€" + "𝄞"', "€𝄞"), ("size('𝄞')", 1), ("input.digits == 12", False), ("number(input.digits) == 12", True),
    ("'n: ' + text(input.n)", "n: 3"), ("'n: ' + text(input.half)", "n: 0.5"), ('"{{input.s}}"', "{{input.s}}"), ("trim('  a ')", "a"),
    # Logic
    ("true && false", False), ("true || false", True), ("!input.yes", False), ("!(input.n > 3)", True), ("input.n > 1 && input.n < 5", True),
    ("input.n > 5 || input.a > 5 && input.yes", True), ("input.yes ? 'y' : 'n'", "y"), ("input.no ? 'y' : 2", 2), ("input.n > 3 ? 'big' : input.n > 2 ? 'mid' : 'low'", "mid"),
    ("input.no && input.missing > 3", False), ("input.yes || input.missing", True), ("true == true", True), ("input.yes == true", True), ("true == 1", False),
    # Null and missing
    ("input.none == null", True), ("null != input.n", True), ("input.none != null", False), ("has(input.n)", True), ("has(input.missing)", False),
    ("has(input.none)", False), ("has(input.user.name)", True), ("has(input.missing.deeper[3].still)", False), ("default(input.missing, 'd')", "d"),
    ("default(input.none, 0) > 1", False), ("default(input.n, 0)", 3), ("input.missing.default('x')", "x"), ("coalesce(input.missing, input.none, 5)", 5),
    ("is_empty(input.empty)", True), ("is_empty(input.missing)", True), ("is_empty(input.blank)", True), ("is_empty(input.zero)", False), ("!is_empty(input.s)", True),
    ("has(steps.Nowhere.content)", False), ("default(steps.Nowhere.content, 'n')", "n"),
    # References
    ("steps.Idea Analysis.content", "good"), ("steps.idea analysis.score * 2", 16), ('steps["Idea Analysis"].score', 8), ("steps.Idea Analysis == 'good'", True),
    ("steps.Idea Analysis.items[1].name", "two"), ("steps.Idea Analysis.items.map(i, i.name)", ["one", "two"]), ("steps.R & D.content == 'lab'", True),
    ("steps.Follow-up.content", "later"), ("steps.A > B.content == 'odd' && input.n > 1", True), ("steps.Schritt Zwei.content + '!'", "zwei!"),
    ("steps.ünïcode.content", "ü"), ("vars.names[0]", "Ana"), ("item.title", "T"), ("item.qty * input.n", 6), ("previous.content", "prev"), ("run.id", "r1"),
    ("trigger.type == 'event' && trigger.data.status == 'won'", True), ('input["first name"]', "Ana"), ("input['n'] + 1", 4), ("tone == 'warm'", True), ("input.user", {"name": "Bo", "tags": ["x", "y"], "age": None}),
    # Lists and objects
    ("input.xs.map(x, x * 2)", [2, 4, 6]), ("input.xs.filter(x, x > 1)", [2, 3]), ("input.xs.map(x, x > 1, x * 10)", [20, 30]), ("input.xs.all(x, x > 0)", True),
    ("input.xs.exists(x, x > 5)", False), ("input.xs.exists_one(x, x == 2)", True), ("sum(input.rows.map(r, r.price))", 16), ("input.rows.map(r, r.price).max()", 9),
    ("input.rows.filter(r, has(r.kind)).size()", 2), ("input.rows.map(r, default(r.kind, '-'))", ["a", "b", "-"]), ("sort(input.rows, 'price')[0].price", 2),
    ("input.rows.sort('price', 'desc').map(r, r.price)", [9, 5, 2]), ("avg(input.xs)", 2), ("min(input.xs) + max(input.xs)", 4), ("[1, 'a', true, null]", [1, "a", True, None]),
    ('{"a": input.n, "b": [1.0]}', {"a": 3, "b": [1]}), ("[1] + [2]", [1, 2]), ("[1, 2] == [1.0, 2.0]", True), ('{"a": 1}.a', 1), ('{"a": 1} == {"a": 1.0}', True),
    ("input.xs.map(x, input.xs.map(y, x * y))[2][2]", 9), ("input.user.tags.join('/')", "x/y"), ("keys(input.user)", ["age", "name", "tags"]), ("first(input.xs)", 1), ("last(input.xs)", 3),
    ("'x' in input.user.tags", True), ("'name' in input.user", True), ("input.user.map(k, k)", ["age", "name", "tags"]), ("unique([1, 1.0, '1'])", [1, "1"]), ("input.xs.reverse()", [3, 2, 1]),
    # Dates
    ("add_days('2026-12-31', 1)", "2027-01-01"), ("days_between(today(), '2026-12-20')", 30), ("now() > '2026-01-01'", True), ("format_date(now(), 'DD/MM/YYYY HH:mm')", "20/11/2026 09:30"),
    ("add_hours('2026-11-20', 1)", "2026-11-20T01:00:00Z"), ("parse_date('3.4.2026', 'D.M.YYYY')", "2026-04-03"), ("weekday('2026-11-22')", "Sunday"),
    # Rounding and reading numbers
    ("round(2.5)", 3), ("round(-2.5)", -3), ("round(1.005, 2)", 1.01), ("floor(-1.5)", -2), ("int('12.9')", 12), ("format_number(1234567)", "1,234,567"), ("format_number(1234.5, 2, '.', ',')", "1.234,50"),
    ("// a comment\n1 + 1", 2), ("  input.n\n  + 1 ", 4),
]  # fmt: skip

# Expression, code of the error, its column, and a word of its fix.
ERRORS: list[tuple[str, str, int, str]] = [
    ("input.n === 3", "syntax", 9, "=="), ("input.n = 3", "syntax", 9, "=="), ("input.n !== 3", "syntax", 9, "!="), ("input.n <> 3", "syntax", 9, "!="),
    ("input.n and true", "syntax", 9, "&&"), ("input.n or true", "syntax", 9, "||"), ("not input.yes", "syntax", 1, "!"), ("input.yes & true", "syntax", 11, "&&"),
    ("input.yes | true", "syntax", 11, "||"), ("“a”", "syntax", 1, "straight"), ("'abc", "syntax", 1, "at its end"), ("{{input.n}}", "syntax", 1, "Leave"), ("input.s is 'a'", "syntax", 9, "=="),
    ("input.yes == True", "syntax", 14, "true"), ("input.n == None", "syntax", 12, "null"), ("input.n >", "syntax", 10, "value"), ("(input.n", "syntax", 1, ")"), ("input.n)", "syntax", 8, ""),
    ("", "empty", 1, "condition"), ("   ", "empty", 1, ""), ("1 < 2 < 3", "syntax", 7, "&&"), ("input.xs[-1]", "syntax", 10, "last"), ("input.xs[1.5]", "syntax", 10, "Count from 0"), ("{a: 1}", "syntax", 2, '"a"'),
    ("inptu.n", "unknown_name", 1, "input"), ("input.n + x", "unknown_name", 11, ""), ("lenght(input.s)", "unknown_function", 1, "length"), ("input.s.uper()", "unknown_function", 9, "upper"),
    ("replace('a')", "wrong_count", 1, "replace(text, old, new)"), ("steps.Idea Analysi.content", "unknown_step", 1, "Idea Analysis"), ("matches('a', '(')", "bad_pattern", 14, "bracket"),
    ("input.missing > 3", "missing_field", 1, "default"), ("1 + input.user.nam", "missing_field", 5, ""), ("input.none > 3", "null_value", 1, "default"), ("3 == input.none", "null_value", 6, "default"),
    ("input.n > 1 &&\n input.none < 2", "null_value", 2, "default"), ("input.missing || true", "missing_field", 1, ""), ("input.rows.map(r, r.kind)", "missing_field", 19, "default"),
    ("input.rows.exists(r, r.kind == 'a')", "missing_field", 22, "default"), ("input.n ? 1 : 2", "wrong_type", 1, "Compare"), ("input.s && true", "wrong_type", 1, "is_empty"), ("!input.n", "wrong_type", 2, ""),
    ("input.s > 3", "wrong_type", 9, "number("), ("input.s + 3", "wrong_type", 9, "text("), ("input.s * 3", "bad_value", 1, "number("), ("input.big + 1", "big_integer", 1, "=="), ("1 / input.zero", "division_by_zero", 3, "== 0"),
    ("'l' in input.s", "wrong_type", 8, "contains"), ("input.xs[9]", "out_of_range", 1, ""), ("input.xs[input.a]", "out_of_range", 1, "size"), ("input.s.map(x, x)", "wrong_type", 1, "lines"),
    ("sum(['a'])", "bad_value", 1, "number("), ("lower(input.n)", "bad_value", 1, "text("), ("avg([])", "bad_value", 1, "size"), ("add_days('soon', 1)", "bad_value", 1, "2026"), ("item.title.sub", "not_an_object", 1, ""),
    ("1e308 * 10", "too_large", 7, ""), ("map(input.xs)", "syntax", 1, "list.map"), ("input.xs.map(x * 2)", "syntax", 13, "list.map"), ("loop.index", "not_available", 1, ""),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), CASES, ids=[text for text, _ in CASES])
def test_an_expression_gives_its_value(text: str, expected: Any) -> None:
    found = evaluate(text, SCOPE)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(("text", "code", "column", "fix"), ERRORS, ids=[case[0] for case in ERRORS])
def test_a_mistake_says_where_it_is_and_what_to_write(text: str, code: str, column: int, fix: str) -> None:
    with pytest.raises(ExpressionError) as raised:
        evaluate(text, SCOPE)
    error = raised.value
    assert (error.code, error.position.column) == (code, column), str(error)
    assert fix in error.fix
    for inside in ("No matching", "overload", "INVALID", "sw(", "sx(", "p0", "null_type"):
        assert inside not in str(error)


@pytest.mark.parametrize("entry", [*documented(), *LIST_WORDS], ids=lambda entry: entry.name)
def test_every_example_in_the_docs_gives_what_it_says(entry: Any) -> None:
    assert evaluate(entry.example, SCOPE) == entry.result


def test_the_table_is_long_enough_to_notice_a_change() -> None:
    assert len(CASES) >= 120
    assert len({text for text, _ in CASES}) == len(CASES)
