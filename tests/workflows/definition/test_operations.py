"""Edits of the graph: one test for each rule of 07 §3 and 02 §3."""

from dataclasses import replace

import pytest

from tests.workflows.definition.support import (
    CATALOG,
    codes,
    counting_ids,
    definition,
    edge,
    keys,
    only,
    paths,
    step,
)
from workflows.definition import operations as ops
from workflows.definition.graph import (
    Definition,
    ErrorChoice,
    ErrorPolicy,
    JoinKind,
    JoinRule,
    Position,
    StepDef,
    TriggerDef,
)
from workflows.definition.operations import (
    After,
    AsRoot,
    AtEnd,
    Before,
    Between,
    Edit,
    OnEdge,
    OperationRefused,
    Place,
)


def insert(one: Definition, place: ops.Place, type: str = "llm", label: str = "New") -> Edit:
    return ops.insert(one, StepDef("", type, label), place, CATALOG, counting_ids())


def move(one: Definition, key: str, place: ops.Place) -> Edit:
    return ops.move(one, key, place, CATALOG, counting_ids())


def refused(code: str):
    return pytest.raises(OperationRefused, check=lambda error: error.code == code)


def edge_id(one: Definition, source: str, target: str) -> str:
    return next(edge.id for edge in one.edges if (edge.source, edge.target) == (source, target))


# --- insert


def test_a_step_on_a_path_cuts_it_in_two():
    edit = insert(definition("a>b"), OnEdge("a-out-b"))
    assert paths(edit.definition) == {"a>s_new1", "s_new1>b"}
    assert keys(edit.definition) == ["a", "s_new1", "b"]
    assert edit.effects.created == ("s_new1",)
    assert edit.effects.message == "“New” added, position 2 of 3, after “A”."


def test_the_first_half_keeps_port_and_condition_and_the_second_the_inputs_name():
    whole = definition(step("c", "condition"), edge("c:false>b", condition="input.x", target_input="draft"))
    edit = insert(whole, OnEdge("c-false-b"))
    first, second = edit.definition.edges
    assert (first.port, first.condition, first.target_input) == ("false", "input.x", None)
    assert (second.port, second.condition, second.target_input) == ("out", None, "draft")


def test_a_condition_on_a_path_goes_on_by_its_first_port():
    assert paths(insert(definition("a>b"), OnEdge("a-out-b"), "condition").definition) == {
        "a>s_new1",
        "s_new1:true>b",
    }


def test_a_join_keeps_the_order_of_its_inputs_when_one_path_is_cut():
    edit = insert(definition("a>j", "b>j", "c>j"), OnEdge("b-out-j"))
    assert [edge.source for edge in edit.definition.incoming("j")] == ["a", "s_new1", "c"]


def test_a_step_after_another_hangs_on_a_new_path():
    edit = insert(definition("a>b"), After("a"))
    assert paths(edit.definition) == {"a>b", "a>s_new1"}


def test_a_step_can_hang_on_a_named_port_but_not_on_one_that_is_not_there():
    whole = definition(step("c", "condition"), edge("c:true>b"))
    assert "c:false>s_new1" in paths(insert(whole, After("c", "false")).definition)
    with refused("no_port"):
        insert(whole, After("c", "maybe"))


def test_between_is_the_path_if_there_is_one_else_after_the_first():
    assert paths(insert(definition("a>b"), Between("a", "b")).definition) == {"a>s_new1", "s_new1>b"}
    assert paths(insert(definition("a", "b", "a>c"), Between("c", "a")).definition) == {"a>c", "c>s_new1"}


def test_at_the_end_means_the_end_of_the_main_lane():
    whole = definition(step("r", "review"), "a>r", edge("r:approved>b"), edge("r:rejected>x"))
    assert "b>s_new1" in paths(insert(whole, AtEnd()).definition)


