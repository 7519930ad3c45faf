"""Settings come from the environment alone, and a production environment has nothing to complain about."""

import os
import subprocess
import sys
from pathlib import Path

from config.paths import BASE_DIR


def run(tmp_path: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=BASE_DIR,
        env={**kept, "STEPWELL_DATA_DIR": str(tmp_path), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def setting(tmp_path: Path, expression: str, **environment: str) -> str:
    done = run(tmp_path, "-c", f"from config import settings; print({expression})", **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_deployment_check_is_clean_over_https(tmp_path: Path):
    done = run(tmp_path, "manage.py", "check", "--deploy", "--fail-level", "WARNING", STEPWELL_HTTPS="1")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_data_folder_alone_is_enough(tmp_path: Path):
    assert setting(tmp_path, "settings.DATABASES['default']['NAME']") == str(tmp_path / "stepwell.sqlite3")
    assert setting(tmp_path, "settings.SECRET_KEY") == (tmp_path / "secret-key").read_text().strip()
    assert setting(tmp_path, "settings.DEBUG") == "False"


def test_an_own_secret_key_is_used_and_nothing_is_written(tmp_path: Path):
    assert (
        setting(tmp_path, "settings.SECRET_KEY", SECRET_KEY="mine", STEPWELL_ENCRYPTION_KEYS="one,two")
        == "mine"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_data_folder_with_odd_characters_works(tmp_path: Path):
    folder = tmp_path / "my data #1 ? 50%"
    assert setting(tmp_path, "settings.DATABASES['default']['NAME']", STEPWELL_DATA_DIR=str(folder)) == str(
        folder / "stepwell.sqlite3"
    )


def test_postgresql_and_redis_are_taken_from_their_addresses(tmp_path: Path):
    printed = setting(
        tmp_path,
        "settings.DATABASES['default']['ENGINE'], settings.REDIS_QUEUE_URL, settings.REDIS_CHANNELS_URL",
        DATABASE_URL="postgres://me:pass@db.example:5432/stepwell",
        REDIS_URL="redis://cache.example:6379/3",
    )
    assert (
        printed == "django.db.backends.postgresql redis://cache.example:6379/3 redis://cache.example:6379/4"
    )


def test_the_public_address_is_an_allowed_host(tmp_path: Path):
    assert "'flow.example'" in setting(
        tmp_path, "settings.ALLOWED_HOSTS", STEPWELL_PUBLIC_URL="https://flow.example"
    )


def test_mail_goes_to_files_unless_there_is_a_server(tmp_path: Path):
    assert setting(tmp_path, "settings.EMAIL_BACKEND").endswith("filebased.EmailBackend")
    assert (
        setting(
            tmp_path,
            "settings.EMAIL_BACKEND, settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_USE_TLS",
            EMAIL_URL="smtp+tls://user:pass@mail.example:587",
        )
        == "django.core.mail.backends.smtp.EmailBackend mail.example 587 True"
    )
