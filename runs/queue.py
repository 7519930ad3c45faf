"""The only enqueuer: a doorbell in Redis that says "look at this run". The rows in the database are the truth.

A doorbell may be lost (Redis emptied, worker killed): the keeper rings again. It may ring twice: the lease lets one
driver in. Between `ring` and the moment a worker answers, further rings of the same run are dropped: the job that
stands in the queue will see whatever they were about, because it looks only after `answer`. A ring that comes while
the run is already being driven stands in the queue again, so it cannot be lost either. The keeper, which rings what
nobody has looked at, asks whether that job still stands there (`ring_again`).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from uuid import UUID, uuid4

import structlog
from django.conf import settings
from django.db import transaction
from django_rq import get_queue
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue

from workflows.lib.redis_clients import quick_client

log = structlog.get_logger(__name__)

RUNS = "runs"
DRIVE = "runs.jobs.drive"
# How long a killed worker's doorbell keeps others than the keeper out; also how often a long queue may hold a run twice.
BELL_SECONDS = 30
# Drivers limit themselves; what fails is rung again from the database, so a failure is kept only to be looked at.
NO_TIMEOUT = -1
FAILURES_KEPT_SECONDS = 24 * 60 * 60


def ring(run_id: UUID | str) -> None:
    """Have a worker look at the run as soon as the current transaction has committed. Never raises for Redis' sake."""
    transaction.on_commit(lambda: _enqueue(UUID(str(run_id))), robust=True)


def ring_again(run_id: UUID | str) -> None:
    """The keeper's ring: also where a doorbell seems to stand, but its job went with a worker that was killed."""
    transaction.on_commit(lambda: _enqueue(UUID(str(run_id)), doubt=True), robust=True)


def answer(run_id: UUID | str) -> None:
    """Said by the job before it looks at the run: from now on a ring is a new doorbell."""
    try:
        connection().delete(_bell(UUID(str(run_id))))
    except (RedisError, OSError) as error:
        # It ends by itself after BELL_SECONDS, and the keeper rings again.
        log.warning("doorbell_not_answered", run=str(run_id), error=str(error))


def _enqueue(run_id: UUID, *, doubt: bool = False) -> None:
    job_id = str(uuid4())
    try:
        if not connection().set(_bell(run_id), job_id, nx=True, ex=BELL_SECONDS):
            if not doubt or _stands(connection().get(_bell(run_id))):
                return
            connection().set(_bell(run_id), job_id, ex=BELL_SECONDS)
    except (RedisError, OSError) as error:
        # The run's wake_at stands in the database; the keeper finds it.
        log.warning("doorbell_not_rung", run=str(run_id), error=str(error), kind=type(error).__name__)
        return
    try:
        _queue(RUNS).enqueue_call(
            func=DRIVE,
            args=(str(run_id),),
            job_id=job_id,
            timeout=NO_TIMEOUT,
            result_ttl=0,
            failure_ttl=FAILURES_KEPT_SECONDS,
            description=f"drive run {run_id}",
        )
    except (RedisError, OSError) as error:
        log.warning("doorbell_not_rung", run=str(run_id), error=str(error), kind=type(error).__name__)
        # Else the keeper's next ring would find it answered by nobody.
        answer(run_id)


@lru_cache(maxsize=1)
def connection() -> Redis:
    """The process's client of the queue's Redis, shared by its threads (django-rq would open one per call)."""
    return quick_client(settings.REDIS_QUEUE_URL)


@lru_cache(maxsize=8)
def _queue(name: str) -> Queue:
    # "auto": we are past the commit already.
    return get_queue(name, connection=connection(), commit_mode="auto")


def _stands(job_id: Any) -> bool:
    """Whether this job still stands in the queue. Taken a moment ago counts as gone: a ring too many costs nothing."""
    return job_id is not None and connection().lpos(f"rq:queue:{RUNS}", job_id) is not None


def _bell(run_id: UUID) -> str:
    return f"stepwell:bell:{run_id.hex}"