def test_at_the_end_comes_before_the_step_that_ends_the_workflow():
    whole = definition(step("e", "end"), "a>b>e", "a>c>e")
    edit = insert(whole, AtEnd())
    assert paths(edit.definition) == {"a>b", "a>c", "b>s_new1", "c>s_new1", "s_new1>e"}


def test_a_step_before_a_join_waits_in_its_place():
    whole = definition(step("j", join=JoinRule(JoinKind.ANY)), "a>j", "b>j")
    edit = insert(whole, Before("j"))
    assert edit.definition.step("s_new1").join == JoinRule(JoinKind.ANY)
    assert edit.definition.step("j").join == JoinRule()


def test_the_first_step_of_an_empty_workflow_and_of_an_empty_body():
    assert keys(insert(Definition(), AtEnd()).definition) == ["s_new1"]
    edit = insert(definition(step("l", "loop")), AtEnd("l"))
    assert edit.definition.step("s_new1").parent == "l"


def test_a_label_in_use_gets_a_number():
    assert insert(definition(step("a", label="New")), AtEnd()).definition.steps[1].label == "New 2"


def test_an_end_cannot_stand_in_the_middle_and_a_start_has_nothing_before_it():
    with refused("nothing_follows"):
        insert(definition("a>b"), OnEdge("a-out-b"), "end")
    with refused("into_start"):
        insert(definition("a>b"), OnEdge("a-out-b"), "start")
    with refused("before_start"):
        insert(definition(step("s", "start"), "s>a"), Before("s"))


def test_there_is_one_start_and_it_is_put_before_everything():
    edit = insert(definition("a>b"), AtEnd(), "start")
    assert paths(edit.definition) == {"s_new1>a", "a>b"}
    with refused("several_starts"):
        insert(edit.definition, AtEnd(), "start")


def test_a_new_step_stands_between_its_neighbours_on_the_canvas_and_moves_nobody():
    whole = definition(step("a", position=Position(0, 0)), step("b", position=Position(0, 200)), "a>b")
    edit = insert(whole, OnEdge("a-out-b"))
    assert edit.definition.step("s_new1").position == Position(0, 100)
    assert edit.definition.step("b").position == Position(0, 200)


# --- remove (heal)


def remove(one: Definition, *gone: str) -> Edit:
    return ops.remove(one, gone, CATALOG, counting_ids())


def test_removing_a_step_joins_its_predecessors_to_its_successors():
    edit = remove(definition("a>x", "b>x", "x>c", "x>d"), "x")
    assert paths(edit.definition) == {"a>c", "a>d", "b>c", "b>d"}
    assert edit.effects.removed == ("x",)


def test_a_healed_path_keeps_the_port_and_condition_of_the_edge_before():
    whole = definition(step("c", "condition"), edge("c:false>x", condition="input.y"), "x>d")
    assert paths(remove(whole, "x").definition) == {"c:false>d?input.y"}


def test_healing_follows_the_first_port_and_the_others_lose_their_path_with_a_check():
    whole = definition(step("r", "review"), "a>r", edge("r:approved>b"), edge("r:rejected>x"))
    edit = remove(whole, "r")
    assert paths(edit.definition) == {"a>b"}
    problem = only(edit.effects.problems, "lost_path")
    assert problem.step_key == "x"
    assert (
        problem.message
        == "“X” was reached from “R” by “rejected”; that path is gone. Nothing leads to it now."
    )


def test_a_path_that_is_there_already_is_not_doubled():
    assert paths(remove(definition("a>x>b", "a>b"), "x").definition) == {"a>b"}


def test_removing_a_container_removes_its_body():
    whole = definition(step("l", "loop"), step("x", parent="l"), step("y", parent="l"), "a>l>b", "x>y")
    edit = remove(whole, "l")
    assert keys(edit.definition) == ["a", "b"]
    assert set(edit.effects.removed) == {"l", "x", "y"}


