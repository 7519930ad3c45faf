"""The builder: what its page shows, and what each of its edits writes, with script and without."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.support import runs as make
from tests.support.factories import World, client_of
from workflows.definition.graph import Definition, VariableDef, VariableType
from workflows.models import Edge, Step, Workflow, WorkflowVersion
from workflows.services.create_workflow import create_workflow
from workflows.services.drafts import compile_draft
from workflows.services.publish_workflow import publish_workflow

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}
CHAIN = make.graph(make.step("one"), make.step("two"), make.step("three"))
BRANCHES = make.graph(
    make.step("tidy", "clean_text"),
    make.step("score", "llm", "Score the fit", config={"prompt": "Score {{steps.Tidy.content}}"}),
    make.step("history", "clean_text", "Check the history"),
    make.step("meet", "merge", "Combine"),
    make.step("worth", "condition", "Worth a call?", config={"cases": [{"expression": "input.score > 70"}]}),
    make.step("brief", "clean_text", "Write the brief"),
    make.step("nurture", "clean_text", "Add to the list"),
    make.step("last", "clean_text", "Tell the team", enabled=False),
    paths="tidy>score tidy>history score>meet history>meet meet>worth worth.true>brief worth.false>nurture "
    "brief>last nurture>last",
)


def draft(world: World, definition: Definition = CHAIN, name: str = "Lead qualification") -> Workflow:
    return create_workflow(actor=world.bob, name=name, definition=definition)


def shown(world: World, workflow: Workflow, path: str = "", **query: str) -> str:
    response = client_of(world.bob).get(f"/workflows/{workflow.pk}/{path}", query)
    assert response.status_code == 200
    return response.content.decode()


def post(
    world: World, workflow: Workflow, path: str, data: dict[str, Any] | None = None, **headers: str
) -> Any:
    """A write by script; without `HX-Request` give `script=""`."""
    sent = {} if headers.pop("script", "yes") == "" else HTMX
    return client_of(world.bob).post(
        f"/workflows/{workflow.pk}/{path}", data or {}, headers={**sent, **headers}
    )


def order(workflow: Workflow) -> list[str]:
    return [step.key for step in compile_draft(workflow).children(None)]


def paths(workflow: Workflow) -> set[str]:
    return {
        f"{edge.source}.{edge.port}>{edge.target}" if edge.port != "out" else f"{edge.source}>{edge.target}"
        for edge in compile_draft(workflow).edges
    }


def events(response: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(response.headers["HX-Trigger"])
    return found


def toast(response: Any) -> str:
    return str(events(response)["toast"]["text"])


# --- the page ---


def test_the_list_shows_the_steps_in_order_with_what_they_do_in_words(world: World):
    html = shown(world, draft(world, BRANCHES))
    names = ["Tidy", "Score the fit", "Check the history", "Combine", "Worth a call?", "Write the brief"]
    places = [html.index(f'data-name="{name}"') for name in names]
    assert places == sorted(places)
    assert "If score &gt; 70" in html
    assert 'data-lanes="2"' in html


def test_branches_are_named_where_they_begin(world: World):
    html = shown(world, draft(world, BRANCHES))
    assert "2 branches, at the same time" in html
    assert "<b>Yes</b>" in html
    assert "<b>No</b>, further down" in html
    assert "<b>No</b>, of Worth a call?" in html
    assert 'aria-label="Write the brief, on Yes of Worth a call?"' in html


def test_a_plus_names_the_place_and_at_a_join_offers_each_path(world: World):
    workflow = draft(world, BRANCHES)
    html = shown(world, workflow)
    assert 'aria-label="Add a step after the start"' in html
    assert 'aria-label="Add a step on one of 2 paths"' in html
    assert 'aria-label="Add a step on Yes"' in html
    question = shown(world, workflow, "add/", gap="meet")
    assert "between Score the fit and Combine" in question
    assert "between Check the history and Combine" in question


def test_a_way_out_that_leads_nowhere_says_so_and_can_be_gone_on_from(world: World):
    open_end = make.graph(
        make.step("ask", "condition", config={"cases": [{"expression": "input.x > 1"}]}),
        make.step("then"),
        paths="ask.true>then",
    )
    workflow = draft(world, open_end)
    assert "<b>No</b>, ends here" in shown(world, workflow)
    post(world, workflow, "add/", {"type": "clean_text", "place": "after:ask:false"})
    added = Step.objects.get(workflow=workflow, type="clean_text")
    assert f"ask.false>{added.key}" in paths(workflow)


def test_only_the_open_card_holds_its_form(world: World):
    workflow = draft(world, BRANCHES)
    assert 'name="prompt"' not in shown(world, workflow)
    html = shown(world, workflow, open="score")
    assert html.count('name="prompt"') == 1
    assert "Score {{steps.Tidy.content}}" in html
    assert "steps.Tidy.content" in html[html.index('id="panel-in"') :]


@pytest.mark.parametrize("opened", ["", "s1"])
def test_the_page_asks_as_often_for_many_steps_as_for_few(world: World, opened: str):
    def queries(count: int) -> int:
        steps = [make.step(f"s{number}", "llm", f"Step {number}") for number in range(count)]
        workflow = draft(world, make.graph(*steps), f"Of {count}")
        publish_workflow_anyway(workflow, world)
        client = client_of(world.bob)
        client.get(f"/workflows/{workflow.pk}/")
        with CaptureQueriesContext(connection) as seen:
            assert client.get(f"/workflows/{workflow.pk}/", {"open": opened}).status_code == 200
        return len(seen)

    assert queries(3) == queries(60) <= 20


def publish_workflow_anyway(workflow: Workflow, world: World) -> None:
    """A version, although prompts are missing: what is asked here is how often the database is."""
    make.version(workflow, compile_draft(workflow))
    Workflow.objects.filter(pk=workflow.pk).update(latest_version=1, status="active")


def test_two_hundred_steps_are_shown(world: World):
    steps = [make.step(f"s{number}", "clean_text", f"Step {number}") for number in range(200)]
    html = shown(world, draft(world, make.graph(*steps)))
    assert html.count('data-card="') == 200


def test_who_only_looks_sees_the_settings_and_changes_nothing(world: World):
    workflow = draft(world, BRANCHES)
    html = client_of(world.vera).get(f"/workflows/{workflow.pk}/?open=score").content.decode()
    assert '<fieldset class="bare" disabled>' in html
    for control in ("data-add", "data-step-menu=", 'role="switch"', "Publish"):
        assert control not in html
    assert (
        client_of(world.vera).post(f"/workflows/{workflow.pk}/steps/score/", {"prompt": "x"}).status_code
        == 403
    )


def test_an_archived_workflow_is_read_only(world: World):
    workflow = draft(world)
    Workflow.objects.filter(pk=workflow.pk).update(status="archived")
    assert "This workflow is archived." in shown(world, workflow)
    response = post(world, workflow, "steps/one/move/", {"direction": "down"})
    assert response.status_code == 409
    assert "archived" in toast(response)


# --- adding ---


def test_a_step_is_put_onto_the_very_path_and_opened(world: World):
    workflow = draft(world, BRANCHES)
    edge = Edge.objects.get(workflow=workflow, source__key="history", target__key="meet")
    response = post(world, workflow, "add/", {"type": "llm", "place": f"edge:{edge.key}"})
    added = Step.objects.get(workflow=workflow, label="Ask a model")
    assert {f"history>{added.key}", f"{added.key}>meet"} <= paths(workflow)
    assert "history>meet" not in paths(workflow)
    changed = events(response)["builder:changed"]
    assert (changed["open"], changed["focus"]) == ([added.key], "first")
    html = response.content.decode()
    assert "data-to-fill" in html[html.index('data-field="prompt"') :][:200]


def test_a_second_path_from_a_step_makes_a_branch(world: World):
    workflow = draft(world)
    post(world, workflow, "add/", {"type": "clean_text", "place": "after:one"})
    added = Step.objects.get(workflow=workflow, type="clean_text")
    assert {"one>two", f"one>{added.key}"} <= paths(workflow)
    assert "2 branches, at the same time" in shown(world, workflow)


@pytest.mark.parametrize("place", ["edge:gone", "nonsense:x", "after:one:no_such_port"])
def test_a_place_that_is_not_there_is_refused_with_a_reason(world: World, place: str):
    workflow = draft(world)
    response = post(world, workflow, "add/", {"type": "llm", "place": place})
    assert response.status_code in (409, 422)
    assert events(response)["toast"]["kind"] == "bad"
    assert Step.objects.filter(workflow=workflow).count() == 3


# --- saving ---


def test_one_field_is_saved_and_the_others_stay(world: World):
    workflow = draft(world, BRANCHES)
    response = post(
        world, workflow, "steps/score/", {"field": "temperature", "temperature": "0.2", "revision": "1"}
    )
    assert response.status_code == 200
    config = Step.objects.get(workflow=workflow, key="score").config
    assert config == {"prompt": "Score {{steps.Tidy.content}}", "temperature": 0.2}
    html = response.content.decode()
    assert 'name="revision" value="2"' in html
    assert "Saved " in html
    assert 'id="steps"' not in html


def test_a_value_that_cannot_be_read_is_said_beside_its_field_and_nothing_is_written(world: World):
    workflow = draft(world, BRANCHES)
    response = post(
        world, workflow, "steps/score/", {"field": "temperature", "temperature": "warm", "revision": "1"}
    )
    assert response.status_code == 422
    html = response.content.decode()
    assert 'hx-target="#errors-score-temperature"' in html
    assert "must be a number" in html
    assert Step.objects.get(workflow=workflow, key="score").revision == 1


def test_a_stale_save_overwrites_nothing_and_shows_the_other_value(world: World):
    workflow = draft(world, BRANCHES)
    post(world, workflow, "steps/score/", {"field": "prompt", "prompt": "Theirs", "revision": "1"})
    response = post(world, workflow, "steps/score/", {"field": "prompt", "prompt": "Mine", "revision": "1"})
    assert response.status_code == 412
    html = response.content.decode()
    assert "Theirs" in html
    assert 'data-keep-mine="score"' in html
    assert Step.objects.get(workflow=workflow, key="score").config["prompt"] == "Theirs"


def test_a_broken_reference_is_kept_checked_and_mended_by_one_press(world: World):
    workflow = draft(world, BRANCHES)
    response = post(
        world,
        workflow,
        "steps/score/",
        {"field": "prompt", "prompt": "Score {{ steps.Tidi.content }}", "revision": "1"},
    )
    html = response.content.decode()
    assert "uses the step “Tidi”, which does not exist" in html
    assert "Write steps.Tidy.content" in html
    fixed = post(
        world,
        workflow,
        "steps/score/fix/",
        {"field": "prompt", "wrong": "Tidi", "meant": "steps.Tidy.content"},
    )
    assert fixed.status_code == 200
    assert (
        Step.objects.get(workflow=workflow, key="score").config["prompt"] == "Score {{ steps.Tidy.content }}"
    )


def test_a_check_offers_a_repair_that_one_press_does(world: World):
    workflow = draft(world, BRANCHES)
    Step.objects.filter(workflow=workflow, key="tidy").update(enabled=False)
    page = client_of(world.bob).get(f"/workflows/{workflow.pk}/").content.decode()
    assert "Turn on “Tidy”" in page
    form = re.search(r'value="uses_off_step"><input type="hidden" name="message" value="([^"]+)"', page)
    assert form is not None
    message = unescape(form[1])
    wish = {"code": "uses_off_step", "message": message, "repair": "turn_on"}
    assert post(world, workflow, "steps/score/fix/", wish).status_code == 200
    assert Step.objects.get(workflow=workflow, key="tidy").enabled
    assert toast(post(world, workflow, "steps/score/fix/", wish)) == "That is solved already."


def test_a_rename_rewrites_the_references_and_says_how_many(world: World):
    workflow = draft(world, BRANCHES)
    response = post(world, workflow, "steps/tidy/", {"field": "label", "label": "Tidy up", "revision": "1"})
    assert (
        Step.objects.get(workflow=workflow, key="score").config["prompt"] == "Score {{steps.Tidy up.content}}"
    )
    assert toast(response) == "“Tidy” is now “Tidy up”, and 1 text that uses it."


def test_a_name_in_use_is_refused_beside_the_name(world: World):
    workflow = draft(world, BRANCHES)
    response = post(world, workflow, "steps/tidy/", {"field": "label", "label": "combine", "revision": "1"})
    assert response.status_code == 409
    html = response.content.decode()
    assert 'hx-target="#errors-tidy-label"' in html
    assert "There is a step called “combine” already." in html


def test_new_ways_out_draw_the_list_anew_and_paths_keep_theirs(world: World):
    workflow = draft(world, BRANCHES)
    response = post(
        world,
        workflow,
        "steps/worth/",
        {
            "field": "cases",
            "revision": "1",
            "cases__shown": "1",
            "cases__0__name": "Hot",
            "cases__0__port": "",
            "cases__0__mode": "expression",
            "cases__0__expression": "input.score > 90",
            "cases__1__name": "Warm",
            "cases__1__port": "",
            "cases__1__mode": "rows",
            "cases__1__match": "all",
            "cases__1__field": "input.score",
            "cases__1__operator": "greater",
            "cases__1__value": "50",
        },
    )
    assert 'hx-target="#steps"' in response.content.decode()
    assert Step.objects.get(workflow=workflow, key="worth").config["cases"][1]["rows"] == [
        {"field": "input.score", "operator": "greater", "value": 50}
    ]


def test_retry_time_limit_error_and_join_are_set_each_by_its_field(world: World):
    workflow = draft(world, BRANCHES)
    for field, data in (
        ("retry_policy__max_attempts", {"retry_policy__max_attempts": "5"}),
        ("retry_policy__delay_s", {"retry_policy__delay_s": "2.5"}),
        ("timeout_s", {"timeout_s": "90"}),
        ("on_error__policy", {"on_error__policy": "continue"}),
        ("on_error__default", {"on_error__default": '{"content": "none"}'}),
        ("join__rule", {"join__rule": "any"}),
    ):
        assert post(world, workflow, "steps/meet/", {"field": field, **data}).status_code == 200
    step = compile_draft(workflow).step("meet")
    assert step.retry is not None
    assert (step.retry.max_attempts, step.retry.delay_ms, step.timeout_s) == (5, 2500, 90)
    assert (step.on_error.policy.value, step.on_error.default) == ("continue", {"content": "none"})
    assert step.join.rule.value == "any"
    post(
        world,
        workflow,
        "steps/meet/",
        {"field": "retry_policy__max_attempts", "retry_policy__max_attempts": ""},
    )
    assert compile_draft(workflow).step("meet").retry is None


# --- places after a step (the key A), and connecting by name ---


def after(html: str, name: str) -> dict[str, str]:
    """What the key A offers on the card of this name: label by place."""
    found = re.search(rf'data-name="{re.escape(name)}".*?data-after="([^"]*)"', html)
    assert found is not None
    return {choice["place"]: choice["label"] for choice in json.loads(unescape(found[1]))}


def test_a_card_knows_the_places_right_after_it(world: World):
    workflow = draft(world, BRANCHES)
    html = shown(world, workflow)
    ids = {f"{edge.source}>{edge.target}": edge.id for edge in compile_draft(workflow).edges}
    assert after(html, "Score the fit") == {f"edge:{ids['score>meet']}": "after Score the fit"}
    assert after(html, "Tell the team") == {"after:last": "after Tell the team"}
    assert after(html, "Worth a call?") == {
        f"edge:{ids['worth>brief']}": "Yes, between Worth a call? and Write the brief",
        f"edge:{ids['worth>nurture']}": "No, between Worth a call? and Add to the list",
        "after:worth": "on a new branch of Worth a call?",
    }
    assert list(after(html, "Tidy").values()) == [
        "between Tidy and Score the fit",
        "between Tidy and Check the history",
        "on a new branch of Tidy",
    ]
    # Each of them is a place where a step can be put.
    for place in after(html, "Tidy"):
        assert post(world, workflow, "add/", {"type": "llm", "place": place}).status_code == 200


def test_the_question_where_a_step_shall_lead_offers_what_is_not_before_it(world: World):
    workflow = draft(world, BRANCHES)
    question = shown(world, workflow, "steps/worth/connect/")
    assert [one for one in ("Yes", "No") if f">{one}</option>" in question] == ["Yes", "No"]
    assert ">Tell the team</option>" in question
    assert ">Tidy</option>" not in question
    assert f'action="/workflows/{workflow.pk}/paths/"' in question
    post(world, workflow, "paths/", {"source": "worth", "port": "false", "target": "last"})
    assert "worth.false>last" in paths(workflow)
    assert "There is no step after it" in shown(world, workflow, "steps/last/connect/")
    assert client_of(world.vera).get(f"/workflows/{workflow.pk}/steps/worth/connect/").status_code == 403


# --- moving, turning off, copying, deleting ---


def test_moving_rewires_the_paths_and_lasts(world: World):
    workflow = draft(world)
    response = post(world, workflow, "steps/three/move/", {"before": "one"})
    assert order(workflow) == ["three", "one", "two"]
    assert paths(workflow) == {"three>one", "one>two"}
    assert "moved" in toast(response)
    post(world, workflow, "steps/three/move/", {"before": ""})
    assert (order(workflow), paths(workflow)) == (["one", "two", "three"], {"one>two", "two>three"})


def test_up_and_down_move_by_one_gap_without_script_too(world: World):
    workflow = draft(world)
    response = post(world, workflow, "steps/one/move/", {"direction": "down"}, script="")
    assert response.status_code == 302
    assert order(workflow) == ["two", "one", "three"]
    post(world, workflow, "steps/one/move/", {"direction": "up"})
    assert order(workflow) == ["one", "two", "three"]


def test_a_step_can_be_dropped_on_the_path_that_passes(world: World):
    workflow = draft(world, BRANCHES)
    edge = Edge.objects.get(workflow=workflow, source__key="tidy", target__key="history")
    post(world, workflow, "steps/nurture/move/", {"place": f"edge:{edge.key}"})
    assert {"tidy>nurture", "nurture>history"} <= paths(workflow)


def test_a_move_that_cannot_be_made_says_why(world: World):
    workflow = draft(world, BRANCHES)
    response = post(world, workflow, "steps/worth/move/", {"before": "brief"})
    assert response.status_code == 409
    assert "own branches" in toast(response)
    assert response.headers["HX-Reswap"] == "none"


def test_cards_know_who_uses_them_so_that_a_drop_can_warn(world: World):
    html = shown(world, draft(world, BRANCHES))
    assert 'data-name="Tidy" data-used-by="score"' in html
    assert 'data-name="Score the fit" data-used-by="" data-uses="tidy"' in html


def test_a_step_is_turned_off_and_on(world: World):
    workflow = draft(world)
    post(world, workflow, "steps/two/enabled/")
    assert not Step.objects.get(workflow=workflow, key="two").enabled
    post(world, workflow, "steps/two/enabled/", {"on": "on"})
    assert Step.objects.get(workflow=workflow, key="two").enabled


def test_deleting_names_who_uses_it_and_joins_the_paths(world: World):
    workflow = draft(world, BRANCHES)
    question = shown(world, workflow, "steps/tidy/delete/")
    assert "Score the fit uses" in question
    post(world, workflow, "steps/brief/delete/")
    assert "worth.true>last" in paths(workflow)
    assert not Step.objects.filter(workflow=workflow, key="brief").exists()


def test_a_path_that_goes_with_an_edit_is_said(world: World):
    workflow = draft(world, BRANCHES)
    response = post(world, workflow, "steps/worth/delete/")
    assert "“Add to the list” was reached from “Worth a call?” by “false”; that path is gone." in toast(
        response
    )


def test_a_copy_of_a_step_is_opened(world: World):
    workflow = draft(world)
    response = post(world, workflow, "steps/two/duplicate/")
    key = events(response)["builder:changed"]["key"]
    assert Step.objects.get(workflow=workflow, key=key).label == "Two 2"


def test_changing_the_kind_first_lists_what_goes(world: World):
    workflow = draft(world, BRANCHES)
    question = client_of(world.bob).post(
        f"/workflows/{workflow.pk}/steps/worth/kind/", {"type": "llm"}, headers=HTMX
    )
    assert "This goes for good" in question.content.decode()
    assert "The path “false” to “Add to the list”." in question.content.decode()
    assert Step.objects.get(workflow=workflow, key="worth").type == "condition"
    post(world, workflow, "steps/worth/kind/", {"type": "llm", "sure": "1"})
    assert Step.objects.get(workflow=workflow, key="worth").type == "llm"


def test_paths_get_conditions_and_names_and_go(world: World):
    workflow = draft(world)
    edge = Edge.objects.get(workflow=workflow, source__key="one")
    post(world, workflow, f"paths/{edge.key}/", {"condition": "input.x > 1", "target_input": "first"})
    edge.refresh_from_db()
    assert (edge.condition, edge.target_input) == ("input.x > 1", "first")
    post(world, workflow, f"paths/{edge.key}/", {"remove": "1"})
    assert not Edge.objects.filter(pk=edge.pk).exists()
    post(world, workflow, "paths/", {"source": "one", "target": "three"})
    assert "one>three" in paths(workflow)


def test_a_path_that_would_make_a_circle_is_refused(world: World):
    workflow = draft(world)
    response = post(world, workflow, "paths/", {"source": "three", "target": "one"})
    assert response.status_code == 409
    assert "wait for each other" in toast(response)


# --- the run form, settings ---


def variables(*rows: tuple[str, str, str, str]) -> dict[str, list[str]]:
    return {
        "name": [row[0] for row in rows],
        "kind": ["input"] * len(rows),
        "type": [row[1] for row in rows],
        "required": [row[2] for row in rows],
        "default": [row[3] for row in rows],
        "description": [""] * len(rows),
    }


def test_the_run_form_is_saved_whole(world: World):
    workflow = draft(world)
    rows = variables(
        ("idea", "string", "yes", ""),
        ("budget", "number", "no", "12.5"),
        ("tags", "array", "no", '["a"]'),
        ("", "string", "no", ""),
    )
    assert post(world, workflow, "variables/", rows).status_code == 200
    assert compile_draft(workflow).variables == (
        VariableDef("idea", required=True),
        VariableDef("budget", VariableType.NUMBER, default=12.5),
        VariableDef("tags", VariableType.ARRAY, default=["a"]),
    )
    assert "asks for idea, budget and tags" in shown(world, workflow)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ((("a", "number", "no", "many"),), "The default of “a” must be a number"),
        ((("a", "string", "no", ""), ("a", "string", "no", "")), "Two variables are called “a”."),
        ((("not a name", "string", "no", ""),), "cannot be a variable&#x27;s name"),
    ],
)
def test_a_run_form_that_cannot_be_is_refused_with_the_reason(world: World, rows: Any, said: str):
    workflow = draft(world)
    response = post(world, workflow, "variables/", variables(*rows))
    assert response.status_code == 422
    assert said in response.content.decode()
    assert compile_draft(workflow).variables == ()


def test_name_tags_and_settings_of_the_workflow_change_each_alone(world: World):
    workflow = draft(world)
    post(world, workflow, "settings/", {"name": "Leads"})
    post(world, workflow, "settings/", {"tags": "sales, inbound", "description": "What it does"})
    post(
        world,
        workflow,
        "settings/",
        {"default_model": "openai:gpt-4o-mini", "yolo__shown": "1", "yolo": "on"},
    )
    workflow.refresh_from_db()
    assert (workflow.name, workflow.tags, workflow.description) == (
        "Leads",
        ["sales", "inbound"],
        "What it does",
    )
    assert workflow.settings == {"default_model": "openai:gpt-4o-mini", "yolo": True}
    assert post(world, workflow, "settings/", {"name": " "}).status_code == 422


def test_the_order_and_the_budget_of_a_workflow_are_kept_and_checked(world: World):
    workflow = draft(world)
    sent = {
        "fallback": "google:gemini-2.5-flash\n\nopenai:gpt-4o-mini",
        "fallback_on_refusal__shown": "1",
        "fallback_on_refusal": "on",
        "budget_usd": "4.50",
        "budget_policy": "stop",
    }
    post(world, workflow, "settings/", sent)
    workflow.refresh_from_db()
    assert workflow.settings == {
        "fallback": ["google:gemini-2.5-flash", "openai:gpt-4o-mini"],
        "fallback_on_refusal": True,
        "budget_usd": 4.5,
        "budget_policy": "stop",
    }
    assert "gemini-2.5-flash" in shown(world, workflow, "")
    for wrong in (
        {"fallback": "nobody:x"},
        {"budget_usd": "-1"},
        {"budget_usd": "much"},
        {"budget_policy": "x"},
    ):
        assert post(world, workflow, "settings/", wrong).status_code == 422
    nothing = {"fallback": "", "fallback_on_refusal__shown": "1", "budget_usd": "", "budget_policy": "pause"}
    post(world, workflow, "settings/", nothing)
    workflow.refresh_from_db()
    assert workflow.settings == {}


# --- publishing and versions ---


def test_publishing_refuses_with_the_list_of_problems(world: World):
    workflow = draft(world, make.graph(make.step("ask", "llm", "Ask")))
    question = shown(world, workflow, "publish/")
    assert "cannot be published yet" in question
    response = post(world, workflow, "publish/")
    assert response.status_code == 422
    assert "“Prompt” is missing." in response.content.decode()
    assert not WorkflowVersion.objects.filter(workflow=workflow).exists()


def test_publishing_keeps_the_note_and_the_page_counts_changes_from_then_on(world: World):
    workflow = draft(world, BRANCHES)
    assert "Draft, not published" in shown(world, workflow)
    response = post(world, workflow, "publish/", {"note": "First"})
    assert toast(response) == "Version 1 is published. New runs use it."
    assert WorkflowVersion.objects.get(workflow=workflow, number=1).note == "First"
    assert "Version 1" in shown(world, workflow)
    post(world, workflow, "steps/score/", {"field": "prompt", "prompt": "Another"})
    assert "Draft, 1 change since v1" in shown(world, workflow)


def test_a_version_is_shown_and_brought_back_into_the_draft(world: World):
    workflow = draft(world, BRANCHES)
    publish_workflow(workflow=workflow, actor=world.bob, note="The first")
    post(world, workflow, "steps/score/", {"field": "prompt", "prompt": "Another"})
    listed = shown(world, workflow, "versions/")
    assert "The first" in listed
    assert "Bob Bell" in listed
    assert "“Score the fit” changed" in shown(world, workflow, "versions/1/")
    response = post(world, workflow, "versions/1/restore/", script="")
    assert response.status_code == 302
    assert compile_draft(workflow) == BRANCHES
    assert client_of(world.bob).get(f"/workflows/{workflow.pk}/versions/9/").status_code == 404


# --- without script ---


def test_a_whole_card_is_saved_by_a_plain_form(world: World):
    workflow = draft(world, BRANCHES)
    response = post(
        world,
        workflow,
        "steps/score/",
        {
            "label": "Rate the fit",
            "prompt": "Rate it",
            "model": "default",
            "note": "Ask Nadia",
            "revision": "1",
        },
        script="",
    )
    assert response.status_code == 302
    assert response.headers["Location"].endswith("?open=score#step-score")
    step = Step.objects.get(workflow=workflow, key="score")
    assert (step.label, step.config["prompt"], step.note) == ("Rate the fit", "Rate it", "Ask Nadia")


def test_steps_are_added_from_a_page_without_script(world: World):
    workflow = draft(world)
    assert 'value="clean_text"' in shown(world, workflow, "add/", gap="two")
    response = post(world, workflow, "add/", {"type": "clean_text", "place": "end"}, script="")
    added = Step.objects.get(workflow=workflow, type="clean_text")
    assert response.headers["Location"].endswith(f"?open={added.key}#step-{added.key}")


def test_an_empty_row_can_be_asked_for_without_script(world: World):
    workflow = draft(world, BRANCHES)
    assert "cases__1__name" in shown(world, workflow, open="worth", rows="cases")
    assert "cases__1__name" not in shown(world, workflow, open="worth")
