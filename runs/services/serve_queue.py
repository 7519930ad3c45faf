"""Our worker: takes jobs from the queue in a pool of threads of one process.

Why not RQ's own workers: they fork or run one job at a time, and leave when Redis is away for long. Runs mostly wait
for models, so many of them share a process. Each thread is a small RQ worker with a Redis connection of its own and
RQ's own bookkeeping, so that the dashboard shows what is going on; only the loop around it is ours.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import structlog
from django.conf import settings
from django.db import close_old_connections, connections
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, SimpleWorker
from rq.exceptions import DequeueTimeout
from rq.job import Job
from rq.registry import clean_registries
from rq.suspension import is_suspended
from rq.timeouts import BaseDeathPenalty
from rq.utils import get_version, now
from rq.worker.base import WorkerStatus
from rq.worker_registration import clean_worker_registry

from runs import progress
from runs.services import drive_run, thread_shares
from workflows.lib.redis_clients import blocking_client, quick_client
from workflows.lib.stopping import StopSignal

log = structlog.get_logger(__name__)

SERIALIZER = "rq.serializers.JSONSerializer"
POP_SECONDS = 10
HEARTBEAT_SECONDS = 15
# A job whose worker has not been heard of for this long counts as abandoned.
JOB_HEARTBEAT_TTL_SECONDS = 60
MAINTENANCE_SECONDS = 30
SUSPENDED_LOOK_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 5.0
CONNECTION_AGE_SECONDS = 300
# After the drivers' grace: the time to take leave of the queue.
LEAVE_SECONDS = 3.0
# Loaded before the first job, so that no run pays for imports; those that are not there are not needed.
PRELOADED = (
    "runs.jobs",
    "workflows.steps.registry",
    "workflows.triggers.registry",
    "workflows.providers.registry",
    "workflows.expressions.language",
)


class NoDeathPenalty(BaseDeathPenalty):
    """Threads cannot be interrupted safely; every call of ours has its own deadline instead."""

    def setup_death_penalty(self) -> None: ...

    def cancel_death_penalty(self) -> None: ...


class JobThread(SimpleWorker):
    """One thread of the pool, known to RQ as a worker."""

    death_penalty_class = NoDeathPenalty
    log_result_lifespan = False

    def __init__(self, name: str, queue_names: Sequence[str], stop: threading.Event) -> None:
        # Not prepared by RQ: that asks Redis at once, and Redis may be away just now.
        super().__init__(
            list(queue_names),
            name=name,
            connection=blocking_client(settings.REDIS_QUEUE_URL, longest_wait_s=POP_SECONDS, name=name),
            worker_ttl=POP_SECONDS + HEARTBEAT_SECONDS,
            serializer=SERIALIZER,
            prepare_for_work=False,
            log_job_description=False,
        )
        self.hostname = socket.gethostname()
        self.pid = os.getpid()
        self.job: Job | None = None
        self._stop = stop
        self._known = False
        self.thread = threading.Thread(target=self._loop, name=name, daemon=True)

    def get_heartbeat_ttl(self, job: Job) -> int:
        return JOB_HEARTBEAT_TTL_SECONDS

    def procline(self, message: str) -> None:
        """The process's name is that of all its threads."""

    def _loop(self) -> None:
        failures = 0
        while not self._stop.is_set():
            try:
                self._work_once()
                failures = 0
            except DequeueTimeout:
                failures = 0
            except Exception as error:
                # Redis is away, restarting or loading; or a stored job cannot be read. The worker stays.
                failures += 1
                pause = min(0.05 * 2**failures, LONGEST_PAUSE_SECONDS)
                log.warning(
                    "worker_lost_the_queue",
                    worker=self.name,
                    error=str(error),
                    kind=type(error).__name__,
                    pause_s=round(pause, 2),
                    exc_info=not isinstance(error, (RedisError, OSError)),
                )
                self.execution = None
                self._known = False
                self._stop.wait(pause * random.uniform(0.5, 1.0))

    def _work_once(self) -> None:
        if not self._known:
            self.introduce(self.connection)
            self._known = True
        if is_suspended(self.connection):
            # `manage.py rqsuspend`: an operator wants no new jobs for now.
            self._stop.wait(SUSPENDED_LOOK_SECONDS)
            return
        found = self.queue_class.dequeue_any(
            self.queues,
            POP_SECONDS,
            connection=self.connection,
            job_class=self.job_class,
            serializer=self.serializer,
            death_penalty_class=self.death_penalty_class,
        )
        if found is None:
            return
        job, source = found
        if self._stop.is_set():
            # Came in the very moment of leaving: back to the front for the next worker.
            source.push_job_id(job.id, at_front=True)
            source.intermediate_queue.remove(job.id)
            return
        job.redis_server_version = get_version(self.connection)
        with _database_connections():
            self.job = job
            try:
                self.execute_job(job, source)
            finally:
                self.job = None

    def introduce(self, connection: Redis) -> None:
        """Tell RQ that this worker lives (again: a restarted Redis may have forgotten it)."""
        with connection.pipeline() as pipeline:
            pipeline.delete(self.key)
            self.birth_date = self.last_heartbeat = now()
            pipeline.hset(self.key, mapping=self.serialize())
            pipeline.hset(self.key, "state", WorkerStatus.BUSY if self.job else WorkerStatus.IDLE)
            pipeline.sadd(self.redis_workers_keys, self.key)
            for name in self.queue_names():
                pipeline.sadd(f"rq:workers:{name}", self.key)
            pipeline.expire(self.key, self.worker_ttl + 60)
            pipeline.execute()

    def take_leave(self, connection: Redis) -> None:
        """Tell RQ that this worker is gone."""
        with connection.pipeline() as pipeline:
            pipeline.srem(self.redis_workers_keys, self.key)
            for name in self.queue_names():
                pipeline.srem(f"rq:workers:{name}", self.key)
            pipeline.delete(self.key)
            pipeline.execute()

    def pulse(self, connection: Redis) -> None:
        """Say that this worker and the job it has in hand are alive. Called from the heartbeat thread."""
        if not connection.exists(self.key):
            self.introduce(connection)
        job, execution = self.job, self.execution
        with connection.pipeline() as pipeline:
            self.heartbeat(pipeline=pipeline)
            if job is not None and execution is not None:
                execution.heartbeat(job.started_job_registry, JOB_HEARTBEAT_TTL_SECONDS, pipeline)
            pipeline.execute()


