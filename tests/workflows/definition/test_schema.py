"""JSON in the API's shape: aliases, defaults, every problem with its path, and the way back."""

import json
from typing import Any

import pytest

from tests.workflows.definition.support import CATALOG, codes, definition, edge, only, paths, step, variable
from workflows.definition.graph import (
    Definition,
    ErrorChoice,
    ErrorPolicy,
    FieldDecl,
    JoinKind,
    JoinRule,
    Losers,
    Position,
    TriggerDef,
)
from workflows.definition.retry import RetryPolicy
from workflows.definition.schema import canonical_json, content_hash, from_stored, parse_definition, to_json
from workflows.lib.errors import Invalid, Problem


def parse(data: Any) -> Definition:
    return parse_definition(data, CATALOG)


def problems(data: Any) -> tuple[Problem, ...]:
    with pytest.raises(Invalid) as caught:
        parse(data)
    return caught.value.problems


def nodes(*entries: dict[str, Any], edges: tuple[dict[str, Any], ...] = (), **more: Any) -> dict[str, Any]:
    return {"nodes": list(entries), "edges": list(edges), **more}


def node(key: str, type: str = "llm", **fields: Any) -> dict[str, Any]:
    return {"id": key, "type": type, "name": key.upper(), **fields}


def path(source: str, target: str, **fields: Any) -> dict[str, Any]:
    return {"source_node_id": source, "target_node_id": target, **fields}


FULL = Definition(
    steps=(
        step("a", "start"),
        step(
            "b",
            description="Writes",
            config={"prompt": "Say {{input.x}}", "temperature": 0.7, "nested": {"list": [1, None, True]}},
            enabled=False,
            order=1,
            position=Position(12.5, -40.0),
            retry=RetryPolicy(3, 500, 1.5, 9_000, 0.2, ("rate_limit",)),
            timeout_s=12.5,
            on_error=ErrorPolicy(ErrorChoice.CONTINUE, {"content": "none"}),
            join=JoinRule(JoinKind.COUNT, 2, Losers.LEAVE),
            inputs=(FieldDecl("x", "string", True, "What"),),
            outputs=(FieldDecl("content"),),
            pinned={"content": "p"},
            note="Ask Ana",
            generated=True,
        ),
        step("l", "loop", order=2),
        step("c", parent="l"),
    ),
    edges=(edge("a>b", condition="input.x > 1", target_input="first"), edge("b>l")),
    variables=(
        variable("x", "number", required=True, default=3, description="How many"),
        variable("y", "array", kind="context", default=[1]),
    ),
    triggers=(TriggerDef("t1", "schedule", {"cron": "0 8 * * *"}, {"x": "{{trigger.data.x}}"}),),
    settings={"yolo": True, "default_model": "demo:large", "max_run_time_s": 60},
)


def test_a_definition_survives_the_way_out_and_back():
    assert parse(json.loads(json.dumps(to_json(FULL)))) == FULL
    assert from_stored(to_json(FULL)) == FULL


def test_a_node_has_the_words_of_the_contract():
    assert set(to_json(FULL)["nodes"][0]) == {
        "id", "type", "name", "description", "position", "config", "inputs", "outputs", "enabled", "parent", "order",
        "retry_policy", "timeout_s", "on_error", "join", "pinned", "note",
    }  # fmt: skip
    assert set(to_json(FULL)["edges"][0]) == {
        "id", "source_node_id", "target_node_id", "source_output", "target_input", "condition",
    }  # fmt: skip
    assert set(to_json(FULL)["variables"][0]) == {
        "name", "type", "kind", "required", "default_value", "description",
    }  # fmt: skip


def test_the_hash_does_not_see_the_order_of_keys_nor_how_numbers_are_written():
    text = canonical_json(FULL)
    other = json.loads(text)
    other["nodes"][1]["config"] = dict(reversed(other["nodes"][1]["config"].items()))
    other["nodes"][1]["config"]["temperature"] = 7e-1
    other["variables"][0]["default_value"] = 3.0
    assert content_hash(parse(other)) == content_hash(FULL)
    assert json.loads(text) == json.loads(json.dumps(to_json(FULL)))


def test_the_hash_sees_every_change():
    changed = to_json(FULL)
    changed["nodes"][1]["config"] = {**changed["nodes"][1]["config"], "prompt": "Say {{input.y}}"}
    assert content_hash(parse(changed)) != content_hash(FULL)


def test_what_is_left_out_gets_defaults_that_depend_on_the_input_alone():
    data = nodes({"type": "llm", "config": {"prompt": "x"}}, {"type": "llm"}, node("c"))
    first, again = parse(data), parse(data)
    assert first == again
    assert [one.label for one in first.steps] == ["Llm", "Llm 2", "C"]
    assert [one.order for one in first.steps] == [0, 1, 2]
    assert [one.position for one in first.steps] == [Position(0, 0), Position(264, 0), Position(528, 0)]


