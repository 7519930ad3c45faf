"""Common patterns: a short form, and the steps are in the draft, joined and without an error."""

import pytest

from tests.support.factories import World, client_of
from tests.support.runs import graph, step
from workflows.definition.validation import validate
from workflows.lib.errors import Invalid
from workflows.models import Workflow
from workflows.services.create_workflow import create_workflow
from workflows.services.drafts import compile_draft
from workflows.services.patterns import BY_NAME, PATTERNS, pattern_text
from workflows.steps.catalog import CATALOG

FILLED = {"to": "desk@example.com", "url": "https://example.com/prices.json"}


@pytest.fixture
def flow(world: World) -> Workflow:
    two = graph(step("start", "start"), step("one", config={"expression": "input"}))
    return create_workflow(actor=world.bob, name="Flow", definition=two)


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_each_pattern_goes_in_as_it_is_offered_without_an_error(
    world: World, flow: Workflow, name: str
) -> None:
    client = client_of(world.bob)
    assert BY_NAME[name].label in client.get(f"/workflows/{flow.pk}/patterns/").content.decode()
    assert client.get(f"/workflows/{flow.pk}/patterns/{name}/").status_code == 200
    values = {ask.name: FILLED.get(ask.name, ask.usual) for ask in BY_NAME[name].asks}
    answer = client.post(f"/workflows/{flow.pk}/patterns/{name}/", values)
    assert answer.status_code == 302, answer.content.decode()
    now = compile_draft(flow)
    assert len(now.steps) >= 4
    assert [edge.source for edge in now.outgoing("one")] == ["one"]
    errors = [problem for problem in validate(now, CATALOG) if problem.is_error]
    assert not errors
    assert client.post(f"/workflows/{flow.pk}/patterns/{name}/", values).status_code == 302


def test_what_is_missing_is_said_beside_its_field_and_nothing_is_written(
    world: World, flow: Workflow
) -> None:
    answer = client_of(world.bob).post(f"/workflows/{flow.pk}/patterns/ask-review/", {"question": "Good?"})
    assert answer.status_code == 422
    shown = answer.content.decode()
    assert "“What the model does” is missing." in shown
    assert "Good?" in shown
    assert len(compile_draft(flow).steps) == 2


def test_it_goes_where_the_picker_was_opened(world: World, flow: Workflow) -> None:
    edge = compile_draft(flow).edges[0].id
    values = {"prompt": "Answer.", "question": "Good?", "place": f"edge:{edge}"}
    answer = client_of(world.bob).post(f"/workflows/{flow.pk}/patterns/ask-review/", values)
    assert answer.status_code == 302, answer.content.decode()
    now = compile_draft(flow)
    after = now.by_key[now.outgoing("start")[0].target]
    assert after.label == "Answer"
    assert now.incoming("one")[0].source != "start"


def test_too_few_categories_and_too_long_texts_are_refused() -> None:
    route = BY_NAME["classify-route"]
    with pytest.raises(Invalid, match="two categories"):
        pattern_text(route, {"categories": "One\none", "prompt": "Write."})
    with pytest.raises(Invalid, match="too long"):
        pattern_text(PATTERNS[0], {"prompt": "x" * 9_000, "question": "Good?"})


def test_the_empty_list_and_the_picker_lead_to_the_patterns(world: World) -> None:
    empty = create_workflow(actor=world.bob, name="Empty")
    shown = client_of(world.bob).get(f"/workflows/{empty.pk}/").content.decode()
    assert shown.count(f"/workflows/{empty.pk}/patterns/") >= 3
    assert client_of(world.vera).get(f"/workflows/{empty.pk}/patterns/").status_code == 403
