"""The family of errors that a person may read: each has a stable code, a sentence, and says whose fault it is."""

from dataclasses import dataclass
from dataclasses import field as data_field
from enum import StrEnum


class Fault(StrEnum):
    """Who can mend it: the author of the workflow, the outside world, or us."""

    AUTHOR = "author"
    OUTSIDE = "outside"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, named so that a person finds and mends it.

    `path` is a JSON path in the document (`definition.nodes[2].config.prompt`), `step` the step's label,
    `field` the config field, `fix` what to do. `severity` is `error` (blocks publishing) or `warning`.
    """

    code: str
    message: str
    step: str | None = None
    step_key: str | None = None
    field: str | None = None
    path: str | None = None
    fix: str | None = None
    severity: str = "error"

    @property
    def is_error(self) -> bool:
        return self.severity == "error"

    @property
    def says(self) -> str:
        """The message with the step in front where it does not name it: for a place that shows nothing else."""
        return (
            f"“{self.step}”: {self.message}" if self.step and self.step not in self.message else self.message
        )


class StepwellError(Exception):
    """Base of all errors we raise on purpose. `code` is stable, `message` is a sentence for the person."""

    code = "error"
    fault = Fault.INTERNAL
    status = 400

    def __init__(self, message: str, *, code: str | None = None, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code
        self.problems = problems


class NotAllowed(StepwellError):
    """The person is known, the thing is visible to them, but their role may not do this."""

    code = "not_allowed"
    fault = Fault.AUTHOR
    status = 403


class NotFound(StepwellError):
    """Not there, or not visible to this person: the two are never told apart."""

    code = "not_found"
    fault = Fault.AUTHOR
    status = 404


class Conflict(StepwellError):
    """The thing is not in a state in which this can be done; the message says who or what came first."""

    code = "conflict"
    fault = Fault.AUTHOR
    status = 409


class Stale(StepwellError):
    """The draft moved on since the caller read it (`If-Match`)."""

    code = "stale"
    fault = Fault.AUTHOR
    status = 412


class TooLarge(StepwellError):
    """A limit on size was passed; the message names the limit and the field."""

    code = "too_large"
    fault = Fault.AUTHOR
    status = 413


class Invalid(StepwellError):
    """The input is wrong; `problems` name each step, field and fix. Nothing was written."""

    code = "invalid"
    fault = Fault.AUTHOR
    status = 422


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """An error as it is stored on attempts, step runs and runs (JSON: the same names).

    `code` is of the error table, `message` a sentence, `retryable` whether trying again can help,
    `retry_after_s` what the vendor asked for, `detail` the vendor's own words (folded in the UI).
    """

    code: str
    message: str
    retryable: bool = False
    fault: Fault = Fault.AUTHOR
    step: str | None = None
    field: str | None = None
    fix: str | None = None
    detail: str | None = None
    retry_after_s: float | None = None
    extra: dict[str, object] = data_field(default_factory=dict)
