"""The order of the step list."""

from dataclasses import replace

from tests.workflows.definition.support import CATALOG, definition, edge, keys, step
from workflows.definition.graph import Definition
from workflows.definition.ordering import body_order, cycle, list_order, reindex


def listed(one: Definition) -> str:
    return " ".join(step.key for step in list_order(one, CATALOG))


def test_a_chain_is_listed_in_its_own_order_whatever_the_rows_say():
    whole = definition("a>b>c>d")
    shuffled = replace(whole, steps=tuple(replace(one, order=9 - one.order) for one in reversed(whole.steps)))
    assert listed(shuffled) == "a b c d"


def test_branches_of_one_split_stand_together_before_their_join():
    assert listed(definition("s>a>b>j", "s>x>y>j", "j>z")) == "s a b x y j z"


def test_the_branch_of_the_first_port_comes_first():
    whole = definition(
        step("c", "condition"), step("no", order=0), step("yes"), edge("c:false>no"), edge("c:true>yes")
    )
    assert listed(whole) == "c yes no"


def test_ties_are_broken_by_the_order_of_the_person():
    whole = definition("s>a", "s>b", "s>c")
    swapped = whole.with_step(replace(whole.step("c"), order=0)).with_step(replace(whole.step("a"), order=5))
    assert listed(swapped) == "s c b a"


def test_the_body_of_a_container_follows_it():
    whole = definition(step("l", "loop"), step("x", parent="l"), step("y", parent="l"), "a>l>b", "x>y")
    assert listed(whole) == "a l x y b"
    assert [one.key for one in body_order(whole, "l", CATALOG)] == ["x", "y"]


def test_reindexing_counts_each_body_from_0_and_does_nothing_the_second_time():
    whole = definition(step("l", "loop"), step("x", parent="l"), step("y", parent="l"), "a>l>b", "x>y")
    assert [(one.key, one.order) for one in whole.steps] == [("a", 0), ("l", 1), ("x", 0), ("y", 1), ("b", 2)]
    assert reindex(whole, CATALOG) == whole


def test_a_cycle_is_found_with_its_steps_in_order():
    whole = definition("a>b>c>d", "d>b")
    assert cycle(whole) == ("b", "c", "d")
    assert cycle(definition("a>b>c")) is None


def test_steps_of_a_cycle_are_still_listed():
    assert sorted(keys(reindex(definition("a>b>c>b"), CATALOG))) == ["a", "b", "c"]


def test_steps_whose_parent_is_missing_are_still_listed():
    assert listed(definition(step("a"), step("lost", parent="nowhere"))) == "a lost"


def test_a_thousand_steps_in_a_row_need_no_recursion():
    whole = definition(">".join(f"n{number}" for number in range(1_000)))
    assert cycle(whole) is None
    assert len(list_order(whole, CATALOG)) == 1_000
