"""Testing one step of the draft: what is run, what is taken over, pinned or given, and what never leaves the house."""

from __future__ import annotations

import pytest

from runs.models import Delivery, Run
from runs.services.try_step import try_step
from tests.runs.support import definition_of, driven, node, rows, started
from tests.support.factories import World, tenant, workflow
from workflows.definition.cut import cut_at, leading_to
from workflows.lib.errors import Conflict, Invalid, NotAllowed, NotFound
from workflows.steps.catalog import CATALOG

pytestmark = pytest.mark.django_db

CHAIN = definition_of([node("a"), node("b"), node("c"), node("d")], "a>b>c>d")


def test_nothing_behind_the_step_is_in_the_cut() -> None:
    assert leading_to(CHAIN, "b") == {"a", "b"}
    cut = cut_at(CHAIN, "c", {"a": {"content": "set"}})
    assert [step.key for step in cut.steps] == ["a", "b", "c"]
    assert cut.step("a").pinned == {"content": "set"}
    assert {(edge.source, edge.target) for edge in cut.edges} == {("a", "b"), ("b", "c")}


def test_the_step_runs_alone_with_what_an_earlier_run_gave(world: World) -> None:
    whole = driven(started(world.bob, CHAIN, {"text": "x"}))
    run = driven(try_step(workflow=whole.workflow, actor=world.bob, step="c", origin=whole, definition=CHAIN))
    assert (run.kind, run.from_step, run.status, run.origin_id) == ("step", "c", "completed", whole.pk)
    found = rows(run)
    assert set(found) == {"a", "b", "c"}
    assert [found[key].reused for key in "abc"] == [True, True, False]
    assert found["c"].output == rows(whole)["c"].output
    assert run.input == {"text": "x"}


def test_without_an_earlier_run_everything_up_to_it_runs(world: World) -> None:
    made = started(world.bob, CHAIN, {"text": "x"}).workflow
    run = driven(
        try_step(workflow=made, actor=world.bob, step="b", input_data={"text": "y"}, definition=CHAIN)
    )
    assert run.status == "completed"
    assert set(rows(run)) == {"a", "b"}
    assert not any(row.reused for row in rows(run).values())


def test_values_take_the_place_of_what_was_there_and_what_follows_runs_again(world: World) -> None:
    whole = driven(started(world.bob, CHAIN, {"text": "x"}))
    edited = {"a": {"content": "EDITED"}}
    kept = driven(
        try_step(
            workflow=whole.workflow, actor=world.bob, step="c", origin=whole, values=edited, definition=CHAIN
        )
    )
    assert rows(kept)["a"].output == {"content": "EDITED"}
    assert rows(kept)["b"].output == rows(whole)["b"].output, "b stays as it was"
    again = driven(
        try_step(
            workflow=whole.workflow,
            actor=world.bob,
            step="c",
            origin=whole,
            values=edited,
            rerun=True,
            definition=CHAIN,
        )
    )
    assert rows(again)["b"].output == {"content": "b after EDITED"}
    assert rows(again)["c"].output == {"content": "c after b after EDITED"}
    with pytest.raises(Invalid):
        try_step(
            workflow=whole.workflow,
            actor=world.bob,
            step="b",
            origin=whole,
            values={"d": {"content": "later"}},
            definition=CHAIN,
        )


def test_pins_of_earlier_steps_are_used_and_the_own_one_is_not(world: World) -> None:
    pinned = definition_of(
        [node("a", pinned={"content": "PIN"}), node("b", pinned={"content": "never"}), node("c")], "a>b>c"
    )
    whole = driven(started(world.bob, CHAIN, {"text": "x"}))
    run = driven(
        try_step(workflow=whole.workflow, actor=world.bob, step="b", origin=whole, definition=pinned)
    )
    found = rows(run)
    assert (found["a"].output, found["a"].pinned) == ({"content": "PIN"}, True)
    assert found["b"].output == {"content": "b after PIN"}
    fresh = driven(try_step(workflow=whole.workflow, actor=world.bob, step="b", definition=pinned))
    assert rows(fresh)["b"].output == {"content": "b after PIN"}
    assert rows(fresh)["a"].pinned


def test_the_next_step_is_tested_with_what_a_test_gave(world: World) -> None:
    whole = started(world.bob, CHAIN, {"text": "x"})
    first = driven(
        try_step(
            workflow=whole.workflow, actor=world.bob, step="a", input_data={"text": "t"}, definition=CHAIN
        )
    )
    second = driven(
        try_step(workflow=whole.workflow, actor=world.bob, step="b", origin=first, definition=CHAIN)
    )
    assert rows(second)["a"].reused
    assert rows(second)["b"].output == {"content": f"b after {rows(first)['a'].output['content']}"}


def test_a_branch_that_was_not_taken_is_said(world: World) -> None:
    config = {"cases": [{"name": "Yes", "expression": "input.n > 5"}]}
    nodes = [node("q", "condition", config=config), node("y"), node("n")]
    ports = CATALOG.ports(definition_of(nodes).step("q"))
    asks = definition_of(nodes, f"q:{ports[0]}>y", f"q:{ports[1]}>n")
    whole = driven(started(world.bob, asks, {"n": 9}))
    run = driven(try_step(workflow=whole.workflow, actor=world.bob, step="n", origin=whole, definition=asks))
    assert rows(run)["n"].status == "skipped"
    taken = driven(
        try_step(workflow=whole.workflow, actor=world.bob, step="y", origin=whole, definition=asks)
    )
    assert rows(taken)["y"].status == "completed"


@pytest.mark.django_db(transaction=True)
def test_what_a_tested_step_sends_stays_in_the_outbox(world: World) -> None:
    mails = definition_of(
        [node("m", "email", config={"to": "x@y.example", "subject": "Hi", "body": "{{input.text}}"})]
    )
    made = started(world.bob, mails, {"text": "x"}).workflow
    run = driven(
        try_step(workflow=made, actor=world.bob, step="m", input_data={"text": "x"}, definition=mails)
    )
    assert run.status == "completed", run.error
    assert list(Delivery.objects.filter(run=run).values_list("status", flat=True)) == ["outbox"]


def test_who_may_not_and_whose_it_is_not(world: World) -> None:
    whole = driven(started(world.bob, CHAIN, {"text": "x"}))
    with pytest.raises(NotAllowed):
        try_step(workflow=whole.workflow, actor=world.vera, step="a", definition=CHAIN)
    other = workflow(tenant())
    with pytest.raises(NotFound):
        try_step(workflow=other, actor=world.bob, step="a", definition=CHAIN)
    with pytest.raises(NotFound):
        try_step(workflow=whole.workflow, actor=world.bob, step="zz", definition=CHAIN)
    waiting = started(world.bob, CHAIN, {"text": "x"})
    with pytest.raises(Conflict):
        try_step(
            workflow=waiting.workflow,
            actor=world.bob,
            step="a",
            origin=Run.objects.get(pk=waiting.pk),
            definition=CHAIN,
        )
