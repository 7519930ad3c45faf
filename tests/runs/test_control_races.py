"""Controls that meet: one winner each, and the same story in the row, the API, the events and the audit log."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import connection

from runs.models import Event, Mail, Review, Run
from runs.services.control_run import cancel_run, pause_run, resume_run
from runs.services.decide_review import decide_review
from runs.services.drive_run import drive
from tests.api.support import Api
from tests.runs.support import definition_of, driven, event_types, node, rows, started
from tests.runs.test_drive_items import text
from tests.support.factories import World
from workflows.lib.errors import Conflict
from workflows.tenancy.models import AuditEntry

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = 8
ENDS = {"run_completed": "completed", "run_failed": "failed", "run_cancelled": "cancelled"}


def at_once(*deeds: Callable[[], Any]) -> list[Any]:
    """Do all at the same moment, each on a connection of its own; what each gave, or how it failed."""
    found: list[Any] = [None] * len(deeds)
    barrier = threading.Barrier(len(deeds))

    def do(place: int, deed: Callable[[], Any]) -> None:
        try:
            barrier.wait(10)
            found[place] = deed()
        except Exception as error:
            found[place] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=do, args=entry) for entry in enumerate(deeds)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


def check_story(world: World, run: Run) -> None:
    """Row, events and API say the same of how the run ended, and it ended once."""
    run.refresh_from_db()
    ends = [ENDS[type_] for type_ in event_types(run) if type_ in ENDS]
    assert ends == ([run.status] if run.is_over else []), (ends, run.status)
    shown = Api(world.bob).get(f"/workflow-executions/{run.pk}").json()
    assert (shown["status"], shown["output_data"]) == (run.status, run.output)


def chain(world: World) -> Run:
    nodes = [text(key, f"{key} of {{{{ previous }}}}") for key in ("a", "b", "c")]
    return started(world.bob, definition_of(nodes, "a>b>c"))


def later(deed: Callable[[], Any], seed: str) -> Callable[[], Any]:
    """The same after a moment out of the seed, so that it meets the run at different commits."""
    wait = random.Random(seed).uniform(0, 0.03)

    def do() -> Any:
        time.sleep(wait)
        return deed()

    return do


def test_cancel_against_completion(world: World) -> None:
    for seed in range(ROUNDS):
        run = chain(world)
        mine = Run.objects.get(pk=run.pk)
        _, cancelled = at_once(
            partial(drive, run.pk),
            later(partial(cancel_run, run=mine, actor=world.bob), f"cancel {seed}"),
        )
        driven(run)
        check_story(world, run)
        assert run.status == ("completed" if isinstance(cancelled, Conflict) else "cancelled"), cancelled
        audited = AuditEntry.objects.filter(action="cancelled", object_id=str(run.pk)).count()
        assert audited == (run.status == "cancelled")


def test_pause_against_completion(world: World) -> None:
    for seed in range(ROUNDS):
        run = chain(world)
        mine = Run.objects.get(pk=run.pk)
        _, paused = at_once(
            partial(drive, run.pk),
            later(partial(pause_run, run=mine, actor=world.bob), f"pause {seed}"),
        )
        driven(run)
        check_story(world, run)
        if isinstance(paused, Conflict):
            assert run.status == "completed"
        elif run.status == "paused":
            assert event_types(run)[-1] == "paused"
            resume_run(run=run, actor=world.bob)
            driven(run)
        assert run.status == "completed", paused
        check_story(world, run)
        assert all(row.round == 0 for row in rows(run).values())


def test_twenty_parallel_resumes_of_a_failed_run(world: World) -> None:
    broken = node("b", config={"mode": "expression", "expression": "input.missing"})
    run = driven(started(world.bob, definition_of([text("a", "A"), broken], "a>b")))
    assert run.status == "failed"
    Run.objects.filter(pk=run.pk).update(input={"missing": "found"})
    copies = [Run.objects.get(pk=run.pk) for _ in range(20)]
    answers = at_once(*(partial(resume_run, run=copy, actor=world.bob) for copy in copies))
    assert [answer for answer in answers if isinstance(answer, Exception)] == []
    assert Mail.objects.filter(run=run, kind="retry").count() == 1
    assert AuditEntry.objects.filter(action="retried").count() == 1
    driven(run)
    check_story_after_retry(run)
    # Of a paused run the same: one goes on, the others find it so.
    held = chain(world)
    pause_run(run=held, actor=world.bob)
    driven(held)
    copies = [Run.objects.get(pk=held.pk) for _ in range(20)]
    answers = at_once(*(partial(resume_run, run=copy, actor=world.bob) for copy in copies))
    assert [answer for answer in answers if isinstance(answer, Exception)] == []
    assert AuditEntry.objects.filter(action="resumed").count() == 1
    driven(held)
    check_story(world, held)
    assert (held.status, event_types(held).count("resumed")) == ("completed", 1)


def check_story_after_retry(run: Run) -> None:
    kinds = event_types(run)
    assert (run.status, kinds.count("resumed"), kinds.count("run_completed")) == ("completed", 1, 1)
    assert {key: row.round for key, row in rows(run).items()} == {"a": 0, "b": 1}


def test_two_reviewers_at_once(world: World) -> None:
    for _ in range(ROUNDS):
        nodes = [text("a", "A"), node("g", "review"), text("yes", "yes"), text("no", "no")]
        run = driven(started(world.bob, definition_of(nodes, "a>g:approved>yes", "g:rejected>no")))
        gates = [Review.objects.get(run=run, status="open") for _ in range(2)]
        wishes = ("approve", "reject")
        answers = at_once(
            *(
                partial(decide_review, review=gate, actor=who, decision=wish)
                for gate, wish, who in zip(gates, wishes, (world.alice, world.bob), strict=True)
            )
        )
        late = [answer for answer in answers if isinstance(answer, Conflict)]
        won = [place for place, answer in enumerate(answers) if isinstance(answer, Review)]
        assert (len(won), len(late)) == (1, 1), answers
        driven(run)
        check_story(world, run)
        gate = Review.objects.get(run=run)
        assert (gate.status, gate.decision) == ("decided", wishes[won[0]])
        told = Event.objects.get(run=run, type="review_decided").data
        assert (told["decision"], told["by"]) == (gate.decision, gate.decided_by_label)
        assert gate.decided_by_label in str(late[0])
        assert run.output == {"content": "yes" if won == [0] else "no"}
        assert AuditEntry.objects.filter(action="decided", object_id=str(gate.pk)).count() == 1
