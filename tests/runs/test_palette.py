"""What the command palette finds, and that it finds nothing of others."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.support import runs as make
from tests.support.factories import World, client_of
from workflows.services.create_workflow import create_workflow
from workflows.tenancy.actor import Actor

pytestmark = pytest.mark.django_db


def found(actor: Actor, q: str) -> Any:
    answer = client_of(actor).get("/runs/find/", {"q": q})
    assert answer.status_code == 200
    return answer.json()["found"]


def test_it_finds_workflows_and_steps_of_the_tenant_alone(world: World):
    create_workflow(
        actor=world.bob, name="Cold chain", definition=make.graph(make.step("one", label="Cold call"))
    )
    kinds = {one["kind"]: one for one in found(world.vera, "cold")}
    assert kinds["workflow"]["label"] == "Cold chain"
    assert kinds["step"]["url"].endswith("?open=one#step-one")
    assert found(world.charlie, "cold") == []
    assert found(world.bob, "   ") == []


def test_a_run_is_found_by_its_number_in_a_constant_number_of_queries(world: World):
    client = client_of(world.bob)
    client.get("/runs/find/", {"q": "1"})
    with CaptureQueriesContext(connection) as seen:
        assert client.get("/runs/find/", {"q": "run 12"}).json() == {"found": []}
    few = len(seen)
    for number in range(12):
        create_workflow(actor=world.bob, name=f"Cold {number}")
    with CaptureQueriesContext(connection) as seen:
        assert len(client.get("/runs/find/", {"q": "cold"}).json()["found"]) == 6
    assert len(seen) == few
