"""A reviewer asks for changes: the chosen step and what follows begin a new round, with the comment at hand."""

from __future__ import annotations

from typing import Any

import pytest

from runs.models import Attempt, Event, Review, Run, StepRun
from runs.services.decide_review import decide_review, steps_to_change
from tests.api.support import Api
from tests.runs.support import definition_of, driven, event_types, node, rows, started, statuses
from tests.runs.test_drive_items import each, items, text
from tests.support.factories import World
from workflows.lib.errors import Invalid

pytestmark = pytest.mark.django_db


def gate_of(run: Run) -> Review:
    return Review.objects.get(run=run, status="open")


def test_the_chosen_step_and_what_follows_begin_anew_with_the_comment(world: World) -> None:
    nodes = [
        text("a", "A"),
        text("b", "B{{ run.feedback }}"),
        text("b2", "{{ previous }}+{{ run.feedback }}"),
        node("g", "review"),
        text("c", "{{ previous }}!"),
    ]
    run = driven(started(world.bob, definition_of(nodes, "a>b>b2>g>c")))
    gate = gate_of(run)
    assert [key for key, _ in steps_to_change(gate)] == ["b2", "b", "a"]
    decide_review(review=gate, actor=world.bob, decision="changes", comment=" shorter", to_step="b")
    driven(run)
    assert run.status == "paused"
    assert {key: row.round for key, row in rows(run).items()} == {"a": 0, "b": 1, "b2": 1, "g": 1}
    second = gate_of(run)
    assert second.content["content"] == "B shorter+", "the comment is for the chosen step alone"
    old = StepRun.objects.get(run=run, step_key="g", round=0)
    assert (old.status, old.notes.startswith("Changes asked for")) == ("cancelled", True)
    gate.refresh_from_db()
    assert (gate.status, gate.decision, gate.back_to) == ("decided", "changes", "b")
    assert Event.objects.get(run=run, type="review_decided").data["backTo"] == "b"
    decide_review(review=second, actor=world.bob, decision="approve")
    assert driven(run).output == {"content": "B shorter+!"}
    event_types(run)


def test_a_model_hears_the_comment_and_its_earlier_answer(transactional_db: None, world: World) -> None:
    nodes = [node("w", "llm", config={"prompt": "Say hello", "model": "demo:writer"}), node("g", "review")]
    run = driven(started(world.bob, definition_of(nodes, "w>g")))
    before = gate_of(run).content["content"]
    decide_review(review=gate_of(run), actor=world.bob, decision="changes", comment="Make it warmer.")
    driven(run)
    attempt = Attempt.objects.filter(run=run, step_run__step_key="w").order_by("-started_at")[0]
    said = attempt.calls[0]["messages"]
    assert [message["role"] for message in said[-2:]] == ["assistant", "user"]
    assert said[-2]["content"] == before
    assert "Make it warmer." in said[-1]["content"]


def test_inside_an_item_only_that_item_goes_back(world: World) -> None:
    nodes = [each(), text("d", "{{ item }}{{ run.feedback }}", parent="f"), node("g", "review", parent="f")]
    run = driven(started(world.bob, definition_of(nodes, "d>g"), {"xs": ["p", "q"]}))
    gate = Review.objects.get(run=run, status="open", step_run__scope="f[1]")
    decide_review(review=gate, actor=world.bob, decision="changes", comment="?")
    driven(run)
    for open_gate in Review.objects.filter(run=run, status="open"):
        decide_review(review=open_gate, actor=world.bob, decision="approve")
    driven(run)
    assert run.status == "completed", run.error
    assert [item.result["content"] for item in items(run)] == ["p", "q?"]


def test_what_is_refused(world: World) -> None:
    nodes = [text("a", "A"), node("g", "review"), text("c", "C"), node("lone", "review")]
    run = driven(started(world.bob, definition_of(nodes, "a>g>c")))
    gate = Review.objects.get(run=run, step_run__step_key="g")
    lone = Review.objects.get(run=run, step_run__step_key="lone")
    refused: list[tuple[Review, dict[str, Any], str]] = [
        (gate, {"comment": ""}, "what is to be changed"),
        (gate, {"comment": "x", "to_step": "c"}, "does not come before"),
        (lone, {"comment": "x"}, "Nothing comes before"),
    ]
    for review, more, words in refused:
        with pytest.raises(Invalid, match=words):
            decide_review(review=review, actor=world.bob, decision="changes", **more)
    with pytest.raises(Invalid, match="goes back"):
        decide_review(review=gate, actor=world.bob, decision="approve", to_step="a")
    answer = Api(world.bob).post(
        f"/reviews/{gate.pk}/decide", {"decision": "changes", "comment": "more", "to_step": "a"}
    )
    assert answer.status_code == 200, answer.content
    assert answer.json()["back_to"] == "a"
    assert statuses(driven(run))["g"] == "waiting"


def test_ahead_of_time_only_what_the_gate_offers_can_be_decided(world: World) -> None:
    nodes = [node("d", "delay", config={"duration": "1 hour"}), node("g", "review")]
    run = driven(started(world.bob, definition_of(nodes, "d>g")))
    for decision, code, words in (
        ("changes", 409, "has not opened yet"),
        ("maybe", 422, "none of the decisions"),
    ):
        answer = Api(world.bob).post(
            f"/workflow-executions/{run.pk}/reviews/g/decide", {"decision": decision, "comment": "more"}
        )
        assert (answer.status_code, words in answer.content.decode()) == (code, True), answer.content
