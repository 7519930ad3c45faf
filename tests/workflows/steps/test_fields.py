"""Settings as people post them and as programs send them: one canonical form for both."""

import pytest
from django.http import QueryDict

from workflows.steps import registry
from workflows.steps.catalog import clean_config, clean_posted
from workflows.steps.fields import parse_duration, value_for_control, value_from_control


def posted(type: str, query: str, old: dict | None = None, prefix: str = ""):
    config, problems = clean_posted(registry.get(type), QueryDict(query), old=old, prefix=prefix)
    return config, [(problem.code, problem.field) for problem in problems]


def test_a_posted_form_says_only_what_differs_from_the_defaults():
    config, problems = posted(
        "llm", "prompt=Hello&model=default&temperature=0.7&max_tokens=100&system_prompt="
    )
    assert config == {"prompt": "Hello", "max_tokens": 100}
    assert problems == []


def test_a_field_that_was_not_sent_keeps_its_value():
    config, _ = posted("llm", "temperature=1", old={"prompt": "Keep me", "max_tokens": 9})
    assert config == {"prompt": "Keep me", "max_tokens": 9, "temperature": 1.0}


def test_a_value_that_cannot_be_read_keeps_the_old_one_and_is_named():
    config, problems = posted("llm", "prompt=x&max_tokens=many", old={"max_tokens": 9})
    assert config == {"prompt": "x", "max_tokens": 9}
    assert problems == [("wrong_type", "max_tokens")]


def test_a_setting_can_be_put_back_to_its_default():
    assert posted("llm", "prompt=x&max_tokens=2000", old={"max_tokens": 9})[0] == {"prompt": "x"}


def test_the_chosen_way_is_kept_even_where_it_is_the_default():
    config, _ = posted("summarize", "length=sentences&sentences=5&share=30")
    assert config == {"length": "sentences", "share": 30}
    assert clean_config(registry.get("summarize"), config)[0] == config


def test_a_number_left_empty_is_none_and_is_kept_as_such():
    config, _ = posted("llm", "prompt=x&temperature=")
    assert config == {"prompt": "x", "temperature": None}


def test_an_unchecked_box_is_off_when_the_form_says_it_was_shown():
    assert posted("clean_text", "fix_letters__shown=1")[0] == {"fix_letters": False}
    assert posted("clean_text", "fix_letters__shown=1&fix_letters=on", old={"fix_letters": False})[0] == {}
    assert posted("clean_text", "html=keep", old={"fix_letters": False})[0] == {
        "fix_letters": False,
        "html": "keep",
    }


def test_the_fields_of_one_card_may_have_a_prefix():
    assert posted("llm", "s_1-prompt=x&prompt=y", prefix="s_1-")[0] == {"prompt": "x"}


def test_rows_of_a_mapping_are_posted_side_by_side():
    query = "variables__name=a&variables__value=1&variables__name=b&variables__value=%7B%7Binput%7D%7D&variables__name=&variables__value="
    assert posted("set_variable", query)[0] == {"variables": {"a": "1", "b": "{{input}}"}}
    assert posted("set_variable", "variables__shown=1", old={"variables": {"a": "1"}}) == (
        {},
        [("required", "variables")],
    )


def test_cases_are_posted_by_their_number():
    query = (
        "cases__0__name=Hot&cases__0__match=any&cases__0__field=input.score&cases__0__operator=greater&cases__0__value=70"
        "&cases__0__field=input.vip&cases__0__operator=equals&cases__0__value=true"
        "&cases__2__name=Rest&cases__2__port=rest&cases__2__expression=true"
    )
    assert posted("condition", query) == (
        {
            "cases": [
                {
                    "name": "Hot",
                    "port": "Hot",
                    "match": "any",
                    "rows": [
                        {"field": "input.score", "operator": "greater", "value": 70},
                        {"field": "input.vip", "operator": "equals", "value": True},
                    ],
                },
                {"name": "Rest", "port": "rest", "expression": "true"},
            ]
        },
        [],
    )


def test_a_condition_is_posted_as_rows_or_as_an_expression():
    rows = "condition__match=all&condition__field=input.a&condition__operator=is_empty&condition__value="
    assert posted("filter", rows)[0] == {
        "condition": {"match": "all", "rows": [{"field": "input.a", "operator": "is_empty", "value": ""}]}
    }
    both = f"{rows}&condition__expression=1+%3C+2&condition__mode=expression"
    assert posted("filter", both)[0] == {"condition": {"expression": "1 < 2"}}


