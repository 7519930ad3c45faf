"""Starting a run by hand: the form that the workflow asks for, and what happens when it is sent."""

import pytest
from django.urls import reverse

from runs.models import Run
from tests.support import runs as make
from tests.support.factories import client_of, workflow
from workflows.definition.graph import Definition, VariableDef, VariableKind, VariableType
from workflows.models import Step, Variable

pytestmark = pytest.mark.django_db

ASKS = Definition(
    steps=make.graph(
        make.step("start", "start"),
        make.step("clean", "clean_text", "Clean"),
        make.step("gate", "review", "Gate"),
    ).steps,
    edges=make.graph(
        make.step("start", "start"),
        make.step("clean", "clean_text", "Clean"),
        make.step("gate", "review", "Gate"),
    ).edges,
    variables=(
        VariableDef("text", required=True, description="What is to be cleaned."),
        VariableDef("times", VariableType.NUMBER, default=2),
        VariableDef("tags", VariableType.ARRAY),
        VariableDef("inner", kind=VariableKind.CONTEXT),
    ),
)


@pytest.fixture
def published(world):
    made = workflow(world.tenant, "Clean up", latest_version=1, status="active")
    make.version(made, ASKS)
    return made


def start(actor, of, headers=None, **data):
    return client_of(actor).post(reverse("runs:start", args=[of.pk]), data, headers=headers or {})


def test_the_form_asks_for_the_input_variables(world, published):
    html = client_of(world.bob).get(reverse("runs:start", args=[published.pk])).content.decode()
    assert 'name="input_text"' in html
    assert "What is to be cleaned." in html
    assert 'value="2"' in html or ">2<" in html
    assert "input_inner" not in html
    assert 'name="yolo"' in html


def test_sending_it_starts_the_run_and_leads_there(world, published):
    answer = start(
        world.bob, published, input_text="  raw ", input_times="3", input_tags='["a"]', version="1", once="k1"
    )
    run = Run.objects.get()
    assert (answer.status_code, answer["Location"]) == (302, reverse("runs:detail", args=[run.pk]))
    assert run.input == {"text": "  raw ", "times": 3, "tags": ["a"]}
    assert run.started_by == world.bob.user
    assert not run.yolo


def test_a_second_press_gives_the_same_run(world, published):
    first, second = (start(world.bob, published, input_text="raw", once="same") for _ in range(2))
    assert first["Location"] == second["Location"]
    assert Run.objects.count() == 1


def test_what_is_missing_or_wrong_is_said_beside_its_field(world, published):
    answer = start(world.bob, published, input_tags="{not json", version="1")
    assert answer.status_code == 422
    html = answer.content.decode()
    assert "This field is required." in html
    assert "This is not JSON" in html
    assert Run.objects.count() == 0


def test_a_dialog_over_the_builder_is_sent_to_the_run(world, published):
    htmx = {"HX-Request": "true"}
    html = client_of(world.bob).get(reverse("runs:start", args=[published.pk]), headers=htmx).content.decode()
    assert html.strip().startswith("<dialog")
    answer = start(world.bob, published, headers=htmx, input_text="raw")
    assert answer["HX-Redirect"] == reverse("runs:detail", args=[Run.objects.get().pk])
    assert start(world.bob, published, headers=htmx).status_code == 422


def test_a_draft_with_errors_says_what_is_wrong(world):
    unfinished = workflow(world.tenant, "Unfinished")
    Step.objects.create(workflow=unfinished, tenant=world.tenant, key="think", type="llm", label="Think")
    answer = start(world.bob, unfinished, version="draft")
    assert answer.status_code == 422
    html = answer.content.decode()
    assert 'role="alert"' in html
    assert "“Think”: “Prompt” is missing." in html
    assert Run.objects.count() == 0


def test_a_fault_in_a_steps_setting_is_not_shown_at_an_input_of_that_name(world):
    draft = workflow(world.tenant, "Twice the same name")
    Variable.objects.create(workflow=draft, tenant=world.tenant, name="prompt", type="string", kind="input")
    Step.objects.create(workflow=draft, tenant=world.tenant, key="think", type="llm", label="Think")
    answer = start(world.bob, draft, version="draft", input_prompt="hello")
    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == ["__all__"]


def test_an_empty_workflow_runs_and_its_page_shows_it(world):
    answer = start(world.bob, workflow(world.tenant, "Nothing yet"), version="draft")
    assert client_of(world.bob).get(answer["Location"]).status_code == 200


def test_viewers_and_strangers_start_nothing(world, published):
    assert start(world.vera, published, input_text="x").status_code == 403
    assert start(world.rita, published, input_text="x").status_code == 403
    assert start(world.charlie, published, input_text="x").status_code == 404
    assert (
        client_of(world.bob).get(reverse("runs:start", args=[published.pk]), {"version": "9"}).status_code
        == 404
    )
    assert Run.objects.count() == 0
