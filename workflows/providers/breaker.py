"""The circuit breaker of one account at one host: a pure state machine. Times are Unix seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, Self

from workflows.lib.jsontypes import JSONObject

# What says that the other side does not work now. A bad request or a refusal says that it does.
OUTAGES: Final = frozenset(
    {"overloaded", "server_error", "timeout", "network", "cut_stream", "not_an_answer"}
)
# What no waiting mends: the account is paused at the first time, so that a chain goes past it at once.
DEAD_ENDS: Final = frozenset({"quota", "bad_key"})
# The vendor lives and asks for patience: that is the rate limit's affair, not the breaker's.
PATIENCE: Final = frozenset({"rate_limited", "conflict"})


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """`failures` outages within `window_s` open it for `open_s`; each opening in a row doubles that, to `longest_s`.

    `probe_s`: a probe that has said nothing for so long counts as lost, and another may go.
    """

    failures: int = 5
    window_s: float = 60.0
    open_s: float = 30.0
    longest_s: float = 600.0
    probe_s: float = 120.0


POLICY: Final = BreakerPolicy()


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a call may go. `probe`: it is the one that finds out; `next_probe_at`: when one may, if not now."""

    allowed: bool
    probe: bool = False
    next_probe_at: float | None = None


@dataclass(frozen=True, slots=True)
class Breaker:
    """`failed_at` are the outages in the window; `probe_at` is set while it is open; `code` and `reason` say why."""

    failed_at: tuple[float, ...] = ()
    opened_at: float | None = None
    probe_at: float | None = None
    probing_until: float | None = None
    openings: int = 0
    failures: int = 0
    code: str = ""
    reason: str = ""

    def state(self, now: float) -> BreakerState:
        if self.probe_at is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self.probe_at else BreakerState.HALF_OPEN

    @property
    def is_untouched(self) -> bool:
        return self == _UNTOUCHED

    def ask(self, now: float, policy: BreakerPolicy = POLICY) -> tuple[Breaker, Verdict]:
        """May a call go now? Half-open lets one through; the state returned remembers that it is out."""
        match self.state(now):
            case BreakerState.CLOSED:
                return self, Verdict(True)
            case BreakerState.OPEN:
                return self, Verdict(False, next_probe_at=self.probe_at)
            case BreakerState.HALF_OPEN:
                if self.probing_until is not None and now < self.probing_until:
                    return self, Verdict(False, next_probe_at=self.probing_until)
                return replace(self, probing_until=now + policy.probe_s), Verdict(True, probe=True)

    def succeeded(self) -> Breaker:
        """The other side works: closed, and nothing is remembered."""
        return _UNTOUCHED

    def failed(self, now: float, *, code: str, reason: str, policy: BreakerPolicy = POLICY) -> Breaker:
        """A call came to nothing. What the vendor said decides: an outage, a dead end, or a sign of life."""
        if code in PATIENCE:
            return replace(self, probing_until=None)
        if code not in OUTAGES and code not in DEAD_ENDS:
            return self.succeeded()
        recent = (*(at for at in self.failed_at if at > now - policy.window_s), now)[-policy.failures :]
        was_open = self.probe_at is not None
        if self.state(now) is BreakerState.OPEN:
            # A call that was under way when it opened: known already.
            return replace(self, failed_at=recent, failures=self.failures + 1)
        if not was_open and code in OUTAGES and len(recent) < policy.failures:
            return replace(self, failed_at=recent, failures=len(recent), code=code, reason=reason)
        openings = self.openings + 1
        return Breaker(
            failed_at=recent,
            opened_at=self.opened_at if was_open else now,
            probe_at=now + min(policy.open_s * 2.0 ** min(openings - 1, 30), policy.longest_s),
            openings=openings,
            failures=self.failures + 1 if was_open else len(recent),
            code=code,
            reason=reason,
        )

    def to_json(self) -> JSONObject:
        return {
            "failed_at": list(self.failed_at),
            "opened_at": self.opened_at,
            "probe_at": self.probe_at,
            "probing_until": self.probing_until,
            "openings": self.openings,
            "failures": self.failures,
            "code": self.code,
            "reason": self.reason,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(**{**data, "failed_at": tuple(data.get("failed_at") or ())})


_UNTOUCHED: Final = Breaker()
