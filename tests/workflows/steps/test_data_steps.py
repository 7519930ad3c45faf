"""Parse, validate, extract and classify: what they read, what they give, and how they say no."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.support.steps import FakeChat, context, execute, run
from workflows.definition.graph import StepDef
from workflows.providers.base import ChatAnswer, ChatRequest
from workflows.providers.chat import chat
from workflows.steps import registry
from workflows.steps.base import Completed, StepError
from workflows.steps.catalog import clean_config

CSV = "name;price\nPump;1.200,50\n\nLamp;80\n"
LIST = """\
Here is the plan:

1. Dig the well
   - with shovels
   - not with spoons
2. **Buy** the pump
   and pay for it
3. [x] Lower it

That is all.
"""


def fault(type: str, config: dict[str, Any], **more: Any) -> StepError:
    with pytest.raises(StepError) as caught:
        execute(type, config, **more)
    return caught.value


# --- parse ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, 2]}', {"a": [1, 2]}),
        ('Sure:\n```json\n[{"a": 1}]\n```\nThere.', [{"a": 1}]),
        ("The numbers are [1, 2, 3].", [1, 2, 3]),
        ("12.5", 12.5),
    ],
)
def test_json_is_read_bare_fenced_or_between_words(text: str, value: Any):
    output = run("parse", previous={"content": text}).output
    assert output["content"] == value
    assert output.get("items") == (value if isinstance(value, list) else None)


@pytest.mark.parametrize("text", ["no json", '{"a": ', '{"a": NaN}'])
def test_what_is_no_json_is_an_error(text: str):
    error = fault("parse", {}, previous={"content": text})
    assert (error.code, error.info.field) == ("invalid_json", "text")


def test_a_table_becomes_objects_by_its_first_row():
    outcome = run("parse", {"format": "csv"}, previous={"content": CSV})
    assert outcome.output["content"] == [
        {"name": "Pump", "price": "1.200,50"},
        {"name": "Lamp", "price": "80"},
    ]
    assert outcome.output["count"] == 2
    assert outcome.notes == "2 entries"


def test_a_table_without_names_becomes_lists():
    found = run("parse", {"format": "csv", "header": False}, previous={"content": '\ufeffa,b\r\n1,"x,y"\r\n'})
    assert found.output["items"] == [["a", "b"], ["1", "x,y"]]


def test_columns_get_names_of_their_own_and_short_rows_are_filled():
    found = run("parse", {"format": "csv"}, previous={"content": "a,,a\n1,2\n"})
    assert found.output["items"] == [{"a": "1", "column_2": "2", "a_2": ""}]


def test_a_row_with_too_many_cells_is_named():
    error = fault("parse", {"format": "csv", "separator": "comma"}, previous={"content": "a,b\n1,2\n1,2,3\n"})
    assert error.code == "bad_csv"
    assert "Row 3 has 3 cells" in error.message


def test_a_list_keeps_what_is_indented_below_its_entries():
    found = run("parse", {"format": "markdown_list"}, previous={"content": LIST})
    assert found.output["items"] == [
        "Dig the well\n- with shovels\n- not with spoons",
        "**Buy** the pump\nand pay for it",
        "Lower it",
    ]
    assert found.output["count"] == 3


def test_code_in_an_entry_is_no_list():
    text = "- One\n  ```\n  - not an entry\n  ```\n- Two"
    found = run("parse", {"format": "markdown_list"}, previous={"content": text})
    assert found.output["items"] == ["One\n```\n- not an entry\n```", "Two"]


def test_lines_leave_out_the_empty_ones():
    assert run("parse", {"format": "lines"}, previous={"content": " a \n\n b\n"}).output["items"] == [
        "a",
        "b",
    ]


@pytest.mark.parametrize("format", ["csv", "markdown_list"])
def test_a_text_without_entries_is_an_error(format: str):
    assert fault("parse", {"format": format}, previous={"content": "nothing"}).code == "empty_list"


def test_an_empty_json_list_is_said_not_passed_on():
    assert fault("parse", {}, previous={"content": "[]"}).code == "empty_list"


# --- validate -------------------------------------------------------------------------------------

PERSON = {"type": "object", "required": ["name"], "properties": {"age": {"type": "integer", "minimum": 0}}}


@pytest.mark.parametrize(
    ("previous", "port", "said"),
    [
        ({"content": '{"name": "Ann", "age": 3}'}, "valid", None),
        ({"content": {"name": "Ann"}}, "valid", None),
        ({"content": "Ann is three.", "name": "Ann", "age": 3}, "valid", None),
        ({"content": '```json\n{"name": "Ann"}\n```'}, "valid", None),
        ({"content": '{"age": -1}'}, "invalid", "age"),
        ({"content": "Ann [3]"}, "invalid", "object"),
        ({"content": [1]}, "invalid", "object"),
    ],
)
def test_data_takes_the_path_of_its_shape(previous: Any, port: str, said: str | None):
    outcome = run("validate", {"schema": PERSON}, previous=previous)
    assert outcome.port == port
    assert outcome.output["valid"] == (port == "valid")
    assert bool(outcome.output["faults"]) == (port == "invalid")
    if said:
        assert said in " ".join(outcome.output["faults"])


def test_data_that_does_not_fit_fails_the_step_where_it_must():
    config = {"schema": PERSON, "on_invalid": "fail"}
    error = fault("validate", config, previous={"content": {"age": "x"}})
    assert (error.code, error.info.retryable) == ("invalid_data", False)
    assert "age" in error.message
    assert run("validate", config, previous={"content": {"name": "Ann"}}).port == "out"
    assert [port.name for port in registry.get("validate").ports(config)] == ["out"]


def test_a_value_of_the_data_is_checked_with_its_type():
    outcome = run("validate", {"value": "{{input.order}}", "schema": PERSON}, input={"order": {"name": "A"}})
    assert outcome.output["content"] == {"name": "A"}


def test_a_schema_that_is_none_is_told_in_the_editor():
    for config in ({}, {"schema": {"type": "nothing"}}):
        _, problems = clean_config(registry.get("validate"), config)
        assert [problem.field for problem in problems] == ["schema"]


# --- extract --------------------------------------------------------------------------------------

FIELDS = [
    {"name": "firm", "label": "Firm", "type": "text", "required": True},
    {"name": "price", "label": "Price", "type": "number"},
    {"name": "kind", "label": "Kind", "type": "choice", "options": ["offer", "bill"]},
    {"name": "due", "label": "Due", "type": "date", "help": "when it is to be paid"},
]
LETTER = "Well & Sons offer to mend the pump."


def test_facts_come_as_fields():
    answer = '{"firm": "Well & Sons", "price": null, "kind": "offer", "due": null}'
    model = FakeChat(answer)
    outcome = run("extract", {"fields": FIELDS}, previous={"content": LETTER}, chat=model)
    assert {name: outcome.output[name] for name in ("firm", "price", "kind", "due")} == json.loads(answer)
    assert json.loads(outcome.output["content"]) == json.loads(answer)
    assert outcome.notes == "Not in the text: price, due"
    (asked,) = model.requests
    assert asked.temperature == 0
    assert asked.response_schema == {
        "type": "object",
        "properties": {
            "firm": {"type": "string", "description": "Firm"},
            "price": {"type": ["number", "null"], "description": "Price"},
            "kind": {"type": ["string", "null"], "enum": ["offer", "bill", None], "description": "Kind"},
            "due": {
                "type": ["string", "null"],
                "format": "date",
                "description": "Due: when it is to be paid",
            },
        },
        "required": ["firm", "price", "kind", "due"],
        "additionalProperties": False,
    }
    assert LETTER in asked.messages[-1].content
    assert "- due: Due: when it is to be paid" in asked.messages[-1].content


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("I cannot say.", "invalid_json"),
        ('{"firm": 3, "price": null, "kind": null, "due": null}', "invalid_answer"),
        ('{"firm": "x"}', "invalid_answer"),
    ],
)
def test_an_answer_that_does_not_fit_is_tried_again_never_taken(answer: str, code: str):
    error = fault("extract", {"fields": FIELDS}, previous={"content": LETTER}, chat=FakeChat(answer))
    assert (error.code, error.info.retryable) == (code, True)


def test_a_schema_of_ones_own_holds_instead_of_fields():
    schema = {"type": "object", "properties": {"parts": {"type": "array", "items": {"type": "string"}}}}
    outcome = run(
        "extract",
        {"response_schema": schema},
        previous={"content": LETTER},
        chat=FakeChat('{"parts": ["pump"]}'),
    )
    assert outcome.output["parts"] == ["pump"]
    assert registry.get("extract").output_fields({"response_schema": schema})[1] == ("parts", "array")


def test_fields_must_be_listed_and_a_schema_must_be_an_object():
    kind = registry.get("extract")
    (problem,) = kind.check(StepDef("s", "extract", "S"))
    assert problem.field == "fields"
    (problem,) = kind.check(StepDef("s", "extract", "S", config={"response_schema": {"type": "array"}}))
    assert problem.field == "response_schema"


# --- classify -------------------------------------------------------------------------------------

KINDS = [{"name": "Bill", "terms": ["money is owed"]}, {"name": "Offer", "terms": []}]


def test_a_text_gets_one_category_and_its_path():
    model = FakeChat('{"category": "Offer"}')
    config = {"categories": KINDS, "branch": True, "instructions": "A price alone is an offer."}
    outcome = run("classify", config, previous={"content": LETTER}, chat=model)
    assert outcome.output == {"content": "Offer", "category": "Offer"}
    assert outcome.port == "Offer"
    prompt = model.requests[0].messages[-1].content
    assert "- Bill: money is owed" in prompt
    assert "A price alone is an offer." in prompt
    assert model.requests[0].response_schema["properties"]["category"]["enum"] == ["Bill", "Offer"]
    assert [port.name for port in registry.get("classify").ports(config)] == ["Bill", "Offer"]


def test_none_of_these_is_an_answer_where_it_may_be():
    config = {"categories": KINDS, "branch": True, "allow_none": True}
    outcome = run("classify", config, previous={"content": LETTER}, chat=FakeChat('{"category": "none"}'))
    assert (outcome.port, outcome.output["category"]) == ("none", None)
    assert [port.name for port in registry.get("classify").ports(config)] == ["Bill", "Offer", "none"]


def test_without_paths_the_category_is_only_in_the_data():
    outcome = run(
        "classify", {"categories": KINDS}, previous={"content": LETTER}, chat=FakeChat('{"category": "Bill"}')
    )
    assert outcome.port == "out"
    assert [port.name for port in registry.get("classify").ports({"categories": KINDS})] == ["out"]


def test_a_reason_is_kept_with_the_category():
    model = FakeChat('{"reason": "It names a price.", "category": "Offer"}')
    outcome = run("classify", {"categories": KINDS, "reason": True}, previous={"content": LETTER}, chat=model)
    assert outcome.output["reason"] == "It names a price."


def test_a_category_that_was_not_offered_is_an_error():
    error = fault(
        "classify", {"categories": KINDS}, previous={"content": LETTER}, chat=FakeChat('{"category": "Fire"}')
    )
    assert (error.code, error.info.retryable) == ("invalid_answer", True)


@pytest.mark.parametrize("name", ["error", "None", "out"])
def test_a_category_with_a_path_may_not_be_named_like_another_way_out(name: str):
    config = {"categories": [{"name": name, "terms": []}, *KINDS], "branch": True}
    kind = registry.get("classify")
    assert "may not be named" in kind.check(StepDef("s", "classify", "S", config=config))[0].message
    assert "error" not in [port.name for port in kind.ports(config)]


# --- the demonstration ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type", "config"),
    [
        ("extract", {"fields": FIELDS}),
        ("classify", {"categories": KINDS, "branch": True, "reason": True}),
        ("classify", {"categories": KINDS, "allow_none": True}),
    ],
)
def test_the_demo_provider_answers_them(type: str, config: dict[str, Any]):
    async def ask(request: ChatRequest) -> ChatAnswer:
        return await chat(request, default_model="demo:writer", on_delta=lambda text: None)

    given = context(type, config, previous={"content": LETTER}, chat=ask)
    outcome = asyncio.run(_executed(type, given))
    assert isinstance(outcome, Completed)
    assert "Demonstration" in outcome.notes
    assert outcome.output["content"]


async def _executed(type: str, given: Any) -> Any:
    return await registry.get(type).execute_async(given)
