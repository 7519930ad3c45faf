"""States of runs and step runs, and which of them are final."""

from enum import StrEnum


class RunStatus(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Never left again; `failed` is not final, a retry may revive it."""
        return self in (RunStatus.COMPLETED, RunStatus.CANCELLED)

    @property
    def is_over(self) -> bool:
        """Nothing happens any more unless a person acts."""
        return self in (RunStatus.COMPLETED, RunStatus.CANCELLED, RunStatus.FAILED)


class Intent(StrEnum):
    """What a person wants of a run; set from anywhere, obeyed by the driver."""

    NONE = ""
    PAUSE = "pause"
    CANCEL = "cancel"


class StepStatus(StrEnum):
    """pending: undecided · queued: ready, lacks a slot · running: an attempt is open · waiting: timer, retry or person."""

    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        return self in _TERMINAL


_TERMINAL = frozenset({StepStatus.COMPLETED, StepStatus.FAILED, StepStatus.SKIPPED, StepStatus.CANCELLED})


class Wait(StrEnum):
    """What a waiting step run waits for."""

    NONE = ""
    DELAY = "delay"
    RETRY = "retry"
    REVIEW = "review"
    ITEMS = "items"
    CHILD = "child"


class Skip(StrEnum):
    """Why a step was skipped."""

    OFF = "off"
    BRANCH = "branch"
    JOIN = "join"


class AttemptStatus(StrEnum):
    OPEN = "open"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    CANCELLED = "cancelled"


class EventType(StrEnum):
    """Types of run events, as the API and the log name them (07 §1)."""

    RUN_STARTED = "run_started"
    PROGRESS = "progress"
    TEXT = "text"
    COMPLETED = "completed"
    SKIPPED = "skipped"
    RETRY = "retry"
    FALLBACK = "fallback"
    ERROR = "error"
    PAUSED = "paused"
    RESUMED = "resumed"
    FAN_OUT_PROGRESS = "fan_out_progress"
    REVIEW_REQUESTED = "review_requested"
    REVIEW_DECIDED = "review_decided"
    REVIEW_REASSIGNED = "review_reassigned"
    VARIABLE_SET = "variable_set"
    EDITED = "edited"
    BUDGET = "budget"
    RUN_COMPLETED = "run_completed"
    RUN_FAILED = "run_failed"
    RUN_CANCELLED = "run_cancelled"
    DONE = "done"


class MailKind(StrEnum):
    """Kinds of mail to a run's driver."""

    DECISION = "decision"
    RETRY = "retry"
    RESUME = "resume"
    CHILD = "child"
    DEBUG = "debug"
    EDIT = "edit"
    ITEMS = "items"
    REASSIGNED = "reassigned"
