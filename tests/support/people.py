"""Fixtures of the people that tests act as (tests/support/factories.py says who they are)."""

import pytest

from tests.support import factories
from workflows.tenancy import mail
from workflows.tenancy.actor import Actor


@pytest.fixture
def world(db: None) -> factories.World:
    return factories.world()


@pytest.fixture
def alice(world: factories.World) -> Actor:
    return world.alice


@pytest.fixture
def bob(world: factories.World) -> Actor:
    return world.bob


@pytest.fixture
def vera(world: factories.World) -> Actor:
    return world.vera


@pytest.fixture
def charlie(world: factories.World) -> Actor:
    return world.charlie


@pytest.fixture(autouse=True)
def _mail_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mail is sent beside the answer in the product; in tests at once, so that the outbox can be asked."""
    monkeypatch.setattr(mail, "submit", mail._send)
