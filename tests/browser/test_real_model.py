"""With a model that answers over HTTP: a workflow described in words is taken or dropped, a step is tested with a sample."""

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.support.axe import axe_violations
from tests.support.fake_openai import FakeOpenAI, Reply
from tests.support.stack import Stack

MODEL = "custom:fake-small"
ANSWER: dict[str, Any] = {
    "name": "Score a lead",
    "explanation": "It scores what a lead wrote, and asks a person before anything leaves.",
    "variables": [{"name": "message", "type": "string", "kind": "input"}],
    "nodes": [
        {"id": "start", "type": "start", "name": "Start"},
        {"id": "tidy", "type": "clean_text", "name": "Tidy", "config": {"text": "{{input.message}}"}},
        {
            "id": "score",
            "type": "llm",
            "name": "Score the fit",
            "config": {
                "model": MODEL,
                "prompt": "Score this from 0 to 100: {{steps.Tidy.content}}",
                "response_schema": {
                    "type": "object",
                    "required": ["score", "reasons"],
                    "properties": {
                        "score": {"type": "number"},
                        "reasons": {"type": "array", "items": {"type": "string"}},
                    },
                },
            },
        },
    ],
    "edges": [
        {"source_node_id": "start", "target_node_id": "tidy"},
        {"source_node_id": "tidy", "target_node_id": "score"},
    ],
}
SCORED: dict[str, Any] = {"score": 82, "reasons": ["140 shipments a month", "Asks for weekly lanes"]}


@pytest.fixture
def own_page(page: Page, stack: Stack) -> Page:
    page.goto(stack.sign_in_link_for("hanna@demo.example"))
    page.locator("main button").first.click()
    page.wait_for_url("**/workflows/")
    return page


def ask(page: Page, wish: str) -> None:
    page.get_by_label("What should it do?").fill(wish)
    page.get_by_role("combobox", name=re.compile("^Model")).fill(MODEL)
    page.get_by_role("button", name="Draft it").click()


def test_describe_take_test_with_a_sample_and_drop_a_change(own_page: Page, model_server: FakeOpenAI) -> None:
    page, model = own_page, model_server
    # A broken answer says what is wrong; in other words it is asked once more, and a person takes what comes.
    loop = {"source_node_id": "score", "target_node_id": "tidy"}
    model.when(
        "Reference of the step types", Reply(text=json.dumps({**ANSWER, "edges": [*ANSWER["edges"], loop]}))
    )
    model.when("Score a lead, politely", Reply(text=json.dumps(ANSWER)))
    page.goto("/runs/describe/")
    ask(page, "Score a lead.")
    expect(page.get_by_role("heading", name="The answer is no workflow yet")).to_be_visible(timeout=30_000)
    expect(page.locator("#described")).to_contain_text("wait for each other")
    assert axe_violations(page) == []
    page.get_by_label("What should it do?").fill("Score a lead, politely.")
    page.get_by_role("button", name="Draft it anew").click()
    expect(page.get_by_role("heading", name="Score a lead")).to_be_visible(timeout=30_000)
    expect(page.locator("#described")).to_contain_text("Cost")
    assert axe_violations(page) == []
    page.get_by_role("button", name="Make this workflow").click()
    page.wait_for_url(re.compile(r"/workflows/[0-9a-f-]{36}/$"))
    address = page.url
    expect(page.locator("#flow [data-step]")).to_have_count(2)

    # The step with a model is tested with an input that becomes a sample.
    model.when("Score this from 0 to 100", Reply(text=json.dumps(SCORED)))
    page.get_by_role("button", name="Test Score the fit").click()
    form = page.locator("#steptest-form")
    form.get_by_label("Input of the run as JSON").fill('{"message": "Weekly reefer lanes, 140 a month"}')
    form.get_by_label("Save it as a sample").fill("Halden Cold Chain")
    form.get_by_label("Save it as a sample").press("Enter")
    expect(form.get_by_label("Test with")).to_have_value(re.compile("^sample:"))
    form.get_by_role("button", name="Test", exact=True).click()
    result = page.locator("#steptest-result")
    expect(result.get_by_text("Passed")).to_be_visible(timeout=30_000)
    expect(result.locator("dl.fields dt")).to_have_text(["score", "reasons"])
    expect(result.locator("dl.fields li")).to_have_text(SCORED["reasons"])
    expect(result.locator(".sentprompt").first).to_contain_text("Weekly reefer lanes, 140 a month")
    expect(result.get_by_role("button", name="Copy")).to_be_visible()
    expect(page.locator("#lasttest-score")).to_contain_text(re.compile(r"\d (ms|s)"))
    expect(page.locator("#lasttest-tidy")).to_contain_text(re.compile(r"\d (ms|s)"))
    assert axe_violations(page) == []

    # Once more: only this step is asked. The provider's trouble is told in words.
    expect(form).to_contain_text("Test asks only this step")
    model.when(
        "Score this from 0 to 100", Reply(status=401, body={"error": {"message": "Incorrect API key."}})
    )
    form.get_by_role("button", name="Test", exact=True).click()
    expect(result.locator(".note--bad").first).to_contain_text("does not accept the key", timeout=30_000)

    # A change in words, dropped: the draft is as it was.
    more = {**ANSWER, "nodes": [*ANSWER["nodes"], {"id": "gate", "type": "review", "name": "Look at it"}]}
    more["edges"] = [*ANSWER["edges"], {"source_node_id": "score", "target_node_id": "gate"}]
    model.when("Let a person look", Reply(text=json.dumps(more)))
    page.get_by_role("button", name=re.compile("^More: versions")).click()
    page.get_by_role("link", name="Change it in words").click()
    ask(page, "Let a person look at it.")
    expect(page.get_by_role("button", name="Take it into the draft")).to_be_visible(timeout=30_000)
    expect(page.locator("#described")).to_contain_text("Look at it")
    page.get_by_role("link", name="Drop it").click()
    page.wait_for_url(address)
    expect(page.locator("#flow [data-step]")).to_have_count(2)


def test_samples_are_kept_removed_and_brought_back(own_page: Page, stack: Stack) -> None:
    page = own_page
    page.goto("/workflows/?q=Text+pipeline")
    page.get_by_role("link", name="Text pipeline", exact=True).first.click()
    page.wait_for_url(re.compile(r"/workflows/[0-9a-f-]{36}/$"))
    address = page.url
    page.locator("#topbar-run, .topbar a.btn").filter(has_text="Run").first.click()
    dialog = page.locator("#start-run")
    # A workflow of a template brings sample data; it is what the first run is filled in with.
    expect(dialog.get_by_label("Fill in with")).to_have_text(re.compile("Sample data"))
    expect(dialog.get_by_label("Text")).to_have_value(re.compile("Rivers of the north"))
    dialog.get_by_label("Text").fill("Something of my own.")
    dialog.get_by_text("Save as a sample").click()
    dialog.get_by_role("textbox", name="Name").fill("My own")
    dialog.get_by_role("textbox", name="Name").press("Enter")
    expect(page.get_by_text("“My own” is kept as a sample.")).to_be_visible()
    dialog.get_by_label("Fill in with").select_option(label="Sample data")
    expect(dialog.get_by_label("Text")).to_have_value(re.compile("Rivers of the north"))
    assert axe_violations(page) == []
    page.goto(f"{address}samples/")
    page.get_by_role("button", name="Remove My own").click()
    expect(page.get_by_role("heading", name="My own")).to_have_count(0)
    page.locator(".toast").get_by_role("button", name="Undo").click()
    expect(page.get_by_role("heading", name="My own")).to_be_visible()
    assert axe_violations(page) == []