def test_a_node_without_a_name_is_called_after_its_id():
    assert parse(nodes({"id": "draft", "type": "llm"})).steps[0].label == "draft"


def test_missing_orders_follow_the_edges():
    data = nodes(node("c"), node("a"), node("b"), edges=(path("a", "b"), path("b", "c")))
    assert {one.key: one.order for one in parse(data).steps} == {"a": 0, "b": 1, "c": 2}


def test_an_edge_without_an_output_leaves_by_the_main_port():
    data = nodes(node("c", "condition"), node("d"), node("e"), edges=(path("c", "d"), path("d", "e")))
    assert paths(parse(data)) == {"c:true>d", "d>e"}


@pytest.mark.parametrize(
    ("alias", "canonical"),
    [
        ("prompt_execution", "llm"),
        ("data_transform", "transform"),
        ("human_approval", "review"),
        ("wait", "delay"),
    ],
)
def test_type_aliases_come_out_canonical(alias: str, canonical: str):
    assert parse(nodes(node("a", alias))).steps[0].type == canonical


@pytest.mark.parametrize(
    ("config", "model"),
    [
        ({"model": "openai/gpt-4o"}, "openai:gpt-4o"),
        ({"model": "openai:gpt-4o"}, "openai:gpt-4o"),
        ({"model": "openrouter:meta/llama"}, "openrouter:meta/llama"),
        ({"provider": "openai", "model": "gpt-4o"}, "openai:gpt-4o"),
        ({"provider": "openai", "model": "openai/gpt-4o"}, "openai:gpt-4o"),
    ],
)
def test_models_are_written_provider_colon_model(config: dict[str, Any], model: str):
    assert parse(nodes(node("a", config=config))).steps[0].config == {"model": model}


def test_the_paths_in_a_conditions_settings_become_edges():
    config = {"condition": "input.x > 1", "true_path": "b", "false_path": "c"}
    result = parse(nodes(node("a", "condition", config=config), node("b"), node("c")))
    assert paths(result) == {"a:true>b", "a:false>c"}
    assert result.step("a").config == {"condition": "input.x > 1"}


def test_a_path_that_is_sent_both_ways_is_one_edge():
    config = {"true_path": "b"}
    result = parse(nodes(node("a", "condition", config=config), node("b"), edges=(path("a", "b", id="e1"),)))
    assert [(one.id, one.port) for one in result.edges] == [("e1", "true")]


def test_a_parallels_branches_become_edges_and_its_wait_rule_goes_to_where_they_meet():
    config = {
        "branches": [{"name": "fast", "target_node_id": "b"}, {"target_node_id": "c"}],
        "wait_for": "count",
        "required_count": 1,
    }
    data = nodes(
        node("a", "parallel", config=config),
        node("b"),
        node("c"),
        node("j"),
        node("z"),
        edges=(path("b", "j"), path("c", "j"), path("j", "z")),
    )
    result = parse(data)
    assert {"a:fast>b", "a:branch_2>c"} <= paths(result)
    assert result.step("a").config == {"branches": [{"name": "fast"}, {"name": "branch_2"}]}
    assert result.step("j").join == JoinRule(JoinKind.COUNT, 1)


def test_a_merges_wait_rule_is_its_own_join():
    result = parse(nodes(node("m", "merge", config={"wait_for": "any"})))
    assert result.steps[0].join == JoinRule(JoinKind.ANY)
    assert result.steps[0].config == {}


@pytest.mark.parametrize("place", ["node", "policy", "config"])
def test_max_retries_counts_without_the_first_try(place: str):
    sent = {
        "node": node("a", max_retries=2),
        "policy": node("a", retry_policy={"max_retries": 2}),
        "config": node("a", config={"max_retries": 2}),
    }[place]
    result = parse(nodes(sent)).steps[0]
    assert result.retry is not None
    assert result.retry.max_attempts == 3
    assert "max_retries" not in result.config


def test_all_problems_come_at_once_each_with_its_path():
    found = problems(
        {
            "nodes": [
                node("a", "unknown"),
                node("b", positon={"x": 1}),
                node("a", enabled="yes"),
                {"id": "bad id", "type": "llm", "name": "N"},
                "text",
            ],
            "edges": [path("a", ""), path("a", "b", source_output=3)],
            "variables": [{"name": "v", "type": "text"}],
            "triggers": [{"type": "cron"}],
            "setings": {},
        }
    )
    assert [(problem.code, problem.path) for problem in found] == [
        ("unknown_key", "definition.setings"),
        ("unknown_key", "definition.nodes[1].positon"),
        ("bad_value", "definition.nodes[2].enabled"),
        ("bad_id", "definition.nodes[3].id"),
        ("bad_value", "definition.nodes[4]"),
        ("dangling_edge", "definition.edges[0].target_node_id"),
        ("bad_value", "definition.edges[1].source_output"),
        ("bad_value", "definition.variables[0].type"),
        ("unknown_type", "definition.triggers[0].type"),
    ]
    assert found[1].fix == "Did you mean “position”?"
    assert found[2].step == "A"