def test_a_step_that_others_use_says_so_when_it_goes():
    whole = definition(step("a", label="Idea"), step("b", config={"prompt": "{{steps.Idea.content}}"}), "a>b")
    edit = remove(whole, "a")
    assert edit.effects.lost == ("“B” used the output of “Idea”.",)
    assert only(edit.effects.problems, "unknown_step").step_key == "b"


def test_several_steps_go_at_once():
    assert paths(remove(definition("a>b>c>d"), "b", "c").definition) == {"a>d"}


# --- move


def test_dragging_a_step_between_two_others_heals_and_splices():
    edit = move(definition("a>x>b>c"), "x", Between("b", "c"))
    assert paths(edit.definition) == {"a>b", "b>x", "x>c"}
    assert keys(edit.definition) == ["a", "b", "x", "c"]
    assert edit.effects.message == "“X” moved, position 3 of 4, after “B”."


def test_dragging_a_step_after_one_without_that_path_hangs_it_there():
    edit = move(definition("a>x>b>c"), "x", Between("c", "a"))
    assert paths(edit.definition) == {"a>b", "b>c", "c>x"}


def test_a_step_that_is_dropped_where_it_was_stays():
    whole = definition("a>x>b")
    for place in (OnEdge("a-out-x"), OnEdge("x-out-b"), Between("a", "b")):
        assert move(whole, "x", place).definition is whole


def test_a_branching_step_moves_with_its_branches_up_to_where_they_meet():
    whole = definition(
        step("c", "condition"), "a>b>c", edge("c:true>t"), edge("c:false>f"), "t>j", "f>j", "j>z"
    )
    edit = move(whole, "c", OnEdge("a-out-b"))
    assert paths(edit.definition) == {"a>c", "c:true>t", "c:false>f", "t>b", "f>b", "b>j", "j>z"}
    assert edit.effects.message.startswith("“C” moved with the 2 steps of its branches, position 2 of 7")


def test_branches_that_never_meet_move_to_their_ends():
    whole = definition(step("c", "condition"), "a>b", "a>c", edge("c:true>t"), edge("c:false>f"))
    edit = move(whole, "c", After("b"))
    assert paths(edit.definition) == {"a>b", "b>c", "c:true>t", "c:false>f"}


def test_a_branching_step_is_refused_when_another_step_leads_into_its_branches():
    whole = definition(
        step("c", "condition"), "a>c", "a>q", edge("c:true>t"), edge("c:false>f"), "q>t", "t>j", "f>j"
    )
    with refused("shared_branch") as caught:
        move(whole, "c", After("q"))
    assert "“Q” leads to “T” too" in str(caught.value)


def test_a_step_cannot_move_into_its_own_branch():
    whole = definition(
        step("c", "condition"), "a>c", edge("c:true>t"), edge("c:false>f"), "t>j", "f>j", "t>u>j"
    )
    with refused("own_branch"):
        move(whole, "c", OnEdge(edge_id(whole, "t", "u")))


@pytest.mark.parametrize(
    ("parts", "place", "expected"),
    [
        # Its free main port leads on from the new place, the branch hangs where it hung.
        (("a>c", "a>b"), After("b"), {"a>b", "b>c", "c:false>f"}),
        (("a>b>c",), OnEdge("a-out-b"), {"a>c", "c:true>b", "c:false>f"}),
        (("a>b>c", "f>g", "f>h", "g>h"), Before("a"), {"c:true>a", "a>b", "c:false>f", "f>g", "f>h", "g>h"}),
    ],
)
def test_a_condition_with_only_its_second_port_wired_moves_with_that_branch(
    parts: tuple[str, ...], place: Place, expected: set[str]
):
    whole = definition(step("c", "condition"), *parts, edge("c:false>f"))
    edit = move(whole, "c", place)
    assert paths(edit.definition) == expected
    assert not [problem for problem in edit.effects.problems if problem.code == "lost_path"]
    assert "moved with" in edit.effects.message


