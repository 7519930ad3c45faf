"""The first whole path over REST alone: make a workflow, run it against an OpenAI-compatible server, decide, read."""

from __future__ import annotations

from typing import Any

import pytest

from runs.models import Run
from tests.api.support import Api, error_of
from tests.runs.support import driven
from tests.support.factories import World
from tests.support.fake_openai import FakeOpenAI, Reply

pytestmark = pytest.mark.django_db(transaction=True)

ARTICLE = "Wells are dug by hand. They give water to the village. The water is clean."
WORKFLOW: dict[str, Any] = {
    "name": "Summarize and approve",
    "tags": ["acceptance"],
    "definition": {
        "nodes": [
            {"id": "clean", "type": "clean_text", "name": "Clean"},
            {
                "id": "draft",
                "type": "prompt_execution",
                "name": "Draft",
                "config": {"prompt": "Summarize this:\n\n{{ previous }}", "model": "openai:fake-small"},
            },
            {"id": "gate", "type": "human_approval", "name": "Editor’s gate"},
            {
                "id": "polish",
                "type": "llm",
                "name": "Polish",
                "config": {"prompt": "Polish this: {{ steps.Draft }} – and this: {{ previous }}"},
            },
        ],
        "edges": [
            {"source_node_id": "clean", "target_node_id": "draft"},
            {"source_node_id": "draft", "target_node_id": "gate"},
            {"source_node_id": "gate", "target_node_id": "polish"},
        ],
        "variables": [{"name": "text", "type": "string", "required": True}],
        "settings": {"default_model": "openai:fake-large"},
    },
}


def test_a_workflow_is_made_run_approved_and_read_over_rest(world: World, monkeypatch: pytest.MonkeyPatch):
    with FakeOpenAI() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "test-key")
        server.when("Summarize this", Reply(text="Wells give clean water."))
        server.when("Polish this", Reply(text="Wells give the village clean water."))
        _walk(world, server)


def _walk(world: World, server: FakeOpenAI) -> None:
    editor, reviewer = Api(world.bob), Api(world.rita)

    made = editor.post("/workflows", WORKFLOW)
    assert made.status_code == 201, made.content
    workflow = made.json()
    assert workflow["problems"] == []
    address = f"/workflows/{workflow['id']}"
    assert editor.post(f"{address}/publish", {"note": "First"}).status_code == 201

    missing = error_of(editor.post(f"{address}/execute", {"input_data": {}}), 422)
    assert missing["problems"][0]["path"] == "input_data.text"
    assert not Run.objects.exists()

    body = {"input_data": {"text": ARTICLE}}
    accepted = editor.post(f"{address}/execute", body, Idempotency_Key="order-1")
    assert accepted.status_code == 202, accepted.content
    run = accepted.json()
    assert (run["status"], run["workflow_version"], run["trigger"]) == ("pending", 1, "api")
    assert accepted["Location"] == f"/api/workflow-executions/{run['id']}"
    assert editor.post(f"{address}/execute", body, Idempotency_Key="order-1").json()["id"] == run["id"]
    other = {"input_data": {"text": "Another"}}
    error_of(editor.post(f"{address}/execute", other, Idempotency_Key="order-1"), 422)

    driven(Run.objects.get(pk=run["id"]))
    watched = f"/workflow-executions/{run['id']}"
    waiting = editor.get(watched).json()
    assert waiting["status"] == "paused"
    assert waiting["waiting_for"][0]["kind"] == "review"
    assert waiting["progress"] == {"completed_nodes": 2, "total_nodes": 4, "current_step": "Editor’s gate"}
    assert "/api/reviews/" in error_of(editor.post(f"{watched}/resume"), 409)["message"]

    gates = reviewer.get("/reviews", {"mine": "true"}).json()
    assert [(gate["execution_id"], gate["node_id"]) for gate in gates["items"]] == [(run["id"], "gate")]
    gate = gates["items"][0]
    assert gate["content"]["content"] == "Wells give clean water."
    said = {"decision": "approve", "comment": "Shorter.", "output": "Wells give water."}
    decided = reviewer.post(f"/reviews/{gate['id']}/decide", said)
    assert decided.status_code == 200, decided.content
    assert decided.json()["output"]["content"] == "Wells give water."
    late = error_of(editor.post(f"/reviews/{gate['id']}/decide", {"decision": "reject"}), 409)
    assert late["code"] == "already_decided"

    driven(Run.objects.get(pk=run["id"]))
    done = editor.get(watched).json()
    assert (done["status"], done["error_message"]) == ("completed", None), done["error"]
    assert done["output_data"]["content"] == "Wells give the village clean water."
    assert (done["tokens"] > 0, done["duration_ms"] >= 0) == (True, True)
    trace = {row["node_id"]: row for row in done["execution_trace"]}
    assert list(trace) == ["clean", "draft", "gate", "polish"]
    assert all(row["status"] == "completed" for row in trace.values())
    assert trace["clean"]["input_data"] == {"text": ARTICLE}
    assert trace["draft"]["input_data"] == trace["clean"]["output_data"]
    assert (trace["draft"]["provider"], trace["draft"]["model"]) == ("openai", "fake-small")
    assert trace["polish"]["input_data"]["content"] == "Wells give water."
    assert [request.headers["authorization"] for request in server.requests] == ["Bearer test-key"] * 2
    # What the step said stays what it said; what goes on is what the person made of it.
    assert "Wells give clean water. – and this: Wells give water." in server.requests[1].prompt

    log = editor.get(f"{watched}/logs").json()
    assert [row["seq"] for row in log["items"]] == list(range(1, log["count"] + 1))
    assert [row["type"] for row in log["items"]][-2:] == ["run_completed", "done"]
    spent = [row for row in log["items"] if row["type"] == "completed" and row["stepId"] == "draft"]
    assert spent[0]["tokenUsage"]
    listed = editor.get("/workflow-executions", {"workflow_id": workflow["id"], "include": "steps"}).json()
    assert listed["count"] == 1
    assert listed["items"][0]["execution_trace"] == done["execution_trace"]
