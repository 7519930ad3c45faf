"""Texts of documents: written and read back as they were, and safe whoever wrote them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.lib.documents import Line, read_document, write_json, write_yaml
from workflows.lib.errors import Invalid, TooLarge
from workflows.lib.limits import Limit

TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30),
    st.text("\n\t :-#'\"{}[]|>&*!%@,?~\r\x85\u2028ab", max_size=12),
    st.sampled_from(
        ["yes", "no", "on", "null", "~", "1e3", "12:30", "0o7", "010", "1_000", "<<", "=", ".5", "-", ""]
    ),
)
VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXTS
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=12,
)


@given(VALUES)
def test_what_is_written_is_read_back(value):
    assert read_document(write_yaml(value)).data == value
    assert read_document(write_json({"value": value})).data == {"value": value}
    assert write_yaml(read_document(write_yaml(value)).data) == write_yaml(value)


def test_texts_of_several_lines_are_blocks_and_paths_stand_on_one_line():
    text = write_yaml({"prompt": "One\n\nTwo: {{ input }}\n", "edges": [Line(id="e1", to="x")], "no": "no"})
    assert text == "prompt: |\n  One\n\n  Two: {{ input }}\nedges:\n  - {id: e1, to: x}\n'no': 'no'\n"


def test_words_and_times_stay_texts():
    read = read_document("a: no\nb: 12:30\nc: 2026-11-20\nd: 1e3\ne: true\nf:\n")
    assert read.data == {"a": "no", "b": "12:30", "c": "2026-11-20", "d": 1000.0, "e": True, "f": None}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: &x [1]\nb: *x", "Anchors and aliases"),
        ("a: &a [x]\nb: &b [*a, *a]", "Anchors and aliases"),
        ("a: 1\nb: 2\na: 3", "“a” is there twice. (line 3, column 1)"),
        ('{"a": 1, "a": 2}', "“a” is there twice"),
        ("a: [1", "neither YAML nor JSON"),
        ("x: !!python/object/apply:os.system [ls]", "is not read here"),
        ("x: !!set {a, b}", "is not read here"),
        ("x: !!binary aGk=", "is not read here"),
        ("1: a", "is not a text"),
        ("a: {<<: {b: 1}}", "not a text|Merge keys"),
        ("[" * 200 + "]" * 200, "nested"),
        ('{"a": NaN}', "not a number|neither|NaN"),
        ('"\\0"', "NUL"),
    ],
)
def test_what_is_not_safe_is_refused_with_its_place(text, says):
    with pytest.raises(Invalid, match="|".join(says.replace("(", r"\(").replace(")", r"\)").split("|"))):
        read_document(text)


def test_an_alias_bomb_is_refused_before_it_unfolds():
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60))
    with pytest.raises(Invalid, match="Anchors"):
        read_document(bomb)


def test_a_text_past_the_limit_is_not_read():
    with pytest.raises(TooLarge):
        read_document("a: " + "x" * 100, Limit(50, "bytes", "At most {value}."))


@pytest.mark.parametrize("write", [write_yaml, write_json])
def test_every_place_has_its_line(write):
    read = read_document(write({"nodes": [{"id": "a", "config": {"prompt": "x\ny"}}, {"id": "b"}]}))
    lines = [read.line_of(path) for path in ("nodes", "nodes[0].config", "nodes[1].id", "nodes[1].gone.x")]
    assert lines[0] < lines[1] < lines[2]
    assert lines[3] in (lines[2] - 1, lines[2])
