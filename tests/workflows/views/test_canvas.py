"""The canvas page and its own edits: what is drawn, what is answered, what is refused, and how much it asks the database."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from tests.support import runs
from tests.support.factories import client_of, member, tenant
from workflows.definition.graph import Definition
from workflows.models import Step, Workflow
from workflows.services.create_workflow import create_workflow
from workflows.services.drafts import compile_draft
from workflows.tenancy.actor import Actor

pytestmark = pytest.mark.django_db
HTMX: Any = {"HTTP_HX_REQUEST": "true", "HTTP_STEPWELL_VIEW": "canvas"}


@pytest.fixture
def alice() -> Actor:
    return member(tenant("marlowe"))


@pytest.fixture
def client(alice: Actor) -> Client:
    return client_of(alice)


@pytest.fixture
def draft(alice: Actor) -> Workflow:
    """one → (two, three) → four; five stands in the loop six after it."""
    graph = runs.graph(
        runs.step("one"), runs.step("two"), runs.step("three"), runs.step("four"),
        runs.step("six", "loop"), runs.step("five", parent="six"),
        paths="one>two one>three two>four three>four four>six",
    )  # fmt: skip
    return create_workflow(actor=alice, name="Lead qualification", definition=graph)


def url(draft: Workflow, rest: str = "") -> str:
    return f"/workflows/{draft.pk}/{rest}"


def place(draft: Workflow, key: str) -> tuple[float | None, float | None]:
    row = Step.objects.get(workflow=draft, key=key)
    return row.x, row.y


def test_every_step_and_path_is_drawn_with_its_name(client: Client, draft: Workflow) -> None:
    page = client.get(url(draft, "canvas/?open=two")).content.decode()
    for key in ("one", "two", "three", "four", "five", "six"):
        assert f'id="node-{key}"' in page
    assert page.count('class="wire ') == 5 + 1  # and the one from the start
    assert 'data-node="six" data-frame' in page
    assert ", in Six" in page
    assert 'id="form-two"' in page
    assert "Connect to another step" in page
    assert "style=" not in page


def test_a_drop_stores_places_on_the_raster_for_all_and_leaves_open_cards_alone(
    client: Client, draft: Workflow
) -> None:
    revision = Step.objects.get(workflow=draft, key="two").revision
    answer = client.post(url(draft, "canvas/place/"), {"positions": json.dumps({"two": [303, 408]})}, **HTMX)
    assert answer.status_code == 200
    assert 'hx-target="#world"' in answer.content.decode()
    assert place(draft, "two") == (308.0, 407.0)
    assert not Step.objects.filter(workflow=draft, x=None).exists()
    assert Step.objects.get(workflow=draft, key="two").revision == revision


def test_undo_puts_a_node_back_and_tidying_up_can_be_undone(client: Client, draft: Workflow) -> None:
    client.post(url(draft, "canvas/place/"), {"positions": json.dumps({"two": [1100, 1100]})}, **HTMX)
    client.post(url(draft, "canvas/tidy/"), **HTMX)
    tidied = place(draft, "two")
    assert tidied != (1100.0, 1100.0)
    client.post(url(draft, "undo/"), **HTMX)
    assert place(draft, "two") == (1100.0, 1100.0)
    client.post(url(draft, "redo/"), **HTMX)
    assert place(draft, "two") == tidied


def test_a_drop_into_a_frame_moves_the_step_into_the_container(client: Client, draft: Workflow) -> None:
    values = {"positions": json.dumps({"two": [0, 2200]}), "into": "six", "keys": json.dumps(["two"])}
    answer = client.post(url(draft, "canvas/place/"), values, **HTMX)
    assert answer.status_code == 200
    definition = compile_draft(draft)
    assert definition.step("two").parent == "six"
    assert [edge.source for edge in definition.incoming("two")] == ["five"]
    client.post(url(draft, "canvas/place/"), values | {"into": ""}, **HTMX)
    assert compile_draft(draft).step("two").parent is None


def test_a_path_is_drawn_led_elsewhere_and_removed(client: Client, draft: Workflow) -> None:
    client.post(url(draft, "paths/"), {"source": "two", "target": "six"}, **HTMX)
    edge = next(one for one in compile_draft(draft).edges if (one.source, one.target) == ("two", "six"))
    assert client.post(url(draft, f"canvas/paths/{edge.id}/"), {"target": "three"}, **HTMX).status_code == 200
    moved = next(one for one in compile_draft(draft).edges if one.id == edge.id)
    assert (moved.source, moved.target) == ("two", "three")
    refused = client.post(url(draft, f"canvas/paths/{edge.id}/"), {"target": "one"}, **HTMX)
    assert refused.status_code == 409
    assert "would wait for each other" in refused["HX-Trigger"]
    answer = client.post(url(draft, f"paths/{edge.id}/"), {"remove": "1"}, **HTMX)
    assert 'hx-target="#world"' in answer.content.decode()
    assert edge.id not in {one.id for one in compile_draft(draft).edges}


def test_a_step_dropped_on_the_ground_stays_there_connected_to_its_port(
    client: Client, draft: Workflow
) -> None:
    values = {"type": "llm", "place": "after:four", "x": "700", "y": "806"}
    answer = client.post(url(draft, "add/"), values, **HTMX)
    assert answer.status_code == 200
    definition = compile_draft(draft)
    new = next(one for one in definition.steps if one.label == "Ask a model")
    assert place(draft, new.key) == (704.0, 803.0)
    assert [edge.source for edge in definition.incoming(new.key)] == ["four"]
    assert f'data-open="{new.key}"' in answer.content.decode()


def test_an_edit_of_the_list_places_what_is_new_and_moves_nothing(client: Client, draft: Workflow) -> None:
    client.post(url(draft, "canvas/tidy/"), **HTMX)
    before = dict(Step.objects.filter(workflow=draft).values_list("key", "x"))
    client.post(url(draft, "add/"), {"type": "llm", "place": "before:four"}, HTTP_HX_REQUEST="true")
    after = dict(Step.objects.filter(workflow=draft).values_list("key", "x"))
    assert None not in after.values()
    assert {key: after[key] for key in before} == before


def test_several_steps_are_turned_off_and_deleted_at_once(client: Client, draft: Workflow) -> None:
    keys = json.dumps(["two", "three"])
    client.post(url(draft, "canvas/several/"), {"act": "off", "keys": keys}, **HTMX)
    assert Step.objects.filter(workflow=draft, enabled=False).count() == 2
    client.post(url(draft, "canvas/several/"), {"act": "remove", "keys": keys}, **HTMX)
    assert {(one.source, one.target) for one in compile_draft(draft).edges} == {
        ("one", "four"),
        ("four", "six"),
    }


@pytest.mark.parametrize(
    "values",
    [
        {"positions": "no"},
        {"positions": "[]"},
        {"positions": '{"two": [1]}'},
        {"positions": '{"two": [1, NaN]}'},
        {"positions": '{"two": [true, 1]}'},
        {"positions": '{"two": [1e9, 1]}'},
        {"positions": '{"nowhere": [1, 1]}'},
        {"positions": "{}", "into": "two", "keys": '["one"]'},
        {"positions": "{}", "into": "six", "keys": '{"one": 1}'},
    ],
)
def test_what_is_no_place_is_refused_and_nothing_is_written(
    client: Client, draft: Workflow, values: dict[str, str]
) -> None:
    before = compile_draft(draft)
    assert client.post(url(draft, "canvas/place/"), values, **HTMX).status_code in (409, 422)
    assert compile_draft(draft) == before


def test_an_empty_workflow_says_how_to_begin(client: Client, alice: Actor) -> None:
    empty = create_workflow(actor=alice, name="Empty", definition=Definition())
    assert "Nothing here yet." in client.get(url(empty, "canvas/")).content.decode()


def test_a_viewer_sees_the_canvas_and_cannot_edit_it(alice: Actor, draft: Workflow) -> None:
    viewer = client_of(member(alice.tenant, "viewer"))
    page = viewer.get(url(draft, "canvas/")).content.decode()
    assert 'id="node-two"' in page
    assert " data-editable" not in page
    assert 'id="picker"' not in page


def test_the_page_asks_the_database_the_same_however_many_steps_there_are(
    client: Client, alice: Actor, django_assert_max_num_queries: Any
) -> None:
    many = runs.graph(*(runs.step(f"s{at}") for at in range(60)))
    large = create_workflow(actor=alice, name="Large", definition=many)
    with django_assert_max_num_queries(32):
        assert client.get(url(large, "canvas/?open=s1")).status_code == 200


def test_what_others_changed_comes_with_the_drawing_and_says_who(
    client: Client, alice: Actor, draft: Workflow
) -> None:
    draft.refresh_from_db()
    known = {**HTMX, "HTTP_STEPWELL_REVISION": str(draft.revision), "HTTP_STEPWELL_OPEN": "two"}
    assert client.get(url(draft, "canvas/world/"), **known).status_code == 204
    other = member(alice.tenant, "editor")
    client_of(other).post(
        url(draft, "steps/two/"), {"label": "Second", "field": "label", "revision": "1"}, **HTMX
    )
    answer = client.get(url(draft, "canvas/world/"), **known)
    told = json.loads(answer["HX-Trigger"])["canvas:caught-up"]
    assert told["touched"]["two"]["name"] == str(other.user)
    assert told["touched"]["two"]["fields"] == ["label"]
    # The panel comes along: the script keeps what is typed in it.
    assert 'data-label="Second"' in answer.content.decode()
    assert 'hx-target="#panel-in"' in answer.content.decode()


def test_the_panel_offers_settings_test_data_and_checks(client: Client, draft: Workflow) -> None:
    panel = client.get(url(draft, "canvas/panel/?open=two"), **HTMX).content.decode()
    tabs = [panel.index(f'id="tab-{name}"') for name in ("settings", "test", "data", "checks")]
    assert tabs == sorted(tabs)
    assert panel.index('id="form-two"') < panel.index('id="around-two"') < panel.index('id="foot-two"')
