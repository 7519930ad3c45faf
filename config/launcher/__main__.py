"""`python -m config.launcher`: everything of Stepwell with one command, stopped with Ctrl-C.

1. Take the data folder and look whether the port is free; else say what to do and stop.
2. Start the embedded Redis, unless REDIS_URL names one.
3. Prepare the database (migrations, templates, demo tenant) in a process of its own.
4. Start web, workers and keeper, wait until the web answers, print the address and a one-time sign-in link.
5. Restart what ends, until Ctrl-C or SIGTERM; then stop web, keeper, workers, Redis in this order.
"""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from config import paths
from config.launcher import embedded_redis
from config.launcher.claims import DataDirLock, check_port
from config.launcher.errors import LaunchError
from config.launcher.processes import Service, die_with
from config.launcher.supervisor import Supervisor, say

READY_SECONDS = 90.0
REDIS_SECONDS = 60.0
# A web process that never came up so many times will not come up the next time either.
HOPELESS_STARTS = 4
# A worker finishes the transaction at hand and gives its runs back; longer work goes on after the restart.
WORKER_GRACE_SECONDS = 25.0


@dataclass(frozen=True)
class Options:
    """What the environment asks of a start."""

    host: str
    port: int
    data_dir: Path
    workers: int
    redis_url: str
    logs_to_terminal: bool

    @property
    def address(self) -> str:
        """What a person types into the browser."""
        host = "localhost" if self.host in ("127.0.0.1", "0.0.0.0", "::", "::1") else self.host  # noqa: S104
        return os.environ.get("STEPWELL_PUBLIC_URL", "").rstrip("/") or f"http://{host}:{self.port}"

    @property
    def probe_address(self) -> str:
        """Where the launcher itself asks whether the web is up."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "::1": "[::1]"}.get(self.host, self.host)  # noqa: S104
        return f"http://{host}:{self.port}"


def number(environment: Mapping[str, str], name: str, default: int, *, least: int, most: int) -> int:
    """A whole number from the environment; LaunchError names the variable when it is none."""
    text = environment.get(name, "").strip() or str(default)
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise LaunchError(f"{name} must be a whole number from {least} to {most}, not “{text}”.")
    return int(text)


def read_options(environment: Mapping[str, str]) -> Options:
    """The options of this start. Raises LaunchError for a value that cannot be."""
    logs = environment.get("STEPWELL_LOGS", "") or "files"
    if logs not in ("files", "terminal"):
        raise LaunchError(f"STEPWELL_LOGS must be files or terminal, not “{logs}”.")
    try:
        data_dir = paths.data_dir()
    except OSError as error:
        raise LaunchError(f"The data folder cannot be made: {error}. Set STEPWELL_DATA_DIR.") from None
    if not os.access(data_dir, os.W_OK | os.X_OK):
        raise LaunchError(f"This user may not write to the data folder {data_dir}. Set STEPWELL_DATA_DIR.")
    return Options(
        host=environment.get("STEPWELL_HOST", "") or "127.0.0.1",
        port=number(environment, "PORT", 8000, least=1, most=65535),
        data_dir=data_dir,
        workers=number(environment, "STEPWELL_WORKERS", 2, least=1, most=64),
        redis_url=environment.get("REDIS_URL", ""),
        logs_to_terminal=logs == "terminal",
    )


def child_environment(options: Options) -> dict[str, str]:
    """The environment of every child: ours, with the answers that were worked out here."""
    return {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "DJANGO_SETTINGS_MODULE": os.environ.get("DJANGO_SETTINGS_MODULE", "config.settings"),
        "STEPWELL_DATA_DIR": str(options.data_dir),
        "STEPWELL_PUBLIC_URL": options.address,
        "PORT": str(options.port),
    }


def services(options: Options, environment: Mapping[str, str]) -> list[Service]:
    """Web (the first), keeper and workers."""
    manage = (sys.executable, str(paths.BASE_DIR / "manage.py"))
    web = Service(
        name="web",
        command=(
            *(sys.executable, "-m", "daphne"),
            *("-b", options.host, "-p", str(options.port)),
            *("--proxy-headers",) * (os.environ.get("STEPWELL_BEHIND_PROXY", "") not in ("", "0", "false")),
            *("--no-server-name", "--access-log", os.devnull, "config.asgi:application"),
        ),
        environment=environment,
        order=1,
        # Daphne gives open pages ten seconds to say goodbye.
        grace_s=15.0,
    )
    keeper = Service(name="keeper", command=(*manage, "run_keeper"), environment=environment, order=2)
    worker = Service(
        name="worker",
        command=(*manage, "run_worker"),
        environment=environment,
        order=3,
        grace_s=WORKER_GRACE_SECONDS,
    )
    workers = (replace(worker, name=f"worker-{index + 1}") for index in range(options.workers))
    return [web, keeper, *workers]


def prepare(environment: Mapping[str, str], log: Path) -> str | None:
    """Run config.launcher.prepare; the one-time sign-in path, if any. Raises LaunchError with the log's end."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as errors:
        done = subprocess.run(
            [sys.executable, "-m", "config.launcher.prepare"],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=paths.BASE_DIR,
            preexec_fn=die_with(os.getpid()),
            check=False,
        )
    if done.returncode != 0:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        # 3 = a sentence for the person and nothing else; anything else is a fault with its traceback.
        said = "\n".join(lines[-2:] if done.returncode == 3 else lines[-25:])
        raise LaunchError(f"{said}\nThe database could not be prepared; the whole log: {log}")
    path: str | None = json.loads(done.stdout)["sign_in_path"]
    return path


