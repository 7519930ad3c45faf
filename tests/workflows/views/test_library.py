"""The library's pages: what they show, how a prompt and a persona are changed, and the pickers in the step's card."""

from __future__ import annotations

import pytest

from runs.engine.statuses import RunStatus
from runs.models import Attempt, Run
from runs.services.drive_run import drive
from tests.support.factories import World, client_of
from workflows.definition.graph import Definition, StepDef
from workflows.models import Persona, Prompt, Workflow
from workflows.services.change_prompt import create_prompt
from workflows.services.create_workflow import create_workflow
from workflows.services.drafts import compile_draft

pytestmark = pytest.mark.django_db(transaction=True)

TOPIC = {"name": "topic", "required": True, "description": "What it is about"}


def opener(world: World) -> Prompt:
    return create_prompt(actor=world.bob, name="Opener", text="Open {{topic}}.", parameters=[TOPIC])


def flow(world: World, **config) -> Workflow:
    made = Definition(steps=(StepDef("a", "llm", "Ask", config={"model": "demo:writer", **config}),))
    return create_workflow(actor=world.bob, name="Flow", definition=made)


def text(response) -> str:
    return " ".join(response.content.decode().split())


def test_the_list_shows_personas_and_prompts_with_their_uses(world: World, django_assert_max_num_queries):
    opener(world)
    flow(world, library_prompt={"name": "Opener", "parameters": {"topic": "x"}}, persona="Athena")
    client = client_of(world.vera)
    client.get("/prompts/")
    with django_assert_max_num_queries(12):
        page = text(client.get("/prompts/"))
    assert "Ipcha Mistabra" in page
    assert page.count("1 step<") == 2
    assert "New prompt" not in page
    assert "New prompt" in text(client_of(world.bob).get("/prompts/"))


def test_a_prompt_is_written_and_changed_without_script(world: World):
    client = client_of(world.bob)
    sent = {
        "name": "Opener",
        "text": "Open {{topic}} in a {{tone}} way.",
        "parameter__name": ["topic", "tone", ""],
        "parameter__type": ["string", "choice", "string"],
        "parameter__required": ["yes", "no", "yes"],
        "parameter__default": ["", "calm", ""],
        "parameter__description": ["What it is about", "", ""],
        "parameter__options": ["", "calm, lively", ""],
    }
    bad = client.post("/prompts/new/", {**sent, "text": "Open {{topik}}"})
    assert bad.status_code == 422
    assert "Did you mean “topic”?" in text(bad)
    assert 'value="calm, lively"' in text(bad)
    answer = client.post("/prompts/new/", sent)
    made = Prompt.objects.get()
    assert answer["Location"] == f"/prompts/{made.pk}/"
    assert made.versions.get().parameters[1]["options"] == ["calm", "lively"]
    used = flow(world, library_prompt={"name": "Opener", "parameters": {"topic": "x"}})
    page = text(client.get(answer["Location"]))
    assert "Only new steps" in page
    assert "Used by 1 step" in page
    change = {
        **sent,
        "name": "First line",
        "text": "New {{topic}}{{tone}}",
        "note": "Shorter",
        "reach": "new",
        "seen": 1,
    }
    assert client.post(answer["Location"], change).status_code == 302
    made.refresh_from_db()
    assert (made.name, made.latest) == ("First line", 2)
    said = compile_draft(used).step("a").config["library_prompt"]
    assert (said["name"], said["version"]) == ("First line", 1)
    stale = client.post(answer["Location"], {**change, "text": "Other {{topic}}{{tone}}", "seen": 1})
    assert stale.status_code == 422
    assert "in the meantime" in text(stale)
    assert "Open {{topic}}" in client.get(f"{answer['Location']}?version=1").content.decode()
    assert client.get(f"{answer['Location']}?version=9").status_code == 404
    assert client.post(f"{answer['Location']}remove/").status_code == 302
    assert client.get(answer["Location"]).status_code == 404


def test_a_builtin_persona_is_changed_and_comes_back(world: World):
    client = client_of(world.bob)
    page = text(client.get("/personas/new/?like=Athena"))
    assert "You are Athena, a strategist" in page
    sent = {"name": "Athena", "colour": "3", "description": "Ours", "text": "You are our Athena."}
    assert client.post("/personas/new/?like=Athena", sent).status_code == 302
    row = Persona.objects.get()
    assert "Used by 0 steps" in text(client.get(f"/personas/{row.pk}/"))
    assert client.post("/personas/new/", sent).status_code == 422
    assert client.post(f"/personas/{row.pk}/", {**sent, "text": ""}).status_code == 422
    assert client.post(f"/personas/{row.pk}/remove/").status_code == 302
    assert "/personas/new/?like=Athena" in text(client.get("/prompts/"))


