"""Breakers, rates and slots of accounts: over Redis, between two processes' worth of gates, and without Redis."""

from __future__ import annotations

import asyncio

import pytest
from django.conf import settings

from workflows.providers import errors
from workflows.providers.breaker import BreakerState
from workflows.services.provider_gates import ProviderGates

AWAY = "redis://127.0.0.1:1/0"
NAME = "account@api.example.com"
BROKE = errors.cut_stream(provider="openai", label="OpenAI")


def gates_pair(where: str) -> tuple[ProviderGates, ProviderGates]:
    """Two processes' gates over one Redis; without it, one process is all there is."""
    if where == "redis":
        return ProviderGates(settings.REDIS_CHANNELS_URL), ProviderGates(settings.REDIS_CHANNELS_URL)
    alone = ProviderGates(AWAY)
    return alone, alone


both = pytest.mark.parametrize("where", ["redis", "process"])


@both
def test_five_failures_pause_an_account_for_every_process_and_one_success_frees_it(where: str) -> None:
    one, other = gates_pair(where)

    async def story() -> None:
        for _ in range(5):
            assert (await other.ask(NAME))[1].allowed
            await one.failed(NAME, BROKE)
        breaker, verdict = await other.ask(NAME)
        assert not verdict.allowed
        assert breaker.failures == 5
        assert (await other.ask("somebody-else@api.example.com"))[1].allowed
        await one.succeeded(NAME)
        assert (await other.ask(NAME))[1].allowed

    asyncio.run(story())


@both
def test_a_page_reads_the_states_and_a_test_that_succeeds_forgets_them(where: str) -> None:
    one, other = gates_pair(where)

    async def story() -> None:
        for _ in range(5):
            await one.failed(NAME, BROKE)

    asyncio.run(story())
    now = other.breakers([NAME, "quiet"])
    assert now[NAME].probe_at is not None
    assert now[NAME].state(now[NAME].probe_at - 1) is BreakerState.OPEN
    assert "broke off" in now[NAME].reason
    assert now["quiet"].is_untouched
    other.reset(NAME)
    assert one.breakers([NAME])[NAME].is_untouched


@both
def test_parallel_failures_are_all_counted(where: str) -> None:
    one, other = gates_pair(where)

    async def story() -> None:
        await asyncio.gather(*(one.failed(NAME, BROKE) for _ in range(4)), other.failed(NAME, BROKE))

    asyncio.run(story())
    assert other.breakers([NAME])[NAME].failures == 5


@both
def test_the_rate_lets_a_burst_go_then_spreads_calls_and_says_no_to_a_long_wait(where: str) -> None:
    one, other = gates_pair(where)

    async def story() -> None:
        # 20 a minute: two at once, then one every three seconds.
        assert await one.wait_for_rate(NAME, per_minute=20, longest_s=60) == 0
        assert await other.wait_for_rate(NAME, per_minute=20, longest_s=60) == 0
        later = [await other.wait_for_rate(NAME, per_minute=20, longest_s=60) for _ in range(10)]
        waits = [wait for wait in later if wait is not None]
        assert len(waits) == 10
        assert waits == sorted(waits)
        assert 20 < waits[-1] <= 30
        assert await one.wait_for_rate(NAME, per_minute=20, longest_s=1) is None
        assert await one.wait_for_rate(NAME, per_minute=None, longest_s=1) == 0

    asyncio.run(story())


@both
def test_a_vendor_that_asks_for_patience_holds_every_call_of_the_account(where: str) -> None:
    one, other = gates_pair(where)
    busy = errors.error_from_answer(
        provider="openai", label="OpenAI", model="m", status=429, body={}, headers={"Retry-After": "7"}
    )

    async def story() -> None:
        await one.failed(NAME, busy)
        wait = await other.wait_for_rate(NAME, per_minute=None, longest_s=10)
        assert wait is not None
        assert 0 < wait <= 7
        assert await other.wait_for_rate(NAME, per_minute=600, longest_s=2) is None
        assert (await other.ask(NAME))[1].allowed

    asyncio.run(story())


@both
def test_no_more_calls_at_one_time_than_allowed_and_a_slot_comes_back(where: str) -> None:
    one, other = gates_pair(where)

    async def story() -> None:
        async with one.slot(NAME, most=2, longest_s=1, held_s=60) as first:
            async with other.slot(NAME, most=2, longest_s=1, held_s=60) as second:
                assert first
                assert second
                async with one.slot(NAME, most=2, longest_s=0, held_s=60) as third:
                    assert not third
            async with one.slot(NAME, most=2, longest_s=0, held_s=60) as third:
                assert third

    asyncio.run(story())


@both
def test_a_slot_of_a_worker_that_died_is_free_when_its_time_has_passed(where: str) -> None:
    one, other = gates_pair(where)

    async def story() -> None:
        assert await one._enter(NAME, "dead", 1, -1)
        async with other.slot(NAME, most=1, longest_s=0, held_s=60) as mine:
            assert mine

    asyncio.run(story())
