"""The two health checks."""

import pytest
from django.db.migrations.executor import MigrationExecutor
from django.test import Client, override_settings


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_it_is_ok_while_all_parts_answer(client: Client, path: str):
    answer = client.get(path)
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")
    assert answer.headers["Cache-Control"].startswith("max-age=0, no-cache")


@pytest.mark.django_db(transaction=True)
def test_it_names_the_part_that_does_not_answer(client: Client):
    with override_settings(REDIS_QUEUE_URL="unix:///nowhere/redis.sock?db=0"):
        answer = client.get("/healthz")
    assert answer.status_code == 503
    assert answer.json() == {"status": "failing", "database": "ok", "queue": "no answer"}


@pytest.mark.django_db(transaction=True)
def test_missing_migrations_keep_traffic_away(client: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(MigrationExecutor, "migration_plan", lambda self, targets: [("one", False)])
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["migrations"]) == (503, "no answer")


def test_it_is_not_changed_by_a_post(client: Client):
    assert client.post("/healthz").status_code == 405


def test_a_page_without_a_picture_of_its_own_gets_the_favicon():
    with override_settings(STATIC_URL="/static/"):
        answer = Client().get("/favicon.ico")
    assert answer.status_code == 302
    assert answer["Location"].startswith("/static/favicon")
