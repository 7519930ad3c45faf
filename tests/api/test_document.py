"""The OpenAPI document is whole and true: schemathesis sends what it allows and what it does not."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from django.test import Client
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS

from config.api import api as the_api
from tests.api.support import Api, a_workflow, graph, node
from tests.isolation.table import a_prompt_of_the_api, a_template_of_the_api
from tests.support import runs
from tests.support.factories import World, key_of
from workflows.lib import limits
from workflows.lib.limits import Limit
from workflows.services.events import send_event

METHODS = {"get", "post", "put", "delete"}
EXAMPLES = 6


def document() -> dict[str, Any]:
    response = Client().get("/api/openapi.json")
    assert response.status_code == 200
    found: dict[str, Any] = response.json()
    return found


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (verb, path, about)
        for path, verbs in document()["paths"].items()
        for verb, about in verbs.items()
        if verb in METHODS
    ]


def test_every_operation_has_an_id_words_a_key_and_its_errors():
    found = operations()
    assert document()["openapi"].startswith("3.1")
    ids = Counter(about["operationId"] for _, _, about in found)
    assert max(ids.values()) == 1, ids
    for verb, path, about in found:
        where = f"{verb} {path}"
        assert re.fullmatch(r"[a-z_]+", about["operationId"]), where
        assert about["summary"], where
        assert about["security"] == [{"ApiKey": []}], where
        assert {"401", "403", "422", "429", "500"} <= set(about["responses"]), where
        assert ("404" in about["responses"]) == ("{" in path), where
        if "requestBody" in about:
            assert {"413", "415"} <= set(about["responses"]), where
            assert about["requestBody"]["content"]["application/json"]["example"], where
        for status, answer in about["responses"].items():
            if status >= "400":
                schema = answer["content"]["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/Error"}, where


def test_no_two_shapes_share_a_name():
    """ninja would silently describe one by the other."""
    seen: dict[str, str] = {}
    for bound in the_api._get_bound_routers():
        for view in bound.path_operations.values():
            for operation in view.operations:
                for model in [*operation.models, *operation.response_models.values()]:
                    for name, where in _shapes_of(model):
                        assert seen.setdefault(name, where) == where


def _shapes_of(model: Any) -> list[tuple[str, str]]:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

    found: list[tuple[str, str]] = []
    todo: list[Any] = [model]
    while todo:
        one = todo.pop()
        if isinstance(one, FieldInfo):
            one = one.annotation
        if isinstance(one, type) and issubclass(one, BaseModel):
            if one.__module__ != "ninja.operation":
                found.append((one.__name__, f"{one.__module__}.{one.__qualname__}"))
            todo.extend(one.model_fields.values())
        else:
            todo.extend(getattr(one, "__args__", ()))
    return [pair for pair in found if not pair[1].startswith("ninja.")]


def test_the_browser_of_the_api_stands_on_files_of_ours():
    response = Client().get("/api/docs")
    assert response.status_code == 200
    page = response.content.decode()
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    assert "<script>" not in page
    policy = response["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    assert "style-src 'self' 'unsafe-inline'" in policy
    assert "unsafe-inline" not in Client().get("/api/openapi.json")["Content-Security-Policy"]


@pytest.mark.django_db
def test_every_example_of_the_document_is_accepted(world: World):
    api = Api(world.bob)
    examples = {
        about["operationId"]: about["requestBody"]["content"]["application/json"].get("example")
        for _, _, about in operations()
        if "requestBody" in about
    }
    made = api.post("/workflows", examples["create_workflow"])
    assert made.status_code == 201
    address = f"/workflows/{made.json()['id']}"
    assert api.put(address, examples["update_workflow"]).status_code == 200
    assert api.post(f"{address}/validate", examples["validate_workflow"]).json()["valid"] is True
    assert api.post(f"{address}/duplicate", examples["duplicate_workflow"]).status_code == 201
    assert api.post(f"{address}/publish", examples["publish_workflow"]).status_code == 201
    assert api.post(f"{address}/execute", examples["execute_workflow"]).status_code == 202


# --- schemathesis -------------------------------------------------------------------------------------------------

SCHEMA = schemathesis.openapi.from_dict(dict(the_api.get_openapi_schema()))
SCHEMA.app = get_wsgi_application()
OPERATIONS = [result.ok() for result in SCHEMA.get_all_operations()]
NEEDED = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
]


@pytest.fixture
def things(world: World, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """One thing of each kind, by the beginning of its address; and no limit on calls."""
    monkeypatch.setattr(limits, "API_CALLS_PER_MINUTE", Limit(10**9, "calls", "{value}"))
    api = Api(world.bob)
    made = a_workflow(api, graph(node("one"), node("gate", "review")))
    api.post(f"/workflows/{made['id']}/publish")
    run = runs.run_of(world.bob, runs.graph(runs.step("one"), runs.step("gate", "review")))
    runs.reached(run, "one")
    return {
        "/api/workflows": made["id"],
        "/api/workflow-executions": str(run.pk),
        "/api/reviews": str(runs.gate(run, "gate").pk),
        "/api/events": str(send_event(actor=world.bob, name="crm/lead.changed")[0].pk),
        "/api/prompts": str(a_prompt_of_the_api(world)["id"]),
        "/api/workflow-templates": str(a_template_of_the_api(world)["id"]),
    }


@pytest.fixture
def _one_connection(things: dict[str, str]) -> Iterator[None]:
    """The test's transaction outlives the requests in it, as with Django's own client (which
    connects these again, so it comes first)."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.mark.usefixtures("_one_connection")
@pytest.mark.django_db
@pytest.mark.parametrize(
    "mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.name.lower()
)
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.definition.raw["operationId"])
def test_whatever_is_sent_the_answer_is_one_that_the_document_tells(
    operation: Any, mode: GenerationMode, world: World, things: dict[str, str]
):
    if operation.definition.raw["operationId"] in {"follow_execution", "follow_workflow"}:
        return  # streams; tests/api/test_events.py and test_workflow_events.py read them
    key = key_of(world.alice)
    prefix = operation.path.partition("/{")[0]

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), is_there=st.booleans())
    def send(case: Any, is_there: bool) -> None:
        if is_there and "id" in (case.path_parameters or {}):
            case.path_parameters["id"] = things[prefix]
        with transaction.atomic():
            case.call_and_validate(
                headers={"Authorization": f"Bearer {key}"},
                checks=[CHECKS.get_one(name) for name in NEEDED],
            )
            transaction.set_rollback(True)

    try:
        send()
    except Unsatisfiable:
        # Nothing can be sent wrongly to an operation that takes nothing.
        assert mode is GenerationMode.NEGATIVE
