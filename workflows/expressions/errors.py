"""The errors of texts people write: each says where it stands, what is wrong and how to put it right."""

from dataclasses import dataclass

from workflows.lib.errors import Fault, StepwellError


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a text: `offset` counts code points from 0, `line` and `column` count from 1."""

    offset: int
    line: int
    column: int

    @classmethod
    def of(cls, text: str, offset: int) -> "Position":
        """The line and column of a code point offset in a text."""
        offset = max(0, min(offset, len(text)))
        before = text.count("\n", 0, offset)
        return cls(offset, before + 1, offset - (text.rfind("\n", 0, offset) + 1) + 1)


class TextError(StepwellError):
    """Base of what can be wrong with a template or an expression; always the author's to fix, never retried."""

    fault = Fault.AUTHOR
    status = 422
    retryable = False

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message, code=code)


class PathError(TextError):
    """A reference that cannot be read as a path; `offset` is relative to the path's own text."""

    def __init__(self, message: str, offset: int = 0) -> None:
        super().__init__("bad_reference", message)
        self.offset = offset


class UnresolvedReference(TextError):
    """A path that has no value in this scope; `suggestion` is the nearest name that has one, or None."""

    def __init__(self, code: str, message: str, path: str, suggestion: str | None = None) -> None:
        super().__init__(code, message)
        self.path = path
        self.suggestion = suggestion


class TemplateError(TextError):
    """A fault of one `{{ … }}`: `path` is the reference as written, `suggestion` a name that would work, or None."""

    def __init__(
        self, code: str, message: str, position: Position, path: str = "", suggestion: str | None = None
    ) -> None:
        super().__init__(code, message)
        self.position = position
        self.path = path
        self.suggestion = suggestion

    def __str__(self) -> str:
        return f"{self.message} (line {self.position.line}, column {self.position.column})"


class ExpressionError(TextError):
    """A fault of an expression; `fix` is one sentence saying what to write instead, or empty."""

    def __init__(self, code: str, message: str, position: Position, fix: str = "") -> None:
        super().__init__(code, message)
        self.position = position
        self.fix = fix

    def __str__(self) -> str:
        place = f"line {self.position.line}, column {self.position.column}"
        return f"{self.message} ({place}). {self.fix}".strip() if self.fix else f"{self.message} ({place})"
