"""The worker as a real process: threads, a Redis that comes and goes, and its end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
from redis import Redis
from rq import Queue, Worker
from rq.registry import FailedJobRegistry, StartedJobRegistry
from rq.serializers import JSONSerializer
from rq.suspension import resume, suspend

from runs.services import serve_queue
from tests.support.jobs import OwnRedis, command, eventually, said, stop
from workflows.lib.stopping import StopSignal

pytestmark = pytest.mark.crash

THREADS = 4


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[OwnRedis]:
    redis = OwnRedis(tmp_path)
    redis.start()
    yield redis
    redis.kill()


@pytest.fixture
def queue(own_redis: OwnRedis) -> Queue:
    return Queue("runs", connection=own_redis.client(), serializer=JSONSerializer)


@pytest.fixture
def worker(tmp_path: Path, own_redis: OwnRedis) -> Iterator[Popen[bytes]]:
    with command(tmp_path, "run_worker", "--threads", str(THREADS), "--grace", "0.5") as process:
        yield process


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    folder = tmp_path / "traces"
    folder.mkdir()
    return folder


def put(queue: Queue, job: str, *args: object) -> None:
    queue.enqueue_call(f"tests.support.jobs.{job}", args=args, timeout=-1, result_ttl=0)


def test_jobs_run_side_by_side_in_threads_of_one_process(
    queue: Queue, worker: Popen[bytes], traces: Path
) -> None:
    for number in range(THREADS):
        put(queue, "meet", str(traces), f"{number}", THREADS)
    eventually(lambda: len(list(traces.glob("met-*"))) == THREADS)
    threads = {path.read_text() for path in traces.glob("met-*")}
    assert len(threads) == THREADS
    assert all(str(worker.pid) in name for name in threads)


def test_a_finished_job_leaves_nothing_behind(queue: Queue, worker: Popen[bytes], traces: Path) -> None:
    put(queue, "touch", str(traces), "done")
    eventually((traces / "done").exists)
    eventually(lambda: not queue.connection.keys("rq:job:*"))
    assert queue.started_job_registry.get_job_ids() == []


def test_a_failing_job_is_kept_to_be_looked_at_and_the_worker_goes_on(
    queue: Queue, worker: Popen[bytes], traces: Path
) -> None:
    put(queue, "fail")
    eventually(lambda: FailedJobRegistry(queue=queue).get_job_ids())
    put(queue, "touch", str(traces), "after")
    eventually((traces / "after").exists)


def test_the_dashboard_sees_every_thread_and_none_after_the_end(
    queue: Queue, worker: Popen[bytes], traces: Path
) -> None:
    eventually(lambda: len(Worker.all(queue=queue)) == THREADS)
    put(queue, "wait_for", str(traces), "job")
    eventually((traces / "job-started").exists)
    busy = [found for found in Worker.all(queue=queue) if found.get_state() == "busy"]
    assert [found.get_current_job_id() for found in busy] == StartedJobRegistry(queue=queue).get_job_ids()
    (traces / "go").touch()
    assert stop(worker) == 0
    assert Worker.all(queue=queue) == []


def test_a_redis_that_is_killed_and_comes_back_finds_the_same_worker_at_work(
    own_redis: OwnRedis, queue: Queue, worker: Popen[bytes], traces: Path, tmp_path: Path
) -> None:
    put(queue, "touch", str(traces), "before")
    eventually((traces / "before").exists)
    put(queue, "wait_for", str(traces), "through")
    eventually((traces / "through-started").exists)
    own_redis.kill()
    eventually(lambda: "worker_lost_the_queue" in said(tmp_path))
    (traces / "go").touch()
    own_redis.start()
    put(queue, "touch", str(traces), "after")
    eventually((traces / "after").exists)
    assert (traces / "through-ended").exists()
    assert worker.poll() is None


def test_a_worker_that_starts_before_redis_waits_for_it(tmp_path: Path, traces: Path) -> None:
    redis = OwnRedis(tmp_path)
    with command(tmp_path, "run_worker", "--threads", "1") as worker:
        eventually(lambda: "worker_lost_the_queue" in said(tmp_path))
        redis.start()
        try:
            put(
                Queue("runs", connection=redis.client(), serializer=JSONSerializer),
                "touch",
                str(traces),
                "done",
            )
            eventually((traces / "done").exists)
            assert stop(worker) == 0
        finally:
            redis.kill()


def test_suspended_workers_take_no_job_until_they_are_resumed(
    own_redis: OwnRedis, queue: Queue, tmp_path: Path, traces: Path
) -> None:
    suspend(queue.connection)
    with command(tmp_path, "run_worker", "--threads", "2"):
        eventually(lambda: len(Worker.all(queue=queue)) == 2)
        put(queue, "touch", str(traces), "done")
        assert queue.count == 1
        resume(queue.connection)
        eventually((traces / "done").exists)


def test_an_emptied_redis_is_told_again_who_works(queue: Queue, worker: Popen[bytes], traces: Path) -> None:
    eventually(lambda: len(Worker.all(queue=queue)) == THREADS)
    queue.connection.flushall()
    put(queue, "touch", str(traces), "after")
    eventually((traces / "after").exists)


def test_an_idle_worker_leaves_at_once_and_well(worker: Popen[bytes], queue: Queue) -> None:
    eventually(lambda: len(Worker.all(queue=queue)) == THREADS)
    assert stop(worker) == 0


@pytest.mark.parametrize("fault", ["killed", "frozen"])
def test_a_worker_leaves_well_even_while_redis_is_away(
    own_redis: OwnRedis, queue: Queue, worker: Popen[bytes], fault: str
) -> None:
    eventually(lambda: len(Worker.all(queue=queue)) == THREADS)
    own_redis.kill() if fault == "killed" else own_redis.freeze()
    assert stop(worker) == 0


def test_after_sigterm_no_job_is_taken_and_the_one_in_hand_may_end(
    queue: Queue, own_redis: OwnRedis, tmp_path: Path, traces: Path
) -> None:
    with command(tmp_path, "run_worker", "--threads", "2", "--grace", "20") as worker:
        put(queue, "wait_for", str(traces), "job")
        eventually((traces / "job-started").exists)
        worker.terminate()
        eventually(lambda: "worker_stopping" in said(tmp_path))
        put(queue, "touch", str(traces), "late")
        (traces / "go").touch()
        assert worker.wait(timeout=30) == 0
    assert (traces / "job-ended").exists()
    assert not (traces / "late").exists()
    assert queue.count == 1


def test_a_job_that_does_not_end_is_left_when_the_grace_is_over(
    queue: Queue, worker: Popen[bytes], traces: Path, tmp_path: Path
) -> None:
    put(queue, "hang", str(traces))
    eventually((traces / "hanging").exists)
    assert stop(worker) == 0
    assert "still_busy" in said(tmp_path)


def test_the_job_of_a_killed_worker_is_moved_to_the_failed_ones(
    queue: Queue, worker: Popen[bytes], traces: Path
) -> None:
    put(queue, "hang", str(traces))
    eventually((traces / "hanging").exists)
    worker.kill()
    worker.wait()
    registry = StartedJobRegistry(queue=queue)
    # As if the time without a heartbeat had passed.
    for job_id, execution_id in registry.get_job_and_execution_ids():
        queue.connection.zadd(registry.key, {f"{job_id}:{execution_id}": 1})
    serve_queue.tidy(queue)
    assert registry.get_job_ids() == []
    assert len(FailedJobRegistry(queue=queue).get_job_ids()) == 1


def test_a_doorbell_that_a_killed_worker_had_in_hand_goes_back_into_the_queue(
    own_redis: OwnRedis, queue: Queue
) -> None:
    put(queue, "fail")
    job_id = queue.job_ids[0]
    queue.connection.lmove(queue.key, queue.intermediate_queue_key)
    serve_queue.tidy(queue)
    assert queue.job_ids == []
    queue.connection.set(queue.intermediate_queue.get_first_seen_key(job_id), "1.0")
    serve_queue.tidy(queue)
    assert queue.job_ids == [job_id]
    assert queue.intermediate_queue.get_job_ids() == []


def test_a_heartbeat_tells_a_redis_that_forgot_the_worker_and_keeps_its_job_alive(
    redis: Redis,
) -> None:
    thread = serve_queue.JobThread("here.1.01", ["runs"], threading.Event())
    queue = Queue("runs", connection=thread.connection, serializer=JSONSerializer)
    put(queue, "fail")
    thread.job = queue.jobs[0]
    thread.prepare_execution(thread.job)
    registry = StartedJobRegistry(queue=queue)
    for entry in redis.zrange(registry.key, 0, -1):
        redis.zadd(registry.key, {str(entry): 1})
    redis.delete(thread.key)
    thread.pulse(thread.connection)
    assert redis.hget(thread.key, "state") == "busy"
    assert redis.smembers("rq:workers:runs") == {thread.key}
    assert registry.get_job_ids() == [thread.job.id]


def test_a_worker_that_has_grown_too_large_leaves_so_that_another_starts_afresh(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.WORKER_MEMORY_MB = 1
    monkeypatch.setattr(serve_queue, "HEARTBEAT_SECONDS", 0)
    stopped: list[float] = []
    pool = serve_queue.ThreadPoolWorker(["runs"], threads=1, grace_s=0.0, stop_drivers=stopped.append)
    pool.run(StopSignal())
    assert stopped == [0.0]
    assert serve_queue.memory_mb() > 1
