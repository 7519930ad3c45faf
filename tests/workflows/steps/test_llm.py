"""The model step: what it sends, what it keeps, and what it does not let pass for an answer."""

import asyncio
from dataclasses import replace
from functools import partial

import pytest
from django.http import QueryDict

from tests.support.steps import FakeChat, context, execute, run
from workflows.definition.graph import StepDef
from workflows.definition.library import Library, Parameter, PersonaText, PromptText
from workflows.lib.errors import Fault
from workflows.providers.base import ChatAnswer
from workflows.providers.chat import chat as real_chat
from workflows.providers.errors import ProviderError
from workflows.providers.models import BadModel
from workflows.steps import registry
from workflows.steps.asking import read_json
from workflows.steps.base import StepError
from workflows.steps.catalog import CATALOG, clean_config, clean_posted, model_problems

SCHEMA = {
    "type": "object",
    "required": ["title", "score"],
    "properties": {"title": {"type": "string"}, "score": {"type": "integer"}, "tags": {"type": "array"}},
}
GOOD = '{"title": "Tools", "score": 4, "tags": ["a"]}'


def failure(config: dict, chat: FakeChat, **more) -> StepError:
    with pytest.raises(StepError) as caught:
        execute("llm", config, chat=chat, **more)
    return caught.value


def test_it_sends_the_prompt_with_its_settings():
    chat = FakeChat("Done.")
    run(
        "llm",
        {
            "prompt": "Judge {{input.idea}} after {{previous}}",
            "system_prompt": "You judge for {{input.who}}.",
            "model": "openai/gpt-4o-mini",
            "temperature": 0.2,
            "max_tokens": 50,
        },
        chat=chat,
        input={"idea": "tools", "who": "Ana"},
        previous={"content": "research"},
    )
    (sent,) = chat.requests
    assert [(message.role, message.content) for message in sent.messages] == [
        ("system", "You judge for Ana."),
        ("user", "Judge tools after research"),
    ]
    assert (sent.model, sent.temperature, sent.max_tokens) == ("openai/gpt-4o-mini", 0.2, 50)
    assert sent.idempotency_key == "run-1.s_1.0"


def test_without_settings_it_is_07_and_2000_tokens_and_the_default_model():
    chat = FakeChat("Done.")
    done = run("llm", {"prompt": "Hello"}, chat=chat)
    assert (chat.requests[0].model, chat.requests[0].temperature, chat.requests[0].max_tokens) == (
        None,
        0.7,
        2000,
    )
    assert done.output == {"content": "Done."}
    assert len(done.answers) == 1


def test_the_mapped_inputs_are_inputs_of_the_prompt():
    chat = FakeChat("Done.")
    config = {
        "prompt": "{{inputs.topic}} x{{inputs.n}}",
        "input_mapping": {"topic": "{{input.idea}}", "n": "= 1 + 1"},
    }
    run("llm", config, chat=chat, input={"idea": "tools"}, inputs={"topic": "by path"})
    assert chat.requests[0].messages[0].content == "tools x2"


@pytest.mark.parametrize(
    "text",
    [GOOD, f"```json\n{GOOD}\n```", f"Here you are:\n```\n{GOOD}\n```\nBye", f"Sure: {GOOD} — that is it."],
)
def test_json_bare_fenced_or_among_words_becomes_fields(text):
    done = run("llm", {"prompt": "x", "response_schema": SCHEMA}, chat=FakeChat(text))
    assert done.output == {"content": text, "title": "Tools", "score": 4, "tags": ["a"]}


def test_a_list_is_the_content():
    done = run("llm", {"prompt": "x", "schema": {"type": "array"}}, chat=FakeChat("[1, 2]"))
    assert done.output == {"content": [1, 2]}


@pytest.mark.parametrize(
    ("answer", "code", "retryable"),
    [
        ("no json at all", "invalid_json", True),
        ('{"title": "Tools"}', "invalid_answer", True),
        ('{"title": "Tools", "score": "four"}', "invalid_answer", True),
        ('{"score": NaN}', "invalid_json", True),
        (ChatAnswer('{"title": "To', "p", "m", finish_reason="length"), "invalid_json", False),
        (ChatAnswer("  ", "p", "m"), "empty_answer", True),
        (ChatAnswer("I may not.", "p", "m", finish_reason="refusal"), "refused", False),
    ],
)
def test_what_is_no_valid_answer_fails_with_its_cause(answer, code, retryable):
    error = failure({"prompt": "x", "response_schema": SCHEMA}, FakeChat(answer))
    assert (error.info.code, error.info.retryable) == (code, retryable)


def test_a_fault_of_the_schema_names_the_place():
    error = failure({"prompt": "x", "response_schema": SCHEMA}, FakeChat('{"title": "T", "score": "four"}'))
    assert "score" in error.message
    assert error.info.detail == '{"title": "T", "score": "four"}'


def test_an_answer_cut_at_the_limit_is_flagged():
    done = run("llm", {"prompt": "x"}, chat=FakeChat(ChatAnswer("half", "p", "m", finish_reason="length")))
    assert done.output == {"content": "half", "finish_reason": "length"}
    assert done.notes == "Cut at the token limit"


