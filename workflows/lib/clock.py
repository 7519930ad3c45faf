"""The one clock: aware UTC times, so that tests and the simulator can replace it by argument."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeAlias

Clock: TypeAlias = Callable[[], datetime]


def utc_now() -> datetime:
    """The time now, aware and in UTC."""
    return datetime.now(UTC)
