"""Containers in the builder: their own lists, adding inside, moving in and out, prompts in place of a list."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.support import runs as make
from tests.support.factories import World, client_of
from tests.workflows.views.test_builder import draft, post, publish_workflow_anyway, shown, toast
from workflows.models import Step, Workflow
from workflows.presenters.builder_page import BuilderPage
from workflows.services.drafts import compile_draft

pytestmark = pytest.mark.django_db

EACH = make.graph(
    make.step("tidy", "clean_text"),
    make.step(
        "each", "fan_out", "For each contact", config={"items": "{{input.contacts}}", "concurrency": 3}
    ),
    make.step(
        "opener", "llm", "Draft the opener", parent="each", config={"prompt": "Write to {{item.name}}"}
    ),
    make.step("tone", "llm", "Check the tone", parent="each", config={"prompt": "Check {{previous}}"}),
    make.step("last", "clean_text", "Tell the team"),
    paths="tidy>each each>last opener>tone",
)


class Lists(HTMLParser):
    """Which card stands in which list, in order of the page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.lists: dict[str, list[str]] = {}
        self._open: list[str | None] = []
        self.feed(html[: html.index('id="picker"')] if 'id="picker"' in html else html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        if tag == "ol":
            self._open.append((said.get("data-in") or "") if "data-flow" in said else None)
            if self._open[-1] is not None:
                self.lists.setdefault(self._open[-1], [])
        elif "data-card" in said:
            inner = next(one for one in reversed(self._open) if one is not None)
            self.lists[inner].append(said["data-card"] or "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "ol":
            self._open.pop()


def tree(workflow: Workflow) -> dict[str | None, list[str]]:
    found: dict[str | None, list[str]] = {}
    for step in compile_draft(workflow).steps:
        found.setdefault(step.parent, []).append(step.key)
    return found


def test_a_container_holds_its_own_list_with_its_own_rail(world: World):
    html = shown(world, draft(world, EACH))
    assert Lists(html).lists == {"": ["tidy", "each", "last"], "each": ["opener", "tone"]}
    nest = html[html.index('id="nest-each"') : html.index("</details>")]
    assert "Runs once for each item of" in nest
    assert '<span class="var">input.contacts</span>' in nest
    assert "3 at a time" in nest
    assert 'class="rail"' in nest
    assert 'aria-label="Add a step first in For each contact"' in nest
    assert 'aria-label="Add a step before Check the tone"' in nest
    assert 'aria-label="Add a step inside For each contact"' in nest
    assert "2 steps inside · 3 at a time" in html


def test_a_folded_list_stays_folded_after_an_edit(world: World):
    workflow = draft(world, EACH)
    assert re.search(r'data-nest="each"\s+open', shown(world, workflow))
    folded: dict[str, Any] = {"Stepwell-Folded": "each"}
    response = post(world, workflow, "steps/last/enabled/", **folded)
    assert re.search(r'data-nest="each">', response.content.decode())


def test_containers_stand_in_containers(world: World):
    deep = make.graph(
        make.step("outer", "fan_out"),
        make.step("inner", "loop", parent="outer", config={"mode": "count", "count": 2}),
        make.step("work", "clean_text", parent="inner"),
        paths=" ",
    )
    html = shown(world, draft(world, deep), open="work")
    assert Lists(html).lists == {"": ["outer"], "outer": ["inner"], "inner": ["work"]}
    assert "Runs 2 times" in html
    assert 'id="form-work"' in html


def test_a_card_inside_opens_and_is_saved_like_any_other(world: World):
    workflow = draft(world, EACH)
    html = shown(world, workflow, open="opener")
    assert 'id="form-opener"' in html
    panel = html[html.index('id="panel-in"') :]
    assert 'data-reference="item"' in panel
    assert 'data-reference="steps.Tidy.content"' in panel
    answer = client_of(world.bob).get(
        f"/workflows/{workflow.pk}/steps/tone/?alone=1",
        headers={"HX-Request": "true", "Stepwell-Open": "opener"},
    )
    said = answer.content.decode()
    assert 'hx-target="#step-opener"' in said
    assert 'id="form-tone"' in said
    assert 'id="form-opener"' not in said
    response = post(world, workflow, "steps/tone/", {"prompt": "Is it kind? {{previous}}", "field": "prompt"})
    assert response.status_code == 200
    assert 'hx-target="#sum-tone"' in response.content.decode()
    assert Step.objects.get(workflow=workflow, key="tone").config["prompt"] == "Is it kind? {{previous}}"


def test_a_saved_setting_of_a_container_shows_above_its_list(world: World):
    workflow = draft(world, EACH)
    said = post(world, workflow, "steps/each/", {"concurrency": "7", "field": "concurrency"}).content.decode()
    assert '<hx-partial hx-target="#nest-aside-each" hx-swap="innerHTML">7 at a time</hx-partial>' in said
    assert 'id="nest-lead-each"' in shown(world, workflow)


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("inside:each", ["opener", "tone", "NEW"]),
        ("after:tone", ["opener", "tone", "NEW"]),
        ("before:opener", ["NEW", "opener", "tone"]),
        ("before:tone", ["opener", "NEW", "tone"]),
    ],
)
def test_a_step_is_added_inside(world: World, place: str, expected: list[str]):
    workflow = draft(world, EACH)
    before = set(compile_draft(workflow).by_key)
    response = post(world, workflow, "add/", {"type": "clean_text", "place": place})
    (new,) = set(compile_draft(workflow).by_key) - before
    assert tree(workflow)["each"] == [new if key == "NEW" else key for key in expected]
    assert "in “For each contact”" in toast(response)
    assert f'id="form-{new}"' in response.content.decode()


