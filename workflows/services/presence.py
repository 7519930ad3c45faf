"""Who has a draft open, which card they have open and which field they type in: kept in Redis for a few seconds.

Nothing depends on it: without Redis everybody seems to be alone, and the checks at saving hold all the same.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Final
from uuid import UUID

import structlog
from django.conf import settings
from redis import Redis
from redis.exceptions import RedisError

from workflows.lib.redis_clients import quick_client
from workflows.tenancy.actor import Actor

log = structlog.get_logger(__name__)

# Pages say that they are there every few seconds; one that was closed is forgotten after this.
GONE_SECONDS: Final = 12.0
_MOST_PAGES: Final = 60
_LONGEST: Final = 120


@dataclass(frozen=True, slots=True)
class Here:
    """One open page. `key` is the open step, `field` what has the focus, `typing` whether it was typed in just now."""

    tab: str
    user_id: str
    name: str
    key: str = ""
    field: str = ""
    typing: bool = False
    at: float = 0.0


def be_here(
    *, workflow_id: UUID, actor: Actor, tab: str, key: str = "", field: str = "", typing: bool = False
) -> tuple[Here, ...]:
    """Say what this page does, and hear of the others (other pages of the same person too), first comers first."""
    if actor.user is None or not tab:
        return ()
    now = time.time()
    mine = Here(
        tab[:_LONGEST],
        str(actor.user.pk),
        str(actor.user)[:_LONGEST],
        key[:_LONGEST],
        field[:_LONGEST],
        typing,
        now,
    )
    place = f"here:{workflow_id.hex}"
    try:
        redis = _client()
        with redis.pipeline(transaction=False) as pipe:
            pipe.hset(place, mine.tab, json.dumps(asdict(mine)))
            pipe.expire(place, int(GONE_SECONDS * 2))
            pipe.hgetall(place)
            found = pipe.execute()[-1]
        pages = [_read(raw) for raw in found.values()]
        gone = [
            name
            for name, raw in found.items()
            if (page := _read(raw)) is None or now - page.at > GONE_SECONDS
        ]
        if gone:
            redis.hdel(place, *gone)
    except (RedisError, OSError) as error:
        log.warning("presence_unknown", error=str(error))
        return ()
    others = [page for page in pages if page and page.tab != mine.tab and now - page.at <= GONE_SECONDS]
    return tuple(sorted(others, key=lambda page: (page.name, page.tab)))[:_MOST_PAGES]


def leave(*, workflow_id: UUID, tab: str) -> None:
    """The page was closed: the others need not wait until it is forgotten."""
    try:
        _client().hdel(f"here:{workflow_id.hex}", tab[:_LONGEST])
    except (RedisError, OSError) as error:
        log.warning("presence_unknown", error=str(error))


def _read(raw: bytes | str) -> Here | None:
    try:
        return Here(**json.loads(raw))
    except (ValueError, TypeError):
        return None


@lru_cache(maxsize=1)
def _client() -> Redis:
    return quick_client(settings.REDIS_CACHE_URL)
