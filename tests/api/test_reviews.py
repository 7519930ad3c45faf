"""Reviews over the API: listed, read, decided once, also before they open."""

from __future__ import annotations

from typing import Any

import pytest

from runs.models import EarlyDecision, Review, Run
from tests.api.support import WITH_GATE, Api, a_workflow, error_of, paths
from tests.runs.support import driven
from tests.support import runs
from tests.support.factories import World

pytestmark = pytest.mark.django_db


@pytest.fixture
def gate(world: World) -> Review:
    run = runs.run_of(world.bob, runs.graph(runs.step("one"), runs.step("gate", "review")))
    runs.reached(run, "one")
    return runs.gate(run, "gate", content={"content": "As it was."})


def test_a_gate_is_listed_and_read_in_the_stated_shape(world: World, gate: Review):
    api = Api(world.rita)
    body = api.get(f"/reviews/{gate.pk}").json()
    assert api.get("/reviews").json() == {"items": [body], "count": 1}
    assert (body["execution_id"], body["node_id"], body["status"]) == (str(gate.run_id), "gate", "open")
    assert body["content"] == {"content": "As it was."}
    assert [one["decision"] for one in body["decisions"]] == ["approve", "reject"]
    assert body["may_decide"] is True
    assert Api(world.vera).get(f"/reviews/{gate.pk}").json()["may_decide"] is False


def test_a_decision_is_taken_once(world: World, gate: Review):
    api = Api(world.rita)
    said = {"decision": "approve", "comment": "Good", "output": {"content": "As it shall be."}}
    decided = api.post(f"/reviews/{gate.pk}/decide", said)
    assert decided.status_code == 200, decided.content
    body = decided.json()
    assert (body["status"], body["decision"], body["comment"]) == ("decided", "approve", "Good")
    assert (body["content"], body["output"]) == ({"content": "As it was."}, {"content": "As it shall be."})
    assert body["decided_by"] == "API key A key"
    late = error_of(api.post(f"/reviews/{gate.pk}/decide", {"decision": "reject"}), 409)
    assert late["code"] == "already_decided"
    assert "API key A key decided this review" in late["message"]
    assert api.get("/reviews").json()["count"] == 0
    assert api.get("/reviews", {"status": "decided"}).json()["count"] == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "decision"),
        ({"decision": "maybe"}, "decision"),
        ({"decision": 1}, "decision"),
        ({"decision": "approve", "output": 5}, "output"),
        ({"decision": "approve", "comments": "x"}, "comments"),
        ({"decision": "approve", "fields": []}, "fields"),
    ],
)
def test_a_wrong_decision_is_refused_by_name(world: World, gate: Review, body: Any, field: str):
    error = error_of(Api(world.rita).post(f"/reviews/{gate.pk}/decide", body), 422)
    assert [problem["field"] for problem in error["problems"]] == [field]
    gate.refresh_from_db()
    assert gate.status == "open"


def test_a_get_decides_nothing(world: World, gate: Review):
    error_of(Api(world.rita).get(f"/reviews/{gate.pk}/decide", {"decision": "approve"}), 405)


def test_who_may_not_does_not(world: World, gate: Review):
    for caller, status in [(world.vera, 403), (world.charlie, 404), (None, 401)]:
        error_of(Api(caller).post(f"/reviews/{gate.pk}/decide", {"decision": "approve"}), status)
        early = f"/workflow-executions/{gate.run_id}/reviews/gate/decide"
        error_of(Api(caller).post(early, {"decision": "approve"}), status)
    error_of(Api(world.charlie).get(f"/reviews/{gate.pk}"), 404)
    assert Api(world.charlie).get("/reviews", {"status": "all"}).json()["count"] == 0
    gate.refresh_from_db()
    assert gate.status == "open"


def test_the_list_filters(world: World, gate: Review):
    other = runs.run_of(world.bob, runs.graph(runs.step("gate", "review")))
    for_admins = runs.gate(other, "gate", assignees=["role:admin"])
    api = Api(world.rita)

    def found(**query: Any) -> list[str]:
        return [one["id"] for one in api.get("/reviews", query).json()["items"]]

    assert found() == [str(gate.pk), str(for_admins.pk)]
    assert found(mine="true") == [str(gate.pk)]
    assert found(execution_id=other.pk) == [str(for_admins.pk)]
    assert found(workflow_id=gate.workflow_id) == [str(gate.pk)]
    assert found(limit=1, offset=1) == [str(for_admins.pk)]
    Run.objects.filter(pk=other.pk).update(status="cancelled")
    assert found() == [str(gate.pk)]
    assert paths(error_of(api.get("/reviews", {"status": "new"}), 422)) == ["query.status"]
    refused = error_of(api.post(f"/reviews/{for_admins.pk}/decide", {"decision": "approve"}), 403)
    assert "admin" in refused["message"]


def test_the_list_asks_the_same_number_of_queries_for_many(
    world: World, gate: Review, django_assert_max_num_queries: Any
):
    api = Api(world.rita)
    api.get("/reviews")
    for _ in range(3):
        # One more when it is noted, now and then, that the key was used.
        with django_assert_max_num_queries(4):
            api.get("/reviews")
        runs.gate(runs.run_of(world.bob, runs.graph(runs.step("gate", "review"))), "gate")


@pytest.mark.django_db(transaction=True)
def test_a_decision_may_come_before_its_gate(world: World):
    api = Api(world.bob)
    made = a_workflow(api, WITH_GATE)
    run = api.post(f"/workflows/{made['id']}/execute").json()
    address = f"/workflow-executions/{run['id']}/reviews/gate/decide"
    early = api.post(address, {"decision": "approve", "output": "Better", "comment": "Ahead"})
    assert early.status_code == 202, early.content
    assert (early.json()["node_id"], early.json()["output"]) == ("gate", {"content": "Better"})
    assert error_of(api.post(address, {"decision": "reject"}), 409)["code"] == "already_decided"
    error_of(api.post(f"/workflow-executions/{run['id']}/reviews/one/decide", {"decision": "approve"}), 404)
    assert EarlyDecision.objects.count() == 1
    driven(Run.objects.get(pk=run["id"]))
    body = api.get(f"/workflow-executions/{run['id']}").json()
    assert body["status"] == "completed", body["waiting_for"]
    assert body["output_data"]["content"] == "two after Better"


def test_an_open_gate_is_decided_by_the_name_of_its_step_too(world: World, gate: Review):
    address = f"/workflow-executions/{gate.run_id}/reviews/gate/decide"
    decided = Api(world.rita).post(address, {"decision": "reject", "comment": "No."})
    assert (decided.status_code, decided.json()["id"]) == (200, str(gate.pk))
    assert decided.json()["decision"] == "reject"
