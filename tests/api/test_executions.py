"""Runs over the API: started, watched, held, tried again."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from runs.engine.statuses import EventType, StepStatus
from runs.models import Blob, Run, StepRun
from tests.api.support import TWO, Api, a_workflow, error_of, graph, node, paths
from tests.runs.support import driven
from tests.support import runs
from tests.support.factories import World
from workflows.models import Workflow

pytestmark = pytest.mark.django_db

FIELDS = {
    "id", "number", "workflow_id", "workflow_version", "kind", "origin",
    "from_step",
    "config_overrides",
    "breakpoints", "trigger", "status", "intent", "waiting_for",
    "current_node_id", "progress", "context", "input_data", "output_data", "error_message", "error", "tokens", "cost",
    "created_at", "started_at", "completed_at", "duration_ms", "execution_trace",
}  # fmt: skip
ROW = {
    "node_id", "node_name", "type", "scope", "index", "round", "attempt", "status", "input_data", "output_data",
    "error_message", "error", "skip_reason", "execution_id", "started_at", "completed_at", "duration_ms", "tokens",
    "cost", "progress", "provider", "model", "reused", "feedback", "notes", "pinned",
}  # fmt: skip


@pytest.fixture
def api(world: World) -> Api:
    return Api(world.bob)


def started(api: Api, definition: dict[str, Any] = TWO, **body: Any) -> dict[str, Any]:
    made = a_workflow(api, definition)
    response = api.post(f"/workflows/{made['id']}/execute", body)
    assert response.status_code == 202, response.content
    found: dict[str, Any] = response.json()
    return found


# --- start --------------------------------------------------------------------------------------------------------


def test_a_run_is_accepted_in_the_stated_shape(api: Api):
    run = started(api, input_data={"text": "Hi"})
    assert set(run) == FIELDS
    assert (run["status"], run["kind"], run["trigger"], run["workflow_version"]) == (
        "pending",
        "live",
        "api",
        None,
    )
    assert (run["input_data"], run["output_data"], run["execution_trace"]) == ({"text": "Hi"}, None, [])
    assert run["progress"] == {"completed_nodes": 0, "total_nodes": 2, "current_step": None}
    assert api.get(f"/workflow-executions/{run['id']}").json() == run


def test_without_a_version_the_newest_published_one_runs(api: Api):
    made = a_workflow(api)
    address = f"/workflows/{made['id']}"
    api.post(f"{address}/publish")
    api.put(address, {"definition": graph(node("three"))})
    api.post(f"{address}/publish")
    api.put(address, {"definition": graph(node("four"))})

    def version(**body: Any) -> int | None:
        found: int | None = api.post(f"{address}/execute", body).json()["workflow_version"]
        return found

    assert version() == 2
    assert version(version=1) == 1
    assert version(version="draft") is None
    assert paths(error_of(api.post(f"{address}/execute", {"version": 9}), 422)) == ["version"]


def test_a_draft_with_errors_is_not_run(api: Api):
    made = a_workflow(api, graph(node("ask", "llm")))
    error = error_of(api.post(f"/workflows/{made['id']}/execute"), 422)
    assert (error["problems"][0]["step"], error["problems"][0]["field"]) == ("Ask", "prompt")
    assert not Run.objects.exists()


INPUTS = {
    "variables": [{"name": "count", "type": "number", "required": True}, {"name": "mood", "kind": "context"}]
}


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "input_data.count"),
        ({"input_data": {"count": "many"}}, "input_data.count"),
        ({"input_data": []}, "input_data"),
        ({"input_data": "text"}, "input_data"),
        ({"input_data": {"count": 1}, "variables": {"colour": "red"}}, "variables.colour"),
        ({"input_data": {"count": 1}, "variables": {"mood": 5}}, "variables.mood"),
        ({"input_data": {"count": 1}, "version": "newest"}, "version"),
        ({"input_data": {"count": 1}, "version": 0}, "version"),
        ({"input_data": {"count": 1}, "version": 10**30}, "version"),
        ({"input_data": {"count": 1}, "test": "yes"}, "test"),
        ({"inputs": {"count": 1}}, "inputs"),
        ([], "body"),
    ],
)
def test_a_wrong_start_is_refused_by_name_and_starts_nothing(api: Api, body: Any, path: str):
    made = a_workflow(api, {**TWO, **INPUTS})
    assert paths(error_of(api.post(f"/workflows/{made['id']}/execute", body), 422)) == [path]
    assert not Run.objects.exists()


def test_context_variables_are_set_at_the_start(api: Api):
    run = started(api, {**TWO, **INPUTS}, input_data={"count": 1}, variables={"mood": "calm"}, test=True)
    assert (run["context"], run["kind"]) == ({"mood": "calm"}, "test")


def test_the_same_key_and_body_give_the_same_run(api: Api):
    made = a_workflow(api)
    address = f"/workflows/{made['id']}/execute"
    first = api.post(address, {"input_data": {"a": 1}}, Idempotency_Key="k-1")
    again = api.post(address, {"input_data": {"a": 1}}, Idempotency_Key="k-1")
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["id"] == again.json()["id"]
    assert (
        error_of(api.post(address, {"input_data": {"a": 2}}, Idempotency_Key="k-1"), 422)["code"]
        == "idempotency_key"
    )
    assert (
        api.post(address, {"input_data": {"a": 1}}, Idempotency_Key="k-2").json()["id"] != first.json()["id"]
    )
    other = a_workflow(api)
    assert api.post(f"/workflows/{other['id']}/execute", {}, Idempotency_Key="k-1").status_code == 202
    error_of(api.post(address, {}, Idempotency_Key="x" * 256), 422)
    assert Run.objects.count() == 3


def test_an_archived_workflow_starts_no_run(api: Api):
    made = a_workflow(api)
    api.put(f"/workflows/{made['id']}", {"status": "archived"})
    error_of(api.post(f"/workflows/{made['id']}/execute"), 409)


# --- watch --------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_driven_run_shows_what_went_into_each_step_and_what_came_out(api: Api):
    definition = {
        "nodes": [
            node("start_here"),
            node("left"),
            node("right"),
            node("off", enabled=False),
            node("joined", "merge", config={"mode": "text"}),
            node("mood", "set_variable", config={"variables": {"mood": "{{ previous }}"}}),
        ],
        "edges": [
            {"source_node_id": a, "target_node_id": b}
            for a, b in [
                ("start_here", "left"), ("start_here", "right"), ("right", "off"), ("left", "joined"),
                ("off", "joined"), ("joined", "mood"),
            ]
        ],
        "variables": [{"name": "mood", "kind": "context", "default_value": "none"}],
    }  # fmt: skip
    made = a_workflow(api, definition)
    config = next(one for one in made["definition"]["nodes"] if one["id"] == "mood")["config"]
    assert not made["problems"], (made["problems"], config)
    run = started(api, definition, input_data={"text": "Hi"})
    driven(Run.objects.get(pk=run["id"]))
    body = api.get(f"/workflow-executions/{run['id']}").json()
    assert body["status"] == "completed", body["error"]
    assert all(set(row) == ROW for row in body["execution_trace"])
    trace = {row["node_id"]: row for row in body["execution_trace"]}
    assert trace["start_here"]["input_data"] == {"text": "Hi"}
    assert trace["left"]["input_data"] == trace["start_here"]["output_data"]
    assert trace["joined"]["input_data"] == {
        "Left": trace["left"]["output_data"],
        "Right": trace["right"]["output_data"],
    }
    assert (trace["off"]["status"], trace["off"]["skip_reason"]) == ("skipped", "off")
    assert body["context"]["mood"] == trace["joined"]["output_data"]
    assert body["output_data"] == trace["mood"]["output_data"]
    assert body["progress"]["completed_nodes"] == body["progress"]["total_nodes"] == 6


def test_only_what_has_been_reached_has_a_row_and_old_rounds_come_first(world: World, api: Api):
    run = runs.run_of(world.bob, runs.graph(runs.step("one"), runs.step("two"), runs.step("three")))
    runs.reached(run, "two", inputs=["e0"])
    runs.reached(run, "one", output={"content": "Second"}, round=1)
    runs.reached(run, "one", output={"content": "First"})
    rows = api.get(f"/workflow-executions/{run.pk}").json()["execution_trace"]
    assert [(row["node_id"], row["round"]) for row in rows] == [("one", 0), ("one", 1), ("two", 0)]
    assert rows[2]["input_data"] == {"content": "Second"}


def test_a_failed_run_says_why(world: World, api: Api):
    why = {"code": "empty_answer", "message": "The model said nothing.", "retryable": True}
    run = runs.run_of(world.bob, runs.graph(runs.step("one"), runs.step("two")), status="failed", error=why)
    runs.reached(run, "one")
    row = runs.reached(run, "two", StepStatus.FAILED, error=why, inputs=["e0"])
    tried = runs.attempt(row, "failed", error=why)
    body = api.get(f"/workflow-executions/{run.pk}").json()
    assert (body["error_message"], body["error"]["code"]) == ("The model said nothing.", "empty_answer")
    failed = api.get(f"/workflow-executions/{run.pk}/steps", {"status": "failed"}).json()
    assert failed["count"] == 1
    assert failed["items"][0]["error_message"] == "The model said nothing."
    assert failed["items"][0]["input_data"] == {"content": "What One gave."}
    assert failed["items"][0]["execution_id"] == str(tried.pk)
    assert error_of(api.get(f"/workflow-executions/{run.pk}/steps", {"status": "lost"}), 422)


def test_large_outputs_are_whole_in_the_run_and_named_in_lists(world: World, api: Api):
    run = runs.run_of(world.bob, runs.graph(runs.step("one")), status="completed")
    blob = Blob.objects.create(tenant=world.tenant, run=run, value={"content": "x" * 300_000}, size=300_000)
    runs.reached(run, "one", output={"$blob": str(blob.pk)})
    Run.objects.filter(pk=run.pk).update(output={"$blob": str(blob.pk)}, input={"text": "y" * 300_000})
    whole = api.get(f"/workflow-executions/{run.pk}").json()
    assert whole["output_data"] == whole["execution_trace"][0]["output_data"] == {"content": "x" * 300_000}
    listed = api.get("/workflow-executions", {"include": "steps"}).json()["items"][0]
    instead = {"too_large": True, "href": f"/api/workflow-executions/{run.pk}"}
    assert listed["output_data"] == listed["input_data"] == instead
    assert listed["execution_trace"][0]["output_data"] == instead


def test_the_list_filters_and_pages(world: World, api: Api):
    one = runs.graph(runs.step("one"))
    old = runs.run_of(world.bob, one, status="completed", created_at=timezone.now() - timedelta(days=3))
    test = runs.run_of(
        world.bob, one, status="failed", kind="test", trigger_type="schedule", workflow=old.workflow
    )
    draft = runs.run_of(world.bob, one)
    draft.version.number = None
    draft.version.save()
    runs.run_of(world.bob, one, kind="step")
    runs.run_of(world.charlie, one)

    def found(**query: Any) -> list[str]:
        body = api.get(
            "/workflow-executions", {name.rstrip("_"): value for name, value in query.items()}
        ).json()
        assert body["count"] >= len(body["items"])
        return [item["id"] for item in body["items"]]

    ids = [str(run.pk) for run in (draft, test, old)]
    assert found() == ids
    assert found(limit=1, offset=1) == ids[1:2]
    assert found(workflow_id=old.workflow_id) == ids[1:]
    assert found(status="failed") == ids[1:2]
    assert found(version=1) == ids[1:]
    assert found(version="draft") == ids[:1]
    assert found(trigger="schedule") == ids[1:2]
    assert found(kind="test") == ids[1:2]
    day = (timezone.now() - timedelta(days=1)).isoformat()
    assert found(from_=day) == ids[:2]
    assert found(to=day) == ids[2:]
    assert found(to="2020-01-01T00:00:00") == []
    assert "execution_trace" not in api.get("/workflow-executions").json()["items"][0]


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ({"status": "done"}, "query.status"),
        ({"workflow_id": "17"}, "query.workflow_id"),
        ({"version": "newest"}, "query.version"),
        ({"from": "yesterday"}, "query.from"),
        ({"to": "0001-01-01T00:00:00+14:00"}, "query.to"),
        ({"workflow": "x"}, "query.workflow"),
        ({"include": "everything"}, "query.include"),
    ],
)
def test_a_wrong_filter_is_refused(api: Api, query: dict[str, Any], path: str):
    assert paths(error_of(api.get("/workflow-executions", query), 422)) == [path]


@pytest.mark.parametrize("include", ["", "steps"])
def test_the_list_asks_the_same_number_of_queries_for_many(
    world: World, api: Api, include: str, django_assert_num_queries: Any
):
    from runs.services import prepared
    from workflows.services.definitions import forget

    def a_run(number: int) -> None:
        run = runs.run_of(
            world.bob, runs.graph(*(runs.step(f"s{number}-{index}") for index in range(number)))
        )
        for index in range(number):
            row = runs.reached(run, f"s{number}-{index}")
            runs.attempt(row)

    query = {"include": include} if include else {}
    a_run(1)
    api.get("/workflow-executions", query)
    for number in range(2, 7):
        forget()
        prepared._cache.clear()
        with django_assert_num_queries(8 if include else 5):
            assert len(api.get("/workflow-executions", query).json()["items"]) == number - 1
        a_run(number)


def test_the_log_is_read_on_from_where_one_was(world: World, api: Api):
    run = runs.run_of(world.bob, runs.graph(runs.step("one")))
    runs.happened(run, EventType.RUN_STARTED, by="Bob")
    runs.happened(run, EventType.PROGRESS, "one")
    runs.happened(run, EventType.COMPLETED, "one", durationMs=12, tokenUsage={"input": 1, "output": 2})
    address = f"/workflow-executions/{run.pk}/logs"
    log = api.get(address).json()
    assert ([row["seq"] for row in log["items"]], log["count"]) == ([1, 2, 3], 3)
    assert log["items"][2] | {"at": ""} == {
        "seq": 3, "type": "completed", "at": "", "stepId": "one", "stepLabel": None, "scope": None, "durationMs": 12,
        "tokenUsage": {"input": 1, "output": 2},
    }  # fmt: skip
    assert [row["seq"] for row in api.get(address, {"after": 1, "limit": 1}).json()["items"]] == [2]
    assert api.get(address, {"type": "progress"}).json()["count"] == 1
    error_of(api.get(address, {"after": -1}), 422)


# --- hold, go on, try again ---------------------------------------------------------------------------------------


def test_pause_resume_and_cancel_may_be_repeated(api: Api):
    address = f"/workflow-executions/{started(api)['id']}"
    for verb, intent in [("pause", "pause"), ("pause", "pause"), ("resume", None), ("resume", None), ("cancel", "cancel"), ("cancel", "cancel")]:  # fmt: skip
        response = api.post(f"{address}/{verb}")
        assert (response.status_code, response.json()["intent"]) == (200, intent), verb
    error_of(api.post(f"{address}/pause"), 409)
    error_of(api.post(f"{address}/resume"), 409)


def test_a_run_that_is_over_is_not_reopened(world: World, api: Api):
    run = runs.run_of(world.bob, runs.graph(runs.step("one")), status="completed")
    for verb in ("pause", "resume", "cancel", "retry"):
        error_of(api.post(f"/workflow-executions/{run.pk}/{verb}"), 409)


@pytest.mark.django_db(transaction=True)
def test_a_failed_run_goes_on_from_the_step_that_failed(api: Api):
    broken = node("two", config={"mode": "template", "template": "{{ input.missing }}"})
    run = driven(Run.objects.get(pk=started(api, graph(node("one"), broken))["id"]))
    address = f"/workflow-executions/{run.pk}"
    assert api.get(address).json()["status"] == "failed"
    for body, path in [({"from_step": "nine"}, "from_step"), ({"model": "nobody:x"}, "model")]:
        assert error_of(api.post(f"{address}/retry", body), 422)["problems"][0]["field"] == path
    error_of(api.post(f"{address}/retry", {"step": "two"}), 422)
    again = api.post(f"{address}/retry", {"from_step": "one"})
    assert (again.status_code, again.json()["status"]) == (200, "pending")
    assert api.post(f"{address}/retry").status_code == 200, "a second one finds it revived"
    driven(run)
    assert StepRun.objects.filter(run=run, step_key="one").count() == 2


CONTROLS = ["cancel", "pause", "resume", "retry"]


@pytest.mark.parametrize("verb", CONTROLS)
def test_only_those_who_may_hold_runs_do(world: World, api: Api, verb: str):
    run = runs.run_of(world.bob, runs.graph(runs.step("one")), status="failed")
    for caller, status in [(world.vera, 403), (world.rita, 403), (world.charlie, 404), (None, 401)]:
        error_of(Api(caller).post(f"/workflow-executions/{run.pk}/{verb}"), status)
    run.refresh_from_db()
    assert (run.status, run.intent, run.mail_seq) == ("failed", "", 0)


def test_strangers_find_no_run_and_viewers_start_none(world: World, api: Api):
    run = started(api)
    for path in ("", "/steps", "/logs", "/events"):
        error_of(Api(world.charlie).get(f"/workflow-executions/{run['id']}{path}"), 404)
        error_of(api.get(f"/workflow-executions/{uuid.uuid4()}{path}"), 404)
        error_of(api.get(f"/workflow-executions/x{path}"), 404)
        error_of(Api(None).get(f"/workflow-executions/{run['id']}{path}"), 401)
    assert Api(world.vera).get(f"/workflow-executions/{run['id']}").status_code == 200
    workflow = Workflow.objects.get()
    for caller, status in [(world.vera, 403), (world.rita, 403), (world.charlie, 404), (None, 401)]:
        error_of(Api(caller).post(f"/workflows/{workflow.pk}/execute"), status)
    assert Run.objects.count() == 1
