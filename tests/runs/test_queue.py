"""The doorbell: after the commit, once while it waits, again when somebody looks, and never an error."""

from uuid import UUID, uuid4

import pytest
from django.db import transaction
from redis import Redis
from redis.exceptions import RedisError

from runs import jobs, queue
from workflows.lib.redis_clients import quick_client

RUN = uuid4()


def waiting(redis: Redis) -> list[str]:
    return [str(job_id) for job_id in redis.lrange("rq:queue:runs", 0, -1)]


@pytest.mark.django_db(transaction=True)
def test_the_bell_rings_when_the_transaction_commits_and_not_before(redis: Redis) -> None:
    with transaction.atomic():
        queue.ring(RUN)
        assert waiting(redis) == []
    assert len(waiting(redis)) == 1


@pytest.mark.django_db(transaction=True)
def test_a_transaction_that_rolls_back_rings_nothing(redis: Redis) -> None:
    class Oops(Exception):
        pass

    def doomed() -> None:
        with transaction.atomic():
            queue.ring(RUN)
            raise Oops

    with pytest.raises(Oops):
        doomed()
    assert waiting(redis) == []


@pytest.mark.django_db(transaction=True)
def test_the_job_carries_the_run_id_as_json_and_leaves_no_result(redis: Redis) -> None:
    queue.ring(str(RUN))
    job = queue._queue("runs").jobs[0]
    assert (job.func_name, job.args, job.kwargs) == ("runs.jobs.drive", [str(RUN)], {})
    assert (job.timeout, job.result_ttl) == (-1, 0)


@pytest.mark.django_db(transaction=True)
def test_a_run_waits_in_the_queue_once_however_often_it_is_rung(redis: Redis) -> None:
    queue.ring(RUN)
    queue.ring(RUN)
    queue.ring(uuid4())
    assert len(waiting(redis)) == 2


@pytest.mark.django_db(transaction=True)
def test_a_ring_while_the_run_is_looked_at_is_a_new_doorbell(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[UUID] = []

    def look(run_id: UUID) -> None:
        seen.append(run_id)
        queue.ring(run_id)

    monkeypatch.setattr(jobs, "drive_in_turn", look)
    queue.ring(RUN)
    redis.lpop("rq:queue:runs")
    jobs.drive(str(RUN))
    assert seen == [RUN]
    assert len(waiting(redis)) == 1


@pytest.mark.django_db(transaction=True)
def test_a_doorbell_that_a_killed_worker_took_along_does_not_silence_the_run_for_ever(redis: Redis) -> None:
    queue.ring(RUN)
    assert 0 < redis.ttl(f"stepwell:bell:{RUN.hex}") <= queue.BELL_SECONDS


@pytest.mark.django_db(transaction=True)
def test_the_keeper_rings_anew_where_the_job_went_with_its_worker_and_only_there(redis: Redis) -> None:
    queue.ring(RUN)
    queue.ring_again(RUN)
    assert len(waiting(redis)) == 1, "its job stands in the queue"
    # A worker took it and was killed before it answered.
    redis.lpop("rq:queue:runs")
    queue.ring(RUN)
    assert waiting(redis) == []
    queue.ring_again(RUN)
    queue.ring_again(RUN)
    assert len(waiting(redis)) == 1


@pytest.mark.django_db(transaction=True)
def test_without_redis_ringing_and_answering_raise_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = quick_client("unix:///nowhere/redis.sock")
    monkeypatch.setattr(queue, "connection", lambda: nobody)
    queue.ring(RUN)
    queue.ring_again(RUN)
    queue.answer(RUN)


@pytest.mark.django_db(transaction=True)
def test_a_ring_that_did_not_reach_the_queue_does_not_keep_the_next_one_out(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def enqueue_call(self, **job: object) -> None:
            raise RedisError("gone in the middle")

    with monkeypatch.context() as patch:
        patch.setattr(queue, "_queue", lambda name: Broken())
        queue.ring(RUN)
    queue.ring(RUN)
    assert len(waiting(redis)) == 1