def test_a_review_with_only_its_rejection_wired_moves_up_with_it():
    whole = definition(step("r", "review"), "a>b>r", edge("r:rejected>x"), "x>y")
    edit = ops.move_up(whole, "r", CATALOG, counting_ids())
    assert paths(edit.definition) == {"a>r", "r:approved>b", "r:rejected>x", "x>y"}


def test_a_lone_second_branch_that_leads_to_a_shared_step_is_refused_with_the_reason():
    whole = definition(step("c", "condition"), "a>c", "a>b>z", edge("c:false>f"), "f>z")
    with refused("shared_branch") as caught:
        ops.move_up(whole, "c", CATALOG, counting_ids())
    assert "leads on to “Z”, and so does “B”" in str(caught.value)


def test_a_lone_second_branch_comes_along_into_a_container():
    whole = definition(step("l", "loop"), step("c", "condition"), "a>l", "a>c", edge("c:false>f"), "f>g")
    edit = move(whole, "c", AtEnd("l"))
    assert paths(edit.definition) == {"a>l", "c:false>f", "f>g"}
    assert {edit.definition.step(key).parent for key in "cfg"} == {"l"}


def test_the_error_branch_of_a_step_moves_with_it():
    risky = step("x", on_error=ErrorPolicy(ErrorChoice.ROUTE))
    whole = definition(risky, "a>x>b>c", edge("x:error>h"), "h>i")
    edit = move(whole, "x", OnEdge("b-out-c"))
    assert paths(edit.definition) == {"a>b", "b>x", "x>c", "x:error>h", "h>i"}


def test_a_move_that_would_make_steps_wait_for_each_other_is_refused():
    risky = step("x", on_error=ErrorPolicy(ErrorChoice.ROUTE))
    whole = definition(risky, "a>x>b>c>d", edge("x:error>h"), "h>c")
    with refused("cycle"):
        move(whole, "x", OnEdge("c-out-d"))


def test_dropping_into_a_container_puts_the_step_into_its_body():
    whole = definition(step("l", "loop"), step("y", parent="l"), "a>x>l>b")
    edit = move(whole, "x", AtEnd("l"))
    assert paths(edit.definition) == {"a>l", "l>b", "y>x"}
    assert edit.definition.step("x").parent == "l"
    assert edit.effects.message == "“X” moved, position 4 of 5, after “Y”, in “L”."


def test_dragging_out_of_a_container_heals_the_body():
    whole = definition(step("l", "loop"), *(step(key, parent="l") for key in "xyz"), "a>l>b", "x>y>z")
    edit = move(whole, "y", OnEdge("a-out-l"))
    assert paths(edit.definition) == {"a>y", "y>l", "l>b", "x>z"}
    assert edit.definition.step("y").parent is None


def test_moving_into_a_container_says_which_references_break():
    whole = definition(
        step("l", "loop"),
        step("y", parent="l"),
        step("b", config={"prompt": "{{steps.X.content}}"}),
        "a>x>l>b",
    )
    edit = move(whole, "x", AtEnd("l"))
    problem = only(edit.effects.problems, "inside_container")
    assert problem.step_key == "b"
    assert problem.fix == "Use the results of “L”: steps.L.items."


def test_a_container_cannot_move_into_itself_nor_start_and_end_into_one():
    whole = definition(
        step("s", "start"), step("e", "end"), step("l", "loop"), step("k", "loop", parent="l"), "s>l>e"
    )
    with refused("into_itself"):
        move(whole, "l", AtEnd("k"))
    with refused("start_in_body"):
        move(whole, "s", AtEnd("l"))


def test_a_step_cannot_hang_on_something_that_holds_no_steps():
    with refused("not_a_container"):
        move(definition("a>b"), "b", AtEnd("a"))


# --- the list


def ordered(edit: Edit) -> str:
    return " ".join(keys(edit.definition))


