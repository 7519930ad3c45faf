"""Step types over the API: what an integrator needs to build a definition."""

from __future__ import annotations

import pytest

from tests.api.support import Api, a_workflow, graph
from tests.support.factories import World
from workflows.steps import registry

pytestmark = pytest.mark.django_db


def test_every_type_is_there_with_the_schema_of_its_settings(world: World):
    found = Api(world.vera).get("/step-types").json()
    types = {one["type"]: one for one in found["items"]}
    assert found["count"] == len(types)
    assert set(types) == {kind.name for _, kinds in registry.by_group() for kind in kinds}
    llm = types["llm"]
    assert "prompt_execution" in llm["aliases"]
    assert llm["config_schema"]["additionalProperties"] is False
    assert "prompt" in llm["config_schema"]["properties"]
    assert [port["name"] for port in types["condition"]["ports"]] == ["true", "false"]


def test_every_type_can_be_made_by_its_name_alone(world: World):
    api = Api(world.bob)
    for one in api.get("/step-types").json()["items"]:
        made = a_workflow(api, graph({"id": "only", "type": one["type"]}))
        assert made["definition"]["nodes"][0]["type"] == one["type"]
