"""Steps that work on the outputs of many: synthesis, consistency check, implementation prompts, parallel."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.http import QueryDict

from tests.support.steps import FakeChat, execute, run
from workflows.definition.graph import StepDef
from workflows.providers.base import ChatAnswer, ChatRequest
from workflows.providers.demo import Demo
from workflows.steps import registry
from workflows.steps.base import OpenItems, StepError
from workflows.steps.catalog import CATALOG, clean_config, clean_posted
from workflows.steps.fan_out import FanOutStep

ONE = {"content": "The pump costs 400 euros."}
TWO = {"content": "The pump costs 900 euros."}
ARRIVED = (("Offer", ONE), ("Plan", TWO))
GROUP = {
    "content": "## Ana\n\nDraws.\n\n## Ben\n\nCodes.",
    "items": [{"content": "Draws.", "heading": "Ana"}, {"content": "Codes.", "heading": "Ben"}],
    "count": 2,
    "failed": 0,
}


def sent(chat: FakeChat) -> str:
    return chat.requests[-1].messages[-1].content


def cleaned(type: str, config: dict[str, Any]) -> dict[str, Any]:
    return clean_config(registry.get(type), config)[0]


def answer(*findings: tuple[str, str, str]) -> str:
    names = ("severity", "where", "what")
    return json.dumps(
        {"summary": "Read.", "findings": [dict(zip(names, one, strict=True)) for one in findings]}
    )


# --- synthesis ---


def test_a_synthesis_is_made_of_everything_that_arrived():
    chat = FakeChat("Both are about the pump.")
    done = run("synthesis", previous=dict(ARRIVED), arrived=ARRIVED, chat=chat)
    assert done.output == {"content": "Both are about the pump.", "sources": ["Offer", "Plan"]}
    assert done.notes == "Made of 2 outputs"
    assert '<output name="Offer">\nThe pump costs 400 euros.\n</output>' in sent(chat)
    assert sent(chat).index("400") < sent(chat).index("900")


def test_the_items_of_a_container_are_among_them():
    chat = FakeChat("A team.")
    done = run("synthesis", previous=GROUP, arrived=(("Team", GROUP),), chat=chat)
    assert done.notes == "Made of 1 output, with 2 items"
    assert "## Ana\n\nDraws." in sent(chat)


def test_only_the_outputs_that_are_named_go_in_and_labels_alone_will_do():
    chat = FakeChat("One.")
    listed = ["Team", "{{steps.Plan.content}}", "{{steps.Team.items}}"]
    steps = {"Plan": TWO, "Team": GROUP, "Offer": ONE}
    done = run(
        "synthesis", {"sources": listed}, previous=ONE, arrived=(("Offer", ONE),), steps=steps, chat=chat
    )
    assert done.output["sources"] == ["Team", "Plan", "Team"]
    assert "400" not in sent(chat)
    assert "## Ben\n\nCodes." in sent(chat)
    assert cleaned("synthesis", {"sources": ["Plan"]})["sources"] == ["{{steps.Plan}}"]


def test_named_outputs_are_checked_and_renamed_like_any_text():
    step = StepDef("s", "synthesis", "S", config=cleaned("synthesis", {"sources": ["{{steps.Old.content}}"]}))
    assert ("sources[0]", "{{steps.Old.content}}") in list(CATALOG.templates(step))
    changed = CATALOG.rewrite(step, lambda text: text.replace("Old", "New"), lambda text: text)
    assert changed.config["sources"] == ["{{steps.New.content}}"]


@pytest.mark.parametrize("type", ["synthesis", "consistency_check"])
def test_nothing_to_work_on_is_an_error_that_names_the_field(type: str):
    with pytest.raises(StepError) as caught:
        execute(type, previous={"content": " "}, arrived=(("A", {"content": ""}),), chat=FakeChat("x"))
    assert (caught.value.info.code, caught.value.info.field) == ("empty_input", "sources")


# --- consistency check ---


def test_a_check_asks_for_findings_and_gives_them_worst_first():
    chat = FakeChat(answer(("low", "Plan", "A word."), ("high", "Offer and Plan", "400 against 900 euros.")))
    done = run("consistency_check", {"rules": ["Amounts are in euros."]}, arrived=ARRIVED, chat=chat)
    assert done.output["passed"] is False
    assert [finding["severity"] for finding in done.output["findings"]] == ["high", "low"]
    assert done.output["content"].startswith("**Not passed.** Read.")
    assert "- **High**, Offer and Plan: 400 against 900 euros." in done.output["content"]
    assert (done.port, done.notes) == ("out", "Not passed: 2 findings in 2 outputs")
    assert "Rules:\n1. Amounts are in euros." in sent(chat)
    assert chat.requests[0].response_schema is not None
    assert chat.requests[0].temperature == 0


def test_no_finding_passes():
    done = run("consistency_check", arrived=ARRIVED, chat=FakeChat(answer()))
    assert done.output["passed"] is True
    assert "Nothing was found." in done.output["content"]


@pytest.mark.parametrize(
    ("fails_at", "severity", "passed"),
    [("high", "medium", True), ("medium", "medium", False), ("medium", "low", True), ("low", "low", False)],
)
def test_the_setting_says_which_finding_is_too_bad(fails_at: str, severity: str, passed: bool):
    chat = FakeChat(answer((severity, "Plan", "Something.")))
    done = run("consistency_check", {"fails_at": fails_at, "route": True}, arrived=ARRIVED, chat=chat)
    assert done.output["passed"] is passed
    assert done.port == ("passed" if passed else "failed")


def test_the_ways_out_are_there_only_when_asked_for():
    def ports(config: dict[str, Any]) -> tuple[str, ...]:
        return CATALOG.ports(
            StepDef("s", "consistency_check", "S", config=cleaned("consistency_check", config))
        )

    assert ports({}) == ("out",)
    assert ports({"route": True}) == ("passed", "failed")


@pytest.mark.parametrize("text", ["All is well.", '{"summary": "x", "findings": [{"severity": "awful"}]}'])
def test_an_answer_of_another_shape_is_an_error_that_may_be_tried_again(text: str):
    with pytest.raises(StepError) as caught:
        execute("consistency_check", arrived=ARRIVED, chat=FakeChat(text))
    assert caught.value.info.retryable


@pytest.mark.parametrize("type", ["synthesis", "consistency_check"])
def test_the_demonstration_gives_a_labelled_answer_of_the_right_shape(
    type: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("STEPWELL_DEMO_PAUSE_MS", "0")

    async def chat(request: ChatRequest) -> ChatAnswer:
        return await Demo().chat(request, model="writer", account=None, on_delta=lambda delta: None)

    done = run(type, arrived=ARRIVED, chat=chat)
    assert "emonstration" in done.output["content"]
    assert "Demonstration text" in done.notes


# --- implementation prompts ---


def opened(config: dict[str, Any], **more: Any) -> OpenItems:
    found = execute("implementation_prompts", config, **more)
    assert isinstance(found, OpenItems)
    return found


def test_a_plan_becomes_items_with_heading_and_content():
    plan = "1. **Data model**: tables\n   with keys\n2. Screens"
    found = opened({}, previous={"content": plan})
    assert [item.heading for item in found.items] == ["Data model", "Screens"]
    assert found.items[0].value == {"heading": "Data model", "content": "**Data model**: tables\nwith keys"}
    assert (found.concurrency, found.keeps_headings, found.notes) == (5, True, "2 items")


def test_the_items_of_a_container_keep_their_headings_and_fields():
    found = opened({"plan": "{{steps.Team.items}}"}, previous={"content": ""}, steps={"Team": GROUP})
    assert [item.heading for item in found.items] == ["Ana", "Ben"]
    rows = [{"name": "Search", "effort": 3}, "Mobile"]
    found = opened(
        {"plan": "{{input.rows}}", "heading": "Build {{index}}"}, previous={}, input={"rows": rows}
    )
    assert [item.heading for item in found.items] == ["Build 0", "Build 1"]
    assert found.items[0].value["effort"] == 3
    assert "Search" in found.items[0].value["content"]


def test_an_empty_plan_is_said():
    assert "no items" in opened({}, previous={"content": ""}).notes


def test_the_hidden_step_asks_with_the_instructions_the_item_and_the_background():
    config = cleaned(
        "implementation_prompts",
        {"instructions": "Write a task.", "background": "{{steps.Idea}}", "model": "demo:writer"},
    )
    step = StepDef("s", "implementation_prompts", "Prompts", config=config)
    body = CATALOG.own_body(step)
    assert body is not None
    assert CATALOG.has_own_body(step)
    assert (body.key, body.type, body.parent, body.generated) == ("s-item", "llm", "s", True)
    prompt = body.config["prompt"]
    assert prompt.startswith("Write a task.")
    assert prompt.endswith("Background:\n{{steps.Idea}}")
    assert "{{item.heading}}\n\n{{item.content}}" in prompt
    assert body.config["model"] == "demo:writer"
    assert clean_config(registry.get("llm"), body.config)[1] == ()


def test_its_number_of_failures_is_checked_like_that_of_a_for_each():
    step = StepDef("s", "implementation_prompts", "P", config={"tolerated": "some"})
    assert [problem.field for problem in CATALOG.check(step)] == ["tolerated"]
    assert [problem.field for problem in FanOutStep().check(step)] == ["tolerated"]


# --- parallel ---


def test_a_parallel_has_a_way_out_for_each_branch():
    kind = registry.get("parallel")
    assert [port.name for port in kind.ports({})] == ["Branch A", "Branch B"]
    config = cleaned("parallel", {"branches": ["Fit", {"name": "What they need", "port": "need"}]})
    assert [(port.name, port.label) for port in kind.ports(config)] == [
        ("Fit", "Fit"),
        ("need", "What they need"),
    ]
    assert kind.summary(config) == "2 branches at the same time: Fit, What they need"


@pytest.mark.parametrize(
    ("branches", "said"),
    [
        (["a", "a"], "two branches are named “a”"),
        (["error"], "no branch may be named “error”"),
        ([{"name": "a", "port": "*"}], "no branch may be named “*”"),
        ([{"input": "{{input.x}}"}], "branch 1 has no name"),
    ],
)
def test_branches_that_cannot_be_told_apart_are_refused(branches: list[Any], said: str):
    _, problems = clean_config(registry.get("parallel"), {"branches": branches})
    assert said in problems[0].message


def test_the_builders_form_gives_the_same_branches():
    kind = registry.get("parallel")
    posted = QueryDict(mutable=True)
    posted["branches__shown"] = "1"
    posted.setlist("branches__name", ["Renamed", "", "New"])
    posted.setlist("branches__port", ["fit", "", ""])
    posted.setlist("branches__input", ["{{input.x}}", "", ""])
    config, problems = clean_posted(kind, posted)
    assert problems == ()
    assert config["branches"] == [
        {"name": "Renamed", "port": "fit", "input": "{{input.x}}"},
        {"name": "New", "port": "New"},
    ]


def test_the_inputs_of_branches_are_texts_that_are_checked_and_renamed():
    config = cleaned("parallel", {"branches": [{"name": "a"}, {"name": "b", "input": "{{steps.Old}}"}]})
    step = StepDef("s", "parallel", "P", config=config)
    assert list(CATALOG.templates(step)) == [("branches[1].input", "{{steps.Old}}")]
    changed = CATALOG.rewrite(step, lambda text: text.replace("Old", "New"), lambda text: text)
    assert changed.config["branches"] == [
        {"name": "a", "port": "a"},
        {"name": "b", "port": "b", "input": "{{steps.New}}"},
    ]


def test_a_fault_in_a_branchs_input_names_the_branch():
    with pytest.raises(StepError) as caught:
        execute(
            "parallel", {"branches": ["a", {"name": "b", "input": "{{input.gone}}"}]}, previous=ONE, input={}
        )
    assert caught.value.info.field == "branches[1].input"


# --- short versions ---

LONG = "The old well stands behind the school. " * 40


@pytest.mark.parametrize(("type", "config"), [("llm", {"prompt": "Tell."}), ("synthesis", {})])
def test_a_long_answer_has_a_short_version_when_asked_for(type: str, config: dict[str, Any]):
    chat = FakeChat(LONG, "A well behind a school.")
    done = run(type, {**config, "digest": True}, previous=ONE, arrived=ARRIVED, chat=chat)
    assert (done.output["content"], done.output["digest"]) == (LONG, "A well behind a school.")
    assert len(done.answers) == 2
    assert [request.aside for request in chat.requests] == [False, True], "it is not streamed to the page"
    assert chat.requests[0].idempotency_key != chat.requests[1].idempotency_key
    assert "digest" in dict(registry.get(type).output_fields({"digest": True}))
    assert "digest" not in run(type, config, previous=ONE, arrived=ARRIVED, chat=FakeChat(LONG)).output


def test_a_short_answer_is_its_own_short_version():
    chat = FakeChat("Short.")
    assert run("llm", {"prompt": "Tell.", "digest": True}, chat=chat).output["digest"] == "Short."
    assert len(chat.requests) == 1


def test_an_answer_is_kept_when_its_short_version_cannot_be_had():
    chat = FakeChat(LONG, StepError("The model is busy.", code="rate_limited", retryable=True))
    done = run("llm", {"prompt": "Tell.", "digest": True}, chat=chat)
    assert done.output["content"] == LONG
    assert done.output["digest"].startswith("The old well stands behind the school.")
    assert len(done.output["digest"]) < 300
    assert done.notes == "The short version is its first sentences: The model is busy."
