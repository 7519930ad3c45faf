"""Brings the database up to date before anything is served: migrations, built-in templates, the demo tenant.

A process of its own (`python -m config.launcher.prepare`), so that the supervisor stays small and free of Django.
It answers with one JSON line on standard output: `{"sign_in_path": path or null}`.
"""

import io
import json
import os
import sys
from urllib.parse import urlsplit

# The person whom `make run` signs in: the owner of the demo tenant that load_demo makes.
DEMO_OWNER = "nadia@demo.example"


def check_redis(url: str) -> str | None:
    """None when the Redis of this address answers, else a sentence about why not."""
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.exceptions import RedisError
    from redis.retry import Retry

    try:
        with Redis.from_url(
            url, socket_connect_timeout=5, socket_timeout=5, retry=Retry(NoBackoff(), 0)
        ) as redis:
            redis.ping()
    except (RedisError, OSError, ValueError) as error:
        parts = urlsplit(url)
        # Without the password that the address may hold.
        where = f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"
        return f"Redis at {where} does not answer ({error}). Check REDIS_URL, or unset it to use the embedded one."
    return None


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    # Only the answer goes to standard output; what commands print goes to the log.
    answer, sys.stdout = sys.stdout, sys.stderr

    import django

    django.setup()

    from django.conf import settings
    from django.core.management import call_command, get_commands
    from django.db import DEFAULT_DB_ALIAS, OperationalError, connections

    if problem := check_redis(settings.REDIS_QUEUE_URL):
        sys.stderr.write(f"{problem}\n")
        return 3
    try:
        connections[DEFAULT_DB_ALIAS].ensure_connection()
    except OperationalError as error:
        sys.stderr.write(f"The database does not answer: {str(error).strip()}\nCheck DATABASE_URL.\n")
        return 3

    if not settings.DEBUG and not (settings.STATIC_ROOT / "staticfiles.json").is_file():
        call_command("collectstatic", interactive=False, verbosity=0)
    call_command("migrate", interactive=False, verbosity=1)
    commands = get_commands()
    link = io.StringIO()
    if "load_builtin_templates" in commands:
        call_command("load_builtin_templates")
    if "load_demo" in commands:
        call_command("load_demo")
        call_command("sign_in_link", email=DEMO_OWNER, stdout=link)
    json.dump({"sign_in_path": link.getvalue().strip() or None}, answer)
    answer.write("\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
