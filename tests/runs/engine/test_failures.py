"""What a failed try leads to, and the arithmetic of waiting."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from runs.engine.failures import GiveUp, GoOn, TryAgain, after_failure
from workflows.definition.graph import ErrorChoice, ErrorPolicy, StepDef
from workflows.definition.retry import RetryPolicy
from workflows.lib.errors import ErrorInfo

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
POLICY = RetryPolicy(max_attempts=3, delay_ms=1_000, backoff_multiplier=2, max_delay_ms=5_000, jitter=0)
BUSY = ErrorInfo("rate_limited", "Busy.", retryable=True)
WRONG = ErrorInfo("bad_request", "Wrong.", retryable=False)


def after(
    error: ErrorInfo, attempt: int = 1, policy: RetryPolicy = POLICY, on_error: ErrorPolicy | None = None
) -> object:
    step = StepDef(key="a", type="llm", label="A", on_error=on_error or ErrorPolicy())
    return after_failure(step, policy, error, attempt=attempt, now=NOW, main_port="out", seed="s")


@pytest.mark.parametrize(
    ("attempt", "delay_ms", "multiplier", "cap", "expected_s"),
    [
        (2, 1_000, 2, 60_000, 1),
        (3, 1_000, 2, 60_000, 2),
        (4, 1_000, 2, 60_000, 4),
        (5, 1_000, 3, 60_000, 27),
        (9, 1_000, 2, 60_000, 60),
        (2, 500, 1, 60_000, 0.5),
        (7, 500, 1, 60_000, 0.5),
        (2, 0, 2, 60_000, 0),
        (2, 90_000, 2, 60_000, 60),
        (5_000, 1_000, 2, 60_000, 60),
    ],
)
def test_the_wait_grows_by_the_multiplier_up_to_the_cap(
    attempt: int, delay_ms: int, multiplier: float, cap: int, expected_s: float
) -> None:
    policy = RetryPolicy(10_000, delay_ms, multiplier, cap, jitter=0)
    assert policy.delay_before(attempt) == timedelta(seconds=expected_s)


def test_jitter_stays_in_its_share_and_says_the_same_when_asked_again() -> None:
    policy = RetryPolicy(max_attempts=9, delay_ms=10_000, jitter=0.2)
    waits = {policy.delay_before(2, seed=str(number)) for number in range(200)}
    assert len(waits) > 100
    assert timedelta(seconds=8) <= min(waits) < max(waits) <= timedelta(seconds=12)
    assert policy.delay_before(2, seed="x") == policy.delay_before(2, seed="x")


def test_max_attempts_counts_the_first_try() -> None:
    assert after(BUSY, 1) == TryAgain(2, NOW + timedelta(seconds=1))
    assert after(BUSY, 2) == TryAgain(3, NOW + timedelta(seconds=2))
    assert after(BUSY, 3) == GiveUp()
    assert after(BUSY, 1, RetryPolicy(max_attempts=1)) == GiveUp()


def test_what_a_retry_cannot_help_is_not_tried_again_unless_the_author_names_it() -> None:
    assert after(WRONG) == GiveUp()
    named = RetryPolicy(max_attempts=2, jitter=0, retry_on_errors=("bad_request",))
    assert after(WRONG, policy=named) == TryAgain(2, NOW + timedelta(seconds=1))
    assert after(BUSY, policy=named) == GiveUp()


@pytest.mark.parametrize(("vendor_s", "expected_s"), [(0.2, 1), (30, 30), (600, 600)])
def test_the_vendors_wait_is_the_least(vendor_s: float, expected_s: float) -> None:
    busy = ErrorInfo("rate_limited", "Busy.", retryable=True, retry_after_s=vendor_s)
    assert after(busy) == TryAgain(2, NOW + timedelta(seconds=expected_s))


def test_the_error_policy_comes_after_the_last_try() -> None:
    go_on = ErrorPolicy(ErrorChoice.CONTINUE, "nothing")
    assert after(BUSY, 1, on_error=go_on) == TryAgain(2, NOW + timedelta(seconds=1))
    assert after(BUSY, 3, on_error=go_on) == GoOn("out", {"content": "nothing"})
    assert after(BUSY, 3, on_error=ErrorPolicy(ErrorChoice.CONTINUE, {"content": "x", "n": 1})) == GoOn(
        "out", {"content": "x", "n": 1}
    )
    routed = after(WRONG, on_error=ErrorPolicy(ErrorChoice.ROUTE))
    assert routed == GoOn(
        "error", {"content": "Wrong.", "error": {"code": "bad_request", "message": "Wrong."}}
    )
