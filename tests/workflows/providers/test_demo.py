"""The offline model: the same prompt gives the same labelled text, and every schema its instance."""

import json

import jsonschema_rs
import pytest

from workflows.providers import registry
from workflows.providers.base import ChatAnswer, ChatMessage, ChatRequest
from workflows.providers.chat import chat
from workflows.providers.demo import instance_of

IDEA = "A mobile app that lets neighbours lend garden tools to each other, with deposits and reminders."
PROMPTS = [
    f"Break down this concept.\n\nIdea: {IDEA}",
    f"Gather the research that bears on it.\n\nIdea: {IDEA}",
    f"Add features.\n\nIdea: {IDEA}",
    f"Polish the plan.\n\nIdea: {IDEA}",
    f"Give strategic wisdom.\n\nIdea: {IDEA}",
    f"Write implementation prompts.\n\nIdea: {IDEA}",
    IDEA,
]


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STEPWELL_DEMO_PAUSE_MS", "0")


async def ask(prompt: str, **more) -> tuple[ChatAnswer, list[str]]:
    pieces: list[str] = []
    request = ChatRequest((ChatMessage("user", prompt),), model="demo:writer", **more)
    return await chat(request, on_delta=pieces.append), pieces


@pytest.mark.parametrize("prompt", PROMPTS)
async def test_the_text_is_labelled_streamed_plausible_and_about_the_prompt(prompt):
    answer, pieces = await ask(prompt)
    assert "Demonstration" in answer.text.splitlines()[0]
    assert answer.is_demo
    assert "".join(pieces) == answer.text
    assert len(pieces) > 20
    assert 120 <= len(answer.text.split()) <= 400
    assert IDEA in answer.text
    assert (await ask(prompt))[0].text == answer.text


async def test_another_prompt_gives_another_text():
    texts = {(await ask(prompt))[0].text for prompt in PROMPTS}
    assert len(texts) == len(PROMPTS)


async def test_it_keeps_the_subject_through_a_chain_of_its_own_answers():
    first, _ = await ask(PROMPTS[0])
    second, _ = await ask(f"Polish this.\n\n{first.text}")
    third, _ = await ask(f"Give strategic wisdom.\n\n{second.text}")
    assert IDEA in third.text
    assert third.text.count("Written offline") == 1


async def test_it_costs_nothing_and_counts_tokens():
    answer, _ = await ask("Hello")
    assert answer.price.known
    assert answer.price.amount == 0
    assert answer.usage.estimated
    assert answer.usage.output_tokens > 0


async def test_it_keeps_the_token_limit_and_says_so():
    answer, _ = await ask(PROMPTS[0], max_tokens=20)
    assert answer.finish_reason == "length"
    assert len(answer.text) <= 80


SCHEMAS = [
    {"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}},
    {
        "type": "object",
        "properties": {"n": {"type": "number", "minimum": 0, "maximum": 1}},
        "required": ["n"],
    },
    {"type": "array", "items": {"enum": ["x", "y", "z"]}, "minItems": 2, "uniqueItems": True},
    {"type": "array", "items": {"type": "string"}, "maxItems": 1},
    {
        "type": "object",
        "properties": {"t": {"$ref": "#/$defs/t"}},
        "$defs": {"t": {"type": "string", "maxLength": 5}},
    },
    {"allOf": [{"type": "object", "required": ["a"], "properties": {"a": {"const": 4}}}]},
    {"anyOf": [{"type": "string", "minLength": 200}, {"type": "null"}]},
    {"type": ["string", "null"], "format": "date"},
    {"type": "integer", "exclusiveMinimum": 3, "multipleOf": 5},
    {"type": "object", "required": ["free"]},
    {"type": "object", "properties": {"child": {"$ref": "#"}, "name": {"type": "string"}}},
]


@pytest.mark.parametrize("schema", SCHEMAS)
async def test_an_answer_of_a_schema_is_valid(schema):
    answer, _ = await ask(f"Extract the fields.\n\n{IDEA}", response_schema=schema)
    jsonschema_rs.validator_for(schema).validate(json.loads(answer.text))
    jsonschema_rs.validator_for(schema).validate(instance_of(schema))


async def test_a_category_is_chosen_by_the_text():
    schema = {"type": "object", "properties": {"category": {"enum": ["shipping", "invoice", "other"]}}}
    answer, _ = await ask(
        "Classify it.\n\nThe invoice came twice, please correct the invoice.", response_schema=schema
    )
    assert json.loads(answer.text) == {"category": "invoice"}


def test_it_is_the_last_choice():
    assert registry.all_providers()[-1].name == "demo"
