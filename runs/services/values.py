"""Values at the border: what a step answered becomes an object that the database keeps, large ones beside the row."""

from __future__ import annotations

import json
import uuid
from typing import Any

from runs.models import Blob, Run
from workflows.lib.errors import ErrorInfo, Fault
from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.lib.limits import INLINE_OUTPUT_BYTES, STEP_OUTPUT_BYTES

BLOB = "$blob"


class BadValue(Exception):
    """An output that cannot be kept; `info` says why."""

    def __init__(
        self,
        message: str,
        code: str = "bad_output",
        *,
        field: str | None = None,
        fix: str | None = None,
        retryable: bool = False,
    ) -> None:
        super().__init__(message)
        self.info = ErrorInfo(
            code=code, message=message, fault=Fault.AUTHOR, field=field, fix=fix, retryable=retryable
        )


def checked_output(value: JSONValue) -> tuple[JSONObject, int]:
    """A step's output as a JSON object, and the bytes of its text. Raises BadValue.

    Anything but an object becomes `{"content": value}`. NUL and lone surrogates are refused: no database keeps both.
    """
    output = value if isinstance(value, dict) else {"content": value}
    try:
        text = json.dumps(output, ensure_ascii=False, allow_nan=False)
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise BadValue(
            "The output holds half a character (a lone surrogate), which cannot be stored."
        ) from error
    except (TypeError, ValueError, RecursionError) as error:
        raise BadValue(f"The output is not JSON: {error}.") from error
    if "\\u0000" in text and _holds_nul(output):
        raise BadValue("The output holds a NUL character, which cannot be stored.")
    if size > STEP_OUTPUT_BYTES.value:
        raise BadValue(STEP_OUTPUT_BYTES.says(), code="output_too_large")
    return output, size


def _holds_nul(value: JSONValue) -> bool:
    """Whether a text deep inside holds a NUL; asked only when the JSON looks like it."""
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, dict):
        return any("\x00" in key or _holds_nul(entry) for key, entry in value.items())
    return isinstance(value, list) and any(_holds_nul(entry) for entry in value)


def stored(run: Run, output: JSONObject, size: int) -> tuple[JSONObject, Blob | None]:
    """What the row keeps of an output: itself, or a reference to a blob that has to be saved with it."""
    if size <= INLINE_OUTPUT_BYTES.value:
        return output, None
    blob = Blob(id=uuid.uuid4(), tenant_id=run.tenant_id, run=run, value=output, size=size)
    return {BLOB: str(blob.id)}, blob


def is_blob(value: JSONValue) -> bool:
    return isinstance(value, dict) and len(value) == 1 and BLOB in value


def whole(value: JSONValue, run_id: uuid.UUID) -> JSONValue:
    """The value itself where a row holds a reference to a blob of the same run."""
    if not is_blob(value):
        return value
    return Blob.objects.get(pk=value[BLOB], run_id=run_id).value


def error_json(info: ErrorInfo, step: str | None = None) -> JSONObject:
    """An error as rows keep it; names are those of ErrorInfo."""
    return {
        "code": info.code,
        "message": info.message,
        "retryable": info.retryable,
        "fault": str(info.fault),
        "step": info.step or step,
        "field": info.field,
        "fix": info.fix,
        "detail": info.detail,
    }


def error_info(error: BaseException) -> ErrorInfo:
    """What to say of an exception out of an executor: our own family speaks for itself, the rest is our fault."""
    info = getattr(error, "info", None)
    if isinstance(info, ErrorInfo):
        return info
    code: Any = getattr(error, "code", None)
    message: Any = getattr(error, "message", None)
    if isinstance(code, str) and isinstance(message, str):
        return ErrorInfo(
            code=code,
            message=message,
            retryable=bool(getattr(error, "retryable", False)),
            fault=getattr(error, "fault", Fault.INTERNAL),
            field=getattr(error, "field", None),
            fix=getattr(error, "fix", None),
            detail=getattr(error, "detail", None),
            retry_after_s=getattr(error, "retry_after_s", None),
        )
    return ErrorInfo(
        code="internal",
        message="Stepwell itself failed in this step. The details are in the log.",
        fault=Fault.INTERNAL,
        detail=f"{type(error).__name__}: {error}"[:2_000],
    )
