"""Taking back single changes, and the comparison of texts word by word."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workflows.definition.support import FakeCatalog, definition, edge, paths, step, variable
from tests.workflows.definition.test_properties import definitions
from workflows.definition.diff import Part, changes
from workflows.definition.edits import OperationRefused
from workflows.definition.operations import duplicate_step
from workflows.definition.revert import revert
from workflows.definition.structure import structure_problems
from workflows.definition.textdiff import Sign, diff_lines

CATALOG = FakeCatalog()
BASE = definition(step("a"), step("b", config={"prompt": "x"}), variable("v"), "a>b>c")


def test_a_changed_step_gets_its_old_settings_where_it_stands_now():
    moved = replace(BASE.step("b"), config={"prompt": "y"}, label="Other", order=7)
    draft = replace(BASE.with_step(moved), edges=BASE.edges[1:])
    edit = revert(draft, BASE, Part.STEP, "b", CATALOG)
    assert edit.definition.step("b").config == {"prompt": "x"}
    assert edit.definition.step("b").label == "B"
    assert edit.definition.edges == draft.edges
    assert edit.effects.message == "“B” is as it was."


def test_a_step_that_came_goes_and_one_that_went_comes_back_with_its_paths():
    without = replace(BASE, steps=tuple(one for one in BASE.steps if one.key != "b"), edges=(edge("a>c"),))
    there = revert(without, BASE, Part.STEP, "b", CATALOG).definition
    assert paths(there) == paths(BASE)
    assert there.step("b").config == {"prompt": "x"}
    gone = revert(BASE, without, Part.STEP, "b", CATALOG).definition
    assert paths(gone) == paths(without)


def test_paths_variables_and_settings_come_back_one_by_one():
    draft = replace(
        BASE,
        edges=(edge("a>b", condition="input.x"), edge("a>c", id="new")),
        variables=(variable("w"),),
        settings={"yolo": True},
    )
    found = changes(BASE, draft)
    for change in found:
        draft = revert(draft, BASE, change.part, change.key, CATALOG).definition
    assert changes(BASE, draft) == ()
    with pytest.raises(OperationRefused):
        revert(draft, BASE, Part.EDGE, "nothing", CATALOG)
    with pytest.raises(OperationRefused):
        revert(draft, BASE, Part.STEP, "nothing", CATALOG)


@settings(max_examples=40, deadline=None)
@given(definitions(most=7), definitions(most=7))
def test_taking_back_what_can_be_taken_back_never_breaks_the_graph_and_brings_the_settings(one, two):
    draft = two
    allowed = {problem.code for problem in structure_problems(two, CATALOG)} | {"unknown_port"}
    for change in changes(one, two):
        try:
            draft = revert(draft, one, change.part, change.key, CATALOG).definition
        except OperationRefused:
            continue
        assert {problem.code for problem in structure_problems(draft, CATALOG)} <= allowed
        if change.part is Part.STEP and change.key in one.by_key:
            assert draft.step(change.key).config == one.step(change.key).config
        elif change.part is Part.STEP:
            assert change.key not in draft.by_key


@settings(max_examples=40, deadline=None)
@given(definitions(most=6), definitions(most=6))
def test_there_are_no_changes_only_between_what_is_the_same(one, two):
    assert changes(one, one) == ()
    renumbered = replace(one, edges=tuple(replace(e, id=f"x{n}") for n, e in enumerate(one.edges)))
    assert changes(one, renumbered) == ()
    same = replace(two, edges=()) == replace(one, edges=()) and {replace(e, id="") for e in one.edges} == {
        replace(e, id="") for e in two.edges
    }
    assert (changes(one, two) == ()) == same


TEXT = st.text("ab \n{}.", max_size=40)


@given(TEXT, TEXT)
def test_a_text_comparison_holds_both_texts(one, two):
    lines = diff_lines(one, two, context=None)
    old = [line.text for line in lines if line.sign is not Sign.NEW]
    new = [line.text for line in lines if line.sign is not Sign.GONE]
    assert ("\n".join(old), "\n".join(new)) == (one, two)
    folded = diff_lines(one, two)
    assert sum(line.folded or 1 for line in folded) == len(lines)


def test_words_that_differ_are_marked_and_references_are_one_word():
    lines = diff_lines(
        "Be generous: 60 is enough.\nCompany: {{ steps.A.company }}",
        "Be strict: 70 is enough.\nCompany: {{ steps.A.company }}\nNew: {{ input.x }}",
    )
    assert [line.sign for line in lines] == [Sign.GONE, Sign.NEW, Sign.SAME, Sign.NEW]
    assert [span.text for span in lines[0].spans if span.marked] == ["generous", "60"]
    assert [span.text for span in lines[1].spans if span.marked] == ["strict", "70"]
    assert [(span.text, span.reference) for span in lines[2].spans] == [
        ("Company: ", False),
        (" steps.A.company ", True),
    ]


def test_long_stretches_without_a_change_are_folded():
    text = "\n".join(f"line {n}" for n in range(40))
    lines = diff_lines(text, text.replace("line 20", "row 20"))
    assert [line.folded for line in lines] == [17, 0, 0, 0, 0, 0, 0, 0, 0, 16]


def test_operations_of_the_builder_are_taken_back():
    draft = duplicate_step(BASE, "b", CATALOG).definition
    (change,) = [one for one in changes(BASE, draft) if one.part is Part.STEP and one.kind == "added"]
    assert paths(revert(draft, BASE, Part.STEP, change.key, CATALOG).definition) == paths(BASE)
