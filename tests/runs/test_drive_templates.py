"""Built-in templates driven from start to end with the demonstration provider."""

from __future__ import annotations

import pytest

from runs.engine.statuses import RunStatus
from runs.models import Attempt, Event, Item, Review, Run, StepRun
from runs.services.decide_review import decide_review
from templates_app.services.documents import read_file
from templates_app.services.load_builtin import BUILTIN
from tests.runs.support import driven, event_types, rows, started, statuses
from tests.support.factories import World
from workflows.definition.graph import Definition
from workflows.definition.validation import validate
from workflows.steps.catalog import CATALOG

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPWELL_DEMO_PAUSE_MS", "0")


def template(slug: str) -> Definition:
    return read_file((BUILTIN / f"{slug}.yaml").read_text(encoding="utf-8"), name=slug).definition


def items_of(run: Run, key: str) -> list[Item]:
    return list(Item.objects.filter(run=run, container=key).order_by("index"))


def test_group_analysis_looks_at_thirteen_topics_and_writes_a_prompt_for_each(world: World) -> None:
    definition = template("group-analysis")
    topics = str(next(v.default for v in definition.variables if v.name == "topics")).splitlines()
    headings = [line.partition(". ")[2] for line in topics]
    assert len(headings) == 13
    run = driven(started(world.bob, definition, {"topics": "\n".join(topics)}))
    assert run.status == RunStatus.COMPLETED, run.error
    event_types(run)

    analyses = items_of(run, "each")
    assert [item.heading for item in analyses] == headings, "in the order of the input"
    assert {item.status for item in analyses} == {"completed"}
    for heading, item in zip(headings, analyses, strict=True):
        assert item.result["heading"] == heading
        asked = Attempt.objects.get(step_run__scope=f"each[{item.index}]", run=run).calls[0]["messages"]
        assert f"Topic: {heading}" in asked[-1]["content"]
        assert "one of a group of 13" in asked[-1]["content"]

    found = rows(run)
    brought_together = Attempt.objects.get(step_run=found["synthesis"]).calls[0]["messages"][-1]["content"]
    assert all(f"## {heading}" in brought_together for heading in headings)
    check = found["check"].output
    assert isinstance(check["passed"], bool)
    assert check["findings"]
    assert all(set(finding) == {"severity", "where", "what"} for finding in check["findings"])
    assert "13 items" in found["check"].notes
    assert "Demonstration" in found["check"].notes

    prompts = items_of(run, "prompts")
    assert [item.heading for item in prompts] == headings
    output = found["prompts"].output
    assert (output["count"], output["failed"], len(output["items"])) == (13, 0, 13)
    for heading, item in zip(headings, output["items"], strict=True):
        assert item["heading"] == heading
        assert heading[:20] in item["content"]
    written = Attempt.objects.get(step_run__scope="prompts[4]", run=run).calls[0]["messages"][-1]["content"]
    assert f"Topic (item 5 of 13): {headings[4]}" in written
    assert analyses[4].result["content"] in written
    assert found["synthesis"].output["content"] in written

    assert len(run.output["analyses"]) == len(run.output["prompts"]) == 13
    assert run.output["passed"] is check["passed"]
    for key in ("each", "prompts"):
        progress = [
            event.data
            for event in Event.objects.filter(run=run, type="fan_out_progress").order_by("seq")
            if event.step_key == key
        ]
        assert [entry["completed"] for entry in progress] == list(range(1, 14))


def test_the_topics_may_stand_in_lines_or_under_headings(world: World) -> None:
    texts = ("Ana\nBen\nCleo", "# The team\n\n## Ana\nDraws.\n\n## Ben\nCodes.\n\n## Cleo\nSells.")
    for text in texts:
        run = driven(started(world.bob, template("group-analysis"), {"topics": text}))
        assert run.status == RunStatus.COMPLETED, run.error
        assert [item.heading for item in items_of(run, "prompts")] == ["Ana", "Ben", "Cleo"]


@pytest.mark.parametrize(
    ("hot", "warm", "taken"),
    [(0, 0, "hot"), (101, 0, "warm"), (101, 101, "cold")],
    ids=["hot", "warm", "cold"],
)
def test_a_lead_is_looked_at_from_two_sides_and_goes_one_way(
    world: World, hot: int, warm: int, taken: str
) -> None:
    message = "We are 80 people at Harbour Ltd and sign 300 contracts a week by hand. Can you show us a demo?"
    run = driven(
        started(world.bob, template("lead-qualification"), {"message": message, "hot": hot, "warm": warm})
    )
    assert run.status == RunStatus.COMPLETED, run.error
    found = statuses(run)
    assert {key: found[key] for key in ("hot", "warm", "cold")} == {
        key: "completed" if key == taken else "skipped" for key in ("hot", "warm", "cold")
    }
    asked = {
        key: Attempt.objects.get(step_run=rows(run)[key]).calls[0]["messages"][-1]["content"]
        for key in ("fit", "need")
    }
    assert message in asked["need"]
    assert message not in asked["fit"], "this branch gets the facts only"
    assert rows(run)["together"].notes.startswith("2 branches joined: Fit, Need")
    assert 0 <= run.output["score"] <= 100
    assert run.output["content"] == rows(run)[taken].output["content"]


def test_a_text_passes_two_gates_and_the_check_stands_at_the_second(world: World) -> None:
    run = driven(
        started(world.bob, template("content-review"), {"brief": "A notice: the pool opens in May."})
    )
    assert run.status == RunStatus.PAUSED
    first = Review.objects.get(run=run, status=Review.Status.OPEN)
    decide_review(review=first, actor=world.bob, decision="approve", edited_text="The pool opens in May.")
    driven(run)
    second = Review.objects.get(run=run, status=Review.Status.OPEN)
    assert "The check says" in second.instructions
    assert rows(run)["check"].output["content"] in second.instructions
    polished = Attempt.objects.get(step_run=rows(run)["polish"]).calls[0]["messages"][-1]["content"]
    assert "The pool opens in May." in polished
    decide_review(review=second, actor=world.bob, decision="approve")
    driven(run)
    assert run.status == RunStatus.COMPLETED, run.error
    assert run.output["content"] == rows(run)["polish"].output["content"]
    assert StepRun.objects.filter(run=run, step_key="check", status="completed").exists()


@pytest.mark.parametrize("slug", ["group-analysis", "lead-qualification", "content-review"])
def test_a_template_has_nothing_to_complain_about(slug: str) -> None:
    definition = template(slug)
    problems = validate(definition, CATALOG)
    assert [problem.message for problem in problems] == []
