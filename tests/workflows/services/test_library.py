"""The library of prompts and personas: versions, freezing with a workflow's version, who uses what, and what is wrong."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.support.factories import World
from workflows.definition.graph import Definition, StepDef
from workflows.definition.library import Library, PromptUse
from workflows.definition.schema import canonical_json, from_stored, parse_definition, to_json
from workflows.lib.builtin_personas import BUILTIN
from workflows.lib.errors import Conflict, Invalid, NotAllowed
from workflows.models import LibraryUse, Persona, Prompt, Workflow
from workflows.services.change_library_steps import set_persona, use_counts, used_by
from workflows.services.change_persona import remove_persona, save_persona
from workflows.services.change_prompt import (
    Reach,
    change_prompt,
    create_prompt,
    new_version,
    remove_prompt,
)
from workflows.services.check_workflow import problems_of
from workflows.services.create_workflow import create_workflow
from workflows.services.definitions import load_definition
from workflows.services.drafts import compile_draft
from workflows.services.library import personas_of, with_library
from workflows.services.publish_workflow import publish_workflow
from workflows.services.restore_version import restore_version
from workflows.steps.catalog import CATALOG

pytestmark = pytest.mark.django_db

TONE = {"name": "tone", "type": "choice", "options": ["calm", "lively"], "default": "calm", "required": False}
TOPIC = {"name": "topic", "type": "string", "required": True}


def prompt(world: World, **fields) -> Prompt:
    words = {
        "name": "Opener",
        "text": "Write a {{ tone }} opener about {{topic}}.",
        "parameters": [TOPIC, TONE],
    }
    return create_prompt(actor=world.bob, **(words | fields))


def step(key: str, library: dict | None = None, persona: str = "", **config) -> StepDef:
    if library is not None:
        config["library_prompt"] = library
    if persona:
        config["persona"] = persona
    return StepDef(key=key, type="llm", label=key.title(), config={"model": "demo:writer", **config})


def made(world: World, *steps: StepDef, name: str = "Flow") -> Workflow:
    return create_workflow(actor=world.bob, name=name, definition=Definition(steps=steps))


def config_of(workflow: Workflow, key: str) -> dict:
    return compile_draft(workflow).step(key).config


FILLED = {"topic": "{{input.topic}}"}


def test_a_published_version_keeps_the_text_whatever_becomes_of_the_library(world: World):
    one = prompt(world)
    flow = made(
        world,
        step("latest", {"name": "Opener", "parameters": FILLED}, persona="Athena"),
        step("pinned", {"name": "opener", "version": 1, "parameters": FILLED}),
    )
    first = publish_workflow(workflow=flow, actor=world.bob)
    new_version(actor=world.bob, prompt=one, text="About {{topic}}: go.", parameters=[TOPIC], reach=Reach.ALL)
    save_persona(actor=world.bob, name="Athena", text="You are somebody else.")
    second = publish_workflow(workflow=flow, actor=world.bob)
    before, after = (Library.from_json(load_definition(one).library) for one in (first, second))
    assert before.prompt(PromptUse("Opener")).number == 1
    assert before.persona("athena").text.startswith("You are Athena")
    assert after.prompt(PromptUse("Opener")).text == "About {{topic}}: go."
    assert after.persona("Athena").text == "You are somebody else."
    # “All” took the pinned step along, and a document says the same when it is read again.
    assert config_of(flow, "pinned")["library_prompt"]["version"] == 2
    assert from_stored(json.loads(second.document)).library == load_definition(second).library
    with pytest.raises(Conflict, match="Nothing has changed"):
        publish_workflow(workflow=flow, actor=world.bob)
    remove_prompt(actor=world.bob, prompt=one)
    assert Library.from_json(load_definition(second).library).prompt(PromptUse("Opener", 2)) is not None
    assert [problem.code for problem in problems_of(flow)] == ["unknown_prompt", "unknown_prompt"]
    with pytest.raises(Invalid, match="was removed"):
        publish_workflow(workflow=flow, actor=world.bob)
    restore_version(workflow=flow, version=first, actor=world.bob)
    assert config_of(flow, "pinned")["library_prompt"]["version"] == 1
    # The restored draft follows the library as it is, not the texts that the version kept.
    assert not compile_draft(flow).library


def test_only_new_steps_take_the_new_version(world: World):
    one = prompt(world)
    flow = made(world, step("old", {"name": "Opener", "parameters": FILLED}))
    new_version(actor=world.bob, prompt=one, text="New {{topic}}", parameters=[TOPIC], reach=Reach.NEW)
    assert config_of(flow, "old")["library_prompt"]["version"] == 1
    assert [
        (use.label, use.number, use.published) for use in used_by(world.tenant, "library_prompt", "Opener")
    ] == [("Old", 1, 0)]
    publish_workflow(workflow=flow, actor=world.bob)
    assert [use.published for use in used_by(world.tenant, "library_prompt", "opener")] == [0, 1]
    assert LibraryUse.objects.get().number == 1
    with pytest.raises(Conflict, match="Nothing has changed"):
        new_version(actor=world.bob, prompt=one, text="New {{topic}}", parameters=[TOPIC])
    with pytest.raises(Conflict, match="in the meantime"):
        new_version(actor=world.bob, prompt=one, text="x", expected=1)


def test_another_name_is_followed_by_drafts(world: World):
    one = prompt(world)
    flow = made(world, step("a", {"name": "opener", "parameters": FILLED}, persona="Muse"))
    muse = save_persona(actor=world.bob, name="Muse", text="You sing.")
    publish_workflow(workflow=flow, actor=world.bob)
    change_prompt(actor=world.bob, prompt=one, name="First line", description="")
    save_persona(actor=world.bob, persona=muse, name="Singer", text="You sing.", colour=3)
    assert config_of(flow, "a")["library_prompt"]["name"] == "First line"
    assert config_of(flow, "a")["persona"] == "Singer"
    assert not problems_of(flow)
    assert len(used_by(world.tenant, "persona", "Singer")) == 2
    assert use_counts(world.tenant, "persona")["singer"] == 1
    remove_persona(actor=world.bob, persona=muse)
    (problem,) = problems_of(flow)
    assert (problem.code, problem.step, problem.field) == ("unknown_persona", "A", "persona")


@pytest.mark.parametrize(
    ("library", "code", "says"),
    [
        ({"name": "Opner", "parameters": FILLED}, "unknown_prompt", "Did you mean “Opener”?"),
        ({"name": "Opener", "version": 7, "parameters": FILLED}, "unknown_prompt", "its newest is 1"),
        ({"name": "Opener"}, "missing_parameter", "needs a value for “topic”"),
        (
            {"name": "Opener", "parameters": {**FILLED, "tone": "loud"}},
            "bad_parameter",
            "one of calm, lively",
        ),
        (
            {"name": "Opener", "parameters": {**FILLED, "tune": "calm"}},
            "unknown_parameter",
            "Did you mean “tone”?",
        ),
    ],
)
def test_what_is_wrong_with_a_library_prompt_is_said_at_its_step(world: World, library, code, says):
    prompt(world)
    flow = made(world, step("a", library))
    (problem,) = problems_of(flow)
    assert (problem.code, problem.step_key) == (code, "a")
    assert says in f"{problem.message} {problem.fix}"
    with pytest.raises(Invalid):
        publish_workflow(workflow=flow, actor=world.bob)


@pytest.mark.parametrize(
    ("text", "parameters", "says"),
    [
        ("", [], "says nothing"),
        ("About {{input.topic}}", [], "data of a run"),
        ("About {{topik}}", [TOPIC], "none of its parameters"),
        ("About {{", [TOPIC], ""),
        ("x", [{"name": "input"}], "data of a run"),
        ("x", [TOPIC, TOPIC], "two parameters"),
        ("x", [{"name": "a b"}], "no name"),
        ("x", [{"name": "a", "type": "choice"}], "nothing to choose"),
        ("x", [{"name": "a", "type": "number", "default": "many"}], "must be a number"),
    ],
)
def test_a_bad_prompt_is_refused_with_its_fault(world: World, text, parameters, says):
    with pytest.raises(Invalid) as caught:
        prompt(world, text=text, parameters=parameters)
    assert says in caught.value.problems[0].message
    assert not Prompt.objects.exists()


def test_names_are_taken_once_and_only_editors_change_the_library(world: World):
    one = prompt(world)
    with pytest.raises(Conflict, match="already"):
        prompt(world, name="OPENER")
    with pytest.raises(NotAllowed):
        create_prompt(actor=world.vera, name="Mine", text="x")
    with pytest.raises(NotAllowed):
        save_persona(actor=world.rita, name="Mine", text="x")
    remove_prompt(actor=world.bob, prompt=one)
    prompt(world)  # the name is free again


def test_nine_personas_are_built_in_and_an_own_one_stands_in_its_place(world: World):
    assert len(personas_of(world.tenant)) == len(BUILTIN) == 9
    assert all(len(one.text) > 500 and one.text.startswith(f"You are {one.name}") for one in BUILTIN)
    save_persona(actor=world.bob, name="morgan", text="You keep the books.", colour=4)
    cards = personas_of(world.tenant)
    assert len(cards) == 9
    assert next(card for card in cards if card.name == "morgan").text == "You keep the books."
    assert len(personas_of(world.other)) == 9
    assert Persona.objects.for_tenant(world.other).count() == 0


def test_a_persona_is_given_to_many_steps_at_once(world: World):
    plain = StepDef(key="t", type="transform", label="T", config={"expression": "1"})
    flow = made(world, step("a", prompt="x"), step("b", prompt="y", persona="Cael"), plain)
    assert set_persona(actor=world.bob, workflow=flow, persona="Cael") == 1
    assert config_of(flow, "a")["persona"] == "Cael"
    assert "persona" not in config_of(flow, "t")
    assert set_persona(actor=world.bob, workflow=flow, persona="", steps=["b"]) == 1
    assert "persona" not in config_of(flow, "b")


def test_a_document_carries_the_library_into_another_tenant(world: World):
    prompt(world)
    save_persona(actor=world.bob, name="Muse", text="You sing.")
    flow = made(world, step("a", {"name": "Opener", "parameters": FILLED}, persona="Muse"))
    carried = with_library(compile_draft(flow), world.tenant)
    document = json.loads(canonical_json(carried))
    read = parse_definition(document, CATALOG)
    assert to_json(read) == to_json(carried)
    there = create_workflow(actor=world.charlie, name="Copy", definition=read)
    assert not problems_of(there)
    assert Prompt.objects.for_tenant(world.other).get().latest == 1
    # What the tenant has under that name stays, and nothing is added twice.
    again = replace(read, steps=(*read.steps, step("b", prompt="x", persona="Morgan")))
    create_workflow(actor=world.charlie, name="Again", definition=again)
    assert Prompt.objects.for_tenant(world.other).count() == 1
    assert Persona.objects.for_tenant(world.other).count() == 1
    with pytest.raises(Invalid, match="library"):
        parse_definition({**document, "library": {"prompts": [{"name": "x", "text": "y"}]}}, CATALOG)
