"""What one running Stepwell holds alone: its data folder (a lock) and its port."""

import fcntl
import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from config.launcher.errors import LaunchError

LOCK_NAME = "stepwell.lock"


@dataclass(frozen=True)
class Holder:
    """Who holds a data folder: the supervisor's process id and the address that it serves."""

    pid: int
    address: str


class DataDirLock:
    """An exclusive lock on a data folder, released by the kernel however its holder ends."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOCK_NAME
        self._file: IO[str] | None = None

    def acquire(self, *, address: str) -> None:
        """Take the folder or raise LaunchError naming the running Stepwell's address."""
        file = self.path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise LaunchError(already_running(self.path.parent, read_holder(self.path))) from None
        file.seek(0)
        file.truncate()
        json.dump({"pid": os.getpid(), "address": address}, file)
        file.flush()
        self._file = file

    def release(self) -> None:
        """Let the folder go; the file stays, because removing it could take it from the next holder."""
        if self._file is not None:
            self._file.truncate(0)
            self._file.close()
            self._file = None


def read_holder(path: Path) -> Holder | None:
    """The holder named in a lock file; None while it is being written."""
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))
        return Holder(pid=int(entry["pid"]), address=str(entry["address"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def already_running(folder: Path, holder: Holder | None) -> str:
    """The sentence for a second start on the same data folder."""
    where = f" at {holder.address} (process {holder.pid})" if holder else ""
    return (
        f"Stepwell is already running{where} with the data folder {folder}.\n"
        "Open that address, or stop it with Ctrl-C in its terminal and start again;"
        " for a second Stepwell choose another STEPWELL_DATA_DIR and PORT."
    )


def check_port(host: str, port: int) -> None:
    """Raise LaunchError when nothing can listen on the port, with the way out."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As the server does it: connections in TIME_WAIT do not count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError:
            raise LaunchError(
                f"This user may not listen on port {port}; choose one above 1023: PORT=8000 make run"
            ) from None
        except OSError as error:
            raise LaunchError(
                f"Port {port} on {host} is taken by another program ({error.strerror});"
                f" choose another: PORT={port + 1} make run"
            ) from None
