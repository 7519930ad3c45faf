"""Every check of W9: its code, its place, its sentence and its fix."""

from dataclasses import replace
from typing import Any

import pytest

from tests.workflows.definition.support import CATALOG, codes, definition, edge, only, step, variable
from workflows.definition.graph import (
    Definition,
    ErrorChoice,
    ErrorPolicy,
    FieldDecl,
    JoinKind,
    JoinRule,
    StepDef,
    TriggerDef,
)
from workflows.definition.retry import RetryPolicy
from workflows.definition.validation import graph_problems, semantic_problems, validate
from workflows.lib.errors import Problem


def uses(key: str, text: str, **fields: Any) -> StepDef:
    return step(key, config={"prompt": text}, **fields)


def found(*parts: Any) -> tuple[Problem, ...]:
    return validate(definition(*parts), CATALOG)


def test_a_sound_workflow_has_no_problems():
    assert (
        found(
            step("s", "start"),
            uses("a", "{{input.topic}}"),
            uses("b", "{{steps.A.content}} {{previous}} {{run.id}} {{vars.tone}}"),
            step("e", "end"),
            "s>a>b>e",
            variable("topic"),
            variable("tone", kind="context"),
        )
        == ()
    )


# --- settings


def test_a_missing_setting_names_step_field_path_and_fix():
    problem = only(found(step("a"), step("b", config={}), "a>b"), "required")
    assert problem == Problem(
        "required",
        "“B” has no prompt.",
        "B",
        "b",
        "prompt",
        "definition.nodes[1].config.prompt",
        "Write a prompt.",
    )


def test_problems_of_a_step_that_is_off_do_not_block():
    problem = only(found(step("a"), step("b", config={}, enabled=False), "a>b"), "required")
    assert problem.severity == "warning"


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        (RetryPolicy(max_attempts=0), "max_attempts"),
        (RetryPolicy(max_attempts=21), "max_attempts"),
        (RetryPolicy(delay_ms=90_000_000), "delay_ms"),
        (RetryPolicy(backoff_multiplier=0.5), "backoff_multiplier"),
        (RetryPolicy(jitter=1.5), "jitter"),
        (RetryPolicy(max_delay_ms=90_000_000), "max_delay_ms"),
    ],
)
def test_retry_policies_out_of_range(policy: RetryPolicy, field: str):
    problem = only(found(step("a", retry=policy)), "bad_retry")
    assert problem.path == f"definition.nodes[0].retry_policy.{field}"


@pytest.mark.parametrize("seconds", [0.0, 90_000.0])
def test_time_limits_out_of_range(seconds: float):
    assert only(found(step("a", timeout_s=seconds)), "bad_timeout").field == "timeout_s"


def test_going_on_without_a_value_is_said():
    problem = only(found(step("a", on_error=ErrorPolicy(ErrorChoice.CONTINUE))), "missing_default")
    assert problem.severity == "warning"
    assert found(step("a", on_error=ErrorPolicy(ErrorChoice.CONTINUE, {"content": ""}))) == ()


def test_a_model_that_is_missing_is_placed_on_its_step():
    def models(one: StepDef, default_model: str | None) -> tuple[Problem, ...]:
        assert default_model == "demo:large"
        return (Problem("no_model", "There is no model “x:y”.", field="model"),) if one.key == "b" else ()

    whole = replace(definition("a>b"), settings={"default_model": "demo:large"})
    (problem,) = semantic_problems(whole, CATALOG, models=models)
    assert (problem.step, problem.path) == ("B", "definition.nodes[1].config.model")


def test_a_default_that_is_not_of_the_variables_type():
    problem = only(found("a", variable("x", "number", default="3"), step("a")), "bad_default")
    assert problem.message == "The default of the variable “x” is text, but its type is number."
    assert problem.path == "definition.variables[0].default_value"


def test_a_trigger_that_fills_an_unknown_input():
    whole = replace(
        definition(step("a"), variable("topic")), triggers=(TriggerDef("t", "webhook", {}, {"topci": "x"}),)
    )
    problem = only(validate(whole, CATALOG), "unknown_input")
    assert problem.fix == "Did you mean “topic”?"


# --- texts


def test_a_template_that_cannot_be_read_says_where():
    problem = only(found(uses("a", "Hello\n{{input.x")), "unclosed")
    assert problem.path == "definition.nodes[0].config.prompt"
    assert problem.message.startswith("“A”, prompt, line 2, column 1: ")


