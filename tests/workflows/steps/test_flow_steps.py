"""Start, end, transform, condition, filter, merge, set variable, delay and review: each setting and each way out."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.support.steps import NOW, context, execute, run
from workflows.definition.graph import StepDef
from workflows.steps import registry
from workflows.steps.base import Completed, EndRun, ReviewRequest, StepError, WaitUntil
from workflows.steps.catalog import CATALOG, clean_config

LEAD = {"name": "Ana", "score": 82, "country": "PT", "tags": ["hot", "new"], "spent": 12.5}
ROWS = [
    {"field": "input.score", "operator": ">", "value": 70},
    {"field": "input.country", "operator": "equals", "value": "PT"},
]


def ports(type: str, config: dict) -> list[str]:
    clean, _ = clean_config(registry.get(type), config)
    return list(CATALOG.ports(StepDef("s", type, "S", config=clean)))


def problems(type: str, config: dict) -> list[tuple[str, str | None]]:
    clean, _ = clean_config(registry.get(type), config)
    return [(problem.code, problem.field) for problem in CATALOG.check(StepDef("s", type, "S", config=clean))]


# --- start and end ---


def test_start_gives_the_input_with_its_only_text_as_content():
    assert run("start", input={"text": "Hello", "n": 3}).output == {
        "text": "Hello",
        "n": 3,
        "content": "Hello",
    }


def test_start_gives_several_inputs_as_json_and_a_main_field_when_told():
    two = {"idea": "Lend tools", "audience": "Neighbours"}
    assert run("start", input=two).output["content"] == '{"audience": "Neighbours", "idea": "Lend tools"}'
    assert run("start", {"main_field": "idea"}, input=two).output["content"] == "Lend tools"
    with pytest.raises(StepError, match="no “topic”"):
        run("start", {"main_field": "topic"}, input=two)


def test_start_checks_the_input_schema():
    schema = {"type": "object", "required": ["email"]}
    assert run("start", {"input_schema": schema}, input={"email": "a"}).output["content"] == "a"
    with pytest.raises(StepError, match="email") as caught:
        run("start", {"input_schema": schema}, input={})
    assert caught.value.info.field == "input_schema"


def test_end_gives_the_output_before_or_what_it_is_told():
    before = {"content": "Text", "score": 4}
    assert run("end", previous=before).output == before
    assert run("end", {"template": "It is {{previous}}"}, previous=before).output == {"content": "It is Text"}
    assert run("end", {"expression": "previous.score * 2"}, previous=before).output == {"content": 8}
    output = run(
        "end", {"fields": {"a": "{{previous.score}}", "b": "= previous.score + 1"}}, previous=before
    ).output
    assert (output["a"], output["b"]) == (4, 5)
    assert ports("end", {}) == []


# --- transform ---


@pytest.mark.parametrize(
    ("config", "output"),
    [
        ({"expression": "input.score * 1.5"}, {"content": 123}),
        ({"expression": "input.tags"}, {"content": ["hot", "new"]}),
        ({"template": "{{input.name}}: {{input.tags}}"}, {"content": 'Ana: ["hot", "new"]'}),
        ({"fields": {"who": "{{input.name}}", "twice": "= input.score * 2", "tags": "{{input.tags}}", "k": 1}},
         {"who": "Ana", "twice": 164, "tags": ["hot", "new"], "k": 1}),
        ({"mapping": {"deep": {"er": ["{{input.score}}"]}}}, {"deep": {"er": [82]}}),
    ],
)  # fmt: skip
def test_transform_makes_what_it_is_told(config, output):
    found = run("transform", config, input=LEAD).output
    assert {key: found[key] for key in output} == output


def test_an_object_keeps_its_fields_beside_its_content():
    output = run("transform", {"expression": "input"}, input={"a": 1}).output
    assert output == {"a": 1, "content": '{"a": 1}'}


def test_faults_of_texts_name_the_field_and_the_reference():
    with pytest.raises(StepError) as caught:
        run("transform", {"fields": {"x": "{{input.nmae}}"}}, input=LEAD)
    assert caught.value.info.field == "fields.x"
    assert "input.nmae" in caught.value.message
    assert caught.value.info.fix == "Did you mean input.name?"
    with pytest.raises(StepError) as caught:
        run("transform", {"expression": "input.name * 2"}, input=LEAD)
    assert caught.value.info.field == "expression"
    assert "line 1" in caught.value.message


def test_values_are_never_read_as_templates_again():
    output = run(
        "transform", {"template": "{{input.x}}"}, input={"x": "{{input.secret}}", "secret": "s"}
    ).output
    assert output["content"] == "{{input.secret}}"


@pytest.mark.parametrize("mode", ["expression", "fields", "template"])
def test_the_chosen_way_must_be_filled_in(mode):
    assert problems("transform", {"mode": mode}) == [("required", mode)]


# --- condition ---


def test_a_single_case_without_a_name_goes_by_true_or_false():
    config = {"expression": "input.score > 70"}
    assert ports("condition", config) == ["true", "false"]
    assert run("condition", config, previous={"content": "x", "k": 1}, input=LEAD).port == "true"
    done = run("condition", config, previous={"content": "x", "k": 1}, input={"score": 3})
    assert done.port == "false"
    assert done.output == {"content": "x", "k": 1}, "the input passes through"


def test_rows_hold_all_or_any():
    for match, score, port in (("all", 60, "false"), ("any", 60, "true"), ("all", 80, "true")):
        done = run(
            "condition",
            {"cases": [{"match": match, "rows": ROWS}]},
            previous={"content": ""},
            input=LEAD | {"score": score},
        )
        assert done.port == port


def test_the_first_case_that_holds_is_taken():
    cases = [
        {"name": "Hot", "expression": "input.score > 80"},
        {
            "name": "Warm",
            "port": "warm",
            "rows": [{"field": "{{input.score}}", "operator": "greater", "value": 50}],
        },
    ]
    assert ports("condition", {"cases": cases}) == ["Hot", "warm", "else"]
    taken = [
        run("condition", {"cases": cases}, previous={"content": ""}, input={"score": n}).port
        for n in (90, 60, 10)
    ]
    assert taken == ["Hot", "warm", "else"]


def test_a_renamed_case_keeps_its_port():
    clean, _ = clean_config(registry.get("condition"), {"cases": [{"name": "Hot", "expression": "true"}]})
    clean["cases"][0]["name"] = "Very hot"
    assert ports("condition", clean) == ["Hot", "else"]


@pytest.mark.parametrize(
    ("cases", "code"),
    [
        ([{"name": "else", "expression": "true"}], "bad_case"),
        ([{"name": "A", "expression": "true"}, {"name": "A", "expression": "false"}], "bad_case"),
        ([{"expression": "true"}, {"name": "A", "expression": "false"}], "bad_case"),
        ([{"name": "A"}], "required"),
        ([{"rows": [{"field": "input.x", "operator": "resembles", "value": 1}]}], "bad_row"),
        ([{"rows": [{"field": "", "operator": "equals", "value": 1}]}], "bad_row"),
        ([], "required"),
    ],
)
def test_bad_cases_are_named(cases, code):
    assert (code, "cases") in problems("condition", {"cases": cases})


def test_a_case_that_cannot_be_asked_is_an_error_and_no_way_out():
    with pytest.raises(StepError) as caught:
        run("condition", {"expression": "input.missing > 3"}, previous={"content": ""}, input={})
    assert caught.value.info.field == "cases[0]"


def test_conditions_are_said_in_words_and_given_to_the_checks():
    clean, _ = clean_config(registry.get("condition"), {"cases": [{"rows": ROWS}]})
    assert registry.get("condition").summary(clean) == "If score is greater than 70 and country equals “PT”"
    step = StepDef("s", "condition", "S", config=clean)
    assert list(CATALOG.expressions(step)) == [
        ("cases[0].rows[0]", "input.score > 70"),
        ("cases[0].rows[1]", 'input.country == "PT"'),
    ]
    renamed = CATALOG.rewrite(step, str, lambda text: text.replace("input", "trigger"))
    assert renamed.config["cases"][0]["rows"][0]["field"] == "trigger.score"


def test_a_first_condition_passes_the_runs_input_with_its_text():
    done = run("condition", {"expression": "true"}, previous={"text": "Hello", "n": 1})
    assert done.output == {"text": "Hello", "n": 1, "content": "Hello"}


# --- filter ---


def test_a_filter_lets_through_or_ends_the_run_completed():
    config = {"condition": {"rows": [{"field": "input.score", "operator": "less", "value": 50}]}}
    assert run("filter", config, previous={"content": "x"}, input={"score": 3}).output == {"content": "x"}
    ended = execute("filter", config, previous={"content": "x"}, input=LEAD, label="Cheap only")
    assert ended == EndRun({"content": "x"}, "“Cheap only” does not hold: score is less than 50.")
    said = execute(
        "filter", {**config, "reason": "{{input.name}} is out"}, previous={"content": "x"}, input=LEAD
    )
    assert isinstance(said, EndRun)
    assert said.reason == "Ana is out"


def test_a_filters_condition_may_be_a_bare_expression():
    assert isinstance(execute("filter", {"expression": "false"}, previous={"content": "x"}), EndRun)
    assert isinstance(execute("filter", {"condition": "1 < 2"}, previous={"content": "x"}), Completed)


# --- merge ---

ARRIVED = (("Research", {"content": "R", "n": 1}), ("Price it", {"content": "P"}))


def merged(config: dict) -> dict:
    return run("merge", config, previous=dict(ARRIVED), arrived=ARRIVED).output


def test_merge_makes_an_object_a_list_a_text_or_an_expression():
    assert merged({}) == {
        "Research": {"content": "R", "n": 1},
        "Price it": {"content": "P"},
        "content": "R\n\nP",
    }
    assert merged({"mode": "list"}) == {"items": ["R", "P"], "content": "R\n\nP"}
    assert merged({"mode": "text"}) == {"content": "R\n\nP"}
    assert merged({"mode": "text", "separator": r"\n--\n"}) == {"content": "R\n--\nP"}
    assert merged({"mode": "expression", "expression": "previous.Research.n + 1"}) == {"content": 2}
    assert problems("merge", {"mode": "expression"}) == [("required", "expression")]


def test_branches_are_known_by_their_labels_where_the_shell_does_not_list_them():
    assert run("merge", {"mode": "text"}, previous=dict(ARRIVED)).output == {"content": "R\n\nP"}


def test_what_comes_from_one_branch_passes_through():
    one = ARRIVED[:1]
    assert run("merge", {}, previous=one[0][1], arrived=one).output == {"content": "R", "n": 1}


# --- set variable ---


def test_variables_are_set_with_their_types_and_the_input_passes():
    done = run(
        "set_variable",
        {"variables": {"total": "= input.score + 1", "who": "Dear {{input.name}}", "tags": "{{input.tags}}"}},
        previous={"content": "x"},
        input=LEAD,
    )
    assert done.variables == {"total": 83, "who": "Dear Ana", "tags": ["hot", "new"]}
    assert done.output == {"content": "x"}
    assert run(
        "set_variable", {"name": "n", "value": "{{input.score}}"}, previous={"content": ""}, input=LEAD
    ).variables == {"n": 82}
    assert problems("set_variable", {"variables": {"no name": "x"}}) == [("bad_name", "variables")]


# --- delay ---


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("2 days", timedelta(days=2)),
        ("1 h 30 min", timedelta(minutes=90)),
        ("1 week, 1 day and 2 hours", timedelta(days=8, hours=2)),
        ("0.5 hours", timedelta(minutes=30)),
        ("90", timedelta(seconds=90)),
        (45, timedelta(seconds=45)),
        ("{{input.n}} days", timedelta(days=3)),
    ],
)
def test_a_delay_waits_the_length_it_is_told(text, wait):
    outcome = execute("delay", {"duration": text}, previous={"content": "x"}, input={"n": 3})
    assert outcome == WaitUntil(NOW + wait, {"content": "x"})


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-12-24 09:00", datetime(2026, 12, 24, 9, tzinfo=UTC)),
        ("2026-12-24T09:00:00+01:00", datetime(2026, 12, 24, 8, tzinfo=UTC)),
        ("2026-12-24", datetime(2026, 12, 24, tzinfo=UTC)),
        ("{{input.due}}", datetime(2027, 1, 1, tzinfo=UTC)),
        ("2020-01-01", NOW),
    ],
)
def test_a_delay_waits_until_a_moment(text, at):
    outcome = execute("delay", {"until": text}, previous={"content": "x"}, input={"due": "2027-01-01T00:00Z"})
    assert outcome == WaitUntil(at, {"content": "x"})


@pytest.mark.parametrize("config", [{"duration": "soon"}, {"duration": "5 moons"}, {"until": "tomorrow"}, {}])
def test_a_wait_that_cannot_be_read_is_a_problem_and_an_error(config):
    assert problems("delay", config)
    with pytest.raises(StepError) as caught:
        execute("delay", config, previous={"content": "x"})
    assert caught.value.info.code == "bad_time"


# --- review ---


def test_a_review_asks_what_its_settings_say():
    outcome = execute(
        "review",
        {
            "title": "Is {{input.name}} a customer?",
            "instructions": "Score {{input.score}}",
            "content": "Lead: {{input.name}}",
            "editable": False,
            "assignees": ["ana@example.com", "role:admin", "Reviewer"],
            "quorum": 2,
            "bar_starter": True,
            "due": "2 days",
            "default_decision": "reject",
            "fields": [{"label": "How sure?", "type": "choice", "options": "low, high", "required": True}],
            "approve_label": "Send it",
            "buttons": [{"label": "Ask again"}],
        },
        input=LEAD,
        previous={"content": "x"},
    )
    assert outcome == ReviewRequest(
        title="Is Ana a customer?",
        content={"content": "Lead: Ana"},
        instructions="Score 82",
        editable=False,
        assignees=("user:ana@example.com", "role:admin", "role:reviewer"),
        quorum=2,
        bar_starter=True,
        fields=(
            {
                "name": "how_sure",
                "label": "How sure?",
                "type": "choice",
                "required": True,
                "options": ["low", "high"],
            },
        ),
        buttons=(
            ("approve", "Send it", "approved"),
            ("reject", "Reject", "rejected"),
            ("ask_again", "Ask again", "ask_again"),
        ),
        due_at=NOW + timedelta(days=2),
        default_decision="reject",
    )


def test_a_review_shows_the_output_before_and_is_named_like_its_step():
    outcome = execute("review", {}, previous={"content": "Draft", "score": 3}, label="Review Gate")
    assert isinstance(outcome, ReviewRequest)
    assert (outcome.title, outcome.content) == ("Review Gate", {"content": "Draft", "score": 3})


def test_a_gate_at_the_start_shows_the_input():
    outcome = execute("review", {}, input={"idea": "x"})
    assert isinstance(outcome, ReviewRequest)
    assert outcome.content == {"idea": "x", "content": '{"idea": "x"}'}


def test_in_a_yolo_run_a_gate_approves_itself_and_says_so():
    done = run("review", {}, previous={"content": "Draft"}, yolo=True)
    assert done.port == "approved"
    assert done.output == {
        "content": "Draft",
        "decision": "approve",
        "comment": "",
        "fields": {},
        "original": "Draft",
    }
    assert "YOLO" in done.notes


def test_more_buttons_are_more_ways_out():
    assert ports("review", {}) == ["approved", "rejected"]
    assert ports("review", {"buttons": [{"label": "Later", "port": "later"}]}) == [
        "approved",
        "rejected",
        "later",
    ]


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"assignees": ["nobody"]}, ("bad_assignee", "assignees")),
        ({"assignees": ["a@b.c"], "quorum": 2}, ("bad_quorum", "quorum")),
        ({"default_decision": "approve"}, ("required", "due")),
        ({"default_decision": "maybe", "due": "1 day"}, ("bad_choice", "default_decision")),
        ({"quorum": 0}, ("out_of_range", "quorum")),
        ({"buttons": ["Approve"]}, ("bad_button", "buttons")),
        ({"fields": [{"label": "A", "type": "colour"}]}, ("bad_choice", "form_fields")),
        ({"fields": [{"label": "A", "type": "choice"}]}, ("bad_choice", "form_fields")),
        ({"due": "never"}, ("bad_duration", "due")),
    ],
)
def test_gates_that_nobody_could_decide_are_named(config, problem):
    assert problem in problems("review", config)


def test_the_context_of_tests_is_the_shells():
    assert context("transform", {"expression": "1"}).config == {"expression": "1"}
