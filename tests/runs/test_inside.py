"""How far the steps inside a container are, as the run page and the canvas show it."""

from __future__ import annotations

import pytest

from runs.engine.statuses import StepStatus, Wait
from runs.partials import changed_parts, render_part
from runs.snapshots import run_snapshot
from runs.snapshots.inside import progress_inside
from tests.runs.test_run_items import BODY, THIRTEEN, fresh
from tests.support import runs as make
from tests.support.factories import World

pytestmark = pytest.mark.django_db


def test_each_step_inside_counts_its_items_and_shows_the_liveliest(world: World) -> None:
    run = make.run_of(world.bob, BODY)
    make.worked_through(run, "each", THIRTEEN)
    assert progress_inside(run) == {}
    for index in range(9):
        make.reached(run, "draft", scope=f"each[{index}]")
    for index in range(6):
        make.reached(run, "tone", scope=f"each[{index}]")
    make.reached(run, "tone", StepStatus.FAILED, scope="each[6]")
    make.reached(run, "tone", StepStatus.RUNNING, scope="each[7]")
    make.reached(run, "tone", StepStatus.WAITING, wait=Wait.REVIEW, scope="each[8]")
    draft, tone = run_snapshot(fresh(run)).row("each").inside
    assert (draft.progress.said, draft.progress.status) == ("9 of 13", StepStatus.QUEUED)
    assert (tone.progress.said, tone.progress.status) == ("7 of 13, 1 failed, 1 for review", "running")
    html = render_part(run_snapshot(fresh(run)), "row-each")
    assert 'data-inside="draft"' in html
    assert "7 of 13, 1 failed, 1 for review" in html


def test_a_step_that_was_sent_back_counts_once_and_its_row_is_sent_anew(world: World) -> None:
    run = make.run_of(world.bob, BODY)
    make.worked_through(run, "each", ["running", "running"])
    make.reached(run, "draft", scope="each[0]")
    again = make.reached(run, "draft", StepStatus.RUNNING, scope="each[0]", round=1)
    before = run_snapshot(fresh(run))
    progress = before.row("each").inside[0].progress
    assert (progress.total, progress.begun, progress.completed, progress.running) == (2, 1, 0, 1)
    type(again).objects.filter(pk=again.pk).update(status=StepStatus.COMPLETED, output={"content": "Better"})
    after = run_snapshot(fresh(run))
    assert after.row("each").inside[0].progress.said == "1 of 2"
    assert "row-each" in changed_parts(before, after)


def test_a_container_that_was_not_come_to_says_nothing_of_its_steps(world: World) -> None:
    run = make.run_of(world.bob, BODY)
    html = render_part(run_snapshot(run), "row-each")
    assert 'data-inside="draft"' in html
    assert "runinside__far" not in html