def test_a_bad_expression_says_where_and_what_to_write():
    problem = only(found(step("c", "condition", config={"condition": "input.x = 1"})), "syntax")
    assert "“C”, condition, line 1, column 9" in problem.message
    assert problem.fix
    assert problem.field == "condition"


def test_a_bad_condition_of_a_path_names_the_path():
    problem = only(found(edge("a>b", condition="input.x and 1")), "syntax")
    assert problem.path == "definition.edges[0].condition"
    assert "the path from “A” to “B”" in problem.message
    assert problem.step_key == "a"


def test_an_unknown_name_has_the_nearest_as_fix():
    problem = only(found(uses("a", "{{previos}}")), "unknown_name")
    assert problem.fix == "Did you mean “previous”?"


# --- references


def test_an_unknown_step_has_the_nearest_as_fix():
    whole = (step("a", label="Idea Analysis"), uses("b", "{{steps.Idea Anlysis.content}}"), "a>b")
    problem = only(found(*whole), "unknown_step")
    assert problem.step == "B"
    assert problem.field == "prompt"
    assert problem.fix == "Did you mean “steps.Idea Analysis.content”?"


def test_an_unknown_step_in_an_expression_is_said_once():
    assert codes(found(edge("a>b", condition="steps.Nobody.ok"))) == ["unknown_step"]


@pytest.mark.parametrize("text", ["{{steps.B.content}}", "{{steps.b}}"])
def test_a_step_cannot_use_itself(text: str):
    assert codes(found(uses("b", text))) == ["uses_itself"]


def test_a_step_cannot_use_one_that_comes_after():
    problem = only(found(uses("a", "{{steps.B.content}}"), "a>b"), "not_before")
    assert "which runs after it" in problem.message
    assert problem.fix == "Move “A” below “B”, or use an earlier step."


def test_a_step_cannot_use_one_on_another_branch():
    problem = only(found(uses("b", "{{steps.C.content}}"), "a>b", "a>c"), "not_before")
    assert "no path leads from “C” to it" in problem.message


def branches(text: str, **join: Any) -> tuple[Any, ...]:
    return (
        step("c", "condition", config={"condition": "true"}),
        step("t"),
        step("f"),
        uses("j", text, **join),
        "a>c",
        edge("c:true>t"),
        edge("c:false>f"),
        "t>j",
        "f>j",
    )


def test_a_step_that_may_be_skipped_is_an_error_unless_defaulted():
    problem = only(found(*branches("{{steps.T.content}}")), "may_be_skipped")
    assert problem.severity == "error"
    assert problem.fix == 'Write {{ steps.T.content | default: "…" }}, or move the step onto that path.'
    assert found(*branches('{{steps.T.content | default: "none"}}')) == ()
    assert found(*branches("{{steps.A.content}} {{steps.C.content}} {{previous}}")) == ()


def test_behind_the_join_of_both_branches_everything_before_them_is_sure():
    assert found(*branches("x"), uses("z", "{{steps.A.content}} {{steps.J.content}}"), "j>z") == ()


def test_on_the_branch_itself_its_steps_are_sure():
    whole = (
        step("c", "condition", config={"condition": "true"}),
        edge("c:true>t"),
        edge("c:false>f"),
        "t>x",
        "t>y",
        "x>j",
        "y>j",
        uses("j", "{{steps.T.content}} {{steps.X.content}} {{steps.Y.content}}"),
    )
    assert found(*whole) == ()


def test_a_path_with_a_condition_may_not_be_taken():
    whole = (edge("a>b", condition="input.x"), "a>j", "b>j", uses("j", "{{steps.B.content}}"))
    assert codes(found(*whole)) == ["may_be_skipped"]


def test_a_join_that_waits_for_the_first_is_not_sure_of_any():
    whole = ("a>b", "a>c", "b>j", "c>j")
    user = uses("j", "{{steps.B.content}} {{steps.A.content}}", join=JoinRule(JoinKind.ANY))
    assert codes(found(user, *whole)) == ["may_be_skipped"]
    both = uses("j", "{{steps.B.content}}", join=JoinRule(JoinKind.COUNT, 2))
    assert found(both, *whole) == ()


def test_a_step_on_its_error_path_has_no_output():
    risky = step("a", on_error=ErrorPolicy(ErrorChoice.ROUTE))
    whole = (risky, edge("a>b"), edge("a:error>h"))
    assert found(*whole, uses("b", "{{steps.A.content}}")) == ()
    assert codes(found(*whole, uses("h", "{{steps.A.content}}"))) == ["may_be_skipped"]


