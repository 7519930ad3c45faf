"""A card that is drawn by itself is the card that the whole list draws."""

import pytest

from tests.support.factories import World, workflow
from workflows.definition.schema import parse_definition
from workflows.presenters.builder_page import BuilderPage
from workflows.services.drafts import save_draft
from workflows.steps.catalog import CATALOG

pytestmark = pytest.mark.django_db


def test_one_row_alone_equals_its_row_in_the_list(world: World) -> None:
    nodes = [
        {"id": f"s{n}", "type": "transform", "name": f"Step {n}", "config": {"mode": "template"}}
        for n in range(4)
    ]
    paths = (("s0", "s1"), ("s0", "s2"), ("s1", "s3"), ("s2", "s3"))
    edges = [
        {"id": f"e{n}", "source_node_id": source, "target_node_id": target}
        for n, (source, target) in enumerate(paths)
    ]
    made = workflow(world.tenant)
    definition = parse_definition({"nodes": nodes, "edges": edges}, CATALOG)
    save_draft(workflow=made, definition=definition, actor=world.bob)
    listed = {row.key: row for row in BuilderPage(made).rows}
    assert sorted(listed) == ["s0", "s1", "s2", "s3"]
    for key, row in listed.items():
        assert BuilderPage(made).row(key) == row
    assert BuilderPage(made).row("s9") is None
