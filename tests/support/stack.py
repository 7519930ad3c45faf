"""A whole Stepwell of the tests' own: the launcher with its children, on a free port and a private data folder."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from config.launcher.processes import die_with
from config.paths import BASE_DIR

START_SECONDS = 120.0
# The developer's shell must not steer the stack.
DROPPED = (
    "REDIS_URL",
    "DATABASE_URL",
    "STEPWELL_HTTPS",
    "EMAIL_URL",
    "SECRET_KEY",
    "DEBUG",
    "DJANGO_SETTINGS_MODULE",
)


def free_port() -> int:
    """A port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def stack_environment(data_dir: Path, port: int, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a stack: ours without what would steer it."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in DROPPED
        and not name.startswith(("STEPWELL_", "COV_"))
        and not name.endswith("_API_KEY")
    }
    return environment | {"STEPWELL_DATA_DIR": str(data_dir), "PORT": str(port), **(extra or {})}


@dataclass
class Stack:
    """A running Stepwell. `sign_in_link` works once; `sign_in_link_for` makes more."""

    url: str
    sign_in_link: str | None
    data_dir: Path
    environment: dict[str, str]
    process: "subprocess.Popen[bytes]"

    def manage(self, *arguments: str) -> str:
        """Run a management command beside the stack; its standard output. Raises with its errors."""
        done = subprocess.run(
            [sys.executable, str(BASE_DIR / "manage.py"), *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"manage.py {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
        return done.stdout.strip()

    def sign_in_link_for(self, email: str) -> str:
        return self.url + self.manage("sign_in_link", "--email", email)

    def children(self) -> dict[str, int]:
        """The process ids of the supervisor's children by kind: redis, web, keeper, worker (the last of each kind)."""
        marks = {"web": "daphne", "keeper": "run_keeper", "worker": "run_worker", "redis": "unixsocket"}
        pids: dict[str, int] = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                # It ended while we looked.
                continue
            if int(parent) != self.process.pid or state == "Z":
                continue
            for kind, mark in marks.items():
                if mark in command:
                    pids[kind] = int(folder.name)
        return pids

    def logs(self) -> str:
        """Everything that the stack has said, for a failing test."""
        return "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')}"
            for path in sorted((self.data_dir / "logs").glob("*.log"))
        )


@contextmanager
def running_stack(data_dir: Path, *, extra: Mapping[str, str] | None = None) -> Iterator[Stack]:
    """Start a stack, wait until it is ready, stop it in the end. Raises with all logs when it does not start."""
    port = free_port()
    environment = stack_environment(data_dir, port, {"STEPWELL_WORKERS": "1", **(extra or {})})
    said = data_dir / "launcher.log"
    with said.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "config.launcher"],
            cwd=BASE_DIR,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=die_with(os.getpid()),
        )
    stack = Stack(f"http://localhost:{port}", None, data_dir, environment, process)
    try:
        deadline = time.monotonic() + START_SECONDS
        while "Stop with Ctrl-C" not in said.read_text(errors="replace"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(
                    f"The stack did not start:\n{said.read_text(errors='replace')}\n{stack.logs()}"
                )
            time.sleep(0.1)
        link = re.search(r"Sign in with this link, once:\s+(\S+)", said.read_text(errors="replace"))
        stack.sign_in_link = link.group(1) if link else None
        yield stack
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