def test_all_branches_of_a_parallel_run():
    whole = (
        step("p", "parallel", config={"branches": [{"name": "one"}, {"name": "two"}]}),
        edge("p:one>a"),
        edge("p:two>b"),
        "a>j",
        "b>j",
        uses("j", "{{steps.A.content}} {{steps.B.content}}"),
    )
    assert found(*whole) == ()


def test_an_expression_that_asks_first_is_fine():
    whole = (*branches("x"), edge("j>z", condition="has(steps.T.content)"))
    assert found(*whole) == ()
    bare = (*branches("x"), edge("j>z", condition="steps.T.ok"))
    assert (
        only(found(*bare), "may_be_skipped").fix
        == "Ask has(steps.T.ok) first, or move the step onto that path."
    )


def test_the_condition_of_a_path_may_use_the_step_that_it_leaves():
    assert found(edge("a>b", condition="steps.A.score > 3")) == ()


def test_a_step_that_is_off_gives_what_passed_through():
    problem = only(
        found(step("b", enabled=False), "a>b>c", uses("c", "{{steps.B.content}}")), "uses_off_step"
    )
    assert problem.severity == "warning"
    assert problem.message.startswith("“C” uses “B”, which is off: it gets what passed through.")


def loop(*parts: Any) -> tuple[Any, ...]:
    return (step("l", "loop"), step("x", parent="l"), step("y", parent="l"), "a>l>b", "x>y", *parts)


def test_bodies_may_read_outside_and_their_item():
    assert (
        found(
            *loop(
                uses(
                    "y",
                    "{{steps.A.content}} {{steps.X.content}} {{item}} {{index}} {{loop.last}}",
                    parent="l",
                )
            )[2:],
            step("l", "loop"),
            step("x", parent="l"),
        )
        == ()
    )


def test_outsiders_use_the_containers_items():
    problem = only(found(*loop(), uses("b", "{{steps.X.content}}")), "inside_container")
    assert problem.fix == "Use the results of “L”: steps.L.items."
    assert found(*loop(), uses("b", "{{steps.L.items[0].content}}")) == ()


def test_a_step_inside_cannot_use_its_container_nor_what_comes_after_it():
    whole = (step("l", "loop"), "a>l>b")
    assert codes(found(*whole, uses("x", "{{steps.L.content}}", parent="l"))) == ["not_before"]
    assert codes(found(*whole, uses("x", "{{steps.B.content}}", parent="l"))) == ["not_before"]


def test_only_steps_inside_a_container_have_an_item():
    problem = only(found(uses("a", "{{item.name}}")), "not_available")
    assert "only steps inside a loop or a for-each step" in problem.message
    assert found(step("f", "fan_out", config={"prompt": "{{item}} {{index}}"})) == ()


def test_an_unknown_variable():
    problem = only(found(uses("a", "{{vars.tne}}"), variable("tone", kind="context")), "unknown_variable")
    assert problem.fix == "Did you mean “vars.tone”?"


def test_an_input_that_is_not_declared_is_a_warning():
    problem = only(found(uses("a", "{{input.topci}}"), variable("topic")), "unknown_input")
    assert (problem.severity, problem.fix) == ("warning", "Did you mean “topic”?")
    assert found(uses("a", "{{input.anything}}")) == ()


def test_inputs_are_named_on_paths():
    assert found(edge("a>b", target_input="draft"), uses("b", "{{inputs.draft}}")) == ()
    problem = only(
        found(edge("a>b", target_input="draft"), uses("b", "{{inputs.drft}}")), "unknown_input_name"
    )
    assert problem.fix == "Did you mean “inputs.draft”?"
    assert found(edge("a>b"), uses("b", "{{inputs.x}}", inputs=(FieldDecl("x"),))) == ()


# --- the graph


def test_a_port_that_does_not_exist():
    problem = only(found(edge("a:true>b")), "unknown_port")
    assert problem.path == "definition.edges[0].source_output"
    assert problem.message == "“A” has no way out “true”."
    assert problem.fix == "Its ways out are out."


def test_an_error_path_needs_the_policy():
    assert "when it fails" in (only(found(edge("a:error>b")), "unknown_port").fix or "")


def test_a_join_that_waits_for_more_than_there_are():
    joined = step("j", join=JoinRule(JoinKind.COUNT, 3))
    problem = only(found(joined, "a>j", "b>j"), "join_count")
    assert problem.message == "“J” waits for 3 steps, but only 2 lead to it, so it would never start."


