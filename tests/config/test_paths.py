"""The data folder's keys and the addresses of the embedded Redis."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from config import paths


def test_a_kept_secret_is_private_and_stays_the_same(tmp_path: Path):
    first = paths.kept_secret(tmp_path / "secret-key")
    assert paths.kept_secret(tmp_path / "secret-key") == first
    assert len(first) >= 64
    assert stat.S_IMODE((tmp_path / "secret-key").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret-key"]


def test_everybody_who_makes_a_secret_at_the_same_time_gets_the_same_one(tmp_path: Path):
    with ThreadPoolExecutor(16) as pool:
        secrets = list(pool.map(paths.kept_secret, [tmp_path / "secret-key"] * 64))
    assert len(set(secrets)) == 1


def test_a_new_data_folder_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STEPWELL_DATA_DIR", str(tmp_path / "deep" / "data"))
    assert stat.S_IMODE(paths.data_dir().stat().st_mode) == 0o700


def test_the_socket_lies_in_the_data_folder():
    assert paths.redis_socket(Path("/srv/stepwell")) == Path("/srv/stepwell/redis.sock")


def test_a_deep_data_folder_gets_a_short_socket_of_its_own(tmp_path: Path):
    deep, other = (tmp_path / (letter * 90) for letter in "ab")
    deep.mkdir()
    other.mkdir()
    socket = paths.redis_socket(deep)
    assert len(str(socket)) < 60
    assert socket == paths.redis_socket(deep)
    assert socket != paths.redis_socket(other)


@pytest.mark.parametrize(
    ("url", "third"),
    [
        ("unix:///srv/redis.sock?db=0", "unix:///srv/redis.sock?db=2"),
        ("unix:///srv/redis.sock", "unix:///srv/redis.sock?db=2"),
        ("redis://localhost:6379", "redis://localhost:6379/2"),
        ("redis://:pass@host:6379/4", "redis://:pass@host:6379/6"),
        ("rediss://host/0?ssl_cert_reqs=none", "rediss://host/2?ssl_cert_reqs=none"),
    ],
)
def test_queue_channels_and_cache_have_databases_of_their_own(url: str, third: str):
    assert paths.redis_db(url, 2) == third
