"""Workflows over the API: made, read, changed, deleted, published, restored."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.api.support import TWO, Api, a_workflow, error_of, graph, node, paths
from tests.support.factories import World, workflow
from workflows.models import Workflow
from workflows.tenancy.models import AuditEntry, Project

pytestmark = pytest.mark.django_db


@pytest.fixture
def api(world: World) -> Api:
    return Api(world.bob)


def test_a_workflow_is_made_and_read_in_the_stated_shape(world: World, api: Api):
    project = Project.objects.create(tenant=world.tenant, name="News")
    made = api.post(
        "/workflows",
        {
            "name": " Two steps ",
            "description": "Text through two steps",
            "tags": ["demo", "Demo", "text"],
            "project": str(project.pk),
            "definition": TWO,
        },
    )
    assert made.status_code == 201
    assert made["Location"] == f"/api/workflows/{made.json()['id']}"
    assert made["ETag"] == '"1"'
    read = api.get(f"/workflows/{made.json()['id']}")
    assert read.status_code == 200
    body = read.json()
    assert body == made.json()
    assert set(body) == {
        "id", "name", "description", "status", "version", "revision", "tags", "project", "created_by",
        "created_at", "updated_at", "problems", "definition",
    }  # fmt: skip
    assert (body["name"], body["status"], body["version"], body["revision"]) == (
        "Two steps",
        "draft",
        None,
        1,
    )
    assert (body["tags"], body["project"]) == (["demo", "text"], str(project.pk))
    assert body["created_at"].endswith("Z")
    assert set(body["definition"]) == {"nodes", "edges", "variables", "triggers", "settings"}
    assert [one["id"] for one in body["definition"]["nodes"]] == ["one", "two"]
    assert body["definition"]["edges"][0]["source_output"] == "out"


def test_aliases_come_back_as_canonical_words(api: Api):
    made = a_workflow(
        api,
        graph(
            {
                "id": "ask",
                "type": "prompt_execution",
                "name": "Ask",
                "config": {"prompt": "Hi", "model": "demo/writer"},
            },
            {"id": "wait", "type": "wait", "name": "Wait"},
            {"id": "ok", "type": "human_approval", "name": "Ok"},
        ),
    )
    assert [one["type"] for one in made["definition"]["nodes"]] == ["llm", "delay", "review"]
    assert made["definition"]["nodes"][0]["config"]["model"] == "demo:writer"


def test_what_is_only_missing_is_stored_and_named(api: Api):
    made = a_workflow(api, graph(node("ask", "llm")))
    assert [(one["step"], one["field"], one["severity"]) for one in made["problems"]] == [
        ("Ask", "prompt", "error")
    ]
    assert made["problems"][0]["message"]


@pytest.mark.parametrize(
    ("definition", "path"),
    [
        (graph(node("a", "no_such_type")), "definition.nodes[0].type"),
        (graph(node("a", colour="red")), "definition.nodes[0].colour"),
        ({"nodes": [node("a")], "edges": [{"source_node_id": "a", "target_node_id": "b"}]}, "definition.edges[0].target_node_id"),
        ({**graph(node("a"), node("b")), "edges": [
            {"source_node_id": "a", "target_node_id": "b"}, {"source_node_id": "b", "target_node_id": "a"}]},
         "definition.edges"),
        ({"nodes": "many"}, "definition.nodes"),
        ([], "definition"),
        ("text", "definition"),
    ],
)  # fmt: skip
def test_a_wrong_shape_is_refused_and_nothing_is_stored(api: Api, definition: Any, path: str):
    error = error_of(api.post("/workflows", {"name": "Wrong", "definition": definition}), 422)
    assert any(found.startswith(path) for found in paths(error)), error
    assert not Workflow.objects.exists()


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"name": 5}, "name"),
        ({"name": "A", "tags": "one"}, "tags"),
        ({"name": "A", "colour": "red"}, "colour"),
        ({"name": "A", "project": str(uuid.uuid4())}, "project"),
        ({"name": "A", "project": "mine"}, "project"),
        ([], "body"),
        ("text", "body"),
    ],
)
def test_a_wrong_field_is_refused_by_name(api: Api, body: Any, path: str):
    assert path in paths(error_of(api.post("/workflows", body), 422))
    assert not Workflow.objects.exists()


def test_all_that_is_wrong_is_said_at_once(api: Api):
    error = error_of(api.post("/workflows", {"name": " ", "definition": {"nodes": [{"type": "nope"}]}}), 422)
    assert {"name", "definition.nodes[0].type"} <= set(paths(error))


def test_put_changes_only_what_is_sent(api: Api):
    made = a_workflow(api, tags=["a"], description="Before")
    changed = api.put(f"/workflows/{made['id']}", {"name": "After"})
    assert changed.status_code == 200, changed.content
    body = changed.json()
    assert (body["name"], body["tags"], body["description"]) == ("After", ["a"], "Before")
    assert body["definition"] == made["definition"]
    assert body["revision"] == made["revision"] + 1


def test_a_sent_definition_replaces_the_draft_whole(api: Api):
    made = a_workflow(api)
    body = api.put(f"/workflows/{made['id']}", {"definition": graph(node("three"))}).json()
    assert [one["id"] for one in body["definition"]["nodes"]] == ["three"]
    assert body["definition"]["edges"] == []
    again = api.put(f"/workflows/{made['id']}", {"definition": body["definition"]}).json()
    assert again["revision"] == body["revision"], "the same again is no change"


def test_a_stale_revision_is_refused(api: Api):
    made = a_workflow(api)
    address = f"/workflows/{made['id']}"
    assert api.put(address, {"name": "First"}, If_Match=str(made["revision"])).status_code == 200
    error = error_of(api.put(address, {"name": "Second"}, If_Match=f'"{made["revision"]}"'), 412)
    assert error["code"] == "stale"
    assert api.get(address).json()["name"] == "First"
    assert paths(error_of(api.put(address, {"name": "Third"}, If_Match="yesterday"), 422)) == [
        "header.If-Match"
    ]


def test_a_refused_change_writes_nothing(api: Api):
    made = a_workflow(api)
    address = f"/workflows/{made['id']}"
    error_of(api.put(address, {"name": "New", "definition": {"nodes": [{"type": "nope"}]}}), 422)
    assert api.get(address).json() == made


def test_the_project_is_taken_away_by_null(world: World, api: Api):
    project = Project.objects.create(tenant=world.tenant, name="News")
    made = a_workflow(api, project=str(project.pk))
    assert api.put(f"/workflows/{made['id']}", {"project": None}).json()["project"] is None
    assert api.put(f"/workflows/{made['id']}", {"name": None}).json()["name"] == made["name"]


def test_an_archived_workflow_takes_no_changes_until_it_is_restored(api: Api):
    made = a_workflow(api)
    address = f"/workflows/{made['id']}"
    assert api.put(address, {"status": "archived"}).json()["status"] == "archived"
    error_of(api.put(address, {"name": "New"}), 409)
    assert api.put(address, {"status": "draft", "name": "New"}).json()["name"] == "New"
    error_of(api.put(address, {"status": "active"}), 409)


def test_a_deleted_workflow_is_gone(api: Api):
    made = a_workflow(api)
    gone = api.delete(f"/workflows/{made['id']}")
    assert (gone.status_code, gone.content) == (204, b"")
    error_of(api.get(f"/workflows/{made['id']}"), 404)
    error_of(api.delete(f"/workflows/{made['id']}"), 404)
    assert api.get("/workflows").json() == {"items": [], "count": 0}
    assert AuditEntry.objects.filter(action="deleted", api_key__isnull=False).exists()


def test_publishing_gives_numbers_and_refuses_errors(api: Api):
    made = a_workflow(api, graph(node("ask", "llm")))
    address = f"/workflows/{made['id']}"
    error = error_of(api.post(f"{address}/publish"), 422)
    assert error["problems"][0]["step"] == "Ask"
    api.put(address, {"definition": TWO})
    first = api.post(f"{address}/publish", {"note": "The first"})
    assert (first.status_code, first.json()["number"], first.json()["note"]) == (201, 1, "The first")
    assert error_of(api.post(f"{address}/publish"), 409)["code"] == "unchanged"
    body = api.get(address).json()
    assert (body["status"], body["version"]) == ("active", 1)
    error_of(api.post(f"{address}/publish", {}, If_Match="1"), 412)


def test_versions_are_listed_read_and_restored(api: Api):
    made = a_workflow(api)
    address = f"/workflows/{made['id']}"
    api.post(f"{address}/publish")
    api.put(address, {"definition": graph(node("three"))})
    api.post(f"{address}/publish")
    listed = api.get(f"{address}/versions").json()
    assert ([one["number"] for one in listed["items"]], listed["count"]) == ([2, 1], 2)
    assert api.get(f"{address}/versions", {"limit": 1, "offset": 1}).json()["items"][0]["number"] == 1
    first = api.get(f"{address}/versions/1").json()
    assert [one["id"] for one in first["definition"]["nodes"]] == ["one", "two"]
    back = api.post(f"{address}/versions/1/restore")
    assert back.status_code == 200
    assert back.json()["definition"] == first["definition"]
    assert api.get(f"{address}/versions").json()["count"] == 2, "restoring publishes nothing"
    for number in (3, 0, 10**12):
        error_of(api.get(f"{address}/versions/{number}"), 404)
        error_of(api.post(f"{address}/versions/{number}/restore"), 404)


def test_a_draft_and_a_sent_definition_can_be_checked(api: Api):
    made = a_workflow(api)
    address = f"/workflows/{made['id']}/validate"
    assert api.post(address).json() == {"valid": True, "problems": []}
    sent = api.post(address, {"definition": graph(node("ask", "llm"))}).json()
    assert (sent["valid"], sent["problems"][0]["field"]) == (False, "prompt")
    error_of(api.post(address, {"definition": {"nodes": [{"type": "nope"}]}}), 422)
    assert api.get(f"/workflows/{made['id']}").json() == made


def test_a_copy_has_a_name_of_its_own(api: Api):
    made = a_workflow(api)
    address = f"/workflows/{made['id']}/duplicate"
    assert api.post(address).json()["name"] == "Copy of A workflow"
    named = api.post(address, {"name": "Another"})
    assert (named.status_code, named.json()["name"], named.json()["status"]) == (201, "Another", "draft")
    assert named.json()["id"] != made["id"]


def test_the_list_filters_and_pages(world: World, api: Api):
    a_workflow(api, name="Alpha", tags=["one"])
    a_workflow(api, name="Beta", tags=["two"], description="All about alpha")
    api.post(f"/workflows/{a_workflow(api, name='Gamma')['id']}/publish")
    workflow(world.other, "Alpha of another")

    def names(**query: Any) -> list[str]:
        found = api.get("/workflows", query).json()
        assert found["count"] >= len(found["items"])
        return [one["name"] for one in found["items"]]

    assert names() == ["Gamma", "Beta", "Alpha"]
    assert names(q="alpha") == ["Beta", "Alpha"]
    assert names(name="alpha") == ["Alpha"]
    assert names(tag="TWO") == ["Beta"]
    assert names(status="active") == ["Gamma"]
    assert names(order="name", limit=1, offset=1) == ["Beta"]
    row = api.get("/workflows", {"name": "alpha", "include": "definition"}).json()["items"][0]
    assert row["steps_count"] == 2
    assert [one["id"] for one in row["definition"]["nodes"]] == ["one", "two"]
    assert row["problems"] == []


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ({"limit": 0}, "query.limit"),
        ({"limit": 101}, "query.limit"),
        ({"offset": -1}, "query.offset"),
        ({"status": "wrong"}, "query.status"),
        ({"sttaus": "draft"}, "query.sttaus"),
        ({"project": "mine"}, "query.project"),
        ({"q": "a\x00b"}, "query"),
    ],
)
def test_a_wrong_filter_is_refused(api: Api, query: dict[str, Any], path: str):
    assert paths(error_of(api.get("/workflows", query), 422)) == [path]


@pytest.mark.parametrize("include", ["", "definition"])
def test_the_list_asks_the_same_number_of_queries_for_many(
    api: Api, include: str, django_assert_num_queries: Any
):
    query = {"include": include} if include else {}
    a_workflow(api)
    api.get("/workflows", query)
    with django_assert_num_queries(7 if include else 3):
        api.get("/workflows", query)
    for _ in range(5):
        a_workflow(api)
    with django_assert_num_queries(7 if include else 3):
        assert len(api.get("/workflows", query).json()["items"]) == 6


def test_reading_one_asks_the_same_number_of_queries_for_many_steps(api: Api, django_assert_num_queries: Any):
    for count in (2, 40):
        made = a_workflow(api, graph(*(node(f"n{index}") for index in range(count))))
        with django_assert_num_queries(8):
            assert len(api.get(f"/workflows/{made['id']}").json()["definition"]["nodes"]) == count


WRITES = [
    ("POST", "/workflows", {"name": "A"}),
    ("PUT", "/workflows/{id}", {"name": "A"}),
    ("DELETE", "/workflows/{id}", None),
    ("POST", "/workflows/{id}/duplicate", None),
    ("POST", "/workflows/{id}/publish", None),
    ("POST", "/workflows/{id}/validate", None),
    ("POST", "/workflows/{id}/versions/1/restore", None),
]


@pytest.mark.parametrize(("verb", "path", "body"), WRITES)
def test_only_editors_write_and_strangers_find_nothing(
    world: World, api: Api, verb: str, path: str, body: Any
):
    made = a_workflow(api)
    api.post(f"/workflows/{made['id']}/publish")
    address = path.format(id=made["id"])
    before = api.get(f"/workflows/{made['id']}").json()
    assert error_of(Api(world.vera).send(verb, address, body), 403)["code"] == "not_allowed"
    assert error_of(Api(None).send(verb, address, body), 401)["code"] == "not_signed_in"
    if "{id}" in path:
        error_of(Api(world.charlie).send(verb, address, body), 404)
    assert api.get(f"/workflows/{made['id']}").json() == before
    assert Workflow.objects.filter(tenant=world.tenant).count() == 1


def test_a_malformed_id_is_not_there(api: Api):
    error_of(api.get("/workflows/17"), 404)
