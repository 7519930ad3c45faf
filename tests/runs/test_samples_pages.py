"""Samples on the pages: the run form is filled in with one, a step tested with one, a run's input kept as one."""

from __future__ import annotations

import json

import pytest
from django.urls import reverse

from runs.models import Run
from runs.services.start_run import start_run
from runs.services.try_step import try_step
from tests.runs.support import driven, rows
from tests.support.factories import World, client_of
from workflows.definition.graph import Definition
from workflows.definition.operations import update_step
from workflows.definition.schema import parse_definition
from workflows.models import SampleInput, Workflow
from workflows.services.create_workflow import create_workflow
from workflows.services.drafts import apply_operation
from workflows.services.samples import samples_of, save_sample
from workflows.steps.catalog import CATALOG

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}
TWO = {
    "nodes": [
        {"id": "tidy", "type": "clean_text", "name": "Tidy"},
        {"id": "words", "type": "summarize", "name": "Words"},
    ],
    "edges": [{"source_node_id": "tidy", "target_node_id": "words"}],
    "variables": [{"name": "text", "type": "string", "required": True}, {"name": "n", "type": "number"}],
}


@pytest.fixture
def two(world: World) -> Workflow:
    definition: Definition = parse_definition(TWO, CATALOG)
    return create_workflow(actor=world.bob, name="Two", definition=definition)


def test_the_run_form_is_filled_in_with_a_sample_and_kept_as_one(world: World, two: Workflow) -> None:
    client, address = client_of(world.bob), reverse("runs:start", args=[two.pk])
    sent = {"version": "draft", "input_text": "Dear all", "input_n": "3", "sample_name": "Letter"}
    answer = client.post(address, {**sent, "act": "save"}, headers=HTMX)
    assert (answer.status_code, Run.objects.count()) == (200, 0)
    assert "kept as a sample" in answer["HX-Trigger"]
    sample = samples_of(two).get()
    assert (sample.name, sample.input) == ("Letter", {"text": "Dear all", "n": 3})
    html = client.get(f"{address}?sample={sample.pk}").content.decode()
    assert "Dear all" in html
    assert f'value="{sample.pk}" selected' in html
    # Without script a button fills the form in; what was typed is given up for the sample.
    filled = client.post(address, {"version": "draft", "act": "fill", "sample": str(sample.pk)})
    assert "Dear all" in filled.content.decode()
    assert Run.objects.count() == 0
    # What is wrong is said where it is wrong.
    taken = client.post(address, {**sent, "act": "save"})
    assert taken.status_code == 422
    assert "called “Letter” already" in taken.content.decode()
    missing = client.post(address, {"version": "draft", "act": "save", "sample_name": "Empty"})
    assert "This field is required" in missing.content.decode()
    assert samples_of(two).count() == 1
    run = client.post(address, {**sent, "sample_name": "", "once": "a"})
    assert run.status_code == 302
    assert Run.objects.get().input == {"text": "Dear all", "n": 3}
    assert "Letter" not in client_of(world.vera).get(address).content.decode()


def test_a_step_is_tested_with_a_sample_and_asks_only_itself_the_second_time(
    world: World, two: Workflow
) -> None:
    sample = save_sample(workflow=two, actor=world.bob, name="Letter", data={"text": "One. Two."})
    client, address = client_of(world.bob), reverse("runs:step_test", args=[two.pk, "words"])
    shown = client.get(address, headers=HTMX).content.decode()
    assert f'value="sample:{sample.pk}" selected' in shown, "with no run yet the first sample is offered"
    sent = {"source": f"sample:{sample.pk}"}
    assert client.post(address, sent, headers=HTMX).status_code == 200
    first = driven(Run.objects.get())
    assert (first.input, rows(first)["tidy"].reused) == ({"text": "One. Two."}, False)
    again = client.get(f"{address}?source=sample:{sample.pk}", headers=HTMX).content.decode()
    assert "the steps before gave this sample" in again
    assert "Passed" in again
    client.post(address, sent, headers=HTMX)
    second = driven(Run.objects.latest("number"))
    assert (second.origin_id, rows(second)["tidy"].reused) == (first.pk, True)
    # A change before the step makes what was kept stale: everything runs anew.
    apply_operation(
        workflow=two,
        actor=world.bob,
        operation=lambda draft: update_step(draft, "tidy", CATALOG, config={"lower_case": True}),
    )
    client.post(address, sent, headers=HTMX)
    third = driven(Run.objects.latest("number"))
    assert (third.origin_id, rows(third)["tidy"].reused) == (None, False)
    client.post(address, {**sent, "up_to": "1"}, headers=HTMX)
    assert Run.objects.latest("number").origin_id is None
    assert client_of(world.charlie).post(address, sent).status_code == 404


