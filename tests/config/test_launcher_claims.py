"""What one running Stepwell holds alone: data folder and port."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from config.launcher.__main__ import number, read_options
from config.launcher.claims import DataDirLock, Holder, check_port, read_holder
from config.launcher.errors import LaunchError
from config.paths import BASE_DIR


def test_a_taken_port_is_named_with_a_way_out():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(LaunchError) as refusal:
            check_port("127.0.0.1", port)
    assert f"Port {port} on 127.0.0.1 is taken by another program" in str(refusal.value)
    assert f"PORT={port + 1} make run" in str(refusal.value)


def test_a_port_is_free_again_after_its_program_has_ended():
    with socket.socket() as ended:
        ended.bind(("127.0.0.1", 0))
        ended.listen()
        port = ended.getsockname()[1]
    check_port("127.0.0.1", port)


def test_a_second_start_names_the_running_address(tmp_path: Path):
    first = DataDirLock(tmp_path)
    first.acquire(address="http://localhost:8000")
    with pytest.raises(LaunchError) as refusal:
        DataDirLock(tmp_path).acquire(address="http://localhost:8001")
    assert f"already running at http://localhost:8000 (process {os.getpid()})" in str(refusal.value)
    assert read_holder(first.path) == Holder(pid=os.getpid(), address="http://localhost:8000")


def test_a_released_folder_can_be_taken_again(tmp_path: Path):
    first = DataDirLock(tmp_path)
    first.acquire(address="http://localhost:8000")
    first.release()
    assert read_holder(first.path) is None
    DataDirLock(tmp_path).acquire(address="http://localhost:8001")


def test_a_killed_stepwell_holds_nothing(tmp_path: Path):
    code = (
        "import sys, pathlib; from config.launcher.claims import DataDirLock;"
        "lock = DataDirLock(pathlib.Path(sys.argv[1])); lock.acquire(address='http://localhost:1');"
        "print('held', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=BASE_DIR,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(LaunchError):
            DataDirLock(tmp_path).acquire(address="http://localhost:2")
        holder.kill()
        holder.wait()
    DataDirLock(tmp_path).acquire(address="http://localhost:2")


@pytest.mark.parametrize("value", ["http", "0", "70000", "-1", "８０"])
def test_a_port_that_cannot_be_is_refused_by_name(value: str):
    with pytest.raises(LaunchError, match="PORT must be a whole number from 1 to 65535"):
        number({"PORT": value}, "PORT", 8000, least=1, most=65535)


def test_the_environment_steers_a_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STEPWELL_DATA_DIR", str(tmp_path))
    options = read_options({"PORT": "9001", "STEPWELL_HOST": "0.0.0.0", "STEPWELL_WORKERS": "3"})
    assert (options.port, options.workers, options.data_dir) == (9001, 3, tmp_path)
    assert (options.address, options.probe_address) == ("http://localhost:9001", "http://127.0.0.1:9001")
