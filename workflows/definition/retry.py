"""The retry policy: when a failed attempt is tried again, and how long it waits."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from workflows.lib.jsontypes import JSONObject


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how patiently a step is tried.

    `max_attempts` counts the first try; delays are milliseconds; `jitter` is the share of the delay that
    is random (0 to 1); `retry_on_errors` are codes of the error table, empty = all that can help.
    """

    max_attempts: int = 1
    delay_ms: int = 1_000
    backoff_multiplier: float = 2.0
    max_delay_ms: int = 60_000
    jitter: float = 0.1
    retry_on_errors: tuple[str, ...] = ()

    def delay_before(self, attempt: int, *, seed: str = "") -> timedelta:
        """The wait before try number `attempt` (2 = the first retry): delay * multiplier ** (attempt - 2), capped.

        Jitter is drawn from `seed`, so that asking again gives the same answer.
        """
        # The exponent is bounded so that a huge attempt number cannot overflow a float.
        raw = self.delay_ms * self.backoff_multiplier ** min(max(attempt - 2, 0), 64)
        capped = min(raw, float(self.max_delay_ms))
        if self.jitter > 0:
            capped *= 1 + self.jitter * (2 * random.Random(f"{seed}:{attempt}").random() - 1)
        return timedelta(milliseconds=round(min(capped, float(self.max_delay_ms))))

    def allows(self, code: str, *, retryable: bool) -> bool:
        """Whether an error of this code may be tried again at all."""
        return code in self.retry_on_errors if self.retry_on_errors else retryable

    def next_try(
        self,
        *,
        attempt: int,
        code: str,
        retryable: bool,
        now: datetime,
        retry_after_s: float | None = None,
        seed: str = "",
    ) -> datetime | None:
        """When try `attempt + 1` is due, or None when this failure is the last word.

        A vendor's `Retry-After` is honoured as a lower bound.
        """
        if attempt >= self.max_attempts or not self.allows(code, retryable=retryable):
            return None
        wait = self.delay_before(attempt + 1, seed=seed)
        if retry_after_s is not None:
            wait = max(wait, timedelta(seconds=retry_after_s))
        return now + wait

    def to_json(self) -> JSONObject:
        return {
            "max_attempts": self.max_attempts,
            "delay_ms": self.delay_ms,
            "backoff_multiplier": self.backoff_multiplier,
            "max_delay_ms": self.max_delay_ms,
            "jitter": self.jitter,
            "retry_on_errors": list(self.retry_on_errors),
        }

    @classmethod
    def from_json(cls, data: JSONObject) -> Self:
        """Read a checked JSON object (`schema.py` does the checking); missing names take the defaults."""
        codes: Iterable[str] = data.get("retry_on_errors") or ()
        return cls(
            max_attempts=int(data.get("max_attempts", 1)),
            delay_ms=int(data.get("delay_ms", 1_000)),
            backoff_multiplier=float(data.get("backoff_multiplier", 2.0)),
            max_delay_ms=int(data.get("max_delay_ms", 60_000)),
            jitter=float(data.get("jitter", 0.1)),
            retry_on_errors=tuple(codes),
        )


ONCE = RetryPolicy(max_attempts=1)
THREE_TIMES = RetryPolicy(max_attempts=3)
