"""Runs whose steps use the library, mapped inputs and variables: what is sent, what is kept, what stays as it was."""

from __future__ import annotations

from typing import Any

import pytest

from runs.engine.statuses import RunStatus
from runs.models import Attempt
from runs.services.start_run import start_run
from tests.runs.support import definition_of, driven, node, rows
from tests.support.factories import World
from workflows.services.change_persona import save_persona
from workflows.services.change_prompt import create_prompt, new_version
from workflows.services.create_workflow import create_workflow
from workflows.services.publish_workflow import publish_workflow

pytestmark = pytest.mark.django_db(transaction=True)

TOPIC = {"name": "topic", "required": True}
SCHEMA = {
    "type": "object",
    "required": ["title"],
    "properties": {"title": {"type": "string"}},
}


def test_a_run_in_flight_and_later_runs_send_what_was_published(world: World) -> None:
    one = create_prompt(actor=world.bob, name="Opener", text="Open {{topic}}.", parameters=[TOPIC])
    library = {"name": "Opener", "parameters": {"topic": "{{ input.idea }}"}}
    config = {
        "model": "demo:writer",
        "library_prompt": library,
        "persona": "Nemesis",
        "system_prompt": "Be brief.",
    }
    items: dict[str, Any] = {"model": "demo:writer", "items": "a\nb", "split": "lines", "persona": "Cael"}
    items["library_prompt"] = {"name": "Opener", "parameters": {"topic": "item {{ item }}"}}
    made = definition_of(
        [node("a", "llm", config=config), node("each", "fan_out", config=items)],
        "a>each",
    )
    flow = create_workflow(actor=world.bob, name="Flow", definition=made)
    publish_workflow(workflow=flow, actor=world.bob)
    flow.refresh_from_db()
    before = start_run(workflow=flow, actor=world.bob, input_data={"idea": "wells"})
    new_version(actor=world.bob, prompt=one, text="Changed {{topic}}.", parameters=[TOPIC])
    save_persona(actor=world.bob, name="Nemesis", text="You are kind.")
    after = start_run(workflow=flow, actor=world.bob, input_data={"idea": "wells"})
    draft = start_run(workflow=flow, actor=world.bob, input_data={"idea": "wells"}, version="draft")
    sent = []
    for run in map(driven, (before, after, draft)):
        assert run.status == RunStatus.COMPLETED, run.error
        attempts = Attempt.objects.filter(run=run).order_by("started_at")
        assert {attempt.prompt for attempt in attempts} == {"Opener"}
        (call,) = attempts.get(step_run=rows(run)["a"]).calls
        assert call["persona"] == "Nemesis"
        sent.append((call["version"], [message["content"] for message in call["messages"]]))
        asked = {attempt.calls[0]["messages"][-1]["content"] for attempt in attempts} - {sent[-1][1][-1]}
        assert asked == (
            {"Open item a.", "Open item b."} if run != draft else {"Changed item a.", "Changed item b."}
        )
    assert sent[0] == sent[1]
    assert sent[0][0] == 1
    assert sent[0][1][1] == "Open wells."
    assert sent[0][1][0].startswith("You are Nemesis.")
    assert sent[0][1][0].endswith("\n\nBe brief.")
    assert sent[2] == (2, ["You are kind.\n\nBe brief.", "Changed wells."])


def test_answers_set_variables_and_named_inputs_reach_the_prompt(world: World) -> None:
    model = {"model": "demo:writer"}
    first = node(
        "a",
        "llm",
        config={
            **model,
            "prompt": "Name {{ input.idea }}.",
            "response_schema": SCHEMA,
            "output_mapping": {"name": "title", "whole": "content"},
        },
    )
    second = node(
        "b",
        "llm",
        config={
            **model,
            "prompt": "{{ inputs.plan }} / {{ inputs.twice }} / {{ vars.name }}",
            "input_mapping": {"twice": "= 2 * 3"},
        },
    )
    made = definition_of(
        [first, second],
        edges=[{"id": "e", "source_node_id": "a", "target_node_id": "b", "target_input": "plan"}],
        variables=[{"name": "name", "kind": "context"}, {"name": "whole", "kind": "context"}],
    )
    flow = create_workflow(actor=world.bob, name="Flow", definition=made)
    run = driven(start_run(workflow=flow, actor=world.bob, input_data={"idea": "wells"}))
    assert run.status == RunStatus.COMPLETED, run.error
    done = rows(run)
    title = done["a"].output["title"]
    assert done["a"].variables == {"name": title, "whole": done["a"].output["content"]}
    (call,) = Attempt.objects.get(step_run=done["b"]).calls
    assert call["messages"][-1]["content"] == f"{done['a'].output['content']} / 6 / {title}"