def test_moving_down_and_up_goes_from_gap_to_gap():
    whole = definition("a>b>c>d")
    down = ops.move_down(whole, "b", CATALOG)
    assert ordered(down) == "a c b d"
    assert paths(down.definition) == {"a>c", "c>b", "b>d"}
    up = ops.move_up(down.definition, "b", CATALOG)
    assert paths(up.definition) == paths(whole)


def test_moving_to_the_last_and_to_the_first_place():
    last = ops.move_to(definition("a>b>c"), "a", 2, CATALOG)
    assert paths(last.definition) == {"b>c", "c>a"}
    first = ops.move_to(last.definition, "a", 0, CATALOG)
    assert paths(first.definition) == {"a>b", "b>c"}


def test_the_ends_of_the_list_are_said():
    whole = definition("a>b")
    with refused("first"):
        ops.move_up(whole, "a", CATALOG)
    with refused("last"):
        ops.move_down(whole, "b", CATALOG)


def test_the_path_from_the_card_above_is_the_default_at_a_join():
    whole = definition("s>a>j", "s>b>j", "j>z")
    assert keys(whole) == ["s", "a", "b", "j", "z"]
    edit = ops.move_to(whole, "z", 3, CATALOG)
    assert paths(edit.definition) == {"s>a", "s>b", "a>j", "b>z", "z>j"}


def test_nothing_moves_above_the_start_or_below_the_end():
    whole = definition(step("s", "start"), step("e", "end"), "s>a>e")
    with refused("before_start"):
        ops.move_up(whole, "a", CATALOG)
    with refused("nothing_follows"):
        ops.move_up(whole, "e", CATALOG)


# --- paths


def connect(one: Definition, source: str, target: str, **more: str) -> Edit:
    return ops.connect(one, source, target, CATALOG, counting_ids(), **more)


def test_connecting_and_disconnecting():
    whole = definition("a>b", "c")
    edit = connect(definition(step("c"), "a>b"), "b", "c", condition=" input.x ")
    assert paths(edit.definition) == {"a>b", "b>c?input.x"}
    back = ops.disconnect(edit.definition, "e_new1", CATALOG)
    assert paths(back.definition) == paths(whole)
    assert only(back.effects.problems, "lost_path").step_key == "c"


@pytest.mark.parametrize(
    ("source", "target", "code"),
    [
        ("b", "a", "cycle"),
        ("a", "a", "cycle"),
        ("a", "b", "duplicate_edge"),
        ("e", "a", "no_port"),
        ("a", "s", "into_start"),
        ("a", "x", "crosses_border"),
        ("a", "gone", "no_step"),
    ],
)
def test_paths_that_cannot_be_are_refused(source: str, target: str, code: str):
    whole = definition(
        step("s", "start"), step("e", "end"), step("l", "loop"), step("x", parent="l"), "s>a>b>e", "b>l"
    )
    with refused(code):
        connect(whole, source, target)


def test_a_path_can_get_a_condition_and_lose_it():
    whole = definition("a>b")
    edit = ops.update_edge(whole, "a-out-b", CATALOG, condition="input.x", target_input="draft")
    assert paths(edit.definition) == {"a>b?input.x"}
    assert ops.update_edge(edit.definition, "a-out-b", CATALOG).definition == whole


# --- one step's own things


def test_renaming_rewrites_every_reference():
    whole = definition(
        step("a", label="Idea Analysis"),
        step("b", config={"prompt": "{{ steps.idea analysis.content }} and {{steps.Other.content}}"}),
        step("c", "condition", config={"condition": 'steps["Idea Analysis"].score > 3'}),
        edge("a>b"),
        edge("b>c", condition="steps.Idea Analysis.ok"),
    )
    edit = ops.rename(whole, "a", "Idea & plan", CATALOG)
    assert (
        edit.definition.step("b").config["prompt"]
        == "{{ steps.Idea & plan.content }} and {{steps.Other.content}}"
    )
    assert edit.definition.step("c").config["condition"] == 'steps["Idea & plan"].score > 3'
    assert edit.definition.edges[1].condition == 'steps["Idea & plan"].ok'
    assert set(edit.effects.rewritten) == {("b", "prompt"), ("c", "condition"), ("b-out-c", "condition")}
    assert edit.effects.message == "“Idea Analysis” is now “Idea & plan”, and 3 texts that use it."
    assert edit.effects.problems == ()


