"""The builder and steps with branches: a parallel's card, its ways out, and cards of steps that work on many outputs."""

from __future__ import annotations

import pytest

from tests.support import runs as make
from tests.support.factories import World
from tests.workflows.views.test_builder import draft, post, shown
from workflows.models import Edge, Step
from workflows.services.drafts import compile_draft

pytestmark = pytest.mark.django_db

WHOLE = make.graph(
    make.step("tidy", "clean_text"),
    make.step(
        "both",
        "parallel",
        config={
            "branches": [
                {"name": "Fit", "port": "fit", "input": "{{steps.Tidy.content}}"},
                {"name": "Need", "port": "need"},
            ]
        },
    ),
    make.step("fit", "llm", config={"prompt": "{{previous}}"}),
    make.step("need", "llm", config={"prompt": "{{previous}}"}),
    make.step("sum", "synthesis"),
    make.step("check", "consistency_check"),
    make.step("prompts", "implementation_prompts"),
    paths="tidy>both both.fit>fit both.need>need fit>sum need>sum sum>check check>prompts",
)


def test_the_list_names_each_branch_where_it_begins(world: World):
    html = shown(world, draft(world, WHOLE))
    for word in ("Fit", "Need", "2 branches at the same time"):
        assert word in html


def test_the_card_of_a_parallel_shows_a_row_for_each_branch(world: World):
    html = shown(world, draft(world, WHOLE), open="both")
    assert 'name="branches__name" value="Fit"' in html
    assert '<input type="hidden" name="branches__port" value="fit">' in html
    assert "{{steps.Tidy.content}}</textarea>" in html


@pytest.mark.parametrize("key", ["sum", "check", "prompts"])
def test_the_cards_of_the_others_open(world: World, key: str):
    assert f'data-field="{"plan" if key == "prompts" else "sources"}"' in shown(
        world, draft(world, WHOLE), open=key
    )


def test_a_renamed_branch_keeps_its_path_and_a_new_one_is_a_way_out(world: World):
    workflow = draft(world, WHOLE)
    response = post(
        world,
        workflow,
        "steps/both/",
        {
            "field": "branches",
            "revision": "1",
            "branches__shown": "1",
            "branches__name": ["How it fits", "Need", "Price"],
            "branches__port": ["fit", "need", ""],
            "branches__input": ["{{steps.Tidy.content}}", "", ""],
        },
    )
    assert response.status_code == 200
    assert Step.objects.get(workflow=workflow, key="both").config["branches"] == [
        {"name": "How it fits", "port": "fit", "input": "{{steps.Tidy.content}}"},
        {"name": "Need", "port": "need"},
        {"name": "Price", "port": "Price"},
    ]
    ports = Edge.objects.filter(source__key="both").values_list("port", flat=True)
    assert sorted(ports) == ["fit", "need"]
    assert "Price" in shown(world, workflow)


def test_a_renamed_step_is_renamed_in_a_branchs_input(world: World):
    workflow = draft(world, WHOLE)
    assert post(world, workflow, "steps/tidy/", {"field": "label", "label": "Cleaned"}).status_code == 200
    branches = compile_draft(workflow).step("both").config["branches"]
    assert branches[0]["input"] == "{{steps.Cleaned.content}}"
