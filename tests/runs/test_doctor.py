"""The doctor finds each kind of fault, names its run, and finds nothing in sound runs of every state."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from runs.models import Attempt, Event, Mail, Review, Run, StepRun
from runs.services.doctor import examine, health
from tests.runs.support import definition_of, driven, node, started
from tests.support.factories import World

pytestmark = pytest.mark.django_db


def change(**fields: Any) -> Callable[[Run], object]:
    return lambda run: Run.objects.filter(pk=run.pk).update(**fields)


def long_ago() -> Any:
    return timezone.now() - timedelta(minutes=5)


def finished(world: World) -> Run:
    return driven(started(world.bob, definition_of([node("a"), node("b")], "a>b"), {"x": 1}))


def at_gate(world: World) -> Run:
    gate = node("g", "review", config={"title": "Is it good?"})
    return driven(started(world.bob, definition_of([node("a"), gate], "a>g"), {"x": 1}))


def resting(world: World) -> Run:
    delay = node("d", "delay", config={"duration": "2 days"})
    return driven(started(world.bob, definition_of([delay]), {"x": 1}))


def test_sound_runs_of_every_state_are_explained(world: World) -> None:
    finished(world), at_gate(world), resting(world)
    started(world.bob, definition_of([node("a")]))
    broken = node("a", config={"mode": "expression", "expression": "input.missing + 1"})
    driven(started(world.bob, definition_of([broken]), {"x": 1}))
    assert list(examine()) == []
    assert (health().driven, health().timed, health().waiting) == (0, 2, 1)
    said = StringIO()
    call_command("doctor", stdout=said)
    assert said.getvalue().splitlines() == [
        "3 unfinished runs: 0 being worked on, 2 due at a time, 1 waiting for people.",
        "Nothing is wrong.",
    ]


@pytest.mark.parametrize(
    ("make", "break_it", "kind"),
    [
        (resting, change(wake_at=None), "never_woken"),
        (at_gate, change(waiting_for=[]), "pause_unexplained"),
        (at_gate, lambda run: Mail.objects.create(run=run, tenant=run.tenant, kind="resume"), "mail_unread"),
        (resting, lambda run: change(wake_at=long_ago())(run), "overdue"),
        (resting, lambda run: change(lease_token="gone", lease_until=long_ago())(run), "lease_expired"),
        (finished, change(lease_token="gone"), "over_but_driven"),
        (at_gate, change(status="failed", wake_at=None), "review_left_open"),
        (resting, change(status="cancelled", wake_at=None), "step_left_open"),
        (
            finished,
            lambda run: Attempt.objects.create(
                run=run, tenant=run.tenant, number=1, step_run=StepRun.objects.get(run=run, step_key="a")
            ),
            "try_left_open",
        ),
        (
            finished,
            lambda run: StepRun.objects.filter(run=run, step_key="a").update(port=None),
            "completed_without_output",
        ),
        (finished, change(output=None), "completed_without_output"),
        (finished, lambda run: Event.objects.filter(run=run, seq=3).delete(), "event_gap"),
        (finished, change(event_seq=99), "event_gap"),
    ],
)
def test_a_fault_is_found_and_named(
    world: World, make: Callable[[World], Run], break_it: Callable[[Run], object], kind: str
) -> None:
    make(world)
    run = make(world)
    break_it(run)
    found = list(examine())
    assert [(finding.kind, finding.run_id) for finding in found] == [(kind, run.pk)]
    assert f"un {run.number} " in found[0].sentence
    said = StringIO()
    with pytest.raises(SystemExit) as end:
        call_command("doctor", stdout=said)
    assert end.value.code == 1
    assert found[0].sentence in said.getvalue()


def test_a_worker_that_is_a_little_late_is_no_fault(world: World) -> None:
    run = resting(world)
    change(wake_at=timezone.now() - timedelta(seconds=20))(run)
    assert list(examine()) == []
    assert [finding.kind for finding in examine(timedelta(seconds=10))] == ["overdue"]


def test_a_gate_that_a_retry_reopens_is_no_fault(world: World) -> None:
    run = at_gate(world)
    Review.objects.filter(run=run).update(status=Review.Status.HELD)
    change(status="failed", wake_at=None)(run)
    assert list(examine()) == []
