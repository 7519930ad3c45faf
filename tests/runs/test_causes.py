"""Every kind of failure, walked through the page: a headline in words, whether trying again helps, and a way out that is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from typing import Any

import pytest

from runs.models import Run, StepRun
from runs.services.control_run import cancel_run
from runs.services.fixes import fixes_of
from runs.snapshots import run_snapshot
from runs.snapshots.words import cause, trying_helps
from tests.runs.support import definition_of, driven, node, started, version_of
from tests.support.factories import World, client_of
from tests.support.fake_openai import FakeOpenAI, Reply
from workflows.services.provider_accounts import create_account, forget_accounts

pytestmark = pytest.mark.django_db

ONCE = {"max_attempts": 1}


@pytest.fixture
def vendor(world: World, settings: Any) -> Iterator[FakeOpenAI]:
    """The workspace's own account at a vendor's, and one at another, which works."""
    with FakeOpenAI() as server, FakeOpenAI() as other:
        settings.OUTBOUND_ALLOW = [f"127.0.0.1:{server.port}", f"127.0.0.1:{other.port}"]
        create_account(actor=world.alice, provider="anthropic", name="Main", key="k", base_url=server.url)
        create_account(actor=world.alice, provider="google", name="Spare", key="k", base_url=other.url)
        forget_accounts(world.tenant.pk)
        other.default = lambda _: Reply(text='{"score": 7}')
        yield server
        forget_accounts(world.tenant.pk)


@dataclass(frozen=True)
class Kind:
    """What the vendor answers; what the page says of it; keys of fixes that have to be there, the best first."""

    reply: Reply
    headline: str
    helps: str
    fixes: tuple[str, ...]


def refused(status: int, message: str) -> Reply:
    return Reply(status=status, body={"error": {"type": "invalid_request_error", "message": message}})


OTHER = "model-google:gemini-2.5-flash"
KINDS = {
    "no key": Kind(refused(401, "invalid x-api-key"), "Anthropic does not accept the key", "until the key is mended", (OTHER, "connection", "fallback")),
    "no credit": Kind(refused(400, "Your credit balance is too low"), "Anthropic refused the request: the account has no credit", "until credit is added, and this step has no fallback", (OTHER, "connection", "fallback")),
    "too many": Kind(refused(429, "rate limit"), "Anthropic asks to slow down", "Trying again can help", ("retry", OTHER)),
    "no model": Kind(refused(404, "model not found"), "Anthropic has no model named", "until another model is chosen", (OTHER, "workflow")),
    "too long": Kind(refused(400, "prompt is too long: 210000 tokens"), "The prompt is longer than", "Shorten the prompt", (OTHER, "input", "workflow")),
    "declined": Kind(refused(400, "blocked by content filtering policy"), "Anthropic declined to answer", "Change the prompt or the text", (OTHER, "input", "workflow")),
    "overloaded": Kind(refused(529, "Overloaded"), "Anthropic is overloaded", "Trying again can help", ("retry", OTHER)),
    "cut": Kind(Reply(text="one two three four", cut_after=2), "Anthropic broke off", "Trying again can help", ("retry", OTHER)),
    "a page": Kind(Reply(html="<h1>Sign in to the network</h1>"), "Anthropic answered with a web page", "Trying again can help", ("retry", OTHER)),
    "bad JSON": Kind(Reply(text="no JSON at all"), "", "", (OTHER, "input", "workflow")),
}  # fmt: skip
SCHEMA = '{"type": "object", "properties": {"score": {"type": "number"}}, "required": ["score"]}'


def look(world: World, run: Run) -> tuple[str, str, list[str]]:
    """(headline, advice, keys of the fixes) as the page prints them."""
    assert run.status == "failed", (run.status, run.output)
    html = unescape(client_of(world.alice).get(f"/runs/{run.pk}/").content.decode())
    box = re.search(r'<div class="fail">\s*<header>.*?<h4>(.*?)</h4><p class="muted">(.*?)</p>', html, re.S)
    assert box is not None
    headline, helps = box.groups()
    # Words, no code: nothing with an underscore or a bare status stands in a headline.
    assert not re.search(r"\b[a-z]+_[a-z]+\b|^\W*\d{3}\b(?!\.)|Error\b|Exception", headline), headline
    assert len(headline.split()) >= 3
    assert helps
    fixes, _, _ = fixes_of(run_snapshot(run), world.alice)
    for fix in fixes:
        assert f"<b>{fix.title}</b>" in html
    assert sum(fix.primary for fix in fixes) <= 1
    assert fixes
    return headline, helps, [fix.key for fix in fixes]


@pytest.mark.parametrize("name", KINDS)
def test_what_a_vendor_refuses(world: World, vendor: FakeOpenAI, name: str) -> None:
    kind = KINDS[name]
    vendor.default = lambda _: kind.reply
    config: dict[str, Any] = {"prompt": "Write about {{ input.x }}", "model": "anthropic:claude-sonnet-4-5"}
    if name == "bad JSON":
        config["response_schema"] = SCHEMA
    ask = node("a", "llm", config=config, retry_policy=ONCE)
    run = driven(started(world.bob, definition_of([ask, node("z")], "a>z"), {"x": "wells"}))
    headline, helps, keys = look(world, run)
    assert headline.startswith(kind.headline)
    assert kind.helps in helps
    places = [keys.index(key) for key in kind.fixes]
    assert places == sorted(places), keys
    if name in ("no key", "no credit"):
        letters = client_of(world.alice).get("/runs/dead-letters/").content.decode()
        assert "Retry with Google" in letters
        assert f'name="model" value="{OTHER.removeprefix("model-")}"' in letters
    # The way out over the other provider works.
    model = OTHER.removeprefix("model-")
    assert client_of(world.alice).post(f"/runs/{run.pk}/retry/", {"model": model}).status_code == 302
    driven(run)
    assert run.status == "completed", run.error


def test_what_a_step_itself_cannot_do(world: World, settings: Any) -> None:
    """Expressions, missing input, addresses, time: each with advice, and the step can be opened."""
    nodes = {
        "expression": node("a", config={"mode": "expression", "expression": "input.trucks * 2"}),
        "kind of value": node("a", config={"mode": "expression", "expression": "input.x * 2"}),
        "inside": node("a", "http_request", config={"method": "GET", "url": "http://169.254.169.254/latest"}, retry_policy=ONCE),
        "no name": node("a", "http_request", config={"method": "GET", "url": "https://nowhere.invalid/x"}, retry_policy=ONCE),
    }  # fmt: skip
    for name, step in nodes.items():
        run = driven(started(world.bob, definition_of([step, node("z")], "a>z"), {"x": "wells"}))
        _, _, keys = look(world, run)
        assert "workflow" in keys, name
        assert "without" in keys, name


def test_limits_and_workers(world: World) -> None:
    """Out of money, out of time, a worker that died, a run below that was cancelled."""
    slow = definition_of([node("a"), node("z")], "a>z")
    for code, error, fix in (
        ("budget", {"code": "budget", "message": "The run has spent $2.10 of the $2.00 that it may.", "retryable": False}, "retry"),
        ("out_of_time", {"code": "out_of_time", "message": "The run took longer than 60 s, the limit that the workflow sets.", "retryable": False}, "retry"),
        ("crashed", {"code": "crashed", "message": "The step stopped its worker three times.", "retryable": False, "step_key": "a", "step": "A"}, "retry"),
    ):  # fmt: skip
        run = started(world.bob, slow)
        Run.objects.filter(pk=run.pk).update(status="failed", error=error)
        run.refresh_from_db()
        assert cause(error)
        assert trying_helps(error)
        _, _, keys = look(world, run)
        assert fix in keys, code


def test_a_run_below_that_was_cancelled_says_so_above(world: World) -> None:
    below = version_of(world.bob, definition_of([node("g", "review", config={"title": "Go on?"})]))
    call = node("a", "subworkflow", config={"workflow": str(below.workflow_id)})
    run = driven(started(world.bob, definition_of([call, node("z")], "a>z")))
    child = Run.objects.get(parent=run)
    driven(child)
    cancel_run(run=child, actor=world.bob)
    driven(child)
    driven(run)
    headline, _, keys = look(world, run)
    assert "cancelled" in headline
    assert "retry" in keys
    assert StepRun.objects.get(run=run, step_key="a").status == "failed"