class ThreadPoolWorker:
    """The worker process: its threads, their heartbeats, and its end.

    `stop_drivers(grace_s)` is told to stop the work in hand and returns when that has happened or the grace is over.
    """

    def __init__(
        self,
        queue_names: Sequence[str],
        *,
        threads: int,
        grace_s: float,
        stop_drivers: Callable[[float], object] | None = None,
    ) -> None:
        self.name = f"{socket.gethostname()}.{os.getpid()}"
        self.queue_names = tuple(queue_names)
        self.grace_s = grace_s
        self._stop_drivers = stop_drivers or stop_drivers_of_this_process
        self._stopping = threading.Event()
        thread_shares.of_this_process.set_threads(threads)
        self._control = quick_client(settings.REDIS_QUEUE_URL)
        self._threads = [self._new_thread(number) for number in range(1, threads + 1)]
        self._next_maintenance = 0.0

    def run(self, stop: StopSignal) -> None:
        """Work until `stop` is set, then leave: no new jobs, the drivers' grace, farewell to the queue."""
        for job_thread in self._threads:
            job_thread.thread.start()
        log.info("worker_started", worker=self.name, threads=len(self._threads), queues=self.queue_names)
        next_heartbeat = time.monotonic() + HEARTBEAT_SECONDS
        while not stop.wait(1.0):
            self._replace_dead_threads()
            if time.monotonic() >= next_heartbeat:
                if self._has_outgrown():
                    break
                self._heartbeat()
                next_heartbeat = time.monotonic() + HEARTBEAT_SECONDS
        self._leave()

    def _has_outgrown(self) -> bool:
        """Whether the process has grown beyond its limit: it leaves as on SIGTERM, and its supervisor starts another."""
        limit, now_mb = settings.WORKER_MEMORY_MB, memory_mb()
        if not limit or now_mb < limit:
            return False
        log.info("worker_outgrown", worker=self.name, memory_mb=now_mb, limit_mb=limit)
        return True

    def _new_thread(self, number: int) -> JobThread:
        return JobThread(f"{self.name}.{number:02d}", self.queue_names, self._stopping)

    def _replace_dead_threads(self) -> None:
        for index, job_thread in enumerate(self._threads):
            if not job_thread.thread.is_alive():
                log.error("worker_thread_died", worker=job_thread.name)
                self._threads[index] = self._new_thread(index + 1)
                self._threads[index].thread.start()

    def _heartbeat(self) -> None:
        try:
            for job_thread in self._threads:
                job_thread.pulse(self._control)
            if time.monotonic() >= self._next_maintenance:
                self._next_maintenance = time.monotonic() + MAINTENANCE_SECONDS
                for name in self.queue_names:
                    tidy(Queue(name, connection=self._control, serializer=SERIALIZER))
        except (RedisError, OSError) as error:
            log.warning("worker_heartbeat_failed", worker=self.name, error=str(error))

    def _leave(self) -> None:
        started = time.monotonic()
        log.info(
            "worker_stopping",
            worker=self.name,
            busy=sum(1 for t in self._threads if t.job),
            grace_s=self.grace_s,
        )
        self._stopping.set()
        # Asked once only when it does not answer: a frozen Redis must not hold the process.
        redis_answers = self._wake_sleepers()
        try:
            self._stop_drivers(self.grace_s)
        except Exception:
            log.exception("drivers_not_stopped", worker=self.name)
        deadline = max(started + self.grace_s, time.monotonic()) + LEAVE_SECONDS
        while any(t.thread.is_alive() for t in self._threads) and time.monotonic() < deadline:
            # Again, because a thread may have been on its way into the pop.
            redis_answers = redis_answers and self._wake_sleepers()
            for job_thread in self._threads:
                job_thread.thread.join(0.1 / len(self._threads))
        progress.flush(1.0)
        left = [t.name for t in self._threads if t.thread.is_alive()]
        if redis_answers:
            with contextlib.suppress(RedisError, OSError):
                for job_thread in self._threads:
                    job_thread.take_leave(self._control)
        log.info(
            "worker_stopped", worker=self.name, still_busy=left, seconds=round(time.monotonic() - started, 2)
        )

    def _wake_sleepers(self) -> bool:
        """End the blocking pops of our threads on the server's side, so that no doorbell is lost in a closed socket.

        False when Redis does not answer.
        """
        names = {job_thread.name for job_thread in self._threads}
        try:
            for client in self._control.client_list():
                if client.get("name") in names and "b" in client.get("flags", ""):
                    self._control.client_unblock(int(client["id"]))
        except (RedisError, OSError):
            return False
        return True


