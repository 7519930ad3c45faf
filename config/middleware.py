"""Our two middlewares: the content security policy of every answer, and static files without leaving the event loop."""

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from whitenoise.middleware import WhiteNoiseMiddleware

GetResponse = Callable[[HttpRequest], Any]

STRICT_POLICY = {
    "default-src": "'self'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "object-src": "'none'",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}
# Third-party pages that we do not write; docs/decisions/0003 says what each of them needs.
ADMIN_POLICY = STRICT_POLICY | {
    "script-src": "'self' 'unsafe-inline'",
    "style-src": "'self' 'unsafe-inline'",
}
API_DOCS_POLICY = STRICT_POLICY | {"style-src": "'self' 'unsafe-inline'"}
# The longest prefix wins.
POLICIES = {"/admin/": ADMIN_POLICY, "/api/docs": API_DOCS_POLICY}

PERMISSIONS = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"


def policy_for(path: str) -> str:
    """The content security policy header of a path."""
    rules = next(
        (POLICIES[prefix] for prefix in sorted(POLICIES, key=len, reverse=True) if path.startswith(prefix)),
        STRICT_POLICY,
    )
    return "; ".join(f"{name} {value}" for name, value in rules.items())


class ContentSecurityPolicyMiddleware:
    """Puts the policy on every answer that does not carry its own."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self._later(request)
        response: HttpResponseBase = self.get_response(request)
        return self._with_policy(request, response)

    async def _later(self, request: HttpRequest) -> HttpResponseBase:
        return self._with_policy(request, await self.get_response(request))

    @staticmethod
    def _with_policy(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        response.headers.setdefault("Content-Security-Policy", policy_for(request.path))
        response.headers.setdefault("Permissions-Policy", PERMISSIONS)
        return response


class StaticFilesMiddleware(WhiteNoiseMiddleware):  # type: ignore[misc]
    """WhiteNoise for both worlds: its own class is synchronous, and one such link slows the whole chain."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        super().__init__(get_response)
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        return self._later(request) if self.is_async else super().__call__(request)

    async def _later(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info.startswith(self.static_prefix) or request.path_info in self.files:
            response = await sync_to_async(self._file, thread_sensitive=False)(request)
            if response is not None:
                return response
        answer: HttpResponseBase = await self.get_response(request)
        return answer

    def _file(self, request: HttpRequest) -> HttpResponse | None:
        """The file whole: the event loop cannot iterate a blocking file, and the largest of ours is under 2 MB."""
        path = request.path_info
        found = self.find_file(path) if self.autorefresh else self.files.get(path)
        if found is None:
            return None
        file = self.serve(found, request)
        response = HttpResponse(b"".join(file), status=file.status_code)
        del response.headers["Content-Type"]
        for name, value in file.items():
            response.headers[name] = value
        file.close()
        return response