@pytest.mark.parametrize(
    ("label", "code"),
    [("b", "duplicate_label"), ("x.y", "bad_label"), ("  ", "bad_label"), ("x\ny", "bad_label")],
)
def test_labels_that_cannot_be_are_refused(label: str, code: str):
    with refused(code):
        ops.rename(definition("a>b"), "a", label, CATALOG)


def test_only_the_case_of_a_label_may_change():
    assert (
        ops.rename(definition(step("a", label="Draft")), "a", "draft", CATALOG).definition.step("a").label
        == "draft"
    )


def test_turning_off_says_what_passes_through():
    whole = definition(step("a"), step("b"), step("c", config={"prompt": "{{steps.B.content}}"}), "a>b>c")
    edit = ops.set_enabled(whole, ["b"], False, CATALOG)
    assert edit.effects.message == "“B” is off."
    assert only(edit.effects.problems, "uses_off_step").severity == "warning"
    assert ops.set_enabled(edit.definition, "b", True, CATALOG).definition == whole


def test_start_and_end_cannot_be_turned_off():
    with refused("cannot_disable"):
        ops.set_enabled(definition(step("s", "start"), "s>a"), "s", False, CATALOG)


def test_renaming_a_case_of_a_condition_keeps_its_path():
    cases = step("c", "condition", config={"cases": [{"name": "big"}, {"name": "small"}]})
    whole = definition(cases, edge("c:big>a"), edge("c:small>b"))
    edit = ops.update_step(whole, "c", CATALOG, config={"cases": [{"name": "large"}, {"name": "small"}]})
    assert paths(edit.definition) == {"c:large>a", "c:small>b"}


def test_removing_a_case_leaves_its_path_with_a_problem():
    cases = step("c", "condition", config={"cases": [{"name": "big"}, {"name": "small"}]})
    whole = definition(cases, edge("c:big>a"), edge("c:small>b"))
    edit = ops.update_step(whole, "c", CATALOG, config={"cases": [{"name": "big"}]})
    assert only(edit.effects.problems, "unknown_port").field == "source_output"


def test_fields_that_have_their_own_operation_cannot_be_set():
    with pytest.raises(TypeError):
        ops.update_step(definition("a"), "a", CATALOG, label="B")


def test_changing_the_type_lists_what_is_lost():
    whole = definition(
        step("r", "review", config={"instructions": "Look", "title": "T", "empty": ""}),
        "a>r",
        edge("r:approved>b"),
        edge("r:rejected>x"),
    )
    edit = ops.change_type(whole, "r", "llm", {"title": "T"}, CATALOG)
    assert edit.effects.lost == ("The setting “instructions”.", "The path “rejected” to “X”.")
    assert paths(edit.definition) == {"a>r", "r>b"}
    assert edit.definition.step("r").type == "llm"


def test_changing_a_container_into_something_else_loses_its_body():
    whole = definition(step("l", "loop"), step("x", parent="l"), step("y", parent="l"), "a>l", "x>y")
    edit = ops.change_type(whole, "l", "llm", {}, CATALOG)
    assert keys(edit.definition) == ["a", "l"]
    assert "The steps inside it: “X” and “Y”." in edit.effects.lost


# --- copies


