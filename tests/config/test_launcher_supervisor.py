"""Children of the supervisor: restarted when they end, stopped in order, never left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from config.launcher.processes import Child, Service, describe_end, pause_before_restart
from config.launcher.supervisor import Supervisor
from config.paths import BASE_DIR

PATIENT = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); signal.pause()"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); [signal.pause() for _ in iter(int, 1)]"


def service(name: str, code: str, *, order: int = 1, grace_s: float = 10.0) -> Service:
    return Service(name, (sys.executable, "-c", code), dict(os.environ), order, grace_s)


def eventually(holds: Callable[[], bool]) -> bool:
    """Whether something becomes so within the time that a slow machine may need."""
    deadline = time.monotonic() + 30
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def supervisor(tmp_path: Path, told: list[str]) -> Iterator[Supervisor]:
    keeper = Supervisor(logs=tmp_path / "logs", tell=told.append)
    yield keeper
    keeper.stop()


@pytest.mark.parametrize(
    ("ends", "pause"), [(1, 0.0), (2, 1.0), (3, 2.0), (4, 4.0), (6, 16.0), (7, 30.0), (50, 30.0)]
)
def test_the_pause_before_a_restart_doubles_up_to_half_a_minute(ends: int, pause: float):
    assert pause_before_restart(ends) == pause


@pytest.mark.parametrize(
    ("status", "words"), [(1, "exit status 1"), (-9, "signal SIGKILL"), (-200, "signal 200")]
)
def test_an_end_is_described_in_words(status: int, words: str):
    assert describe_end(status) == words


def test_a_killed_child_is_started_again(supervisor: Supervisor, told: list[str]):
    child = supervisor.add(service("worker-1", PATIENT))
    first = child.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    assert supervisor.wait_until(lambda: child.is_running and child.pid != first, patience_s=30)
    assert "worker-1 ended (signal SIGKILL); starting it again." in told[0]


def test_the_end_of_the_log_is_shown_once_with_the_reason(supervisor: Supervisor, told: list[str]):
    child = supervisor.add(service("web", "raise SystemExit('no such database')"))
    assert supervisor.wait_until(lambda: child.ends_in_a_row >= 2, patience_s=30)
    assert "no such database" in told[0]
    assert "no such database" not in told[1]


def test_a_long_life_forgives_earlier_ends(tmp_path: Path):
    now = [0.0]
    child = Child(service("web", "pass"), logs=tmp_path, clock=lambda: now[0])
    child.ends_in_a_row = 6
    child.start()
    assert child.process is not None
    child.process.wait()
    now[0] = 61.0
    assert child.notice_end() == 0
    assert child.ends_in_a_row == 1
    assert child.is_due()


def test_children_stop_group_by_group_in_order(supervisor: Supervisor, tmp_path: Path):
    journal = tmp_path / "journal"
    code = (
        "import signal, sys, pathlib\n"
        "def leave(*_):\n"
        "    with open({path!r}, 'a') as file: file.write({name!r} + ' ')\n"
        "    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, leave)\n"
        "pathlib.Path({path!r} + '.' + {name!r}).touch()\n"
        "signal.pause()"
    )
    for order, name in ((9, "redis"), (1, "web"), (3, "worker"), (2, "keeper")):
        supervisor.add(service(name, code.format(path=str(journal), name=name), order=order))
        assert eventually(Path(f"{journal}.{name}").exists)
    supervisor.stop()
    assert journal.read_text().split() == ["web", "keeper", "worker", "redis"]


def test_a_child_that_ignores_the_request_is_killed_after_its_grace(supervisor: Supervisor, told: list[str]):
    child = supervisor.add(service("worker-1", DEAF, grace_s=0.1))
    assert eventually(lambda: "up" in child.log_tail())
    supervisor.stop()
    assert child.process is not None
    assert child.process.returncode == -signal.SIGKILL
    assert told == ["worker-1 did not stop in time and was killed."]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux can end orphans")
def test_children_die_with_a_killed_supervisor():
    code = (
        "import os, sys; from config.launcher.processes import Child, Service;"
        "child = Child(Service('x', (sys.executable, '-c', 'import time; time.sleep(600)'), dict(os.environ), 1), logs=None);"
        "child.start(); print(child.pid, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=BASE_DIR, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        orphan = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
    assert eventually(lambda: not is_alive(orphan))


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
