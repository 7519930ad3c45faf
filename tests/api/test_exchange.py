"""Documents over the API: out, looked through, in, and steps pasted."""

from __future__ import annotations

import pytest

from tests.api.support import Api, error_of
from tests.support.factories import World
from workflows.models import Workflow

pytestmark = pytest.mark.django_db

NODES = [
    {"id": "a", "type": "clean_text", "name": "Tidy"},
    {"id": "b", "type": "summarize", "name": "Short"},
]
BRIEF = {
    "name": "Brief – ä",
    "definition": {"nodes": NODES, "edges": [{"source_node_id": "a", "target_node_id": "b"}]},
}


@pytest.mark.parametrize("format", ["yaml", "json"])
def test_an_export_imports_elsewhere_and_is_the_same_text(world: World, format: str):
    made = Api(world.bob).post("/workflows", BRIEF).json()
    one = Api(world.vera).get(f"/workflows/{made['id']}/export", {"format": format})
    assert one["Content-Type"].startswith(f"application/{format}")
    assert one["Content-Disposition"] == f'attachment; filename="brief.{format}"'
    every = Api(world.vera).get("/workflows/export", {"format": format})
    assert every.content == one.content
    document = one.json() if format == "json" else one.content.decode()
    theirs = Api(world.charlie)
    look = theirs.post("/workflows/import", {"document": document, "dry_run": True})
    assert (look.status_code, look.json()["items"][0]["done"]) == (200, "new")
    assert not Workflow.objects.for_tenant(world.other).exists()
    answer = theirs.post("/workflows/import", {"document": document})
    assert answer.status_code == 201, answer.content
    (item,) = answer.json()["items"]
    assert (item["done"], item["called"]) == ("created", "Brief – ä")
    assert theirs.get(f"/workflows/{item['id']}/export", {"format": format}).content == one.content
    again = theirs.post("/workflows/import", {"document": document, "choices": {"Brief – ä": "draft"}}).json()
    assert (again["items"][0]["done"], again["items"][0]["id"]) == ("changed", item["id"])


def test_a_version_is_exported_as_it_was(world: World):
    api = Api(world.bob)
    address = f"/workflows/{api.post('/workflows', BRIEF).json()['id']}"
    api.post(f"{address}/publish")
    before = api.get(f"{address}/export").content
    api.put(address, {"definition": {"nodes": NODES[:1]}})
    assert api.get(f"{address}/export").content != before
    assert api.get(f"{address}/export", {"version": 1}).content == before
    error_of(api.get(f"{address}/export", {"version": 7}), 404)
    error_of(api.get(f"{address}/export", {"format": "xml"}), 422)


def test_a_refused_document_names_every_line_and_writes_nothing(world: World):
    text = "stepwell: 1\nworkflows:\n  - name: A\n    nodes: [{type: nope}]\n  - nam: B\n"
    error = error_of(Api(world.bob).post("/workflows/import", {"document": text}), 422)
    assert {problem["path"].split(",")[0] for problem in error["problems"]} == {"line 4", "line 5"}
    assert not Workflow.objects.exists()
    error_of(Api(world.bob).post("/workflows/import", {"document": 17}), 422)
    error_of(Api(world.bob).post("/workflows/import", {"document": "a: &x 1\nb: *x"}), 422)


def test_steps_are_pasted_behind_a_step(world: World):
    api = Api(world.bob)
    made = api.post("/workflows", BRIEF).json()
    text = "nodes:\n  - {id: a, type: extract_keywords, name: Tidy}\n"
    found = api.post(f"/workflows/{made['id']}/paste", {"document": text, "after": "a"})
    assert found.status_code == 200, found.content
    nodes = {node["id"]: node for node in found.json()["definition"]["nodes"]}
    (new,) = set(nodes) - {"a", "b"}
    assert nodes[new]["name"] == "Tidy 2"
    paths = {(edge["source_node_id"], edge["target_node_id"]) for edge in found.json()["definition"]["edges"]}
    assert paths == {("a", new), (new, "b")}
    stale = api.post(f"/workflows/{made['id']}/paste", {"document": text}, If_Match='"1"')
    error_of(stale, 412)
    error_of(api.post(f"/workflows/{made['id']}/paste", {"document": "nodes: []"}), 422)


def test_two_versions_are_compared(world: World):
    api = Api(world.bob)
    address = f"/workflows/{api.post('/workflows', BRIEF).json()['id']}"
    api.post(f"{address}/publish")
    same = api.get(f"{address}/versions/1/compare/draft").json()
    assert same == {"from": "1", "to": "draft", "summary": "Nothing changed.", "changes": []}
    api.put(address, {"definition": {"nodes": [{**NODES[0], "name": "Tidier"}]}})
    found = api.get(f"{address}/versions/1/compare/draft").json()
    assert [(one["kind"], one["part"], one["label"]) for one in found["changes"]] == [
        ("changed", "step", "Tidier"),
        ("removed", "step", "Short"),
        ("removed", "edge", "Tidy → Short"),
    ]
    assert found["changes"][0]["fields"] == [{"name": "name", "before": "Tidy", "after": "Tidier"}]
    assert found["summary"] == "“Short” removed, “Tidier” changed (name), 1 path changed."
    for a, b in (("7", "draft"), ("x", "1"), ("1", "99999999999")):
        error_of(api.get(f"{address}/versions/{a}/compare/{b}"), 404)
