"""A step that has sent something and begins a new round asks whether it goes out again, however the round came about."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from runs.models import Delivery, Review, Run
from runs.services.change_version import continue_on_version
from runs.services.control_run import retry_run
from runs.services.decide_review import decide_review
from runs.services.retry_items import retry_items
from tests.runs.support import definition_of, driven, node, rows, started
from tests.runs.test_change_version import publish
from tests.runs.test_drive_items import each, text
from tests.support.factories import World
from tests.support.outside import Answer, Outside
from workflows.definition.graph import Definition

# The ledger writes from threads of its own, which see only what is committed.
pytestmark = pytest.mark.django_db(transaction=True)

BROKEN = {"mode": "expression", "expression": "input.missing"}


@pytest.fixture
def outside(settings: Any) -> Iterator[Outside]:
    with Outside() as server:
        settings.OUTBOUND_ALLOW = [server.host]
        server.answer("/orders", Answer(201, json={"id": 7}))
        yield server


def order(outside: Outside, **fields: Any) -> dict[str, Any]:
    config = {"method": "POST", "url": f"{outside.url}/orders", "body": "text", "body_text": "one"}
    return node("s", "http_request", config=config, **fields)


def chain(outside: Outside) -> Definition:
    """It posts, shows what came back, lets a person look at it, and fails at the end."""
    shown = text("n", "order {{ previous.json.id }}")
    nodes = [text("a", "A"), order(outside), shown, node("g", "review"), node("b", config=BROKEN)]
    return definition_of(nodes, "a>s>n>g>b")


def at_the_gate(world: World, outside: Outside) -> Run:
    run = driven(started(world.bob, chain(outside)))
    assert (run.status, len(outside.requests)) == ("paused", 1), run.error
    return run


def failed(world: World, outside: Outside) -> Run:
    run = at_the_gate(world, outside)
    decide_review(review=Review.objects.get(run=run), actor=world.bob, decision="approve")
    assert driven(run).status == "failed"
    return run


def from_step(world: World, outside: Outside) -> Run:
    return retry_run(run=failed(world, outside), actor=world.bob, from_step="s")


def from_before(world: World, outside: Outside) -> Run:
    return retry_run(run=failed(world, outside), actor=world.bob, from_step="a")


def changes_asked_for(world: World, outside: Outside) -> Run:
    run = at_the_gate(world, outside)
    gate = Review.objects.get(run=run)
    decide_review(review=gate, actor=world.bob, decision="changes", comment="again", to_step="a")
    return run


def in_an_open_run(world: World, outside: Outside) -> Run:
    return retry_run(run=at_the_gate(world, outside), actor=world.bob, from_step="s")


@pytest.mark.parametrize("again", [from_step, from_before, changes_asked_for, in_an_open_run])
@pytest.mark.parametrize("answer", ["send_again", "skip"])
def test_a_new_round_asks_before_it_posts_again(
    world: World, outside: Outside, again: Callable[[World, Outside], Run], answer: str
) -> None:
    run = driven(again(world, outside))
    assert run.status == "paused", run.error
    assert len(outside.requests) == 1, "nothing goes out unasked"
    asked = Review.objects.get(run=run, status="open")
    assert (asked.kind, asked.step_run and asked.step_run.step_key) == ("effect", "s")
    assert "went out on" in asked.instructions
    [waits] = run.waiting_for
    assert "sends again" in waits["sentence"]
    decide_review(review=asked, actor=world.bob, decision=answer)
    driven(run)
    assert rows(run)["n"].output == {"content": "order 7"}, "who skips it goes on with the answer of before"
    first, *second = outside.requests
    states = list(
        Delivery.objects.filter(run=run).order_by("step_run__round").values_list("status", flat=True)
    )
    if answer == "skip":
        assert (second, states) == ([], ["sent", "skipped"])
        assert rows(run)["s"].output["delivery"] == "skipped"
    else:
        assert [one.headers["idempotency-key"] for one in second] == [f"{run.pk.hex}:s::1"]
        assert (first.headers["idempotency-key"], states) == (f"{run.pk.hex}:s::0", ["sent", "sent"])
    assert Review.objects.get(run=run, status="open").kind == "gate"


def test_another_version_keeps_what_was_sent_and_asks_where_it_is_to_be_done_again(
    world: World, outside: Outside
) -> None:
    run = failed(world, outside)
    nodes = [text("a", "A"), order(outside), text("n", "order {{ previous.json.id }}"), node("g", "review")]
    publish(
        run, definition_of([*nodes, node("b", config={**BROKEN, "expression": "input.gone"})], "a>s>n>g>b"), 2
    )
    publish(run, definition_of([*nodes, text("b", "B {{ steps.S.json.id }}")], "a>s>n>g>b"), 3)
    continue_on_version(run=run, actor=world.bob, version=2)
    assert driven(run).status == "failed"
    retry_run(run=run, actor=world.bob, from_step="s")
    driven(run)
    asked = Review.objects.get(run=run, status="open")
    assert asked.kind == "effect"
    decide_review(review=asked, actor=world.bob, decision="skip")
    decide_review(
        review=Review.objects.get(run=driven(run), status="open"), actor=world.bob, decision="approve"
    )
    assert driven(run).status == "failed"
    continue_on_version(run=run, actor=world.bob, version=3)
    assert driven(run).status == "completed", run.error
    assert (run.output, len(outside.requests)) == ({"content": "B 7"}, 1)


def test_an_item_that_begins_anew_asks_for_itself(world: World, outside: Outside) -> None:
    nodes = [each(), order(outside, parent="f"), node("g", "review", parent="f")]
    run = driven(started(world.bob, definition_of(nodes, "s>g"), {"xs": ["p", "q"]}))
    gates = Review.objects.filter(run=run, status="open").order_by("step_run__scope")
    for gate, decision in zip(gates, ("approve", "reject"), strict=True):
        decide_review(review=gate, actor=world.bob, decision=decision, comment="no")
    driven(run)
    assert (run.status, len(outside.requests)) == ("failed", 2), run.error
    retry_items(run=run, actor=world.bob, items=[1], step="f", value="r")
    driven(run)
    asked = Review.objects.get(run=run, status="open")
    assert asked.step_run is not None
    assert (asked.kind, asked.step_run.scope, len(outside.requests)) == ("effect", "f[1]", 2)