def test_the_first_step_inside_is_added_without_script(world: World):
    workflow = draft(world, make.graph(make.step("each", "loop", "Again")))
    html = shown(world, workflow)
    assert "What should happen each time?" in html
    assert "1 to check" in html
    assert "Nothing inside yet" in html
    href = re.search(r'href="[^"]*add/\?(place=inside[^"]*)"', html)
    assert href is not None
    page = client_of(world.bob).get(f"/workflows/{workflow.pk}/add/?{href[1]}").content.decode()
    assert 'value="inside:each"' in page
    response = post(world, workflow, "add/", {"type": "clean_text", "place": "inside:each"}, script="")
    assert response.status_code == 302
    assert len(tree(workflow)["each"]) == 1


def test_steps_inside_are_copied_deleted_and_move_in_their_list(world: World):
    workflow = draft(world, EACH)
    post(world, workflow, "steps/tone/move/", {"direction": "up"})
    assert tree(workflow)["each"] == ["tone", "opener"]
    assert post(world, workflow, "steps/tone/move/", {"direction": "up"}).status_code == 409
    post(world, workflow, "steps/tone/move/", {"direction": "down"})
    post(world, workflow, "steps/tone/duplicate/")
    assert len(tree(workflow)["each"]) == 3
    post(world, workflow, "steps/tone/delete/")
    assert len(tree(workflow)["each"]) == 2
    assert "opener" in tree(workflow)["each"]


@pytest.mark.parametrize(
    ("key", "data", "outside", "inside"),
    [
        ("tidy", {"into": "each"}, ["each", "last"], ["opener", "tone", "tidy"]),
        ("tidy", {"before": "tone"}, ["each", "last"], ["opener", "tidy", "tone"]),
        ("last", {"before": "opener"}, ["tidy", "each"], ["last", "opener", "tone"]),
        ("last", {"before": "end:each"}, ["tidy", "each"], ["opener", "tone", "last"]),
        ("tone", {"direction": "out"}, ["tidy", "each", "tone", "last"], ["opener"]),
        ("opener", {"before": "tidy"}, ["opener", "tidy", "each", "last"], ["tone"]),
        ("opener", {"before": "end:"}, ["tidy", "each", "last", "opener"], ["tone"]),
    ],
)
@pytest.mark.parametrize("script", ["yes", ""])
def test_a_step_moves_into_and_out_of_a_container(
    world: World, key: str, data: dict[str, str], outside: list[str], inside: list[str], script: str
):
    workflow = draft(world, EACH)
    response = post(world, workflow, f"steps/{key}/move/", data, script=script)
    assert response.status_code == (200 if script else 302)
    assert tree(workflow) == {None: outside, "each": inside}
    edges = compile_draft(workflow).edges
    parents = {step.key: step.parent for step in compile_draft(workflow).steps}
    assert all(parents[edge.source] == parents[edge.target] for edge in edges)


