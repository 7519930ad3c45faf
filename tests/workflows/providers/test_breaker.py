"""The circuit breaker's states, one by one, on a clock of the test."""

from __future__ import annotations

import pytest

from workflows.providers.breaker import POLICY, Breaker, BreakerState


def broken(times: int, *, at: float = 1_000.0, code: str = "server_error") -> Breaker:
    breaker = Breaker()
    for number in range(times):
        breaker = breaker.failed(at + number, code=code, reason="It broke.")
    return breaker


def test_it_opens_after_so_many_outages_within_its_window() -> None:
    assert broken(4).state(1_004) is BreakerState.CLOSED
    opened = broken(5)
    assert opened.state(1_004) is BreakerState.OPEN
    assert opened.failures == 5
    assert opened.probe_at == 1_004 + POLICY.open_s
    _, verdict = opened.ask(1_005)
    assert not verdict.allowed
    assert verdict.next_probe_at == opened.probe_at


def test_outages_that_lie_far_apart_do_not_open_it() -> None:
    breaker = Breaker()
    for number in range(20):
        breaker = breaker.failed(number * 100.0, code="timeout", reason="")
    assert breaker.state(2_000) is BreakerState.CLOSED


def test_half_open_lets_one_probe_through_and_a_lost_probe_is_followed_by_another() -> None:
    opened = broken(5)
    assert opened.probe_at is not None
    now = opened.probe_at
    asked, first = opened.ask(now)
    assert first.allowed
    assert first.probe
    _, second = asked.ask(now + 1)
    assert not second.allowed
    assert second.next_probe_at == now + POLICY.probe_s
    _, third = asked.ask(now + POLICY.probe_s)
    assert third.allowed


def test_a_probe_that_succeeds_closes_it_and_one_that_fails_doubles_the_pause() -> None:
    opened = broken(5)
    assert opened.probe_at is not None
    asked, _ = opened.ask(opened.probe_at)
    assert asked.succeeded() == Breaker()
    again = asked.failed(opened.probe_at + 1, code="timeout", reason="")
    assert again.probe_at == opened.probe_at + 1 + 2 * POLICY.open_s
    assert again.failures == 6
    assert again.opened_at == opened.opened_at
    for _ in range(20):
        assert again.probe_at is not None
        again = again.ask(again.probe_at)[0].failed(again.probe_at, code="timeout", reason="")
    assert again.opened_at is not None
    assert again.probe_at is not None
    assert again.probe_at - again.failed_at[-1] == POLICY.longest_s


@pytest.mark.parametrize("code", ["quota", "bad_key"])
def test_what_no_waiting_mends_opens_it_at_once(code: str) -> None:
    assert broken(1, code=code).state(1_000) is BreakerState.OPEN


@pytest.mark.parametrize("code", ["bad_request", "refused", "too_long", "model_missing"])
def test_an_answer_that_is_about_the_request_is_a_sign_of_life(code: str) -> None:
    assert broken(4).failed(1_010, code=code, reason="") == Breaker()


def test_a_rate_limit_neither_opens_nor_closes_it_and_frees_the_probe() -> None:
    four = broken(4)
    assert four.failed(1_010, code="rate_limited", reason="").failed_at == four.failed_at
    opened = broken(5)
    assert opened.probe_at is not None
    probing, _ = opened.ask(opened.probe_at)
    _, verdict = probing.failed(opened.probe_at, code="rate_limited", reason="").ask(opened.probe_at)
    assert verdict.allowed


def test_calls_that_were_under_way_when_it_opened_do_not_move_the_probe() -> None:
    opened = broken(5)
    late = opened.failed(1_010, code="server_error", reason="")
    assert late.probe_at == opened.probe_at
    assert late.failures == 6


def test_its_json_reads_back_the_same() -> None:
    breaker = broken(7)
    assert Breaker.from_json(breaker.to_json()) == breaker