def test_the_providers_error_is_the_steps_error():
    provider = ProviderError(
        "Busy.", code="rate_limited", retryable=True, retry_after_s=7, detail="slow down", fix="Wait."
    )
    info = failure({"prompt": "x"}, FakeChat(provider)).info
    assert (info.code, info.retryable, info.retry_after_s, info.detail, info.fix) == (
        "rate_limited", True, 7, "slow down", "Wait.",
    )  # fmt: skip
    assert info.fault is Fault.OUTSIDE


def test_an_unknown_model_names_the_field():
    assert failure({"prompt": "x"}, FakeChat(BadModel("No such model."))).info.field == "model"


def test_an_unresolved_reference_asks_no_model():
    chat = FakeChat("never")
    error = failure({"prompt": "About {{input.ide}}"}, chat, input={"idea": "x"})
    assert error.info.field == "prompt"
    assert "input.ide" in error.message
    assert chat.requests == []


def test_a_prompt_that_comes_out_empty_is_an_error():
    assert failure({"prompt": "{{input.x}}"}, FakeChat("x"), input={"x": " "}).info.code == "empty_input"


def test_answers_go_into_variables():
    config = {
        "prompt": "x",
        "response_schema": SCHEMA,
        "output_mapping": {"all": "", "best": "title", "first": "tags[0]"},
    }
    done = run("llm", config, chat=FakeChat(GOOD))
    assert done.variables == {"all": GOOD, "best": "Tools", "first": "a"}
    error = failure({**config, "output_mapping": {"v": "colour"}}, FakeChat(GOOD))
    assert error.info.field == "output_mapping.v"
    assert "title" in (error.info.fix or "")


def test_a_mapping_to_no_field_is_a_problem():
    kind = registry.get("llm")
    step = StepDef(
        "s", "llm", "S", config=clean_config(kind, {"prompt": "x", "output_mapping": {"v": "[["}})[0]
    )
    assert [problem.field for problem in kind.check(step)] == ["output_mapping.v"]


def test_model_output_with_nul_is_refused():
    assert failure({"prompt": "x"}, FakeChat("a\x00b")).info.code == "bad_text"


def test_the_model_is_checked_before_a_run():
    def faults(model: str | None, default: str | None = None) -> list[str | None]:
        step = StepDef("s", "llm", "S", config={"prompt": "x", **({"model": model} if model else {})})
        return [problem.code for problem in model_problems(step, default)]

    assert faults(None) == faults("default") == faults("demo:writer") == []
    assert faults("nobody:gpt") == ["bad_model"]
    assert faults("default", "gpt-4o") == ["bad_model"]
    assert list(model_problems(StepDef("s", "delay", "S", config={"model": "x"}), None)) == []


def test_the_demonstration_answers_the_whole_way(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STEPWELL_DEMO_PAUSE_MS", "0")
    pieces: list[str] = []
    chat = partial(real_chat, default_model="demo:writer", on_delta=pieces.append)
    done = run(
        "llm", {"prompt": "Break down this idea: {{input.idea}}"}, chat=chat, input={"idea": "Lend tools"}
    )
    assert done.output["content"] == "".join(pieces)
    assert "Lend tools" in done.output["content"]
    assert done.notes == "Demonstration text, no model was asked"
    done = run("llm", {"prompt": "Rate it", "response_schema": SCHEMA}, chat=chat, input={})
    assert isinstance(done.output["score"], int)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7),
        ('"x"', "x"),
        ("```\n[1]\n```", [1]),
        ('a {"b": {"c": 1}} d', {"b": {"c": 1}}),
        ("[1, 2] and more", [1, 2]),
    ],
)
def test_json_is_found_in_answers(text, value):
    assert read_json(text) == value


# --- an answer that does not fit is sent back once ------------------------------------------------


def test_an_answer_that_does_not_fit_is_sent_back_once_with_the_validators_words():
    bad = '{"title": "Tools", "score": "four"}'
    chat = FakeChat(bad, GOOD)
    done = run(
        "llm", {"prompt": "Judge", "system_prompt": "You judge.", "response_schema": SCHEMA}, chat=chat
    )
    assert done.output["score"] == 4
    assert len(done.answers) == 2
    assert "Asked once more" in done.notes
    first, second = chat.requests
    assert [message.role for message in second.messages] == ["system", "user", "assistant", "user"]
    assert second.messages[2].content == bad
    assert 'score: "four" is not of type "integer"' in second.messages[3].content
    assert (second.aside, second.temperature, second.response_schema) == (True, 0.0, SCHEMA)
    assert second.idempotency_key == f"{first.idempotency_key}:repair"
    assert "score" in second.facts["repairs"]


def test_a_second_answer_that_does_not_fit_fails_the_step():
    chat = FakeChat("no json", '{"title": "T"}')
    error = failure({"prompt": "x", "response_schema": SCHEMA}, chat)
    assert (error.info.code, len(chat.requests)) == ("invalid_answer", 2)
    assert "once more, in vain" in error.message