def web_answers(options: Options) -> bool:
    """Whether the web process is ready for traffic."""
    # No proxy of the shell's may stand between; the public address's host is always an allowed one.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(  # noqa: S310
        f"{options.probe_address}/readyz", headers={"Host": urlsplit(options.address).netloc}
    )
    try:
        with opener.open(request, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def launch(options: Options) -> int:
    """Start everything and stay until asked to stop; the exit status."""
    lock = DataDirLock(options.data_dir)
    lock.acquire(address=options.address)
    check_port(options.host, options.port)
    environment = child_environment(options)
    logs = options.data_dir / "logs"
    supervisor = Supervisor(logs=None if options.logs_to_terminal else logs)
    supervisor.listen_to_signals()
    try:
        if not options.redis_url:
            socket = embedded_redis.prepare_socket(options.data_dir)
            embedded_redis.clear_leftover(socket)
            redis = supervisor.add(embedded_redis.service(options.data_dir, environment))
            if not supervisor.wait_until(lambda: embedded_redis.answers(socket), patience_s=REDIS_SECONDS):
                if supervisor.stopping:
                    return 0
                raise LaunchError(f"The embedded Redis does not start:\n{redis.log_tail()}")
        try:
            path = prepare(environment, logs / "prepare.log")
        except LaunchError:
            # Ctrl-C reaches the preparing process too, and that is no fault.
            if supervisor.stopping:
                return 0
            raise
        children = [supervisor.add(service) for service in services(options, environment)]
        web = children[0]
        supervisor.wait_until(
            lambda: web.ends_in_a_row >= HOPELESS_STARTS or web_answers(options), patience_s=READY_SECONDS
        )
        if supervisor.stopping:
            return 0
        if not web_answers(options):
            raise LaunchError(f"The web process does not answer:\n{web.log_tail()}")
        say(welcome(options, path))
        supervisor.run()
    finally:
        say("\nStopping …")
        supervisor.stop()
        lock.release()
        say("Stopped.")
    return 0


def welcome(options: Options, sign_in_path: str | None) -> str:
    """What a person reads when everything is up."""
    lines = ["", f"  Stepwell is running at {options.address}/"]
    if sign_in_path:
        lines += ["", "  Sign in with this link, once:", f"  {options.address}{sign_in_path}"]
    lines += [
        "",
        f"  Data: {options.data_dir}   Logs: "
        + ("this terminal" if options.logs_to_terminal else str(options.data_dir / "logs")),
        "  Stop with Ctrl-C.",
        "",
    ]
    return "\n".join(lines)


def main() -> int:
    # Databases, logs and mail hold people's data: for this user alone.
    os.umask(0o077)
    try:
        return launch(read_options(os.environ))
    except LaunchError as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
