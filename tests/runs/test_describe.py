"""“Describe it”: a model drafts a workflow or changes one; nothing is written before somebody takes it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from runs.engine.statuses import RunStatus
from runs.models import Run, StepRun
from runs.selectors import spent_in_month
from runs.services.describe_workflow import describe_workflow, read_drafted, take_drafted
from tests.runs.support import definition_of, driven, node
from tests.support.factories import World, client_of
from tests.support.fake_openai import FakeOpenAI, Reply
from workflows.lib.clock import utc_now
from workflows.lib.errors import Conflict, Invalid, NotAllowed, NotFound, Stale
from workflows.models import Workflow
from workflows.selectors import visible_workflows
from workflows.services.change_workflow import update_workflow
from workflows.services.create_workflow import create_workflow
from workflows.services.drafts import compile_draft

pytestmark = pytest.mark.django_db(transaction=True)

ANSWER: dict[str, Any] = {
    "name": "Thank people",
    "description": "Answers a message.",
    "explanation": "It thanks whoever writes, and asks a person first.",
    "variables": [{"name": "message", "type": "string", "kind": "input"}],
    "nodes": [
        {"id": "start", "type": "start", "name": "Start"},
        {"id": "thank", "type": "llm", "name": "Thank", "config": {"prompt": "Thank for {{input.message}}"}},
        {"id": "gate", "type": "review", "name": "Look", "config": {"content": "{{steps.Thank.content}}"}},
    ],
    "edges": [
        {"source_node_id": "start", "target_node_id": "thank"},
        {"source_node_id": "thank", "target_node_id": "gate"},
    ],
}


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        yield server


def answered(model: FakeOpenAI, run: Run, *replies: Any) -> Run:
    said = [reply if isinstance(reply, str | Reply) else json.dumps(reply) for reply in replies]
    model.script(*(one if isinstance(one, Reply) else Reply(text=one) for one in said))
    driven(run)
    while run.status == RunStatus.RUNNING:
        # A wait over two seconds is a timer that gives the worker back.
        StepRun.objects.filter(run=run, due_at__isnull=False).update(due_at=utc_now())
        driven(run)
    return run


def test_a_new_workflow_is_drafted_shown_and_taken(world: World, model: FakeOpenAI) -> None:
    client = client_of(world.bob)
    assert client.post("/runs/describe/", {"wish": "Thank {{everybody}} who writes."}).status_code == 302
    run = Run.objects.get()
    assert run.kind == Run.Kind.STEP
    waiting = client.get(f"/runs/describe/{run.pk}/").content.decode()
    assert "The model is writing" in waiting
    run = answered(model, run, ANSWER)
    assert run.status == RunStatus.COMPLETED, run.error
    asked = model.requests[-1].prompt
    assert "Thank {{everybody}} who writes." in asked
    assert "### Ask a model" in asked
    shown = client.get(f"/runs/describe/{run.pk}/").content.decode()
    assert "It thanks whoever writes" in shown
    assert "Make this workflow" in shown
    assert shown.count("Added") >= 3
    assert not visible_workflows(world.tenant).exists()
    assert client.post(f"/runs/describe/{run.pk}/take/", {"act": "take"}).status_code == 302
    made = visible_workflows(world.tenant).get()
    assert made.name == "Thank people"
    assert [step.label for step in compile_draft(made).steps] == ["Start", "Thank", "Look"]
    assert run.cost > 0
    assert spent_in_month(world.tenant.pk, utc_now()) == run.cost


def test_a_draft_is_changed_and_keeps_what_the_model_was_not_told(world: World, model: FakeOpenAI) -> None:
    flow = create_workflow(
        actor=world.bob,
        name="Flow",
        definition=definition_of(
            [
                node("start", "start"),
                node("thank", "llm", name="Thank", config={"prompt": "Thank."}, note="Mine"),
            ],
            "start>thank",
            settings={"default_model": "openai:gpt-4o-mini"},
        ),
    )
    run = describe_workflow(actor=world.bob, wish="Ask a person at the end.", workflow=flow)
    run = answered(model, run, ANSWER)
    assert "Thank." in model.requests[-1].prompt
    assert "Mine" not in model.requests[-1].prompt
    found = read_drafted(actor=world.bob, run=run)
    assert found.comparison is not None
    assert {card.title: card.kind for card in found.comparison.steps} == {"Thank": "changed", "Look": "added"}
    take_drafted(actor=world.bob, run=run)
    now = compile_draft(Workflow.objects.get(pk=flow.pk))
    assert now.by_key["thank"].note == "Mine"
    assert now.settings["default_model"] == "openai:gpt-4o-mini"
    with pytest.raises(Stale):
        take_drafted(actor=world.bob, run=run)
    update_workflow(workflow=flow, actor=world.bob, description="Other")
    assert "has changed since" in client_of(world.bob).get(f"/runs/describe/{run.pk}/").content.decode()


def test_what_is_wrong_is_listed_and_sent_back(world: World, model: FakeOpenAI) -> None:
    bad = {**ANSWER, "nodes": [*ANSWER["nodes"], {"id": "fly", "type": "teleport", "name": "Fly"}]}
    run = answered(model, describe_workflow(actor=world.bob, wish="Fly."), bad)
    client = client_of(world.bob)
    found = read_drafted(actor=world.bob, run=run)
    assert found.definition is None or any(problem.is_error for problem in found.problems)
    shown = client.get(f"/runs/describe/{run.pk}/").content.decode()
    assert "teleport" in shown
    assert "Have it put right" in shown
    client.post(f"/runs/describe/{run.pk}/take/", {"act": "again"})
    again = Run.objects.exclude(pk=run.pk).get()
    again = answered(model, again, ANSWER)
    assert "teleport" in model.requests[-1].prompt
    mended = read_drafted(actor=world.bob, run=again)
    assert mended.definition is not None
    assert mended.problems == ()


def test_an_answer_that_is_no_json_is_asked_for_once_more(world: World, model: FakeOpenAI) -> None:
    run = answered(model, describe_workflow(actor=world.bob, wish="Thank."), "I would love to.", ANSWER)
    assert read_drafted(actor=world.bob, run=run).name == "Thank people"
    assert len(model.requests) == 2


def test_asking_again_asks_the_model_that_was_chosen(world: World, model: FakeOpenAI) -> None:
    run = answered(model, describe_workflow(actor=world.bob, wish="Thank.", model="openai:gpt-4.1"), ANSWER)
    client_of(world.bob).post(f"/runs/describe/{run.pk}/take/", {"act": "again", "wish": "Thank more."})
    again = answered(model, Run.objects.exclude(pk=run.pk).get(), ANSWER)
    assert model.requests[-1].body["model"] == "gpt-4.1"
    assert read_drafted(actor=world.bob, run=again).wish == "Thank more."


def test_a_call_that_fails_says_so_and_there_is_nothing_to_take(world: World, model: FakeOpenAI) -> None:
    refused = Reply(status=401, body={"error": {"message": "Incorrect API key.", "code": "invalid_api_key"}})
    run = answered(model, describe_workflow(actor=world.bob, wish="Thank."), refused)
    assert run.status == RunStatus.FAILED
    shown = client_of(world.bob).get(f"/runs/describe/{run.pk}/").content.decode()
    assert "No draft came" in shown
    with pytest.raises(Conflict):
        take_drafted(actor=world.bob, run=Run.objects.select_related("workflow").get(pk=run.pk))


def test_the_demonstration_drafts_nothing_and_says_what_it_needs(world: World) -> None:
    client = client_of(world.bob)
    assert "This needs a model with a key." in client.get("/runs/describe/").content.decode()
    answer = client.post("/runs/describe/", {"wish": "Thank."})
    assert answer.status_code == 409
    assert "Connect a model with a key first." in answer.content.decode()
    assert not Run.objects.exists()


def test_only_those_who_edit_and_only_in_their_tenant(world: World, model: FakeOpenAI) -> None:
    with pytest.raises(NotAllowed):
        describe_workflow(actor=world.vera, wish="Thank.")
    with pytest.raises(Invalid):
        describe_workflow(actor=world.bob, wish="  ")
    run = describe_workflow(actor=world.bob, wish="Thank.")
    with pytest.raises(NotFound):
        read_drafted(actor=world.charlie, run=run)
    flow = create_workflow(actor=world.charlie, name="Theirs")
    with pytest.raises(NotFound):
        describe_workflow(actor=world.bob, wish="Thank.", workflow=flow)


def _loop() -> dict[str, Any]:
    back = {"source_node_id": "gate", "target_node_id": "thank", "source_output": "approved"}
    return {**ANSWER, "edges": [*ANSWER["edges"], back]}


BROKEN: dict[str, tuple[list[Any], str]] = {
    "no JSON, again and again": (["I would love to."] * 9, "JSON"),
    "no workflow": ([{"name": "x", "explanation": "y", "nodes": [], "edges": []}] * 9, "nodes"),
    "an unknown kind of step": (
        [{**ANSWER, "nodes": [*ANSWER["nodes"], {"id": "fly", "type": "teleport", "name": "Fly"}]}],
        "teleport",
    ),
    "a circle": ([_loop()], "wait for each other"),
    "a path to nowhere": (
        [
            {
                **ANSWER,
                "edges": [*ANSWER["edges"], {"source_node_id": "gate", "target_node_id": "gone"}],
            }
        ],
        "gone",
    ),
    "cut off": ([Reply(text=json.dumps(ANSWER), cut_after=3)] * 9, "broke off"),
    "declined": ([Reply(text="", refusal="I cannot help with that.")] * 9, "declined"),
    "too many requests": (
        [Reply(status=429, headers={"Retry-After": "0"}, body={"error": {"message": "Slow down."}})] * 9,
        "slow down",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_answer_is_told_and_nothing_is_written(world: World, model: FakeOpenAI, name: str) -> None:
    replies, said = BROKEN[name]
    flow = create_workflow(actor=world.bob, name="Mine", definition=definition_of([node("a")], ""))
    before = (flow.revision, compile_draft(flow))
    run = answered(model, describe_workflow(actor=world.bob, wish="Thank.", workflow=flow), *replies)
    client = client_of(world.bob)
    shown = client.get(f"/runs/describe/{run.pk}/").content.decode()
    assert said in shown
    assert "Take it into the draft" not in shown
    client.post(f"/runs/describe/{run.pk}/take/", {"act": "take"})
    flow.refresh_from_db()
    assert (flow.revision, compile_draft(flow)) == before
    assert list(visible_workflows(world.tenant)) == [flow]
