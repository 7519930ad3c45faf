"""Fixtures of every test: a real Redis, which tests also run on PostgreSQL, and no silent skips under CI."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.support.redis import redis_server

pytest_plugins = ["tests.support.people"]

TESTS = Path(__file__).parent
# Where the database's own behaviour matters: these run a second time on PostgreSQL.
ALSO_ON_POSTGRES = (
    "runs",
    "simulation",
    "workflows/services",
    "workflows/tenancy",
    "templates_app",
    "api/test_executions",
    "api/test_workflows",
    "acceptance",
)
DATABASE_FIXTURES = {"db", "transactional_db", "django_db_setup"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not os.environ.get("STEPWELL_PROOFS"):
        # Left out by choice, and counted as such in the closing line: not a check that cannot run.
        proofs = [item for item in items if item.get_closest_marker("proof") is not None]
        if proofs:
            config.hook.pytest_deselected(items=proofs)
            items[:] = [item for item in items if item not in proofs]
    for item in items:
        place = item.path.relative_to(TESTS).as_posix()
        uses_database = item.get_closest_marker("django_db") is not None or bool(
            DATABASE_FIXTURES & set(getattr(item, "fixturenames", ()))
        )
        if uses_database and place.startswith(ALSO_ON_POSTGRES):
            item.add_marker(pytest.mark.postgres)
        if place.startswith("browser/"):
            item.add_marker(pytest.mark.browser)
    # Playwright keeps its event loop running in the main thread, where no asynchronous test can run any more.
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Thousands of collected tests are no garbage: the collector need not walk over them in every one of them."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


# About half of the browser's time.
_BUILDING = ("builder", "canvas", "gallery", "page_kit", "prompt", "start_path")


class SharedStacks(LoadScopeScheduling):  # type: ignore[misc]
    """Tests that share a running Stepwell stay on one worker; every other test goes wherever there is time.

    (xdist's own groups do nothing since pytest 9.2, which works a test's id out anew each time.)
    """

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith("tests/browser/"):
            # Two stacks, one for each worker, so that neither waits for the other in the end.
            name = nodeid.removeprefix("tests/browser/test_")
            return "browser-building" if name.startswith(_BUILDING) else "browser"
        file = nodeid.partition("::")[0]
        return file if file.endswith("_whole.py") else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> SharedStacks:
    # By size, the browser's tests would come first and stop the asynchronous ones behind them.
    config.option.loadscopereorder = False
    return SharedStacks(config, log)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Under CI a skipped check is a failed one: nobody would see it otherwise."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not os.environ.get("CI"):
        return
    if skipped := len(reporter.stats.get("skipped", [])):
        reporter.write_line(f"{skipped} tests were skipped, which CI does not allow.", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session", autouse=True)
def redis_socket() -> Iterator[Path]:
    """The socket of this process's own Redis; the settings already name it."""
    from django.conf import settings

    with redis_server(settings.DATA_DIR) as socket:
        yield socket


@pytest.fixture(autouse=True)
def _empty_redis(redis_socket: Path) -> Iterator[None]:
    """Every test starts with an empty Redis."""
    yield
    with Redis(unix_socket_path=str(redis_socket)) as redis:
        redis.flushall()


@pytest.fixture
def redis(redis_socket: Path) -> Iterator["Redis"]:
    """A client of the queue's database, with the settings' own address."""
    from django.conf import settings

    with Redis.from_url(settings.REDIS_QUEUE_URL, decode_responses=True) as client:
        yield client