def test_categories_and_review_fields_are_posted_side_by_side():
    query = "categories__name=A&categories__terms=x,+y&categories__name=B&categories__terms="
    assert posted("tag_category", query)[0] == {
        "categories": [{"name": "A", "terms": ["x", "y"]}, {"name": "B", "terms": []}]
    }
    query = "form_fields__label=How+sure&form_fields__type=number&form_fields__required=yes&assignees=ana@example.com%0Aadmin"
    assert posted("review", query)[0] == {
        "form_fields": [{"name": "how_sure", "label": "How sure", "type": "number", "required": True}],
        "assignees": ["user:ana@example.com", "role:admin"],
    }


def test_half_written_json_stays_in_the_draft_and_is_named():
    config, problems = posted("llm", "prompt=x&response_schema=%7B%22type%22")
    assert problems == [("bad_schema", "response_schema")]
    assert config["response_schema"]["$invalid"] == '{"type"'
    assert posted("llm", "prompt=x&response_schema=%7B%22type%22:%22objec%22%7D")[1] == [
        ("bad_schema", "response_schema")
    ]


@pytest.mark.parametrize(
    ("schema", "good"),
    [
        ({"type": "object"}, True),
        ({"$ref": "https://example.com/secret.json"}, False),
        ({"type": "string", "pattern": "(a+)+$"}, True),
        ({"type": "string", "pattern": "("}, False),
        ({"properties": 3}, False),
        ([], None),
        ("[1]", None),
    ],
)
def test_schemas_are_checked_without_fetching_anything(schema, good):
    _, problems = clean_config(registry.get("llm"), {"prompt": "x", "response_schema": schema})
    assert [problem.code for problem in problems] == (
        [] if good else ["wrong_type"] if good is None else ["bad_schema"]
    )


@pytest.mark.parametrize(
    ("type", "config", "field"),
    [
        ("llm", {"prompt": 3}, "prompt"),
        ("llm", {"model": 3}, "model"),
        ("transform", {"expression": 3}, None),
        ("llm", {"prompt": ["a"]}, "prompt"),
        ("llm", {"temperature": "warm"}, "temperature"),
        ("llm", {"temperature": True}, "temperature"),
        ("llm", {"max_tokens": 1.5}, "max_tokens"),
        ("llm", {"max_tokens": float("inf")}, "max_tokens"),
        ("llm", {"input_mapping": "x"}, "input_mapping"),
        ("clean_text", {"fix_letters": "perhaps"}, "fix_letters"),
        ("clean_text", {"fix_letters": 1}, "fix_letters"),
        ("condition", {"cases": [{"rows": "x"}]}, "cases"),
        ("condition", {"cases": [{"whatever": "x"}]}, "cases"),
        ("condition", {"cases": [3]}, "cases"),
        ("filter", {"condition": {"match": "some", "rows": [{"field": "a"}]}}, "condition"),
        ("tag_category", {"categories": [{"terms": []}]}, "categories"),
        ("tag_category", {"categories": [{"name": "A", "terms": [1]}]}, "categories"),
        ("review", {"assignees": {"a": 1}}, "assignees"),
        ("review", {"fields": [{"label": "A", "colour": "x"}]}, "form_fields"),
        ("review", {"editable": None}, None),
    ],
)
def test_wrong_types_are_structure_problems_of_their_field(type, config, field):
    _, problems = clean_config(registry.get(type), config)
    assert [problem.field for problem in problems if problem.code == "wrong_type"] == (
        [field] if field else []
    )


@pytest.mark.parametrize("config", [{"temperature": 3}, {"max_tokens": 0}])
def test_values_out_of_range_may_stand_in_a_draft(config):
    cleaned, problems = clean_config(registry.get("llm"), {"prompt": "x", **config})
    assert [problem.code for problem in problems] == ["out_of_range"]
    assert cleaned == {"prompt": "x", **config}


@pytest.mark.parametrize("value", [70, -1.5, "hot", "70", "true", True, "", 'say "x"'])
def test_a_rows_value_survives_its_control(value):
    assert value_from_control(value_for_control(value)) == value


def test_durations_that_are_none_say_so():
    for text in ("", "soon", "2 moons", "-1 day", "11 years", "9999999999 days"):
        with pytest.raises(ValueError, match=r"\.$"):
            parse_duration(text)
