"""Settings of the test processes: config.settings on a private data folder, so that no two test runs share anything."""

import atexit
import os
import shutil
import tempfile

import structlog

# What the developer's shell holds must not steer the tests (TEST_DATABASE_URL chooses PostgreSQL on purpose).
for name in (
    "REDIS_URL",
    "DATABASE_URL",
    "DEBUG",
    "STEPWELL_HTTPS",
    "EMAIL_URL",
    "SECRET_KEY",
    "STEPWELL_PUBLIC_URL",
):
    os.environ.pop(name, None)
for name in [name for name in os.environ if name.endswith("_API_KEY")]:
    os.environ.pop(name)

_folder = tempfile.mkdtemp(prefix="stepwell-test-")
atexit.register(shutil.rmtree, _folder, ignore_errors=True)
os.environ["STEPWELL_DATA_DIR"] = _folder
if _server := os.environ.get("TEST_DATABASE_URL"):
    os.environ["DATABASE_URL"] = _server

from config.settings import *  # noqa: E402, F403
from config.settings import DATA_DIR, DATABASES, STORAGES  # noqa: E402

if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # A file, as in production: an in-memory database shows no locking at all.
    DATABASES["default"]["TEST"] = {"NAME": str(DATA_DIR / "test.sqlite3")}
else:
    DATABASES["default"]["TEST"] = {"NAME": f"test_stepwell_{os.getpid()}"}

STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
AXES_ENABLED = True

# A logger that remembers its processors would slip past structlog.testing.capture_logs.
structlog.configure(cache_logger_on_first_use=False)
