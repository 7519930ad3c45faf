"""The last threads of a worker are for tenants that have none there; what waits for one takes the next that comes free."""

from __future__ import annotations

from uuid import UUID

import pytest

from runs.models import Run
from runs.services import drive_run
from runs.services.thread_shares import ThreadShares, drive_in_turn
from tests.runs.support import definition_of, node, started
from tests.support.factories import World
from workflows.tenancy.actor import Actor

pytestmark = pytest.mark.django_db


def runs_of(actor: Actor, count: int) -> list[UUID]:
    return [started(actor, definition_of([node("a")]), {"x": 1}).pk for _ in range(count)]


def test_one_tenant_takes_all_threads_but_the_last_and_another_takes_that(world: World) -> None:
    mine, theirs = runs_of(world.bob, 5), runs_of(world.charlie, 2)
    shares = ThreadShares(4)
    assert [shares.enter(run) for run in mine] == [True, True, True, False, False]
    assert [shares.enter(run) for run in theirs] == [True, False]
    # Whoever has the fewest goes first, among them whoever waits longest; the last thread stays for a stranger.
    assert shares.leave(mine[0]) is None
    assert shares.leave(theirs[0]) == theirs[1]
    assert shares.leave(theirs[1]) == mine[3]
    assert shares.leave(mine[1]) == mine[4]
    assert shares.leave(mine[2]) is None


@pytest.mark.parametrize(("threads", "alone"), [(None, 9), (1, 1), (2, 1), (8, 7), (16, 14)])
def test_so_many_threads_are_open_to_one_tenant(world: World, threads: int | None, alone: int) -> None:
    shares = ThreadShares(threads)
    runs = runs_of(world.bob, min(alone + 1, 17))
    assert sum(shares.enter(run) for run in runs) == (len(runs) if threads is None else alone)


def test_what_waited_is_driven_by_the_thread_that_comes_free(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = ThreadShares(2)
    first, second = runs_of(world.bob, 2)
    driven: list[UUID] = []

    def drive(run_id: UUID) -> None:
        driven.append(run_id)
        if run_id == first and len(driven) == 1:
            # Another thread of the pool hears of the second run meanwhile, and of the first one once more.
            drive_in_turn(second, shares)
            assert driven == [first]
            drive_in_turn(first, shares)

    monkeypatch.setattr(drive_run, "drive", drive)
    drive_in_turn(first, shares)
    assert driven == [first, first, second]
    assert not shares.has_thread(first)
    assert not shares.has_thread(second)
    wake_at = Run.objects.get(pk=second).wake_at
    assert wake_at is not None, "and the keeper knows of it too"


def test_a_drive_that_breaks_gives_its_thread_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    shares = ThreadShares(2)
    first, second = runs_of(world.bob, 2)

    def drive(run_id: UUID) -> None:
        assert not shares.enter(second)
        raise RuntimeError("meant")

    monkeypatch.setattr(drive_run, "drive", drive)
    with pytest.raises(RuntimeError):
        drive_in_turn(first, shares)
    assert shares.enter(second)
