"""Steps that are off: what passes through, what is dead, and what a reference to them gives."""

from dataclasses import replace

from tests.workflows.definition.support import CATALOG, definition, edge, paths, step
from workflows.definition.bypass import bypass_disabled
from workflows.definition.graph import Definition


def bypassed(one: Definition):
    return bypass_disabled(one, CATALOG)


def test_without_anything_off_the_definition_stays_the_same_object():
    whole = definition("a>b>c")
    assert bypassed(whole).definition is whole


def test_a_step_that_is_off_lets_its_edges_pass_through():
    result = bypassed(definition(step("b", enabled=False), "a>b>c"))
    assert paths(result.definition) == {"a>c"}
    assert (result.off, result.dead, result.passed) == (frozenset({"b"}), frozenset(), {"b": ("a",)})


def test_a_chain_of_steps_that_are_off_passes_through_as_one():
    result = bypassed(definition(*(step(key, enabled=False) for key in "bcd"), "a>b>c>d>e"))
    assert paths(result.definition) == {"a>e"}
    assert result.passed == {"b": ("a",), "c": ("a",), "d": ("a",)}


def test_the_first_step_off_makes_the_next_one_the_start_of_its_body():
    result = bypassed(definition(step("a", enabled=False), "a>b>c"))
    assert [one.key for one in result.definition.roots()] == ["b"]
    assert result.dead == frozenset()
    assert result.passed == {"a": ()}


def test_a_condition_that_is_off_goes_on_by_its_first_port_and_the_other_branch_is_dead():
    whole = definition(
        step("c", "condition", enabled=False), "a>c", edge("c:true>t"), edge("c:false>f"), "f>g", "t>j", "g>j"
    )
    result = bypassed(whole)
    assert paths(result.definition) == {"a>t", "f>g", "t>j", "g>j"}
    assert result.dead == {"f"}


def test_a_dead_step_that_is_off_never_makes_a_new_root():
    whole = definition(
        step("c", "condition", enabled=False),
        step("f", enabled=False),
        edge("c:false>f"),
        edge("c:true>t"),
        "f>g",
    )
    result = bypassed(whole)
    assert result.dead == {"g"}
    assert [one.key for one in result.definition.roots() if one.key not in result.dead] == ["t"]


def test_the_port_and_the_condition_of_the_edge_before_are_kept():
    whole = definition(
        step("c", "condition"),
        step("b", enabled=False),
        edge("c:false>b", condition="input.x > 1"),
        edge("b>d", condition="input.y > 2"),
    )
    assert paths(bypassed(whole).definition) == {"c:false>d?(input.x > 1) && (input.y > 2)"}


def test_two_ways_from_one_port_become_one_edge_that_either_condition_opens():
    whole = definition(
        step("b", enabled=False),
        step("c", enabled=False),
        edge("a>b", condition="input.x"),
        edge("a>c", condition="input.y"),
        "b>d",
        "c>d",
    )
    assert paths(bypassed(whole).definition) == {"a>d?(input.x) || (input.y)"}


def test_a_condition_behind_the_first_step_is_not_forgotten_when_that_step_is_off():
    whole = definition(step("a", enabled=False), edge("a>b", condition="input.x > 3"), "b>c")
    result = bypassed(whole)
    assert result.dead == {"b"}
    assert [problem.code for problem in result.problems] == ["condition_without_path"]


def test_a_container_that_is_off_takes_its_body_with_it():
    whole = definition(
        step("l", "loop", enabled=False), step("x", parent="l"), step("y", parent="l"), "a>l>b", "x>y"
    )
    result = bypassed(whole)
    assert [one.key for one in result.definition.steps] == ["a", "b"]
    assert paths(result.definition) == {"a>b"}
    assert result.off == {"l", "x", "y"}


def test_start_and_end_are_never_off():
    whole = definition(step("s", "start", enabled=False), step("e", "end", enabled=False), "s>a>e")
    assert bypassed(whole).off == frozenset()


def test_the_inputs_of_a_join_keep_their_order():
    whole = definition(step("b", enabled=False), "a>j", "b>j", "x>b", "c>j")
    assert [one.source for one in bypassed(whole).definition.incoming("j")] == ["a", "x", "c"]


def test_a_merge_that_is_off_hands_on_all_of_its_inputs_in_order():
    whole = definition(step("m", "merge", enabled=False), "a>m", "b>m", "m>z")
    result = bypassed(whole)
    assert result.passed == {"m": ("a", "b")}
    assert [one.source for one in result.definition.incoming("z")] == ["a", "b"]


def test_the_same_definition_gives_the_same_edge_ids():
    whole = definition(step("b", enabled=False), "a>b>c", "b>d")
    first, again = bypassed(whole), bypassed(replace(whole))
    assert first.definition.edges == again.definition.edges
    assert len({one.id for one in first.definition.edges}) == 2


def test_conditions_that_grow_without_end_are_given_up_and_said():
    parts: list = ["n0"]
    for level in range(24):
        a, b, here, there = f"a{level}", f"b{level}", f"n{level}", f"n{level + 1}"
        parts += [step(a, enabled=False), step(b, enabled=False), step(there, enabled=False)]
        parts += [
            edge(f"{here}>{a}", condition=f"input.x{level}"),
            edge(f"{here}>{b}", condition=f"input.y{level}"),
        ]
        parts += [edge(f"{a}>{there}"), edge(f"{b}>{there}")]
    result = bypassed(definition(*parts, "n24>z"))
    assert "z" in result.dead
    assert "condition_too_long" in [problem.code for problem in result.problems]
