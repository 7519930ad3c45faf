"""What the queue runs: one job is "look at this run". Ids only; everything else stands in the database."""

from __future__ import annotations

from uuid import UUID

from runs import queue
from runs.services.thread_shares import drive_in_turn


def drive(run_id: str) -> None:
    """Look at the run: claim it and work on it until nothing is ready. Harmless when there is nothing to do."""
    # Before the look, not after it: a ring that comes while we look must be a new one.
    queue.answer(run_id)
    drive_in_turn(UUID(run_id))
