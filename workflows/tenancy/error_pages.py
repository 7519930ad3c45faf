"""An error raised on purpose, as the answer that fits who asked: a page, a fragment, or the API's JSON."""

from __future__ import annotations

from http import HTTPStatus

import structlog
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import select_template

from workflows.lib.errors import Problem, StepwellError
from workflows.lib.jsontypes import JSONObject

TITLES = {
    HTTPStatus.FORBIDDEN: "Your role does not allow this",
    HTTPStatus.NOT_FOUND: "Nothing here",
    HTTPStatus.CONFLICT: "Somebody was faster",
    HTTPStatus.PRECONDITION_FAILED: "This changed in the meantime",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "That is too large",
    HTTPStatus.UNPROCESSABLE_ENTITY: "Something is missing or wrong",
}


def request_id(request: HttpRequest) -> str:
    """The id under which the log knows this request; empty outside of one."""
    return str(
        structlog.contextvars.get_contextvars().get("request_id", "")
        or request.headers.get("X-Request-ID", "")
    )


def problem_json(problem: Problem) -> JSONObject:
    """One problem as the API says it (07 §1)."""
    return {
        "code": problem.code,
        "path": problem.path,
        "step": problem.step,
        "step_key": problem.step_key,
        "field": problem.field,
        "message": problem.message,
        "fix": problem.fix,
        "severity": problem.severity,
    }


def error_json(
    code: str, message: str, *, request_id: str = "", problems: tuple[Problem, ...] = ()
) -> JSONObject:
    """The API's body of every error (07 §1)."""
    return {
        "error": {
            "code": code,
            "message": message,
            "request_id": request_id,
            "problems": [problem_json(problem) for problem in problems],
        }
    }


def wants_json(request: HttpRequest) -> bool:
    return request.path.startswith("/api/") or request.get_preferred_type(
        ["text/html", "application/json"]
    ) == ("application/json")


def answer_to(request: HttpRequest, error: StepwellError) -> HttpResponse:
    """The error as JSON for the API, as a fragment for htmx, else as a page; always with the error's status."""
    if wants_json(request):
        body = error_json(error.code, error.message, request_id=request_id(request), problems=error.problems)
        return JsonResponse(body, status=error.status)
    title = TITLES.get(HTTPStatus(error.status), "This did not work")
    if getattr(request, "htmx", False):
        context = {"title": title, "text": error.message, "kind": "bad", "alert": True}
        response = render(request, "parts/_note.html", context, status=error.status)
        # The button that was pressed waits for its own fragment; an error stands above the content instead.
        response["HX-Retarget"] = "#notes"
        response["HX-Reswap"] = "innerHTML show:top"
        return response
    # The 404 page keeps its own words: what is missing and what is hidden must read the same.
    explanation = "" if error.status == HTTPStatus.NOT_FOUND else error.message
    page = select_template([f"{error.status}.html", "400.html"])
    context = {"title": title, "explanation": explanation}
    return HttpResponse(page.render(context, request), status=error.status)