def test_one_persona_for_the_ticked_steps(world: World):
    made = flow(world, prompt="x")
    client = client_of(world.bob)
    assert "Ask" in text(client.get(f"/workflows/{made.pk}/personas/"))
    assert (
        client.post(f"/workflows/{made.pk}/personas/", {"persona": "Cael", "steps": ["a"]}).status_code == 302
    )
    assert compile_draft(made).step("a").config["persona"] == "Cael"
    assert client.post(f"/workflows/{made.pk}/personas/", {"persona": "Nobody"}).status_code == 422


def test_the_card_offers_the_library_and_draws_the_parameters_of_the_chosen_prompt(world: World):
    one = opener(world)
    made = flow(world, prompt="x")
    client = client_of(world.bob)
    page = text(client.get(f"/workflows/{made.pk}/?open=a"))
    assert '<option value="Opener">Opener</option>' in page
    assert '<option value="Morgan">Morgan</option>' in page
    address = f"/workflows/{made.pk}/steps/a/"
    answer = client.post(
        address, {"field": "library_prompt", "library_prompt__name": "Opener"}, headers={"HX-Request": "true"}
    )
    assert "What it is about" in text(answer)
    assert f"/prompts/{one.pk}/" in text(answer)
    assert "needs a value for “topic”" in text(answer)
    sent = {
        "library_prompt__name": "Opener",
        "library_prompt__was": "Opener",
        "library_prompt__version": "1",
        "library_prompt__parameter": ["topic"],
        "library_prompt__value": ["{{input.idea}}"],
    }
    client.post(address, {**sent, "field": "library_prompt"}, headers={"HX-Request": "true"})
    assert compile_draft(made).step("a").config["library_prompt"] == {
        "name": "Opener",
        "version": 1,
        "parameters": {"topic": "{{input.idea}}"},
    }
    client.post(address, {"persona": "Morgan"})
    page = text(client.get(f"/workflows/{made.pk}/?open=a"))
    assert '<option value="Morgan" selected>' in page
    assert '<option value="1" selected>Version 1</option>' in page
    client.post(address, {**sent, "library_prompt__name": ""})
    assert "library_prompt" not in compile_draft(made).step("a").config


def test_a_prompt_is_tried_alone_and_its_call_is_listed(world: World, django_assert_max_num_queries):
    one = opener(world)
    client = client_of(world.bob)
    address = f"/runs/prompts/{one.pk}/"
    assert "What it is about" in text(client.get(address))
    assert client.post(address, {"value_topic": ""}).status_code == 422
    sent = {"value_topic": "{{ wells }}", "model": "demo:writer", "persona": "Athena"}
    answer = client.post(address, sent)
    run = Run.objects.get()
    assert (answer["Location"], run.kind) == (f"/runs/{run.pk}/", "step")
    drive(run.pk)
    run.refresh_from_db()
    assert run.status == RunStatus.COMPLETED, run.error
    (call,) = Attempt.objects.get().calls
    assert call["messages"][1]["content"] == "Open {{ wells }}."
    assert client.get(answer["Location"]).status_code == 200
    assert "Flow" not in text(client.get("/workflows/"))
    client.post(address, sent)
    assert Workflow.objects.count() == 1
    with django_assert_max_num_queries(14):
        page = text(client.get("/runs/model-calls/?prompt=opener"))
    assert "Opener, v1 · Athena" in page
    assert f"/runs/{run.pk}/?step=prompt" in page
    assert "No call fits" in text(client.get("/runs/model-calls/?model=demo:other"))
    assert "No call fits" in text(client.get("/runs/model-calls/?day=2001-01-01"))
    assert "No calls yet" in text(client_of(world.charlie).get("/runs/model-calls/"))


def test_names_in_a_prompt_that_are_no_parameters_yet_are_offered_as_such(world: World) -> None:
    client = client_of(world.bob)
    sent = {"name": "Score", "text": "Score {{company}} by {{ floor }} and {{input.text}} and {{previous}}."}
    refused = client.post("/prompts/new/", sent)
    html = refused.content.decode()
    assert refused.status_code == 422
    assert 'name="parameter__name" value="company"' in html
    assert 'name="parameter__name" value="floor"' in html
    assert 'value="previous"' not in html
    sent |= {"text": "Score {{company}} by {{ floor }}."}
    made = client.post("/prompts/new/", {**sent, "parameter__name": ["company", "floor"]})
    assert made.status_code == 302
