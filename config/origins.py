"""Which pages may open a websocket: those of the same full origin, and the ones the operator trusts."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, cast
from urllib.parse import urlsplit

from channels.security.websocket import WebsocketDenier
from django.conf import settings
from django.http.request import split_domain_port, validate_host

Scope = dict[str, Any]
Application = Callable[[Scope, Any, Any], Awaitable[Any]]

DEFAULT_PORTS = {"http": 80, "https": 443}


def is_same_origin(origin: str, host: str, *, https: bool) -> bool:
    """Whether an Origin header names the very host and port of the Host header; over https only https counts."""
    parts = urlsplit(origin)
    if parts.scheme not in DEFAULT_PORTS or (https and parts.scheme != "https"):
        return False
    try:
        origin_port = parts.port or DEFAULT_PORTS[parts.scheme]
        asked = urlsplit(f"//{host}")
        asked_port = asked.port or DEFAULT_PORTS[parts.scheme]
    except ValueError:
        return False
    return bool(parts.hostname) and parts.hostname == asked.hostname and origin_port == asked_port


class SameOriginValidator:
    """An ASGI application that lets only websockets of our own pages through.

    Channels' own validator compares with ALLOWED_HOSTS and so lets any port of the host in.
    """

    def __init__(self, application: Application) -> None:
        self.application = application

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> Any:
        headers = {name.lower(): value.decode("latin-1") for name, value in scope.get("headers", [])}
        if self.allows(headers.get(b"origin", ""), headers.get(b"host", "")):
            return await self.application(scope, receive, send)
        return await WebsocketDenier()(scope, receive, send)

    def allows(self, origin: str, host: str) -> bool:
        trusted = cast("Iterable[str]", settings.CSRF_TRUSTED_ORIGINS)
        if origin.rstrip("/") in {entry.rstrip("/") for entry in trusted}:
            return True
        domain, _port = split_domain_port(host)
        return validate_host(domain, settings.ALLOWED_HOSTS) and is_same_origin(
            origin, host, https=settings.HTTPS
        )