def test_what_is_typed_in_the_panel_becomes_a_sample_and_mistakes_are_said(
    world: World, two: Workflow
) -> None:
    client, address = client_of(world.bob), reverse("runs:step_test", args=[two.pk, "words"])
    sent = {"source": "input", "input": '{"n": "x"}', "sample_name": "Typed", "save_sample": "1"}
    wrong = client.post(address, sent, headers=HTMX)
    html = wrong.content.decode()
    assert wrong.status_code == 422
    assert "“text” is missing" in html
    assert "“n” must be a number" in html
    kept = client.post(address, {**sent, "input": '{"text": "x"}'}, headers=HTMX)
    sample = samples_of(two).get()
    assert (kept.status_code, sample.name, Run.objects.count()) == (200, "Typed", 0)
    assert f'value="sample:{sample.pk}" selected' in kept.content.decode()


def test_the_input_of_a_run_is_kept_and_undone_and_the_page_lists_every_sample(
    world: World, two: Workflow, django_assert_max_num_queries
) -> None:
    run = driven(start_run(workflow=two, actor=world.bob, input_data={"text": "Hello there", "n": 1}))
    client, address = client_of(world.bob), reverse("runs:save_sample", args=[run.pk])
    toast = json.loads(client.post(address, headers=HTMX)["HX-Trigger"])["toast"]
    assert toast["text"] == "The input is kept as the sample “Hello there”."
    client.post(address, {"name": "Named"})
    client.post(address)
    assert [one.name for one in samples_of(two)] == ["Hello there", "Hello there 2", "Named"]
    undone = client.post(toast["post"], toast["values"], headers=HTMX)
    assert "samples:changed" in undone["HX-Trigger"]
    page = reverse("workflows:samples", args=[two.pk])
    with django_assert_max_num_queries(14):
        html = client.get(page).content.decode()
    assert "Named" in html
    assert SampleInput.objects.count() == 3
    assert samples_of(two).count() == 2
    one = samples_of(two).get(name="Named")
    act = reverse("workflows:sample", args=[two.pk, one.pk])
    bad = client.post(act, {"act": "values", "input": '{"text": 3}'})
    assert bad.status_code == 422
    assert "must be text" in bad.content.decode()
    renamed = json.loads(client.post(act, {"act": "rename", "name": "New"}, headers=HTMX)["HX-Trigger"])
    assert renamed["toast"]["values"] == {"act": "rename", "name": "Named", "undo": "1"}
    assert client.post(act, {"act": "remove"}).status_code == 302
    assert client.post(act, {"act": "restore"}).status_code == 302
    assert client_of(world.vera).post(act, {"act": "remove"}).status_code == 403
    assert client_of(world.charlie).post(address).status_code == 404


def test_closed_cards_tell_how_the_step_went_last_time(world: World, two: Workflow) -> None:
    run = driven(start_run(workflow=two, actor=world.bob, input_data={"text": "Hello"}))
    tested = driven(try_step(workflow=two, actor=world.bob, step="words", origin=run))
    html = client_of(world.bob).get(reverse("workflows:builder", args=[two.pk])).content.decode()
    assert f'id="lasttest-tidy" title="Run {run.number},' in html
    assert f'id="lasttest-words" title="Run {tested.number},' in html
    assert f'href="{reverse("runs:step_test", args=[two.pk, "tidy"])}"' in html
