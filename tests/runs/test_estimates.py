"""The estimate's address: from the workflow's own runs, in a fixed number of queries."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from runs.services.start_run import start_run
from tests.runs.support import definition_of, driven, node, started, version_of
from tests.support.factories import World, bearer, client_of, key_of
from tests.support.fake_openai import FakeOpenAI

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as fake:
        monkeypatch.setenv("OPENAI_BASE_URL", fake.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
        yield fake


def test_before_and_after_the_first_run(world: World) -> None:
    asks = node("a", "llm", config={"prompt": "Write about wells.", "model": "openai:gpt-4o-mini"})
    workflow = version_of(world.bob, definition_of([asks])).workflow
    workflow.refresh_from_db()
    client, headers = client_of(None), bearer(key_of(world.bob))
    path = f"/api/workflows/{workflow.pk}/estimate"
    before = client.get(path, headers=headers).json()
    assert before["runs"] == 0
    assert before["low"] < before["high"]
    for _ in range(2):
        assert driven(start_run(workflow=workflow, actor=world.bob, input_data={})).status == "completed"
    after = client.post(path, {"input_data": {}}, content_type="application/json", headers=headers).json()
    assert after["runs"] == 2
    assert after["nodes"][0]["input_tokens"] == [11, 11]
    assert after["nodes"][0]["output_tokens"] == [7, 7]
    assert after["basis"] == "From the last 2 finished runs."


def test_it_costs_the_same_for_few_runs_and_many(world: World) -> None:
    run = driven(started(world.bob, definition_of([node("a")])))
    client, headers = client_of(None), bearer(key_of(world.bob))
    path = f"/api/workflows/{run.workflow_id}/estimate"
    client.get(path, headers=headers)

    def queries() -> int:
        with CaptureQueriesContext(connection) as seen:
            assert client.get(path, headers=headers).status_code == 200
        return len(seen)

    few = queries()
    for _ in range(3):
        driven(start_run(workflow=run.workflow, actor=world.bob, input_data={}))
    assert queries() == few


def test_a_line_beside_the_draft_says_what_a_run_costs_and_takes(world: World) -> None:
    asks = node("a", "llm", config={"prompt": "Write about wells.", "model": "openai:gpt-4o-mini"})
    workflow = version_of(world.bob, definition_of([asks])).workflow
    address = f"/runs/estimate/{workflow.pk}/"
    page = client_of(world.vera).get(f"{address}?version=1").content.decode()
    assert "A run: about" in page
    assert "no run has finished yet" in page
    assert client_of(world.vera).get(address).status_code == 200
    assert client_of(world.vera).get(f"{address}?version=none").status_code == 404
