"""Two people in one draft, each a process of its own, against a running Stepwell: no lost edit, no corrupt graph.

STEPWELL_PROOFS=1 runs the 1,000 edits; CI makes 40 (tests/browser/test_two_people.py). STEPWELL_SEED repeats a run.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.acceptance.two_people import edited_by_two
from tests.support.stack import running_stack

SEED = int(os.environ.get("STEPWELL_SEED") or random.SystemRandom().randrange(1_000_000))


@pytest.mark.proof
def test_a_thousand_edits_of_two_processes_lose_nothing_and_break_no_graph(tmp_path: Path) -> None:
    print(f"STEPWELL_SEED={SEED}, 1,000 edits")  # noqa: T201
    with running_stack(tmp_path) as stack:
        told = edited_by_two(stack, seed=SEED, edits=1_000, cards=4)
    print(sorted(told.items()))  # noqa: T201
    assert told["write", 200] > 250
    assert told["write", 412] > 0, "nobody was asked: the two never met"
    assert told["add", 200] > 50
