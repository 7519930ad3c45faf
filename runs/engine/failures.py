"""What a failed try leads to: another try, a way on, or the end of the run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias, assert_never

from workflows.definition.graph import ERROR_PORT, ErrorChoice, StepDef
from workflows.definition.retry import RetryPolicy
from workflows.lib.errors import ErrorInfo
from workflows.lib.jsontypes import JSONObject


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Try number `attempt` is due at `at`."""

    attempt: int
    at: datetime


@dataclass(frozen=True, slots=True)
class GoOn:
    """The step has failed, and its way out is `port` with `output`."""

    port: str
    output: JSONObject


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The step has failed and holds the run."""


AfterFailure: TypeAlias = TryAgain | GoOn | GiveUp


def after_failure(
    step: StepDef,
    policy: RetryPolicy,
    error: ErrorInfo,
    *,
    attempt: int,
    now: datetime,
    main_port: str,
    seed: str,
) -> AfterFailure:
    """Retry policy first, then the error policy (02 §4)."""
    at = policy.next_try(
        attempt=attempt,
        code=error.code,
        retryable=error.retryable,
        now=now,
        retry_after_s=error.retry_after_s,
        seed=seed,
    )
    if at is not None:
        return TryAgain(attempt + 1, at)
    match step.on_error.policy:
        case ErrorChoice.FAIL:
            return GiveUp()
        case ErrorChoice.CONTINUE:
            default = step.on_error.default
            return GoOn(main_port, dict(default) if isinstance(default, dict) else {"content": default})
        case ErrorChoice.ROUTE:
            return GoOn(
                ERROR_PORT,
                {"content": error.message, "error": {"code": error.code, "message": error.message}},
            )
        case choice:
            assert_never(choice)
