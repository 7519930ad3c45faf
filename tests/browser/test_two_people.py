"""Two people in one draft, each a process of its own, beside the browser tests' Stepwell; the long run is an acceptance test."""

from __future__ import annotations

import os
import random

from tests.acceptance.two_people import edited_by_two
from tests.support.stack import Stack

SEED = int(os.environ.get("STEPWELL_SEED") or random.SystemRandom().randrange(1_000_000))


def test_forty_edits_of_two_processes_lose_nothing_and_break_no_graph(stack: Stack) -> None:
    print(f"STEPWELL_SEED={SEED}")  # noqa: T201 - shown when it fails
    told = edited_by_two(stack, seed=SEED, edits=40, cards=2)
    assert told["write", 200] > 8
    assert told["add", 200]
