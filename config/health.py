"""The two questions an operator's machines ask: do all parts answer (healthz), may traffic come (readyz)."""

import asyncio
from collections.abc import Callable

import structlog
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connection, connections
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

log = structlog.get_logger(__name__)

# A part that takes longer than this is as good as away.
DEADLINE_SECONDS = 3.0


def check_database() -> None:
    """Raises when the database does not answer a query."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        connection.close()


def check_queue() -> None:
    """Raises when Redis does not answer."""
    with Redis.from_url(
        settings.REDIS_QUEUE_URL,
        socket_timeout=DEADLINE_SECONDS,
        socket_connect_timeout=DEADLINE_SECONDS,
        # The client's own ten tries would outlast the deadline.
        retry=Retry(NoBackoff(), 0),
    ) as redis:
        redis.ping()


def check_migrations() -> None:
    """Raises when the database lacks a migration that this code needs."""
    try:
        executor = MigrationExecutor(connections["default"])
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
        if missing:
            raise RuntimeError(f"{len(missing)} migrations are not applied: run manage.py migrate")
    finally:
        connection.close()


async def _answers(checks: dict[str, Callable[[], None]]) -> JsonResponse:
    async def ask(name: str, check: Callable[[], None]) -> tuple[str, str]:
        try:
            # A thread of its own: a hanging database must not hold the thread that serves the pages.
            await asyncio.wait_for(sync_to_async(check, thread_sensitive=False)(), DEADLINE_SECONDS)
        except Exception as error:
            log.warning("health_check_failed", part=name, error=str(error), kind=type(error).__name__)
            return name, "no answer"
        return name, "ok"

    parts = dict(await asyncio.gather(*(ask(name, check) for name, check in checks.items())))
    well = all(answer == "ok" for answer in parts.values())
    return JsonResponse({"status": "ok" if well else "failing", **parts}, status=200 if well else 503)


@require_safe
@never_cache
async def healthz(request: HttpRequest) -> JsonResponse:
    """200 when web, database and queue answer, else 503 and which of them does not."""
    return await _answers({"database": check_database, "queue": check_queue})


@require_safe
@never_cache
async def readyz(request: HttpRequest) -> JsonResponse:
    """200 when traffic may come: healthz's parts, and the database has every migration."""
    return await _answers({"database": check_database, "queue": check_queue, "migrations": check_migrations})
