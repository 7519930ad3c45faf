"""A key may make so many calls a minute; without Redis nobody is turned away."""

from __future__ import annotations

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.api.support import Api, error_of
from tests.support.factories import World
from workflows.api import rate
from workflows.lib import limits
from workflows.lib.limits import Limit

pytestmark = pytest.mark.django_db


@pytest.fixture
def _three_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "API_CALLS_PER_MINUTE", Limit(3, "calls", "At most {value} calls a minute."))
    monkeypatch.setattr("workflows.api.rate.time.time", lambda: 1_000_000_030.0)


@pytest.mark.usefixtures("_three_calls")
def test_the_fourth_call_is_429_and_says_when_to_come_back(world: World):
    api = Api(world.bob)
    assert [api.get("/step-types").status_code for _ in range(3)] == [200, 200, 200]
    response = api.get("/step-types")
    error = error_of(response, 429)
    assert (error["code"], error["message"]) == ("too_many_calls", "At most 3 calls a minute.")
    assert response["Retry-After"] == str(60 - 1_000_000_030 % 60)
    assert Api(world.bob).get("/step-types").status_code == 200, "another key has calls of its own"


@pytest.mark.usefixtures("_three_calls")
def test_the_next_minute_begins_anew(world: World, monkeypatch: pytest.MonkeyPatch):
    api = Api(world.bob)
    for _ in range(4):
        api.get("/step-types")
    monkeypatch.setattr("workflows.api.rate.time.time", lambda: 1_000_000_090.0)
    assert api.get("/step-types").status_code == 200


@pytest.mark.usefixtures("_three_calls")
def test_without_redis_all_calls_pass_and_it_is_not_asked_each_time(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    asked = []

    def away() -> None:
        asked.append(1)
        raise RedisConnectionError("away")

    monkeypatch.setattr(rate, "_client", away)
    monkeypatch.setattr(rate, "_resting_until", 0.0)
    api = Api(world.bob)
    assert {api.get("/step-types").status_code for _ in range(6)} == {200}
    assert len(asked) == 1
    monkeypatch.setattr(rate, "_resting_until", 0.0)
