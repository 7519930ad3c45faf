"""The page of versions: any two compared in words, one change taken back, one version restored so that undo helps."""

from __future__ import annotations

import pytest

from tests.support.factories import World, client_of
from workflows.definition.schema import parse_definition
from workflows.models import Workflow
from workflows.services.create_workflow import create_workflow
from workflows.services.drafts import compile_draft, save_draft
from workflows.services.publish_workflow import publish_workflow
from workflows.services.undo_change import undo
from workflows.steps.catalog import CATALOG

pytestmark = pytest.mark.django_db

PROMPT = "Score this enquiry.\nBe generous: 60 is enough.\nCompany: {{ input.company }}"
FIRST = {
    "nodes": [
        {"id": "score", "type": "llm", "name": "Score the fit", "config": {"prompt": PROMPT}},
        {"id": "gate", "type": "review", "name": "Sales review"},
        {"id": "mail", "type": "transform", "name": "Tell them", "config": {"expression": "input.company"}},
    ],
    "edges": [
        {"id": "one", "source_node_id": "score", "target_node_id": "gate"},
        {"id": "two", "source_node_id": "gate", "target_node_id": "mail"},
    ],
    "variables": [{"name": "company", "type": "string", "required": True}],
}


@pytest.fixture
def changed(world: World) -> Workflow:
    """Published once, then: the prompt and the temperature changed, a step added, one removed, a variable, a setting."""
    made = create_workflow(actor=world.bob, name="Leads", definition=parse_definition(FIRST, CATALOG))
    publish_workflow(workflow=made, actor=world.bob, note="The first")
    config = {"prompt": PROMPT.replace("generous: 60", "strict: 70"), "temperature": 0.2}
    second = {
        "nodes": [
            {"id": "score", "type": "llm", "name": "Score the fit", "config": config},
            {"id": "gate", "type": "review", "name": "Sales review"},
            {"id": "brief", "type": "llm", "name": "Write the brief", "config": {"prompt": "One page."}},
        ],
        "edges": [
            {"id": "one", "source_node_id": "score", "target_node_id": "gate"},
            {"id": "new", "source_node_id": "gate", "target_node_id": "brief"},
        ],
        "variables": [{"name": "company", "type": "string", "required": False}],
        "settings": {"yolo": True},
    }
    save_draft(workflow=made, definition=parse_definition(second, CATALOG), actor=world.bob)
    return made


def test_the_draft_is_compared_with_the_live_version_in_words(world: World, changed: Workflow):
    page = client_of(world.bob).get(f"/workflows/{changed.pk}/versions/")
    html = page.content.decode()
    assert (
        "1 step changed, 1 added, 1 removed, 2 paths changed, 1 variable changed, 1 setting changed" in html
    )
    assert "<del>generous</del>: <del>60</del>" in html
    assert "<ins>strict</ins>: <ins>70</ins>" in html
    assert '<span class="var">input.company</span>' in html
    assert "after Sales review" in html
    assert "expected cost of a run goes from" in html or "cost of a run stays" in html
    assert [name in html for name in ("chg-node", "add-node", "del-node")] == [True] * 3
    assert "as version 2" in html
    assert html.count("Undo this:") == 7
    viewer = client_of(world.vera).get(f"/workflows/{changed.pk}/versions/").content.decode()
    assert "Undo this:" not in viewer
    assert "Restore version" not in viewer


def test_any_two_are_compared_and_each_version_with_the_one_before(world: World, changed: Workflow):
    publish_workflow(workflow=changed, actor=world.bob, note="The second")
    client, address = client_of(world.vera), f"/workflows/{changed.pk}/versions/"
    assert "Nothing differs" in client.get(address).content.decode()
    second = client.get(f"{address}?to=2").content.decode()
    assert "1 step changed, 1 added" in second
    assert "Undo this" not in second  # the past is not changed
    backwards = client.get(f"{address}?from=2&to=1").content.decode()
    assert "Tell them" in backwards
    side = client.get(f"{address}?from=1&to=2&view=side").content.decode()
    assert "Steps of version 1" in side
    assert side.count("data-d=") == 4
    for asked in ("?to=9", "?from=x", "?to=%C2%B2", "?from=99999999999"):
        assert client.get(address + asked).status_code == 404


def test_each_change_is_taken_back_by_itself_and_undo_brings_it_again(world: World, changed: Workflow):
    client, address = client_of(world.bob), f"/workflows/{changed.pk}/versions/1/revert/"
    answer = client.post(address, {"part": "step", "key": "score"}, follow=True)
    assert "“Score the fit” is as it was." in answer.content.decode()
    draft = compile_draft(changed)
    assert draft.step("score").config == FIRST["nodes"][0]["config"]
    assert "brief" in draft.by_key
    undo(workflow=changed, actor=world.bob)
    assert compile_draft(changed).step("score").config["temperature"] == 0.2
    for part, key in [("step", "score"), ("step", "brief"), ("step", "mail"), ("variable", "company")]:
        client.post(address, {"part": part, "key": key})
    page = client.post(address, {"part": "setting", "key": "yolo"}, follow=True).content.decode()
    assert "Nothing differs" in page or "Only the places" in page
    refused = client.post(address, {"part": "step", "key": "nothing"}, follow=True).content.decode()
    assert "in neither of the two" in refused
    assert client_of(world.vera).post(address, {"part": "step", "key": "score"}).status_code == 403


def test_a_version_is_restored_so_that_undo_takes_it_back(world: World, changed: Workflow):
    before = compile_draft(changed)
    client_of(world.bob).post(f"/workflows/{changed.pk}/versions/1/restore/")
    assert "mail" in compile_draft(changed).by_key
    undo(workflow=changed, actor=world.bob)
    assert compile_draft(changed) == before


def test_the_page_asks_a_constant_number_of_queries(
    world: World, changed: Workflow, django_assert_max_num_queries
):
    client = client_of(world.bob)
    client.get(f"/workflows/{changed.pk}/versions/")
    with django_assert_max_num_queries(32):
        client.get(f"/workflows/{changed.pk}/versions/")
