"""Browser tests: one running Stepwell and one Chromium for all of them."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.support.chromium import find_chromium
from tests.support.fake_openai import FakeOpenAI
from tests.support.stack import Stack, running_stack


@pytest.fixture(scope="session")
def models() -> Iterator[tuple[FakeOpenAI, FakeOpenAI]]:
    """Two model servers that accounts of a tenant may be given; nobody has any unless a test makes them."""
    with FakeOpenAI() as one, FakeOpenAI() as other:
        yield one, other


@pytest.fixture
def model_server(models: tuple[FakeOpenAI, FakeOpenAI]) -> FakeOpenAI:
    """The first of them, with nothing scripted. Who names `custom:fake-small` asks it without an account."""
    models[0].reset()
    return models[0]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, models: tuple[FakeOpenAI, FakeOpenAI]) -> Iterator[Stack]:
    """A whole Stepwell with the demo tenant."""
    extra = {
        "STEPWELL_OUTBOUND_ALLOW": ",".join(f"127.0.0.1:{server.port}" for server in models),
        "STEPWELL_LLM_BASE_URL": models[0].url,
        "STEPWELL_LLM_KEY": "sk-test",
    }
    with running_stack(tmp_path_factory.mktemp("stack"), extra=extra) as running:
        yield running


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    chromium = find_chromium()
    return {
        **browser_type_launch_args,
        "executable_path": str(chromium.executable),
        "args": list(chromium.args),
        "env": {**os.environ, **chromium.environment},
    }


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any], stack: Stack) -> dict[str, Any]:
    return {**browser_context_args, "base_url": stack.url, "viewport": {"width": 1440, "height": 900}}


@pytest.fixture(autouse=True)
def _no_complaints(request: pytest.FixtureRequest) -> Iterator[None]:
    """A page that throws, or that breaks its own content security policy, fails its test."""
    if "page" not in request.fixturenames:
        yield
        return
    page: Page = request.getfixturevalue("page")
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(f"script error: {error}"))
    page.on(
        "console",
        lambda message: (
            complaints.append(message.text) if "Content Security Policy" in message.text else None
        ),
    )
    yield
    assert complaints == []
