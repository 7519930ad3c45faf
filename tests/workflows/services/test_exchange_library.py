"""Documents carry the prompts and personas that their workflows use; an import brings in what is missing."""

import pytest
import yaml

from tests.support.factories import World, client_of
from tests.support.runs import graph, step
from workflows.definition.library import library_of_sections
from workflows.lib.errors import Invalid
from workflows.models import Persona, Prompt
from workflows.services.change_persona import save_persona
from workflows.services.change_prompt import create_prompt, new_version
from workflows.services.create_workflow import create_workflow
from workflows.services.export_workflows import export_workflows
from workflows.services.import_workflows import import_document, look_through

TOPIC = {"name": "topic", "type": "string", "required": True}


@pytest.fixture
def document(world: World) -> str:
    one = create_prompt(actor=world.bob, name="House style", text="Write on {{topic}}.", parameters=[TOPIC])
    new_version(actor=world.bob, prompt=one, text="Write well on {{topic}}.", parameters=[TOPIC])
    save_persona(actor=world.bob, name="Analyst of ours", text="You count twice.")
    pinned = {"library_prompt": {"name": "House style", "version": 1, "parameters": {"topic": "wells"}}}
    latest = {"library_prompt": {"name": "House style", "parameters": {"topic": "steps"}}}
    for name, config in (("One", pinned | {"persona": "Analyst of ours"}), ("Two", latest)):
        create_workflow(actor=world.bob, name=name, definition=graph(step("ask", "llm", config=config)))
    return export_workflows(actor=world.bob).text


def test_the_texts_travel_once_and_the_round_trip_is_exact(world: World, document: str) -> None:
    data = yaml.safe_load(document)
    assert [(one["name"], one["version"], one.get("latest", False)) for one in data["prompts"]] == [
        ("House style", 1, False),
        ("House style", 2, True),
    ]
    assert data["personas"] == [{"name": "Analyst of ours", "text": "You count twice."}]
    entries = look_through(actor=world.charlie, text=document)
    assert [len(entry.brings.prompts) for entry in entries] == [2, 2]
    assert not any(problem.is_error for entry in entries for problem in entry.problems)
    import_document(actor=world.charlie, text=document)
    prompt = Prompt.objects.get(tenant=world.other)
    assert (prompt.latest, prompt.versions.count()) == (2, 2)
    assert Persona.objects.get(tenant=world.other).text == "You count twice."
    assert export_workflows(actor=world.charlie).text == document


def test_what_is_there_stays_and_texts_can_be_left_out(world: World, document: str) -> None:
    save_persona(actor=world.charlie, name="analyst of OURS", text="Mine.")
    import_document(actor=world.charlie, text=document, with_texts=False)
    assert not Prompt.objects.filter(tenant=world.other).exists()
    (entry, _) = look_through(actor=world.charlie, text=document)
    assert entry.brings.personas == ()
    import_document(actor=world.charlie, text=document)
    assert Persona.objects.get(tenant=world.other).text == "Mine."


def test_a_document_without_its_texts_says_what_is_missing(world: World, document: str) -> None:
    data = yaml.safe_load(document)
    del data["prompts"], data["personas"]
    entries = look_through(actor=world.charlie, text=yaml.safe_dump(data))
    codes = {problem.code for entry in entries for problem in entry.problems}
    assert {"unknown_prompt", "unknown_persona"} <= codes


def test_the_page_offers_them(world: World, document: str) -> None:
    client = client_of(world.charlie)
    shown = client.post("/workflows/import/", {"document": document}).content.decode()
    assert "Comes with texts that are not here yet" in shown
    assert "House style" in shown
    client.post("/workflows/import/", {"document": document, "sure": "1", "without_texts": "1"})
    assert not Prompt.objects.filter(tenant=world.other).exists()


def test_bad_texts_are_refused_with_their_place(world: World, document: str) -> None:
    data = yaml.safe_load(document)
    data["prompts"][0]["version"] = "one"
    data["personas"] = [{"name": "Nobody"}]
    with pytest.raises(Invalid) as caught:
        look_through(actor=world.charlie, text=yaml.safe_dump(data))
    assert {problem.path for problem in caught.value.problems} >= {
        "prompts[0].version",
        "personas[0].text",
    } or {(problem.path or "").split(" ")[-1] for problem in caught.value.problems} >= {
        "prompts[0].version",
        "personas[0].text",
    }
    assert library_of_sections({"prompts": "none"})[1][0].path == "prompts"
