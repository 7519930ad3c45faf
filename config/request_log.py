"""One log line a request, and the request id that its errors, logs and answer share."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase

log = structlog.get_logger(__name__)

# Machines ask these every few seconds.
QUIET_ROUTES = frozenset({"healthz", "readyz"})


class RequestLogMiddleware:
    """Binds `request_id` to every log line of the request, sends it as `X-Request-ID`, and logs the end.

    The line names the route, not the path: paths of sign-in, invitation and reset links hold their one-time tokens.
    """

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
        with structlog.contextvars.bound_contextvars(request_id=uuid.uuid4().hex):
            started = time.perf_counter()
            response: HttpResponseBase = self.get_response(request)
            return self._finish(request, response, started)

    async def _later(self, request: HttpRequest) -> HttpResponseBase:
        with structlog.contextvars.bound_contextvars(request_id=uuid.uuid4().hex):
            started = time.perf_counter()
            try:
                response = await self.get_response(request)
            except asyncio.CancelledError:
                log.info("request_cancelled", **_about(request), ms=_since(started))
                raise
            return self._finish(request, response, started)

    @staticmethod
    def _finish(request: HttpRequest, response: HttpResponseBase, started: float) -> HttpResponseBase:
        about = _about(request)
        level = "debug" if about["route"] in QUIET_ROUTES and response.status_code == 200 else "info"
        getattr(log, level)("request", **about, status=response.status_code, ms=_since(started))
        response.headers["X-Request-ID"] = structlog.contextvars.get_contextvars()["request_id"]
        return response


def _about(request: HttpRequest) -> dict[str, Any]:
    match = request.resolver_match
    # Only a person who is already known: the log asks the database nothing.
    user = getattr(request, "_cached_user", None)
    return {
        "method": request.method,
        "route": match.route if match is not None else None,
        "user": getattr(user, "pk", None),
        "ip": request.META.get("REMOTE_ADDR"),
    }


def _since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 1)