def test_a_copy_of_a_step_stands_right_after_it():
    whole = definition(step("a"), step("b", label="Draft"), "a>b>c")
    edit = ops.duplicate_step(whole, "b", CATALOG, counting_ids())
    assert [one.label for one in edit.definition.steps] == ["A", "Draft", "Draft 2", "C"]
    assert paths(edit.definition) == {"a>b", "b>s_new1", "s_new1>c"}


def test_a_copy_of_a_container_has_its_own_body_with_its_own_references():
    whole = definition(
        step("l", "loop", label="Each"),
        step("x", parent="l", label="In"),
        step("y", parent="l", label="Out", config={"prompt": "{{steps.In.content}} {{steps.A.content}}"}),
        "a>l",
        "x>y",
    )
    edit = ops.duplicate_step(whole, "l", CATALOG, counting_ids())
    copies = {one.label: one for one in edit.definition.steps if one.key in edit.effects.created}
    assert set(copies) == {"Each 2", "In 2", "Out 2"}
    assert copies["In 2"].parent == copies["Each 2"].key
    assert copies["Out 2"].config["prompt"] == "{{steps.In 2.content}} {{steps.A.content}}"
    assert edit.effects.problems == ()


def test_pasting_between_workflows_joins_the_fragment_to_the_place():
    source = definition(step("x", label="A"), step("y", config={"prompt": "{{steps.A.content}}"}), "x>y>z")
    fragment = ops.copy_steps(source, ["x", "y"])
    edit = ops.paste(definition("a>b"), fragment, OnEdge("a-out-b"), CATALOG, counting_ids())
    assert [one.label for one in edit.definition.steps] == ["A", "A 2", "Y", "B"]
    assert len(edit.definition.edges) == 3
    assert edit.definition.step(edit.effects.created[1]).config["prompt"] == "{{steps.A 2.content}}"


def test_pasting_leaves_out_a_second_start():
    fragment = definition(step("s", "start", label="Go"), "s>x")
    edit = ops.paste(definition(step("t", "start"), "t>a"), fragment, AtEnd(), CATALOG, counting_ids())
    assert [one.type for one in edit.definition.steps] == ["start", "llm", "llm"]


def test_a_duplicate_has_new_keys_and_no_generated_steps():
    whole = replace(
        definition(
            step("a"),
            step("l", "loop"),
            step("x", parent="l"),
            step("g", generated=True, type="email"),
            step("k", type="email"),
            "a>l>g>k",
        ),
        triggers=(TriggerDef("t1", "manual"),),
    )
    edit = ops.duplicate(whole, CATALOG, counting_ids())
    copy = edit.definition
    assert [one.label for one in copy.steps] == ["A", "L", "X", "K"]
    assert not set(keys(copy)) & set(keys(whole))
    assert not {one.id for one in copy.edges} & {one.id for one in whole.edges}
    assert [one.order for one in copy.children(None)] == [0, 1, 2]
    assert copy.steps[2].parent == copy.steps[1].key
    assert len(copy.edges) == 2
    assert copy.triggers[0].id != "t1"


def test_an_authored_step_of_the_same_type_stays_in_the_duplicate():
    whole = definition(step("g", "email", generated=True), step("k", "email"), "a>k>g")
    assert [one.label for one in ops.duplicate(whole, CATALOG).definition.steps] == ["A", "K"]


def test_a_step_that_is_gone_is_said_and_not_a_crash():
    with refused("no_step"):
        remove(definition("a"), "gone")
    with refused("no_edge"):
        insert(definition("a"), OnEdge("gone"))
    with refused("no_step"):
        move(definition("a"), "a", AsRoot("gone"))


def test_the_effects_name_the_paths_that_came_and_went():
    edit = remove(definition("a>x>b"), "x")
    assert [(one.source, one.target) for one in edit.effects.added_edges] == [("a", "b")]
    assert [one.id for one in edit.effects.removed_edges] == ["a-out-x", "x-out-b"]
    assert codes(edit.effects.problems) == []
