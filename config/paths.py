"""Where Stepwell keeps its state: the data folder, the keys in it, and the embedded Redis's socket. No Django here."""

import hashlib
import os
import secrets
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

BASE_DIR = Path(__file__).resolve().parent.parent

# A socket's address holds 108 bytes with the closing zero on Linux and 104 on macOS.
LONGEST_SOCKET_PATH = 100


def data_dir() -> Path:
    """The absolute folder of all state (STEPWELL_DATA_DIR, else var/ in the checkout); made, private, when missing."""
    folder = Path(os.environ.get("STEPWELL_DATA_DIR") or BASE_DIR / "var").expanduser().absolute()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def kept_secret(path: Path, *, length: int = 64) -> str:
    """The secret stored at `path`, written on first use; two processes that start together agree on one."""
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        pass
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_urlsafe(length) + "\n")
    try:
        # A link never replaces: the first writer wins and everybody reads what it wrote.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_text(encoding="ascii").strip()


def redis_socket(folder: Path) -> Path:
    """The embedded Redis's unix socket for this data folder, short enough for the kernel wherever the folder is."""
    inside = folder / "redis.sock"
    if len(os.fsencode(inside)) <= LONGEST_SOCKET_PATH:
        return inside
    # The folder's owner is in the name, not the caller: root's manage.py must find a user's server.
    owner = folder.stat().st_uid
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path(f"/tmp/stepwell-{owner}-{digest}/redis.sock")  # noqa: S108  (made private by the launcher)


def redis_url() -> str:
    """REDIS_URL, else the address of the embedded server."""
    return os.environ.get("REDIS_URL") or f"unix://{redis_socket(data_dir())}?db=0"


def redis_db(url: str, offset: int) -> str:
    """The same Redis with the database number raised by `offset` (queue, channels and cache stay apart)."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        query = parse_qs(parts.query)
        query["db"] = [str(int(query.get("db", ["0"])[0]) + offset)]
        # urlunsplit drops the empty host of unix:///path, which redis-py needs.
        return f"unix://{parts.path}?{urlencode(query, doseq=True)}"
    number = int(parts.path.strip("/") or 0) + offset
    return urlunsplit((parts.scheme, parts.netloc, f"/{number}", parts.query, ""))
