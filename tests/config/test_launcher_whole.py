"""The launcher with all its children, as a person meets it: start, second start, a killed process, stop, start again."""

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from config.launcher import embedded_redis
from config.paths import BASE_DIR, redis_socket
from tests.support.stack import Stack, free_port, running_stack, stack_environment


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("data")) as running:
        yield running


def eventually(holds: Callable[[], bool], *, patience_s: float = 60) -> bool:
    deadline = time.monotonic() + patience_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def status_of(stack: Stack, path: str) -> int:
    """The HTTP status of a page; 0 while nobody answers."""
    connection = http.client.HTTPConnection(urlsplit(stack.url).netloc, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def start_again(**environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "config.launcher"],
        cwd=BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_all_processes_run_and_answer(stack: Stack):
    assert set(stack.children()) == {"redis", "web", "worker", "keeper"}
    assert status_of(stack, "/healthz") == 200
    assert status_of(stack, "/readyz") == 200


def test_a_second_start_says_where_the_first_one_runs(stack: Stack):
    second = start_again(**stack.environment | {"PORT": str(free_port())})
    assert second.returncode == 1
    assert f"Stepwell is already running at {stack.url} (process {stack.process.pid})" in second.stderr
    assert second.stdout == ""


def test_a_start_on_a_taken_port_says_so(stack: Stack, tmp_path: Path):
    other = start_again(**stack_environment(tmp_path, urlsplit(stack.url).port or 0))
    assert other.returncode == 1
    assert "is taken by another program" in other.stderr
    assert "PORT=" in other.stderr


def test_an_unreachable_redis_is_named_without_its_password(tmp_path: Path):
    environment = stack_environment(tmp_path, free_port(), {"REDIS_URL": "redis://:canary@127.0.0.1:1/0"})
    start = start_again(**environment)
    assert start.returncode == 1
    assert "Redis at redis://127.0.0.1:1/0 does not answer" in start.stderr
    assert "canary" not in start.stderr + start.stdout


@pytest.mark.parametrize("kind", ["web", "redis", "worker", "keeper"])
def test_a_killed_process_is_back(stack: Stack, kind: str):
    # A worker may have ended with the Redis of the case before, and be on its way back.
    assert eventually(lambda: kind in stack.children())
    before = stack.children()[kind]
    os.kill(before, signal.SIGKILL)
    assert eventually(lambda: stack.children().get(kind, before) != before)
    assert eventually(lambda: status_of(stack, "/healthz") == 200)


def test_a_killed_supervisor_leaves_nothing_and_the_folder_starts_again(tmp_path: Path):
    with running_stack(tmp_path) as first:
        children = first.children()
        first.process.kill()
        first.process.wait()
        assert eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children.values()))
    assert not embedded_redis.answers(redis_socket(tmp_path))
    with running_stack(tmp_path) as second:
        assert status_of(second, "/healthz") == 200
        second.process.send_signal(signal.SIGTERM)
        assert second.process.wait(timeout=60) == 0
        assert not second.children()
