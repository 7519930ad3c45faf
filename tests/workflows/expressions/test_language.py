"""The doorway itself: nothing but our errors comes out, hostile texts end early, and threads do not mix."""

import resource
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.expressions.errors import ExpressionError
from workflows.expressions.language import check, compile_expression, evaluate, evaluate_bool
from workflows.expressions.names import Scope
from workflows.expressions.work import current

BIG = Scope(
    input={
        "n": 3, "s": "a" * 1_000, "big": "x" * 900_000, "xs": list(range(2_000)), "ys": list(range(50)),
        "long": list(range(9_000)), "rows": [{"a": place, "t": "y" * 100} for place in range(2_000)],
    }
)  # fmt: skip

# Each would take minutes or gigabytes without a bound; a bound is a code, so nothing here looks at a clock.
HOSTILE: list[tuple[str, str]] = [
    ("input.ys.map(a, input.ys.map(b, input.ys.map(c, input.ys.map(d, a))))", "too_large"),
    ("input.xs.map(x, input.xs.map(y, 1))", "too_large"), ("input.xs.exists(x, input.xs.exists(y, x < y))", "too_large"),
    ("input.xs.map(x, input.big)", "too_large"), ("join(input.xs.map(x, input.big))", "too_large"), ("input.xs.map(x, input.xs)", "too_large"),
    ("input.xs.map(x, lower(input.big))", "too_large"), ("input.xs.map(x, unique(input.rows))", "too_large"), ("input.xs.map(x, range(2000))", "too_large"),
    ("input.long.filter(x, x > 2)", "too_large"), ("input.s.replace('a', input.s).replace('a', input.s)", "too_large"),
    ("[input.big].map(v, [" + ",".join(["v"] * 1_900) + "])", "too_large"), ("+".join(["input.big"] * 390), "too_large"),
    ("(" * 1_900 + "1" + ")" * 1_900, "too_deep"), ("[" * 1_900 + "]" * 1_900, "too_deep"), ("input" + ".a" * 1_900, "too_deep"),
    ("1" + "+1" * 2_500, "too_long"), ("!" * 3_999, "syntax"), ("-" * 3_999, "syntax"), ("steps." + "Label " * 600, "unknown_step"),
    ("parse_date('" + "a" * 200 + "', '" + "dddd" * 25 + "')", "bad_value"), ("matches('a', 'a{1000}{1000}')", "bad_pattern"),
    ("parse_json('" + "[" * 1_900 + "')", "bad_value"), ("'\ud800'", "syntax"), ("'\x00'", "syntax"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "code"), HOSTILE, ids=[text[:40].encode("ascii", "replace").decode() for text, _ in HOSTILE]
)
def test_a_hostile_expression_meets_a_bound(text: str, code: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ExpressionError) as raised:
        evaluate(text, BIG)
    assert raised.value.code == code
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000


def test_long_but_honest_expressions_work() -> None:
    assert evaluate("+".join(["1"] * 1_900), BIG) == 1_900
    assert evaluate(" && ".join(["input.n > 1"] * 250), BIG) is True
    assert evaluate("matches(input.big, '(x+)+$')", BIG) is True
    assert evaluate("sum(input.rows.filter(r, r.a > 5).map(r, r.a * 2))", BIG) == sum(
        2 * n for n in range(6, 2_000)
    )


signs = st.sampled_from(
    [
        "input",
        ".n",
        ".s",
        "steps.A",
        "b",
        "steps",
        "[",
        "]",
        "(",
        ")",
        "{",
        "}",
        ",",
        ":",
        "?",
        "==",
        "!=",
        "<",
        ">",
        "&&",
        "||",
        "!",
        "+",
        "-",
        "*",
        "/",
        "%",
        "in",
        "1",
        "2.5",
        "'a'",
        '"b"',
        "null",
        "true",
        "size",
        "lower",
        "has",
        "default",
        "map",
        "filter",
        "x",
        "\\",
        "=",
        "&",
        "|",
        "'",
        '"',
        "é",
        "\n",
        "//",
    ]
)


@given(
    st.lists(signs, max_size=14).map(" ".join)
    | st.lists(signs, max_size=14).map("".join)
    | st.text(max_size=40)
)
def test_any_text_gives_a_value_or_our_error(text: str) -> None:
    scope = Scope(input={"n": 1, "s": "t"}, steps={"A b": {"content": "c"}})
    problems = check(text, ["A b"])
    try:
        evaluate(text, scope)
    except ExpressionError as error:
        offsets = [error.position.offset]
    else:
        offsets = []
        assert problems == []
    assert all(0 <= offset <= len(text) for offset in offsets)


@given(
    st.integers()
    | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
    | st.booleans()
)
def test_a_bare_reference_and_a_list_keep_the_value(value: object) -> None:
    scope = Scope(input={"v": value})
    assert evaluate("input.v", scope) == value
    assert evaluate("[input.v][0] == input.v", scope) is True
    assert evaluate("[input.v]", scope) == [value]


def test_a_value_is_never_read_as_an_expression() -> None:
    scope = Scope(input={"evil": '" + input.secret + "', "secret": "s"})
    assert evaluate("input.evil + '!'", scope) == '" + input.secret + "!'


def test_check_tells_every_fault_with_its_place() -> None:
    found = check("inptu.x == 1 &&\n lenght(steps.Nope.a) > 2", ["Yes"])
    assert [(p.code, p.position.line) for p in found] == [
        ("unknown_name", 1),
        ("unknown_function", 2),
        ("unknown_step", 2),
    ]
    assert found[0].fix == "Did you mean “input”?"
    assert check("steps.Anything.x > 1") == []
    assert check("tone == 'a'", parameters=["tone"]) == []


def test_a_condition_must_be_true_or_false() -> None:
    assert evaluate_bool("input.n == 3", BIG) is True
    with pytest.raises(ExpressionError) as raised:
        evaluate_bool("input.n", BIG)
    assert raised.value.code == "not_a_condition"


def test_one_compiled_expression_serves_many_threads() -> None:
    expression = compile_expression("sum(input.xs.map(x, x * input.n)) + input.n / 2")

    def run(n: int) -> bool:
        return bool(evaluate(expression, Scope(input={"xs": [1, 2, 3], "n": n})) == 6 * n + n / 2)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(run, range(2_000)))


def test_an_evaluation_leaves_none_of_its_data_behind() -> None:
    """cel-expr-python 0.1.3 keeps what callbacks are given and return; the doorway hands it empty lists."""
    expression = compile_expression("size(upper(input.big)) > 1 && input.xs.map(x, x * 2)[0] == 0")
    evaluate(expression, BIG)
    tracemalloc.start()
    try:
        for _ in range(5):
            evaluate(expression, BIG)
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < 4_000_000


def test_the_work_of_an_evaluation_is_forgotten_after_it() -> None:
    with pytest.raises(ExpressionError):
        evaluate("input.nope > 1", BIG)
    assert current.work is None