def test_a_cut_answer_is_not_sent_back():
    chat = FakeChat(ChatAnswer('{"title": "To', "p", "m", finish_reason="length"))
    assert failure({"prompt": "x", "response_schema": SCHEMA}, chat).info.field == "max_tokens"
    assert len(chat.requests) == 1


@pytest.mark.parametrize(
    ("kind", "config", "good"),
    [
        ("extract", {"text": "Ana, 40", "fields": [{"label": "Name"}]}, '{"name": "Ana"}'),
        ("classify", {"text": "x", "categories": ["a", "b"]}, '{"category": "a"}'),
        (
            "consistency_check",
            {"sources": ["{{input.a}}", "{{input.b}}"]},
            '{"summary": "Fine.", "findings": []}',
        ),
        ("tag_category", {"text": "x", "categories": ["a", "b"], "method": "model"}, '{"category": "b"}'),
        ("extract_keywords", {"text": "the old harbour", "method": "model"}, '{"keywords": ["harbour"]}'),
    ],
)
def test_every_step_with_fields_sends_back_once(kind, config, good):
    chat = FakeChat("Sorry, no JSON today.", f"```json\n{good}\n```")
    done = run(kind, config, chat=chat, input={"a": "one", "b": "two"})
    assert (len(chat.requests), len(done.answers)) == (2, 2)
    assert "Asked once more" in done.notes


# --- the library ----------------------------------------------------------------------------------

LIBRARY = Library(
    prompts=(
        PromptText(
            "Opener",
            3,
            "Write {{ count }} openers about {{topic}}. Polite: {{polite}}.",
            (
                Parameter("topic"),
                Parameter("count", "number", required=False, default=2),
                Parameter("polite", "boolean", required=False, default=True),
            ),
            latest=True,
        ),
    ),
    personas=(PersonaText("Athena", "You are Athena."),),
)


def with_library(config: dict, chat: FakeChat, **scope) -> None:
    made = replace(context("llm", config, chat=chat, **scope), library=LIBRARY)
    asyncio.run(registry.get("llm").execute_async(made))


def test_a_library_prompt_is_filled_and_the_own_prompt_follows_it():
    chat = FakeChat("Done.")
    config = {
        "library_prompt": {"name": "opener", "parameters": {"topic": "{{input.idea}}", "count": "= 1 + 2"}},
        "prompt": "Mind {{input.idea}}.",
        "system_prompt": "Be short.",
        "persona": "athena",
    }
    with_library(config, chat, input={"idea": "wells {{ not read again }}"})
    (sent,) = chat.requests
    assert sent.messages[0].content == "You are Athena.\n\nBe short."
    assert sent.messages[1].content == (
        "Write 3 openers about wells {{ not read again }}. Polite: true.\n\nMind wells {{ not read again }}."
    )
    assert sent.facts == {"prompt": "Opener", "version": 3, "persona": "athena"}


@pytest.mark.parametrize(
    ("config", "code"),
    [
        ({"library_prompt": {"name": "Gone"}}, "unknown_prompt"),
        ({"library_prompt": {"name": "Opener", "version": 2}}, "unknown_prompt"),
        ({"library_prompt": {"name": "Opener"}}, "bad_parameter"),
        (
            {"library_prompt": {"name": "Opener", "parameters": {"topic": "x", "count": "many"}}},
            "bad_parameter",
        ),
        ({"library_prompt": {"name": "Opener", "parameters": {"topic": "{{input.no}}"}}}, "missing_field"),
        ({"prompt": "x", "persona": "Nobody"}, "unknown_persona"),
    ],
)
def test_what_the_library_cannot_give_fails_the_step(config, code):
    with pytest.raises(StepError) as caught:
        with_library(config, FakeChat("x"), input={"idea": "wells"})
    assert caught.value.info.code == code


def test_a_posted_library_prompt_is_read_and_its_references_are_the_steps():
    kind = registry.get("llm")
    posted = QueryDict(
        "library_prompt__name=Opener&library_prompt__version=&library_prompt__parameter=topic"
        "&library_prompt__value={{steps.Plan.content}}&library_prompt__parameter=count&library_prompt__value="
    )
    config, problems = clean_posted(kind, posted)
    assert config == {"library_prompt": {"name": "Opener", "parameters": {"topic": "{{steps.Plan.content}}"}}}
    assert not problems
    step = StepDef("a", "llm", "A", config=config)
    assert list(CATALOG.templates(step)) == [("library_prompt.parameters.topic", "{{steps.Plan.content}}")]
    assert not kind.check(step)
    renamed = CATALOG.rewrite(step, lambda text: text.replace("Plan", "Idea"), lambda text: text)
    assert renamed.config["library_prompt"]["parameters"]["topic"] == "{{steps.Idea.content}}"
    assert clean_config(kind, {"library_prompt": {"name": "x", "version": 0}})[1][0].code == "wrong_type"


def test_a_step_with_neither_prompt_says_so():
    (problem,) = registry.get("llm").check(StepDef("a", "llm", "A", config={"prompt": "  "}))
    assert (problem.code, problem.field) == ("required", "prompt")
