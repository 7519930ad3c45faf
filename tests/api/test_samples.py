"""Samples over the API: kept, listed, named when a run is started, removed."""

from __future__ import annotations

import pytest

from runs.models import Run
from tests.api.support import Api, error_of
from tests.support.factories import World

pytestmark = pytest.mark.django_db

DEFINITION = {
    "nodes": [{"id": "a", "type": "clean_text", "name": "Tidy"}],
    "variables": [
        {"name": "text", "type": "string", "required": True},
        {"name": "times", "type": "number"},
    ],
}


def test_a_sample_is_kept_run_renamed_and_removed(world: World) -> None:
    api = Api(world.bob)
    workflow = f"/workflows/{api.post('/workflows', {'name': 'W', 'definition': DEFINITION}).json()['id']}"
    made = api.post(f"{workflow}/samples", {"name": "Long", "input": {"text": "x", "times": 1}})
    assert made.status_code == 201, made.content
    error = error_of(api.post(f"{workflow}/samples", {"name": "Bad", "input": {"times": "x"}}), 422)
    assert {one["path"] for one in error["problems"]} == {"input.text", "input.times"}
    assert error_of(api.post(f"{workflow}/samples", {"name": "long", "input": {"text": "y"}}), 409)
    seen = Api(world.vera).get(f"{workflow}/samples").json()
    assert [(one["name"], one["input"], one["problems"]) for one in seen["items"]] == [
        ("Long", {"text": "x", "times": 1}, [])
    ]
    started = api.post(f"{workflow}/execute", {"sample": "long", "input_data": {"times": 4}})
    assert started.status_code == 202, started.content
    assert Run.objects.get().input == {"text": "x", "times": 4}
    assert error_of(api.post(f"{workflow}/execute", {"sample": "none"}), 422)["code"] == "unknown_sample"
    one = f"{workflow}/samples/{made.json()['id']}"
    assert api.send("PATCH", one, {"name": "Longer"}).json()["name"] == "Longer"
    assert Api(world.vera).delete(one).status_code == 403
    assert Api(world.charlie).delete(one).status_code == 404
    assert api.delete(one).status_code == 204
    assert api.get(f"{workflow}/samples").json()["count"] == 0
