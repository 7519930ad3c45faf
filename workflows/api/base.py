"""What every API operation shares: how bodies and queries are read, how answers are written, which errors there are."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, TypeAlias, cast

from django.http import HttpRequest, HttpResponse
from django.utils.datastructures import MultiValueDict
from ninja import Field, Schema
from ninja.parser import Parser
from pydantic import ConfigDict, ValidationInfo, model_validator

from workflows.expressions.paths import nearest
from workflows.lib.errors import Fault, Invalid, Problem, StepwellError, TooLarge
from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.lib.limits import API_BODY_BYTES, API_PAGE, RUN_INPUT_BYTES

MAX_DEPTH: Final = 100
_LARGEST_OFFSET: Final = 1_000_000_000


class UnsupportedMediaType(StepwellError):
    """The body came in another format than JSON."""

    code = "unsupported_media_type"
    fault = Fault.AUTHOR
    status = 415


# --- what comes in ------------------------------------------------------------------------------------------------


class Body(Schema):
    """A request body. Keys that it does not know are refused: a misspelt one would silently do nothing."""

    model_config = ConfigDict(extra="forbid")


class Filters(Schema):
    """The query of a list. Parameters that it does not know are refused, as in a body."""

    limit: int = Field(50, ge=1, le=API_PAGE.value, description="How many rows to give.")
    offset: int = Field(0, ge=0, le=_LARGEST_OFFSET, description="How many rows to leave out before them.")

    @model_validator(mode="before")
    @classmethod
    def _known_only(cls, data: Any, info: ValidationInfo) -> Any:
        request = (info.context or {}).get("request")
        if request is not None:
            known = [field.alias or name for name, field in cls.model_fields.items()]
            problems = tuple(_unknown(name, known) for name in request.GET if name not in known)
            if problems:
                raise Invalid(problems[0].message, code="unknown_parameter", problems=problems)
        return data


def _unknown(name: str, known: list[str]) -> Problem:
    near = nearest(name, known)
    return Problem(
        "unknown_parameter",
        f"There is no query parameter “{name}” here.",
        field=name,
        path=f"query.{name}",
        fix=f"Did you mean “{near}”?" if near else f"Known here: {', '.join(known)}.",
    )


class JsonParser(Parser):
    """Reads JSON bodies, refusing what no database can keep: NUL, halves of surrogate pairs, NaN, bottomless nesting.

    ninja turns any error of a parser into a 400; the API's handler takes ours out of it again.
    """

    def parse_body(self, request: HttpRequest) -> Any:
        content_type = (request.content_type or "").lower()
        if content_type and not re.fullmatch(r"application/([\w.-]+\+)?json|text/json", content_type):
            raise UnsupportedMediaType(
                f"The body is {content_type}. Send JSON with “Content-Type: application/json”."
            )
        raw = request.body
        if len(raw) > API_BODY_BYTES.value:
            raise body_too_large()
        return read_json(raw)

    def parse_querydict(
        self, data: MultiValueDict[str, Any], list_fields: list[str], request: HttpRequest
    ) -> dict[str, Any]:
        for name, values in data.lists():
            if "\x00" in name or any("\x00" in str(value) for value in values):
                message = "A query parameter holds a NUL character."
                raise Invalid(
                    message, code="bad_text", problems=(Problem("bad_text", message, path="query"),)
                )
        return super().parse_querydict(data, list_fields, request)


def read_json(raw: bytes) -> JSONValue:
    """The JSON value of a body; Invalid (422) says where it breaks."""
    try:
        value = json.loads(raw.decode("utf-8"), parse_constant=_no_constant, parse_float=_finite)
    except UnicodeDecodeError as error:
        raise _bad_json("The body is not UTF-8 text.", "Encode it as UTF-8.") from error
    except json.JSONDecodeError as error:
        raise _bad_json(
            f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from error
    except RecursionError as error:
        raise _too_deep("body") from error
    except ValueError as error:
        raise _bad_json(f"The body is not JSON that can be kept: {error}.") from error
    # Both can only be there in these bytes, so most bodies are not walked.
    if b"\\u" in raw or raw.count(b"[") + raw.count(b"{") > MAX_DEPTH:
        _check(value)
    return value


def body_too_large() -> TooLarge:
    message = f"{API_BODY_BYTES.says()} Of these, input_data may have {RUN_INPUT_BYTES.value:,}."
    return TooLarge(message, problems=(Problem("too_large", message, field="body", path="body"),))


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is too large a number")
    return value


def _bad_json(message: str, fix: str | None = None) -> Invalid:
    return Invalid(message, code="bad_json", problems=(Problem("bad_json", message, path="body", fix=fix),))


def _too_deep(path: str) -> Invalid:
    message = f"{path} is nested more than {MAX_DEPTH} levels deep."
    return Invalid(message, code="too_deep", problems=(Problem("too_deep", message, path=path),))


def _check(value: JSONValue) -> None:
    problems: list[Problem] = []
    todo: list[tuple[JSONValue, str, int]] = [(value, "", 0)]
    while todo:
        one, path, depth = todo.pop()
        if depth > MAX_DEPTH:
            raise _too_deep(path[:100])
        if isinstance(one, str):
            problems += _text_problems(one, path)
        elif isinstance(one, dict):
            for key, entry in one.items():
                problems += _text_problems(key, path or "body")
                todo.append((entry, f"{path}.{key}" if path else key, depth + 1))
        elif isinstance(one, list):
            todo.extend((entry, f"{path}[{index}]", depth + 1) for index, entry in enumerate(one))
    if problems:
        raise Invalid(problems[0].message, code="bad_text", problems=tuple(problems[:50]))


def _text_problems(text: str, path: str) -> list[Problem]:
    what = ""
    if "\x00" in text:
        what, fix = "a NUL character", "Remove it."
    elif not text.isascii() and any("\ud800" <= sign <= "\udfff" for sign in text):
        what, fix = "half of a surrogate pair", "Send it as valid Unicode."
    if not what:
        return []
    # The name itself may be what cannot be written.
    path = path.encode("utf-8", "replace").decode().replace("\x00", "?")
    return [
        Problem("bad_text", f"{path} holds {what}, which cannot be stored.", field=path, path=path, fix=fix)
    ]


def together(*checks: Callable[[], Any]) -> list[Any]:
    """Every check's result; Invalid with the problems of all that failed, so that a client hears them at once."""
    results: list[Any] = []
    failed: list[Invalid] = []
    for check in checks:
        try:
            results.append(check())
        except Invalid as error:
            failed.append(error)
    if len(failed) == 1:
        raise failed[0]
    if failed:
        problems = tuple(problem for error in failed for problem in error.problems)
        raise Invalid(f"{len(problems)} things are wrong. The first: {failed[0].message}", problems=problems)
    return results