def memory_mb() -> int:
    """What this process holds in memory, in MB; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm") as statm:
            pages = int(statm.read().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") // 1_000_000


def stop_drivers_of_this_process(grace_s: float) -> None:
    """Have this process's drivers start nothing more, wait for their work at most `grace_s`, hand their leases back."""
    drive_run.stop_all(grace_s)


def tidy(of: Queue) -> None:
    """Move abandoned jobs to the failed ones and doorbells that a killed worker had in hand back into the queue."""
    if not of.acquire_maintenance_lock():
        return
    try:
        clean_registries(of)
        clean_worker_registry(of)
        in_hand = of.intermediate_queue
        for job_id in in_hand.get_job_ids():
            if job_id in of.started_job_registry or in_hand.set_first_seen(job_id):
                continue
            if in_hand.should_be_cleaned_up(job_id):
                if Job.exists(job_id, connection=of.connection):
                    of.push_job_id(job_id, at_front=True)
                in_hand.remove(job_id)
    finally:
        of.release_maintenance_lock()  # type: ignore[no-untyped-call]


def preload() -> None:
    """Import what jobs need, keep database connections open between them, and quieten the queue library."""
    for name in PRELOADED:
        if importlib.util.find_spec(name):
            importlib.import_module(name)
    keep_connections_open()
    # One line for every job would drown ours; failures are warnings and errors.
    logging.getLogger("rq").setLevel(logging.WARNING)
    logging.getLogger("rq.worker").setLevel(logging.WARNING)


def keep_connections_open() -> None:
    """In this process a database connection outlives the job; a dropped one is noticed before its next use."""
    for alias in connections:
        own = connections.settings[alias]
        if own["CONN_MAX_AGE"] is not None:
            own["CONN_MAX_AGE"] = max(own["CONN_MAX_AGE"], CONNECTION_AGE_SECONDS)
        own["CONN_HEALTH_CHECKS"] = True


@contextlib.contextmanager
def _database_connections() -> Iterator[None]:
    """A job starts and ends with usable connections or none."""
    close_old_connections()
    try:
        yield
    finally:
        close_old_connections()