@pytest.mark.parametrize("data", [None, [], "text", 3])
def test_what_is_no_object_is_said_to_be_none(data: Any):
    assert codes(problems(data)) == ["not_an_object"]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("a\x00b", "bad_text"),
        ("a\ud800b", "bad_text"),
        (float("nan"), "bad_number"),
        (float("inf"), "bad_number"),
    ],
)
def test_values_that_cannot_be_stored_are_refused_with_their_place(value: Any, code: str):
    found = only(problems(nodes(node("a", config={"list": [1, value]}))), code)
    assert found.path == "definition.nodes[0].config.list[1]"


def test_bottomless_data_is_refused():
    deep: Any = "x"
    for _ in range(200):
        deep = [deep]
    assert codes(problems(nodes(node("a", config={"deep": deep})))) == ["too_deep"]


STRUCTURE = [
    ("unknown_type", nodes(node("a", "nonsense")), "definition.nodes[0].type"),
    ("duplicate_key", nodes(node("a"), {**node("a"), "name": "B"}), "definition.nodes[1].id"),
    ("duplicate_label", nodes(node("a"), {**node("b"), "name": " a"}), "definition.nodes[1].name"),
    ("bad_label", nodes({**node("a"), "name": "Draft.one"}), "definition.nodes[0].name"),
    ("unknown_parent", nodes(node("a", parent="x")), "definition.nodes[0].parent"),
    ("not_a_container", nodes(node("a"), node("b", parent="a")), "definition.nodes[1].parent"),
    ("parent_cycle", nodes(node("a", "loop", parent="a")), "definition.nodes[0].parent"),
    ("dangling_edge", nodes(node("a"), edges=(path("a", "x"),)), "definition.edges[0].target_node_id"),
    (
        "crosses_border",
        nodes(node("a"), node("l", "loop"), node("b", parent="l"), edges=(path("a", "b"),)),
        "definition.edges[0]",
    ),
    ("cycle", nodes(node("a"), node("b"), edges=(path("a", "b"), path("b", "a"))), "definition.edges[1]"),
    ("cycle", nodes(node("a"), edges=(path("a", "a"),)), "definition.edges[0]"),
    ("several_starts", nodes(node("a", "start"), node("b", "start")), "definition.nodes[1].type"),
    ("into_start", nodes(node("a"), node("s", "start"), edges=(path("a", "s"),)), "definition.edges[0]"),
    (
        "start_in_body",
        nodes(node("l", "loop"), node("s", "start", parent="l")),
        "definition.nodes[1].parent",
    ),
    (
        "duplicate_edge",
        nodes(node("a"), node("b"), edges=(path("a", "b", id="x"), path("a", "b", id="y"))),
        "definition.edges[1]",
    ),
    (
        "duplicate_variable",
        nodes(variables=[{"name": "v"}, {"name": "v"}]),
        "definition.variables[1].name",
    ),
    ("bad_variable", nodes(variables=[{"name": "two words"}]), "definition.variables[0].name"),
]


@pytest.mark.parametrize(("code", "data", "place"), STRUCTURE)
def test_a_problem_of_the_shape_stops_the_parse_and_names_its_place(
    code: str, data: dict[str, Any], place: str
):
    found = only(problems(data), code)
    assert found.path == place
    assert found.message.endswith((".", "?"))


def test_a_workflow_with_too_many_steps_is_refused():
    data = nodes(*({"id": f"n{number}", "type": "llm", "name": f"N{number}"} for number in range(1_001)))
    assert "1,000" in only(problems(data), "too_many").message


def test_settings_are_put_into_the_words_of_their_type_and_unknown_ones_refused():
    assert parse(nodes(node("a", config={"max_output_tokens": 5}))).steps[0].config == {"max_tokens": 5}
    problem = only(problems(nodes(node("a"), node("b", config={"no_such": 1}))), "unknown_setting")
    assert (problem.step, problem.path) == ("B", "definition.nodes[1].config.no_such")


def test_a_stored_version_loads_when_its_type_is_gone():
    stored = to_json(definition(step("a"), "a>b"))
    stored["nodes"][0]["type"] = "a_plugin_that_left"
    assert from_stored(stored).step("a").type == "a_plugin_that_left"
