"""Every error under /api/ as the one JSON body of the API, whoever found it: an operation, ninja, or Django itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase

from workflows.tenancy.error_pages import error_json, request_id

PREFIX = "/api/"
WORDS = {
    HTTPStatus.BAD_REQUEST: ("bad_request", "The request cannot be read."),
    HTTPStatus.UNAUTHORIZED: ("not_signed_in", "Send an API key: “Authorization: Bearer KEY”."),
    HTTPStatus.FORBIDDEN: ("not_allowed", "This may not be done."),
    HTTPStatus.NOT_FOUND: ("not_found", "There is no such address in this API. /api/docs lists them all."),
    HTTPStatus.METHOD_NOT_ALLOWED: ("method_not_allowed", "{method} is not possible here, only {allow}."),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ("too_large", "The request is too large."),
    HTTPStatus.INTERNAL_SERVER_ERROR: (
        "internal",
        "Stepwell itself failed. The log has the details under the request id.",
    ),
}
_KEPT = ("Allow", "Retry-After", "WWW-Authenticate", "Location")


class ApiErrorsMiddleware:
    """Rewrites answers of 400 and above that are not JSON yet. It stands right below the log, so that nothing that
    a middleware answers by itself escapes it."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self._later(request)
        response: HttpResponseBase = self.get_response(request)
        return self._as_json(request, response)

    async def _later(self, request: HttpRequest) -> HttpResponseBase:
        return self._as_json(request, await self.get_response(request))

    @staticmethod
    def _as_json(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if response.status_code < 400 or not request.path.startswith(PREFIX):
            return response
        if response.headers.get("Content-Type", "").startswith("application/json"):
            return response
        return standard_error(request, response.status_code, response)


def standard_error(
    request: HttpRequest, status: int, instead_of: HttpResponseBase | None = None
) -> HttpResponse:
    """The body for a status that nobody has said anything about; headers that belong to the status are kept."""
    kept = {}
    if instead_of is not None:
        kept = {name: instead_of.headers[name] for name in _KEPT if name in instead_of.headers}
    code, words = WORDS.get(
        HTTPStatus(status), ("error", HTTPStatus(status).description or "This did not work.")
    )
    message = words.format(method=request.method, allow=kept.get("Allow", "other methods"))
    return JsonResponse(
        error_json(code, message, request_id=request_id(request)), status=status, headers=kept
    )
