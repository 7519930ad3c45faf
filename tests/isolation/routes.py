"""What addresses the running code has: pages and API operations from the URL resolver, sockets from the routing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver
from ninja.operation import PathView

# Django's own admin asks for staff by itself; one test of its own covers it as a whole.
WHOLE_PREFIXES = ("admin/", "static/", "django-rq/")


@dataclass(frozen=True)
class Found:
    """An address: `key` is what the table calls it, `path` the route with its `<…>` parameters."""

    key: str
    path: str
    is_api: bool = False
    is_socket: bool = False


def all_routes() -> list[Found]:
    return [*_walk(get_resolver().url_patterns, "", ""), *_sockets()]


def _walk(patterns: list[Any], prefix: str, namespace: str) -> Iterator[Found]:
    for pattern in patterns:
        route = prefix + str(pattern.pattern).removeprefix("^").removesuffix("$").removesuffix("\\Z")
        if route.startswith(WHOLE_PREFIXES):
            continue
        if isinstance(pattern, URLResolver):
            inner = ":".join(part for part in (namespace, pattern.namespace) if part)
            yield from _walk(pattern.url_patterns, route, inner)
        elif isinstance(pattern, URLPattern):
            # ninja gives every path one view of a class of its own.
            is_api = isinstance(getattr(pattern.callback, "__self__", None), PathView) or _is_operation(
                pattern
            )
            name = ":".join(part for part in (namespace, pattern.name) if part)
            key = f"/{route}" if is_api or not pattern.name else name
            yield Found(key=key, path=f"/{route}", is_api=route.startswith("api/"))


def _is_operation(pattern: URLPattern) -> bool:
    closure = getattr(pattern.callback, "__closure__", None) or ()
    return any(isinstance(cell.cell_contents, PathView) for cell in closure)


def _sockets() -> Iterator[Found]:
    if find_spec("runs.routing") is None:
        return
    for pattern in import_module("runs.routing").websocket_urlpatterns:
        yield Found(key=f"ws:/{pattern.pattern}", path=f"/{pattern.pattern}", is_socket=True)
