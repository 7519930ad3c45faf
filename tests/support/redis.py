"""A real Redis server of the tests' own: the pinned package, not what the machine has."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from config.launcher import embedded_redis
from config.launcher.processes import die_with


@contextmanager
def redis_server(data_dir: Path) -> Iterator[Path]:
    """The embedded server of a data folder, as `make run` starts it; yields its socket."""
    import os

    socket = embedded_redis.prepare_socket(data_dir)
    folder = data_dir / "redis"
    folder.mkdir(exist_ok=True)
    with (data_dir / "redis.log").open("wb") as log:
        process = subprocess.Popen(
            embedded_redis.command(embedded_redis.packaged_server(), socket=socket, folder=folder),
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=die_with(os.getpid()),
        )
    try:
        deadline = time.monotonic() + 30
        while not embedded_redis.answers(socket):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Redis did not start:\n{(data_dir / 'redis.log').read_text()}")
            time.sleep(0.01)
        yield socket
    finally:
        process.terminate()
        process.wait(timeout=10)
