"""A model server and a site of real processes for acceptance tests; `STEPWELL_CRASH_SEED` repeats their random moments."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_openai import FakeOpenAI
from tests.support.site import Site

# Proofs take minutes: `make soak` runs them, a short version of the same path runs in CI.
proof = pytest.mark.proof

SEED = int(os.environ.get("STEPWELL_CRASH_SEED") or random.SystemRandom().randrange(1_000_000))


@pytest.fixture
def model() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as server:
        yield server


@pytest.fixture
def site(tmp_path: Path, model: FakeOpenAI, monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[Site]:
    sys.stdout.write(f"STEPWELL_CRASH_SEED={SEED}\n")
    settings.OUTBOUND_ALLOW = [f"127.0.0.1:{model.port}"]
    made = Site(tmp_path, model)
    # This process rings at the site's Redis too.
    from runs import queue

    client = made.redis.client()
    monkeypatch.setattr(queue, "connection", lambda: client)
    queue._queue.cache_clear()
    try:
        yield made
    finally:
        queue._queue.cache_clear()
        made.close()
        # Shown with a failing test only.
        sys.stdout.write(made.said()[-20_000:])


@pytest.fixture
def moment(request: pytest.FixtureRequest) -> random.Random:
    return random.Random(f"{SEED} {request.node.name}")