def expected_revision(request: HttpRequest) -> int | None:
    """The revision that `If-Match` names (`3` or `"3"`); None without the header and for `*`."""
    text = request.headers.get("If-Match", "").strip()
    if text in ("", "*"):
        return None
    number = text.removeprefix("W/").strip('"')
    if not (number.isascii() and number.isdecimal() and len(number) < 10):
        message = "If-Match must be a workflow's revision, such as 3."
        raise Invalid(
            message, problems=(Problem("bad_value", message, field="If-Match", path="header.If-Match"),)
        )
    return int(number)


# --- what goes out ------------------------------------------------------------------------------------------------


def answer(data: JSONValue, status: int = 200, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """A JSON answer. The shapes are plain data already, so nothing is validated a second time on its way out."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), default=str)
    return HttpResponse(
        text.encode("utf-8", "replace"),
        status=status,
        content_type="application/json; charset=utf-8",
        headers=dict(headers or {}),
    )


def nothing() -> HttpResponse:
    return HttpResponse(status=204)


def page(items: Iterable[JSONObject], count: int) -> HttpResponse:
    return answer({"items": list(items), "count": count})


def stamp(at: datetime | None) -> str | None:
    """A time as the API writes it: ISO 8601 in UTC with a Z."""
    return None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def money(amount: Decimal | float) -> float:
    """US dollars as a JSON number."""
    return float(amount)


# --- errors, as the document says them ------------------------------------------------------------------------------


class ProblemOut(Schema):
    """One thing that is wrong."""

    code: str
    path: str | None = Field(None, description="Where in the request: `definition.nodes[2].config.prompt`.")
    step: str | None = Field(None, description="Name of the step.")
    step_key: str | None = Field(None, description="Id of the step.")
    field: str | None = None
    message: str = Field(..., description="What is wrong, as a sentence.")
    fix: str | None = Field(None, description="What to do about it.")
    severity: str = Field("error", description="`error` blocks publishing and running, `warning` does not.")


class ErrorBody(Schema):
    code: str = Field(..., description="Stable; programs may compare it.")
    message: str = Field(..., description="A sentence for people.")
    request_id: str = Field(..., description="The same as in the header X-Request-ID and in the log.")
    problems: list[ProblemOut]


class Error(Schema):
    """The body of every error."""

    error: ErrorBody


Responses: TypeAlias = dict[int, Any]

# Any operation may give these.
_ALWAYS: Final = (401, 403, 422, 429, 500)


def errors(*codes: int) -> Responses:
    """The errors of an operation for its `response=`: those of every one, and these."""
    return dict.fromkeys(sorted({*_ALWAYS, *codes}), Error)


THING: Final = errors(404)
WRITE: Final = errors(413, 415)
WRITE_THING: Final = errors(404, 409, 413, 415)


def example(request: JSONValue) -> dict[str, Any]:
    """`openapi_extra` with an example of the request's body."""
    return {"requestBody": {"content": {"application/json": {"example": request}}}}


def path_of(location: Iterable[str | int]) -> str:
    """`("nodes", 2, "id")` as `nodes[2].id`."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


# Names of our views' parameters, and of the members of a union: pydantic puts both into a place, no client knows them.
_PARAMETERS: Final = frozenset({"body", "filters"})
_MEMBER: Final = re.compile(r"(str|int|float|bool|dict\[.*|list\[.*|literal\[.*|constrained-\w+)")


def problems_of_validation(found: Iterable[Mapping[str, Any]]) -> tuple[Problem, ...]:
    """What pydantic says of a request, as problems: one for each place."""
    said: dict[str, Problem] = {}
    for one in found:
        source, *rest = cast("tuple[str | int, ...]", one["loc"])
        if rest and rest[0] in _PARAMETERS:
            rest = rest[1:]
        is_member = len(rest) > 1 and _MEMBER.fullmatch(str(rest[-1])) is not None
        path = path_of(rest[:-1] if is_member else rest)
        where = path if source == "body" and path else f"{source}.{path}".rstrip(".")
        problem = _problem_of(str(one["type"]), str(one["msg"]), path or "The body", where)
        if where in said:
            problem = replace(said[where], message=f"{said[where].message[:-1]}, or {_words(one['msg'])}.")
        said[where] = problem
    return tuple(said.values())


def _problem_of(kind: str, message: str, name: str, where: str) -> Problem:
    field = where.rpartition(".")[2].partition("[")[0]
    match kind:
        case "extra_forbidden":
            fix = "Leave it out, or check its spelling."
            return Problem("unknown_key", f"There is no “{name}” here.", field=field, path=where, fix=fix)
        case "missing":
            return Problem("missing", f"“{name}” is missing.", field=field, path=where, fix="Send it.")
    return Problem("bad_value", f"“{name}” {_words(message)}.", field=field, path=where)


def _words(message: object) -> str:
    said = str(message).removeprefix("Value error, ").removeprefix("Input ")
    return f"{said[:1].lower()}{said[1:]}"