@pytest.mark.parametrize(
    ("key", "data", "said"),
    [
        ("each", {"into": "each"}, "into itself"),
        ("each", {"before": "opener"}, "into itself"),
        ("tidy", {"into": "last"}, "cannot hold steps"),
        ("tidy", {"into": "gone"}, "not there any more"),
        ("tidy", {"before": "gone"}, "not there any more"),
        ("tidy", {"direction": "out"}, "in no other step"),
    ],
)
def test_a_move_across_that_cannot_be_says_why(world: World, key: str, data: dict[str, str], said: str):
    workflow = draft(world, EACH)
    before = tree(workflow)
    response = post(world, workflow, f"steps/{key}/move/", data)
    assert response.status_code == 409
    assert said in toast(response)
    assert tree(workflow) == before


def test_the_menu_of_a_card_knows_the_container_beside_and_around_it(world: World):
    html = shown(world, draft(world, EACH), open="tone")
    assert 'data-into="each" data-into-name="For each contact"' in html
    assert html.count('data-out-of="For each contact"') == 2
    assert 'value="out">Move out of For each contact' in html


def test_where_to_names_the_places_inside_too(world: World):
    workflow = draft(world, EACH)
    html = shown(world, workflow, "steps/tidy/move/")
    assert "before Draft the opener (in For each contact)" in html
    assert '<option value="end:each">' in html
    own = shown(world, workflow, "steps/each/move/")
    assert 'value="opener"' not in own
    assert 'value="end:each"' not in own


def test_deleting_a_container_says_that_its_steps_go_too(world: World):
    workflow = draft(world, EACH)
    assert "The 2 steps inside it go too." in shown(world, workflow, "steps/each/delete/")
    post(world, workflow, "steps/each/delete/")
    assert tree(workflow) == {None: ["tidy", "last"]}


def test_a_prompt_takes_the_place_of_the_list_and_says_so(world: World):
    workflow = draft(world, EACH)
    response = post(world, workflow, "steps/each/", {"prompt": "Greet {{item}}", "field": "prompt"})
    # The list is drawn anew, since it goes.
    assert 'hx-target="#steps"' in response.content.decode()
    html = shown(world, workflow)
    assert Lists(html).lists == {"": ["tidy", "each", "last"]}
    assert "One prompt does the work for each item; the 2 steps inside do not run." in html
    assert "data-into=" not in shown(world, workflow, open="tidy")
    post(world, workflow, "steps/each/", {"prompt": "", "field": "prompt"})
    assert Lists(shown(world, workflow)).lists["each"] == ["opener", "tone"]


def test_one_row_alone_equals_its_row_in_the_list_inside(world: World):
    workflow = draft(world, EACH)
    whole = BuilderPage(workflow)
    listed = {row.key: row for parent in (None, "each") for row in whole.rows_of(parent)}
    assert list(listed) == ["tidy", "each", "last", "opener", "tone"]
    for key, row in listed.items():
        assert BuilderPage(workflow).row(key) == row


@pytest.mark.parametrize("opened", ["", "w1"])
def test_the_page_asks_as_often_for_many_steps_inside_as_for_few(world: World, opened: str):
    def queries(count: int) -> int:
        outer = [make.step(f"s{number}", "fan_out", f"Each {number}") for number in range(count)]
        inner = [
            make.step(f"w{number}", "llm", f"Work {number}", parent=f"s{number % count}")
            for number in range(2 * count)
        ]
        workflow = draft(world, make.graph(*outer, *inner, paths="s0>s1"), f"Of {count}")
        publish_workflow_anyway(workflow, world)
        client = client_of(world.bob)
        client.get(f"/workflows/{workflow.pk}/")
        with CaptureQueriesContext(connection) as seen:
            assert client.get(f"/workflows/{workflow.pk}/", {"open": opened}).status_code == 200
        return len(seen)

    assert queries(2) == queries(30) <= 20