def test_steps_that_are_off_count_no_longer_for_a_join():
    joined = step("j", join=JoinRule(JoinKind.COUNT, 2))
    whole = (joined, step("b", "condition", enabled=False), "r>b", "a>j", edge("b:false>j"))
    assert "join_count" in codes(found(*whole))


def test_a_container_without_a_body():
    assert only(found(step("l", "loop")), "empty_container").step_key == "l"
    assert found(step("f", "fan_out", config={"prompt": "{{item}}"})) == ()
    off = found(step("l", "loop"), step("x", parent="l", enabled=False))
    assert only(off, "empty_container").severity == "warning"


def test_a_step_nothing_leads_to():
    problem = only(found(step("s", "start"), "s>a", step("b")), "unreachable")
    assert (problem.step_key, problem.severity) == ("b", "warning")
    assert only(found("a>b", step("c")), "unreachable").step_key == "c"
    assert found(step("a"), step("b")) == ()


def test_a_step_cut_off_by_one_that_is_off():
    whole = (
        step("c", "condition", enabled=False, config={"condition": "true"}),
        "a>c",
        edge("c:true>t"),
        edge("c:false>f"),
    )
    problem = only(found(*whole), "unreachable")
    assert problem.message == "“F” cannot run: “C” is off and led to it by another way than its first."


def test_steps_that_wait_for_each_other():
    whole = Definition((step("a"), step("b", order=1)), (edge("a>b"), edge("b>a")))
    problem = only(validate(whole, CATALOG), "cycle")
    assert problem.message == "These steps wait for each other: A → B → A."


# --- variables that are set


def sets(key: str, name: str, **fields: Any) -> StepDef:
    return step(key, "set_variable", config={"name": name}, **fields)


NOTES = variable("notes", kind="context")


def test_setting_a_variable_that_does_not_exist():
    problem = only(found(sets("a", "note"), NOTES), "unknown_variable")
    assert (problem.field, problem.fix) == ("name", "Did you mean “notes”?")
    assert "cannot be set" in only(found(sets("a", "x"), variable("x")), "unknown_variable").message


def test_two_branches_that_set_one_variable():
    problem = only(found(sets("a", "notes"), sets("b", "notes"), "s>a", "s>b", NOTES), "parallel_writers")
    assert problem.severity == "warning"
    assert problem.message.startswith("“A” and “B” set the variable “notes” at the same time")


def test_writers_one_after_the_other_or_on_branches_of_a_choice_are_fine():
    assert found(sets("a", "notes"), sets("b", "notes"), "a>b", NOTES) == ()
    choice = (step("c", "condition", config={"condition": "true"}), edge("c:true>a"), edge("c:false>b"))
    assert found(*choice, sets("a", "notes"), sets("b", "notes"), NOTES) == ()


def test_items_that_run_together_set_a_variable():
    whole = (step("f", "fan_out"), sets("x", "notes", parent="f"), NOTES)
    assert "for several items" in only(found(*whole), "parallel_writers").message
    assert found(step("f", "loop"), sets("x", "notes", parent="f"), NOTES) == ()


# --- total and fast


def test_a_broken_shape_is_said_without_failing():
    broken = Definition(
        (
            step("a", "nonsense", parent="a"),
            step("a", label="A"),
            step("b", "loop", parent="gone", config={"prompt": "{{"}),
        ),
        (edge("a>gone"), edge("gone>b", id="x"), edge("b>b", id="x")),
    )
    assert {"unknown_type", "duplicate_key", "unknown_parent", "dangling_edge", "cycle"} <= set(
        codes(validate(broken, CATALOG))
    )


def test_the_graph_is_walked_a_bounded_number_of_times_for_200_steps(monkeypatch: pytest.MonkeyPatch):
    """Not a timed test: each step's ports are asked a fixed number of times, not once for every other step."""
    asked = 0
    ports = CATALOG.ports

    def counting(one: StepDef) -> tuple[str, ...]:
        nonlocal asked
        asked += 1
        return ports(one)

    monkeypatch.setattr(CATALOG, "ports", counting)
    size = 200
    parts = [
        uses(f"n{number}", f"{{{{steps.N{number - 1}.content}}}}" if number else "x")
        for number in range(size)
    ]
    whole = definition(*parts, ">".join(f"n{number}" for number in range(size)))
    asked = 0
    assert graph_problems(whole, CATALOG) == ()
    assert asked < 10 * size
